//! The logits of a classification head, and the way back through pooling and the final norm.
//!
//! Hidden states are pooled on the device, of each strand in its own orientation. What they are multiplied by is a small
//! matrix: logits, the loss and their gradients are computed on the host, in f64.

use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Real};
use longstrand_kernels::pool::cuda::{self as pool, Maxima, Share, Span};

use super::cut::Cut;
use super::pass::{Objective, Trainer};
use crate::cuda::output::Streams;
use crate::cuda::pool::Met;
use crate::pooling::{Pooling, Reduction};
use crate::strand::Arrangement;

/// Why there is a head where one is taken.
const HAS_HEAD: &str = "it is asked for before anything is passed";

/// A loss by the logits of sequences.
pub(super) struct Classification<'a> {
    /// Its gradient by the logits of a sequence, whose place among all is given.
    pub(super) d_logits: &'a mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
}

/// The last streams of sequences that are pooled.
struct Hidden<'a> {
    cut: &'a Cut,
    /// `[strands, columns, D]`
    streams: &'a Buffer<f32>,
}

/// What a strand's final hidden states are pooled to.
struct Pooled {
    pooling: Pooling,
    /// `[sequences, D]`
    vectors: Buffer<f32>,
}

impl<T: Real> Objective<T> for Classification<'_> {
    fn d_streams(
        &mut self,
        trainer: &mut Trainer<T>,
        group: Range<usize>,
        cut: &Cut,
        streams: &Buffer<f32>,
    ) -> Result<Buffer<f32>, CudaError> {
        let hidden = Hidden { cut, streams };
        let strands = 0..trainer.executor.strands();
        let pooled = strands.map(|strand| trainer.pooled(strand, &hidden)).collect::<Result<Vec<_>, _>>()?;
        let d_vectors = self.d_vectors(trainer, group, &pooled)?;
        let mut d_streams = trainer.executor.device.buffer::<f32>(streams.len())?;
        for (strand, pooled) in pooled.iter().enumerate() {
            trainer.pooled_backward(strand, &hidden, pooled, &d_vectors, &mut d_streams)?;
        }
        Ok(d_streams)
    }
}

impl Classification<'_> {
    /// Adds the gradient of the head, and gives that of the pooled hidden states of each strand, `[sequences, D]`.
    fn d_vectors<T: Real>(
        &mut self,
        trainer: &mut Trainer<T>,
        group: Range<usize>,
        pooled: &[Pooled],
    ) -> Result<Vec<f64>, CudaError> {
        let d = trainer.executor.config.d_model;
        let of_strand = |pooled: &Pooled| pooled.vectors.view().to_vec();
        let vectors = pooled.iter().map(of_strand).collect::<Result<Vec<Vec<f32>>, CudaError>>()?;
        let score = trainer.score.as_ref().expect(HAS_HEAD);
        let mut d_vectors = Vec::with_capacity(group.len() * d);
        for (row, place) in group.enumerate() {
            let of_strand = |vectors: &Vec<f32>| vectors[row * d..][..d].iter().map(|&x| x.into()).collect();
            let of_strands: Vec<Vec<f64>> = vectors.iter().map(of_strand).collect();
            let logits = score.logits(&of_strands);
            let d_logits = (self.d_logits)(place, &logits);
            assert_eq!(d_logits.len(), logits.len(), "one gradient for each label");
            score.add_gradient(&d_logits, &of_strands, &mut trainer.sums.d_score);
            d_vectors.extend(score.d_pooled(&d_logits, pooled.len()));
        }
        Ok(d_vectors)
    }
}

impl<T: Real> Trainer<T> {
    /// Pools the final hidden states of a strand.
    fn pooled(&self, strand: usize, hidden: &Hidden<'_>) -> Result<Pooled, CudaError> {
        let (device, config) = (&self.executor.device, &self.executor.config);
        let (layout, d) = (hidden.cut.of_strand, config.d_model);
        let is_turned = Arrangement::after_blocks(config, config.n_layer).backwards(strand);
        let pooling = self.score.as_ref().expect(HAS_HEAD).pooling.of_span(is_turned, layout.len);
        let mut open = device.buffer::<f64>(layout.sequences * d)?;
        let mut vectors = device.buffer::<f32>(layout.sequences * d)?;
        for span in &hidden.cut.spans {
            let met = hidden.met(&pooling, span);
            let rows = self.final_hidden(strand, span, hidden)?;
            pool::forward(pooling.reduction, d, rows.view(), &met, open.view_mut(), vectors.view_mut())?;
        }
        Ok(Pooled { pooling, vectors })
    }

    /// Sets the gradient of a strand's last stream.
    fn pooled_backward(
        &mut self,
        strand: usize,
        hidden: &Hidden<'_>,
        Pooled { pooling, vectors }: &Pooled,
        d_vectors: &[f64],
        d_streams: &mut Buffer<f32>,
    ) -> Result<(), CudaError> {
        let d = self.executor.config.d_model;
        let mut d_vectors = self.executor.device.upload(d_vectors)?;
        let positions = pooling.spans.get(0);
        let share =
            |Span { rows, open, .. }: Span| Share { rows, vector: open, positions: positions.end - positions.start };
        for span in &hidden.cut.spans {
            let shares: Vec<Share> = hidden.met(pooling, span).into_iter().map(share).collect();
            let elements = hidden.cut.elements(strand, span, d);
            let mut d_rows = self.executor.device.zeros::<f32>(elements.len())?;
            match pooling.reduction {
                Reduction::Mean => pool::mean_backward(d, &shares, d_vectors.view(), d_rows.view_mut())?,
                Reduction::Max => {
                    let rows = self.final_hidden(strand, span, hidden)?;
                    let maxima = Maxima { rows: rows.view(), vectors: vectors.view() };
                    pool::max_backward(d, maxima, &shares, d_vectors.view_mut(), d_rows.view_mut())?;
                }
            }
            let stream = hidden.streams.view().slice(elements.clone());
            let d_stream = d_streams.view_mut().slice(elements);
            self.final_norm_backward(hidden.cut.layout(span), stream, d_rows.view(), d_stream)?;
        }
        Ok(())
    }

    /// The final norm's output of a chunk of a strand, `[used columns, D]`.
    fn final_hidden(&self, strand: usize, span: &Range<usize>, hidden: &Hidden<'_>) -> Result<Buffer<f32>, CudaError> {
        let elements = hidden.cut.elements(strand, span, self.executor.config.d_model);
        let stream = hidden.streams.view().slice(elements);
        let streams = Streams::new(span.start, hidden.cut.layout(span), [stream]);
        Ok(self.executor.normed(&streams)?.swap_remove(0))
    }
}

impl Hidden<'_> {
    /// What a chunk has of the one span of each sequence.
    fn met(&self, pooling: &Pooling, span: &Range<usize>) -> Vec<Span> {
        let layout = self.cut.layout(span);
        Met::of(&vec![pooling.clone(); layout.sequences], span.start, layout).spans
    }
}
