//! The scan in f32, vectorised over channels.
//!
//! A lane is a channel and a register holds one state of as many channels as it has lanes, so nothing is ever summed
//! across lanes and the recurrence needs no scan over time: up to `Vector::SCAN_STATES` states of a vector of
//! channels stay in registers while time passes. Departures from the equations, and why:
//!
//! 1. exp(Δ'·A) is computed as 2^(Δ'·A·log₂e), with the last product made once for all positions.
//! 2. Time goes in blocks of 64 rows. Within one, Δ' and Δ'·u are computed for all rows first, then the
//!    recurrence, then D·u and the gate: three short loops without dependences in the first and the last.
//! 3. States beyond what the registers hold take another turn over the block; their contributions to y are added in
//!    the order of the states.
//!
//! Threads share out the channels. No channel's value depends on how that is done.

use rayon::prelude::*;

use super::{Dims, Inputs, Output, Params};
use crate::{
    Direction, Rows, Write,
    simd::{Level, MAX_LANES, Vector, exp2, silu, simd_entry, softplus},
};

/// Rows of a time block: its buffers of Δ', Δ'·u and y take 12 KiB of first-level cache at 16 lanes.
const BLOCK: usize = 64;

/// See the [module](super).
pub fn forward(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    inputs: &Inputs<'_, f32>,
    state: &mut [f32],
    output: Option<Output<'_, f32>>,
) {
    let dims = super::check(params, inputs, state, output.as_ref());
    let scan = Scan {
        dims,
        params: *params,
        direction,
        inputs: *inputs,
        state: state.as_mut_ptr(),
        output: output.map(|mut output| Readout {
            c: output.c,
            z: output.z,
            y: output.y.as_mut_ptr(),
            y_stride: output.y.stride(),
            write: output.write,
        }),
    };
    let vectors = dims.channels.div_ceil(level.lanes());
    let tasks = vectors.min(2 * rayon::current_num_threads());
    (0..tasks).into_par_iter().for_each(|i| {
        let first = i * vectors / tasks * level.lanes();
        let end = ((i + 1) * vectors / tasks * level.lanes()).min(dims.channels);
        // SAFETY: `check` holds every buffer to `dims`, and tasks have no channel in common.
        unsafe { scan_channels(level, scan, first, end) };
    });
}

/// The operands as the tasks see them.
#[derive(Clone, Copy)]
struct Scan<'a> {
    dims: Dims,
    params: Params<'a, f32>,
    direction: Direction,
    inputs: Inputs<'a, f32>,
    state: *mut f32,
    output: Option<Readout<'a>>,
}

/// [`Output`] with y as a pointer.
#[derive(Clone, Copy)]
struct Readout<'a> {
    c: Rows<'a, f32>,
    z: Option<Rows<'a, f32>>,
    y: *mut f32,
    y_stride: usize,
    write: Write,
}

// SAFETY: tasks share what they read and write disjoint channels of the state and of y.
unsafe impl Send for Scan<'_> {}
// SAFETY: as above.
unsafe impl Sync for Scan<'_> {}

/// Rows `[start, end)`, at most [`BLOCK`].
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

/// Channels `[first, first + lanes)`, at most a vector.
#[derive(Clone, Copy)]
struct Lanes {
    first: usize,
    lanes: usize,
}

/// The block that is worked on next: its first row and channel, which lie outside the buffers after the last one.
#[derive(Clone, Copy)]
struct Ahead {
    row: usize,
    channel: usize,
}

impl Scan<'_> {
    /// The first row of the block that follows in the direction of the scan.
    fn row_after(&self, span: Span) -> usize {
        match self.direction {
            Direction::Forward => span.end,
            Direction::Reverse => span.start.wrapping_sub(BLOCK),
        }
    }

    /// Asks for what the next block reads of its row `row`. A vector of channels takes one line of each row, and rows
    /// lie kilobytes apart, so that no hardware prefetcher sees it coming; the recurrence has time to.
    #[inline(always)]
    unsafe fn prefetch<V: Vector>(&self, ahead: Ahead, row: usize) {
        let t = ahead.row.wrapping_add(row);
        let at = |stride: usize| t.wrapping_mul(stride).wrapping_add(ahead.channel);
        let Inputs { u, delta, .. } = self.inputs;
        // SAFETY: the addresses may be anything.
        unsafe {
            V::prefetch(u.as_ptr().wrapping_add(at(u.stride())));
            V::prefetch(delta.as_ptr().wrapping_add(at(delta.stride())));
            if let Some(output) = &self.output {
                V::prefetch(output.y.wrapping_add(at(output.y_stride)));
                if let Some(z) = output.z {
                    V::prefetch(z.as_ptr().wrapping_add(at(z.stride())));
                }
            }
        }
    }
}

/// What a time block keeps between its three loops, each `[BLOCK, LANES]`, with room for the widest vector.
struct Buffers {
    delta: [f32; BLOCK * MAX_LANES],
    delta_u: [f32; BLOCK * MAX_LANES],
    y: [f32; BLOCK * MAX_LANES],
}

simd_entry! {
    unsafe fn scan_channels(scan: Scan<'_>, first: usize, end: usize) = channels_body
}

#[inline(always)]
unsafe fn channels_body<V: Vector>(scan: Scan<'_>, first: usize, end: usize) {
    let mut buffers =
        Buffers { delta: [0.0; BLOCK * MAX_LANES], delta_u: [0.0; BLOCK * MAX_LANES], y: [0.0; BLOCK * MAX_LANES] };
    let blocks = scan.dims.len.div_ceil(BLOCK);
    for i in 0..blocks {
        let block = match scan.direction {
            Direction::Forward => i,
            Direction::Reverse => blocks - 1 - i,
        };
        let span = Span { start: block * BLOCK, end: ((block + 1) * BLOCK).min(scan.dims.len) };
        let mut channel = first;
        while channel < end {
            let lanes = Lanes { first: channel, lanes: (end - channel).min(V::LANES) };
            let next = channel + lanes.lanes;
            let ahead = if next < end {
                Ahead { row: span.start, channel: next }
            } else {
                Ahead { row: scan.row_after(span), channel: first }
            };
            // SAFETY: the span and the lanes lie inside the scan's dimensions.
            unsafe {
                steps_body::<V>(&scan, span, lanes, &mut buffers);
                states_body::<V>(&scan, span, lanes, ahead, &mut buffers);
                if let Some(output) = scan.output {
                    output_body::<V>(&scan, &output, span, lanes, &buffers);
                }
            }
            channel += lanes.lanes;
        }
    }
}

/// Δ' and Δ'·u of a block; y starts at zero.
#[inline(always)]
unsafe fn steps_body<V: Vector>(scan: &Scan<'_>, span: Span, at: Lanes, buffers: &mut Buffers) {
    let Inputs { u, delta, .. } = scan.inputs;
    // SAFETY: the caller keeps rows and lanes inside the dimensions; a block has at most BLOCK rows.
    unsafe {
        let bias = V::load_first(scan.params.delta_bias.as_ptr().add(at.first), at.lanes);
        for t in span.start..span.end {
            let raw = V::load_first(delta.as_ptr().add(t * delta.stride() + at.first), at.lanes);
            let u = V::load_first(u.as_ptr().add(t * u.stride() + at.first), at.lanes);
            let step = softplus(raw.add(bias));
            let i = (t - span.start) * V::LANES;
            step.store(buffers.delta.as_mut_ptr().add(i));
            step.mul(u).store(buffers.delta_u.as_mut_ptr().add(i));
            V::splat(0.0).store(buffers.y.as_mut_ptr().add(i));
        }
    }
}

/// The recurrence of all states over a block, as many states at a time as fit the registers.
#[inline(always)]
unsafe fn states_body<V: Vector>(scan: &Scan<'_>, span: Span, at: Lanes, ahead: Ahead, buffers: &mut Buffers) {
    let mut n = 0;
    macro_rules! turns_of {
        ($($states:literal)*) => {$(
            while V::SCAN_STATES >= $states && scan.dims.states - n >= $states {
                // SAFETY: `$states` states follow `n`; the rest is forwarded from the caller.
                unsafe {
                    match scan.output {
                        Some(_) => recurrence::<V, $states, true>(scan, span, at, n, ahead, buffers),
                        None => recurrence::<V, $states, false>(scan, span, at, n, ahead, buffers),
                    }
                }
                n += $states;
            }
        )*};
    }
    turns_of!(8 4 2 1);
}

/// `S` states, from state `n` on, of a vector of channels over a block; adds their part of y when `READ`.
#[inline(always)]
unsafe fn recurrence<V: Vector, const S: usize, const READ: bool>(
    scan: &Scan<'_>,
    span: Span,
    at: Lanes,
    n: usize,
    ahead: Ahead,
    buffers: &mut Buffers,
) {
    let channels = scan.dims.channels;
    let rows = span.end - span.start;
    // SAFETY: `S` states from `n`, the lanes and the rows lie inside the dimensions.
    unsafe {
        let log2_e = V::splat(std::f32::consts::LOG2_E);
        let a: [V; S] = std::array::from_fn(|s| {
            let a = V::load_first(scan.params.a.as_ptr().add((n + s) * channels + at.first), at.lanes);
            // An infinite rate by a step of zero would be NaN.
            V::splat(f32::MIN).max(a.mul(log2_e))
        });
        let state = scan.state.add(n * channels + at.first);
        let mut h: [V; S] = std::array::from_fn(|s| V::load_first(state.add(s * channels), at.lanes));
        for step in 0..rows {
            let row = match scan.direction {
                Direction::Forward => step,
                Direction::Reverse => rows - 1 - step,
            };
            let t = span.start + row;
            if n == 0 {
                scan.prefetch::<V>(ahead, row);
            }
            let delta = V::load(buffers.delta.as_ptr().add(row * V::LANES));
            let delta_u = V::load(buffers.delta_u.as_ptr().add(row * V::LANES));
            let b = scan.inputs.b.as_ptr().add(t * scan.inputs.b.stride() + n);
            for s in 0..S {
                let decay = exp2(delta.mul(a[s]));
                h[s] = h[s].mul_add(decay, delta_u.mul(V::splat(*b.add(s))));
            }
            if READ && let Some(output) = &scan.output {
                let c = output.c.as_ptr().add(t * output.c.stride() + n);
                let y = buffers.y.as_mut_ptr().add(row * V::LANES);
                dot_states(&h, c, V::load(y)).store(y);
            }
        }
        for (s, h) in h.iter().enumerate() {
            h.store_first(state.add(s * channels), at.lanes);
        }
    }
}

/// `y + Σ_s c[s] · h[s]`, in two chains so that additions overlap.
#[inline(always)]
unsafe fn dot_states<V: Vector, const S: usize>(h: &[V; S], c: *const f32, y: V) -> V {
    // SAFETY: the caller has `S` readable elements at `c`.
    unsafe {
        let mut even = y;
        let mut odd = V::splat(0.0);
        for (s, h) in h.iter().enumerate() {
            let c = V::splat(*c.add(s));
            if s % 2 == 0 {
                even = h.mul_add(c, even);
            } else {
                odd = h.mul_add(c, odd);
            }
        }
        even.add(odd)
    }
}

/// D·u, the gate, and the way out.
#[inline(always)]
unsafe fn output_body<V: Vector>(scan: &Scan<'_>, output: &Readout<'_>, span: Span, at: Lanes, buffers: &Buffers) {
    let u = scan.inputs.u;
    // SAFETY: the caller keeps rows and lanes inside the dimensions.
    unsafe {
        let d = V::load_first(scan.params.d.as_ptr().add(at.first), at.lanes);
        for t in span.start..span.end {
            let y = V::load(buffers.y.as_ptr().add((t - span.start) * V::LANES));
            let u = V::load_first(u.as_ptr().add(t * u.stride() + at.first), at.lanes);
            let mut y = d.mul_add(u, y);
            if let Some(z) = output.z {
                let z = V::load_first(z.as_ptr().add(t * z.stride() + at.first), at.lanes);
                y = y.mul(silu(z));
            }
            let to = output.y.add(t * output.y_stride + at.first);
            if output.write == Write::Add {
                y = y.add(V::load_first(to, at.lanes));
            }
            y.store_first(to, at.lanes);
        }
    }
}
