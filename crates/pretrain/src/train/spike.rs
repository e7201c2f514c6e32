//! Losses that jump.

use serde::{Deserialize, Serialize};

/// Steps before a loss is compared with those before it.
const FIRST: u64 = 20;

/// What a running mean keeps of itself at each step.
const KEPT: f64 = 0.95;

/// The running mean of the losses of a run.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct RunningLoss {
    /// The mean, from the first step on.
    pub(super) mean: Option<f64>,
    /// Steps that it is of.
    pub(super) steps: u64,
}

impl RunningLoss {
    /// Whether a loss is more than `factor` times the mean of those before it; with a factor of 0 none is.
    pub(super) fn is_spike(&self, loss: f64, factor: f64) -> bool {
        factor > 0.0 && self.steps >= FIRST && self.mean.is_some_and(|mean| loss > factor * mean)
    }

    /// Takes a step's loss.
    pub(super) fn add(&mut self, loss: f64) {
        self.mean = Some(self.mean.map_or(loss, |mean| KEPT * mean + (1.0 - KEPT) * loss));
        self.steps += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_is_told_from_a_slow_rise_and_from_the_start() {
        let mut running = RunningLoss::default();
        assert!(!running.is_spike(100.0, 2.0));
        running.add(2.8);
        assert!(!running.is_spike(100.0, 2.0), "one step is no mean");
        (0..FIRST).for_each(|_| running.add(1.2));
        assert!(running.is_spike(4.0, 2.0));
        assert!(!running.is_spike(4.0, 0.0));
        assert!(!running.is_spike(2.0, 2.0));
        for i in 0..1_000 {
            let loss = 1.2 + f64::from(i) * 0.01;
            assert!(!running.is_spike(loss, 2.0));
            running.add(loss);
        }
    }
}
