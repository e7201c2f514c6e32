//! The way back of a chunk of one strand through a layer.

use std::ops::Range;

use longstrand_kernels::{Backend, Rows, Write, norm};

use super::{Chunk, Join, Layer, LayerState, Norm};
use crate::checkpoint::{LayerWeights, LinearWeights, MixerWeights, NormWeights};
use crate::config::Config;
use crate::mixer::Readout;
use crate::mixer::backward::{CoreTransposed, ProjectionsTransposed, Retrace};
use crate::scratch::Plane;
use crate::train::BackwardPlace;

/// The transposes of a layer's matrices.
#[derive(Debug)]
pub(crate) struct LayerTransposed<B: Backend> {
    branches: Vec<BranchTransposed<B>>,
}

#[derive(Debug)]
struct BranchTransposed<B: Backend> {
    /// `None` where the first branch's are shared.
    projections: Option<ProjectionsTransposed<B>>,
    core: CoreTransposed<B>,
}

impl<B: Backend> LayerTransposed<B> {
    pub(crate) fn new(backend: &B, config: &Config, weights: &LayerWeights, flip_channels: bool) -> Self {
        let (mixer, d_model) = (&config.mixer, config.d_model);
        let branch = |weights| BranchTransposed {
            projections: ProjectionsTransposed::new(backend, mixer, d_model, weights, flip_channels),
            core: CoreTransposed::new(backend, mixer, weights),
        };
        Self {
            branches: [Some(&weights.forward), weights.reverse.as_ref()].into_iter().flatten().map(branch).collect(),
        }
    }

    pub(super) fn projections(&self, owner: usize) -> &ProjectionsTransposed<B> {
        self.branches[owner].projections.as_ref().expect("the owner has projections")
    }
}

/// A chunk of a strand on its way back through a layer, `[L, D]` each.
pub(crate) struct Passage<'a, S> {
    pub(crate) chunk: Chunk,
    /// The layer's input.
    pub(crate) residual: &'a [S],
    /// Gradient of the layer's output.
    pub(crate) d_out: &'a [S],
    /// Gradient of the layer's input, which is added to: the residual connection's share, `d_out`, is the caller's.
    pub(crate) d_in: &'a mut [S],
    /// The states that forward entered the chunk with.
    pub(crate) entering: &'a LayerState<S>,
    /// In: the gradients of the states that forward left with. Out: those of `entering`.
    pub(crate) d_states: &'a mut LayerState<S>,
}

impl<B: Backend> Layer<B> {
    /// Number of branches.
    pub(crate) fn branch_count(&self) -> usize {
        self.branches.len()
    }

    /// The way back through some of the branches. Which are taken together is a matter of cost alone.
    pub(crate) fn backward(
        &self,
        transposed: &LayerTransposed<B>,
        place: &mut BackwardPlace<'_, B>,
        branches: Range<usize>,
        passage: Passage<'_, B::Scalar>,
        gradient: &mut LayerWeights<B::Scalar>,
    ) {
        let rows = self.normalize(&mut place.forward(), passage.residual);
        let Passage { chunk, residual, d_out, d_in, entering, d_states } = passage;
        let mut way = Way { layer: self, transposed, chunk, rows, entering, d_states };
        let d_out = Rows::new(d_out, self.d_model);
        match self.join {
            Join::SumBeforeProjection => way.shared(place, branches, d_out, Write::Set, gradient),
            Join::Sum => way.each(place, branches, d_out, gradient),
            Join::Product => way.each_of_product(place, branches, d_out, gradient),
        }
        self.norm.backward(
            place.backend,
            residual,
            place.adjoints.d_normed.filled(rows),
            d_in,
            Write::Add,
            &mut gradient.norm,
        );
    }

    /// The branch whose projections a branch uses.
    pub(super) fn owner(&self, index: usize) -> usize {
        if self.branches[index].projections.is_some() { index } else { 0 }
    }
}

impl<S: longstrand_kernels::backend::Scalar> Norm<S> {
    /// Sets or adds to the gradient of `x` and adds that of the parameters.
    pub(crate) fn backward<B: Backend<Scalar = S>>(
        &self,
        backend: &B,
        x: &[S],
        d_out: &[S],
        d_x: &mut [S],
        write: Write,
        gradient: &mut NormWeights<S>,
    ) {
        let mut d_params = norm::GradParams { d_weight: &mut gradient.weight, d_bias: gradient.bias.as_deref_mut() };
        backend.norm_backward(&self.params(), x, d_out, d_x, write, &mut d_params);
    }
}

/// The way back of a chunk whose norm has been computed again.
pub(super) struct Way<'a, B: Backend> {
    pub(super) layer: &'a Layer<B>,
    pub(super) transposed: &'a LayerTransposed<B>,
    pub(super) chunk: Chunk,
    pub(super) rows: usize,
    pub(super) entering: &'a LayerState<B::Scalar>,
    pub(super) d_states: &'a mut LayerState<B::Scalar>,
}

impl<B: Backend> Way<'_, B> {
    /// Branches one after the other, each with the gradient of its own output.
    fn each(
        &mut self,
        place: &mut BackwardPlace<'_, B>,
        branches: Range<usize>,
        d_out: Rows<'_, B::Scalar>,
        gradient: &mut LayerWeights<B::Scalar>,
    ) {
        for i in branches.clone() {
            let write = if i == branches.start { Write::Set } else { Write::Add };
            self.shared(place, i..i + 1, d_out, write, gradient);
        }
    }

    /// As [`Self::each`] where the branches' outputs are multiplied: the gradient of one's output has the other's as a
    /// factor, which is computed again.
    fn each_of_product(
        &mut self,
        place: &mut BackwardPlace<'_, B>,
        branches: Range<usize>,
        d_out: Rows<'_, B::Scalar>,
        gradient: &mut LayerWeights<B::Scalar>,
    ) {
        let mut d_mixed = place.adjoints.d_mixed.take();
        for i in branches.clone() {
            let write = if i == branches.start { Write::Set } else { Write::Add };
            self.factor(place, i, d_out, &mut d_mixed);
            self.shared(place, i..i + 1, d_mixed.rows(self.rows), write, gradient);
        }
        place.adjoints.d_mixed = d_mixed;
    }

    /// The gradient of the output of one of two branches whose outputs are multiplied, given that of the product.
    pub(super) fn factor(
        &self,
        place: &mut BackwardPlace<'_, B>,
        index: usize,
        d_out: Rows<'_, B::Scalar>,
        d_mixed: &mut Plane<B::Scalar>,
    ) {
        self.mix(place, 1 - index);
        for (t, row) in d_mixed.get(self.rows).chunks_exact_mut(d_out.width()).enumerate() {
            row.copy_from_slice(d_out.row(t));
        }
        place.backend.multiply(d_mixed.get(self.rows), place.scratch.mixed[0].filled(self.rows));
    }

    /// Computes the output of a branch into the scratch's first `mixed`.
    fn mix(&self, place: &mut BackwardPlace<'_, B>, index: usize) {
        let layer = self.layer;
        let mut place = place.forward();
        layer.projections(index).project(&mut place, self.rows, true);
        let stretch = layer.stretch(index, self.chunk, self.rows);
        let readout = Readout { write: Write::Set, gate: true };
        layer.branches[index].core.run(&mut place, stretch, &mut self.entering[index].clone(), Some(readout));
        let out = place.scratch.mixed[0].rows_mut(self.rows);
        place.backend.linear(layer.projections(index).out(), place.scratch.y.rows(self.rows), out, Write::Set);
    }

    /// Branches that share projections, from the gradient of what their output projection gives; sets or adds to the
    /// gradient of the norm's output.
    fn shared(
        &mut self,
        place: &mut BackwardPlace<'_, B>,
        branches: Range<usize>,
        d_out: Rows<'_, B::Scalar>,
        write: Write,
        gradient: &mut LayerWeights<B::Scalar>,
    ) {
        let owner = self.layer.owner(branches.start);
        let transposed = self.transposed.projections(owner);
        self.layer.projections(owner).project(&mut place.forward(), self.rows, true);
        transposed.enter(place, d_out);
        for i in branches.clone() {
            let retrace = Retrace {
                stretch: self.layer.stretch(i, self.chunk, self.rows),
                write: if i == branches.start { Write::Set } else { Write::Add },
                entering: &self.entering[i],
                d_state: &mut self.d_states[i],
            };
            let core = &self.layer.branches[i].core;
            core.backward(&self.transposed.branches[i].core, place, retrace, mixer(gradient, i));
        }
        let (in_proj, out_proj) = projections(gradient, owner);
        // One projection of the sum of the directions has one bias.
        let bias = self.layer.join != Join::SumBeforeProjection || branches.start == 0;
        transposed.out_gradient(place, d_out, out_proj, bias);
        transposed.leave(place, self.rows, write, in_proj);
    }
}

fn mixer<S>(gradient: &mut LayerWeights<S>, index: usize) -> &mut MixerWeights<S> {
    match index {
        0 => &mut gradient.forward,
        _ => gradient.reverse.as_mut().expect("gradients follow the weights"),
    }
}

pub(super) fn projections<S>(
    gradient: &mut LayerWeights<S>,
    owner: usize,
) -> (&mut LinearWeights<S>, &mut LinearWeights<S>) {
    mixer(gradient, owner).projections_mut().expect("the owner has projections")
}
