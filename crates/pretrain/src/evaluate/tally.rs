//! What targets add up to, class by class.

use std::fmt;

use super::curve::Curve;

/// Targets that are looked at together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Every target.
    All,
    /// Targets where the model sees `[MASK]`.
    Masked,
    /// Targets where a masked language model sees a base or a random token.
    Visible,
    /// Targets that are this base: A 0, C 1, G 2, T 3.
    Base(usize),
}

impl Class {
    /// All classes.
    pub const EACH: [Self; 7] =
        [Self::All, Self::Masked, Self::Visible, Self::Base(0), Self::Base(1), Self::Base(2), Self::Base(3)];

    fn index(self) -> usize {
        match self {
            Self::All => 0,
            Self::Masked => 1,
            Self::Visible => 2,
            Self::Base(base) => 3 + base,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["all", "masked", "visible", "A", "C", "G", "T"][self.index()])
    }
}

/// The targets of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    /// How many.
    pub targets: u64,
    /// The sum of their losses, in nats.
    pub loss: f64,
    /// For how many no other token had a larger logit.
    pub correct: u64,
}

impl Total {
    /// The mean loss, in nats; not a number where there is no target.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.targets as f64
    }

    /// e to the mean loss.
    pub fn perplexity(&self) -> f64 {
        self.mean_loss().exp()
    }

    /// The fraction that is correct; not a number where there is no target.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.targets as f64
    }

    /// Adds another total.
    pub fn add(&mut self, other: &Self) {
        self.targets += other.targets;
        self.loss += other.loss;
        self.correct += other.correct;
    }
}

/// The totals of every class, and of every stretch of positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    totals: [Total; Class::EACH.len()],
    curve: Curve,
}

impl Tally {
    /// A class's total.
    pub fn total(&self, class: Class) -> &Total {
        &self.totals[class.index()]
    }

    /// The classes that have targets.
    pub fn totals(&self) -> impl Iterator<Item = (Class, &Total)> {
        Class::EACH.into_iter().map(|class| (class, self.total(class))).filter(|(_, total)| total.targets > 0)
    }

    /// How the loss goes with the position in the window.
    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        for (total, other) in self.totals.iter_mut().zip(&other.totals) {
            total.add(other);
        }
        self.curve.add(&other.curve);
    }

    /// Adds a target: its position in the window, which base it is, if it is one, whether the model sees a mask there, if it is
    /// of those that do.
    pub(crate) fn count(
        &mut self,
        position: u64,
        base: Option<usize>,
        sees_mask: Option<bool>,
        loss: f64,
        correct: bool,
    ) {
        let one = Total { targets: 1, loss, correct: correct.into() };
        let kind = sees_mask.map(|masked| if masked { Class::Masked } else { Class::Visible });
        for class in [Some(Class::All), kind, base.map(Class::Base)].into_iter().flatten() {
            self.totals[class.index()].add(&one);
        }
        self.curve.count(position, &one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_counts_in_each_of_its_classes() {
        let mut tally = Tally::default();
        tally.count(0, Some(1), Some(true), 1.0, true);
        tally.count(5, Some(3), Some(false), 3.0, false);
        let shown: Vec<(String, u64, f64)> =
            tally.totals().map(|(class, total)| (class.to_string(), total.targets, total.mean_loss())).collect();
        let expected = [("all", 2, 2.0), ("masked", 1, 1.0), ("visible", 1, 3.0), ("C", 1, 1.0), ("T", 1, 3.0)];
        assert_eq!(shown, expected.map(|(class, targets, loss)| (class.to_owned(), targets, loss)));
        assert_eq!(tally.total(Class::All).accuracy(), 0.5);
        assert!((tally.total(Class::All).perplexity() - 2.0_f64.exp()).abs() < 1e-12);
        assert!(tally.total(Class::Base(0)).mean_loss().is_nan());
        let mut twice = tally.clone();
        twice.add(&tally);
        assert_eq!(twice.total(Class::Masked), &Total { targets: 2, loss: 2.0, correct: 2 });
    }
}
