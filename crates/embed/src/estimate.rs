//! What a run is going to take.

use std::time::Instant;

use longstrand_model::estimate::{self, Estimate, InShard, Memory, Pace, Time};
use longstrand_seq::input::is_stream;
use longstrand_seq::window::{Window, WindowSource};
use longstrand_seq::{digest, packed_bytes};

use crate::error::{EmbedError, UsageError};
use crate::input::Planned;
use crate::plan::Plan;
use crate::run::{self, ROW_BYTES, Trial, lanes};

/// Bases of the longest window that the pace is taken of, unless two chunks are longer.
const LONGEST_TRIAL: u64 = 1 << 17;

/// What there is to do, and how long it took to find out.
struct Found {
    planned: Planned,
    /// The first window; none where the shard has none.
    first: Option<Window>,
    /// Seconds that all of the input took to read, where that was done.
    reading: f64,
    genome: Streamed,
}

/// A genome that is read from end to end, as it would be held where that is not enough.
#[derive(Default)]
struct Streamed {
    contig: String,
    /// Where its last window has ended.
    end: u64,
    bases: u64,
    /// Runs of lower-case bases.
    runs: u64,
}

impl Streamed {
    fn add(&mut self, window: &Window) {
        if *self.contig != *window.contig {
            (self.contig, self.end) = (window.contig.to_string(), 0);
        }
        let end = window.end.max(self.end);
        self.runs += window.soft_mask.runs_in(&(self.end.max(window.start) - window.start..end - window.start));
        self.bases += end - self.end;
        self.end = end;
    }
}

impl Plan {
    /// What the run is going to take, at a rate in tokens a second or, without one, at the pace that some of the input's bases
    /// go through the model now. Where the input does not tell its windows beforehand, it is read.
    ///
    /// # Errors
    ///
    /// - an input is a pipe, which can be read once;
    /// - an input cannot be read, or has no window, unless it is a shard that has none;
    /// - a device fails, or there are no threads.
    pub fn estimate(mut self, rate: Option<f64>) -> Result<Estimate, EmbedError> {
        if let Some(pipe) = self.job.input.files().find(|path| is_stream(path)) {
            let message = format!("{}: what a pipe holds is not known beforehand: expected a file", pipe.display());
            return Err(UsageError::new(message).into());
        }
        let memory = Memory::now();
        let Found { planned, first, reading, genome } = self.find()?;
        let in_shard = self.in_shard(reading, &genome);
        self.source.planned = Some(planned);
        let bases = self.padded().unwrap_or_else(|| planned.bases.div_ceil(planned.windows.max(1)));
        let passes = self.embedder().passes();
        let tokens = planned.windows * self.embedder().tokens(bases as usize) as u64 * passes;
        let rows = self.rows().unwrap_or_default();
        let longest = self.longest_window().unwrap_or(bases);
        let memory = memory.map(|memory| memory.and(&run::parts(&self, longest)));
        let pace = match first {
            Some(first) if rate.is_none() => Some(self.pace(planned.windows, bases, first)?),
            _ => None,
        };
        let computing = estimate::seconds(tokens, rate, pace.as_ref());
        let files: Vec<_> = self.job.input.files().collect();
        let fixed =
            digest::seconds(&files).map_err(|error| EmbedError::Digest { path: error.path, source: error.source })?;
        Ok(Estimate {
            work: vec![("windows", planned.windows), ("bases", planned.bases), ("tokens", tokens), ("rows", rows)],
            pieces: planned.windows,
            memory,
            disk: rows.saturating_mul(self.vector_bytes() + ROW_BYTES) + estimate::FRAME_BYTES,
            time: Time { fixed, divided: computing, reading },
            pace,
            in_shard,
        })
    }

    /// What is otherwise where the run is cut: a genome that cannot be sought is held whole, and reads are counted first.
    fn in_shard(&self, reading: f64, genome: &Streamed) -> Option<InShard> {
        if self.job.input.is_sharded() {
            return None;
        }
        match &self.source.windows {
            WindowSource::Genome(_) => None,
            WindowSource::Stream(_) => {
                let memory = vec![("genome", packed_bytes(genome.bases, genome.runs))];
                Some(InShard { memory, fixed: reading, reading: 0.0 })
            }
            WindowSource::Reads(_) => Some(InShard { memory: Vec::new(), fixed: reading, reading }),
        }
    }

    /// The windows of the input, and the first of them.
    fn find(&mut self) -> Result<Found, EmbedError> {
        let began = Instant::now();
        let first = self.source.windows.next().transpose()?;
        if first.is_none() && !self.job.input.is_sharded() {
            return Err(EmbedError::NoWindows { path: self.job.input.path.clone(), left_out: String::new() });
        }
        if let Some(planned) = self.source.planned {
            return Ok(Found { planned, first, reading: 0.0, genome: Streamed::default() });
        }
        let (mut planned, mut genome) = (Planned { windows: 0, bases: 0, longest: 0 }, Streamed::default());
        let mut add = |window: &Window| {
            let bases = window.bases.len() as u64 - window.n_padded;
            let Planned { windows, bases: all, longest } = planned;
            planned = Planned { windows: windows + 1, bases: all + bases, longest: longest.max(bases) };
            genome.add(window);
        };
        first.iter().for_each(&mut add);
        for window in self.source.windows.by_ref() {
            add(&window?);
        }
        Ok(Found { planned, first, reading: began.elapsed().as_secs_f64(), genome })
    }

    /// How fast windows of so many bases go.
    fn pace(&self, windows: u64, bases: u64, first: Window) -> Result<Pace, EmbedError> {
        let embedder = self.embedder();
        let mut trial = Trial::new(embedder, self.layout(), self.threads(), first);
        let tokens = |bases: u64| embedder.tokens(bases as usize) as u64 * embedder.passes();
        if embedder.is_filled_by(embedder.tokens(bases as usize)) {
            // A bidirectional model takes longer for a base where there is more than one chunk.
            let two_chunks = 2 * embedder.chunk(bases as usize) as u64;
            let most = bases.min(LONGEST_TRIAL.max(two_chunks));
            let mut length = 0;
            let (bases, seconds) = estimate::time(two_chunks, most, |bases| {
                length = bases;
                trial.compute(1, bases)
            })?;
            return Ok(Pace { tokens: tokens(bases), length, seconds });
        }
        let lanes = lanes(self, bases) as u64;
        let (windows, seconds) = estimate::time(lanes, windows, |windows| trial.compute(windows, bases))?;
        Ok(Pace { tokens: windows * tokens(bases), length: bases, seconds })
    }
}
