//! What blocks pass on to each other: the state one way, its gradient the other.

use rayon::prelude::*;

use super::{Block, Gradients, Operands};
use crate::{
    Rows,
    simd::{Level, Vector, simd_entry},
    ssd::{
        Params,
        cpu::{
            grid::transpose,
            head::Head,
            products::Update,
            steps::Steps,
            tile::{Strided, cover},
        },
    },
};

/// S before and G after each block of a strip, and Bᵀ and Cᵀ of its groups.
pub(super) struct Borders {
    /// Blocks that there is room for.
    blocks: usize,
    groups: usize,
    /// Elements of a head's state, padded.
    size: usize,
    /// Elements of Bᵀ.
    columns: usize,
    /// S, `[H, blocks, N, padded]`
    states: Vec<f32>,
    /// G, `[H, blocks, N, padded]`
    gradients: Vec<f32>,
    /// Bᵀ and Cᵀ, `[blocks, G, 2, N, side]`
    slots: Vec<f32>,
}

impl Borders {
    pub(super) fn new(operands: Operands<'_>, blocks: usize) -> Self {
        let Params { heads, states, groups, .. } = operands.params;
        let size = states * operands.padded();
        let columns = states * operands.side;
        Self {
            blocks,
            groups,
            size,
            columns,
            states: vec![0.0; heads * blocks * size],
            gradients: vec![0.0; heads * blocks * size],
            slots: vec![0.0; blocks * groups * 2 * columns],
        }
    }

    /// S before a block of the strip, `[N, padded]`.
    pub(super) fn state(&self, head: usize, block: usize) -> &[f32] {
        &self.states[(head * self.blocks + block) * self.size..][..self.size]
    }

    /// G after a block of the strip, `[N, padded]`.
    pub(super) fn gradient(&self, head: usize, block: usize) -> &[f32] {
        &self.gradients[(head * self.blocks + block) * self.size..][..self.size]
    }

    /// Bᵀ and Cᵀ of a block of the strip, `[N, side]` each.
    pub(super) fn transposed(&self, block: usize, group: usize) -> (&[f32], &[f32]) {
        self.slots[(block * self.groups + group) * 2 * self.columns..][..2 * self.columns].split_at(self.columns)
    }

    /// Fills all for a strip, from the state before it and the gradient of the state after it; leaves the gradient of
    /// the state before it.
    pub(super) fn make(
        &mut self,
        level: Level,
        gradients: &Gradients<'_>,
        strip: &[Block],
        state: &[f32],
        d_state: &mut [f32],
    ) {
        if strip.is_empty() {
            return;
        }
        let Gradients { operands, d_y, .. } = *gradients;
        let Params { heads, head_dim, states, .. } = operands.params;
        let alone = if operands.is_small(strip) { strip.len().max(heads) } else { 1 };
        self.transpose(operands, strip, alone);
        let Self { blocks, size, slots, .. } = self;
        let (blocks, size, slots) = (*blocks, *size, &slots[..]);
        let size_of_state = states * head_dim;
        let before = self.states.par_chunks_mut(blocks * size).with_min_len(alone).enumerate();
        let after = self.gradients.par_chunks_mut(blocks * size).with_min_len(alone).enumerate();
        let d_state = d_state.par_chunks_mut(size_of_state);
        let carry_states = || {
            before.for_each(|(head, before)| {
                let state = &state[head * size_of_state..][..size_of_state];
                // SAFETY: `check_backward` has held all shapes against each other, and the slots are ready.
                unsafe { carry_state(level, operands, strip, slots, head, state, before) };
            });
        };
        let carry_gradients = || {
            after.zip(d_state).for_each(|((head, after), d_state)| {
                // SAFETY: as above.
                unsafe { carry_gradient(level, operands, d_y, strip, slots, head, d_state, after) };
            });
        };
        if alone > 1 {
            carry_states();
            carry_gradients();
        } else {
            rayon::join(carry_states, carry_gradients);
        }
    }

    /// Fills the gradients alone.
    pub(super) fn retreat(
        &mut self,
        level: Level,
        operands: Operands<'_>,
        strip: &[Block],
        d_y: Rows<'_, f32>,
        d_state: &mut [f32],
    ) {
        let Params { heads, head_dim, states, .. } = operands.params;
        let alone = if operands.is_small(strip) { strip.len().max(heads) } else { 1 };
        self.transpose(operands, strip, alone);
        let Self { blocks, size, slots, .. } = self;
        let after = self.gradients.par_chunks_mut(*blocks * *size).with_min_len(alone).enumerate();
        after.zip(d_state.par_chunks_mut(states * head_dim)).for_each(|((head, after), d_state)| {
            // SAFETY: `check_retreat` has held all shapes against each other, and the slots are ready.
            unsafe { carry_gradient(level, operands, Some(d_y), strip, slots, head, d_state, after) };
        });
    }

    fn transpose(&mut self, operands: Operands<'_>, strip: &[Block], alone: usize) {
        let Params { states, groups, .. } = operands.params;
        let Operands { direction, inputs, side, .. } = operands;
        let slots = self.slots.par_chunks_mut(2 * self.columns).take(strip.len() * groups);
        slots.with_min_len(alone * groups).enumerate().for_each(|(i, slot)| {
            let (b, c) = slot.split_at_mut(states * side);
            let (block, columns) = (strip[i / groups], (i % groups * states, states));
            transpose(block, direction, inputs.b, columns, b, side);
            transpose(block, direction, inputs.c, columns, c, side);
        });
    }
}

/// The slots of a head's group, one for each block of a strip.
fn slots_of_head<'a>(
    operands: &Operands<'_>,
    slots: &'a [f32],
    head: usize,
) -> impl DoubleEndedIterator<Item = (&'a [f32], &'a [f32])> + ExactSizeIterator {
    let Params { heads, states, groups, .. } = operands.params;
    let columns = states * operands.side;
    let group = head / (heads / groups);
    slots
        .chunks_exact(groups * 2 * columns)
        .map(move |slots| slots[group * 2 * columns..][..2 * columns].split_at(columns))
}

simd_entry! {
    unsafe fn carry_state(
        operands: Operands<'_>,
        strip: &[Block],
        slots: &[f32],
        head: usize,
        state: &[f32],
        before: &mut [f32],
    ) = carry_state_body
}

/// S before each block, which the state after the last does not need.
#[inline(always)]
unsafe fn carry_state_body<V: Vector>(
    operands: Operands<'_>,
    strip: &[Block],
    slots: &[f32],
    head: usize,
    state: &[f32],
    before: &mut [f32],
) {
    let Params { heads, states, groups, .. } = operands.params;
    let size = states * operands.padded();
    let mut task = Head::new(operands, head, head / (heads / groups), state);
    let slots = slots_of_head(&operands, slots, head);
    for (i, ((&block, (b, _)), before)) in strip.iter().zip(slots).zip(before.chunks_exact_mut(size)).enumerate() {
        before.copy_from_slice(&task.state);
        if i + 1 < strip.len() {
            // SAFETY: forwarded from the caller.
            unsafe {
                task.sum_steps::<V>(block);
                task.scale_inputs(block);
                task.advance::<V>(block, b);
            }
        }
    }
}

simd_entry! {
    unsafe fn carry_gradient(
        operands: Operands<'_>,
        d_y: Option<Rows<'_, f32>>,
        strip: &[Block],
        slots: &[f32],
        head: usize,
        d_state: &mut [f32],
        after: &mut [f32],
    ) = carry_gradient_body
}

/// G after each block, and then before all of them.
#[inline(always)]
unsafe fn carry_gradient_body<V: Vector>(
    operands: Operands<'_>,
    d_y: Option<Rows<'_, f32>>,
    strip: &[Block],
    slots: &[f32],
    head: usize,
    d_state: &mut [f32],
    after: &mut [f32],
) {
    let (side, padded, states) = (operands.side, operands.padded(), operands.params.states);
    let mut gradient = operands.pad(d_state);
    let mut steps = Steps::new(side);
    let mut faded = vec![0.0; side * padded];
    let slots = slots_of_head(&operands, slots, head).take(strip.len());
    let after = after.chunks_exact_mut(states * padded).take(strip.len());
    for ((&block, (_, c)), after) in strip.iter().zip(slots).zip(after).rev() {
        after.copy_from_slice(&gradient);
        // SAFETY: the products lie inside the block and the buffers; the rest is forwarded from the caller.
        unsafe {
            steps.measure::<V>(&operands, head, block);
            if let Some(d_y) = d_y {
                operands.scale_rows(d_y, head, block, &steps.decay, &mut faded);
            }
            let update = Update {
                b: Strided { from: c.as_ptr(), step: side.cast_signed() },
                faded: faded.as_ptr(),
                len: if d_y.is_some() { block.len } else { 0 },
                decay: steps.decay[block.len - 1],
                state: gradient.as_mut_ptr(),
                padded,
            };
            cover::<V>(&update, states, padded);
        }
    }
    operands.unpad(&gradient, d_state);
}
