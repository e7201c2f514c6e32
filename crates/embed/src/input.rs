//! From an input file and options to a source of windows.

use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};

use longstrand_seq::bed::read_bed;
use longstrand_seq::input::{Compression, Input, InputKind};
use longstrand_seq::reads::{ReadFile, ReadFilter, ReadTotals};
use longstrand_seq::window::{
    GenomeWindows, Partial, Shard, StreamWindows, Targets, WindowOptions, WindowPlan, WindowSize, WindowSource,
};
use longstrand_seq::{Contigs, FastaStream, Genome, GenomeOptions, Interval, region};

mod selection;

pub(crate) use selection::Selection;

use crate::error::{EmbedError, UsageError};

/// What is embedded. What is absent was not asked for.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// FASTA, 2bit, BAM or CRAM; `-` is standard input.
    pub path: PathBuf,
    /// Region strings, 1-based and closed.
    pub regions: Vec<String>,
    /// BED files.
    pub beds: Vec<PathBuf>,
    /// Length of a window.
    pub window: Option<WindowSize>,
    /// Bases from one window's start to the next one's.
    pub stride: Option<NonZeroU64>,
    /// What becomes of a last, shorter window.
    pub partial: Option<Partial>,
    /// Windows and reads of which a larger fraction is none of A, C, G, T are left out; 0 to 1.
    pub max_ambiguous: f64,
    /// FASTA records named `contig:start-end` stand for that interval.
    pub sliced_reference: bool,
    /// Which reads of BAM or CRAM.
    pub reads: ReadOptions,
    /// Which part of the windows.
    pub shard: Shard,
}

/// Which reads are wanted. What is absent was not asked for.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The genome that a CRAM file is stored against.
    pub reference: Option<PathBuf>,
    /// The lowest mapping quality.
    pub min_mapping_quality: Option<u8>,
    /// Flags of which a read must have all.
    pub required_flags: Option<u16>,
    /// Flags of which a read must have none, in place of those of secondary and supplementary alignments.
    pub excluded_flags: Option<u16>,
    /// No secondary and supplementary alignments, whatever flags are excluded.
    pub primary_only: bool,
}

impl InputOptions {
    /// All of a file, in windows of 1,024 bases or as reads.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            regions: Vec::new(),
            beds: Vec::new(),
            window: None,
            stride: None,
            partial: None,
            max_ambiguous: 1.0,
            sliced_reference: false,
            reads: ReadOptions::default(),
            shard: Shard::WHOLE,
        }
    }

    /// The files that are read, in the order in which they are told.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let files =
            [Some(&self.path)].into_iter().chain(self.beds.iter().map(Some)).chain([self.reads.reference.as_ref()]);
        files.flatten().map(PathBuf::as_path)
    }

    pub(crate) fn is_sharded(&self) -> bool {
        self.shard.count() > 1
    }

    /// Whether each region is one window because nothing was said about windows.
    pub(crate) fn takes_regions_whole(&self) -> bool {
        !self.regions.is_empty() && self.window.is_none() && self.stride.is_none()
    }

    fn has_intervals(&self) -> bool {
        !self.regions.is_empty() || !self.beds.is_empty()
    }
}

/// An opened input.
pub(crate) struct Source {
    pub(crate) windows: WindowSource,
    pub(crate) kind: InputKind,
    pub(crate) selection: Selection,
    /// What is known beforehand.
    pub(crate) planned: Option<Planned>,
    pub(crate) notice: Option<String>,
}

/// Windows of a run or of its shard, known before they are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Planned {
    /// Windows, those that will be left out included.
    pub windows: u64,
    /// Their bases.
    pub bases: u64,
    /// Bases of the longest one, padding excluded.
    pub longest: u64,
}

/// Opens the input and lays the windows.
pub(crate) fn open(options: &InputOptions) -> Result<Source, EmbedError> {
    if !options.regions.is_empty() && !options.beds.is_empty() {
        return usage("--region and --bed exclude each other");
    }
    check_stdin(options)?;
    let input = Input::open(&options.path)?;
    match input.kind().is_reads() {
        true => open_reads(input, options),
        false => open_genome(input, options),
    }
}

fn usage<T>(message: impl Into<String>) -> Result<T, EmbedError> {
    Err(UsageError::new(message).into())
}

fn check_stdin(options: &InputOptions) -> Result<(), EmbedError> {
    let on_stdin = options.files().filter(|path| path.as_os_str() == "-").count();
    match on_stdin {
        0 | 1 => Ok(()),
        n => usage(format!("expected at most one input from standard input (-), found {n}")),
    }
}

fn open_genome(input: Input, options: &InputOptions) -> Result<Source, EmbedError> {
    let kind = input.kind();
    if let Some(flag) = options.reads.flag() {
        return usage(format!("{flag} goes with reads (BAM, CRAM): {} is {kind}", options.path.display()));
    }
    if streams(&input, options) {
        return stream_genome(input, options);
    }
    let genome = Genome::from_input(input, &GenomeOptions { sliced_reference: options.sliced_reference })?;
    let targets = targets(options, genome.contigs())?;
    let window_options = window_options(options, &targets);
    let selection = Selection::of_windows(&window_options, &targets, genome.contigs());
    let plan = WindowPlan::new(genome.contigs(), &targets, &window_options)?;
    refuse_empty(options, &plan)?;
    let ordinals = plan.shard(options.shard);
    let planned = Planned {
        windows: ordinals.end - ordinals.start,
        bases: plan.offset(ordinals.end) - plan.offset(ordinals.start),
        longest: longest(&plan, ordinals, window_options.size),
    };
    let notice = genome.notice();
    let windows = WindowSource::Genome(GenomeWindows::new(genome, plan, options.shard, options.max_ambiguous));
    Ok(Source { windows, kind, selection, planned: Some(planned), notice })
}

/// Bases of the longest of some windows. No window is longer than its size, so that the first one that is as long ends the
/// search; where the size is not a number there are as many windows as contigs, regions or intervals.
fn longest(plan: &WindowPlan, ordinals: Range<u64>, size: WindowSize) -> u64 {
    let most = match size {
        WindowSize::Bases(bases) => bases.get(),
        WindowSize::Contig | WindowSize::Interval => u64::MAX,
    };
    let mut longest = 0;
    for window in ordinals.map_while(|index| plan.get(index)) {
        longest = longest.max(window.end - window.start);
        if longest >= most {
            break;
        }
    }
    longest
}

/// Whether a file is read from end to end: where that is all that can be done, and all that is needed.
fn streams(input: &Input, options: &InputOptions) -> bool {
    let only_forward = input.is_stream() || input.kind() == InputKind::Fasta(Compression::Gzip);
    let as_a_whole = !options.has_intervals() && !options.is_sharded() && !options.sliced_reference;
    matches!(input.kind(), InputKind::Fasta(_)) && only_forward && as_a_whole
}

fn stream_genome(input: Input, options: &InputOptions) -> Result<Source, EmbedError> {
    let kind = input.kind();
    let window_options = window_options(options, &Targets::Contigs);
    let selection = Selection::of_stream(&window_options);
    let stream = FastaStream::from_input(input)?;
    let windows = WindowSource::Stream(StreamWindows::new(stream, window_options)?);
    Ok(Source { windows, kind, selection, planned: None, notice: None })
}

fn window_options(options: &InputOptions, targets: &Targets) -> WindowOptions {
    WindowOptions {
        partial: options.partial.unwrap_or_default(),
        max_ambiguous: options.max_ambiguous,
        ..WindowOptions::with_defaults(options.window, options.stride, targets)
    }
}

fn targets(options: &InputOptions, contigs: &Contigs) -> Result<Targets, EmbedError> {
    if !options.beds.is_empty() {
        let mut records = Vec::new();
        for bed in &options.beds {
            records.extend(read_bed(bed, contigs)?);
        }
        return Ok(Targets::Bed(records));
    }
    if options.regions.is_empty() {
        return Ok(Targets::Contigs);
    }
    Ok(Targets::Regions(regions(options, contigs)?))
}

fn regions(options: &InputOptions, contigs: &Contigs) -> Result<Vec<Interval>, EmbedError> {
    options.regions.iter().map(|text| Ok(region::parse(text, contigs)?)).collect()
}

fn refuse_empty(options: &InputOptions, plan: &WindowPlan) -> Result<(), EmbedError> {
    if plan.n_windows() > 0 {
        return Ok(());
    }
    let left_out = match plan.n_dropped_partial(Shard::WHOLE) {
        0 if !options.beds.is_empty() => "; the BED has no interval".into(),
        0 => String::new(),
        n => format!("; {n} shorter than the window were dropped"),
    };
    Err(EmbedError::NoWindows { path: options.path.clone(), left_out })
}

fn open_reads(input: Input, options: &InputOptions) -> Result<Source, EmbedError> {
    let kind = input.kind();
    check_reads(kind, options)?;
    if options.is_sharded() && input.is_stream() {
        return usage("--shard counts the reads first: expected a file, found a pipe");
    }
    let file = ReadFile::new(input, reference(options)?)?;
    let regions = regions(options, file.contigs())?;
    let filter = filter(options, &regions, file.contigs())?;
    let selection = Selection::of_reads(&filter, &regions, file.contigs());
    let totals = match options.is_sharded() {
        false => None,
        true => Some(count_reads(options, filter.clone())?),
    };
    let windows = file.windows(filter)?.with_shard(options.shard, totals.unwrap_or_default());
    Ok(Source { windows: WindowSource::Reads(windows), kind, selection, planned: None, notice: None })
}

fn check_reads(kind: InputKind, options: &InputOptions) -> Result<(), EmbedError> {
    let windows = [
        (options.window.is_some(), "--window"),
        (options.stride.is_some(), "--stride"),
        (options.partial.is_some(), "--last"),
    ];
    if let Some((_, flag)) = windows.iter().find(|(given, _)| *given) {
        return usage(format!("{flag}: a read is one window, and {} is {kind}", options.path.display()));
    }
    let for_cram = [
        (options.reads.reference.is_some(), "--reference goes with CRAM"),
        (options.sliced_reference, "--sliced-reference goes with a genome or with CRAM"),
    ];
    match for_cram.iter().find(|(given, _)| *given && kind != InputKind::Cram) {
        Some((_, rule)) => usage(format!("{rule}: {} is {kind}", options.path.display())),
        None => Ok(()),
    }
}

fn reference(options: &InputOptions) -> Result<Option<Genome>, EmbedError> {
    let Some(path) = &options.reads.reference else { return Ok(None) };
    let genome_options = GenomeOptions { sliced_reference: options.sliced_reference };
    Ok(Some(Genome::open(path, &genome_options)?))
}

fn filter(options: &InputOptions, regions: &[Interval], contigs: &Contigs) -> Result<ReadFilter, EmbedError> {
    let default = ReadFilter::default();
    let mut intervals = regions.to_vec();
    for bed in &options.beds {
        intervals.extend(read_bed(bed, contigs)?.into_iter().map(|record| record.interval));
    }
    let filter = ReadFilter {
        intervals: options.has_intervals().then_some(intervals),
        required_flags: options.reads.required_flags.unwrap_or(default.required_flags),
        excluded_flags: options.reads.excluded_flags.unwrap_or(default.excluded_flags),
        min_mapping_quality: options.reads.min_mapping_quality.unwrap_or(default.min_mapping_quality),
        max_ambiguous: options.max_ambiguous,
    };
    Ok(if options.reads.primary_only { filter.primary_only() } else { filter })
}

fn count_reads(options: &InputOptions, filter: ReadFilter) -> Result<ReadTotals, EmbedError> {
    let file = ReadFile::new(Input::open(&options.path)?, reference(options)?)?;
    Ok(file.windows(filter)?.totals()?)
}

impl ReadOptions {
    /// A flag that was given.
    fn flag(&self) -> Option<&'static str> {
        let given = [
            (self.reference.is_some(), "--reference"),
            (self.min_mapping_quality.is_some(), "--min-mapq"),
            (self.required_flags.is_some(), "--require-flags"),
            (self.excluded_flags.is_some(), "--exclude-flags"),
            (self.primary_only, "--primary-only"),
        ];
        given.iter().find(|(given, _)| *given).map(|(_, flag)| *flag)
    }
}
