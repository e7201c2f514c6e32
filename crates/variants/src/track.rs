//! How surprising each base of a genome is to a model, and how sure the model is of it.

use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::Head;
use longstrand_model::{Crew, Processor, Scratch, Watch};
use longstrand_seq::{Genome, GenomeOptions, Interval, Strand, region};
use longstrand_table::{Existing, TrackForm, TrackWriter};

use crate::error::ScoreError;
use crate::memory;
use crate::options::{Strands, check_context};
use crate::predictor::{BaseLogProbabilities, Predictor};
use crate::reference::Reference;
use crate::sites::pad;
use crate::targets::{Target, Targets};
use crate::warning;
use crate::window;

/// Bases of windows that are computed before their values are written.
const BATCH: u64 = 1 << 20;

/// What to write tracks of, how, and where to.
#[derive(Clone, Debug)]
pub struct Track {
    /// The genome.
    pub reference: PathBuf,
    /// How the genome is understood.
    pub genome: GenomeOptions,
    /// Regions, 1-based and closed; all contigs if there are none.
    pub regions: Vec<String>,
    /// Bases of a window, an even number. A causal model has read between one and two contexts before a base.
    pub context: NonZeroU64,
    /// Which strands are read; of both, the mean is written.
    pub strands: Strands,
    /// Where −log2 p(base) goes.
    pub surprisal: Option<PathBuf>,
    /// Where the entropy of the distribution over A, C, G, T goes, in bits.
    pub entropy: Option<PathBuf>,
    /// What to do about outputs that exist.
    pub existing: Existing,
    /// Threads that compute.
    pub threads: NonZeroUsize,
    /// Bytes of memory that may be taken, where that is known: windows that need more are refused.
    pub available_memory: Option<u64>,
}

/// What a run has written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tracked {
    /// Bases that were asked for.
    pub bases: u64,
    /// How many of them are none of A, C, G, T: they have no surprisal.
    pub n_ambiguous: u64,
}

impl Track {
    /// Opens the genome and makes the model ready.
    ///
    /// # Errors
    ///
    /// - options that do not go together or with the model, or no output;
    /// - the genome cannot be read, or does not have a region;
    /// - an output that is one of the inputs, or that exists and is not to be replaced;
    /// - a device has no room for the weights, or cannot compute.
    pub fn plan<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
        processor: impl Into<Processor>,
    ) -> Result<TrackPlan<'a>, ScoreError> {
        self.check(checkpoint)?;
        let genome = Genome::open(&self.reference, &self.genome)?;
        let notice = genome.notice();
        let intervals = self.intervals(&genome)?;
        let predictor = Predictor::new(&processor.into(), checkpoint)?;
        let reference = Reference::new(genome);
        self.check_memory(&predictor, &reference)?;
        Ok(TrackPlan { job: self, checkpoint, intervals, predictor, reference, notice })
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<(), ScoreError> {
        let usage = |message: String| Err(ScoreError::Usage(message));
        if self.surprisal.is_none() && self.entropy.is_none() {
            return usage("expected an output: --surprisal FILE or --entropy FILE".into());
        }
        if let (Some(surprisal), Some(entropy)) = (&self.surprisal, &self.entropy)
            && surprisal == entropy
        {
            return usage(format!("--surprisal and --entropy are both {}", surprisal.display()));
        }
        if !matches!(checkpoint.config.head, Head::LanguageModel { .. }) {
            return usage(format!("a track needs a language model, and {} has no such head", checkpoint.name));
        }
        let targets = Targets(self.files().map(Target::Text).collect());
        targets.check(&[&*self.reference], &checkpoint.files)?;
        for path in self.files() {
            form(path)?;
        }
        check_context(self.context)?;
        targets.check_standing(self.existing)
    }

    /// The outputs that are files.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let outputs = [&self.surprisal, &self.entropy].into_iter().flatten();
        outputs.map(PathBuf::as_path).filter(|path| path.as_os_str() != "-")
    }

    fn check_memory(&self, predictor: &Predictor, reference: &Reference) -> Result<(), ScoreError> {
        let context = self.context.get();
        let longest = match predictor.is_causal() {
            // A block and the one before it, and nothing that the genome does not have.
            true => (2 * context).min(reference.longest_span()),
            false => context,
        };
        memory::check(predictor, context, longest, self.available_memory)
    }

    /// The regions in the genome's order, those that touch joined; or all that the genome has.
    fn intervals(&self, genome: &Genome) -> Result<Vec<Interval>, ScoreError> {
        let contigs = genome.contigs();
        let mut intervals: Vec<Interval> = Vec::new();
        for text in &self.regions {
            let interval = region::parse(text, contigs);
            intervals.push(interval.map_err(|error| ScoreError::Region { path: self.reference.clone(), error })?);
        }
        if intervals.is_empty() {
            let spans =
                (0..contigs.len()).flat_map(|contig| contigs.spans(contig).iter().map(move |span| (contig, span)));
            intervals = spans.map(|(contig, span)| Interval { contig, start: span.start, end: span.end }).collect();
        }
        intervals.sort_by_key(|interval| (interval.contig, interval.start));
        intervals.dedup_by(|next, last| {
            let touches = next.contig == last.contig && next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        Ok(intervals)
    }
}

/// A job whose genome is open and whose options fit together.
pub struct TrackPlan<'a> {
    job: &'a Track,
    checkpoint: &'a Checkpoint,
    intervals: Vec<Interval>,
    predictor: Predictor,
    reference: Reference,
    notice: Option<String>,
}

impl TrackPlan<'_> {
    /// Bases of all regions, none counted twice.
    pub fn bases(&self) -> u64 {
        self.intervals.iter().map(Interval::len).sum()
    }

    /// Computes and writes the tracks.
    ///
    /// # Errors
    ///
    /// - the genome cannot be read;
    /// - an output exists or cannot be written;
    /// - the watch stopped the run.
    pub fn run(self, watch: &dyn Watch) -> Result<Tracked, ScoreError> {
        let all = self.bases();
        let Self { job, checkpoint, intervals, predictor, reference, notice } = self;
        if let Some(notice) = notice {
            watch.note(&notice);
        }
        let mut crew = Crew::new(job.threads, predictor.scratch());
        warning::of_context(job.context.get(), checkpoint.config.trained_context, watch);
        let view = View {
            predictor: &predictor,
            reference: &reference,
            context: job.context.get(),
            is_causal: predictor.is_causal(),
            not_finite: AtomicU64::new(0),
            watch,
        };
        let mut tracks = Tracks::create(job)?;
        let mut tracked = Tracked::default();
        watch.counted(0, Some(all));
        let mut contig = None;
        for interval in &intervals {
            if contig != Some(interval.contig) {
                contig = Some(interval.contig);
                let contig = reference.contigs().get(interval.contig);
                tracks.each(|track| Ok(track.begin_contig(&contig.name, contig.length)?))?;
            }
            let mut position = interval.start;
            while position < interval.end {
                let pieces = view.pieces(interval, position);
                let values = view.values(&pieces, job.strands, &mut crew)?;
                tracks.push(position, &values)?;
                tracked.n_ambiguous +=
                    reference.count_ambiguous(interval.contig, &(position..position + values.len() as u64))?;
                position += values.len() as u64;
                tracked.bases += values.len() as u64;
                watch.counted(tracked.bases, Some(all));
            }
        }
        tracks.finish()?;
        warning::of_not_finite(view.not_finite.into_inner(), watch);
        Ok(tracked)
    }
}

/// The form of a track that a name asks for.
fn form(path: &Path) -> Result<TrackForm, ScoreError> {
    TrackForm::from_path(path).ok_or_else(|| {
        let expected = "a name that ends in .bw, .bigwig, .bedgraph or .bedgraph.gz";
        ScoreError::Usage(format!("expected {expected}, found {}", path.display()))
    })
}

/// −log2 p(base) and the entropy of the bases in bits; not a number where there is none.
type Value = [f32; 2];

/// What values are computed from.
struct View<'a> {
    predictor: &'a Predictor,
    reference: &'a Reference,
    context: u64,
    is_causal: bool,
    /// Values that the model has told and that are infinite or not a number.
    not_finite: AtomicU64,
    watch: &'a dyn Watch,
}

/// Bases whose values come from one window.
struct Piece {
    contig: usize,
    span: Range<u64>,
    bases: Range<u64>,
}

impl View<'_> {
    /// The pieces from a position of an interval on: about a batch.
    fn pieces(&self, interval: &Interval, mut position: u64) -> Vec<Piece> {
        let span = self.reference.span(interval.contig, &(interval.start..interval.end));
        let span = span.expect("the interval is of the genome");
        let mut pieces = Vec::new();
        while position < interval.end && pieces.len() as u64 * self.context < BATCH {
            let end = self.piece_end(position, &span).min(interval.end);
            pieces.push(Piece { contig: interval.contig, span: span.clone(), bases: position..end });
            position = end;
        }
        pieces
    }

    /// One past the last base that shares its window with the one at `position`.
    fn piece_end(&self, position: u64, span: &Range<u64>) -> u64 {
        if self.is_causal {
            return (position / self.context + 1) * self.context;
        }
        let window = window::on_grid(position, self.context, span);
        let (mut shares, mut differs) = (position, window.end);
        while differs - shares > 1 {
            let middle = shares + (differs - shares) / 2;
            match window::on_grid(middle, self.context, span) == window {
                true => shares = middle,
                false => differs = middle,
            }
        }
        differs
    }

    /// The bases that are read for a piece.
    fn window(&self, piece: &Piece, strand: Strand) -> Range<u64> {
        let (span, block) = (&piece.span, piece.bases.start / self.context);
        match (self.is_causal, strand) {
            (false, _) => window::on_grid(piece.bases.start, self.context, span),
            (true, Strand::Forward) => (block.saturating_sub(1) * self.context).max(span.start)..piece.bases.end,
            (true, Strand::Reverse) => piece.bases.start..((block + 2) * self.context).min(span.end),
        }
    }

    /// The values of all pieces, base by base.
    fn values(
        &self,
        pieces: &[Piece],
        strands: Strands,
        crew: &mut Crew<Scratch<f32>>,
    ) -> Result<Vec<Value>, ScoreError> {
        let first = pieces.first().map_or(0, |piece| piece.bases.start);
        let length = pieces.last().map_or(0, |piece| piece.bases.end - first) as usize;
        let jobs: Vec<(&Piece, Strand)> =
            pieces.iter().flat_map(|piece| strands.each().iter().map(move |&strand| (piece, strand))).collect();
        let sums = Mutex::new(vec![[0.0_f64; 2]; length]);
        let work = |(piece, strand): (&Piece, Strand), scratch: &mut Scratch<f32>| -> Result<(), ScoreError> {
            let values = self.piece_values(piece, strand, scratch)?;
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            for (sum, value) in sums[(piece.bases.start - first) as usize..].iter_mut().zip(values) {
                sum[0] += value[0];
                sum[1] += value[1];
            }
            Ok(())
        };
        let context = usize::try_from(self.context).unwrap_or(usize::MAX);
        crew.run(self.predictor.lanes(context, jobs.len(), crew.threads()), jobs, work)?;
        let n = strands.each().len() as f64;
        let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(sums.into_iter().map(|sum| sum.map(|sum| (sum / n) as f32)).collect())
    }

    /// The values of a piece on a strand, in the order of the reference.
    fn piece_values(
        &self,
        piece: &Piece,
        strand: Strand,
        scratch: &mut Scratch<f32>,
    ) -> Result<Vec<[f64; 2]>, ScoreError> {
        let vocabulary = self.predictor.vocabulary();
        let window = self.window(piece, strand);
        let mut ids = self.reference.read(piece.contig, window.clone(), strand)?;
        vocabulary.encode_in_place(&mut ids);
        let range = match strand {
            Strand::Forward => piece.bases.start - window.start..piece.bases.end - window.start,
            Strand::Reverse => window.end - piece.bases.end..window.end - piece.bases.start,
        };
        let range = range.start as usize..range.end as usize;
        let read = ids[range.clone()].to_vec();
        // A causal model tells a base at the one before it, and nothing of the first one.
        let untold = usize::from(self.is_causal && range.start == 0);
        let shift = usize::from(self.is_causal);
        let positions: Vec<usize> = (range.start + untold - shift..range.end - shift).collect();
        if !self.is_causal {
            pad(&mut ids, self.context, vocabulary.id(b'N'));
        }
        let distributions = self.predictor.distributions(&ids, &positions, scratch, self.watch)?;
        let mut values = vec![[f64::NAN; 2]; untold];
        values.extend(read[untold..].iter().zip(&distributions).map(|(&id, distribution)| {
            let base = vocabulary.bases().iter().position(|&base| base == id);
            let surprisal = base.map(|base| -distribution[base] / std::f64::consts::LN_2);
            let entropy = entropy(distribution);
            let not_finite = surprisal.into_iter().chain([entropy]).filter(|value| !value.is_finite()).count();
            self.not_finite.fetch_add(not_finite as u64, Ordering::Relaxed);
            [surprisal.unwrap_or(f64::NAN), entropy]
        }));
        if strand == Strand::Reverse {
            values.reverse();
        }
        Ok(values)
    }
}

/// The entropy in bits of a distribution over the bases, made to sum to 1.
fn entropy(log_probabilities: &BaseLogProbabilities) -> f64 {
    let probabilities = log_probabilities.map(f64::exp);
    let sum: f64 = probabilities.iter().sum();
    -probabilities.iter().map(|p| p / sum).filter(|&q| q > 0.0).map(|q| q * q.log2()).sum::<f64>()
}

/// The tracks that were asked for, and which of a base's values each has.
struct Tracks(Vec<(TrackWriter, usize)>);

impl Tracks {
    fn create(job: &Track) -> Result<Self, ScoreError> {
        let mut tracks = Vec::new();
        for (path, value) in [(&job.surprisal, 0), (&job.entropy, 1)] {
            let Some(path) = path else { continue };
            if path.as_os_str() == "-" {
                tracks.push((TrackWriter::bed_graph_stream(std::io::stdout(), "the standard output"), value));
                continue;
            }
            tracks.push((TrackWriter::create(path, form(path)?, job.existing)?, value));
        }
        Ok(Self(tracks))
    }

    fn each(&mut self, mut act: impl FnMut(&mut TrackWriter) -> Result<(), ScoreError>) -> Result<(), ScoreError> {
        self.0.iter_mut().try_for_each(|(track, _)| act(track))
    }

    fn push(&mut self, start: u64, values: &[Value]) -> Result<(), ScoreError> {
        for (track, which) in &mut self.0 {
            let values: Vec<f32> = values.iter().map(|value| value[*which]).collect();
            track.push(start, &values)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ScoreError> {
        self.0.into_iter().try_for_each(|(track, _)| track.finish().map(|_| ()).map_err(ScoreError::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_four_bases() {
        assert!((entropy(&[-3.0; 4]) - 2.0).abs() < 1e-12);
        assert_eq!(entropy(&[0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY]), 0.0);
    }
}
