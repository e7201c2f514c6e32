//! States of a causal model along the genome, kept from one group of records to the next.

use std::collections::{BTreeMap, HashMap};

use longstrand_model::State;
use longstrand_seq::Strand;

/// Bytes of states that are kept.
const CAPACITY: usize = 256 << 20;

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
#[derive(Debug, Default)]
pub(crate) struct Trails {
    points: HashMap<TrailKey, Trail>,
    bytes: usize,
    uses: u64,
}

#[derive(Debug, Default)]
struct Trail {
    points: BTreeMap<u64, Point>,
    used: u64,
}

impl Trails {
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
        while self.bytes > CAPACITY && self.points.len() > 1 {
            self.drop_oldest();
        }
        if self.bytes > CAPACITY {
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
