//! A layer made ready for a backend, and the pass of one chunk of one strand through it.

use longstrand_kernels::{Backend, Direction, RowsMut, Write, norm};

use crate::checkpoint::{LayerWeights, NormWeights};
use crate::config::{Config, Directions, NormConfig, NormKind, Strategy};
use crate::mixer::{Core, MixerState, Preparation, Projections, Readout, Stretch, convert};
use crate::scratch::{Place, Scratch};

pub(crate) mod backward;
mod stretch;

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
pub(crate) enum Join {
    /// One gate and one output projection on the sum of the cores' outputs.
    SumBeforeProjection,
    /// Each branch has its output projection; the results are added.
    Sum,
    /// Each branch has its output projection; the results are multiplied.
    Product,
}

impl Join {
    pub(crate) fn of(config: &Config) -> Self {
        match config.directions {
            Directions::Bidirectional { strategy: Strategy::Add, tied: true } => Self::SumBeforeProjection,
            Directions::Bidirectional { strategy: Strategy::Multiply, .. } => Self::Product,
            _ => Self::Sum,
        }
    }
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
    /// Absolute position of the first row, 0-based.
    pub(crate) start: u64,
    /// Whether the layer meets the strand backwards in time.
    pub(crate) backwards: bool,
}

impl<B: Backend> Layer<B> {
    pub(crate) fn new(backend: &B, config: &Config, weights: &LayerWeights, flip_channels: bool) -> Self {
        let join = Join::of(config);
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

    /// Width of the residual stream, D.
    pub(crate) fn width(&self) -> usize {
        self.d_model
    }

    pub(crate) fn zero_state(&self) -> LayerState<B::Scalar> {
        self.branches.iter().map(|branch| branch.core.zero_state()).collect()
    }

    /// Bytes of the state of each branch, in the order of the branches.
    pub(crate) fn state_bytes(&self) -> impl Iterator<Item = usize> {
        self.branches.iter().map(|branch| {
            let (conv, ssm) = branch.core.state_sizes();
            (conv + ssm) * size_of::<B::Scalar>()
        })
    }

    /// Panics unless the state has the sizes of this layer's.
    pub(crate) fn check_state(&self, state: &LayerState<B::Scalar>) {
        let (expected, found) = (self.branches.len(), state.len());
        assert!(expected == found, "the state is another model's: expected {expected} directions, found {found}");
        for (branch, state) in self.branches.iter().zip(state) {
            let (expected, found) = (branch.core.state_sizes(), (state.conv.len(), state.ssm.len()));
            assert!(
                expected == found,
                "the state is another model's: expected sizes of convolution and scan {expected:?}, found {found:?}"
            );
        }
    }

    /// The direction of every branch on a strand.
    pub(crate) fn directions(&self, backwards: bool) -> impl Iterator<Item = Direction> {
        self.branches.iter().map(move |branch| branch.on(backwards))
    }

    /// Advances the state of the one branch `index` over a chunk of the residual stream, `[L, D]`, computing nothing else.
    pub(crate) fn advance(
        &self,
        place: &mut Place<'_, B>,
        index: usize,
        chunk: Chunk,
        residual: &[B::Scalar],
        state: &mut MixerState<B::Scalar>,
    ) {
        let rows = self.normalize(place, residual);
        self.projections(index).project(place, rows, false);
        self.branches[index].core.run(place, self.stretch(index, chunk, rows), state, None);
    }

    /// Passes a chunk of the residual stream, `[L, D]`, through the layer in place.
    pub(crate) fn forward(
        &self,
        place: &mut Place<'_, B>,
        chunk: Chunk,
        residual: &mut [B::Scalar],
        states: &mut LayerState<B::Scalar>,
    ) {
        self.normalize(place, residual);
        match self.join {
            Join::SumBeforeProjection => self.forward_shared(place, chunk, residual, states),
            Join::Sum | Join::Product => self.forward_each(place, chunk, residual, states),
        }
    }

    /// Both branches between one pair of projections.
    fn forward_shared(
        &self,
        place: &mut Place<'_, B>,
        chunk: Chunk,
        residual: &mut [B::Scalar],
        states: &mut LayerState<B::Scalar>,
    ) {
        let rows = residual.len() / self.d_model;
        self.projections(0).project(place, rows, true);
        for (i, (branch, state)) in self.branches.iter().zip(states).enumerate() {
            let write = if i == 0 { Write::Set } else { Write::Add };
            let readout = Readout { write, gate: false };
            branch.core.run(place, self.stretch(i, chunk, rows), state, Some(readout));
        }
        let Place { backend, scratch } = place;
        if !self.branches[0].core.always_gates() {
            backend.silu_gate(scratch.y.get(rows), scratch.projected.z.rows(rows));
        }
        let residual = RowsMut::new(residual, self.d_model);
        backend.linear(self.projections(0).out(), scratch.y.rows(rows), residual, Write::Add);
    }

    /// Each branch with its own gate and output projection.
    fn forward_each(
        &self,
        place: &mut Place<'_, B>,
        chunk: Chunk,
        residual: &mut [B::Scalar],
        states: &mut LayerState<B::Scalar>,
    ) {
        let rows = residual.len() / self.d_model;
        for (i, state) in states.iter_mut().enumerate() {
            self.projections(i).project(place, rows, true);
            let readout = Readout { write: Write::Set, gate: true };
            self.branches[i].core.run(place, self.stretch(i, chunk, rows), state, Some(readout));
            let Scratch { y, mixed, .. } = &mut *place.scratch;
            let (out, write) = match self.join {
                Join::Product => (mixed[i].rows_mut(rows), Write::Set),
                _ => (RowsMut::new(&mut *residual, self.d_model), Write::Add),
            };
            place.backend.linear(self.projections(i).out(), y.rows(rows), out, write);
        }
        if self.join == Join::Product {
            let [first, second] = &mut place.scratch.mixed;
            place.backend.multiply(first.get(rows), second.get(rows));
            place.backend.add(residual, first.get(rows));
        }
    }

    /// Norms a chunk of the residual stream into the scratch's `normed`, and returns its number of rows.
    fn normalize(&self, place: &mut Place<'_, B>, residual: &[B::Scalar]) -> usize {
        let rows = residual.len() / self.d_model;
        place.backend.norm(&self.norm.params(), residual, place.scratch.normed.get(rows));
        rows
    }

    fn projections(&self, index: usize) -> &Projections<B> {
        let own = self.branches[index].projections.as_ref();
        own.or(self.branches[0].projections.as_ref()).expect("the forward direction has projections")
    }

    fn stretch(&self, index: usize, chunk: Chunk, rows: usize) -> Stretch {
        Stretch { direction: self.branches[index].on(chunk.backwards), start: chunk.start, rows }
    }
}

impl<B: Backend> Branch<B> {
    fn on(&self, backwards: bool) -> Direction {
        if backwards { self.direction.opposite() } else { self.direction }
    }
}
