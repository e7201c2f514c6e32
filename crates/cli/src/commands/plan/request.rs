//! What to ask a scheduler for.

use super::{RequestArgs, Run};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const MEGABYTE: f64 = 1e6;

/// What a task of the run asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Request {
    /// Shards of the whole run; none where it cannot be divided.
    pub(super) shards: Option<u64>,
    /// Seconds that a shard, or all of what cannot be divided, is going to take.
    pub(super) seconds: f64,
    /// Megabytes (10⁶ bytes) with the margin, rounded up.
    pub(super) memory_mb: Option<u64>,
    /// Minutes with the margin, rounded up.
    pub(super) minutes: u64,
}

impl Request {
    pub(super) fn of(run: &Run, asked: &RequestArgs) -> Self {
        let (time, pieces) = (run.estimate.time, run.estimate.pieces.max(1));
        // Shards of the whole of which the run is a part.
        let shards = run.shard.map(|of| match asked.shards {
            Some(shards) => shards.get(),
            None => {
                let fitting = (asked.hours_per_shard * HOUR - time.fixed) / time.divided * pieces as f64;
                of.count() * pieces.div_ceil((fitting as u64).max(1))
            }
        });
        let own = run.shard.zip(shards).map_or(pieces, |(of, shards)| (pieces * of.count()).div_ceil(shards));
        let seconds = time.fixed + own as f64 / pieces as f64 * time.divided;
        let memory = run.estimate.memory.as_ref().map(|memory| memory.total() as f64 * (1.0 + asked.memory_margin));
        Self {
            shards,
            seconds,
            memory_mb: memory.map(|bytes| (bytes / MEGABYTE).ceil() as u64),
            minutes: (seconds * (1.0 + asked.time_margin) / MINUTE).ceil().max(1.0) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU64, NonZeroUsize};

    use longstrand_model::estimate::{Estimate, Time};
    use longstrand_seq::window::Shard;

    use super::*;

    fn request(shard: Option<&str>, shards: Option<u64>) -> Request {
        of(36_000, shard, shards)
    }

    /// Of a run of ten minutes and ten hours, the latter for so many pieces.
    fn of(pieces: u64, shard: Option<&str>, shards: Option<u64>) -> Request {
        let estimate = Estimate {
            work: Vec::new(),
            pieces,
            memory: None,
            disk: 0,
            time: Time { fixed: 600.0, divided: 10.0 * HOUR },
            pace: None,
        };
        let shard = shard.map(|shard| shard.parse::<Shard>().unwrap());
        let threads = NonZeroUsize::MIN;
        let run = Run { command: "embed", device: "CPU".into(), threads, shard, opening: 0.0, estimate };
        let asked = RequestArgs {
            json: false,
            rate: None,
            hours_per_shard: 1.0,
            shards: shards.and_then(NonZeroU64::new),
            memory_margin: 0.25,
            time_margin: 0.5,
        };
        Request::of(&run, &asked)
    }

    #[test]
    fn a_shard_takes_no_longer_than_it_may() {
        let found = request(Some("1/1"), None);
        // 50 minutes of an hour are left for the work.
        assert_eq!((found.shards, found.minutes), (Some(12), 90));
        assert_eq!(found.seconds, HOUR);
        assert_eq!(request(Some("2/3"), None).shards, Some(36));
        let found = request(Some("1/1"), Some(4));
        assert_eq!((found.shards, found.seconds), (Some(4), 600.0 + 2.5 * HOUR));
        // The plan of one of four shards is that of any of them.
        assert_eq!(request(Some("1/4"), Some(4)).seconds, 600.0 + 10.0 * HOUR);
    }

    #[test]
    fn what_cannot_be_divided_is_one_task() {
        let found = request(None, None);
        assert_eq!((found.shards, found.memory_mb, found.seconds), (None, None, 600.0 + 10.0 * HOUR));
    }

    #[test]
    fn no_shard_is_less_than_a_piece() {
        let Request { shards, seconds, .. } = of(2, Some("1/1"), None);
        assert_eq!((shards, seconds), (Some(2), 600.0 + 5.0 * HOUR));
        // Three shards of two windows: one has none, and the others take as long as two would.
        assert_eq!(of(2, Some("1/1"), Some(3)).seconds, 600.0 + 5.0 * HOUR);
        assert_eq!(of(5, Some("1/1"), Some(4)).seconds, 600.0 + 4.0 * HOUR);
        assert_eq!(of(0, Some("1/1"), None).shards, Some(1));
    }
}
