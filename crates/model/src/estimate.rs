//! What a run is going to take, and how fast this machine is.
//!
//! Memory is that of a process that has opened its inputs and made its model ready, as it stands, and what the run is planned
//! to take beside it. Time is that of the work at the pace that was measured: a part of it is done for a second or two, by the
//! same threads in the same way.

use std::fs;
use std::time::{Duration, Instant};

/// What a run is going to take.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// How much there is to do, by what is counted. Tokens are positions that go through the model.
    pub work: Vec<(&'static str, u64)>,
    /// Into how many parts it can be cut: windows, records.
    pub pieces: u64,
    /// Bytes of this machine's memory at the run's height; none where the system does not say what a process holds.
    pub memory: Option<Memory>,
    /// Bytes of the outputs at most.
    pub disk: u64,
    /// Seconds.
    pub time: Time,
    /// How the time was found; none where the rate was given, and where there is nothing to compute.
    pub pace: Option<Pace>,
    /// What is otherwise where the run is cut into shards, if anything is.
    pub in_shard: Option<InShard>,
}

/// What is otherwise in a shard than in a run that is not cut.
#[derive(Clone, Debug, PartialEq)]
pub struct InShard {
    /// Bytes that are held beside the others, by what they are for.
    pub memory: Vec<(&'static str, u64)>,
    /// Seconds more until there is something to compute.
    pub fixed: f64,
    /// Seconds of reading, in the place of those of the whole.
    pub reading: f64,
}

/// Bytes of memory, by what they are for.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// The most that the process has held so far, all in all.
    before: u64,
    /// What is held together.
    parts: Vec<(&'static str, u64)>,
}

/// Seconds, by what they are for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    /// Until there is something to compute, and behind it: every shard takes as long.
    pub fixed: f64,
    /// What shards divide among them.
    pub divided: f64,
    /// Until all of an input is read that cannot be divided, while others compute.
    pub reading: f64,
}

/// How fast work went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Positions that went through the model.
    pub tokens: u64,
    /// Positions of a sequence.
    pub length: u64,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Estimate {
    /// That of a run which is cut into shards.
    pub fn in_shard(mut self) -> Self {
        if let Some(InShard { memory, fixed, reading }) = self.in_shard.take() {
            self.memory = self.memory.map(|all| all.and(&memory));
            self.time = Time { fixed: self.time.fixed + fixed, reading, ..self.time };
        }
        self
    }
}

impl Memory {
    /// What this process holds, and what its program will when it runs; none where the system does not say.
    pub fn now() -> Option<Self> {
        Some(Self { before: resident("VmHWM")?, parts: vec![("process", resident("VmRSS")? + UNTOUCHED)] })
    }

    /// What is going to be held beside that.
    pub fn and(mut self, parts: &[(&'static str, u64)]) -> Self {
        self.parts.extend(parts.iter().filter(|(_, bytes)| *bytes > 0));
        self
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum::<u64>().max(self.before)
    }

    /// Bytes by what they are for; `process` are those of the program, the model and the opened inputs.
    pub fn parts(&self) -> &[(&'static str, u64)] {
        &self.parts
    }
}

impl Time {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.of_part(1.0)
    }

    /// What a shard takes that has such a part of what is divided.
    pub fn of_part(&self, part: f64) -> f64 {
        self.fixed + (part * self.divided).max(self.reading)
    }
}

impl Pace {
    /// Tokens a second.
    pub fn rate(&self) -> f64 {
        self.tokens as f64 / self.seconds.max(1e-9)
    }
}

/// Seconds for so many tokens at the rate that was given, or else at the pace that was found; without either there is nothing to
/// compute.
pub fn seconds(tokens: u64, rate: Option<f64>, pace: Option<&Pace>) -> f64 {
    rate.or(pace.map(Pace::rate)).map_or(0.0, |rate| tokens as f64 / rate)
}

/// Bytes that `/proc/self/status` gives: `VmRSS` what this process holds, `VmHWM` the most it has held.
fn resident(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Bytes of a table's schema, footer and provenance, and of a header, at most.
pub const FRAME_BYTES: u64 = 64 << 10;

/// Bytes of the program that a run comes to and a plan does not, and of its threads.
const UNTOUCHED: u64 = 4 << 20;

/// How long work is to take before its time counts.
const ENOUGH: Duration = Duration::from_millis(700);

/// Times work of a size that is doubled, from `least` on, until it takes long enough; work of the size `most` is done again until
/// it does. Returns the size that was timed, all in all, and its seconds. Smaller work is done once before, which starts threads
/// and takes their memory.
///
/// # Errors
///
/// Those of `work`.
pub fn time<E>(least: u64, most: u64, mut work: impl FnMut(u64) -> Result<(), E>) -> Result<(u64, f64), E> {
    let most = most.max(1);
    let mut size = least.clamp(1, most);
    work(size.div_ceil(8))?;
    let (mut began, mut done) = (Instant::now(), 0);
    loop {
        work(size)?;
        done += size;
        let took = began.elapsed();
        if took >= ENOUGH {
            return Ok((done, took.as_secs_f64()));
        }
        if size < most {
            size = (2 * size).min(most);
            (began, done) = (Instant::now(), 0);
        }
    }
}

/// When work ends whose pace is taken by what is done until then.
pub fn deadline() -> Instant {
    Instant::now() + ENOUGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_doubled_until_it_takes_long_enough() {
        let timed = |slow_from: u64| {
            let mut sizes = Vec::new();
            let timed = time(3, 10, |size| {
                sizes.push(size);
                std::thread::sleep(if size >= slow_from { ENOUGH.mul_f64(0.6) } else { Duration::ZERO });
                Ok::<(), ()>(())
            });
            (timed.unwrap(), sizes)
        };
        let ((done, seconds), sizes) = timed(10);
        assert_eq!((done, sizes), (20, vec![1, 3, 6, 10, 10]));
        assert!(seconds >= ENOUGH.as_secs_f64());
        let slow = time(3, 10, |_| {
            std::thread::sleep(ENOUGH);
            Ok::<(), ()>(())
        });
        assert!(matches!(slow, Ok((3, _))), "{slow:?}");
        assert_eq!(time(1, 1, |_| Err(7)), Err(7));
    }

    #[test]
    fn a_shard_reads_and_holds_what_cannot_be_divided() {
        let whole = Estimate {
            work: Vec::new(),
            pieces: 10,
            memory: Some(Memory { before: 0, parts: vec![("process", 5)] }),
            disk: 0,
            time: Time { fixed: 1.0, divided: 100.0, reading: 20.0 },
            pace: None,
            in_shard: Some(InShard { memory: vec![("genome", 7)], fixed: 4.0, reading: 15.0 }),
        };
        assert_eq!((whole.time.total(), whole.time.of_part(0.1)), (101.0, 21.0));
        let shard = whole.in_shard();
        assert_eq!(shard.memory.as_ref().map(Memory::total), Some(12));
        assert_eq!((shard.time.of_part(0.5), shard.time.of_part(0.1)), (55.0, 20.0));
        assert_eq!(shard.clone().in_shard(), shard);
    }

    #[test]
    fn a_rate_that_is_given_goes_before_one_that_is_found() {
        let pace = Pace { tokens: 100, length: 10, seconds: 2.0 };
        assert_eq!(seconds(1_000, Some(10.0), Some(&pace)), 100.0);
        assert_eq!((seconds(1_000, None, Some(&pace)), seconds(0, None, None)), (20.0, 0.0));
    }

    #[test]
    fn memory_is_never_less_than_what_was_held() {
        let Some(nothing) = Memory::now() else { return };
        let more = nothing.clone().and(&[("windows", 1 << 40), ("batches", 0)]);
        assert!(nothing.total() > 1 << 20 && more.total() > 1 << 40, "{nothing:?} {more:?}");
        assert_eq!(more.parts().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["process", "windows"]);
        assert_eq!(resident("VmNothing"), None);
    }
}
