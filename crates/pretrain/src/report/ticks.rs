//! Round numbers along an axis.

use super::text::grouped;

/// The end of an axis, and what stands along it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticks {
    /// Where the axis begins.
    pub(super) first: f64,
    /// Where it ends.
    pub(super) last: f64,
    /// Values and their names.
    pub(super) marks: Vec<(f64, String)>,
}

impl Ticks {
    /// An axis over `low` to `high` that begins and ends at multiples of 1, 2 or 5 times a power of ten, with about `count`
    /// steps. Whole numbers alone, if they are counts.
    pub(super) fn over(low: f64, high: f64, count: usize, are_counts: bool) -> Self {
        let pad = if high > low { 0.0 } else { (high.abs() * 0.1).max(1e-9) };
        let (low, high) = (low - pad, high + pad);
        let mut step = rounded((high - low) / count as f64);
        if are_counts {
            step = step.max(1.0);
        }
        let (from, to) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        let steps = (to - from) as usize;
        let marks = (0..=steps).map(|i| (from + i as f64) * step).map(|value| (value, name(value, step))).collect();
        Self { first: from * step, last: to * step, marks }
    }
}

/// The nearest of 1, 2, 5, 10, … times a power of ten.
fn rounded(step: f64) -> f64 {
    let power = 10.0_f64.powf(step.log10().floor());
    let factors = [(1.5, 1.0), (3.5, 2.0), (7.5, 5.0)];
    factors.into_iter().find(|(below, _)| step < below * power).map_or(10.0, |(_, factor)| factor) * power
}

/// A value to as many digits as its neighbours differ in.
fn name(value: f64, step: f64) -> String {
    if value.abs() < step / 2.0 {
        return "0".into();
    }
    if step >= 1.0 {
        let sign = if value < 0.0 { "−" } else { "" };
        return format!("{sign}{}", grouped(value.abs().round() as u64));
    }
    let places = (-step.log10().floor() + 1e-9) as i32;
    if places <= 4 { format!("{value:.*}", places as usize) } else { scientific(value, step) }
}

fn scientific(value: f64, step: f64) -> String {
    let digits = (value.abs().log10().floor() - step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(low: f64, high: f64, count: usize) -> Vec<String> {
        Ticks::over(low, high, count, false).marks.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn axes_have_round_numbers_and_hold_their_values() {
        assert_eq!(names(0.0, 10_000.0, 5), ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]);
        assert_eq!(names(1.13, 1.386, 5), ["1.10", "1.15", "1.20", "1.25", "1.30", "1.35", "1.40"]);
        assert_eq!(names(0.0, 0.008, 4), ["0", "0.002", "0.004", "0.006", "0.008"]);
        assert_eq!(names(0.0, 1e-6, 2), ["0", "5e-7", "1.0e-6"]);
        for (low, high) in [(0.0, 1.0), (2.5, 2.5), (0.0, 0.0), (-3.0, 7.7), (1e6, 1.00001e6), (1e-12, 3e-12)] {
            let ticks = Ticks::over(low, high, 5, false);
            assert!(ticks.first <= low && ticks.last >= high && ticks.last > ticks.first, "{ticks:?}");
            assert!((2..=13).contains(&ticks.marks.len()), "{ticks:?}");
        }
        let counts = Ticks::over(0.0, 2.0, 6, true);
        assert_eq!(counts.marks.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    }
}
