//! Gradients of the cross-entropy of a language model.

use std::ops::Range;

use longstrand_kernels::cross_entropy::{Loss, Targets};
use longstrand_kernels::{Backend, Rows, backend::Scalar};

use super::{Gradients, TrainScratch, Trainee};
use crate::encode::Chunking;
use crate::scratch::Scratch;

/// A sequence and what a language model should say at its positions.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a, S> {
    /// Token ids, `[L]`.
    pub ids: &'a [u8],
    /// What is right at each position, `[L]`; [`IGNORED`](super::IGNORED) where nothing is asked. A causal model is asked
    /// for the next token, so its labels are its ids moved by one.
    pub labels: &'a [u8],
    /// How much each position counts, `[L]`; all count 1 without.
    pub weights: Option<&'a [S]>,
}

impl<'a, S: Scalar> Example<'a, S> {
    fn targets(&self, span: &Range<usize>) -> Targets<'a, S> {
        Targets { labels: &self.labels[span.clone()], weights: self.weights.map(|weights| &weights[span.clone()]) }
    }

    fn check(&self) {
        assert_eq!(self.labels.len(), self.ids.len(), "as many labels as ids");
        if let Some(weights) = self.weights {
            assert_eq!(weights.len(), self.ids.len(), "as many weights as ids");
        }
    }
}

impl<B: Backend> Trainee<B> {
    /// Adds the gradients of Σ weight · cross-entropy / `normaliser` over an example's positions, and returns the sums
    /// themselves, or `None` for a model without a language-model head.
    ///
    /// For the mean over a batch the normaliser is the sum of the weights of all its examples, which the labels tell
    /// beforehand. With a normaliser of 0 nothing is added.
    ///
    /// # Panics
    ///
    /// Panics if the labels or weights are not one for each id, an id or label is not in the vocabulary, or the gradients
    /// are those of another model.
    pub fn gradients(
        &self,
        example: &Example<'_, B::Scalar>,
        normaliser: f64,
        chunking: Chunking,
        scratch: &mut TrainScratch<B::Scalar>,
        gradients: &mut Gradients<B::Scalar>,
    ) -> Option<Loss> {
        self.head.as_ref()?;
        example.check();
        let spans = self.spans(chunking, example.ids.len());
        self.forward(example.ids, &spans, scratch);
        let scale = if normaliser == 0.0 { 0.0 } else { 1.0 / normaliser };
        let mut loss = Loss::default();
        for span in &spans {
            loss = loss.and(self.head_backward(example, span, scale, scratch, gradients)?);
        }
        if scale != 0.0 && loss.counted > 0 {
            self.backward(example.ids, &spans, scratch, gradients);
        }
        Some(loss)
    }

    /// The loss of a chunk; puts the gradients of the last streams in their places.
    fn head_backward(
        &self,
        example: &Example<'_, B::Scalar>,
        span: &Range<usize>,
        scale: f64,
        scratch: &mut TrainScratch<B::Scalar>,
        gradients: &mut Gradients<B::Scalar>,
    ) -> Option<Loss> {
        let (head, transposed) = self.model.language_head.as_ref().zip(self.head.as_ref())?;
        let (model, backend) = (&self.model, &self.model.backend);
        let (d, rows) = (model.config().d_model, span.len());
        let TrainScratch { forward: Scratch { mixed, logits, .. }, adjoints, kept } = &mut *scratch;
        let streams = &mut kept.streams;
        for (stream, normed) in streams.iter_mut().zip(&mut *mixed) {
            backend.norm(&model.norm_f.params(), stream.part(span), normed.get(rows));
        }
        let hidden: Vec<_> = mixed.iter().take(streams.len()).map(|normed| Rows::new(normed.filled(rows), d)).collect();
        head.forward(backend, &hidden, logits.get(rows));

        let (width, targets) = (model.config().vocab_size, example.targets(span));
        let loss = backend.cross_entropy(logits.filled(rows), width, &targets, None);
        let d_logits = adjoints.d_logits.get(rows);
        backend.cross_entropy_backward(logits.filled(rows), width, &targets, scale, d_logits);
        transposed.backward(backend, &hidden, d_logits, &mut adjoints.d_hidden, gradients.head_mut());
        let strands = streams.len();
        for strand in 0..strands {
            let d_hidden = scratch.adjoints.d_hidden[strand].take();
            self.final_norm_backward(strand, span, d_hidden.filled(rows), scratch, gradients);
            scratch.adjoints.d_hidden[strand] = d_hidden;
        }
        Some(loss)
    }
}
