//! What a product's operands are rounded to before they are multiplied, and how they lie in panels.
//!
//! A panel is made of *lanes* of 32 bits. A lane holds an `f32` or, where the machine multiplies such, two bf16 that
//! follow each other along what is summed over, the first in the lower half; zeros fill the last lane up.

use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx512, level::Kind};
use crate::{
    backend::Precision,
    bf16,
    simd::{Level, Vector, sweep},
};

/// A way of keeping and multiplying operands.
///
/// # Safety
///
/// Methods are `unsafe` as those of [`Vector`] are, and reached through [`product_entry!`] alone.
#[allow(clippy::missing_safety_doc, reason = "said once, on the trait")]
pub(super) trait Operands {
    /// What sums are kept in.
    type Vector: Vector;
    /// Whether operands are rounded, so that rows have to be copied.
    const ROUNDED: bool;
    /// Numbers of a lane.
    const DEPTH: usize;

    /// Lanes of one number of each of the first `DEPTH` vectors.
    unsafe fn join(parts: [Self::Vector; 2]) -> Self::Vector;
    /// Copies a row of `n` numbers that are summed over into lanes.
    unsafe fn copy_row(x: *const f32, n: usize, lanes: *mut f32);
    /// Adds to every sum the products of its lane.
    unsafe fn multiply_add(x: Self::Vector, w: Self::Vector, sum: Self::Vector) -> Self::Vector;
}

/// Numbers as they are.
pub(super) struct Exact<V>(PhantomData<V>);

impl<V: Vector> Operands for Exact<V> {
    type Vector = V;
    const ROUNDED: bool = false;
    const DEPTH: usize = 1;

    #[inline(always)]
    unsafe fn join([part, _]: [V; 2]) -> V {
        part
    }

    #[inline(always)]
    unsafe fn copy_row(x: *const f32, n: usize, lanes: *mut f32) {
        // SAFETY: the caller promises `n` numbers at both, of two buffers.
        unsafe { lanes.copy_from_nonoverlapping(x, n) };
    }

    #[inline(always)]
    unsafe fn multiply_add(x: V, w: V, sum: V) -> V {
        // SAFETY: forwarded from the caller.
        unsafe { x.mul_add(w, sum) }
    }
}

/// Rounded numbers that are multiplied as f32: their products are exact, and only sums are rounded.
pub(super) struct Rounded<V>(PhantomData<V>);

impl<V: Vector> Operands for Rounded<V> {
    type Vector = V;
    const ROUNDED: bool = true;
    const DEPTH: usize = 1;

    #[inline(always)]
    unsafe fn join([part, _]: [V; 2]) -> V {
        // SAFETY: forwarded from the caller.
        unsafe { part.to_bf16() }
    }

    #[inline(always)]
    unsafe fn copy_row(x: *const f32, n: usize, lanes: *mut f32) {
        // SAFETY: the caller promises `n` numbers at both.
        unsafe {
            sweep!(V, n, |k, width| {
                V::load_first(x.add(k), width).to_bf16().store_first(lanes.add(k), width);
            });
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(x: V, w: V, sum: V) -> V {
        // SAFETY: forwarded from the caller.
        unsafe { x.mul_add(w, sum) }
    }
}

/// Pairs of rounded numbers, which AVX-512 BF16 multiplies and adds at once.
#[cfg(target_arch = "x86_64")]
pub(super) struct Pairs;

#[cfg(target_arch = "x86_64")]
impl Operands for Pairs {
    type Vector = Avx512;
    const ROUNDED: bool = true;
    const DEPTH: usize = 2;

    #[inline(always)]
    unsafe fn join([first, second]: [Avx512; 2]) -> Avx512 {
        // SAFETY: forwarded from the caller.
        unsafe { Avx512::pair(first, second) }
    }

    #[inline(always)]
    unsafe fn copy_row(x: *const f32, n: usize, lanes: *mut f32) {
        const NUMBERS: usize = 2 * Avx512::LANES;
        for k in (0..n).step_by(NUMBERS) {
            let left = (n - k).min(NUMBERS);
            // SAFETY: the caller promises `n` numbers at `x`, and a lane for each two of them, the last filled up.
            unsafe { Avx512::pair_neighbours(x.add(k), left).store_first(lanes.add(k / 2), left.div_ceil(2)) };
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(x: Avx512, w: Avx512, sum: Avx512) -> Avx512 {
        // SAFETY: forwarded from the caller.
        unsafe { x.add_products_of_pairs(w, sum) }
    }
}

/// Which [`Operands`] there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// [`Exact`]
    Exact,
    /// [`Rounded`]
    Rounded,
    /// [`Pairs`]
    #[cfg(target_arch = "x86_64")]
    Pairs,
}

impl Form {
    /// The operands of a precision that a level multiplies.
    pub(super) fn of(level: Level, precision: Precision) -> Self {
        match (precision, level.kind()) {
            (Precision::Full, _) => Self::Exact,
            #[cfg(target_arch = "x86_64")]
            (Precision::Bf16, Kind::Avx512Bf16) => Self::Pairs,
            (Precision::Bf16, _) => Self::Rounded,
        }
    }

    /// Lanes of `n` numbers that are summed over.
    pub(super) fn lanes(self, n: usize) -> usize {
        n.div_ceil(self.depth())
    }

    /// The lane of number `k` of those.
    #[inline(always)]
    pub(super) fn lane(self, k: usize) -> usize {
        k / self.depth()
    }

    /// Numbers of a lane.
    #[inline(always)]
    fn depth(self) -> usize {
        match self {
            Self::Exact | Self::Rounded => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Pairs => 2,
        }
    }

    /// Puts number `k` of those that are summed over into its lane, which holds zeros.
    #[inline(always)]
    pub(super) fn put(self, lane: &mut f32, k: usize, x: f32) {
        let bits = if self == Self::Exact { x.to_bits() } else { bf16::round(x).to_bits() };
        let is_lower = k % self.depth() + 1 < self.depth();
        *lane = f32::from_bits(lane.to_bits() | if is_lower { bits >> 16 } else { bits });
    }
}

/// Defines `fn $name(level, form, args…)`, which runs the generic `$body::<O>(args…)` for the operands of `form`,
/// compiled for `level`.
///
/// The form must be one of the level's own, [`Form::of`]; else the function is `unsafe` for the reasons of the body.
macro_rules! product_entry {
    (unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        unsafe fn $name(level: $crate::simd::Level, form: $crate::linear::cpu::operands::Form, $($arg: $ty),*) {
            use $crate::linear::cpu::operands::{Exact, Form, Rounded};
            #[inline(always)]
            unsafe fn exact<V: $crate::simd::Vector>($($arg: $ty),*) {
                // SAFETY: forwarded from the caller of the entry.
                unsafe { $body::<Exact<V>>($($arg),*) }
            }
            #[inline(always)]
            unsafe fn rounded<V: $crate::simd::Vector>($($arg: $ty),*) {
                // SAFETY: forwarded from the caller of the entry.
                unsafe { $body::<Rounded<V>>($($arg),*) }
            }
            $crate::simd::simd_entry! {
                unsafe fn run_exact($($arg: $ty),*) = exact
            }
            $crate::simd::simd_entry! {
                unsafe fn run_rounded($($arg: $ty),*) = rounded
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512bf16,avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            unsafe fn run_pairs($($arg: $ty),*) {
                // SAFETY: forwarded from the caller of the entry.
                unsafe { $body::<$crate::linear::cpu::operands::Pairs>($($arg),*) }
            }
            // SAFETY: a level exists only where the machine has its features, and pairs are the form of one that has
            // them; the rest is the caller's promise.
            unsafe {
                match form {
                    Form::Exact => run_exact(level, $($arg),*),
                    Form::Rounded => run_rounded(level, $($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Form::Pairs => run_pairs($($arg),*),
                }
            }
        }
    };
}
pub(super) use product_entry;
