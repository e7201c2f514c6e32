//! Orders and parts that depend on a seed alone.

use crate::random::{Draws, Purpose, below, join};

/// The places 0..n in an order that depends on the seed and on what it is for.
pub(super) fn shuffled(n: usize, seed: u64, purpose: Purpose, step: u64) -> Vec<usize> {
    let draws = Draws::new(seed, purpose, step, 0);
    let mut places: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        let [a, b, ..] = draws.block(i as u64);
        places.swap(i, below(join(a, b), i as u64 + 1) as usize);
    }
    places
}

/// Deals things into `parts` whose sizes differ by at most one, and in each stratum by at most one. Returns the part of
/// each.
pub(super) fn folds(strata: &[usize], parts: usize, seed: u64) -> Vec<usize> {
    let mut of = vec![0; strata.len()];
    for (turn, place) in by_stratum(strata, seed).into_iter().flatten().enumerate() {
        of[place] = turn % parts;
    }
    of
}

/// Takes a fraction of each stratum, rounded, and at least one where there are two. Returns whether each is taken.
pub(super) fn held_out(strata: &[usize], fraction: f64, seed: u64) -> Vec<bool> {
    let mut is_taken = vec![false; strata.len()];
    for places in by_stratum(strata, seed) {
        let least = usize::from(places.len() > 1 && fraction > 0.0);
        let taken = ((places.len() as f64 * fraction).round() as usize).max(least).min(places.len());
        places[..taken].iter().for_each(|&place| is_taken[place] = true);
    }
    is_taken
}

/// The places of each stratum, shuffled.
fn by_stratum(strata: &[usize], seed: u64) -> Vec<Vec<usize>> {
    let count = strata.iter().max().map_or(0, |&last| last + 1);
    let mut places = vec![Vec::new(); count];
    for place in shuffled(strata.len(), seed, Purpose::Part, 0) {
        places[strata[place]].push(place);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_every_place_once() {
        let order = shuffled(1000, 3, Purpose::Order, 1);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(order, sorted);
        assert_eq!(order, shuffled(1000, 3, Purpose::Order, 1));
        assert_ne!(order, shuffled(1000, 3, Purpose::Order, 2));
        assert!(shuffled(0, 3, Purpose::Order, 1).is_empty());
    }

    #[test]
    fn folds_have_every_class_alike() {
        let strata: Vec<usize> = (0..103).map(|i| usize::from(i % 3 == 0)).collect();
        let of = folds(&strata, 5, 7);
        let size = |fold, class| of.iter().zip(&strata).filter(|&(&f, &s)| f == fold && s == class).count();
        for fold in 0..5 {
            assert!((13..=14).contains(&size(fold, 0)) && (7..=8).contains(&size(fold, 1)), "{fold}");
            assert!((20..=21).contains(&(size(fold, 0) + size(fold, 1))));
        }
    }

    #[test]
    fn a_fraction_of_every_class_is_held_out() {
        let strata = [vec![0; 100], vec![1; 10], vec![2; 3], vec![3]].concat();
        let taken = held_out(&strata, 0.1, 0);
        let count = |class| taken.iter().zip(&strata).filter(|&(&t, &s)| t && s == class).count();
        assert_eq!([count(0), count(1), count(2), count(3)], [10, 1, 1, 0]);
        assert!(held_out(&strata, 0.0, 0).iter().all(|&taken| !taken));
    }
}
