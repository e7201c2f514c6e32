//! Gradients of a classification head.

use std::ops::Range;

use longstrand_kernels::{Backend, backend::Scalar, pool};

use super::{Course, Gradients, TrainScratch, Trainee, WholeSequences};
use crate::config::ClassifierPooling;
use crate::encode::Chunking;
use crate::head::Score;
use crate::strand::Arrangement;
use crate::watch::{Meter, Unwatched};

/// A sequence that has been classified, and what the way back needs of it.
///
/// Several may wait at a time, each in a scratch of its own, where a loss is of several sequences together.
#[derive(Debug)]
pub struct Classified<'a, B: Backend> {
    trainee: &'a Trainee<B>,
    ids: &'a [u8],
    scratch: &'a mut TrainScratch<B::Scalar>,
    spans: Vec<Range<usize>>,
    score: &'a Score,
    /// Pooled final hidden states of each strand, `[D]`.
    pooled: Vec<Vec<f64>>,
    logits: Vec<B::Scalar>,
}

impl<B: Backend> Trainee<B> {
    /// Classifies a sequence, as [`Model::classify`](crate::Model::classify) does, and keeps what the way back needs;
    /// `None` for a model without a classification head.
    ///
    /// # Panics
    ///
    /// Panics if `ids` is empty or an id is not in the vocabulary.
    pub fn classify<'a>(
        &'a self,
        ids: &'a [u8],
        chunking: Chunking,
        scratch: &'a mut TrainScratch<B::Scalar>,
    ) -> Option<Classified<'a, B>> {
        let score = self.score.as_ref()?;
        assert!(!ids.is_empty(), "an empty sequence has no class");
        let spans = self.spans(chunking, ids.len());
        let meter = &mut Meter::new(&Unwatched, 0, 0);
        let flow = self.forward(ids, &spans, scratch, &mut Course { context: &mut WholeSequences, meter });
        debug_assert!(flow.is_continue(), "nobody breaks it off");
        let strands = self.model.tables.len();
        let pooled = (0..strands).map(|strand| self.pool(strand, score.pooling, &spans, scratch));
        let pooled: Vec<Vec<f64>> = pooled.collect();
        let logits = score.logits(&pooled).into_iter().map(B::Scalar::from_f64).collect();
        Some(Classified { trainee: self, ids, scratch, spans, score, pooled, logits })
    }

    /// Pools the final hidden states of a strand, in that strand's own orientation.
    fn pool(
        &self,
        strand: usize,
        pooling: ClassifierPooling,
        spans: &[Range<usize>],
        scratch: &mut TrainScratch<B::Scalar>,
    ) -> Vec<f64> {
        let d = self.model.config().d_model;
        let start = if pooling == ClassifierPooling::Max { f64::NEG_INFINITY } else { 0.0 };
        let mut pooled = vec![start; d];
        for span in spans {
            let normed = self.final_hidden(strand, span, scratch);
            match pooling {
                ClassifierPooling::Mean => pool::add_rows(normed, &mut pooled),
                ClassifierPooling::Max => pool::max_rows(normed, &mut pooled),
                ClassifierPooling::First | ClassifierPooling::Last => {
                    if let Some(t) = self.kept_position(strand, pooling, span, spans) {
                        pooled.iter_mut().zip(&normed[t * d..]).for_each(|(x, value)| *x = value.to_f64());
                    }
                }
            }
        }
        if pooling == ClassifierPooling::Mean {
            let len = spans.last().map_or(1, |span| span.end) as f64;
            pooled.iter_mut().for_each(|x| *x /= len);
        }
        pooled
    }

    /// Norms a chunk of a strand's last stream.
    fn final_hidden<'a>(
        &self,
        strand: usize,
        span: &Range<usize>,
        scratch: &'a mut TrainScratch<B::Scalar>,
    ) -> &'a [B::Scalar] {
        let model = &self.model;
        let stream = &mut scratch.kept.streams[strand];
        let normed = &mut scratch.forward.mixed[0];
        model.backend.norm(&model.norm_f.params(), stream.part(span), normed.get(span.len()));
        normed.filled(span.len())
    }

    /// The row of a chunk that pooling by the first or last position keeps.
    fn kept_position(
        &self,
        strand: usize,
        pooling: ClassifierPooling,
        span: &Range<usize>,
        spans: &[Range<usize>],
    ) -> Option<usize> {
        let config = self.model.config();
        let turned = Arrangement::after_blocks(config, config.n_layer).backwards(strand);
        let position = pooling.kept_position(turned, spans.last()?.end);
        span.contains(&position).then(|| position - span.start)
    }
}

impl<B: Backend> Classified<'_, B> {
    /// Logits of the labels.
    pub fn logits(&self) -> &[B::Scalar] {
        &self.logits
    }

    /// Adds the gradients of a loss, given those that it has by the logits.
    ///
    /// # Panics
    ///
    /// Panics if `d_logits` is not one for each label, or the gradients are those of another model.
    pub fn backward(self, d_logits: &[f64], gradients: &mut Gradients<B::Scalar>) {
        assert_eq!(d_logits.len(), self.logits.len(), "one gradient for each label");
        let Self { trainee, ids, scratch, spans, score, pooled, .. } = self;
        let d_score = gradients.weights.score.as_mut().expect("gradients follow the weights");
        score.add_gradient(d_logits, &pooled, d_score);
        let d_pooled = score.d_pooled(d_logits, pooled.len());
        let mut d_hidden = scratch.adjoints.d_hidden[0].take();
        for (strand, pooled) in pooled.iter().enumerate() {
            let mut d_pooled = d_pooled.clone();
            for span in &spans {
                let normed = trainee.final_hidden(strand, span, scratch);
                let d_normed = d_hidden.get(span.len());
                d_normed.fill(B::Scalar::default());
                match score.pooling {
                    ClassifierPooling::Mean => pool::mean_rows_backward(&d_pooled, ids.len(), d_normed),
                    ClassifierPooling::Max => pool::max_rows_backward(normed, pooled, &mut d_pooled, d_normed),
                    ClassifierPooling::First | ClassifierPooling::Last => {
                        if let Some(t) = trainee.kept_position(strand, score.pooling, span, &spans) {
                            let row = &mut d_normed[t * d_pooled.len()..];
                            row.iter_mut().zip(&d_pooled).for_each(|(x, &d)| *x = B::Scalar::from_f64(d));
                        }
                    }
                }
                trainee.final_norm_backward(strand, span, d_normed, scratch, gradients);
            }
        }
        scratch.adjoints.d_hidden[0] = d_hidden;
        let course = &mut Course { context: &mut WholeSequences, meter: &mut Meter::new(&Unwatched, 0, 0) };
        let flow = trainee.backward(ids, &spans, scratch, gradients, course);
        debug_assert!(flow.is_continue(), "nobody breaks it off");
    }
}
