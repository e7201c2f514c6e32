//! Eight lanes of AVX2 with FMA.

use std::arch::x86_64::*;

use super::{
    Vector,
    vector::{INFINITE_EXPONENT, ZERO_EXPONENT},
};
use crate::bf16::{BELOW_HALF, KEPT, QUIET};

/// Eight `f32` lanes in a 256-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

/// A mask whose first `n` lanes, or all when there are fewer, have their sign bit set.
///
/// # Safety
///
/// The machine has AVX.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    const STEPS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the machine has the load, and eight entries follow any start from 0 to 8.
    unsafe { _mm256_loadu_si256(STEPS.as_ptr().add(8 - n.min(8)).cast()) }
}

/// Defines methods that are one instruction on registers.
macro_rules! instructions {
    ($($name:ident($($operand:ident),*) = $instruction:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($operand: Self),*) -> Self {
            // SAFETY: the machine has AVX2 and FMA; no memory is touched.
            Self(unsafe { $instruction(self.0, $($operand.0),*) })
        }
    )*};
}

impl Vector for Avx2 {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const SCAN_STATES: usize = 8;

    instructions! {
        add(other) = _mm256_add_ps;
        sub(other) = _mm256_sub_ps;
        mul(other) = _mm256_mul_ps;
        div(other) = _mm256_div_ps;
        min(other) = _mm256_min_ps;
        max(other) = _mm256_max_ps;
        mul_add(factor, addend) = _mm256_fmadd_ps;
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the machine has AVX2; no memory is touched.
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the machine has AVX2, and the caller promises eight readable lanes.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the machine has AVX2, and the caller promises eight writable lanes.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        if n == Self::LANES {
            // SAFETY: the caller promises `n` readable lanes.
            return unsafe { Self::load(from) };
        }
        // SAFETY: the machine has AVX2, and the caller promises `n` readable lanes; no others are read.
        Self(unsafe { _mm256_maskload_ps(from, first(n)) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        if n == Self::LANES {
            // SAFETY: the caller promises `n` writable lanes.
            return unsafe { self.store(to) };
        }
        // SAFETY: the machine has AVX2, and the caller promises `n` writable lanes; no others are written.
        unsafe { _mm256_maskstore_ps(to, first(n), self.0) }
    }

    #[inline(always)]
    unsafe fn split_whole(self) -> (Self, Self) {
        // SAFETY: the machine has AVX2; no memory is touched.
        unsafe {
            let inside = _mm256_max_ps(_mm256_set1_ps(ZERO_EXPONENT), self.0);
            let inside = _mm256_min_ps(_mm256_set1_ps(INFINITE_EXPONENT), inside);
            let whole = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(inside);
            (Self(_mm256_sub_ps(inside, whole)), Self(whole))
        }
    }

    #[inline(always)]
    unsafe fn scale_by_power_of_two(self, whole: Self) -> Self {
        // SAFETY: the machine has AVX2; no memory is touched.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(whole.0), _mm256_set1_epi32(127));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased));
            Self(_mm256_mul_ps(self.0, power))
        }
    }

    #[inline(always)]
    unsafe fn to_bf16(self) -> Self {
        // SAFETY: the machine has AVX2; no memory is touched.
        unsafe {
            let bits = _mm256_castps_si256(self.0);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let half = _mm256_add_epi32(odd, _mm256_set1_epi32(BELOW_HALF.cast_signed()));
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0);
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(QUIET.cast_signed()));
            let sum = _mm256_castsi256_ps(_mm256_add_epi32(bits, half));
            let sum = _mm256_blendv_ps(sum, _mm256_castsi256_ps(quiet), nan);
            let kept = _mm256_castsi256_ps(_mm256_set1_epi32(KEPT.cast_signed()));
            Self(_mm256_and_ps(sum, kept))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: every x86-64 machine has the instruction, and the address may be anything.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the machine has AVX2; no memory is touched.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            let one = _mm_add_ss(two, _mm_shuffle_ps::<1>(two, two));
            _mm_cvtss_f32(one)
        }
    }

    #[inline(always)]
    unsafe fn sum_each([a, b, c, d, e, f, g, h]: [Self; 8]) -> [f32; 8] {
        let mut sums = [0.0; 8];
        // SAFETY: the machine has AVX2; the store is of eight lanes into eight elements.
        unsafe {
            // Halves of the sums of four registers, in the order abcd in either half.
            let low = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
            let high = _mm256_hadd_ps(_mm256_hadd_ps(e.0, f.0), _mm256_hadd_ps(g.0, h.0));
            let straight = _mm256_blend_ps::<0xf0>(low, high);
            let crossed = _mm256_permute2f128_ps::<0x21>(low, high);
            _mm256_storeu_ps(sums.as_mut_ptr(), _mm256_add_ps(straight, crossed));
        }
        sums
    }
}
