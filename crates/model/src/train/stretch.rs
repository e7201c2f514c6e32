//! What a rank's stretch of a sequence takes from the other stretches at a layer, and gives them.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::{Backend, Direction, backend::Scalar};

use super::BackwardPlace;
use super::context::Course;
use super::kept::Input;
use crate::checkpoint::LayerWeights;
use crate::layer::backward::{LayerTransposed, Passage};
use crate::layer::{Chunk, Layer, LayerState};
use crate::mixer::MixerState;
use crate::scratch::{Place, Plane};

/// One strand of a rank's stretch at a layer.
pub(super) struct StretchAt<'a, B: Backend> {
    pub(super) layer: &'a Layer<B>,
    /// The chunks of the stretch, 0-based and half-open from its start, in order.
    pub(super) spans: &'a [Range<usize>],
    /// Whether the layer meets the strand backwards in time.
    pub(super) backwards: bool,
}

/// What one branch finds on its own: the states that chunks are entered with, and the time elapsed until then, chunk after
/// chunk in the branch's direction.
struct Walk<S> {
    states: Vec<MixerState<S>>,
    elapsed: Vec<Vec<f64>>,
}

impl<B: Backend> StretchAt<'_, B> {
    /// The states that each chunk is entered with, in the order of positions, given the layer's input, `[L, D]`.
    pub(super) fn entering(
        &self,
        place: &mut Place<'_, B>,
        residual: &[B::Scalar],
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<(), Vec<LayerState<B::Scalar>>> {
        let columns = self.columns(place, residual, course)?;
        let mut walks: Vec<Walk<B::Scalar>> = Vec::new();
        let mut found = Vec::new();
        for (branch, columns) in columns.into_iter().enumerate() {
            let (walk, told) = self.walk(place, branch, residual, columns);
            walks.push(walk);
            found.push(told);
        }
        let found = course.gather(&found)?;
        for (branch, walk) in walks.iter_mut().enumerate() {
            let incoming = self.fold(branch, &course.before(self.direction(branch)), &found);
            self.put_right(branch, walk, &incoming);
        }
        ControlFlow::Continue(self.by_chunk(walks))
    }

    /// Passes the stretch through the layer in place.
    pub(super) fn forward(
        &self,
        place: &mut Place<'_, B>,
        states: &[LayerState<B::Scalar>],
        residual: &mut [B::Scalar],
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<()> {
        for (i, span) in self.spans.iter().enumerate() {
            let rows = &mut residual[self.elements(span)];
            self.layer.forward(place, self.chunk(i), rows, &mut states[i].clone());
            course.advance(span.len() as u64)?;
        }
        ControlFlow::Continue(())
    }

    /// The convolution's state at the start of the stretch, of every branch: the columns that other ranks have before it.
    fn columns(
        &self,
        place: &mut Place<'_, B>,
        residual: &[B::Scalar],
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<(), Vec<Vec<B::Scalar>>> {
        let own = |branch| {
            let rows = self.border(branch, self.direction(branch).opposite());
            self.layer.columns(place, branch, &residual[self.elements(&rows)])
        };
        let own: Vec<_> = (0..self.layer.branch_count()).map(own).collect();
        let all = course.gather(&own)?;
        let state = |(branch, mut state): (usize, MixerState<B::Scalar>)| {
            let before = course.before(self.direction(branch));
            fill_columns(&mut state.conv, self.direction(branch), before.iter().map(|&rank| &all[rank][branch][..]));
            state.conv
        };
        ControlFlow::Continue(self.layer.zero_state().into_iter().enumerate().map(state).collect())
    }

    /// Walks the stretch from a zero state of the scan. What is told: the time it takes, and the state at its end.
    fn walk(
        &self,
        place: &mut Place<'_, B>,
        branch: usize,
        residual: &[B::Scalar],
        columns: Vec<B::Scalar>,
    ) -> (Walk<B::Scalar>, Vec<B::Scalar>) {
        let mut state = self.layer.zero_state().swap_remove(branch);
        state.conv = columns;
        let mut elapsed = vec![0.0; self.layer.step_count(branch)];
        let mut walk = Walk { states: Vec::new(), elapsed: Vec::new() };
        for i in in_order(self.direction(branch), self.spans.len()) {
            walk.states.push(state.clone());
            walk.elapsed.push(elapsed.clone());
            let rows = &residual[self.elements(&self.spans[i])];
            self.layer.advance(place, branch, self.chunk(i), rows, &mut state);
            self.layer.elapsed(place, branch, self.spans[i].len(), &mut elapsed);
        }
        (walk, told(&elapsed, &state.ssm))
    }

    /// What comes to this rank, of what some ranks have told, the farthest first.
    fn fold(&self, branch: usize, ranks: &[usize], told: &[Vec<Vec<B::Scalar>>]) -> Vec<B::Scalar> {
        let mut incoming = self.layer.zero_state().swap_remove(branch).ssm;
        for &rank in ranks {
            let (elapsed, own) = told[rank][branch].split_at(self.layer.step_count(branch));
            let elapsed: Vec<f64> = elapsed.iter().map(|x| x.to_f64()).collect();
            self.layer.fade(branch, &elapsed, &mut incoming);
            incoming.iter_mut().zip(own).for_each(|(x, &own)| *x += own);
        }
        incoming
    }

    /// Adds what is left at each chunk of the state that came in.
    fn put_right(&self, branch: usize, walk: &mut Walk<B::Scalar>, incoming: &[B::Scalar]) {
        for (state, elapsed) in walk.states.iter_mut().zip(&walk.elapsed) {
            let mut left = incoming.to_vec();
            self.layer.fade(branch, elapsed, &mut left);
            state.ssm.iter_mut().zip(left).for_each(|(x, left)| *x += left);
        }
    }

    fn by_chunk(&self, walks: Vec<Walk<B::Scalar>>) -> Vec<LayerState<B::Scalar>> {
        let mut chunks: Vec<LayerState<B::Scalar>> =
            self.spans.iter().map(|_| Vec::with_capacity(walks.len())).collect();
        for (branch, walk) in walks.into_iter().enumerate() {
            let order = in_order(self.direction(branch), self.spans.len());
            order.zip(walk.states).for_each(|(i, state)| chunks[i].push(state));
        }
        chunks
    }

    /// Rows at the border where a direction begins, as many as the convolution looks back.
    fn border(&self, branch: usize, direction: Direction) -> Range<usize> {
        let length = self.spans.last().map_or(0, |span| span.end);
        let rows = self.layer.columns_before(branch).min(length);
        match direction {
            Direction::Forward => 0..rows,
            Direction::Reverse => length - rows..length,
        }
    }

    fn direction(&self, branch: usize) -> Direction {
        self.layer.directions(self.backwards).nth(branch).expect("a branch of the layer")
    }

    fn elements(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.layer.width()..rows.end * self.layer.width()
    }

    fn chunk(&self, i: usize) -> Chunk {
        Chunk { start: self.spans[i].start as u64, backwards: self.backwards }
    }
}

/// A stretch on its way back through a layer.
pub(super) struct WayBack<'a, B: Backend> {
    pub(super) at: StretchAt<'a, B>,
    pub(super) transposed: &'a LayerTransposed<B>,
    /// The layer's input.
    pub(super) input: &'a mut Input<B::Scalar>,
    pub(super) widened: &'a mut Plane<B::Scalar>,
    /// Gradient of the layer's output, `[L, D]`.
    pub(super) d_out: &'a [B::Scalar],
    /// The states that each chunk was entered with.
    pub(super) states: &'a [LayerState<B::Scalar>],
}

impl<B: Backend> WayBack<'_, B> {
    /// The gradients of the states that the stretch is left with, as far as the scans are concerned.
    pub(super) fn leaving(
        &mut self,
        place: &mut BackwardPlace<'_, B>,
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<(), LayerState<B::Scalar>> {
        let own: Vec<_> = (0..self.at.layer.branch_count()).map(|branch| self.retreat(place, branch)).collect();
        let all = course.gather(&own)?;
        let mut d_states = self.at.layer.zero_state();
        for (branch, d_state) in d_states.iter_mut().enumerate() {
            let after = course.before(self.at.direction(branch).opposite());
            d_state.ssm = self.at.fold(branch, &after, &all);
        }
        ControlFlow::Continue(d_states)
    }

    /// Walks back from a zero gradient. What is told: the time it takes, and the gradient at the start.
    fn retreat(&mut self, place: &mut BackwardPlace<'_, B>, branch: usize) -> Vec<B::Scalar> {
        let layer = self.at.layer;
        let mut d_states = layer.zero_state();
        let mut elapsed = vec![0.0; layer.step_count(branch)];
        for i in in_order(self.at.direction(branch).opposite(), self.at.spans.len()) {
            let span = &self.at.spans[i];
            let passage = Passage {
                chunk: self.at.chunk(i),
                residual: self.input.part(span, self.widened),
                d_out: &self.d_out[self.at.elements(span)],
                d_in: &mut [],
                entering: &self.states[i],
                d_states: &mut d_states,
            };
            layer.retreat(self.transposed, place, branch, passage, &mut elapsed);
        }
        told(&elapsed, &d_states[branch].ssm)
    }

    /// Takes the gradients that other ranks have of this stretch's columns back to the layer's input, given those that this
    /// one has of theirs.
    pub(super) fn take_columns_back(
        &mut self,
        place: &mut BackwardPlace<'_, B>,
        d_states: &LayerState<B::Scalar>,
        d_in: &mut [B::Scalar],
        gradient: &mut LayerWeights<B::Scalar>,
        course: &mut Course<'_, '_, B::Scalar>,
    ) -> ControlFlow<()> {
        // How far apart two stretches are counts only up to the columns that a convolution looks back.
        let own = |(branch, d_state): (usize, &MixerState<B::Scalar>)| {
            let rows = self.at.border(branch, Direction::Forward).len();
            [B::Scalar::from_f64(rows as f64)].into_iter().chain(d_state.conv.iter().copied()).collect()
        };
        let own: Vec<Vec<B::Scalar>> = d_states.iter().enumerate().map(own).collect();
        let all = course.gather(&own)?;
        let layer = self.at.layer;
        for (branch, direction) in layer.directions(self.at.backwards).enumerate() {
            let mut after = course.before(direction.opposite());
            after.reverse();
            let rows = self.at.border(branch, direction.opposite());
            if after.is_empty() || rows.is_empty() {
                continue;
            }
            let of_ranks = after.iter().map(|&rank| &all[rank][branch][..]);
            let d_columns = add_columns(rows.len(), layer.columns_before(branch), direction, of_ranks);
            let residual = self.input.part(&rows, self.widened);
            let d_in = &mut d_in[self.at.elements(&rows)];
            layer.columns_backward(self.transposed, place, branch, (residual, &d_columns), d_in, gradient);
        }
        ControlFlow::Continue(())
    }
}

/// Fills a convolution's state, `[K−1, C]` in the order of positions, with the last columns of the ranks before, the farthest
/// first. Where there are fewer, it begins with zeros.
fn fill_columns<'a, S: Scalar>(state: &mut [S], direction: Direction, before: impl Iterator<Item = &'a [S]>) {
    let mut parts: Vec<&[S]> = before.collect();
    if direction == Direction::Reverse {
        parts.reverse();
    }
    let all = parts.concat();
    let count = state.len().min(all.len());
    match direction {
        Direction::Forward => {
            let start = state.len() - count;
            state[start..].copy_from_slice(&all[all.len() - count..]);
        }
        Direction::Reverse => state[..count].copy_from_slice(&all[..count]),
    }
}

/// The gradients of the `rows` columns at the end of a stretch in a direction, `[rows, C]` in the order of positions: those that
/// the ranks after it, the nearest first, have of the `before` columns before their own. Each brings its number of rows first.
fn add_columns<'a, S: Scalar>(
    rows: usize,
    before: usize,
    direction: Direction,
    after: impl Iterator<Item = &'a [S]>,
) -> Vec<S> {
    let mut sums = Vec::new();
    let mut gap = 0;
    for of_rank in after {
        let (length, d_columns) = (of_rank[0].to_f64() as usize, &of_rank[1..]);
        let channels = d_columns.len() / before;
        sums.resize(rows * channels, S::default());
        // Of the columns before that rank, the nearest `gap` are other ranks'.
        for nearest in 0..rows.min(before.saturating_sub(gap)) {
            let (to, from) = match direction {
                Direction::Forward => (rows - 1 - nearest, before - 1 - gap - nearest),
                Direction::Reverse => (nearest, gap + nearest),
            };
            let from = &d_columns[from * channels..][..channels];
            sums[to * channels..][..channels].iter_mut().zip(from).for_each(|(sum, &x)| *sum += x);
        }
        gap += length;
    }
    sums
}

fn told<S: Scalar>(elapsed: &[f64], state: &[S]) -> Vec<S> {
    elapsed.iter().map(|&x| S::from_f64(x)).chain(state.iter().copied()).collect()
}

/// Indices of chunks in a direction.
pub(super) fn in_order(direction: Direction, chunks: usize) -> impl Iterator<Item = usize> {
    (0..chunks).map(move |i| match direction {
        Direction::Forward => i,
        Direction::Reverse => chunks - 1 - i,
    })
}
