//! A sequence through all layers, forward and back.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::{Backend, Direction, Rows, Write};

use super::stretch::{StretchAt, WayBack, in_order};
use super::{BackwardPlace, Course, Gradients, TrainScratch, Trainee};
use crate::encode::Sweep;
use crate::layer::backward::Passage;
use crate::layer::{Chunk, Layer};
use crate::output::{Observer, Pass, Request, Tap};
use crate::scratch::Place;
use crate::strand::Arrangement;
use crate::watch::Meter;

/// What the way back of a chunk through a layer is reported as, for one on its way forward: it computes the way forward
/// again, and two products for each of its products.
pub(crate) const WAY_BACK: u64 = 3;

/// Looks at nothing but how far the pass is.
struct Metered<'a, 'b>(&'a mut Meter<'b>);

impl<S> Observer<S> for Metered<'_, '_> {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, S>) {}

    fn advanced(&mut self, work: u64) -> ControlFlow<()> {
        self.0.advance(work)
    }
}

impl<B: Backend> Trainee<B> {
    /// Passes a sequence through all layers and keeps what the way back needs.
    pub(super) fn forward(
        &self,
        ids: &[u8],
        spans: &[Range<usize>],
        scratch: &mut TrainScratch<B::Scalar>,
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<()> {
        let strands = self.model.tables.len();
        for (strand, stream) in scratch.kept.streams.iter_mut().enumerate() {
            self.model.embed(strand, ids, stream.get(ids.len()));
        }
        for i in 0..self.model.layers.len() {
            for strand in 0..strands {
                self.forward_layer(i, strand, spans, scratch, course)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn forward_layer(
        &self,
        index: usize,
        strand: usize,
        spans: &[Range<usize>],
        scratch: &mut TrainScratch<B::Scalar>,
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<()> {
        let TrainScratch { forward, kept, .. } = scratch;
        let (strands, len) = (self.model.tables.len(), length(spans));
        let at = index * strands + strand;
        let stream = kept.streams[strand].get(len);
        kept.inputs[at].keep(stream, len);
        let states = &mut kept.states[at];
        states.clear();
        states.reserve_exact(spans.len());
        let (layer, backwards) = (&self.model.layers[index], self.backwards(index, strand));
        if !course.is_whole() {
            let at = StretchAt { layer, spans, backwards };
            let place = &mut Place { backend: &self.model.backend, scratch: forward };
            *states = at.entering(place, stream, course)?;
            return at.forward(place, states, stream, course);
        }
        let meter = &mut *course.meter;
        let mut pass = Pass { request: &Request::default(), scratch: forward, observer: &mut Metered(meter) };
        let sweep = Sweep { backend: &self.model.backend, layer, spans, backwards };
        sweep.run_telling(stream, &mut pass, |state| states.push(state.clone()))?;
        if layer.directions(backwards).next() == Some(Direction::Reverse) {
            states.reverse();
        }
        ControlFlow::Continue(())
    }

    /// Takes the gradients that lie in the last streams back through all layers and into the embedding.
    pub(super) fn backward(
        &self,
        ids: &[u8],
        spans: &[Range<usize>],
        scratch: &mut TrainScratch<B::Scalar>,
        gradients: &mut Gradients<B::Scalar>,
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<()> {
        let strands = self.model.tables.len();
        for i in (0..self.model.layers.len()).rev() {
            for strand in 0..strands {
                self.backward_layer(i, strand, spans, scratch, gradients, course)?;
            }
        }
        for (strand, d_stream) in scratch.kept.streams.iter().enumerate() {
            let d_table = gradients.table_mut(strand);
            self.model.backend.embedding_backward(ids, d_stream.filled(ids.len()), d_table);
        }
        ControlFlow::Continue(())
    }

    fn backward_layer(
        &self,
        index: usize,
        strand: usize,
        spans: &[Range<usize>],
        scratch: &mut TrainScratch<B::Scalar>,
        gradients: &mut Gradients<B::Scalar>,
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<()> {
        let TrainScratch { forward, adjoints, kept } = scratch;
        let (strands, len) = (self.model.tables.len(), length(spans));
        let at = index * strands + strand;
        let (input, d_out) = (&mut kept.inputs[at], &mut kept.streams[strand]);
        let d_in = kept.d_stream.get(len);
        d_in.copy_from_slice(d_out.filled(len));

        let (layer, backwards) = (&self.model.layers[index], self.backwards(index, strand));
        let mut place = BackwardPlace { backend: &self.model.backend, scratch: forward, adjoints };
        let mut way = WayBack {
            at: StretchAt { layer, spans, backwards },
            transposed: &self.layers[index],
            input,
            widened: &mut kept.widened,
            d_out: d_out.filled(len),
            states: &kept.states[at],
        };
        let mut d_states = match course.is_whole() {
            true => layer.zero_state(),
            false => way.leaving(&mut place, course)?,
        };
        for branches in together(layer, spans.len()) {
            let direction = layer.directions(backwards).nth(branches.start).expect("a branch of the layer");
            for i in in_order(direction.opposite(), spans.len()) {
                let elements = spans[i].start * layer.width()..spans[i].end * layer.width();
                let passage = Passage {
                    chunk: Chunk { start: spans[i].start as u64, backwards },
                    residual: way.input.part(&spans[i], way.widened),
                    d_out: &way.d_out[elements.clone()],
                    d_in: &mut d_in[elements],
                    entering: &way.states[i],
                    d_states: &mut d_states,
                };
                let gradient = &mut gradients.weights.layers[index];
                layer.backward(&self.layers[index], &mut place, branches.clone(), passage, gradient);
                course.advance(way_back(layer, &branches, &spans[i]))?;
            }
        }
        if !course.is_whole() {
            let gradient = &mut gradients.weights.layers[index];
            way.take_columns_back(&mut place, &d_states, d_in, gradient, course)?;
        }
        std::mem::swap(&mut kept.d_stream, d_out);
        ControlFlow::Continue(())
    }

    /// Puts the gradient of a chunk of a strand's last stream in that stream's place, given that of the final norm's
    /// output.
    pub(super) fn final_norm_backward(
        &self,
        strand: usize,
        span: &Range<usize>,
        d_normed: &[B::Scalar],
        scratch: &mut TrainScratch<B::Scalar>,
        gradients: &mut Gradients<B::Scalar>,
    ) {
        let model = &self.model;
        let stream = scratch.kept.streams[strand].part(span);
        let d_stream = scratch.adjoints.d_normed.get(span.len());
        let norm_f = &mut gradients.weights.norm_f;
        model.norm_f.backward(&model.backend, stream, d_normed, d_stream, Write::Set, norm_f);
        stream.copy_from_slice(d_stream);
    }

    fn backwards(&self, layer: usize, strand: usize) -> bool {
        Arrangement::of_layer(self.model.config(), layer).backwards(strand)
    }
}

/// The branches that go together: all in one chunk, and one after the other where each carries the gradient of its state
/// from chunk to chunk.
fn together<B: Backend>(layer: &Layer<B>, chunks: usize) -> Vec<Range<usize>> {
    let count = layer.branch_count();
    let size = if chunks == 1 { count } else { 1 };
    (0..count).step_by(size).map(|i| i..i + size).collect()
}

/// What the way back of a chunk through some of a layer's branches is reported as; all branches add up.
fn way_back<B: Backend>(layer: &Layer<B>, branches: &Range<usize>, span: &Range<usize>) -> u64 {
    let up_to = |branch: usize| (branch as u64 * WAY_BACK * span.len() as u64) / layer.branch_count() as u64;
    up_to(branches.end) - up_to(branches.start)
}

/// Positions of all chunks together.
fn length(spans: &[Range<usize>]) -> usize {
    spans.last().map_or(0, |span| span.end)
}
