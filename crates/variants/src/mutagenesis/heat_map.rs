//! A picture of a region's substitutions: a row for each base, a column for each position, the sequence along it.

use std::fmt::Write;
use std::ops::Range;

use crate::conditions::conditions;
use crate::options::{Column, ScoreOptions};

/// Bases of the longest region that is drawn.
pub(super) const LONGEST_HEAT_MAP: u64 = 20_000;

/// Positions in a line of the picture.
const PER_LINE: usize = 100;
/// Positions that a picture has room for, be there fewer: its caption is as wide.
const LEAST_WIDTH: usize = 60;
/// Pixels of a cell.
const CELL: usize = 10;
/// Pixels left of the cells.
const MARGIN: usize = 76;
/// Pixels from the top to the legend.
const LEGEND: usize = 54;
/// Pixels above the first line.
const HEAD: usize = 82;
/// Pixels of a line: the four bases, the sequence, positions and room.
const LINE: usize = 4 * CELL + 38;
/// Share of the substitutions whose magnitude the colours tell apart.
const COLOURED: f64 = 0.98;

/// The substitutions of a region.
pub(super) struct HeatMap {
    contig: String,
    start: u64,
    caption: String,
    /// What the scores depend on.
    conditions: String,
    /// What the numbers of the legend are.
    unit: &'static str,
    /// Reference base and the score of A, C, G and T, by position.
    columns: Vec<(u8, [Option<f64>; 4])>,
}

impl HeatMap {
    /// A picture of a region (0-based, half-open) of the contig, without scores yet.
    pub(super) fn new(contig: &str, region: Range<u64>, column: Column, model: &str, options: &ScoreOptions) -> Self {
        Self {
            contig: contig.into(),
            start: region.start,
            caption: column.caption(),
            conditions: conditions(column.score(), model, options),
            unit: column.unit,
            columns: region.map(|_| (b'N', [None; 4])).collect(),
        }
    }

    pub(super) fn add(&mut self, position: u64, from: u8, to: u8, score: Option<f64>) {
        let place = usize::try_from(position - self.start).expect("a region that is drawn is short");
        self.columns[place].0 = from;
        if let Some(row) = b"ACGT".iter().position(|&base| base == to) {
            self.columns[place].1[row] = score;
        }
    }

    /// The picture, SVG.
    pub(super) fn draw(&self) -> String {
        let lines = self.columns.len().div_ceil(PER_LINE);
        let width = MARGIN + self.columns.len().clamp(LEAST_WIDTH, PER_LINE) * CELL + 20;
        let mut svg = String::new();
        let scale = self.scale();
        let end = self.start + self.columns.len() as u64;
        let title = format!("{}:{}-{}", self.contig, self.start + 1, end);
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{}\" font-family=\"monospace\" font-size=\"9\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"8\" y=\"18\" font-size=\"13\">{}</text>\n<text x=\"8\" y=\"31\">{}</text>\n<text x=\"8\" y=\"43\">{}</text>\n",
            HEAD + lines * LINE,
            escaped(&title),
            escaped(&self.caption),
            escaped(&self.conditions)
        );
        legend(&mut svg, scale, self.unit);
        for (i, columns) in self.columns.chunks(PER_LINE).enumerate() {
            self.line(&mut svg, columns, i, scale);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The magnitude of the darkest colours.
    fn scale(&self) -> f64 {
        let mut sizes: Vec<f64> =
            self.columns.iter().flat_map(|(_, scores)| scores.iter().flatten()).map(|score| score.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let place = (sizes.len() as f64 * COLOURED) as usize;
        sizes.get(place.min(sizes.len().saturating_sub(1))).copied().filter(|&size| size > 0.0).unwrap_or(1.0)
    }

    fn line(&self, svg: &mut String, columns: &[(u8, [Option<f64>; 4])], number: usize, scale: f64) {
        let top = HEAD + number * LINE;
        let first = self.start + (number * PER_LINE) as u64 + 1;
        for (row, base) in ["A", "C", "G", "T"].iter().enumerate() {
            let y = top + row * CELL;
            let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{base}</text>", MARGIN - 10, y + 8);
            for (place, (from, scores)) in columns.iter().enumerate() {
                let x = MARGIN + place * CELL;
                let is_reference = b"ACGT"[row] == *from;
                cell(svg, x, y, scores[row], is_reference, scale, || {
                    format!("{}:{} {}>{base}", self.contig, first + place as u64, char::from(*from))
                });
            }
        }
        let y = top + 4 * CELL;
        let _ = writeln!(svg, "<text x=\"4\" y=\"{}\">{first}</text>", top + 2 * CELL);
        for (place, (from, _)) in columns.iter().enumerate() {
            let x = MARGIN + place * CELL;
            let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", x + 2, y + 10, char::from(*from));
            if (first + place as u64).is_multiple_of(10) {
                let _ = writeln!(
                    svg,
                    "<text x=\"{}\" y=\"{}\" font-size=\"7\" text-anchor=\"middle\">{}</text>",
                    x + CELL / 2,
                    y + 20,
                    first + place as u64
                );
            }
        }
    }
}

fn cell(
    svg: &mut String,
    x: usize,
    y: usize,
    score: Option<f64>,
    is_reference: bool,
    scale: f64,
    name: impl Fn() -> String,
) {
    let Some(score) = score else {
        if is_reference {
            let _ = writeln!(svg, "<circle cx=\"{}\" cy=\"{}\" r=\"1.5\" fill=\"#555\"/>", x + CELL / 2, y + CELL / 2);
        }
        return;
    };
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" fill=\"{}\"><title>{} {score:.3}</title></rect>",
        colour(score / scale),
        escaped(&name())
    );
}

fn legend(svg: &mut String, scale: f64, unit: &str) {
    const STEPS: i32 = 10;
    for step in -STEPS..=STEPS {
        let share = f64::from(step) / f64::from(STEPS);
        let x = MARGIN as i32 + (step + STEPS) * 8;
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{LEGEND}\" width=\"8\" height=\"8\" fill=\"{}\"/>", colour(share));
    }
    let (right, y) = (MARGIN + 21 * 8 + 6, LEGEND + 8);
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{:.2}</text><text x=\"{right}\" y=\"{y}\">{scale:.2}  {}</text>",
        MARGIN - 6,
        -scale,
        escaped(unit)
    );
    let _ = writeln!(
        svg,
        "<circle cx=\"{MARGIN}\" cy=\"{}\" r=\"1.5\" fill=\"#555\"/><text x=\"{}\" y=\"{}\">the reference's base</text>",
        y + 9,
        MARGIN + 6,
        y + 12
    );
}

/// Blue for what is below 0, red for what is above, white for 0.
fn colour(share: f64) -> String {
    let share = share.clamp(-1.0, 1.0);
    let ends = if share < 0.0 { [33.0, 102.0, 172.0] } else { [178.0, 24.0, 43.0] };
    let [r, g, b] = ends.map(|end| (255.0 + (end - 255.0) * share.abs()).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_substitution_is_a_cell_and_every_base_a_letter() {
        let column = Column { name: "masked", meaning: "a < b & c", unit: "difference" };
        let mut map = HeatMap::new("chr<1>", 99..310, column, "m", &ScoreOptions::default());
        let sequence: Vec<u8> = b"ACGT".iter().copied().cycle().take(205).collect();
        for (i, &from) in sequence.iter().enumerate() {
            for &to in b"ACGT".iter().filter(|to| **to != from) {
                map.add(99 + i as u64, from, to, Some(if to > from { 2.0 } else { -1.0 }));
            }
        }
        let svg = map.draw();
        assert_eq!(svg.matches("<title>").count(), 3 * 205);
        // One more is in the legend.
        assert_eq!(svg.matches("<circle").count(), 205 + 1);
        assert!(
            svg.contains(">model m, context 1024, strand both</text>") && svg.contains(">the reference's base</text>")
        );
        assert!(svg.contains("chr&lt;1&gt;:100-310") && svg.contains("a &lt; b &amp; c"));
        assert!(svg.contains("chr&lt;1&gt;:100 A&gt;C 2.000"));
        // The region ends with bases that have no score.
        assert_eq!(svg.matches(">N</text>").count(), 6);
        assert!(svg.contains("2.00  difference</text>"));
        assert_eq!((colour(0.0), colour(2.0), colour(-1.0)), ("#ffffff".into(), "#b2182b".into(), "#2166ac".into()));
    }
}
