//! The gradients of one block and group, from what crosses the block's borders.

use super::{
    Block, Borders, Operands, Params, Target,
    products::{Crossing, InputGradient, Triangle},
};
use crate::{
    Rows,
    simd::{MAX_LANES, Vector, sweep},
    ssd::cpu::{
        grid::transpose,
        steps::Steps,
        tile::{Strided, cover},
    },
};

mod outputs;

/// What a backward call works on, as the tasks see it.
#[derive(Clone, Copy)]
pub(super) struct Gradients<'a> {
    pub(super) operands: Operands<'a>,
    pub(super) d_y: Option<Rows<'a, f32>>,
    pub(super) x: Target,
    pub(super) dt: Target,
    pub(super) b: Target,
    pub(super) c: Target,
}

/// Where a task is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) borders: &'a Borders,
    /// Of the block in its strip.
    pub(super) index: usize,
    pub(super) block: Block,
    pub(super) group: usize,
}

/// What a block adds to the gradients of a head's parameters.
#[derive(Clone, Copy, Default)]
pub(super) struct Share {
    pub(super) a: f64,
    pub(super) d: f64,
    pub(super) dt_bias: f64,
}

/// Writes all gradients of the block and group; `shares` has one for each head of the group.
#[inline(always)]
pub(super) unsafe fn write_block_body<V: Vector>(gradients: Gradients<'_>, place: Place<'_>, shares: &mut [Share]) {
    let first = place.group * shares.len();
    let mut task = Task::new(gradients, place);
    // SAFETY: forwarded from the caller.
    unsafe {
        task.score::<V>();
        for (i, share) in shares.iter_mut().enumerate() {
            let head = first + i;
            task.open::<V>(head);
            task.flow_inside::<V>();
            task.cross_borders::<V>(head);
            task.differentiate_inputs::<V>(head);
            *share = task.close::<V>(head);
        }
        task.write_group::<V>();
    }
}

/// A block and group on its way, with the buffers of the group and those of its current head.
struct Task<'a> {
    gradients: Gradients<'a>,
    place: Place<'a>,
    padded: usize,
    /// States, padded.
    wide: usize,
    /// C · B, `[side, side]`
    scores: Vec<f32>,
    /// The sum over heads, `[side, side]`, never written below the diagonal
    flow: Vec<f32>,
    /// What crosses the borders on its way to C and B, `[N, side]` each
    d_c: Vec<f32>,
    d_b: Vec<f32>,
    steps: Steps,
    /// Δ'x, `[side, padded]`, and its transpose
    x: Vec<f32>,
    x_columns: Vec<f32>,
    /// `[side, padded]`, and its transpose
    d_y: Vec<f32>,
    d_y_columns: Vec<f32>,
    /// d_y · Δ'x, `[side, side]`
    products: Vec<f32>,
    /// `[side, side]`, never written below the diagonal
    weights: Vec<f32>,
    /// Gradient of Δ'x, `[side, padded]`
    d_x: Vec<f32>,
    /// C · d_C and B · d_B of what crosses the borders, `[side]`
    by_c: Vec<f32>,
    by_b: Vec<f32>,
    /// What passes each position from within the block to within it, `[side]`
    inside: Vec<f32>,
}

impl<'a> Task<'a> {
    fn new(gradients: Gradients<'a>, place: Place<'a>) -> Self {
        let Operands { params: Params { states, head_dim, .. }, side, .. } = gradients.operands;
        let padded = gradients.operands.padded();
        let buffer = |rows: usize, columns: usize| vec![0.0; rows * columns];
        Self {
            gradients,
            place,
            padded,
            wide: states.next_multiple_of(MAX_LANES),
            scores: buffer(side, side),
            flow: buffer(side, side),
            d_c: buffer(states, side),
            d_b: buffer(states, side),
            steps: Steps::new(side),
            x: buffer(side, padded),
            x_columns: buffer(head_dim, side),
            d_y: buffer(side, padded),
            d_y_columns: buffer(head_dim, side),
            products: buffer(side, side),
            weights: buffer(side, side),
            d_x: buffer(side, padded),
            by_c: buffer(1, side),
            by_b: buffer(1, side),
            inside: buffer(1, side),
        }
    }

    /// B of the group, `[len, N]`, in the order of the walk.
    fn b(&self) -> Strided {
        let Operands { params, direction, inputs, .. } = self.gradients.operands;
        self.place.block.walk(direction, inputs.b, self.place.group * params.states)
    }

    /// C · B of the group.
    #[inline(always)]
    unsafe fn score<V: Vector>(&mut self) {
        if self.gradients.d_y.is_none() {
            return;
        }
        let Operands { params, side, .. } = self.gradients.operands;
        let (_, c) = self.place.borders.transposed(self.place.index, self.place.group);
        let left = self.b();
        let out = self.scores.as_mut_ptr();
        let scores = Triangle { left, right: c.as_ptr(), depth: params.states, side, out };
        // SAFETY: the buffers are as large as the product says; columns beyond the block are padding.
        unsafe { cover::<V>(&scores, self.place.block.len, self.place.block.len) };
    }

    /// Reads a head's block.
    #[inline(always)]
    unsafe fn open<V: Vector>(&mut self, head: usize) {
        let Self { gradients: Gradients { operands, d_y, .. }, place: Place { block, .. }, padded, .. } = *self;
        let Operands { params: Params { head_dim, .. }, direction, inputs, side, .. } = operands;
        // SAFETY: forwarded from the caller.
        unsafe {
            self.steps.measure::<V>(&operands, head, block);
            self.steps.fade::<V>(block.len);
        }
        operands.scale_rows(inputs.x, head, block, &self.steps.delta, &mut self.x);
        for (i, x) in self.x.chunks_exact(padded).enumerate().take(block.len) {
            for (p, &x) in x.iter().enumerate().take(head_dim) {
                self.x_columns[p * side + i] = x;
            }
        }
        let Some(d_y) = d_y else { return };
        let column = head * head_dim;
        for (i, to) in self.d_y.chunks_exact_mut(padded).enumerate().take(block.len) {
            to[..head_dim].copy_from_slice(&d_y.row(block.row(direction, i))[column..][..head_dim]);
        }
        transpose(block, direction, d_y, (column, head_dim), &mut self.d_y_columns, side);
    }

    /// What goes from position to position inside the block.
    #[inline(always)]
    unsafe fn flow_inside<V: Vector>(&mut self) {
        if self.gradients.d_y.is_none() {
            return;
        }
        let Operands { params, side, .. } = self.gradients.operands;
        let len = self.place.block.len;
        let left = Strided { from: self.x.as_ptr(), step: self.padded.cast_signed() };
        let right = self.d_y_columns.as_ptr();
        let products = Triangle { left, right, depth: params.head_dim, side, out: self.products.as_mut_ptr() };
        // SAFETY: the buffers are as large as the product says; columns beyond the block are padding.
        unsafe { cover::<V>(&products, len, len) };
        // What has set out so far, by where it arrives.
        let mut under_way = [0.0; super::BLOCK];
        self.inside[0] = 0.0;
        for j in 0..len {
            let diagonal = j * side + j;
            self.weights[diagonal] = self.scores[diagonal];
            self.flow[diagonal] += self.products[diagonal];
            // SAFETY: `len - 1 - j` columns follow the diagonal's.
            let passing = unsafe { self.flow_from::<V>(j, len - 1 - j, &mut under_way[j + 1..]) };
            if j + 1 < len {
                self.inside[j + 1] = passing;
            }
        }
    }

    /// Row `j` of weights and flow beyond the diagonal; returns what passes position `j + 1`.
    #[inline(always)]
    unsafe fn flow_from<V: Vector>(&mut self, j: usize, later: usize, under_way: &mut [f32]) -> f32 {
        let row = j * self.gradients.operands.side + j + 1;
        // SAFETY: `later` elements follow `row` in all matrices, and in the sums and `under_way`.
        unsafe {
            let mut passing = V::splat(0.0);
            sweep!(V, later, |i, lanes| {
                let at = row + i;
                let decay = self.steps.decay_from::<V>(j, j + 1 + i, lanes);
                let score = V::load_first(self.scores.as_ptr().add(at), lanes);
                let flow = V::load_first(self.products.as_ptr().add(at), lanes).mul(decay);
                score.mul(decay).store_first(self.weights.as_mut_ptr().add(at), lanes);
                let sum = self.flow.as_mut_ptr().add(at);
                V::load_first(sum, lanes).add(flow).store_first(sum, lanes);
                let way = under_way.as_mut_ptr().add(i);
                flow.mul_add(score, V::load_first(way, lanes)).store_first(way, lanes);
                // Lanes beyond the block may hold anything.
                passing = passing.add(V::load_first(way, lanes));
            });
            passing.sum()
        }
    }

    /// What comes in with S and what goes out to G.
    #[inline(always)]
    unsafe fn cross_borders<V: Vector>(&mut self, head: usize) {
        let Operands { params: Params { states, head_dim, .. }, side, .. } = self.gradients.operands;
        let Place { borders, index, block, group } = self.place;
        let (b, c) = borders.transposed(index, group);
        let step = self.padded.cast_signed();
        self.by_c.fill(0.0);
        self.by_b.fill(0.0);
        // SAFETY: the buffers are as large as the products say; columns beyond the block are padding.
        unsafe {
            if self.gradients.d_y.is_some() {
                let to_c = Crossing {
                    border: Strided { from: borders.state(head, index).as_ptr(), step },
                    rows: self.d_y_columns.as_ptr(),
                    head_dim,
                    scale: self.steps.decay.as_ptr(),
                    columns: c.as_ptr(),
                    side,
                    sum: self.d_c.as_mut_ptr(),
                    dots: self.by_c.as_mut_ptr(),
                };
                cover::<V>(&to_c, states, block.len);
            }
            let to_b = Crossing {
                border: Strided { from: borders.gradient(head, index).as_ptr(), step },
                rows: self.x_columns.as_ptr(),
                head_dim,
                scale: self.steps.fade.as_ptr(),
                columns: b.as_ptr(),
                side,
                sum: self.d_b.as_mut_ptr(),
                dots: self.by_b.as_mut_ptr(),
            };
            cover::<V>(&to_b, states, block.len);
        }
    }

    /// The gradient of Δ'x.
    #[inline(always)]
    unsafe fn differentiate_inputs<V: Vector>(&mut self, head: usize) {
        let Place { borders, index, block, .. } = self.place;
        let Operands { params, side, .. } = self.gradients.operands;
        let gradient = InputGradient {
            b: self.b(),
            gradient: borders.gradient(head, index).as_ptr(),
            states: params.states,
            fade: self.steps.fade.as_ptr(),
            weights: self.weights.as_ptr(),
            side,
            d_y: self.d_y.as_ptr(),
            len: if self.gradients.d_y.is_some() { block.len } else { 0 },
            out: self.d_x.as_mut_ptr(),
            padded: self.padded,
        };
        // SAFETY: the buffers are as large as the product says.
        unsafe { cover::<V>(&gradient, block.len, self.padded) };
    }
}
