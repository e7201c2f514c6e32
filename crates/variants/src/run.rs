//! A file of variants to annotated variants and tables.

mod counts;
mod groups;
mod sinks;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use longstrand_kernels::simd::Level;
use longstrand_model::Watch;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::input::is_stream;
use longstrand_seq::variant::{VariantFormat, VariantOutput, VariantReader, count_records};
use longstrand_seq::window::Shard;
use longstrand_seq::{Genome, GenomeOptions};
use longstrand_table::{Destination, Existing};
use serde_json::json;

pub use counts::Counts;
use groups::Groups;
use sinks::{Opened, Sinks};

use crate::error::ScoreError;
use crate::journal::Journal;
use crate::options::ScoreOptions;
use crate::provenance::{self, Identity};
use crate::same_file::is_one_of;
use crate::scorer::Scorer;
use crate::warning::Warning;

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
    /// The outputs that are files or folders.
    fn files(&self) -> Vec<&Path> {
        let variants = match &self.variants {
            Some((VariantOutput::File(path), _)) => Some(path.as_path()),
            _ => None,
        };
        let tsv = self.tsv.as_deref().filter(|path| path.as_os_str() != "-");
        [variants, self.parquet.as_ref().map(Destination::path), tsv].into_iter().flatten().collect()
    }

    /// Whether something goes to the standard output.
    fn has_stream(&self) -> bool {
        let to_stdout = matches!(self.variants, Some((VariantOutput::Stdout, _)));
        to_stdout || self.tsv.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// The first of the files: what the journal lies beside.
    fn primary(&self) -> Option<&Path> {
        self.files().first().copied()
    }

    /// Whether a run that was stopped has left a journal to go on with.
    pub fn is_resumable(&self) -> bool {
        self.primary().is_some_and(|output| Journal::path(output).exists())
    }

    /// Removes what a run that is stopped leaves under temporary names; its journal stays.
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
    job: Job,
    level: Level,
    checkpoint_name: String,
    trained_context: Option<u64>,
    scorer: Scorer,
    reader: VariantReader,
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
    /// - an output that is one of the inputs;
    /// - an input that cannot be read.
    pub fn new(job: Job, checkpoint: &Checkpoint, level: Level) -> Result<Self, ScoreError> {
        check(&job)?;
        let genome = Genome::open(&job.reference, &job.genome)?;
        let notice = genome.notice();
        let reader = VariantReader::open(&job.variants, &job.regions)?;
        let scorer = Scorer::new(checkpoint, level, genome, job.options.clone(), job.threads)?;
        Ok(Self {
            job,
            level,
            checkpoint_name: checkpoint.name.clone(),
            trained_context: checkpoint.config.trained_context,
            scorer,
            reader,
            notice,
        })
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
    pub fn run(mut self, checkpoint: &Checkpoint, watch: &dyn Watch) -> Result<Outcome, ScoreError> {
        let identity = self.identity(checkpoint, watch)?;
        let Opened::Writing(mut journal) = self.journal(&identity)? else { return Ok(Outcome { counts: None }) };
        self.tell(watch);
        let counts = match self.score(&identity, &mut journal, watch) {
            Ok(counts) => counts,
            Err(error) => {
                // What ended the run is what the user is to know.
                let _ = journal.close();
                return Err(error);
            }
        };
        journal.remove()?;
        if counts.not_finite > 0 {
            watch.warn(&Warning::NotFinite { scores: counts.not_finite }.to_string());
        }
        Ok(Outcome { counts: Some(counts) })
    }

    fn score(&mut self, identity: &Identity, journal: &mut Journal, watch: &dyn Watch) -> Result<Counts, ScoreError> {
        let Self { job, scorer, reader, checkpoint_name, .. } = self;
        let all = match is_stream(&job.variants) {
            true => None,
            false => Some(count_records(&job.variants, &job.regions)?),
        };
        let shard = (job.shard != Shard::WHOLE).then_some(job.shard).zip(all);
        let mut groups = Groups::new(reader, &job.variants, shard);
        let mut group = groups.next(scorer)?;
        let mut sinks = Sinks::open(job, scorer, groups.header(), &group.records, checkpoint_name, identity)?;
        let mut counts = Counts::default();
        for number in 0.. {
            if group.records.is_empty() {
                break;
            }
            journal.turn(number)?;
            let scored = scorer.score(&group.alleles, journal, watch)?;
            let mut scored = scored.as_slice();
            for record in &group.records {
                let (of_record, rest) = scored.split_at(record.alternates().count());
                scored = rest;
                counts.add(of_record);
                sinks.write(record, of_record)?;
            }
            watch.counted(counts.records, shard.map_or(all, |(shard, all)| Some(records_of(shard, all))));
            group = groups.next(scorer)?;
        }
        sinks.finish(&counts, watch)?;
        Ok(counts)
    }

    fn identity(&self, checkpoint: &Checkpoint, watch: &dyn Watch) -> Result<Identity, ScoreError> {
        let job = &self.job;
        let mut options = provenance::options(self.scorer.options());
        options["regions"] = json!(job.regions);
        options["sliced_reference"] = json!(job.genome.sliced_reference);
        options["shard"] = json!(job.shard.to_string());
        Identity::new("score", checkpoint, self.level, &[&job.variants, &job.reference], options, watch)
    }

    /// The journal to go on with, unless an earlier run has written the output.
    fn journal(&self, identity: &Identity) -> Result<Opened<Journal>, ScoreError> {
        let Some(output) = self.job.outputs.primary() else { return Ok(Opened::Writing(Journal::none())) };
        let path = Journal::path(output);
        match self.job.existing {
            Existing::Refuse if path.exists() => return Err(ScoreError::Unfinished { path }),
            Existing::Resume if !path.exists() && sinks::is_complete(&self.job, &self.scorer, identity)? => {
                return Ok(Opened::Complete);
            }
            _ => {}
        }
        sinks::refuse_existing(&self.job, path.exists())?;
        if self.job.reads_stream() {
            return Ok(Opened::Writing(Journal::none()));
        }
        if path.exists() {
            self.job.outputs.remove_temporaries();
        }
        Journal::open(path, &identity.line(), self.job.existing == Existing::Resume).map(Opened::Writing)
    }

    fn tell(&self, watch: &dyn Watch) {
        if let Some(notice) = &self.notice {
            watch.note(notice);
        }
        let context = self.scorer.options().context.get();
        if let Some(trained) = self.trained_context.filter(|&trained| context > trained) {
            watch.warn(&Warning::BeyondContext { context, trained }.to_string());
        }
    }
}

/// Records of a shard.
fn records_of(shard: Shard, all: u64) -> u64 {
    let first = |index: u64| (u128::from(index) * u128::from(all)).div_ceil(u128::from(shard.count())) as u64;
    first(shard.index() + 1) - first(shard.index())
}

fn check(job: &Job) -> Result<(), ScoreError> {
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
    let files = outputs.files();
    for (i, path) in files.iter().enumerate() {
        if is_one_of(path, [&*job.variants, &*job.reference]) {
            return usage(format!("the output {} is one of the inputs", path.display()));
        }
        if is_one_of(path, files[..i].iter().copied()) {
            return usage(format!("two outputs are {}", path.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_all_records_between_them() {
        for (count, all) in [(1, 7), (3, 7), (8, 5), (4, 0), (5, 100)] {
            let each = |index| records_of(Shard::new(index, count).unwrap(), all);
            assert_eq!((0..count).map(each).sum::<u64>(), all);
            for index in 0..count {
                let shard = Shard::new(index, count).unwrap();
                assert_eq!((0..all).filter(|&record| shard.of(record, all) == index).count() as u64, each(index));
            }
        }
    }
}
