//! Eight lanes of AVX2 with FMA.

use std::arch::x86_64::*;

use super::Vector;

/// Eight `f32` lanes in a 256-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

/// A mask whose first `n` lanes have their sign bit set.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    const STEPS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    debug_assert!(n <= 8);
    // SAFETY: `n` is at most 8, so eight entries follow the start.
    unsafe { _mm256_loadu_si256(STEPS.as_ptr().add(8 - n).cast()) }
}

// SAFETY of every block below: the trait's contract, that the machine has AVX2 and FMA and that pointers are valid
// for the lanes touched.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx2 {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const SCAN_STATES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        if n == Self::LANES {
            // SAFETY: the caller promises `n` readable lanes.
            return unsafe { Self::load(from) };
        }
        Self(unsafe { _mm256_maskload_ps(from, first(n)) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        if n == Self::LANES {
            // SAFETY: the caller promises `n` writable lanes.
            return unsafe { self.store(to) };
        }
        unsafe { _mm256_maskstore_ps(to, first(n), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        Self(unsafe { _mm256_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    unsafe fn split_whole(self) -> (Self, Self) {
        unsafe {
            let whole = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0);
            (Self(_mm256_sub_ps(self.0, whole)), Self(whole))
        }
    }

    #[inline(always)]
    unsafe fn scale_by_power_of_two(self, whole: Self) -> Self {
        unsafe {
            // Clamped to the exponents of zero and of infinity.
            let whole = _mm256_max_ps(whole.0, _mm256_set1_ps(-127.0));
            let whole = _mm256_min_ps(whole, _mm256_set1_ps(128.0));
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased));
            Self(_mm256_mul_ps(self.0, power))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            let one = _mm_add_ss(two, _mm_shuffle_ps::<1>(two, two));
            _mm_cvtss_f32(one)
        }
    }
}
