//! What a run is going to take.

use std::time::Instant;

use longstrand_model::estimate::{self, Estimate, Memory, Pace, Time};
use longstrand_seq::digest;
use longstrand_seq::input::is_stream;
use longstrand_seq::window::Window;

use crate::error::{EmbedError, UsageError};
use crate::input::Planned;
use crate::plan::Plan;
use crate::run::{self, ROW_BYTES, Trial, lanes};

/// Bases of the longest window that the pace is taken of, unless two chunks are longer.
const LONGEST_TRIAL: u64 = 1 << 17;

/// What there is to do, and how long it took to find out.
struct Found {
    planned: Planned,
    first: Window,
    /// Seconds that all of the input took to read, where that was done.
    reading: f64,
}

impl Plan {
    /// What the run is going to take, at a rate in tokens a second or, without one, at the pace that some of the input's bases
    /// go through the model now. Where the input does not tell its windows beforehand, it is read.
    ///
    /// # Errors
    ///
    /// - an input is a pipe, which can be read once;
    /// - an input cannot be read, or has no window;
    /// - a device fails, or there are no threads.
    pub fn estimate(mut self, rate: Option<f64>) -> Result<Estimate, EmbedError> {
        if let Some(pipe) = self.job.input.files().find(|path| is_stream(path)) {
            let message = format!("{}: what a pipe holds is not known beforehand: expected a file", pipe.display());
            return Err(UsageError::new(message).into());
        }
        let memory = Memory::now();
        let Found { planned, first, reading } = self.find()?;
        self.source.planned = Some(planned);
        let bases = self.padded().unwrap_or_else(|| planned.bases.div_ceil(planned.windows));
        let passes = self.embedder().passes();
        let tokens = planned.windows * self.embedder().tokens(bases as usize) as u64 * passes;
        let rows = self.rows().unwrap_or_default();
        let longest = self.longest_window().unwrap_or(bases);
        let memory = memory.map(|memory| memory.and(&run::parts(&self, longest)));
        let pace = if rate.is_some() { None } else { Some(self.pace(planned.windows, bases, first)?) };
        let computing = tokens as f64 / rate.or(pace.as_ref().map(Pace::rate)).unwrap_or(f64::NAN);
        let files: Vec<_> = self.job.input.files().collect();
        let fixed =
            digest::seconds(&files).map_err(|error| EmbedError::Digest { path: error.path, source: error.source })?;
        Ok(Estimate {
            work: vec![("windows", planned.windows), ("bases", planned.bases), ("tokens", tokens), ("rows", rows)],
            pieces: planned.windows,
            memory,
            disk: rows.saturating_mul(self.vector_bytes() + ROW_BYTES),
            // Windows are read while others are computed.
            time: Time { fixed, divided: computing.max(reading) },
            pace,
        })
    }

    /// The windows of the input, and the first of them.
    fn find(&mut self) -> Result<Found, EmbedError> {
        let began = Instant::now();
        let no_window = |path| EmbedError::NoWindows { path, left_out: String::new() };
        let first = self.source.windows.next().ok_or_else(|| no_window(self.job.input.path.clone()))??;
        if let Some(planned) = self.source.planned {
            return Ok(Found { planned, first, reading: 0.0 });
        }
        let bases = |window: &Window| window.bases.len() as u64 - window.n_padded;
        let of_first = Planned { windows: 1, bases: bases(&first), longest: bases(&first) };
        let planned = self.source.windows.by_ref().try_fold(of_first, |sum, window| {
            let bases = bases(&window?);
            let Planned { windows, bases: all, longest } = sum;
            Ok::<_, EmbedError>(Planned { windows: windows + 1, bases: all + bases, longest: longest.max(bases) })
        })?;
        Ok(Found { planned, first, reading: began.elapsed().as_secs_f64() })
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
