//! How the loss goes with the position in the window: does more context help?

use std::ops::Range;

use super::tally::Total;

/// Totals of stretches of positions that double in length: 0, 1, 2–3, 4–7, …
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    totals: Vec<Total>,
}

/// A stretch of positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Positions in the window, 0-based, half-open. A causal model's target at position t is the base at t + 1, of which it has
    /// read t + 1 bases.
    pub positions: Range<u64>,
    /// Their targets.
    pub total: Total,
}

impl Curve {
    /// The stretches that have targets, in order.
    pub fn stretches(&self) -> impl Iterator<Item = Stretch> {
        let stretch = |(index, total): (usize, &Total)| Stretch { positions: positions(index), total: *total };
        self.totals.iter().enumerate().map(stretch).filter(|stretch| stretch.total.targets > 0)
    }

    pub(super) fn count(&mut self, position: u64, target: &Total) {
        let index = index(position);
        if self.totals.len() <= index {
            self.totals.resize(index + 1, Total::default());
        }
        self.totals[index].add(target);
    }

    pub(super) fn add(&mut self, other: &Self) {
        if self.totals.len() < other.totals.len() {
            self.totals.resize(other.totals.len(), Total::default());
        }
        for (total, other) in self.totals.iter_mut().zip(&other.totals) {
            total.add(other);
        }
    }
}

/// 0 for position 0, and 1 + ⌊log₂ position⌋ behind it.
fn index(position: u64) -> usize {
    (u64::BITS - position.leading_zeros()) as usize
}

fn positions(index: usize) -> Range<u64> {
    match index {
        0 => 0..1,
        index => 1 << (index - 1)..1 << index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_double() {
        let mut curve = Curve::default();
        for position in 0..10 {
            curve.count(position, &Total { targets: 1, loss: position as f64, correct: 0 });
        }
        let mut twice = Curve::default();
        twice.add(&curve);
        twice.add(&curve);
        let shown: Vec<(Range<u64>, u64, f64)> = twice
            .stretches()
            .map(|stretch| (stretch.positions, stretch.total.targets, stretch.total.mean_loss()))
            .collect();
        assert_eq!(shown, [(0..1, 2, 0.0), (1..2, 2, 1.0), (2..4, 4, 2.5), (4..8, 8, 5.5), (8..16, 4, 8.5)]);
        assert_eq!(index(u64::MAX >> 1), 63);
    }
}
