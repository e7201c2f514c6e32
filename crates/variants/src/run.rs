//! A file of variants to annotated variants and tables.

mod counts;
mod groups;
mod sinks;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Processor, Watch};
use longstrand_seq::input::is_stream;
use longstrand_seq::variant::{VariantFormat, VariantOutput, VariantReader, survey};
use longstrand_seq::window::Shard;
use longstrand_seq::{Genome, GenomeOptions};
use longstrand_table::{Destination, Existing};
use serde_json::json;

pub use counts::{Counts, ScoreCounts};
pub(crate) use groups::{Group, Groups};
use sinks::Sinks;

use crate::annotate;
use crate::error::ScoreError;
use crate::journal::Journal;
use crate::options::ScoreOptions;
use crate::prefix::Prefix;
use crate::provenance::{self, Identity};
use crate::scorer::Scorer;
use crate::share::Share;
use crate::targets::{Opened, Run, Target, Targets};
use crate::warning;

/// What to score, how, and where to.
#[derive(Clone, Debug)]
pub struct Job {
    /// VCF or BCF; `-` for standard input.
    pub variants: PathBuf,
    /// Regions (1-based, closed) whose records alone are taken; empty for all.
    pub regions: Vec<String>,
    /// The genome that the variants are told against.
    pub reference: PathBuf,
    /// How the genome is understood.
    pub genome: GenomeOptions,
    /// What is computed.
    pub options: ScoreOptions,
    /// Which of several equal parts of the records, by their number.
    pub shard: Shard,
    /// Where scores go.
    pub outputs: Outputs,
    /// What to do about outputs that exist.
    pub existing: Existing,
    /// Threads that compute.
    pub threads: NonZeroUsize,
    /// Bytes of memory that may be taken, where that is known: windows that need more are refused.
    pub available_memory: Option<u64>,
    /// What the keys of INFO fields begin with.
    pub prefix: Prefix,
    /// The command line, for the header.
    pub command: String,
}

/// Where scores go; at least one is to be named.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// The records with their scores.
    pub variants: Option<(VariantOutput, VariantFormat)>,
    /// A row for each allele, Parquet.
    pub parquet: Option<Destination>,
    /// A row for each allele, text; `-` for standard output.
    pub tsv: Option<PathBuf>,
}

impl Job {
    /// Whether an input can be read only once, so that nothing tells whether it is the same the next time.
    fn reads_stream(&self) -> bool {
        is_stream(&self.variants) || is_stream(&self.reference)
    }
}

impl Outputs {
    /// The outputs that are files or folders. The journal lies beside the first.
    fn targets(&self) -> Targets<'_> {
        let variants = match &self.variants {
            Some((VariantOutput::File(path), _)) => Some(Target::Variants(path)),
            _ => None,
        };
        let tsv = self.tsv.as_deref().filter(|path| path.as_os_str() != "-");
        let targets = [variants, self.parquet.as_ref().map(Target::Table), tsv.map(Target::Text)];
        Targets(targets.into_iter().flatten().collect())
    }

    /// Whether something goes to the standard output.
    fn has_stream(&self) -> bool {
        let to_stdout = matches!(self.variants, Some((VariantOutput::Stdout, _)));
        to_stdout || self.tsv.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Whether a run that was stopped has left a journal to go on with.
    pub fn is_resumable(&self) -> bool {
        self.targets().is_resumable()
    }

    /// Removes what this process leaves under temporary names if it is stopped; its journal stays.
    pub fn remove_temporaries(&self) {
        if let Some((output, _)) = &self.variants {
            output.remove_temporaries();
        }
        if let Some(destination) = &self.parquet {
            destination.remove_temporaries();
        }
        if let Some(path) = self.tsv.as_deref().filter(|path| path.as_os_str() != "-") {
            longstrand_table::remove_temporaries(path);
        }
    }
}

/// A job whose inputs are open and whose options fit together.
pub struct Plan {
    pub(crate) job: Job,
    pub(crate) scorer: Scorer,
    pub(crate) reader: VariantReader,
    notice: Option<String>,
}

/// What a run has done.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the outputs hold; none if an earlier run had finished them already.
    pub counts: Option<Counts>,
}

impl Plan {
    /// Opens the variants and the genome, and makes the model ready.
    ///
    /// # Errors
    ///
    /// - options that do not go together or with the model, or no output;
    /// - an output that is one of the inputs or a file of the model, that cannot lie where it is to, or that exists and is neither to be replaced nor resumed;
    /// - an input that cannot be read;
    /// - a device has no room for the weights, or cannot compute.
    pub fn new(job: Job, checkpoint: &Checkpoint, processor: impl Into<Processor>) -> Result<Self, ScoreError> {
        check(&job, checkpoint)?;
        job.outputs.targets().check_standing(job.existing)?;
        let genome = Genome::open(&job.reference, &job.genome)?;
        let notice = genome.notice();
        let reader = VariantReader::open(&job.variants, &job.regions)?;
        if let Some(key) = foreign_key(&reader, &job) {
            return Err(ScoreError::ForeignInfo { path: job.variants, key });
        }
        let (options, available) = (job.options.clone(), job.available_memory);
        let scorer = Scorer::new(checkpoint, &processor.into(), genome, options, job.threads, available)?;
        Ok(Self { job, scorer, reader, notice })
    }

    /// The options, with the scores that are computed.
    pub fn options(&self) -> &ScoreOptions {
        self.scorer.options()
    }

    /// The names of the columns of scores.
    pub fn columns(&self) -> Vec<&'static str> {
        self.scorer.columns().map(|column| column.name).collect()
    }

    /// Scores every record and writes the outputs.
    ///
    /// # Errors
    ///
    /// - a file cannot be read, or a record is malformed;
    /// - a REF is not what the reference has, unless the options say otherwise;
    /// - an output exists or cannot be written;
    /// - the watch stopped the run. What has been computed stays in the journal, to be resumed.
    pub fn run(mut self, watch: &dyn Watch) -> Result<Outcome, ScoreError> {
        let identity = self.identity(watch)?;
        let Opened::Writing(mut journal) = self.journal(&identity)? else { return Ok(Outcome { counts: None }) };
        if let Some(notice) = &self.notice {
            watch.note(notice);
        }
        warning::of_context(self.options().context.get(), self.scorer.model().trained_context, watch);
        warning::of_stale_index(&self.reader, watch);
        let counts = match self.score(&identity, &mut journal, watch) {
            Ok(counts) => counts,
            Err(error) => {
                // What ended the run is what the user is to know.
                let _ = journal.close();
                return Err(error);
            }
        };
        journal.remove()?;
        warning::of_not_finite(counts.not_finite, watch);
        Ok(Outcome { counts: Some(counts) })
    }

    fn score(&mut self, identity: &Identity, journal: &mut Journal, watch: &dyn Watch) -> Result<Counts, ScoreError> {
        let Self { job, scorer, reader, .. } = self;
        let survey = match is_stream(&job.variants) {
            true => None,
            false => {
                let survey = survey(&job.variants, &job.regions, &mut |_| watch.flow())?;
                Some(survey.ok_or(ScoreError::Cancelled)?)
            }
        };
        let all = survey.as_ref().map(|survey| survey.records);
        let shard = (job.shard != Shard::WHOLE).then_some(job.shard).zip(all);
        let own = shard.map_or(all, |(shard, all)| Some(shard.size(all)));
        watch.counted(0, own);
        let mut groups = Groups::new(reader, &job.variants, shard, job.prefix.keys());
        let mut group = groups.next(scorer)?;
        let undeclared = survey.map_or_else(|| group.undeclared(groups.header()), |survey| survey.undeclared);
        let mut sinks = Sinks::open(job, scorer, groups.header(), &undeclared, identity)?;
        let mut counts = Counts::new(&scorer.options().scores);
        for number in 0.. {
            if group.records.is_empty() {
                break;
            }
            sinks.check(&group.records)?;
            journal.turn(number)?;
            let share = Share::new(watch, counts.records, group.records.len() as u64, own);
            let scored = scorer.score(&group.alleles, journal, &share)?;
            let mut scored = scored.as_slice();
            for record in &group.records {
                let (of_record, rest) = scored.split_at(record.alternates().count());
                scored = rest;
                counts.add(of_record);
                sinks.write(record, of_record)?;
            }
            watch.counted(counts.records, own);
            group = groups.next(scorer)?;
        }
        sinks.finish(&counts, watch)?;
        Ok(counts)
    }

    fn identity(&self, watch: &dyn Watch) -> Result<Identity, ScoreError> {
        let job = &self.job;
        let mut options = provenance::options(self.scorer.options());
        options["regions"] = json!(job.regions);
        options["sliced_reference"] = json!(job.genome.sliced_reference);
        options["prefix"] = json!(job.prefix.to_string());
        options["shard"] = json!(job.shard.to_string());
        Identity::new("score", self.scorer.model(), &[&job.variants, &job.reference], options, watch)
    }

    /// The journal to go on with, unless an earlier run has written the outputs.
    fn journal(&self, identity: &Identity) -> Result<Opened<Journal>, ScoreError> {
        let job = &self.job;
        let run = Run {
            identity,
            layout: &self.scorer.layout(),
            prefix: &job.prefix,
            has_stream: job.outputs.has_stream(),
            is_repeatable: !job.reads_stream(),
        };
        job.outputs.targets().open(job.existing, &run)
    }
}

/// The INFO key of another source whose values the output would lack.
fn foreign_key(reader: &VariantReader, job: &Job) -> Option<String> {
    job.outputs.variants.as_ref().and_then(|_| annotate::foreign_key(reader.header(), &job.prefix))
}

fn check(job: &Job, checkpoint: &Checkpoint) -> Result<(), ScoreError> {
    let usage = |message: String| Err(ScoreError::Usage(message));
    let outputs = &job.outputs;
    if outputs.variants.is_none() && outputs.parquet.is_none() && outputs.tsv.is_none() {
        return usage("expected an output: -o FILE for VCF or BCF, --parquet FILE or --tsv FILE".into());
    }
    let to_stdout = matches!(outputs.variants, Some((VariantOutput::Stdout, _)));
    if to_stdout && outputs.tsv.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        return usage("only one output can go to the standard output".into());
    }
    if job.shard != Shard::WHOLE && is_stream(&job.variants) {
        return usage("--shard needs a file of variants: the records of a stream cannot be counted".into());
    }
    if job.existing == Existing::Resume && job.reads_stream() {
        return usage("--resume needs files: what a stream held the last time is not known".into());
    }
    outputs.targets().check(&[&*job.variants, &*job.reference], &checkpoint.files)
}
