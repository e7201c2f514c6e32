//! Gradients of the cross-entropy of a language model.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::cross_entropy::{Loss, Targets};
use longstrand_kernels::{Backend, Rows, backend::Scalar};

use super::layers::WAY_BACK;
use super::{Course, Gradients, TrainScratch, Trainee, WholeSequences};
use crate::encode::Chunking;
use crate::scratch::Scratch;
use crate::watch::Meter;

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
    /// `meter` is told of the [work](Self::work) chunk after chunk, layer after layer, and may break it off: then the
    /// gradients are of no use, and scratch and model are as good as before.
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
        meter: &mut Meter<'_>,
    ) -> ControlFlow<(), Option<Loss>> {
        let course = &mut Course { context: &mut WholeSequences, meter };
        self.gradients_of_stretch(example, normaliser, chunking, scratch, gradients, course)
    }

    /// As [`Self::gradients`], of a sequence whose stretches several ranks own: the example is this rank's, and so are the
    /// loss and the gradients, which are parts of sums over ranks. All ranks have the same normaliser.
    ///
    /// The work is that of the stretch. Where one rank's meter breaks off, all ranks do.
    ///
    /// # Panics
    ///
    /// As [`Self::gradients`].
    pub fn gradients_of_stretch(
        &self,
        example: &Example<'_, B::Scalar>,
        normaliser: f64,
        chunking: Chunking,
        scratch: &mut TrainScratch<B::Scalar>,
        gradients: &mut Gradients<B::Scalar>,
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<(), Option<Loss>> {
        if self.head.is_none() {
            return ControlFlow::Continue(None);
        }
        example.check();
        let spans = self.spans(chunking, example.ids.len());
        self.forward(example.ids, &spans, scratch, course)?;
        let scale = if normaliser == 0.0 { 0.0 } else { 1.0 / normaliser };
        let mut loss = Loss::default();
        for span in &spans {
            let of_chunk = self.head_backward(example, span, scale, scratch, gradients);
            loss = loss.and(of_chunk.expect("there is a head"));
            // The head is little work beside the layers.
            course.advance(0)?;
        }
        // Other ranks may have targets where this one has none.
        match scale != 0.0 && (loss.counted > 0 || !course.is_whole()) {
            true => self.backward(example.ids, &spans, scratch, gradients, course)?,
            false => course.advance(WAY_BACK * self.model.work(example.ids.len() as u64))?,
        }
        ControlFlow::Continue(Some(loss))
    }

    /// How much is reported to the meter, all in all, for the gradients of a sequence of `len` positions, however they are
    /// chunked.
    pub fn work(&self, len: u64) -> u64 {
        (1 + WAY_BACK) * self.model.work(len)
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};

    use longstrand_kernels::{Reference, cross_entropy::IGNORED};

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::watch::{Unwatched, Watch};

    const LEN: usize = 50;

    /// Counts bases, and stops the work when there are as many.
    struct Counting {
        bases: AtomicU64,
        limit: u64,
    }

    impl Counting {
        fn up_to(limit: u64) -> Self {
            Self { bases: AtomicU64::new(0), limit }
        }
    }

    impl Watch for Counting {
        fn advanced(&self, bases: u64) {
            self.bases.fetch_add(bases, Ordering::Relaxed);
        }

        fn is_cancelled(&self) -> bool {
            self.bases.load(Ordering::Relaxed) >= self.limit
        }
    }

    #[test]
    fn work_is_told_in_parts_and_what_is_broken_off_leaves_no_trace() {
        for case in ["hf-mamba", "hf-mamba2-groups", "caduceus-ph", "caduceus-ph-ewmul", "caduceus-ps"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(case);
            let Checkpoint { config, weights, .. } = Checkpoint::load(folder).unwrap();
            let trainee = Trainee::new(Reference, &config, &weights);
            let mut scratch = trainee.scratch();
            let mut learn = |seed: usize, label: u8, watch: &dyn Watch| {
                let mut gradients = Gradients::new(&config, &weights);
                let ids: Vec<u8> = (0..LEN).map(|t| (3 + (t * t + seed) % 5) as u8).collect();
                let example = Example { ids: &ids, labels: &[label; LEN], weights: None };
                let mut meter = Meter::new(watch, LEN as u64, trainee.work(LEN as u64));
                let chunking = Chunking::Positions(7.try_into().unwrap());
                let flow = trainee.gradients(&example, 1.0, chunking, &mut scratch, &mut gradients, &mut meter);
                (flow.is_continue(), gradients)
            };
            for label in [4, IGNORED] {
                let watch = Counting::up_to(u64::MAX);
                assert!(learn(0, label, &watch).0);
                assert_eq!(watch.bases.into_inner(), LEN as u64, "{case}");
            }
            let whole = learn(0, 4, &Unwatched).1;
            for limit in [1, 6, 12, 20, 40, LEN as u64] {
                let watch = Counting::up_to(limit);
                assert!(!learn(1, 5, &watch).0, "{case} at {limit}");
                assert!(watch.bases.into_inner() <= limit + 3, "{case} at {limit}: a chunk at a time");
                assert!(learn(0, 4, &Unwatched).1 == whole, "{case} behind {limit}");
            }
        }
    }
}
