//! Learning rates: what the rate of each step is.
//!
//! With t the step (0-based), T the number of steps, w those of the warm-up, s the rate that the warm-up starts from, p
//! the peak and f the final rate:
//!
//! | part | steps | rate |
//! |---|---|---|
//! | warm-up | t < w | s + (p − s)·t/w, or s + (p − s)·(t + 1)/w with [`FirstStep::OneIncrement`] |
//! | constant | w ≤ t | p |
//! | cosine | w ≤ t < T | f + (p − f)/2·(1 + cos(π·(t − w)/(T − w))) |
//! | warm-up, stable, decay | w ≤ t < T − d | p |
//! | | T − d ≤ t < T | p + (f − p)·(t − (T − d) + 1)/d: the last step has f |
//!
//! From T on the rate is the final one (constant: p). The cosine is that of Loshchilov & Hutter 2017 (SGDR, Eq. 5) in one
//! period, counted from the end of the warm-up as HyenaDNA's and Caduceus' configurations count it; the trapezoid is that
//! of MiniCPM (Hu et al. 2024) with a linear decay.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The learning rate of every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// How the rate rises.
    pub warmup: Warmup,
    /// The rate at the end of the warm-up, the largest.
    pub peak: f64,
    /// What follows the warm-up.
    pub form: Form,
}

/// A linear rise to the peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warmup {
    /// The rate that it starts from.
    pub start: f64,
    /// How many steps it takes.
    pub steps: u64,
    /// What the first step gets.
    pub first: FirstStep,
}

/// What the first step of a warm-up gets.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstStep {
    /// The rate that the warm-up starts from; the peak is first reached after the warm-up.
    #[default]
    Start,
    /// One increment above it; the warm-up's last step has the peak.
    OneIncrement,
}

/// What follows the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// The peak for ever.
    Constant,
    /// Half a cosine down to a final rate.
    Cosine {
        /// Steps of the whole run, warm-up included.
        steps: u64,
        /// The rate that it ends at.
        last: f64,
    },
    /// The peak, then a straight line down to a final rate.
    WarmupStableDecay {
        /// Steps of the whole run, warm-up included.
        steps: u64,
        /// Steps of the decay.
        decay: u64,
        /// The rate of the last step.
        last: f64,
    },
}

impl Schedule {
    /// The rate of a step, 0-based.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup.steps { self.warmup.rate(step, self.peak) } else { self.after_warmup(step) }
    }

    fn after_warmup(&self, step: u64) -> f64 {
        match self.form {
            Form::Constant => self.peak,
            Form::Cosine { steps, last } | Form::WarmupStableDecay { steps, last, .. } if step >= steps => last,
            Form::Cosine { steps, last } => {
                let part = (step - self.warmup.steps) as f64 / (steps - self.warmup.steps) as f64;
                last + 0.5 * (self.peak - last) * (1.0 + (PI * part).cos())
            }
            Form::WarmupStableDecay { steps, decay, last } => {
                let done = (step + 1 + decay).saturating_sub(steps);
                if done == 0 { self.peak } else { self.peak + (last - self.peak) * (done as f64 / decay as f64) }
            }
        }
    }
}

impl Warmup {
    fn rate(&self, step: u64, peak: f64) -> f64 {
        let done = match self.first {
            FirstStep::Start => step,
            FirstStep::OneIncrement => step + 1,
        };
        self.start + (peak - self.start) * (done as f64 / self.steps as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARMUP: Warmup = Warmup { start: 1e-6, steps: 1_000, first: FirstStep::Start };

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-15, "{a} {b}");
    }

    #[test]
    fn cosine_as_caduceus_has_it() {
        let schedule = Schedule { warmup: WARMUP, peak: 8e-3, form: Form::Cosine { steps: 10_000, last: 1e-4 } };
        close(schedule.rate(0), 1e-6);
        close(schedule.rate(500), 1e-6 + (8e-3 - 1e-6) / 2.0);
        close(schedule.rate(1_000), 8e-3);
        close(schedule.rate(5_500), (8e-3 + 1e-4) / 2.0);
        close(schedule.rate(4_000), 1e-4 + 0.5 * 7.9e-3 * 1.5);
        assert!(schedule.rate(9_999) > 1e-4);
        close(schedule.rate(10_000), 1e-4);
        close(schedule.rate(20_000), 1e-4);
        assert!((1_000..9_999).all(|t| schedule.rate(t) > schedule.rate(t + 1)));
    }

    #[test]
    fn the_warmup_has_two_ways_to_count() {
        let first = FirstStep::OneIncrement;
        let warmup = Warmup { start: 0.0, steps: 4, first };
        let schedule = Schedule { warmup, peak: 2.0, form: Form::Constant };
        let rates: Vec<f64> = (0..6).map(|t| schedule.rate(t)).collect();
        assert_eq!(rates, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]);
        let warmup = Warmup { first: FirstStep::Start, ..warmup };
        let rates: Vec<f64> = (0..6).map(|t| Schedule { warmup, ..schedule }.rate(t)).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]);
        let none = Schedule { warmup: Warmup { steps: 0, ..warmup }, ..schedule };
        assert_eq!(none.rate(0), 2.0);
    }

    #[test]
    fn stable_then_decay() {
        let warmup = Warmup { start: 0.0, steps: 2, first: FirstStep::Start };
        let form = Form::WarmupStableDecay { steps: 10, decay: 4, last: 0.0 };
        let schedule = Schedule { warmup, peak: 1.0, form };
        let rates: Vec<f64> = (0..12).map(|t| schedule.rate(t)).collect();
        assert_eq!(rates, [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0]);
        let form = Form::WarmupStableDecay { steps: 10, decay: 0, last: 0.0 };
        assert_eq!(Schedule { form, ..schedule }.rate(9), 1.0);
    }
}
