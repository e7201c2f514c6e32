//! States of a causal model along the genome, kept from one group of records to the next.

use std::collections::{BTreeMap, HashMap};

use longstrand_model::State;
use longstrand_seq::Strand;

/// Bytes of states that are kept.
pub(crate) const CAPACITY: usize = 256 << 20;

/// What the passes of a trail have in common: where they begin and which way they go.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct TrailKey {
    pub(crate) contig: usize,
    /// The first base of the contig's span, 0-based.
    pub(crate) span_start: u64,
    /// Bases of the strand before the first one that is read.
    pub(crate) anchor: u64,
    pub(crate) strand: Strand,
}

/// A model before a position of a strand.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) position: u64,
    pub(crate) state: State<f32>,
    /// Logits of the base at the position, `[V]`; none before the first base.
    pub(crate) logits: Option<Vec<f32>>,
}

/// Points by trail and position, the least recently used trail dropped first.
#[derive(Debug)]
pub(crate) struct Trails {
    /// Bytes of states from which on some are dropped.
    capacity: usize,
    points: HashMap<TrailKey, Trail>,
    bytes: usize,
    uses: u64,
}

#[derive(Debug, Default)]
struct Trail {
    points: BTreeMap<u64, Point>,
    used: u64,
}

impl Default for Trails {
    fn default() -> Self {
        Self::of_capacity(CAPACITY)
    }
}

impl Trails {
    fn of_capacity(capacity: usize) -> Self {
        Self { capacity, points: HashMap::new(), bytes: 0, uses: 0 }
    }

    /// The last point of a trail at or before a position.
    pub(crate) fn last(&mut self, key: &TrailKey, position: u64) -> Option<Point> {
        self.uses += 1;
        let trail = self.points.get_mut(key)?;
        trail.used = self.uses;
        trail.points.range(..=position).next_back().map(|(_, point)| point.clone())
    }

    /// Keeps a point.
    pub(crate) fn keep(&mut self, key: &TrailKey, point: &Point) {
        self.uses += 1;
        let trail = self.points.entry(*key).or_default();
        trail.used = self.uses;
        if trail.points.insert(point.position, point.clone()).is_none() {
            self.bytes += bytes(point);
        }
        while self.bytes > self.capacity && self.points.len() > 1 {
            self.drop_oldest();
        }
        if self.bytes > self.capacity {
            self.thin();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.points.iter().min_by_key(|(_, trail)| trail.used).map(|(key, _)| *key);
        if let Some(trail) = oldest.and_then(|key| self.points.remove(&key)) {
            self.bytes -= trail.points.values().map(bytes).sum::<usize>();
        }
    }

    /// Keeps every other point of the only trail, and its last one.
    fn thin(&mut self) {
        for trail in self.points.values_mut() {
            let points = std::mem::take(&mut trail.points);
            let last = points.len() - 1;
            let is_kept = |i: &usize| i % 2 == 1 || *i == last;
            trail.points = points.into_iter().enumerate().filter(|(i, _)| is_kept(i)).map(|(_, point)| point).collect();
        }
        self.bytes = self.points.values().flat_map(|trail| trail.points.values()).map(bytes).sum();
    }
}

fn bytes(point: &Point) -> usize {
    point.state.bytes() + point.logits.as_ref().map_or(0, |logits| logits.len() * 4)
}

#[cfg(test)]
mod tests {
    use longstrand_kernels::Cpu;
    use longstrand_kernels::simd::Level;
    use longstrand_model::Model;
    use longstrand_model::checkpoint::Checkpoint;

    use super::*;

    fn state() -> State<f32> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/hf-mamba-variant");
        let checkpoint = Checkpoint::load(folder).unwrap();
        Model::new(Cpu::new(Level::widest()), &checkpoint).initial_state().unwrap()
    }

    fn key(contig: usize) -> TrailKey {
        TrailKey { contig, span_start: 0, anchor: 0, strand: Strand::Forward }
    }

    /// The positions that a trail has points at.
    fn positions(trails: &Trails, contig: usize) -> Vec<u64> {
        trails.points.get(&key(contig)).map_or_else(Vec::new, |trail| trail.points.keys().copied().collect())
    }

    /// Trails that hold so many points, and what keeps one.
    fn holding(points: usize) -> (Trails, impl Fn(&mut Trails, usize, u64)) {
        let state = state();
        let point = move |position| Point { position, state: state.clone(), logits: Some(vec![0.0; 8]) };
        let trails = Trails::of_capacity(points * bytes(&point(0)));
        (trails, move |trails: &mut Trails, contig, position| trails.keep(&key(contig), &point(position)))
    }

    #[test]
    fn the_trail_that_was_used_longest_ago_goes_first() {
        let (mut trails, keep) = holding(4);
        for (contig, position) in [(0, 64), (1, 64), (0, 128), (2, 64)] {
            keep(&mut trails, contig, position);
        }
        assert_eq!(trails.last(&key(1), 100).map(|point| point.position), Some(64));
        keep(&mut trails, 2, 128);
        assert_eq!([0, 1, 2].map(|contig| positions(&trails, contig)), [vec![], vec![64], vec![64, 128]]);
        // A point that is kept again takes no room.
        (0..9).for_each(|_| keep(&mut trails, 1, 64));
        assert_eq!(positions(&trails, 2), [64, 128]);
        assert!(trails.last(&key(0), 1_000).is_none() && trails.last(&key(2), 63).is_none());
        assert_eq!(trails.last(&key(2), 127).map(|point| point.position), Some(64));
    }

    #[test]
    fn the_only_trail_keeps_every_other_point_and_its_last() {
        let (mut trails, keep) = holding(4);
        (1..=5).for_each(|i| keep(&mut trails, 0, 64 * i));
        assert_eq!(positions(&trails, 0), [128, 256, 320]);
        assert_eq!(trails.bytes, trails.capacity / 4 * 3);
        (6..=7).for_each(|i| keep(&mut trails, 0, 64 * i));
        assert_eq!(positions(&trails, 0), [256, 384, 448]);
    }
}
