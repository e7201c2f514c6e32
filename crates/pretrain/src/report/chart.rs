//! A chart of values by step, SVG.

use std::fmt::Write;

use super::{
    series::{Point, bulk, thinned},
    text::escaped,
    ticks::Ticks,
};

/// Pixels of a chart.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
/// Pixels around the plot: left, right, above, below.
const LEFT: f64 = 74.0;
const RIGHT: f64 = 18.0;
const ABOVE: f64 = 52.0;
const BELOW: f64 = 46.0;

/// What all charts look like but for their colours.
const FORM: &str = "\
.chart{font-family:system-ui,sans-serif;font-size:12px}.chart .title{font-size:15px;font-weight:600}
.chart .line{fill:none;stroke-width:1.6;stroke-linejoin:round}.chart .thin{stroke-width:1}
.chart .dot{stroke-width:1}.chart .level{stroke-dasharray:4 4}
";

/// Their colours.
const COLOURS: &str = "\
.chart text{fill:$ink}.chart .faint{fill:$faint}.chart .paper{fill:$paper}.chart .grid{stroke:$grid}
.chart .axis,.chart .level{stroke:$faint}.chart .raw{stroke:$raw}.chart .smooth{stroke:$smooth}.chart .valid{stroke:$valid}
.chart .masked{stroke:$masked}.chart .dot{stroke:$paper}.chart .dot.valid{fill:$valid}.chart .dot.masked{fill:$masked}
";

/// The style of all charts.
pub(super) fn style() -> String {
    format!("{FORM}{}", coloured(COLOURS))
}

/// Rules with names of colours, for light pages and then for dark ones.
pub(super) fn coloured(rules: &str) -> String {
    let names = ["$paper", "$ink", "$faint", "$grid", "$raw", "$smooth", "$valid", "$masked"];
    let light = ["#ffffff", "#1c1f24", "#69707a", "#e3e6ea", "#a9c1dc", "#1b62a5", "#c0392b", "#7d4bb5"];
    let dark = ["#14171b", "#e6e8eb", "#98a1ac", "#2b3037", "#4a6d94", "#74b4f0", "#ff8a7a", "#c4a0ef"];
    let filled = |colours: [&str; 8]| {
        names.iter().zip(colours).fold(rules.to_owned(), |rules, (name, colour)| rules.replace(name, colour))
    };
    format!("{}@media (prefers-color-scheme:dark){{\n{}}}\n", filled(light), filled(dark))
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    /// A thin line; its wildest hundredth may leave the chart.
    Thin,
    /// A line.
    Line,
    /// Dots on a thin line.
    Dots,
}

/// Values by step.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// What the legend calls it.
    pub(super) name: String,
    /// The class of its colour in [`style`].
    pub(super) colour: &'static str,
    pub(super) mark: Mark,
    pub(super) points: Vec<Point>,
}

/// A chart.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// Tells its parts from those of other charts on the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What the values are, and their unit.
    pub(super) unit: &'static str,
    /// Where the axis of steps ends at least.
    pub(super) steps: u64,
    /// Whether the values' axis begins at 0.
    pub(super) from_zero: bool,
    /// A value that others are compared with, and its name.
    pub(super) level: Option<(f64, &'static str)>,
    pub(super) series: Vec<Series>,
}

/// From values to pixels.
struct Scale {
    x: Ticks,
    y: Ticks,
}

impl Scale {
    fn x(&self, step: f64) -> f64 {
        LEFT + (step - self.x.first) / (self.x.last - self.x.first) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BELOW - (value - self.y.first) / (self.y.last - self.y.first) * (HEIGHT - ABOVE - BELOW)
    }
}

impl Chart {
    /// The picture as a file of its own.
    pub(super) fn file(&self) -> String {
        self.draw(&format!("<style>\n{}</style>\n", style()))
    }

    /// The picture as a part of a page that has [`style`].
    pub(super) fn part(&self) -> String {
        self.draw("")
    }

    fn draw(&self, style: &str) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n{style}\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"20\">{title}</text>\n",
            title = escaped(self.title)
        );
        match self.scale() {
            None => {
                let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
                let _ = writeln!(
                    svg,
                    "<text class=\"faint\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">no step yet</text>"
                );
            }
            Some(scale) => self.plot(&mut svg, &scale),
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn scale(&self) -> Option<Scale> {
        let of = |series: &Series| match series.mark {
            Mark::Thin => bulk(&series.points),
            Mark::Line | Mark::Dots => ends(&series.points),
        };
        let ranges: Vec<(f64, f64)> = self.series.iter().filter_map(of).collect();
        let low = ranges.iter().map(|range| range.0).reduce(f64::min)?;
        let high = ranges.iter().map(|range| range.1).reduce(f64::max)?;
        let low = if self.from_zero { low.min(0.0) } else { low };
        let steps = self.series.iter().flat_map(|series| &series.points).map(|point| point.0);
        let steps = steps.fold(self.steps as f64, f64::max);
        Some(Scale { x: Ticks::over(0.0, steps, 6, true), y: Ticks::over(low, high, 5, false) })
    }

    fn plot(&self, svg: &mut String, scale: &Scale) {
        self.axes(svg, scale);
        self.legend(svg);
        // With room for half a line and half a dot at the borders.
        let (x, y) = (LEFT - 5.0, ABOVE - 5.0);
        let (id, width, height) = (self.id, WIDTH - RIGHT + 5.0 - x, HEIGHT - BELOW + 5.0 - y);
        let _ = writeln!(
            svg,
            "<clipPath id=\"{id}-plot\"><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/></clipPath>\n\
             <g clip-path=\"url(#{id}-plot)\">"
        );
        if let Some((value, name)) = self.level.filter(|(value, _)| (scale.y.first..=scale.y.last).contains(value)) {
            let (right, y) = (WIDTH - RIGHT, scale.y(value));
            let _ = writeln!(
                svg,
                "<line class=\"level\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n\
                 <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                right - 4.0,
                y - 4.0,
                escaped(name)
            );
        }
        let drawn = self.series.iter().filter(|series| !series.points.is_empty());
        drawn.for_each(|series| series.draw(svg, scale));
        svg.push_str("</g>\n");
    }

    fn axes(&self, svg: &mut String, scale: &Scale) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BELOW);
        for (value, name) in &scale.y.marks {
            let y = scale.y(*value);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (value, name) in &scale.x.marks {
            let x = scale.x(*value);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>\
                 <text class=\"faint\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
                bottom + 5.0,
                bottom + 19.0
            );
        }
        let middle = (ABOVE + bottom) / 2.0;
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">step</text>\n\
             <text x=\"15\" y=\"{middle:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 15 {middle:.1})\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 8.0,
            escaped(self.unit)
        );
    }

    fn legend(&self, svg: &mut String) {
        let mut x = LEFT;
        for series in self.series.iter().filter(|series| !series.points.is_empty()) {
            let _ = writeln!(
                svg,
                "<line class=\"line {}\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"36\" y2=\"36\"/>\
                 <text x=\"{:.1}\" y=\"40\">{}</text>",
                series.colour,
                x + 20.0,
                x + 26.0,
                escaped(&series.name)
            );
            x += 50.0 + 6.4 * series.name.chars().count() as f64;
        }
    }
}

impl Series {
    fn draw(&self, svg: &mut String, scale: &Scale) {
        let place = |point: &Point| (scale.x(point.0), scale.y(point.1));
        let thin = if self.mark == Mark::Line { "" } else { " thin" };
        let _ = write!(svg, "<polyline class=\"line {}{thin}\" points=\"", self.colour);
        for (x, y) in thinned(&self.points).iter().map(place) {
            let _ = write!(svg, "{x:.1},{y:.1} ");
        }
        svg.push_str("\"/>\n");
        for point in self.points.iter().filter(|_| self.mark == Mark::Dots) {
            let (x, y) = place(point);
            let name = format!("{}: step {}, {:.4}", self.name, point.0, point.1);
            let _ = writeln!(
                svg,
                "<circle class=\"dot {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}</title></circle>",
                self.colour,
                escaped(&name)
            );
        }
    }
}

fn ends(points: &[Point]) -> Option<(f64, f64)> {
    let values = || points.iter().map(|point| point.1);
    values().reduce(f64::min).zip(values().reduce(f64::max))
}
