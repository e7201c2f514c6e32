//! Every substitution of a region (saturation mutagenesis).

mod heat_map;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use longstrand_kernels::simd::Level;
use longstrand_model::Watch;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_seq::{Genome, GenomeOptions, Interval, Strand, region};
use longstrand_table::{Destination, Existing, Opened, ScoreLayout, ScoreRow, ScoreWriter, WriteOptions, write_text};
use serde_json::json;

use heat_map::HeatMap;
pub use heat_map::LONGEST_HEAT_MAP;

use crate::allele::{Edit, VariantType};
use crate::error::ScoreError;
use crate::journal::Journal;
use crate::options::{Column, ScoreOptions};
use crate::provenance::{self, Identity};
use crate::resolve::Resolved;
use crate::run::Counts;
use crate::same_file::is_one_of;
use crate::scorer::{Scored, Scorer};

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
    /// A row for each substitution.
    pub parquet: Destination,
    /// A picture of the first score, if one is wanted.
    pub svg: Option<PathBuf>,
    /// What to do about outputs that exist.
    pub existing: Existing,
    /// Threads that compute.
    pub threads: NonZeroUsize,
}

impl Mutagenesis {
    /// Scores every substitution of an A, C, G or T of the region, and writes the outputs.
    ///
    /// # Errors
    ///
    /// - options that do not go together or with the model; a region too long to draw;
    /// - the genome cannot be read, or does not have the region;
    /// - an output exists or cannot be written;
    /// - the watch stopped the run. What has been computed stays in the journal, to be resumed.
    pub fn run(&self, checkpoint: &Checkpoint, level: Level, watch: &dyn Watch) -> Result<Counts, ScoreError> {
        let genome = Genome::open(&self.reference, &self.genome)?;
        if let Some(notice) = genome.notice() {
            watch.note(&notice);
        }
        let interval = region::parse(&self.region, genome.contigs())
            .map_err(|error| ScoreError::Region { path: self.reference.clone(), error })?;
        let mut scorer = Scorer::new(checkpoint, level, genome, self.options.clone(), self.threads)?;
        self.check_picture(&interval)?;
        let identity = self.identity(checkpoint, level, &scorer, watch)?;
        let layout = ScoreLayout::new(scorer.columns().map(|column| column.name));
        let path = Journal::path(self.parquet.path());
        if self.existing == Existing::Refuse && path.exists() {
            return Err(ScoreError::Unfinished { path });
        }
        // Rows are written anew from the journal, if there is one; else a table that is there must be this run's.
        let existing =
            if self.existing == Existing::Resume && path.exists() { Existing::Replace } else { self.existing };
        let options = WriteOptions { existing, ..WriteOptions::default() };
        let writer = match ScoreWriter::open(&self.parquet, &layout, &options, identity.metadata())? {
            Opened::Writing(writer) => writer,
            Opened::Complete(_) => return Ok(Counts::default()),
        };
        let mut journal = Journal::open(path, &identity.line(), self.existing == Existing::Resume)?;
        let contig = scorer.reference().contigs().get(interval.contig).name.clone();
        let column = *scorer.columns().next().expect("there is a score");
        let draw = || HeatMap::new(&contig, interval.start, column, &checkpoint.name, scorer.options());
        let picture = self.svg.is_some().then(draw);
        let mut output = Output { contig, writer, picture, counts: Counts::default() };
        if let Err(error) = self.score(&mut scorer, &interval, &mut output, &mut journal, watch) {
            // What ended the run is what the user is to know.
            let _ = journal.close();
            return Err(error);
        }
        let counts = self.finish(output)?;
        journal.remove()?;
        Ok(counts)
    }

    /// Whether a run that was stopped has left a journal to go on with.
    pub fn is_resumable(&self) -> bool {
        Journal::path(self.parquet.path()).exists()
    }

    fn score(
        &self,
        scorer: &mut Scorer,
        interval: &Interval,
        output: &mut Output,
        journal: &mut Journal,
        watch: &dyn Watch,
    ) -> Result<(), ScoreError> {
        for (group, start) in (interval.start..interval.end).step_by(SITES as usize).enumerate() {
            let end = (start + SITES).min(interval.end);
            let edits = substitutions(scorer, interval.contig, start..end)?;
            journal.turn(group as u64)?;
            let scored = scorer.score(&edits, journal, watch)?;
            output.write(&edits, &scored)?;
            watch.counted(end - interval.start, Some(interval.len()));
        }
        Ok(())
    }

    fn finish(&self, output: Output) -> Result<Counts, ScoreError> {
        if let Some((path, picture)) = self.svg.as_ref().zip(output.picture) {
            write_text(path, &picture.draw(), self.picture_may_be_replaced())?;
        }
        output.writer.finish(output.counts.metadata())?;
        Ok(output.counts)
    }

    fn check_picture(&self, interval: &Interval) -> Result<(), ScoreError> {
        let Some(path) = &self.svg else { return Ok(()) };
        if interval.len() > LONGEST_HEAT_MAP {
            return Err(ScoreError::Usage(format!(
                "--svg: expected a region of at most {LONGEST_HEAT_MAP} bases, found {}",
                interval.len()
            )));
        }
        if is_one_of(path, [&*self.reference, self.parquet.path()]) {
            return Err(ScoreError::Usage(format!("--svg: {} is the genome or the table", path.display())));
        }
        match self.picture_may_be_replaced() == Existing::Refuse && fs::symlink_metadata(path).is_ok() {
            true => Err(ScoreError::Exists { path: path.clone() }),
            false => Ok(()),
        }
    }

    fn picture_may_be_replaced(&self) -> Existing {
        if self.existing == Existing::Refuse { Existing::Refuse } else { Existing::Replace }
    }

    fn identity(
        &self,
        checkpoint: &Checkpoint,
        level: Level,
        scorer: &Scorer,
        watch: &dyn Watch,
    ) -> Result<Identity, ScoreError> {
        let mut options = provenance::options(scorer.options());
        options["region"] = json!(self.region);
        options["sliced_reference"] = json!(self.genome.sliced_reference);
        let inputs: [&Path; 1] = [&self.reference];
        Identity::new("mutagenesis", checkpoint, level, &inputs, options, watch)
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
    writer: ScoreWriter,
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
            self.writer.write(&ScoreRow {
                contig: &self.contig,
                position: edit.start + 1,
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

impl Column {
    /// The column with its meaning, for a caption.
    fn caption(&self) -> String {
        format!("{}: {}", self.name, self.meaning)
    }
}
