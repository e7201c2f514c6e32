//! What is computed from the output of the final norm.

use longstrand_kernels::backend::Scalar;
use longstrand_kernels::lm_head::LmHead;
use longstrand_kernels::{Backend, Rows, RowsMut, Write};

use crate::checkpoint::Weights;
use crate::config::{ClassifierPooling, Config, Head};
use crate::encode::Chunking;
use crate::model::{Model, Observer, Request, Tap};
use crate::scratch::Scratch;
use crate::strand::Arrangement;

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
        let Head::LanguageModel { .. } = config.head else {
            return None;
        };
        let arrangement = Arrangement::after_blocks(config, config.n_layer);
        let table = weights.lm_head.as_ref().unwrap_or(&weights.embedding);
        let table = oriented(table, config.d_model, arrangement.swapped);
        let complement_map = config.rcps.as_ref().map(|rcps| rcps.complement_map.as_slice());
        let head = LmHead::new(backend, &table, config.d_model, complement_map);
        Some(Self { head, slots: arrangement.slots() })
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

/// The rows of a table, with the channels reversed if `flip`.
fn oriented(table: &[f32], d_model: usize, flip: bool) -> Vec<f32> {
    let mut table = table.to_vec();
    if flip {
        table.chunks_exact_mut(d_model).for_each(<[f32]>::reverse);
    }
    table
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
        let mut pooler = Pooler {
            pooling: classifier.pooling,
            halves: vec![Pooled::new(d); self.width() / d],
            len: ids.len() as u64,
        };
        let request = Request { taps: &[Tap::Last], logits: false };
        let _ = self.encode(ids, chunking, &request, scratch, &mut pooler);
        let mut scores = vec![0.0; classifier.labels];
        for (slot, half) in pooler.halves.iter().enumerate() {
            let pooled = half.finish(classifier.pooling, ids.len(), slot == 1);
            let mut out = vec![B::Scalar::default(); classifier.labels];
            let out_rows = RowsMut::new(&mut out, classifier.labels);
            self.backend.linear(&classifier.score, Rows::new(&pooled, d), out_rows, Write::Set);
            for (score, out) in scores.iter_mut().zip(out) {
                *score += out.to_f64() / pooler.halves.len() as f64;
            }
        }
        Some(scores.into_iter().map(B::Scalar::from_f64).collect())
    }
}

/// Pools the final hidden states of each half.
struct Pooler {
    pooling: ClassifierPooling,
    halves: Vec<Pooled>,
    len: u64,
}

/// A half's pooled state, `[D]`.
#[derive(Clone)]
struct Pooled {
    value: Vec<f64>,
    seen: bool,
}

impl Pooled {
    fn new(d: usize) -> Self {
        Self { value: vec![0.0; d], seen: false }
    }

    fn finish<S: Scalar>(&self, pooling: ClassifierPooling, len: usize, reverse: bool) -> Vec<S> {
        let scale = if pooling == ClassifierPooling::Mean { 1.0 / len as f64 } else { 1.0 };
        let mut value: Vec<S> = self.value.iter().map(|x| S::from_f64(x * scale)).collect();
        if reverse {
            value.reverse();
        }
        value
    }

    fn add<S: Scalar>(&mut self, row: &[S], join: impl Fn(f64, f64) -> f64) {
        for (value, x) in self.value.iter_mut().zip(row) {
            *value = if self.seen { join(*value, x.to_f64()) } else { x.to_f64() };
        }
        self.seen = true;
    }
}

impl<S: Scalar> Observer<S> for Pooler {
    fn hidden(&mut self, _: Tap, start: u64, rows: Rows<'_, S>) {
        let d = self.halves[0].value.len();
        for t in 0..rows.len() {
            for (slot, half) in self.halves.iter_mut().enumerate() {
                let row = &rows.row(t)[slot * d..][..d];
                let position = start + t as u64;
                // The second half is the reverse complement's, whose last position is the first here.
                let (first, last) = if slot == 0 { (0, self.len - 1) } else { (self.len - 1, 0) };
                match self.pooling {
                    ClassifierPooling::Mean => half.add(row, |sum, x| sum + x),
                    ClassifierPooling::Max => half.add(row, f64::max),
                    ClassifierPooling::First if position == first => half.add(row, |_, x| x),
                    ClassifierPooling::Last if position == last => half.add(row, |_, x| x),
                    ClassifierPooling::First | ClassifierPooling::Last => {}
                }
            }
        }
    }
}
