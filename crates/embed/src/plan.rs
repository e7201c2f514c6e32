//! A job, checked and ready to run.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Processor, Watch};
use longstrand_seq::input::InputKind;
use longstrand_seq::window::{Partial, WindowOptions, WindowSize};
use longstrand_table::{
    Destination, EmbeddingLayout, EmbeddingWriter, Flaws, Metadata, Opened, Precision, WriteOptions, Written,
};

use crate::embedder::Embedder;
use crate::error::{EmbedError, UsageError};
use crate::input::{self, InputOptions, Planned, Source};
use crate::options::{ComputeOptions, EmbedOptions};
use crate::provenance;
use crate::run::{self, Counts, Run, batch_tokens};
use crate::warning::Warning;

/// What to embed, how, and where to.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is embedded.
    pub input: InputOptions,
    /// What is computed of each window.
    pub embed: EmbedOptions,
    /// How the work is done.
    pub compute: ComputeOptions,
    /// Where rows go.
    pub output: OutputOptions,
}

/// Where rows go.
#[derive(Clone, Debug)]
pub struct OutputOptions {
    /// The file or folder.
    pub destination: Destination,
    /// Bits of a number.
    pub precision: Precision,
    /// Whether there is a column `n_soft_masked`.
    pub soft_masked: bool,
    /// Row groups, and what to do about an output that exists.
    pub write: WriteOptions,
}

impl Job {
    /// All of an input with every choice left at its default.
    pub fn new(input: InputOptions, output: impl Into<PathBuf>) -> Self {
        Self {
            input,
            embed: EmbedOptions::default(),
            compute: ComputeOptions::default(),
            output: OutputOptions {
                destination: Destination::from_path(output.into()),
                precision: Precision::F32,
                soft_masked: false,
                write: WriteOptions::default(),
            },
        }
    }
}

/// A job whose input is open and whose options fit together.
pub struct Plan {
    pub(crate) job: Job,
    embedder: Embedder,
    pub(crate) source: Source,
    threads: NonZeroUsize,
    trained_context: Option<u64>,
    /// What the footer says of the model and of what computes it.
    model: Metadata,
}

/// What a run has done.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The output.
    pub written: Written,
    /// What it holds and what was left out; `None` if an earlier run had finished it already.
    pub counts: Option<Counts>,
    /// Bases computed by this run.
    pub bases_computed: u64,
}

impl Plan {
    /// Opens the input, lays the windows and makes the model ready.
    ///
    /// # Errors
    ///
    /// - options that do not go together, with this input, or with this model;
    /// - an output that is one of the inputs;
    /// - an input, BED or reference that cannot be read, a region or interval that the input does not have;
    /// - no window;
    /// - a device has no room for the weights, or cannot compute.
    pub fn new(job: Job, checkpoint: &Checkpoint, processor: impl Into<Processor>) -> Result<Self, EmbedError> {
        let processor = processor.into();
        check_output(&job)?;
        let embedder = Embedder::new(checkpoint, processor.clone(), job.embed.clone(), job.compute.chunk)?;
        let source = input::open(&job.input)?;
        if source.kind.is_reads() && job.output.soft_masked {
            return Err(UsageError::new("--soft-mask: reads have no soft mask").into());
        }
        let of_pool = || NonZeroUsize::new(rayon::current_num_threads()).unwrap_or(NonZeroUsize::MIN);
        let plan = Self {
            threads: job.compute.threads.unwrap_or_else(of_pool),
            embedder,
            source,
            trained_context: checkpoint.config.trained_context,
            model: checkpoint.provenance(&processor),
            job,
        };
        plan.check_padding()?;
        Ok(plan)
    }

    /// What the input was found to be.
    pub fn kind(&self) -> InputKind {
        self.source.kind
    }

    /// Windows and bases, where they are known before the input is read.
    pub fn planned(&self) -> Option<Planned> {
        self.source.planned
    }

    /// Numbers in a vector.
    pub fn width(&self) -> NonZeroUsize {
        self.embedder.width()
    }

    /// Threads that compute.
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Tokens of short windows that are worked on together.
    pub fn batch_tokens(&self) -> usize {
        self.job.compute.batch_tokens.map_or_else(|| batch_tokens(self, &self.job), NonZeroUsize::get)
    }

    /// About how many bytes of memory the run takes, the program and the model's weights aside; `None` where the length
    /// of the windows is not known beforehand.
    pub fn memory_estimate(&self) -> Option<u64> {
        self.longest_window().map(|n_bases| run::estimate(self, n_bases))
    }

    /// Bases of the longest window, padding included; where that is not known beforehand, of the one that was asked for.
    pub(crate) fn longest_window(&self) -> Option<u64> {
        let planned = self.source.planned.map(|planned| planned.longest);
        self.padded().or(planned).or(self.asked_window())
    }

    /// Bases of a window on average; `None` where that is not known beforehand.
    pub(crate) fn mean_window(&self) -> Option<u64> {
        let planned = self.source.planned.map(|planned| (planned.bases / planned.windows.max(1)).max(1));
        planned.or(self.asked_window())
    }

    /// Bytes of the vectors in a row group.
    pub(crate) fn group_bytes(&self) -> u64 {
        let layout = self.layout();
        let group = layout.group_bytes(self.job.output.write.rows_per_group.unwrap_or_else(|| layout.rows_per_group()));
        self.rows().map_or(group, |rows| group.min(rows.saturating_mul(self.vector_bytes())))
    }

    /// Bytes of a vector in the table.
    pub(crate) fn vector_bytes(&self) -> u64 {
        self.layout().group_bytes(NonZeroUsize::MIN)
    }

    /// Rows of all windows, where these are known, as if they were all of the same length.
    pub(crate) fn rows(&self) -> Option<u64> {
        let of_window = |planned: Planned| self.embedder.rows(planned.bases.div_ceil(planned.windows.max(1)));
        self.source.planned.map(|planned| planned.windows.saturating_mul(of_window(planned)))
    }

    /// Bases of most windows, from the options alone.
    fn asked_window(&self) -> Option<u64> {
        match self.job.input.window {
            Some(WindowSize::Bases(bases)) => Some(bases.get()),
            None if !self.source.kind.is_reads() => Some(WindowOptions::DEFAULT_SIZE.get()),
            _ => None,
        }
    }

    /// Bases of a window, where all of them have as many because the last ones are padded.
    pub(crate) fn padded(&self) -> Option<u64> {
        match (self.job.input.window, self.job.input.partial) {
            (Some(WindowSize::Bases(size)), Some(Partial::Pad)) => Some(size.get()),
            _ => None,
        }
    }

    /// Padding is memory that no input bounds.
    fn check_padding(&self) -> Result<(), UsageError> {
        let (Some(size), Some(available)) = (self.padded(), self.job.compute.available_memory) else { return Ok(()) };
        let needed = run::estimate(self, size);
        if !self.embedder.is_filled_by(self.embedder.tokens(size as usize)) || needed <= available {
            return Ok(());
        }
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        Err(UsageError::new(format!(
            "--last pad: a window of {size} bases takes about {:.1} GiB of memory, and {:.1} are available",
            gib(needed),
            gib(available)
        )))
    }

    /// The model, made ready.
    pub fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    /// Embeds, and writes the output.
    ///
    /// # Errors
    ///
    /// - a file cannot be read;
    /// - the output exists, belongs to another run, or cannot be written;
    /// - every window was left out (unless this is one shard of several);
    /// - the watch stopped the run. What is whole stays, to be resumed.
    pub fn run(self, watch: &dyn Watch) -> Result<Outcome, EmbedError> {
        let layout = self.layout();
        let identity =
            provenance::identity(&self.job, &self.model, &self.source.selection, self.embedder.equivariant(), watch)?;
        let output = &self.job.output;
        let opened = EmbeddingWriter::open(&output.destination, layout, &output.write, identity)
            .map_err(|error| provenance::narrowed(error, &output.destination, self.job.input.shard))?;
        let writer = match opened {
            Opened::Writing(writer) => writer,
            Opened::Complete(written) => return Ok(Outcome { written, counts: None, bases_computed: 0 }),
        };
        if let Some(notice) = &self.source.notice {
            watch.note(notice);
        }
        let batch_tokens = self.batch_tokens();
        let run = Run {
            embedder: &self.embedder,
            layout,
            is_reads: self.source.kind.is_reads(),
            trained_context: self.trained_context,
            longest: self.source.planned.map(|planned| planned.longest),
            takes_regions_whole: self.job.input.takes_regions_whole() && !self.source.kind.is_reads(),
            threads: self.threads,
            batch_tokens,
            watch,
        };
        let finished = run.run(self.source.windows, writer)?;
        self.job.input.check_counts(&finished.counts, watch)?;
        tell(&finished.flaws, watch);
        let written = finished.writer.finish(provenance::end(&finished.counts))?;
        Ok(Outcome { written, counts: Some(finished.counts), bases_computed: finished.bases_computed })
    }

    pub(crate) fn layout(&self) -> EmbeddingLayout {
        let output = &self.job.output;
        EmbeddingLayout {
            width: self.width(),
            precision: output.precision,
            soft_masked: output.soft_masked,
            binned: self.job.embed.pool.divides(),
        }
    }
}

fn tell(flaws: &Flaws, watch: &dyn Watch) {
    if let Some(window) = &flaws.first_not_finite {
        watch.warn(&Warning::NotFinite { vectors: flaws.not_finite, window: window.clone() }.to_string());
    }
    if flaws.f16_overflows > 0 {
        watch.warn(&Warning::F16Overflow { values: flaws.f16_overflows }.to_string());
    }
}

/// `--force` is not to replace what is being read.
fn check_output(job: &Job) -> Result<(), UsageError> {
    let output = job.output.destination.path();
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    let is_output = |input: &Path| input.canonicalize().is_ok_and(|input| input == place);
    match job.input.files().any(is_output) {
        true => Err(UsageError::new(format!("the output {} is one of the inputs", output.display()))),
        false => Ok(()),
    }
}

impl InputOptions {
    /// An error if no window is left; one shard of several may be empty.
    fn check_counts(&self, counts: &Counts, watch: &dyn Watch) -> Result<(), EmbedError> {
        if counts.windows() > 0 {
            return Ok(());
        }
        if self.is_sharded() {
            watch.warn(&Warning::EmptyShard.to_string());
            return Ok(());
        }
        Err(EmbedError::NoWindows { path: self.path.clone(), left_out: counts.left_out() })
    }
}
