//! How a model finds the edited sequence beside the reference, in a window that has both.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use longstrand_model::Scratch;
use longstrand_seq::Strand;
use longstrand_seq::strand::reverse_complement;

use crate::allele::Edit;
use crate::error::ScoreError;
use crate::sites::pad;
use crate::task::{Bench, Task};
use crate::window;

/// What is measured of the two sequences.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Measure {
    /// log p of the reference and of the edited sequence, and how many bases each counts.
    Likelihood,
    /// 1 − cosine, Euclidean distance and inner product of the mean hidden states around the edit.
    Embedding,
}

impl Measure {
    /// Numbers of an answer.
    fn width(self) -> usize {
        match self {
            Self::Likelihood => 4,
            Self::Embedding => 3,
        }
    }
}

/// Edits of the same bases that are read in the same window, so that the reference is read once.
pub(crate) struct EditTask<'a> {
    measure: Measure,
    /// The bases that the genome has there.
    span: Range<u64>,
    /// Where the reference's window begins.
    start: u64,
    context: u64,
    edits: Vec<&'a Edit>,
    questions: Vec<usize>,
}

/// Tasks for edits, which must be sorted, and the spans that they lie in.
pub(crate) fn tasks<'a>(edits: &[&'a Edit], spans: &[Range<u64>], context: u64, measure: Measure) -> Vec<EditTask<'a>> {
    let mut tasks: Vec<EditTask<'a>> = Vec::new();
    for (question, (&edit, span)) in edits.iter().zip(spans).enumerate() {
        let [start, _] = window::around(edit, context, span);
        match tasks.last_mut().filter(|task| task.shares(edit, start)) {
            Some(task) => {
                task.edits.push(edit);
                task.questions.push(question);
            }
            None => tasks.push(EditTask {
                measure,
                span: span.clone(),
                start,
                context,
                edits: vec![edit],
                questions: vec![question],
            }),
        }
    }
    tasks
}

/// Edits, each once, in order, and the spans that they lie in.
pub(crate) fn edits_of<'r>(
    edits: impl Iterator<Item = (&'r Edit, &'r Range<u64>)>,
) -> (Vec<&'r Edit>, Vec<Range<u64>>) {
    let edits: BTreeMap<&'r Edit, &'r Range<u64>> = edits.collect();
    edits.into_iter().map(|(edit, span)| (edit, span.clone())).unzip()
}

/// A sequence with an allele in it.
struct Haplotype {
    /// The window's bases, unpadded, as the strand reads them.
    bases: Vec<u8>,
    /// Where the allele lies in them.
    allele: Range<usize>,
}

impl Task for EditTask<'_> {
    fn questions(&self) -> &[usize] {
        &self.questions
    }

    fn width(&self) -> usize {
        self.measure.width()
    }

    fn bases(&self) -> u64 {
        self.context
    }

    fn describe(&self, strand: Strand, text: &mut dyn fmt::Write) -> fmt::Result {
        let edit = self.edits[0];
        let bases = |bases| String::from_utf8_lossy(bases);
        write!(text, "{:?} {} {:?} {} {strand} {} ", self.measure, edit.contig, self.span, self.start, edit.start)?;
        write!(text, "{}", bases(&edit.reference))?;
        self.edits.iter().try_for_each(|edit| write!(text, " {}", bases(&edit.alternate)))
    }

    fn run(&self, bench: &Bench<'_>, strand: Strand, scratch: &mut Scratch<f32>) -> Result<Vec<f64>, ScoreError> {
        let edit = self.edits[0];
        let reference = self.haplotype(bench, edit, self.start, &edit.reference, strand)?;
        let alternate = |edit: &Edit| {
            let [_, start] = window::around(edit, self.context, &self.span);
            self.haplotype(bench, edit, start, &edit.alternate, strand)
        };
        let mut answers = Vec::with_capacity(self.edits.len() * self.width());
        match self.measure {
            Measure::Likelihood => {
                let reference = self.likelihood(bench, &reference, scratch)?;
                for edit in &self.edits {
                    let alternate = self.likelihood(bench, &alternate(edit)?, scratch)?;
                    answers.extend(reference.into_iter().chain(alternate));
                }
            }
            Measure::Embedding => {
                let reference = self.embedding(bench, &reference, scratch)?;
                for edit in &self.edits {
                    let alternate = self.embedding(bench, &alternate(edit)?, scratch)?;
                    answers.extend(distances(&reference, &alternate));
                }
            }
        }
        Ok(answers)
    }
}

impl EditTask<'_> {
    /// Positions that go through the model, at most: those of the reference, and of each edited sequence.
    pub(crate) fn tokens(&self) -> u64 {
        self.context * (1 + self.edits.len() as u64)
    }

    fn shares(&self, edit: &Edit, start: u64) -> bool {
        let first = self.edits[0];
        (first.contig, first.start, &first.reference) == (edit.contig, edit.start, &edit.reference)
            && self.start == start
    }

    /// The bases from `start` on with an allele in the place of the edit's reference bases: as many as the context, or all that
    /// there are.
    fn haplotype(
        &self,
        bench: &Bench<'_>,
        edit: &Edit,
        start: u64,
        allele: &[u8],
        strand: Strand,
    ) -> Result<Haplotype, longstrand_seq::Error> {
        let read = |range| bench.reference.read(edit.contig, range, Strand::Forward);
        let room = usize::try_from(self.context).expect("a window fits in memory");
        let mut bases = read(start..edit.start)?;
        let start = bases.len();
        bases.extend(allele.iter().take(room - start));
        let end = bases.len();
        let behind = edit.end()..(edit.end() + (room - end) as u64).min(self.span.end);
        bases.extend(read(behind)?);
        let allele = match strand {
            Strand::Forward => start..end,
            Strand::Reverse => bases.len() - end..bases.len() - start,
        };
        if strand == Strand::Reverse {
            reverse_complement(&mut bases);
        }
        Ok(Haplotype { bases, allele })
    }

    /// log p and the number of bases that it counts.
    fn likelihood(
        &self,
        bench: &Bench<'_>,
        haplotype: &Haplotype,
        scratch: &mut Scratch<f32>,
    ) -> Result<[f64; 2], ScoreError> {
        // Nothing that stands behind a base changes its probability: padding would be read for nothing.
        let mut ids = haplotype.bases.clone();
        bench.predictor.vocabulary().encode_in_place(&mut ids);
        let sum = bench.predictor.log_likelihood(&ids, scratch, bench.watch)?;
        Ok([sum, ids.len().saturating_sub(1) as f64])
    }

    /// The mean hidden state of the allele and of the bases around it, `[width]`.
    fn embedding(
        &self,
        bench: &Bench<'_>,
        haplotype: &Haplotype,
        scratch: &mut Scratch<f32>,
    ) -> Result<Vec<f64>, ScoreError> {
        let vocabulary = bench.predictor.vocabulary();
        let radius = usize::try_from(bench.options.pool_radius).unwrap_or(usize::MAX);
        let Range { start, end } = haplotype.allele;
        let around = start.saturating_sub(radius)..end.saturating_add(radius).min(haplotype.bases.len());
        let mut ids = haplotype.bases.clone();
        vocabulary.encode_in_place(&mut ids);
        pad(&mut ids, self.context, vocabulary.id(b'N'));
        Ok(bench.predictor.mean_embedding(&ids, around, scratch, bench.watch)?)
    }
}

/// 1 − cosine, Euclidean distance and inner product.
fn distances(a: &[f64], b: &[f64]) -> [f64; 3] {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    [1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(), squares.sqrt(), dot(a, b)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_plane() {
        let [cosine, l2, dot] = distances(&[3.0, 0.0], &[3.0, 4.0]);
        assert!((cosine - 0.4).abs() < 1e-15 && l2 == 4.0 && dot == 9.0);
        let [cosine, l2, _] = distances(&[0.1, 0.2], &[0.1, 0.2]);
        assert!(cosine.abs() < 1e-15 && l2 == 0.0);
    }
}
