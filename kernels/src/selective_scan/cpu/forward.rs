//! The scan itself, and the states at the borders of its blocks.

use rayon::prelude::*;

use super::{Ahead, BLOCK, Lanes, Span, rates};
use crate::{
    Direction, Rows,
    selective_scan::{Dims, Inputs, Output, Params, check},
    simd::{Level, MAX_LANES, Target, Vector, exp2, silu, simd_entry, softplus},
};

/// See the [module](crate::selective_scan).
pub fn forward(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    inputs: &Inputs<'_, f32>,
    state: &mut [f32],
    output: Option<Output<'_, f32>>,
) {
    let dims = check(params, inputs, state, output.as_ref());
    let output = output.map(|output| Outlet { c: output.c, z: output.z, y: Target::rows(output.y, output.write) });
    let state = state.as_mut_ptr();
    let scan = Scan { dims, params: *params, direction, inputs: *inputs, state, output, borders: None };
    // SAFETY: `check` holds every buffer to `dims`.
    unsafe { share_channels(level, scan) };
}

/// The state before each block of [`BLOCK`] rows, in the order of positions, `[blocks, N, D]`.
pub(super) fn borders(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    inputs: &Inputs<'_, f32>,
    state: &[f32],
) -> Vec<f32> {
    let dims = check(params, inputs, state, None);
    let mut borders = vec![0.0; dims.len.div_ceil(BLOCK) * state.len()];
    let mut state = state.to_vec();
    let (state, kept) = (state.as_mut_ptr(), borders.as_mut_ptr());
    let scan = Scan { dims, params: *params, direction, inputs: *inputs, state, output: None, borders: Some(kept) };
    // SAFETY: `check` holds every buffer to `dims`, and there is a border for every block.
    unsafe { share_channels(level, scan) };
    borders
}

/// Shares the channels out between the threads.
unsafe fn share_channels(level: Level, scan: Scan<'_>) {
    let channels = scan.dims.channels;
    let vectors = channels.div_ceil(level.lanes());
    let tasks = vectors.min(2 * rayon::current_num_threads());
    (0..tasks).into_par_iter().for_each(|i| {
        let first = i * vectors / tasks * level.lanes();
        let end = ((i + 1) * vectors / tasks * level.lanes()).min(channels);
        // SAFETY: the caller keeps every buffer to the dimensions, and tasks have no channel in common.
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
    output: Option<Outlet<'a>>,
    /// Where the state before each block goes, `[blocks, N, D]`; the last block of the walk is then left out.
    borders: Option<*mut f32>,
}

/// [`Output`] with y as a pointer.
#[derive(Clone, Copy)]
struct Outlet<'a> {
    c: Rows<'a, f32>,
    z: Option<Rows<'a, f32>>,
    y: Target,
}

// SAFETY: tasks share what they read and write disjoint channels of the state, of y and of the borders.
unsafe impl Send for Scan<'_> {}
// SAFETY: as above.
unsafe impl Sync for Scan<'_> {}

impl Scan<'_> {
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
                V::prefetch(output.y.at.wrapping_add(at(output.y.stride)));
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
        let block = scan.direction.nth(i, blocks);
        let span = Span::of_block(block, scan.dims.len);
        if let Some(borders) = scan.borders {
            let size = scan.dims.states * scan.dims.channels;
            // SAFETY: `block` is one of the borders' blocks, and no other task has these channels.
            unsafe { keep_border(&scan, borders.add(block * size), first, end) };
            if i + 1 == blocks {
                return;
            }
        }
        let mut channel = first;
        while channel < end {
            let lanes = Lanes { first: channel, lanes: (end - channel).min(V::LANES) };
            let next = channel + lanes.lanes;
            let ahead = if next < end {
                Ahead { row: span.start, channel: next }
            } else {
                Ahead { row: span.row_after(scan.direction), channel: first }
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

/// Copies the state of channels `[first, end)` to a border.
#[inline(always)]
unsafe fn keep_border(scan: &Scan<'_>, border: *mut f32, first: usize, end: usize) {
    for n in 0..scan.dims.states {
        let at = n * scan.dims.channels + first;
        // SAFETY: the border has the shape of the state, and they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(scan.state.add(at), border.add(at), end - first) };
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
        let a: [V; S] = rates(&scan.params, channels, n, at);
        let state = scan.state.add(n * channels + at.first);
        let mut h: [V; S] = std::array::from_fn(|s| V::load_first(state.add(s * channels), at.lanes));
        for step in 0..rows {
            let row = scan.direction.nth(step, rows);
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
pub(super) unsafe fn dot_states<V: Vector, const S: usize>(h: &[V; S], c: *const f32, y: V) -> V {
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
unsafe fn output_body<V: Vector>(scan: &Scan<'_>, output: &Outlet<'_>, span: Span, at: Lanes, buffers: &Buffers) {
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
            output.y.put(y, t, at.first, at.lanes);
        }
    }
}
