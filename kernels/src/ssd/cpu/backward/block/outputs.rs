//! From what a task has summed to the gradients that are asked for.

use super::{Gradients, Operands, Params, Place, Share, Target, Task};
use crate::{
    Write,
    simd::{Vector, sigmoid, softplus, sweep},
    ssd::cpu::{
        BLOCK,
        backward::products::{FlowToB, FlowToC},
        tile::{Strided, cover},
    },
};

impl Task<'_> {
    /// Writes the gradients of x and dt; returns those of the parameters.
    #[inline(always)]
    pub(super) unsafe fn close<V: Vector>(&mut self, head: usize) -> Share {
        let Operands { params, direction, .. } = self.gradients.operands;
        let Place { block, .. } = self.place;
        let rate = f64::from(params.a[head]).clamp(f64::MIN, f64::MAX);
        let mut share = Share::default();
        // SAFETY: forwarded from the caller.
        unsafe {
            let slopes = self.slopes::<V>(head);
            let by_exponent = self.by_exponent::<V>(head);
            for i in 0..block.len {
                let (by_step, by_d) = self.write_x::<V>(head, i);
                let slope = f64::from(slopes[i]);
                // A slope of zero is stronger than any rate.
                let d_dt = rate * (by_exponent[i] * slope) + f64::from(by_step) * slope;
                let to = self.gradients.dt;
                put(to.from.add(block.row(direction, i) * to.stride + head), d_dt as f32, to.write);
                share.a += f64::from(self.steps.delta[i]) * by_exponent[i];
                share.d += f64::from(by_d);
                share.dt_bias += d_dt;
            }
        }
        share
    }

    /// Writes a row of the gradient of x; returns Σ x · d_(Δ'x) and Σ x · d_y.
    #[inline(always)]
    unsafe fn write_x<V: Vector>(&self, head: usize, i: usize) -> (f32, f32) {
        let Gradients { operands, d_y, x: to, .. } = self.gradients;
        let Operands { params: Params { head_dim, d, .. }, direction, inputs, .. } = operands;
        let t = self.place.block.row(direction, i);
        let column = head * head_dim;
        let x = &inputs.x.row(t)[column..][..head_dim];
        // SAFETY: `head_dim` channels follow in all rows, and no one else writes these now.
        unsafe {
            let to_row = to.from.add(t * to.stride + column);
            let (delta, direct) = (V::splat(self.steps.delta[i]), V::splat(d[head]));
            let (mut by_step, mut by_d) = (V::splat(0.0), V::splat(0.0));
            sweep!(V, head_dim, |p, lanes| {
                let x = V::load_first(x.as_ptr().add(p), lanes);
                let gradient = V::load_first(self.d_x.as_ptr().add(i * self.padded + p), lanes);
                by_step = x.mul_add(gradient, by_step);
                let mut d_x = gradient.mul(delta);
                if d_y.is_some() {
                    let d_y = V::load_first(self.d_y.as_ptr().add(i * self.padded + p), lanes);
                    by_d = x.mul_add(d_y, by_d);
                    d_x = d_y.mul_add(direct, d_x);
                }
                if to.write == Write::Add {
                    d_x = d_x.add(V::load_first(to_row.add(p), lanes));
                }
                d_x.store_first(to_row.add(p), lanes);
            });
            (by_step.sum(), by_d.sum())
        }
    }

    /// The derivative by the exponent of each step: all that passes it.
    #[inline(always)]
    unsafe fn by_exponent<V: Vector>(&self, head: usize) -> [f64; BLOCK] {
        let Place { borders, index, block, .. } = self.place;
        let (state, gradient) = (borders.state(head, index), borders.gradient(head, index));
        let mut through = 0.0;
        // SAFETY: both are `[N, padded]`.
        unsafe {
            for (state, gradient) in state.chunks_exact(self.padded).zip(gradient.chunks_exact(self.padded)) {
                let mut sum = V::splat(0.0);
                for p in (0..self.padded).step_by(V::LANES) {
                    sum = V::load(state.as_ptr().add(p)).mul_add(V::load(gradient.as_ptr().add(p)), sum);
                }
                through += f64::from(sum.sum());
            }
        }
        let mut passing = [f64::from(self.steps.decay[block.len - 1]) * through; BLOCK];
        let mut out = 0.0;
        for ((passing, &inside), &by_b) in passing.iter_mut().zip(&self.inside).zip(&self.by_b).take(block.len) {
            *passing += out + f64::from(inside);
            out += f64::from(by_b);
        }
        let mut into = 0.0;
        for (passing, &by_c) in passing.iter_mut().zip(&self.by_c).take(block.len).rev() {
            into += f64::from(by_c);
            *passing += into;
        }
        passing
    }

    /// The slope of Δ' at each step: that of softplus, and zero outside the limit.
    #[inline(always)]
    unsafe fn slopes<V: Vector>(&self, head: usize) -> [f32; BLOCK] {
        let Operands { params, direction, inputs, .. } = self.gradients.operands;
        let block = self.place.block;
        let (mut slopes, mut free) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (i, slope) in slopes.iter_mut().enumerate().take(block.len) {
            *slope = inputs.dt.row(block.row(direction, i))[head];
        }
        // SAFETY: both are a whole number of vectors.
        unsafe {
            let bias = V::splat(params.dt_bias[head]);
            for i in (0..block.len).step_by(V::LANES) {
                let slope = slopes.as_mut_ptr().add(i);
                let raw = V::load(slope).add(bias);
                softplus(raw).store(free.as_mut_ptr().add(i));
                sigmoid(raw).store(slope);
            }
        }
        let (least, largest) = (params.dt_limit.0 as f32, params.dt_limit.1 as f32);
        for (slope, free) in slopes.iter_mut().zip(free) {
            if free < least || free > largest {
                *slope = 0.0;
            }
        }
        slopes
    }

    /// Writes the gradients of B and C.
    #[inline(always)]
    pub(super) unsafe fn write_group<V: Vector>(&mut self) {
        let side = self.gradients.operands.side;
        let len = self.place.block.len;
        let mut late = Vec::new();
        if self.gradients.d_y.is_some() {
            let (b, _) = self.place.borders.transposed(self.place.index, self.place.group);
            let to_c = FlowToC {
                b: Strided { from: b.as_ptr(), step: side.cast_signed() },
                flow: self.flow.as_ptr(),
                len,
                side,
                sum: self.d_c.as_mut_ptr(),
            };
            // SAFETY: the buffers are as large as the product says; columns beyond the block are padding.
            unsafe { cover::<V>(&to_c, self.gradients.operands.params.states, len) };
            // SAFETY: forwarded from the caller.
            late = unsafe { self.flow_to_b::<V>() };
        }
        // SAFETY: no one else writes the columns of this group in the rows of the block now.
        unsafe {
            self.write_rows(self.gradients.c, &self.d_c, &[]);
            self.write_rows(self.gradients.b, &self.d_b, &late);
        }
    }

    /// What reaches B by way of the flow, `[side, wide]`.
    #[inline(always)]
    unsafe fn flow_to_b<V: Vector>(&self) -> Vec<f32> {
        let Operands { params: Params { states, .. }, direction, inputs, side, .. } = self.gradients.operands;
        let Self { place: Place { block, group, .. }, wide, .. } = *self;
        let mut c = vec![0.0; side * wide];
        for (i, to) in c.chunks_exact_mut(wide).enumerate().take(block.len) {
            to[..states].copy_from_slice(&inputs.c.row(block.row(direction, i))[group * states..][..states]);
        }
        let mut out = vec![0.0; side * wide];
        let flow = self.flow.as_ptr();
        let to_b = FlowToB { flow, side, c: c.as_ptr(), wide, len: block.len, out: out.as_mut_ptr() };
        // SAFETY: the buffers are as large as the product says.
        unsafe { cover::<V>(&to_b, block.len, wide) };
        out
    }

    /// Writes a gradient `[N, side]` to rows, with what there is of it as `[side, wide]`.
    #[inline(always)]
    unsafe fn write_rows(&self, to: Target, columns: &[f32], rows: &[f32]) {
        let Operands { params: Params { states, .. }, direction, side, .. } = self.gradients.operands;
        for i in 0..self.place.block.len {
            let row = self.place.block.row(direction, i) * to.stride + self.place.group * states;
            for n in 0..states {
                let direct = rows.get(i * self.wide + n).copied().unwrap_or(0.0);
                // SAFETY: the caller promises that the rows have these columns and that no one else writes them now.
                unsafe { put(to.from.add(row + n), columns[n * side + i] + direct, to.write) };
            }
        }
    }
}

/// Sets or adds one element.
#[inline(always)]
unsafe fn put(to: *mut f32, value: f32, write: Write) {
    // SAFETY: the caller promises that the element can be read and written.
    unsafe {
        *to = match write {
            Write::Set => value,
            Write::Add => *to + value,
        };
    }
}
