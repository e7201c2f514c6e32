//! The gradients of the convolution in f32, vectorised over channels.
//!
//! A task owns a tile of rows and walks them in the direction of the convolution, a few at a time. For each vector of
//! channels the last K inputs and the last K gradients of sums are then in registers, and the gradient of an input is
//! complete K-1 rows after it was met. A task computes K-1 rows of the next tile again, for its last inputs.

use rayon::prelude::*;

use crate::{
    Direction, GradRows, Rows, RowsMut, TILE, Write,
    causal_conv1d::{GradParams, MAX_KERNEL, Params, check_backward},
    simd::{Level, Target, Vector, silu_and_slope, simd_entry, sweep},
    sums::BlockSums,
};

/// See the [module](crate::causal_conv1d).
///
/// # Panics
///
/// Panics if the shapes do not fit or there are more than [`MAX_KERNEL`] taps.
#[allow(clippy::too_many_arguments, reason = "those of `forward` and their gradients")]
pub fn backward(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    x: Rows<'_, f32>,
    state: &[f32],
    d_out: &[f32],
    d_state: &mut [f32],
    d_x: GradRows<'_, f32>,
    d_params: &mut GradParams<'_, f32>,
) {
    let (len, channels, kernel) = check_backward(params, &x, state, d_out, d_state, &d_x, d_params);
    let d_last = d_state.to_vec();
    let walk = Walk {
        params: *params,
        direction,
        x,
        state,
        d_out: Rows::new(d_out, channels),
        d_last: &d_last,
        d_x: Target::gradient(d_x),
        d_first: Target::rows(RowsMut::new(d_state, channels), Write::Set),
        len,
        channels,
        kernel,
    };
    let mut sums = BlockSums::new(len, (kernel + 1) * channels);
    sums.par_blocks().enumerate().for_each(|(i, sums)| {
        // SAFETY: `check_backward` has held all lengths against each other, the sums have K + 1 rows, and each input
        // is one tile's.
        unsafe { walk_tile(level, walk, i * TILE, sums) };
    });
    let taps = kernel * channels;
    sums.add_to(0, d_params.d_weight);
    if let Some(d_bias) = &mut d_params.d_bias {
        sums.add_to(taps, d_bias);
    }
}

/// Rows that are walked together: so few that each is a stream to the hardware prefetcher.
const ROWS: usize = 8;

/// The operands as the tasks see them. Inputs are counted along the walk, from the initial state on: with tap k, output
/// `p` meets input `p + k`, and input `p` is row `p - (K-1)` of x.
#[derive(Clone, Copy)]
struct Walk<'a> {
    params: Params<'a, f32>,
    direction: Direction,
    x: Rows<'a, f32>,
    state: &'a [f32],
    d_out: Rows<'a, f32>,
    /// Gradient of the final state.
    d_last: &'a [f32],
    d_x: Target,
    /// Gradient of the initial state.
    d_first: Target,
    len: usize,
    channels: usize,
    kernel: usize,
}

impl Walk<'_> {
    /// Row `i` of a state, counted along the walk.
    fn outside(&self, i: usize) -> usize {
        self.direction.nth(i, self.kernel - 1)
    }

    fn input(&self, p: usize) -> *const f32 {
        match p.checked_sub(self.kernel - 1) {
            None => self.state[self.outside(p) * self.channels..].as_ptr(),
            Some(i) => self.x.row(self.direction.nth(i, self.len)).as_ptr(),
        }
    }

    /// Where the gradient of input `p` goes, and the row that the final state adds to it.
    fn gradient(&self, p: usize) -> (Target, Option<*const f32>) {
        let to = match p.checked_sub(self.kernel - 1) {
            None => self.d_first.rows_from(self.outside(p)),
            Some(i) => self.d_x.rows_from(self.direction.nth(i, self.len)),
        };
        let more = p.checked_sub(self.len).map(|i| self.d_last[self.outside(i) * self.channels..].as_ptr());
        (to, more)
    }
}

/// Where the rows of a part of the walk lie.
struct Part {
    /// Number of rows.
    rows: usize,
    /// The inputs that the outputs meet, from the first tap of the first one on.
    inputs: [*const f32; ROWS + MAX_KERNEL],
    /// Gradients of the outputs, for as many as there are.
    d_out: [Option<*const f32>; ROWS],
    /// What the tile owns of the gradients of the inputs that are complete.
    d_x: [Option<(Target, Option<*const f32>)>; ROWS],
}

impl Part {
    /// Outputs `[start, stop)`, where those from `walk.len` on do not exist. The tile owns inputs from `own` on.
    fn new(walk: &Walk<'_>, start: usize, stop: usize, own: usize) -> Self {
        let mut part =
            Self { rows: stop - start, inputs: [std::ptr::null(); _], d_out: [None; ROWS], d_x: [None; ROWS] };
        let inputs =
            if start < walk.len { start..(stop + walk.kernel - 1).min(walk.len + walk.kernel - 1) } else { 0..0 };
        for (to, p) in part.inputs.iter_mut().zip(inputs) {
            *to = walk.input(p);
        }
        for (i, p) in (start..stop).enumerate() {
            part.d_out[i] = (p < walk.len).then(|| walk.d_out.row(walk.direction.nth(p, walk.len)).as_ptr());
            part.d_x[i] = (p >= own).then(|| walk.gradient(p));
        }
        part
    }
}

simd_entry! {
    unsafe fn walk_tile(walk: Walk<'_>, first: usize, sums: &mut [f32]) = body
}

#[inline(always)]
unsafe fn body<V: Vector>(walk: Walk<'_>, first: usize, sums: &mut [f32]) {
    // As in the forward walk, four taps stay in registers.
    // SAFETY: forwarded from the caller.
    unsafe {
        match walk.kernel {
            4 => tile_body::<V, 4>(walk, first, sums),
            _ => tile_body::<V, MAX_KERNEL>(walk, first, sums),
        }
    }
}

#[inline(always)]
unsafe fn tile_body<V: Vector, const K: usize>(walk: Walk<'_>, first: usize, sums: &mut [f32]) {
    // A constant where it can be: arrays that are met with a variable do not stay in registers.
    let kernel = if K == MAX_KERNEL { walk.kernel } else { K };
    let end = (first + TILE).min(walk.len);
    // The inputs of the initial state are the first tile's.
    let own = if first == 0 { 0 } else { first + kernel - 1 };
    // The last K-1 gradients of sums, the latest first.
    let mut d_sums = vec![0.0; (kernel - 1) * walk.channels];
    // The second stretch is the next tile's, or does not exist.
    for (from, to, counts) in [(first, end, true), (end, end + kernel - 1, false)] {
        for start in (from..to).step_by(ROWS) {
            let part = Part::new(&walk, start, (start + ROWS).min(to), own);
            // SAFETY: forwarded from the caller; every pointer of the part is to a row of `channels` elements.
            unsafe { part_body::<V, K>(&walk, &part, kernel, counts, &mut d_sums, sums) };
        }
    }
}

/// Walks the rows of a part; adds to the sums of taps and bias if it `counts`.
#[inline(always)]
unsafe fn part_body<V: Vector, const K: usize>(
    walk: &Walk<'_>,
    part: &Part,
    kernel: usize,
    counts: bool,
    kept: &mut [f32],
    sums: &mut [f32],
) {
    let channels = walk.channels;
    let met = part.d_out[0].is_some();
    sweep!(V, channels, |d, lanes| {
        // SAFETY: `lanes` channels follow `d` in every row.
        unsafe {
            let zero = V::splat(0.0);
            let bias = walk.params.bias.map_or(zero, |bias| V::load_first(bias.as_ptr().add(d), lanes));
            let (mut weight, mut x, mut d_sums, mut d_weight) = ([zero; K], [zero; K], [zero; K], [zero; K]);
            for (k, weight) in weight.iter_mut().enumerate().take(kernel) {
                *weight = V::load_first(walk.params.weight.as_ptr().add(k * channels + d), lanes);
            }
            for k in 1..kernel {
                d_sums[k - 1] = V::load_first(kept.as_ptr().add((k - 1) * channels + d), lanes);
                if met {
                    x[k] = V::load_first(part.inputs[k - 1].add(d), lanes);
                }
            }
            let mut d_bias = zero;
            for i in 0..part.rows {
                for k in (1..kernel).rev() {
                    d_sums[k] = d_sums[k - 1];
                }
                d_sums[0] = zero;
                if let Some(d_out) = part.d_out[i] {
                    for k in 1..kernel {
                        x[k - 1] = x[k];
                    }
                    x[kernel - 1] = V::load_first(part.inputs[i + kernel - 1].add(d), lanes);
                    let mut sum = bias;
                    for k in 0..kernel {
                        sum = x[k].mul_add(weight[k], sum);
                    }
                    d_sums[0] = V::load_first(d_out.add(d), lanes).mul(silu_and_slope(sum).1);
                    for k in 0..kernel {
                        d_weight[k] = d_sums[0].mul_add(x[k], d_weight[k]);
                    }
                    d_bias = d_bias.add(d_sums[0]);
                }
                if let Some((to, more)) = part.d_x[i] {
                    let mut d_x = more.map_or(zero, |more| V::load_first(more.add(d), lanes));
                    for k in 0..kernel {
                        d_x = d_sums[k].mul_add(weight[k], d_x);
                    }
                    to.put(d_x, 0, d, lanes);
                }
            }
            for k in 1..kernel {
                d_sums[k - 1].store_first(kept.as_mut_ptr().add((k - 1) * channels + d), lanes);
            }
            if counts {
                for (k, sum) in d_weight.iter().take(kernel).chain([&d_bias]).enumerate() {
                    let to = sums.as_mut_ptr().add(k * channels + d);
                    V::load_first(to, lanes).add(*sum).store_first(to, lanes);
                }
            }
        }
    });
}
