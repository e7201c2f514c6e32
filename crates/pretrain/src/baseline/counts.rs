//! Words and how often they were seen.

use std::ops::Range;

use super::{Neighbours, OTHER};

/// Counts of words while they are taken.
#[derive(Clone, Debug)]
pub struct Counts {
    neighbours: Neighbours,
    /// For each number of neighbours from 0 to k and each word of so many, the counts of A, C, G and T between them.
    by_order: Vec<Vec<u64>>,
}

/// A Markov model of DNA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Markov {
    neighbours: Neighbours,
    by_order: Vec<Vec<u64>>,
}

impl Counts {
    /// No counts yet.
    ///
    /// # Panics
    ///
    /// When the neighbours are more than [`Neighbours::checked`] lets be.
    pub fn new(neighbours: Neighbours) -> Self {
        let neighbours = neighbours.checked().expect("neighbours that were checked");
        let orders = 0..=neighbours.order() as u32;
        Self { neighbours, by_order: orders.map(|order| vec![0; 4 * neighbours.radix().pow(order)]).collect() }
    }

    /// Counts the bases at `targets`, each between its neighbours in `digits`, which are numbers of bases or [`OTHER`].
    ///
    /// # Panics
    ///
    /// When there are no such positions.
    pub fn add(&mut self, digits: &[u8], targets: Range<usize>) {
        for t in targets {
            if digits[t] < OTHER {
                // By the largest order alone; the smaller ones follow at the end.
                let (order, word) = self.neighbours.word(digits, t);
                self.by_order[order][4 * word + usize::from(digits[t])] += 1;
            }
        }
    }

    /// The model of what was counted.
    pub fn finish(mut self) -> Markov {
        for order in (1..self.by_order.len()).rev() {
            // The neighbour farthest away is the word's highest digit.
            let (smaller, larger) = self.by_order.split_at_mut(order);
            let smaller = &mut smaller[order - 1];
            for part in larger[0].chunks_exact(smaller.len()) {
                smaller.iter_mut().zip(part).for_each(|(count, more)| *count += more);
            }
        }
        Markov { neighbours: self.neighbours, by_order: self.by_order }
    }
}

impl Markov {
    /// What it knows of a base.
    pub fn neighbours(&self) -> Neighbours {
        self.neighbours
    }

    /// How many bases were counted.
    pub fn n_counted(&self) -> u64 {
        self.by_order[0].iter().sum()
    }

    /// The probabilities of A, C, G and T at position `t` of a sequence of numbers of bases or [`OTHER`]. What stands at `t`
    /// itself is not looked at, and may be behind the end.
    pub fn probabilities(&self, digits: &[u8], t: usize) -> [f64; 4] {
        let (order, word) = self.neighbours.word(digits, t);
        let counts = &self.by_order[order][4 * word..4 * word + 4];
        let total = counts.iter().sum::<u64>() as f64 + 4.0;
        [0, 1, 2, 3].map(|base| (counts[base] as f64 + 1.0) / total)
    }
}
