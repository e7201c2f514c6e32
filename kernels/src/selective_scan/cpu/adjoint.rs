//! The adjoint recurrence of a group of channels over a panel of rows.

use super::{Ahead, BLOCK, Lanes, Span, forward::dot_states, rates};
use crate::{
    Direction, Rows,
    selective_scan::{Dims, Inputs, Params, Readout},
    simd::{MAX_LANES, Target, Vector, exp2, sigmoid, silu, silu_and_slope, softplus},
};

/// Vectors of channels whose sums over channels are made together.
pub(super) const GROUP: usize = 2;

/// States whose recomputed values are held at a time: they take 16 KiB of cache at 16 lanes.
const TURN: usize = 4;

/// The operands as the tasks see them.
#[derive(Clone, Copy)]
pub(super) struct Adjoint<'a> {
    pub(super) dims: Dims,
    pub(super) params: Params<'a, f32>,
    pub(super) direction: Direction,
    pub(super) inputs: Inputs<'a, f32>,
    pub(super) readout: Option<Readout<'a, f32>>,
    /// The state before each block, `[blocks, N, D]`.
    pub(super) borders: &'a [f32],
    /// `e⁺·g⁺` of the position before which the walk stands, `[N, D]`.
    pub(super) d_state: Target,
    pub(super) d_u: Target,
    pub(super) d_delta: Target,
    pub(super) d_z: Option<Target>,
}

/// A vector of channels in a block.
#[derive(Clone, Copy)]
struct Place {
    block: usize,
    span: Span,
    at: Lanes,
    ahead: Ahead,
}

/// What a block keeps between its loops, each `[BLOCK, LANES]` with room for the widest vector.
struct Buffers {
    delta: [f32; BLOCK * MAX_LANES],
    delta_u: [f32; BLOCK * MAX_LANES],
    d_q: [f32; BLOCK * MAX_LANES],
    /// Σ_n C·h
    read: [f32; BLOCK * MAX_LANES],
    /// Σ_n B·g
    b_g: [f32; BLOCK * MAX_LANES],
    /// Σ_n A·log₂e · (g·e·h⁻)
    a_w: [f32; BLOCK * MAX_LANES],
    /// e and h⁻ of the states of a turn, `[BLOCK, TURN, LANES]`
    decay: [f32; BLOCK * TURN * MAX_LANES],
    before: [f32; BLOCK * TURN * MAX_LANES],
    /// h of the last step, `[TURN, LANES]`
    last: [f32; TURN * MAX_LANES],
}

impl Buffers {
    fn new() -> Self {
        let rows = [0.0; BLOCK * MAX_LANES];
        let turn = [0.0; BLOCK * TURN * MAX_LANES];
        Self {
            delta: rows,
            delta_u: rows,
            d_q: rows,
            read: rows,
            b_g: rows,
            a_w: rows,
            decay: turn,
            before: turn,
            last: [0.0; TURN * MAX_LANES],
        }
    }
}

/// The sums of a group: over its channels `[rows, 2·N]` from row `start` on, set; over time `[N + 2, GROUP·LANES]`,
/// added to.
struct GroupSums<'a> {
    start: usize,
    over_channels: &'a mut [f32],
    over_time: &'a mut [f64],
}

impl GroupSums<'_> {
    /// Adds a block's sums over time of the vector `vector` of the group to row `n`.
    #[inline(always)]
    unsafe fn add_over_time<V: Vector>(&mut self, n: usize, vector: usize, sums: V) {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: there is room for the widest vector.
        unsafe { sums.store(lanes.as_mut_ptr()) };
        let totals = &mut self.over_time[(n * GROUP + vector) * V::LANES..][..V::LANES];
        for (total, sum) in totals.iter_mut().zip(lanes) {
            *total += f64::from(sum);
        }
    }
}

/// The channels from `first` on, as many as a group has, over rows `[start, end)`, which begin with a block.
#[inline(always)]
pub(super) unsafe fn group_body<V: Vector>(
    scan: Adjoint<'_>,
    start: usize,
    end: usize,
    first: usize,
    over_channels: &mut [f32],
    over_time: &mut [f64],
) {
    over_channels[..(end - start) * 2 * scan.dims.states].fill(0.0);
    let mut sums = GroupSums { start, over_channels, over_time };
    let mut buffers = Buffers::new();
    let against = scan.direction.opposite();
    let blocks = (end - start).div_ceil(BLOCK);
    for i in 0..blocks {
        let block = start / BLOCK + against.nth(i, blocks);
        let span = Span::of_block(block, scan.dims.len);
        for vector in 0..GROUP {
            let channel = first + vector * V::LANES;
            if channel >= scan.dims.channels {
                break;
            }
            let at = Lanes { first: channel, lanes: (scan.dims.channels - channel).min(V::LANES) };
            let ahead = if vector + 1 < GROUP && channel + V::LANES < scan.dims.channels {
                Ahead { row: span.start, channel: channel + V::LANES }
            } else {
                Ahead { row: span.row_after(against), channel: first }
            };
            let place = Place { block, span, at, ahead };
            // SAFETY: the caller keeps rows and channels inside the dimensions.
            unsafe {
                steps_body::<V>(&scan, place, &mut buffers);
                states_body::<V>(&scan, place, vector, &mut buffers, &mut sums);
                inputs_body::<V>(&scan, place, vector, &buffers, &mut sums);
            }
        }
    }
}

/// Δ', Δ'·u and dq of a block; what is summed over states starts at zero.
#[inline(always)]
unsafe fn steps_body<V: Vector>(scan: &Adjoint<'_>, Place { span, at, .. }: Place, buffers: &mut Buffers) {
    let Inputs { u, delta, .. } = scan.inputs;
    // SAFETY: the caller keeps rows and lanes inside the dimensions; a block has at most BLOCK rows.
    unsafe {
        let zero = V::splat(0.0);
        let bias = V::load_first(scan.params.delta_bias.as_ptr().add(at.first), at.lanes);
        for t in span.start..span.end {
            let raw = V::load_first(delta.as_ptr().add(t * delta.stride() + at.first), at.lanes);
            let u = V::load_first(u.as_ptr().add(t * u.stride() + at.first), at.lanes);
            let step = softplus(raw.add(bias));
            let mut d_q = zero;
            if let Some(Readout { z, d_y, .. }) = scan.readout {
                d_q = V::load_first(d_y.as_ptr().add(t * d_y.stride() + at.first), at.lanes);
                if let Some(z) = z {
                    d_q = d_q.mul(silu(V::load_first(z.as_ptr().add(t * z.stride() + at.first), at.lanes)));
                }
            }
            let i = (t - span.start) * V::LANES;
            step.store(buffers.delta.as_mut_ptr().add(i));
            step.mul(u).store(buffers.delta_u.as_mut_ptr().add(i));
            d_q.store(buffers.d_q.as_mut_ptr().add(i));
            for sum in [&mut buffers.read, &mut buffers.b_g, &mut buffers.a_w] {
                zero.store(sum.as_mut_ptr().add(i));
            }
        }
    }
}

/// The adjoint of all states over a block, a few states at a time.
#[inline(always)]
unsafe fn states_body<V: Vector>(
    scan: &Adjoint<'_>,
    place: Place,
    vector: usize,
    buffers: &mut Buffers,
    sums: &mut GroupSums<'_>,
) {
    let mut n = 0;
    macro_rules! turns_of {
        ($($states:literal)*) => {$(
            while scan.dims.states - n >= $states {
                // SAFETY: `$states` states follow `n`; the rest is forwarded from the caller.
                unsafe {
                    recompute::<V, $states>(scan, place, n, buffers);
                    match scan.readout {
                        Some(_) => recurrence::<V, $states, true>(scan, place, n, vector, buffers, sums),
                        None => recurrence::<V, $states, false>(scan, place, n, vector, buffers, sums),
                    }
                }
                n += $states;
            }
        )*};
    }
    turns_of!(4 2 1);
}

/// Keeps e and h⁻ of `S` states, from state `n` on; adds their part of the output before a gate.
#[inline(always)]
unsafe fn recompute<V: Vector, const S: usize>(scan: &Adjoint<'_>, place: Place, n: usize, buffers: &mut Buffers) {
    let Place { block, span, at, ahead } = place;
    let Dims { channels, states, .. } = scan.dims;
    let rows = span.rows();
    let gated = scan.readout.filter(|readout| readout.z.is_some());
    // SAFETY: `S` states from `n`, the lanes and the rows lie inside the dimensions, the block inside the borders; a
    // turn has at most TURN states.
    unsafe {
        let a: [V; S] = rates(&scan.params, channels, n, at);
        let border = scan.borders.as_ptr().add((block * states + n) * channels + at.first);
        let mut h: [V; S] = std::array::from_fn(|s| V::load_first(border.add(s * channels), at.lanes));
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
                let i = (row * TURN + s) * V::LANES;
                decay.store(buffers.decay.as_mut_ptr().add(i));
                h[s].store(buffers.before.as_mut_ptr().add(i));
                h[s] = h[s].mul_add(decay, delta_u.mul(V::splat(*b.add(s))));
            }
            if let Some(Readout { c, .. }) = gated {
                let c = c.as_ptr().add(t * c.stride() + n);
                let read = buffers.read.as_mut_ptr().add(row * V::LANES);
                dot_states(&h, c, V::load(read)).store(read);
            }
        }
        for (s, h) in h.iter().enumerate() {
            h.store(buffers.last.as_mut_ptr().add(s * V::LANES));
        }
    }
}

/// The adjoint of `S` states, from state `n` on, over a block, and what is summed from it.
#[inline(always)]
unsafe fn recurrence<V: Vector, const S: usize, const READ: bool>(
    scan: &Adjoint<'_>,
    Place { span, at, .. }: Place,
    n: usize,
    vector: usize,
    buffers: &mut Buffers,
    sums: &mut GroupSums<'_>,
) {
    let Dims { channels, states, .. } = scan.dims;
    let rows = span.rows();
    // SAFETY: `S` states from `n`, the lanes and the rows lie inside the dimensions; the sums over channels have
    // 2·`states` elements for each row of the panel; `recompute` has filled the buffers for these states.
    unsafe {
        let zero = V::splat(0.0);
        let a: [V; S] = rates(&scan.params, channels, n, at);
        let d_state = scan.d_state.at.add(n * channels + at.first);
        let mut carried: [V; S] = std::array::from_fn(|s| V::load_first(d_state.add(s * channels), at.lanes));
        let mut after: [V; S] = std::array::from_fn(|s| V::load(buffers.last.as_ptr().add(s * V::LANES)));
        let mut d_a = [zero; S];
        for step in (0..rows).rev() {
            let row = scan.direction.nth(step, rows);
            let t = span.start + row;
            let i = row * V::LANES;
            let delta = V::load(buffers.delta.as_ptr().add(i));
            let delta_u = V::load(buffers.delta_u.as_ptr().add(i));
            let d_q = V::load(buffers.d_q.as_ptr().add(i));
            let b = scan.inputs.b.as_ptr().add(t * scan.inputs.b.stride() + n);
            let c = scan.readout.map_or(b, |readout| readout.c.as_ptr().add(t * readout.c.stride() + n));
            let mut b_g = V::load(buffers.b_g.as_ptr().add(i));
            let mut a_w = V::load(buffers.a_w.as_ptr().add(i));
            let mut parts = [zero; 2 * TURN];
            for s in 0..S {
                let kept = (row * TURN + s) * V::LANES;
                let before = V::load(buffers.before.as_ptr().add(kept));
                let mut g = carried[s];
                if READ {
                    g = d_q.mul_add(V::splat(*c.add(s)), g);
                    parts[TURN + s] = d_q.mul(after[s]);
                }
                parts[s] = g.mul(delta_u);
                b_g = g.mul_add(V::splat(*b.add(s)), b_g);
                carried[s] = g.mul(V::load(buffers.decay.as_ptr().add(kept)));
                let w = carried[s].mul(before);
                a_w = w.mul_add(a[s], a_w);
                d_a[s] = w.mul_add(delta, d_a[s]);
                after[s] = before;
            }
            b_g.store(buffers.b_g.as_mut_ptr().add(i));
            a_w.store(buffers.a_w.as_mut_ptr().add(i));
            let parts = V::sum_each(parts);
            let to = sums.over_channels.as_mut_ptr().add((t - sums.start) * 2 * states + n);
            for s in 0..S {
                *to.add(s) += parts[s];
                if READ {
                    *to.add(states + s) += parts[TURN + s];
                }
            }
        }
        for s in 0..S {
            carried[s].store_first(d_state.add(s * channels), at.lanes);
            sums.add_over_time(n + s, vector, d_a[s]);
        }
    }
}

/// What is left of a block once all states are summed: the gradients of u, Δ and z, of D and of the bias.
#[inline(always)]
unsafe fn inputs_body<V: Vector>(
    scan: &Adjoint<'_>,
    Place { span, at, .. }: Place,
    vector: usize,
    buffers: &Buffers,
    sums: &mut GroupSums<'_>,
) {
    let Inputs { u, delta, .. } = scan.inputs;
    // SAFETY: the caller keeps rows and lanes inside the dimensions.
    unsafe {
        let ln_2 = V::splat(std::f32::consts::LN_2);
        let bias = V::load_first(scan.params.delta_bias.as_ptr().add(at.first), at.lanes);
        let d = V::load_first(scan.params.d.as_ptr().add(at.first), at.lanes);
        let (mut d_d, mut d_bias) = (V::splat(0.0), V::splat(0.0));
        for t in span.start..span.end {
            let i = (t - span.start) * V::LANES;
            let raw = V::load_first(delta.as_ptr().add(t * delta.stride() + at.first), at.lanes);
            let u = V::load_first(u.as_ptr().add(t * u.stride() + at.first), at.lanes);
            let b_g = V::load(buffers.b_g.as_ptr().add(i));
            let d_q = V::load(buffers.d_q.as_ptr().add(i));
            let through_state = b_g.mul(V::load(buffers.delta.as_ptr().add(i)));
            scan.d_u.put(d.mul_add(d_q, through_state), t, at.first, at.lanes);
            let d_step = u.mul_add(b_g, ln_2.mul(V::load(buffers.a_w.as_ptr().add(i))));
            let d_delta = d_step.mul(sigmoid(raw.add(bias)));
            scan.d_delta.put(d_delta, t, at.first, at.lanes);
            d_d = d_q.mul_add(u, d_d);
            d_bias = d_bias.add(d_delta);
            if let (Some(d_z), Some(Readout { z: Some(z), d_y, .. })) = (&scan.d_z, scan.readout) {
                let (_, slope) = silu_and_slope(V::load_first(z.as_ptr().add(t * z.stride() + at.first), at.lanes));
                let d_y = V::load_first(d_y.as_ptr().add(t * d_y.stride() + at.first), at.lanes);
                let q = d.mul_add(u, V::load(buffers.read.as_ptr().add(i)));
                d_z.put(d_y.mul(q).mul(slope), t, at.first, at.lanes);
            }
        }
        sums.add_over_time(scan.dims.states, vector, d_d);
        sums.add_over_time(scan.dims.states + 1, vector, d_bias);
    }
}

impl Adjoint<'_> {
    /// Asks for what the next block reads and writes of its row `row`, as the forward walk does.
    #[inline(always)]
    unsafe fn prefetch<V: Vector>(&self, ahead: Ahead, row: usize) {
        let t = ahead.row.wrapping_add(row);
        let at = |stride: usize| t.wrapping_mul(stride).wrapping_add(ahead.channel);
        // SAFETY: the addresses may be anything.
        let read = |rows: &Rows<'_, f32>| unsafe { V::prefetch(rows.as_ptr().wrapping_add(at(rows.stride()))) };
        read(&self.inputs.u);
        read(&self.inputs.delta);
        if let Some(Readout { z, d_y, .. }) = &self.readout {
            read(d_y);
            z.iter().for_each(read);
        }
        for to in [Some(&self.d_u), Some(&self.d_delta), self.d_z.as_ref()].into_iter().flatten() {
            // SAFETY: as above.
            unsafe { V::prefetch(to.at.wrapping_add(at(to.stride))) };
        }
    }
}
