//! A layer made ready for a backend, and the pass of one chunk of one strand through it.

use longstrand_kernels::{Backend, Direction, Rows, RowsMut, Write, norm};

use crate::checkpoint::{LayerWeights, NormWeights};
use crate::config::{Config, Directions, NormConfig, NormKind, Strategy};
use crate::mixer::{Core, MixerState, Preparation, Projections, Readout, Stretch, convert};
use crate::scratch::Scratch;

/// A norm made ready.
#[derive(Debug)]
pub(crate) struct Norm<S> {
    config: NormConfig,
    weight: Vec<S>,
    bias: Option<Vec<S>>,
}

impl<S: longstrand_kernels::backend::Scalar> Norm<S> {
    pub(crate) fn new(config: NormConfig, weights: &NormWeights, flip_channels: bool) -> Self {
        let convert = |values: &[f32]| {
            let mut values = convert(values);
            if flip_channels {
                values.reverse();
            }
            values
        };
        Self { config, weight: convert(&weights.weight), bias: weights.bias.as_deref().map(convert) }
    }

    pub(crate) fn params(&self) -> norm::Params<'_, S> {
        norm::Params {
            kind: match self.config.kind {
                NormKind::Rms => norm::Kind::Rms,
                NormKind::Layer => norm::Kind::Layer,
            },
            epsilon: self.config.epsilon,
            weight: &self.weight,
            bias: self.bias.as_deref(),
        }
    }
}

/// One direction of a layer.
#[derive(Debug)]
struct Branch<B: Backend> {
    /// `None` where the first branch's are shared.
    projections: Option<Projections<B>>,
    core: Core<B>,
    /// The direction on a strand that is not walked backwards.
    direction: Direction,
}

/// How the branches of a layer come together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Join {
    /// One gate and one output projection on the sum of the cores' outputs.
    SumBeforeProjection,
    /// Each branch has its output projection; the results are added.
    Sum,
    /// Each branch has its output projection; the results are multiplied.
    Product,
}

/// A layer: norm, mixer of one or two directions, residual.
#[derive(Debug)]
pub(crate) struct Layer<B: Backend> {
    d_model: usize,
    norm: Norm<B::Scalar>,
    branches: Vec<Branch<B>>,
    join: Join,
}

/// The states of a layer's branches, in the order of the branches.
pub(crate) type LayerState<S> = Vec<MixerState<S>>;

/// A stretch of a strand at a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    /// Absolute position of the first row.
    pub(crate) start: u64,
    /// Whether the layer meets the strand backwards in time.
    pub(crate) backwards: bool,
}

impl<B: Backend> Layer<B> {
    pub(crate) fn new(backend: &B, config: &Config, weights: &LayerWeights, flip_channels: bool) -> Self {
        let join = match config.directions {
            Directions::Bidirectional { strategy: Strategy::Add, tied: true } => Join::SumBeforeProjection,
            Directions::Bidirectional { strategy: Strategy::Multiply, .. } => Join::Product,
            _ => Join::Sum,
        };
        let prepare = Preparation { flip_channels, sums_directions: join == Join::SumBeforeProjection };
        let branch = |weights, direction| Branch {
            projections: Projections::new(backend, &config.mixer, config.d_model, weights, prepare),
            core: Core::new(backend, &config.mixer, weights),
            direction,
        };
        let mut branches = vec![branch(&weights.forward, Direction::Forward)];
        branches.extend(weights.reverse.as_ref().map(|weights| branch(weights, Direction::Reverse)));
        let norm = Norm::new(config.norm, &weights.norm, flip_channels);
        Self { d_model: config.d_model, norm, branches, join }
    }

    pub(crate) fn zero_state(&self) -> LayerState<B::Scalar> {
        self.branches.iter().map(|branch| branch.core.zero_state()).collect()
    }

    /// The direction of every branch on a strand.
    pub(crate) fn directions(&self, backwards: bool) -> impl Iterator<Item = Direction> {
        self.branches.iter().map(move |branch| branch.on(backwards))
    }

    /// Advances the state of the one branch `index` over a chunk of the residual stream, computing nothing else.
    pub(crate) fn advance(
        &self,
        backend: &B,
        index: usize,
        chunk: Chunk,
        residual: &[B::Scalar],
        state: &mut MixerState<B::Scalar>,
        scratch: &mut Scratch<B::Scalar>,
    ) {
        let stretch = self.stretch(index, chunk, residual);
        backend.norm(&self.norm.params(), residual, scratch.normed.get(stretch.rows));
        self.project(backend, index, stretch.rows, false, scratch);
        self.branches[index].core.run(backend, stretch, state, scratch, None);
    }

    /// Passes a chunk of the residual stream, `[L, D]`, through the layer in place.
    pub(crate) fn forward(
        &self,
        backend: &B,
        chunk: Chunk,
        residual: &mut [B::Scalar],
        states: &mut LayerState<B::Scalar>,
        scratch: &mut Scratch<B::Scalar>,
    ) {
        let rows = residual.len() / self.d_model;
        backend.norm(&self.norm.params(), residual, scratch.normed.get(rows));
        match self.join {
            Join::SumBeforeProjection => self.forward_shared(backend, chunk, residual, states, scratch),
            Join::Sum => self.forward_sum(backend, chunk, residual, states, scratch),
            Join::Product => self.forward_product(backend, chunk, residual, states, scratch),
        }
    }

    fn forward_shared(
        &self,
        backend: &B,
        chunk: Chunk,
        residual: &mut [B::Scalar],
        states: &mut LayerState<B::Scalar>,
        scratch: &mut Scratch<B::Scalar>,
    ) {
        let rows = residual.len() / self.d_model;
        self.project(backend, 0, rows, true, scratch);
        for (i, (branch, state)) in self.branches.iter().zip(states).enumerate() {
            let write = if i == 0 { Write::Set } else { Write::Add };
            let readout = Readout { write, gate: false };
            branch.core.run(backend, self.stretch(i, chunk, residual), state, scratch, Some(readout));
        }
        if !self.branches[0].core.always_gates() {
            backend.silu_gate(scratch.y.get(rows), scratch.projected.z.rows(rows));
        }
        let residual = RowsMut::new(residual, self.d_model);
        backend.linear(self.projections(0).out(), scratch.y.rows(rows), residual, Write::Add);
    }

    fn forward_sum(
        &self,
        backend: &B,
        chunk: Chunk,
        residual: &mut [B::Scalar],
        states: &mut LayerState<B::Scalar>,
        scratch: &mut Scratch<B::Scalar>,
    ) {
        let rows = residual.len() / self.d_model;
        for (i, state) in states.iter_mut().enumerate() {
            self.run_gated(backend, i, self.stretch(i, chunk, residual), state, scratch);
            let residual = RowsMut::new(residual, self.d_model);
            backend.linear(self.projections(i).out(), scratch.y.rows(rows), residual, Write::Add);
        }
    }

    fn forward_product(
        &self,
        backend: &B,
        chunk: Chunk,
        residual: &mut [B::Scalar],
        states: &mut LayerState<B::Scalar>,
        scratch: &mut Scratch<B::Scalar>,
    ) {
        let rows = residual.len() / self.d_model;
        for (i, state) in states.iter_mut().enumerate() {
            self.run_gated(backend, i, self.stretch(i, chunk, residual), state, scratch);
            let out = self.projections(i).out();
            backend.linear(out, scratch.y.rows(rows), scratch.mixed[i].rows_mut(rows), Write::Set);
        }
        let [first, second] = &mut scratch.mixed;
        backend.multiply(first.get(rows), second.get(rows));
        backend.add(residual, first.get(rows));
    }

    /// One branch with its own gate, from `normed` to `y`.
    fn run_gated(
        &self,
        backend: &B,
        index: usize,
        stretch: Stretch,
        state: &mut MixerState<B::Scalar>,
        scratch: &mut Scratch<B::Scalar>,
    ) {
        self.project(backend, index, stretch.rows, true, scratch);
        let readout = Readout { write: Write::Set, gate: true };
        self.branches[index].core.run(backend, stretch, state, scratch, Some(readout));
    }

    fn project(&self, backend: &B, index: usize, rows: usize, gate: bool, scratch: &mut Scratch<B::Scalar>) {
        let Scratch { normed, projected, .. } = scratch;
        self.projections(index).project(backend, normed.filled(rows), self.d_model, gate, projected);
    }

    fn projections(&self, index: usize) -> &Projections<B> {
        let own = self.branches[index].projections.as_ref();
        own.or(self.branches[0].projections.as_ref()).expect("the forward direction has projections")
    }

    fn stretch(&self, index: usize, chunk: Chunk, residual: &[B::Scalar]) -> Stretch {
        let rows = Rows::new(residual, self.d_model).len();
        Stretch { direction: self.branches[index].on(chunk.backwards), start: chunk.start, rows }
    }
}

impl<B: Backend> Branch<B> {
    fn on(&self, backwards: bool) -> Direction {
        if backwards { self.direction.opposite() } else { self.direction }
    }
}
