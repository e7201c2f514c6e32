//! Every substitution of a region (saturation mutagenesis).

mod heat_map;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Processor, Watch};
use longstrand_seq::input::is_stream;
use longstrand_seq::{Genome, GenomeOptions, Interval, Strand, region};
use longstrand_table::{Destination, Existing, ScoreRow, remove_temporaries, write_text};
use serde_json::json;

use heat_map::{HeatMap, LONGEST_HEAT_MAP};

use crate::allele::{Edit, VariantType};
use crate::error::ScoreError;
use crate::journal::Journal;
use crate::options::ScoreOptions;
use crate::prefix::Prefix;
use crate::provenance::{self, Identity};
use crate::resolve::Resolved;
use crate::run::Counts;
use crate::scorer::{Scored, Scorer};
use crate::share::Share;
use crate::tables::Tables;
use crate::targets::{Opened, Run, Target, Targets, replacing};
use crate::warning;

/// Sites that are scored together.
const SITES: u64 = 1_024;

/// What to mutate, how, and where to.
#[derive(Clone, Debug)]
pub struct Mutagenesis {
    /// The genome.
    pub reference: PathBuf,
    /// How the genome is understood.
    pub genome: GenomeOptions,
    /// The region, 1-based and closed.
    pub region: String,
    /// What is computed.
    pub options: ScoreOptions,
    /// A row for each substitution. At least one of the outputs is to be named.
    pub parquet: Option<Destination>,
    /// The same rows as text; `-` for standard output.
    pub tsv: Option<PathBuf>,
    /// A picture of the first score, if one is wanted.
    pub svg: Option<PathBuf>,
    /// What to do about outputs that exist.
    pub existing: Existing,
    /// Threads that compute.
    pub threads: NonZeroUsize,
    /// Bytes of memory that may be taken, where that is known: windows that need more are refused.
    pub available_memory: Option<u64>,
}

impl Mutagenesis {
    /// Opens the genome and makes the model ready.
    ///
    /// # Errors
    ///
    /// - options that do not go together or with the model, or no output; a region too long to draw;
    /// - the genome cannot be read, or does not have the region;
    /// - an output that is one of the inputs, or that exists and is neither to be replaced nor resumed;
    /// - a device has no room for the weights, or cannot compute.
    pub fn plan(
        &self,
        checkpoint: &Checkpoint,
        processor: impl Into<Processor>,
    ) -> Result<MutagenesisPlan<'_>, ScoreError> {
        self.check(checkpoint)?;
        let genome = Genome::open(&self.reference, &self.genome)?;
        let notice = genome.notice();
        let interval = region::parse(&self.region, genome.contigs())
            .map_err(|error| ScoreError::Region { path: self.reference.clone(), error })?;
        self.check_picture(&interval)?;
        let (options, available) = (self.options.clone(), self.available_memory);
        let scorer = Scorer::new(checkpoint, &processor.into(), genome, options, self.threads, available)?;
        Ok(MutagenesisPlan { job: self, scorer, interval, notice })
    }

    /// Whether a run that was stopped has left a journal to go on with.
    pub fn is_resumable(&self) -> bool {
        self.targets().is_resumable()
    }

    /// Removes what this process leaves under temporary names if it is stopped; its journal stays.
    pub fn remove_temporaries(&self) {
        self.parquet.iter().for_each(Destination::remove_temporaries);
        [&self.tsv, &self.svg].into_iter().flatten().for_each(|path| remove_temporaries(path));
    }

    fn targets(&self) -> Targets<'_> {
        let texts = self.tsv_file().into_iter().chain(self.svg.as_deref()).map(Target::Text);
        Targets(self.parquet.iter().map(Target::Table).chain(texts).collect())
    }

    fn tsv_file(&self) -> Option<&Path> {
        self.tsv.as_deref().filter(|path| path.as_os_str() != "-")
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<(), ScoreError> {
        if self.parquet.is_none() && self.tsv.is_none() && self.svg.is_none() {
            return Err(ScoreError::Usage("expected an output: -o FILE for Parquet, --tsv FILE or --svg FILE".into()));
        }
        if self.existing == Existing::Resume && is_stream(&self.reference) {
            return Err(ScoreError::Usage(
                "--resume needs files: what a stream held the last time is not known".into(),
            ));
        }
        self.targets().check(&[&*self.reference], &checkpoint.files)?;
        self.targets().check_standing(self.existing)
    }

    /// The journal to go on with, unless an earlier run has written the outputs.
    fn journal(&self, scorer: &Scorer, identity: &Identity) -> Result<Opened<Journal>, ScoreError> {
        let run = Run {
            identity,
            layout: &scorer.layout(),
            prefix: &Prefix::default(),
            has_stream: self.tsv.is_some() && self.tsv_file().is_none(),
            is_repeatable: !is_stream(&self.reference),
        };
        self.targets().open(self.existing, &run)
    }

    fn output(&self, scorer: &Scorer, interval: &Interval, identity: &Identity) -> Result<Output, ScoreError> {
        let existing = replacing(self.existing);
        let tables = Tables::open(self.parquet.as_ref(), self.tsv.as_deref(), &scorer.layout(), existing, identity)?;
        let contig = scorer.reference().contigs().get(interval.contig).name.clone();
        let column = *scorer.columns().next().expect("there is a score");
        let model = &scorer.model().name;
        let draw = || HeatMap::new(&contig, interval.start..interval.end, column, model, scorer.options());
        let picture = self.svg.is_some().then(draw);
        Ok(Output { contig, tables, picture, counts: Counts::new(&scorer.options().scores) })
    }

    /// Opens the outputs, scores, and gives the outputs their names.
    fn write(
        &self,
        scorer: &mut Scorer,
        interval: &Interval,
        identity: &Identity,
        journal: &mut Journal,
        watch: &dyn Watch,
    ) -> Result<Counts, ScoreError> {
        let mut output = self.output(scorer, interval, identity)?;
        self.score(scorer, interval, &mut output, journal, watch)?;
        self.finish(output)
    }

    fn score(
        &self,
        scorer: &mut Scorer,
        interval: &Interval,
        output: &mut Output,
        journal: &mut Journal,
        watch: &dyn Watch,
    ) -> Result<(), ScoreError> {
        watch.counted(0, Some(interval.len()));
        for (group, start) in (interval.start..interval.end).step_by(SITES as usize).enumerate() {
            let end = (start + SITES).min(interval.end);
            let edits = substitutions(scorer, interval.contig, start..end)?;
            journal.turn(group as u64)?;
            let share = Share::new(watch, start - interval.start, end - start, Some(interval.len()));
            let scored = scorer.score(&edits, journal, &share)?;
            output.write(&edits, &scored)?;
            watch.counted(end - interval.start, Some(interval.len()));
        }
        Ok(())
    }

    /// The table that tells its run comes first.
    fn finish(&self, mut output: Output) -> Result<Counts, ScoreError> {
        output.tables.finish_parquet(&output.counts)?;
        output.tables.finish_text()?;
        if let Some((path, picture)) = self.svg.as_ref().zip(output.picture) {
            write_text(path, &picture.draw(), replacing(self.existing))?;
        }
        Ok(output.counts)
    }

    fn check_picture(&self, interval: &Interval) -> Result<(), ScoreError> {
        match self.svg.is_some() && interval.len() > LONGEST_HEAT_MAP {
            true => Err(ScoreError::Usage(format!(
                "--svg: expected a region of at most {LONGEST_HEAT_MAP} bases, found {}",
                interval.len()
            ))),
            false => Ok(()),
        }
    }

    fn identity(&self, scorer: &Scorer, watch: &dyn Watch) -> Result<Identity, ScoreError> {
        let mut options = provenance::options(scorer.options());
        options["region"] = json!(self.region);
        options["sliced_reference"] = json!(self.genome.sliced_reference);
        let inputs: [&Path; 1] = [&self.reference];
        Identity::new("mutagenesis", scorer.model(), &inputs, options, watch)
    }
}

/// A job whose genome is open and whose options fit together.
pub struct MutagenesisPlan<'a> {
    job: &'a Mutagenesis,
    scorer: Scorer,
    interval: Interval,
    notice: Option<String>,
}

impl MutagenesisPlan<'_> {
    /// The options, with the scores that are computed.
    pub fn options(&self) -> &ScoreOptions {
        self.scorer.options()
    }

    /// The names of the columns of scores.
    pub fn columns(&self) -> Vec<&'static str> {
        self.scorer.columns().map(|column| column.name).collect()
    }

    /// Bases of the region.
    pub fn bases(&self) -> u64 {
        self.interval.len()
    }

    /// How many of them are A, C, G or T, which have three substitutions each.
    ///
    /// # Errors
    ///
    /// - the genome cannot be read.
    pub fn sites(&self) -> Result<u64, ScoreError> {
        let range = self.interval.start..self.interval.end;
        Ok(self.bases() - self.scorer.reference().count_ambiguous(self.interval.contig, &range)?)
    }

    /// Scores every substitution of an A, C, G or T of the region, and writes the outputs. Nothing is counted where an earlier
    /// run has written them all.
    ///
    /// # Errors
    ///
    /// - the genome cannot be read;
    /// - an output exists or cannot be written;
    /// - the watch stopped the run. What has been computed stays in the journal, to be resumed.
    pub fn run(self, watch: &dyn Watch) -> Result<Option<Counts>, ScoreError> {
        let Self { job, mut scorer, interval, notice } = self;
        if let Some(notice) = notice {
            watch.note(&notice);
        }
        let identity = job.identity(&scorer, watch)?;
        let Opened::Writing(mut journal) = job.journal(&scorer, &identity)? else { return Ok(None) };
        warning::of_context(job.options.context.get(), scorer.model().trained_context, watch);
        let counts = match job.write(&mut scorer, &interval, &identity, &mut journal, watch) {
            Ok(counts) => counts,
            Err(error) => {
                // What ended the run is what the user is to know.
                let _ = journal.close();
                return Err(error);
            }
        };
        journal.remove()?;
        warning::of_not_finite(counts.not_finite, watch);
        Ok(Some(counts))
    }
}

/// The three substitutions of each A, C, G and T of an interval.
fn substitutions(scorer: &Scorer, contig: usize, range: std::ops::Range<u64>) -> Result<Vec<Resolved>, ScoreError> {
    let reference = scorer.reference();
    let span = reference.span(contig, &range).expect("the region was read from the genome");
    let bases = reference.read(contig, range.clone(), Strand::Forward)?.to_ascii_uppercase();
    let edits = range.zip(bases).filter(|(_, base)| b"ACGT".contains(base)).flat_map(|(start, from)| {
        let others = b"ACGT".iter().filter(move |to| **to != from);
        others.map(move |&to| Edit { contig, start, reference: vec![from], alternate: vec![to], is_spelled: true })
    });
    Ok(edits.map(|edit| Ok((edit, span.clone()))).collect())
}

/// What rows go to.
struct Output {
    contig: String,
    tables: Tables,
    picture: Option<HeatMap>,
    counts: Counts,
}

impl Output {
    fn write(&mut self, edits: &[Resolved], scored: &[Scored]) -> Result<(), ScoreError> {
        for (resolved, scored) in edits.iter().zip(scored) {
            let (edit, _) = resolved.as_ref().expect("every substitution is an edit");
            let (from, to) = (char::from(edit.reference[0]), char::from(edit.alternate[0]));
            if let Some(picture) = &mut self.picture {
                picture.add(edit.start, edit.reference[0], edit.alternate[0], scored.values[0].score);
            }
            self.counts.add(std::slice::from_ref(scored));
            self.tables.write(&ScoreRow {
                contig: &self.contig,
                position: edit.start + 1,
                end: Some(edit.start + 1),
                reference: from.encode_utf8(&mut [0; 4]),
                alternate: to.encode_utf8(&mut [0; 4]),
                id: None,
                variant_type: VariantType::Snv.name(),
                values: &scored.values,
                n_ambiguous: scored.n_ambiguous,
                window: scored.window.clone(),
                reason: scored.reason.as_deref(),
            })?;
        }
        Ok(())
    }
}
