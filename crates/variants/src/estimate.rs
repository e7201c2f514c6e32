//! What a run is going to take.

mod pace;
mod work;

use std::time::Instant;

use longstrand_model::Watch;
use longstrand_model::estimate::{self, Estimate, Memory, Time};
use longstrand_seq::digest;
use longstrand_seq::input::is_stream;
use longstrand_seq::variant::survey;
use longstrand_seq::window::Shard;

use crate::anchored::MILESTONE;
use crate::error::ScoreError;
use crate::options::{Anchor, Score};
use crate::resolve::Resolved;
use crate::run::{Groups, Plan};
use crate::scorer::Scorer;
use crate::trails;
use work::Work;

/// Bytes that a value of a score takes in a record, with the key before it, and in a row of a table.
const VALUE_BYTES: u64 = 48;

/// Bytes of a record beside its line and values, and of a row beside its alleles and values.
const RECORD_BYTES: u64 = 64;

/// Bytes of rows that a table holds until they are written, at most.
const TABLE_BYTES: u64 = 16 << 20;

/// Bytes of such a row.
const ROW_BYTES: u64 = 384;

/// What there is to do, and how long it took to find out.
struct Found {
    work: Work,
    /// The first alleles that are to be scored.
    first: Vec<Resolved>,
    /// Bytes of the largest group of records.
    largest: u64,
    /// Bytes of all outputs.
    disk: u64,
    /// Seconds that it takes to count records, where that is done, and to read and resolve them.
    counting: f64,
    reading: f64,
}

impl Plan {
    /// What the run is going to take, at a rate in tokens a second or, without one, at the pace that some of the alleles go
    /// through the model now. All records are read to know what is to be computed.
    ///
    /// # Errors
    ///
    /// - an input is a pipe, which can be read once;
    /// - a file cannot be read, a record is malformed, a REF is not what the reference has;
    /// - a device fails, or there are no threads;
    /// - the watch stops it.
    pub fn estimate(mut self, rate: Option<f64>, watch: &dyn Watch) -> Result<Estimate, ScoreError> {
        let files = [self.job.variants.clone(), self.job.reference.clone()];
        if let Some(pipe) = files.iter().find(|path| is_stream(path)) {
            let message = format!("{}: what a pipe holds is not known beforehand: expected a file", pipe.display());
            return Err(ScoreError::Usage(message));
        }
        let memory = Memory::now();
        let Found { work, first, largest, disk, counting, reading } = self.find(watch)?;
        let memory = memory.map(|memory| memory.and(&self.parts(&work, largest)));
        let pace = if rate.is_some() { None } else { pace::of(&mut self.scorer, &first)? };
        let seconds = estimate::seconds(work.tokens, rate, pace.as_ref());
        let files: Vec<_> = files.iter().map(|path| path.as_path()).collect();
        let digests =
            digest::seconds(&files).map_err(|error| ScoreError::Digest { path: error.path, source: error.source })?;
        Ok(Estimate {
            work: vec![
                ("records", work.records),
                ("alleles", work.alleles),
                ("tasks", work.tasks),
                ("tokens", work.tokens),
            ],
            pieces: work.records,
            memory,
            disk,
            time: Time { fixed: digests + counting, divided: reading + seconds, reading: 0.0 },
            pace,
            in_shard: None,
        })
    }

    /// Reads all records, as a run does.
    fn find(&mut self, watch: &dyn Watch) -> Result<Found, ScoreError> {
        let Self { job, scorer, reader, .. } = self;
        let began = Instant::now();
        let counted = survey(&job.variants, &job.regions, &mut |_| watch.flow())?.ok_or(ScoreError::Cancelled)?;
        let counting = began.elapsed().as_secs_f64();
        let shard = (job.shard != Shard::WHOLE).then_some((job.shard, counted.records));
        let mut groups = Groups::new(reader, &job.variants, shard, job.prefix.keys());
        let outputs = [job.outputs.variants.is_some(), job.outputs.parquet.is_some(), job.outputs.tsv.is_some()];
        let values = scorer.columns().count() as u64 * VALUE_BYTES;
        let mut found = Found { work: Work::default(), first: Vec::new(), largest: 0, disk: 0, counting, reading: 0.0 };
        loop {
            let group = groups.next(scorer)?;
            if group.records.is_empty() {
                break;
            }
            if watch.is_cancelled() {
                return Err(ScoreError::Cancelled);
            }
            found.work.add(&group, scorer);
            let lines: u64 = group.records.iter().map(|record| record.line().len() as u64 + RECORD_BYTES).sum();
            let of_alleles = group.alleles.len() as u64 * values;
            found.disk += outputs.into_iter().filter(|is_wanted| *is_wanted).count() as u64 * (lines + of_alleles);
            found.largest = found.largest.max(group.bytes as u64);
            if found.first.iter().all(Result::is_err) {
                found.first = group.alleles;
            }
        }
        found.disk += outputs.into_iter().filter(|is_wanted| *is_wanted).count() as u64 * estimate::FRAME_BYTES;
        found.reading = began.elapsed().as_secs_f64() - counting;
        Ok(found)
    }

    /// Bytes of memory that the run takes beside what is held now, by what they are for.
    fn parts(&self, work: &Work, records: u64) -> [(&'static str, u64); 4] {
        let Self { job, scorer, .. } = self;
        let rows = if job.outputs.parquet.is_some() { TABLE_BYTES.min(work.alleles * ROW_BYTES) } else { 0 };
        [("windows", windows(scorer, work)), ("states", states(scorer, work)), ("records", records), ("output", rows)]
    }
}

/// Bytes of the passes that are under way at a time.
fn windows(scorer: &Scorer, work: &Work) -> u64 {
    let Scorer { predictor, crew, .. } = scorer;
    let longest = scorer.longest_window();
    let bases = usize::try_from(longest).unwrap_or(usize::MAX);
    let of_windows = match predictor.is_filled_by(bases) {
        true => predictor.window_bytes(longest),
        false => pace::lanes(predictor, crew, bases, work.tasks) * predictor.pass_bytes(bases),
    };
    let is_anchored = scorer.options().scores.contains(&Score::Likelihood) && scorer.options().anchor != Anchor::Window;
    let chunk = predictor.chunk();
    let of_anchored = if is_anchored { crew.threads().get() as u64 * predictor.pass_bytes(chunk) } else { 0 };
    of_windows.max(of_anchored)
}

/// Bytes of the states that are kept along the genome.
fn states(scorer: &Scorer, work: &Work) -> u64 {
    let state = scorer.predictor.initial_state().filter(|_| work.trails > 0).map_or(0, |state| state.bytes() as u64);
    (state * (work.trails + work.tokens / MILESTONE)).min(trails::CAPACITY as u64)
}
