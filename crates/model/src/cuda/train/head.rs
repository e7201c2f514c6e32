//! The loss of a language model, and the way back through its head and the final norm.

use std::ops::Range;

use longstrand_kernels::Write;
use longstrand_kernels::cross_entropy::cuda::{self as cross_entropy, Targets};
use longstrand_kernels::cuda::{Buffer, CudaError, Real};
use longstrand_kernels::linear::cuda::{Matrix, MatrixMut};

use super::cut::Cut;
use super::pass::{Objective, Trainer};
use super::sums::add_gradient;
use crate::cuda::layout::Layout;
use crate::cuda::output::Streams;
use crate::cuda::weights::Head;
use crate::train::{Example, IGNORED};

/// A chunk of all strands at the head.
struct Chunk<T: Real> {
    layout: Layout,
    /// The final norm's output of each strand, `[used columns, D]`.
    normed: Vec<Buffer<T>>,
    /// `[used columns, V]`
    d_logits: Buffer<T>,
}

/// Σ weight · cross-entropy · `scale` over the positions of examples.
pub(super) struct CrossEntropy<'a> {
    pub(super) examples: &'a [Example<'a, f32>],
    pub(super) scale: f64,
}

impl<T: Real> Objective<T> for CrossEntropy<'_> {
    fn d_streams(
        &mut self,
        trainer: &mut Trainer<T>,
        group: Range<usize>,
        cut: &Cut,
        streams: &Buffer<f32>,
    ) -> Result<Buffer<f32>, CudaError> {
        let (d, strands) = (trainer.executor.config.d_model, trainer.executor.strands());
        let mut d_streams = trainer.executor.device.buffer::<f32>(streams.len())?;
        for span in &cut.spans {
            let (layout, part) = (cut.layout(span), |strand: usize| cut.elements(strand, span, d));
            let views = (0..strands).map(|strand| streams.view().slice(part(strand)));
            let of_chunk = Streams::new(span.start, layout, views);
            let chunk = trainer.loss(&self.examples[group.clone()], span, of_chunk, self.scale)?;
            let mut d_hidden = trainer.executor.device.buffer::<T>(layout.used() * d)?;
            for slot in 0..strands {
                let strand = if strands == 1 { 0 } else { trainer.language_head().slots[slot] };
                trainer.hidden(slot, strand, &chunk, &mut d_hidden)?;
                let stream = streams.view().slice(part(strand));
                let d_stream = d_streams.view_mut().slice(part(strand));
                trainer.final_norm_backward(layout, stream, d_hidden.view(), d_stream)?;
            }
        }
        Ok(d_streams)
    }
}

impl<T: Real> Trainer<T> {
    /// # Panics
    ///
    /// Panics if the model has no language-model head, or labels and weights do not fit.
    pub(super) fn check(&self, example: &Example<'_, f32>) {
        assert!(self.executor.weights.head.is_some(), "the model has no language-model head");
        assert_eq!(example.labels.len(), example.ids.len(), "as many labels as ids");
        if let Some(weights) = example.weights {
            assert_eq!(weights.len(), example.ids.len(), "as many weights as ids");
        }
        let vocabulary = self.executor.config.vocab_size;
        let is_known = |&label: &u8| label == IGNORED || usize::from(label) < vocabulary;
        assert!(example.labels.iter().all(is_known), "a label is not in the vocabulary");
    }

    fn language_head(&self) -> &Head<T> {
        self.executor.weights.head.as_ref().expect("examples are checked for a head")
    }

    /// Adds the loss of a chunk, and gives the gradient of its logits.
    fn loss(
        &mut self,
        group: &[Example<'_, f32>],
        span: &Range<usize>,
        streams: Streams<'_>,
        scale: f64,
    ) -> Result<Chunk<T>, CudaError> {
        let (width, layout) = (self.executor.config.vocab_size, streams.layout);
        let normed: Vec<Buffer<T>> = self.executor.normed(&streams)?;
        let logits = self.executor.logits(self.language_head(), &normed, layout.used())?;
        let (labels, weights) = self.targets(group, span, layout)?;
        let targets = Targets { labels: labels.view(), weights: weights.as_ref().map(Buffer::view) };
        cross_entropy::forward(logits.view(), width, &targets, &mut self.loss)?;
        let mut d_logits = self.executor.device.buffer::<T>(layout.used() * width)?;
        cross_entropy::backward(logits.view(), width, &targets, scale, d_logits.view_mut())?;
        Ok(Chunk { layout, normed, d_logits })
    }

    /// Sets the gradient of a strand's final hidden states, `[used columns, D]`, and adds that of the head's table for it.
    fn hidden(
        &mut self,
        slot: usize,
        strand: usize,
        chunk: &Chunk<T>,
        d_hidden: &mut Buffer<T>,
    ) -> Result<(), CudaError> {
        let (how, d, width) = (self.executor.how, self.executor.config.d_model, self.executor.config.vocab_size);
        let Chunk { layout, normed, d_logits } = chunk;
        let rows = layout.used();
        let table = Matrix::new(self.language_head().tables[slot].view(), width, d, d);
        let d_rows = Matrix::new(d_logits.view(), rows, width, width);
        how.rows(d_rows, table, MatrixMut::new(d_hidden.view_mut(), rows, d, d), Write::Set)?;
        let place = self.sums.places.heads[slot].clone();
        for columns in layout.positions() {
            let of = |width| columns.start * width..columns.end * width;
            let d_rows = Matrix::new(d_logits.view().slice(of(width)), columns.len(), width, width);
            let x = Matrix::new(normed[strand].view().slice(of(d)), columns.len(), d, d);
            add_gradient(how, d_rows.transposed(), x, &mut self.sums, &place)?;
        }
        Ok(())
    }

    /// Labels and weights of a chunk, as the layout has them.
    fn targets(
        &self,
        group: &[Example<'_, f32>],
        span: &Range<usize>,
        layout: Layout,
    ) -> Result<(Buffer<u8>, Option<Buffer<f32>>), CudaError> {
        let (device, row) = (&self.executor.device, layout.used() / layout.sequences);
        let mut labels = vec![IGNORED; layout.used()];
        let mut weights = vec![1.0; if group.iter().any(|one| one.weights.is_some()) { layout.used() } else { 0 }];
        for (i, example) in group.iter().enumerate() {
            labels[i * row..][..span.len()].copy_from_slice(&example.labels[span.clone()]);
            if let Some(of_example) = example.weights {
                weights[i * row..][..span.len()].copy_from_slice(&of_example[span.clone()]);
            }
        }
        let weights = if weights.is_empty() { None } else { Some(device.upload(&weights)?) };
        Ok((device.upload(&labels)?, weights))
    }
}
