//! The charts of a run.

use super::{
    Record,
    chart::{Chart, Mark, Series},
    series::{Point, smoothed, span},
};
use crate::train::{StepMetrics, Validation};

impl Record {
    /// The loss by step as an SVG file of its own.
    pub fn loss_svg(&self) -> String {
        self.loss().file()
    }

    pub(super) fn loss(&self) -> Chart {
        let mut series = self.raw_and_smoothed("training", |metrics| metrics.loss);
        series.push(self.validated("validation", "valid", |validation| validation.loss));
        series.push(self.validated("validation, [MASK] alone", "masked", |validation| validation.masked_loss));
        let level = Some((4.0_f64.ln(), "ln 4: four bases alike"));
        Chart { level, series, ..self.chart("loss", "Loss", "nats per target", false) }
    }

    /// What else there is by step.
    pub(super) fn others(&self) -> [Chart; 3] {
        let rate = self.points(|metrics| Some(metrics.rate));
        let rate = Series { name: "rate".into(), colour: "smooth", mark: Mark::Line, points: rate };
        let norm = self.raw_and_smoothed("norm", |metrics| Some(metrics.grad_norm));
        let speed = self.raw_and_smoothed("speed", |metrics| Some(metrics.tokens as f64 / metrics.seconds));
        let clip = (self.settings.optimizer.clip, "clipped above");
        [
            Chart { series: vec![rate], ..self.chart("rate", "Learning rate", "rate of an update", true) },
            Chart {
                level: Some(clip),
                series: norm,
                ..self.chart("norm", "Gradient norm", "L2 norm before clipping", true)
            },
            Chart { series: speed, ..self.chart("speed", "Speed of steps", "bases per second", true) },
        ]
    }

    fn chart(&self, id: &'static str, title: &'static str, unit: &'static str, from_zero: bool) -> Chart {
        Chart { id, title, unit, steps: self.settings.run.steps, from_zero, level: None, series: Vec::new() }
    }

    fn raw_and_smoothed(&self, name: &str, value: impl Fn(&StepMetrics) -> Option<f64>) -> Vec<Series> {
        let points = self.points(value);
        let span = span(points.len());
        let smooth = smoothed(&points, span);
        let raw = Series { name: format!("{name}, each step"), colour: "raw", mark: Mark::Thin, points };
        let name = format!("smoothed over {span} step{}", if span == 1 { "" } else { "s" });
        vec![raw, Series { name, colour: "smooth", mark: Mark::Line, points: smooth }]
    }

    fn validated(&self, name: &str, colour: &'static str, value: impl Fn(&Validation) -> Option<f64>) -> Series {
        let points = self.validations.iter().map(|metrics| (metrics.step, value(&metrics.validation)));
        Series { name: name.into(), colour, mark: Mark::Dots, points: finite(points) }
    }

    pub(super) fn points(&self, value: impl Fn(&StepMetrics) -> Option<f64>) -> Vec<Point> {
        finite(self.steps.iter().map(|metrics| (metrics.step, value(metrics))))
    }
}

/// The points that can be drawn.
fn finite(points: impl Iterator<Item = (u64, Option<f64>)>) -> Vec<Point> {
    points.filter_map(|(step, value)| Some((step as f64, value.filter(|value| value.is_finite())?))).collect()
}
