//! What is computed from the output of the final norm.

use longstrand_kernels::backend::Scalar;
use longstrand_kernels::lm_head::LmHead;
use longstrand_kernels::{Backend, Rows, RowsMut, Write, pool};

use crate::checkpoint::Weights;
use crate::config::{ClassifierPooling, Config, Head};
use crate::encode::Chunking;
use crate::model::Model;
use crate::output::{Observer, Request, Tap};
use crate::scratch::Scratch;
use crate::strand::Arrangement;

pub(crate) mod backward;
mod score;

pub(crate) use score::Score;

/// The language-model head, and which strand's final hidden states its two matrices take.
///
/// Of an RCPS model, logits = a Eᵀ + reverse_channels(b) E\[complement\]ᵀ, where strands with reversed channels take
/// matrices with reversed columns.
#[derive(Debug)]
pub(crate) struct LanguageHead<B: Backend> {
    head: LmHead<B>,
    slots: [usize; 2],
}

impl<B: Backend> LanguageHead<B> {
    pub(crate) fn new(backend: &B, config: &Config, weights: &Weights) -> Option<Self> {
        let HeadTable { table, complement_map, slots } = head_table(config, weights)?;
        Some(Self { head: LmHead::new(backend, &table, config.d_model, complement_map), slots })
    }

    /// Logits `[L, V]` of the strands' final hidden states, `[L, D]` each.
    pub(crate) fn forward(&self, backend: &B, strands: &[Rows<'_, B::Scalar>], logits: &mut [B::Scalar]) {
        match strands {
            [stream] => self.head.forward(backend, *stream, None, logits),
            strands => {
                let [a, b] = self.slots;
                self.head.forward(backend, strands[a], Some(strands[b]), logits);
            }
        }
    }
}

/// What the matrices of a language-model head are made of, and which strand each takes.
pub(crate) struct HeadTable<'a> {
    /// `[V, D]`, with the channels as the strands have them.
    pub(crate) table: Vec<f32>,
    pub(crate) complement_map: Option<&'a [u8]>,
    pub(crate) slots: [usize; 2],
}

/// The weight of the language-model head, if there is one.
pub(crate) fn head_table<'a>(config: &'a Config, weights: &Weights) -> Option<HeadTable<'a>> {
    let Head::LanguageModel { .. } = config.head else {
        return None;
    };
    let arrangement = Arrangement::after_blocks(config, config.n_layer);
    let mut table = weights.lm_head.as_ref().unwrap_or(&weights.embedding).clone();
    if arrangement.swapped {
        table.chunks_exact_mut(config.d_model).for_each(<[f32]>::reverse);
    }
    let complement_map = config.rcps.as_ref().map(|rcps| rcps.complement_map.as_slice());
    Some(HeadTable { table, complement_map, slots: arrangement.slots() })
}

/// The sequence-classification head.
#[derive(Debug)]
pub(crate) struct Classifier<B: Backend> {
    /// `[labels, D]`
    score: B::Matrix,
    labels: usize,
    pooling: ClassifierPooling,
}

impl<B: Backend> Classifier<B> {
    pub(crate) fn new(backend: &B, config: &Config, weights: &Weights) -> Option<Self> {
        let Head::SequenceClassification { n_labels, pooling } = config.head else {
            return None;
        };
        let score = backend.matrix(weights.score.as_ref()?, config.d_model, None);
        Some(Self { score, labels: n_labels, pooling })
    }
}

impl<B: Backend> Model<B> {
    /// The logits of a sequence-classification head, `[labels]`, or `None` for a model without one.
    ///
    /// Of an RCPS model, the mean of the scores of both strands, each pooled in its own orientation.
    ///
    /// # Panics
    ///
    /// Panics if `ids` is empty or an id is not in the vocabulary.
    pub fn classify(&self, ids: &[u8], chunking: Chunking, scratch: &mut Scratch<B::Scalar>) -> Option<Vec<B::Scalar>> {
        let classifier = self.classifier.as_ref()?;
        assert!(!ids.is_empty(), "an empty sequence has no class");
        let d = self.config().d_model;
        let mut pooler = Pooler::new(classifier.pooling, self.width(), d, ids.len());
        let request = Request { taps: &[Tap::Last], logits: false };
        let _ = self.encode(ids, chunking, &request, scratch, &mut pooler);
        let halves = pooler.finish::<B::Scalar>();
        let mut scores = vec![0.0; classifier.labels];
        let strands = (halves.len() / d) as f64;
        for half in halves.chunks_exact(d) {
            let mut out = vec![B::Scalar::default(); classifier.labels];
            let out_rows = RowsMut::new(&mut out, classifier.labels);
            self.backend.linear(&classifier.score, Rows::new(half, d), out_rows, Write::Set);
            for (score, out) in scores.iter_mut().zip(out) {
                *score += out.to_f64() / strands;
            }
        }
        Some(scores.into_iter().map(B::Scalar::from_f64).collect())
    }
}

/// Pools the final hidden states, the halves of an RCPS model side by side.
struct Pooler {
    pooling: ClassifierPooling,
    /// `[D]` or `[2 D]`
    value: Vec<f64>,
    d_model: usize,
    /// Positions of the sequence.
    len: usize,
}

impl Pooler {
    fn new(pooling: ClassifierPooling, width: usize, d_model: usize, len: usize) -> Self {
        let start = if pooling == ClassifierPooling::Max { f64::NEG_INFINITY } else { 0.0 };
        Self { pooling, value: vec![start; width], d_model, len }
    }

    /// Keeps of each half its first or last position.
    fn keep<S: Scalar>(&mut self, start: u64, rows: Rows<'_, S>) {
        for (slot, half) in self.value.chunks_exact_mut(self.d_model).enumerate() {
            let position = self.pooling.kept_position(slot == 1, self.len) as u64;
            let Some(t) = position.checked_sub(start).filter(|&t| t < rows.len() as u64) else { continue };
            let row = &rows.row(t as usize)[slot * self.d_model..];
            half.iter_mut().zip(row).for_each(|(value, x)| *value = x.to_f64());
        }
    }

    /// The pooled halves, `[D]` each, each with the channels in the order of its own orientation.
    fn finish<S: Scalar>(mut self) -> Vec<S> {
        if self.pooling == ClassifierPooling::Mean {
            let scale = 1.0 / self.len as f64;
            self.value.iter_mut().for_each(|x| *x *= scale);
        }
        self.value.chunks_exact_mut(self.d_model).skip(1).for_each(<[f64]>::reverse);
        self.value.into_iter().map(S::from_f64).collect()
    }
}

impl<S: Scalar> Observer<S> for Pooler {
    fn hidden(&mut self, _: Tap, start: u64, rows: Rows<'_, S>) {
        let all = (0..rows.len()).map(|t| rows.row(t));
        match self.pooling {
            ClassifierPooling::Mean => all.for_each(|row| pool::add_rows(row, &mut self.value)),
            ClassifierPooling::Max => all.for_each(|row| pool::max_rows(row, &mut self.value)),
            ClassifierPooling::First | ClassifierPooling::Last => self.keep(start, rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pools five positions of a model of width 2 and two halves, handed over in two parts.
    fn pooled(pooling: ClassifierPooling) -> Vec<f64> {
        let rows: Vec<f64> = (0..20).map(|i| f64::from((7 * i) % 20)).collect();
        let mut pooler = Pooler::new(pooling, 4, 2, 5);
        for (start, part) in [(0, &rows[..12]), (3, &rows[12..])] {
            pooler.hidden(Tap::Last, start, Rows::new(part, 4));
        }
        pooler.finish()
    }

    /// The rows are 0 7 14 1, 8 15 2 9, 16 3 10 17, 4 11 18 5, 12 19 6 13; the second half is reversed in length and
    /// channels.
    #[test]
    fn each_half_is_pooled_in_its_own_orientation() {
        assert_eq!(pooled(ClassifierPooling::Mean), [8.0, 11.0, 9.0, 10.0]);
        assert_eq!(pooled(ClassifierPooling::Max), [16.0, 19.0, 17.0, 18.0]);
        assert_eq!(pooled(ClassifierPooling::First), [0.0, 7.0, 13.0, 6.0]);
        assert_eq!(pooled(ClassifierPooling::Last), [12.0, 19.0, 1.0, 14.0]);
    }
}
