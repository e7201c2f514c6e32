//! The loss of sequences, and the way back through the head and the final norm.

use std::ops::Range;

use longstrand_kernels::Write;
use longstrand_kernels::cross_entropy::cuda::{self as cross_entropy, Targets};
use longstrand_kernels::cuda::{Buffer, CudaError, Real};
use longstrand_kernels::linear::cuda::{Matrix, MatrixMut};

use super::norm::{NormBackward, NormPlace};
use super::pass::{Cut, Trainer};
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

impl<T: Real> Trainer<T> {
    /// Adds the loss to the sums, and gives the gradient of the streams behind the last layer, `[strands, columns, D]`.
    pub(super) fn head(
        &mut self,
        group: &[Example<'_, f32>],
        cut: &Cut,
        streams: &Buffer<f32>,
        scale: f64,
    ) -> Result<Buffer<f32>, CudaError> {
        let (d, strands) = (self.executor.config.d_model, self.executor.strands());
        let size = cut.of_strand.columns() * d;
        let mut d_streams = self.executor.device.buffer::<f32>(strands * size)?;
        for span in &cut.spans {
            let (first, elements) = (span.start * d, cut.layout(span).used() * d);
            let part = |strand: usize| strand * size + first..strand * size + first + elements;
            let views = (0..strands).map(|strand| streams.view().slice(part(strand)));
            let chunk = self.loss(group, span, Streams::new(span.start, cut.layout(span), views), scale)?;
            let mut d_hidden = self.executor.device.buffer::<T>(elements)?;
            for slot in 0..strands {
                let strand = if strands == 1 { 0 } else { self.language_head().slots[slot] };
                self.hidden(slot, strand, &chunk, &mut d_hidden)?;
                let place = NormPlace::of(&self.sums.places.weights.norm_f);
                let backward = NormBackward { norm: &self.executor.weights.norm_f, width: d, place };
                let x = streams.view().slice(part(strand));
                let d_x = d_streams.view_mut().slice(part(strand));
                backward.run(chunk.layout, x, d_hidden.view(), d_x, Write::Set, &mut self.sums)?;
            }
        }
        Ok(d_streams)
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
