//! The gradients: panels of rows against the direction of the scan, groups of channels in parallel.

use rayon::prelude::*;

use super::{
    BLOCK,
    adjoint::{Adjoint, GROUP, group_body},
    forward,
};
use crate::{
    Direction, RowsMut, Write,
    selective_scan::{Dims, GradInputs, GradParams, Inputs, Params, Readout, check_backward},
    simd::{Level, Target, Vector, simd_entry, sweep},
};

/// Rows of a panel, whose sums over groups are held at a time: `8 · N` bytes a row and group.
const PANEL: usize = 16 * BLOCK;

/// See the [module](crate::selective_scan).
#[allow(clippy::too_many_arguments, reason = "those of `forward` and their gradients")]
pub fn backward(
    level: Level,
    params: &Params<'_, f32>,
    direction: Direction,
    inputs: &Inputs<'_, f32>,
    state: &[f32],
    readout: Option<&Readout<'_, f32>>,
    d_state: &mut [f32],
    d_inputs: GradInputs<'_, f32>,
    d_params: &mut GradParams<'_, f32>,
) {
    let dims = check_backward(params, inputs, state, readout, d_state, &d_inputs, d_params);
    let borders = forward::borders(level, params, direction, inputs, state);
    let scan = Adjoint {
        dims,
        params: *params,
        direction,
        inputs: *inputs,
        readout: readout.copied(),
        borders: &borders,
        d_state: Target::rows(RowsMut::new(d_state, dims.channels), Write::Set),
        d_u: Target::gradient(d_inputs.d_u),
        d_delta: Target::gradient(d_inputs.d_delta),
        d_z: d_inputs.d_z.map(Target::gradient),
    };
    let mut sums = Sums::new(dims, GROUP * level.lanes());
    let (d_b, d_c) = (Target::gradient(d_inputs.d_b), d_inputs.d_c.map(Target::gradient));
    let panels = dims.len.div_ceil(PANEL);
    for i in 0..panels {
        let start = direction.opposite().nth(i, panels) * PANEL;
        let end = (start + PANEL).min(dims.len);
        sums.par_groups().for_each(|(first, over_channels, over_time)| {
            // SAFETY: `check_backward` holds every buffer to `dims`, the sums have the sizes of a group, and groups
            // have no channel in common.
            unsafe { adjoint_of_group(level, scan, start, end, first, over_channels, over_time) };
        });
        sums.add_over_channels(level, start, end, d_b, d_c);
    }
    sums.add_over_time(d_params);
}

simd_entry! {
    unsafe fn adjoint_of_group(
        scan: Adjoint<'_>,
        start: usize,
        end: usize,
        first: usize,
        over_channels: &mut [f32],
        over_time: &mut [f64],
    ) = group_body
}

/// What each group of channels has summed up.
struct Sums {
    dims: Dims,
    /// Channels of a group.
    width: usize,
    /// Of B and of C in the rows of a panel, `[groups, rows, 2·N]`.
    over_channels: Vec<f32>,
    /// Of A, D and the bias in all panels so far, `[groups, N + 2, width]`.
    over_time: Vec<f64>,
}

impl Sums {
    fn new(dims: Dims, width: usize) -> Self {
        let groups = dims.channels.div_ceil(width);
        let rows = dims.len.min(PANEL);
        Self {
            dims,
            width,
            over_channels: vec![0.0; groups * rows * 2 * dims.states],
            over_time: vec![0.0; groups * (dims.states + 2) * width],
        }
    }

    /// Elements of a group's sums over channels.
    fn stride(&self) -> usize {
        self.dims.len.min(PANEL) * 2 * self.dims.states
    }

    /// The first channel and the sums of each group.
    fn par_groups(&mut self) -> impl ParallelIterator<Item = (usize, &mut [f32], &mut [f64])> {
        let (width, stride) = (self.width, self.stride());
        let over_time = self.over_time.par_chunks_mut((self.dims.states + 2) * width);
        let groups = self.over_channels.par_chunks_mut(stride).zip(over_time);
        groups.enumerate().map(move |(i, (over_channels, over_time))| (i * width, over_channels, over_time))
    }

    /// Adds the groups' sums in rows `[start, end)` up, in the order of the groups.
    fn add_over_channels(&self, level: Level, start: usize, end: usize, d_b: Target, d_c: Option<Target>) {
        let states = self.dims.states;
        (0..(end - start).div_ceil(BLOCK)).into_par_iter().for_each(|block| {
            let first = block * BLOCK;
            for row in first..(first + BLOCK).min(end - start) {
                let from = &self.over_channels[row * 2 * states..];
                // SAFETY: the gradients have `states` elements in each row, and each group 2·`states` sums.
                unsafe {
                    add_groups(level, from, self.stride(), states, start + row, d_b);
                    if let Some(d_c) = d_c {
                        add_groups(level, &from[states..], self.stride(), states, start + row, d_c);
                    }
                }
            }
        });
    }

    fn add_over_time(&self, d_params: &mut GradParams<'_, f32>) {
        let Dims { channels, states, .. } = self.dims;
        for (i, group) in self.over_time.chunks_exact((states + 2) * self.width).enumerate() {
            let first = i * self.width;
            let end = (first + self.width).min(channels);
            for (n, sums) in group.chunks_exact(self.width).enumerate() {
                let total = match n.checked_sub(states) {
                    None => &mut d_params.d_a[n * channels..][first..end],
                    Some(0) => &mut d_params.d_d[first..end],
                    Some(_) => &mut d_params.d_delta_bias[first..end],
                };
                for (total, sum) in total.iter_mut().zip(sums) {
                    *total = (f64::from(*total) + sum) as f32;
                }
            }
        }
    }
}

simd_entry! {
    unsafe fn add_groups(from: &[f32], stride: usize, states: usize, t: usize, to: Target) = add_groups_body
}

/// Row `t` of a gradient: the sum of `states` elements at the start of each `stride`.
#[inline(always)]
unsafe fn add_groups_body<V: Vector>(from: &[f32], stride: usize, states: usize, t: usize, to: Target) {
    sweep!(V, states, |n, lanes| {
        // SAFETY: the caller has `states` elements at the start of each stride and in row `t`.
        unsafe {
            let mut sum = V::load_first(from.as_ptr().add(n), lanes);
            for group in from.chunks(stride).skip(1) {
                sum = sum.add(V::load_first(group.as_ptr().add(n), lanes));
            }
            to.put(sum, t, n, lanes);
        }
    });
}
