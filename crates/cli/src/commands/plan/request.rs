//! What to ask a scheduler for.

use std::num::NonZeroU64;

use longstrand_seq::window::Shard;

use super::shown::duration;
use super::{RequestArgs, Run};
use crate::failure::Usage;

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

/// Into how many shards to cut the whole of which a run is a part; none where it cannot be divided.
///
/// # Errors
///
/// - What every shard does takes longer than a shard may.
/// - A number of shards is asked for of what is one of another number.
pub(super) fn shards(run: &Run, asked: &RequestArgs) -> Result<Option<u64>, Usage> {
    let Some(of) = run.shard else { return Ok(None) };
    if let Some(shards) = asked.shards.map(NonZeroU64::get) {
        return match of == Shard::WHOLE || of.count() == shards {
            true => Ok(Some(shards)),
            false => Err(Usage(format!("--shard {of} is not of --shards {shards}: expected the same number in both"))),
        };
    }
    let (most, pieces) = (asked.hours_per_shard * HOUR, run.estimate.pieces);
    if run.estimate.time.total() <= most || pieces <= 1 {
        return Ok(Some(of.count()));
    }
    let time = run.estimate.clone().in_shard().time;
    let least = time.of_part(0.0);
    if least >= most {
        let (hours, least) = (asked.hours_per_shard, duration(least));
        return Err(Usage(format!(
            "--hours-per-shard {hours}: expected more, for each shard takes {least} before it computes or to read its input"
        )));
    }
    let fitting = (most - time.fixed) / time.divided * pieces as f64;
    Ok(Some(of.count() * pieces.div_ceil((fitting as u64).max(1))))
}

impl Request {
    /// What one of so many shards asks for, of an estimate that is in such a shard's place.
    pub(super) fn of(run: &Run, shards: Option<u64>, asked: &RequestArgs) -> Self {
        let pieces = run.estimate.pieces.max(1);
        let own = run.shard.zip(shards).map_or(pieces, |(of, shards)| (pieces * of.count()).div_ceil(shards));
        let seconds = run.estimate.time.of_part(own as f64 / pieces as f64);
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
    use std::num::NonZeroUsize;

    use longstrand_model::estimate::{Estimate, InShard, Time};

    use super::*;

    fn request(shard: Option<&str>, shards: Option<u64>) -> Request {
        of(36_000, shard, shards)
    }

    /// A run of ten minutes and ten hours, the latter for so many pieces.
    fn run(pieces: u64, shard: Option<&str>) -> Run {
        let estimate = Estimate {
            work: Vec::new(),
            pieces,
            memory: None,
            disk: 0,
            time: Time { fixed: 600.0, divided: 10.0 * HOUR, reading: 0.0 },
            pace: None,
            in_shard: None,
        };
        let shard = shard.map(|shard| shard.parse::<Shard>().unwrap());
        let (device, threads) = ("CPU".into(), NonZeroUsize::MIN);
        Run { command: "embed", device, threads, shard, opening: 0.0, estimate, is_told: false }
    }

    fn asked(hours_per_shard: f64, shards: Option<u64>) -> RequestArgs {
        RequestArgs {
            json: false,
            rate: None,
            hours_per_shard,
            shards: shards.and_then(NonZeroU64::new),
            memory_margin: 0.25,
            time_margin: 0.5,
        }
    }

    fn of(pieces: u64, shard: Option<&str>, shards: Option<u64>) -> Request {
        let (run, asked) = (run(pieces, shard), asked(1.0, shards));
        Request::of(&run, super::shards(&run, &asked).unwrap(), &asked)
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
        let other = super::shards(&run(100, Some("3/4")), &asked(1.0, Some(8))).unwrap_err();
        assert!(other.0.contains("--shard 3/4 is not of --shards 8"), "{other}");
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

    #[test]
    fn a_shard_may_take_longer_than_what_each_does() {
        let tenth = asked(0.1, None);
        let refused = shards(&run(36_000, Some("1/1")), &tenth).unwrap_err().to_string();
        assert!(refused.contains("each shard takes 10 min 0 s before it computes"), "{refused}");
        // What cannot be cut takes as long as it does, and a number of shards that is told is taken.
        assert_eq!(shards(&run(1, Some("1/1")), &tenth).unwrap(), Some(1));
        assert_eq!(shards(&run(36_000, Some("1/1")), &asked(0.1, Some(3))).unwrap(), Some(3));
    }

    #[test]
    fn what_every_shard_reads_is_not_divided() {
        let mut run = run(36_000, Some("1/1"));
        run.estimate.in_shard = Some(InShard { memory: Vec::new(), fixed: 1_200.0, reading: 1_200.0 });
        let asked = asked(1.0, None);
        let found = shards(&run, &asked).unwrap();
        assert_eq!(found, Some(20));
        run.estimate = run.estimate.in_shard();
        // Half an hour before it computes, and no shorter than it reads.
        assert_eq!(Request::of(&run, found, &asked).seconds, HOUR);
        assert_eq!(Request::of(&run, Some(1_000), &asked).seconds, 1_800.0 + 1_200.0);
    }
}
