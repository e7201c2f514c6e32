//! Eight lanes in plain Rust.

use super::{
    Vector,
    vector::{INFINITE_EXPONENT, ZERO_EXPONENT},
};
use crate::bf16;

/// Eight `f32` lanes as an array.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(f))
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self.0;
        for (x, y) in out.iter_mut().zip(other.0) {
            *x = f(*x, y);
        }
        Self(out)
    }
}

/// Adding and taking away 1.5 × 2²³ rounds to the nearest whole number without a library call.
const ROUNDER: f32 = 12_582_912.0;

impl Vector for Portable {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;
    const SCAN_STATES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises eight readable lanes.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises eight writable lanes.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        if n == Self::LANES {
            // SAFETY: the caller promises `n` readable lanes.
            return unsafe { Self::load(from) };
        }
        let mut lanes = [0.0; 8];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            // SAFETY: the caller promises `n` readable lanes.
            *lane = unsafe { *from.add(i) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        if n == Self::LANES {
            // SAFETY: the caller promises `n` writable lanes.
            return unsafe { self.store(to) };
        }
        for (i, lane) in self.0.into_iter().enumerate().take(n) {
            // SAFETY: the caller promises `n` writable lanes.
            unsafe { *to.add(i) = lane };
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |x, y| x + y)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |x, y| x - y)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |x, y| x * y)
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |x, y| x / y)
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |x, y| if x < y { x } else { y })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |x, y| if x > y { x } else { y })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        let mut out = self.0;
        for ((x, f), a) in out.iter_mut().zip(factor.0).zip(addend.0) {
            // Without the instruction `f32::mul_add` is a slow call into the C library.
            *x = if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { x.mul_add(f, a) } else { *x * f + a };
        }
        Self(out)
    }

    #[inline(always)]
    unsafe fn split_whole(self) -> (Self, Self) {
        let inside = self.map(|x| x.clamp(ZERO_EXPONENT, INFINITE_EXPONENT));
        let whole = inside.map(|x| (x + ROUNDER) - ROUNDER);
        (inside.zip(whole, |x, w| x - w), whole)
    }

    #[inline(always)]
    unsafe fn scale_by_power_of_two(self, whole: Self) -> Self {
        self.zip(whole, |x, w| {
            // A NaN becomes 0, and `x` is NaN then.
            let biased = w as i32 + 127;
            x * f32::from_bits((biased << 23).cast_unsigned())
        })
    }

    #[inline(always)]
    unsafe fn to_bf16(self) -> Self {
        self.map(bf16::round)
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let x = self.0;
        ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]))
    }
}
