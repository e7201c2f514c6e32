//! Gradients of a classification head.

use std::ops::Range;

use longstrand_kernels::{Backend, backend::Scalar, pool};

use super::{Gradients, TrainScratch, Trainee};
use crate::checkpoint::Weights;
use crate::config::{ClassifierPooling, Config};
use crate::encode::Chunking;
use crate::strand::Arrangement;
use crate::watch::{Meter, Unwatched};

/// The classification head with the channels as the strands have them behind the last layer.
pub(super) fn oriented_score(config: &Config, weights: &Weights) -> Option<Vec<f64>> {
    let mut score: Vec<f64> = weights.score.as_ref()?.iter().map(|&x| x.into()).collect();
    if Arrangement::after_blocks(config, config.n_layer).swapped {
        score.chunks_exact_mut(config.d_model).for_each(<[f64]>::reverse);
    }
    Some(score)
}

/// A sequence that has been classified, and what the way back needs of it.
///
/// Several may wait at a time, each in a scratch of its own, where a loss is of several sequences together.
#[derive(Debug)]
pub struct Classified<'a, B: Backend> {
    trainee: &'a Trainee<B>,
    ids: &'a [u8],
    scratch: &'a mut TrainScratch<B::Scalar>,
    spans: Vec<Range<usize>>,
    score: &'a [f64],
    pooling: ClassifierPooling,
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
        let score = self.score.as_deref()?;
        let pooling = self.model.classifier.as_ref()?.pooling();
        assert!(!ids.is_empty(), "an empty sequence has no class");
        let spans = self.spans(chunking, ids.len());
        let flow = self.forward(ids, &spans, scratch, &mut Meter::new(&Unwatched, 0, 0));
        debug_assert!(flow.is_continue(), "nobody breaks it off");
        let strands = self.model.tables.len();
        let pooled = (0..strands).map(|strand| self.pool(strand, pooling, &spans, scratch)).collect();
        let mut classified =
            Classified { trainee: self, ids, scratch, spans, score, pooling, pooled, logits: Vec::new() };
        classified.logits = classified.scores();
        Some(classified)
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

    /// The row of a chunk that pooling by the first or last position keeps. The half in slot b is the reverse
    /// complement's, whose first position is the last here.
    fn kept_position(
        &self,
        strand: usize,
        pooling: ClassifierPooling,
        span: &Range<usize>,
        spans: &[Range<usize>],
    ) -> Option<usize> {
        let config = self.model.config();
        let turned = Arrangement::after_blocks(config, config.n_layer).backwards(strand);
        let is_first = (pooling == ClassifierPooling::First) != turned;
        let position = if is_first { 0 } else { spans.last()?.end - 1 };
        span.contains(&position).then(|| position - span.start)
    }
}

impl<B: Backend> Classified<'_, B> {
    /// Logits of the labels.
    pub fn logits(&self) -> &[B::Scalar] {
        &self.logits
    }

    fn scores(&self) -> Vec<B::Scalar> {
        let strands = self.pooled.len() as f64;
        let dot = |row: &[f64], pooled: &[f64]| row.iter().zip(pooled).map(|(w, x)| w * x).sum::<f64>();
        let rows = self.score.chunks_exact(self.trainee.model.config().d_model);
        rows.map(|row| self.pooled.iter().map(|pooled| dot(row, pooled)).sum::<f64>() / strands)
            .map(B::Scalar::from_f64)
            .collect()
    }

    /// Adds the gradients of a loss, given those that it has by the logits.
    ///
    /// # Panics
    ///
    /// Panics if `d_logits` is not one for each label, or the gradients are those of another model.
    pub fn backward(self, d_logits: &[f64], gradients: &mut Gradients<B::Scalar>) {
        assert_eq!(d_logits.len(), self.logits.len(), "one gradient for each label");
        self.add_score_gradient(d_logits, gradients);
        let d_pooled = self.d_pooled(d_logits);
        let Self { trainee, ids, scratch, spans, pooling, pooled, .. } = self;
        let mut d_hidden = scratch.adjoints.d_hidden[0].take();
        for (strand, pooled) in pooled.iter().enumerate() {
            let mut d_pooled = d_pooled.clone();
            for span in &spans {
                let normed = trainee.final_hidden(strand, span, scratch);
                let d_normed = d_hidden.get(span.len());
                d_normed.fill(B::Scalar::default());
                match pooling {
                    ClassifierPooling::Mean => pool::mean_rows_backward(&d_pooled, ids.len(), d_normed),
                    ClassifierPooling::Max => pool::max_rows_backward(normed, pooled, &mut d_pooled, d_normed),
                    ClassifierPooling::First | ClassifierPooling::Last => {
                        if let Some(t) = trainee.kept_position(strand, pooling, span, &spans) {
                            let row = &mut d_normed[t * d_pooled.len()..];
                            row.iter_mut().zip(&d_pooled).for_each(|(x, &d)| *x = B::Scalar::from_f64(d));
                        }
                    }
                }
                trainee.final_norm_backward(strand, span, d_normed, scratch, gradients);
            }
        }
        scratch.adjoints.d_hidden[0] = d_hidden;
        let flow = trainee.backward(ids, &spans, scratch, gradients, &mut Meter::new(&Unwatched, 0, 0));
        debug_assert!(flow.is_continue(), "nobody breaks it off");
    }

    /// The gradient of each strand's pooled hidden states, `[D]`.
    fn d_pooled(&self, d_logits: &[f64]) -> Vec<f64> {
        let d = self.trainee.model.config().d_model;
        let mut d_pooled = vec![0.0; d];
        for (row, d_logit) in self.score.chunks_exact(d).zip(d_logits) {
            d_pooled.iter_mut().zip(row).for_each(|(x, w)| *x += d_logit * w / self.pooled.len() as f64);
        }
        d_pooled
    }

    fn add_score_gradient(&self, d_logits: &[f64], gradients: &mut Gradients<B::Scalar>) {
        let d_score = gradients.weights.score.as_mut().expect("gradients follow the weights");
        for (row, d_logit) in d_score.chunks_exact_mut(self.trainee.model.config().d_model).zip(d_logits) {
            for (i, x) in row.iter_mut().enumerate() {
                let pooled: f64 = self.pooled.iter().map(|pooled| pooled[i]).sum();
                *x = B::Scalar::from_f64(x.to_f64() + d_logit * pooled / self.pooled.len() as f64);
            }
        }
    }
}
