//! The gradient of the initial state alone: what [`backward`](super::backward) carries, without what it sums on the way.

use rayon::prelude::*;

use super::{BLOCK, Lanes, Span, rates};
use crate::{
    Direction, Rows,
    selective_scan::{Dims, Params, Readout, check_retreat},
    simd::{Level, MAX_LANES, Vector, exp2, silu, simd_entry, softplus},
};

/// See the [module](crate::selective_scan). The bits are those of [`backward`](super::backward).
pub fn retreat(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    delta: Rows<'_, f32>,
    readout: &Readout<'_, f32>,
    d_state: &mut [f32],
) {
    let dims = check_retreat(params, &delta, readout, d_state);
    let d_state = d_state.as_mut_ptr();
    let way = Way { dims, params: *params, direction, delta, readout: *readout, d_state };
    let vectors = dims.channels.div_ceil(level.lanes());
    let tasks = vectors.min(2 * rayon::current_num_threads());
    (0..tasks).into_par_iter().for_each(|i| {
        let first = i * vectors / tasks * level.lanes();
        let end = ((i + 1) * vectors / tasks * level.lanes()).min(dims.channels);
        // SAFETY: `check_retreat` holds every buffer to `dims`, and tasks have no channel in common.
        unsafe { retreat_channels(level, way, first, end) };
    });
}

/// The operands as the tasks see them.
#[derive(Clone, Copy)]
struct Way<'a> {
    dims: Dims,
    params: Params<'a, f32>,
    direction: Direction,
    delta: Rows<'a, f32>,
    readout: Readout<'a, f32>,
    d_state: *mut f32,
}

// SAFETY: tasks share what they read and write disjoint channels of the state's gradient.
unsafe impl Send for Way<'_> {}
// SAFETY: as above.
unsafe impl Sync for Way<'_> {}

/// What a time block keeps between its two loops, each `[BLOCK, LANES]`, with room for the widest vector.
struct Buffers {
    delta: [f32; BLOCK * MAX_LANES],
    d_q: [f32; BLOCK * MAX_LANES],
}

simd_entry! {
    unsafe fn retreat_channels(way: Way<'_>, first: usize, end: usize) = channels_body
}

#[inline(always)]
unsafe fn channels_body<V: Vector>(way: Way<'_>, first: usize, end: usize) {
    let mut buffers = Buffers { delta: [0.0; BLOCK * MAX_LANES], d_q: [0.0; BLOCK * MAX_LANES] };
    let blocks = way.dims.len.div_ceil(BLOCK);
    for i in 0..blocks {
        let span = Span::of_block(way.direction.opposite().nth(i, blocks), way.dims.len);
        for channel in (first..end).step_by(V::LANES) {
            let at = Lanes { first: channel, lanes: (end - channel).min(V::LANES) };
            // SAFETY: the span and the lanes lie inside the dimensions.
            unsafe {
                steps_body::<V>(&way, span, at, &mut buffers);
                states_body::<V>(&way, span, at, &buffers);
            }
        }
    }
}

/// Δ' and dq of a block.
#[inline(always)]
unsafe fn steps_body<V: Vector>(way: &Way<'_>, span: Span, at: Lanes, buffers: &mut Buffers) {
    let Readout { z, d_y, .. } = way.readout;
    // SAFETY: the caller keeps rows and lanes inside the dimensions; a block has at most BLOCK rows.
    unsafe {
        let of =
            |rows: Rows<'_, f32>, t: usize| V::load_first(rows.as_ptr().add(t * rows.stride() + at.first), at.lanes);
        let bias = V::load_first(way.params.delta_bias.as_ptr().add(at.first), at.lanes);
        for t in span.start..span.end {
            let i = (t - span.start) * V::LANES;
            softplus(of(way.delta, t).add(bias)).store(buffers.delta.as_mut_ptr().add(i));
            let mut d_q = of(d_y, t);
            if let Some(z) = z {
                d_q = d_q.mul(silu(of(z, t)));
            }
            d_q.store(buffers.d_q.as_mut_ptr().add(i));
        }
    }
}

/// The gradients of all states over a block, as many states at a time as fit the registers.
#[inline(always)]
unsafe fn states_body<V: Vector>(way: &Way<'_>, span: Span, at: Lanes, buffers: &Buffers) {
    let mut n = 0;
    macro_rules! turns_of {
        ($($states:literal)*) => {$(
            while V::SCAN_STATES >= $states && way.dims.states - n >= $states {
                // SAFETY: `$states` states follow `n`; the rest is forwarded from the caller.
                unsafe { recurrence::<V, $states>(way, span, at, n, buffers) };
                n += $states;
            }
        )*};
    }
    turns_of!(8 4 2 1);
}

/// `S` states, from state `n` on, of a vector of channels against the direction of the scan.
#[inline(always)]
unsafe fn recurrence<V: Vector, const S: usize>(way: &Way<'_>, span: Span, at: Lanes, n: usize, buffers: &Buffers) {
    let (channels, rows, c) = (way.dims.channels, span.rows(), way.readout.c);
    // SAFETY: `S` states from `n`, the lanes and the rows lie inside the dimensions.
    unsafe {
        let a: [V; S] = rates(&way.params, channels, n, at);
        let d_state = way.d_state.add(n * channels + at.first);
        let mut carried: [V; S] = std::array::from_fn(|s| V::load_first(d_state.add(s * channels), at.lanes));
        for step in (0..rows).rev() {
            let row = way.direction.nth(step, rows);
            let delta = V::load(buffers.delta.as_ptr().add(row * V::LANES));
            let d_q = V::load(buffers.d_q.as_ptr().add(row * V::LANES));
            let c = c.as_ptr().add((span.start + row) * c.stride() + n);
            for s in 0..S {
                let g = d_q.mul_add(V::splat(*c.add(s)), carried[s]);
                carried[s] = g.mul(exp2(delta.mul(a[s])));
            }
        }
        for (s, carried) in carried.iter().enumerate() {
            carried.store_first(d_state.add(s * channels), at.lanes);
        }
    }
}
