//! Sixteen lanes of AVX-512.

use std::arch::x86_64::*;

use super::Vector;
use crate::bf16::{BELOW_HALF, KEPT, QUIET};

/// Sixteen `f32` lanes in a 512-bit register.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(pub(super) __m512);

/// A mask of the first `n` lanes, or of all when there are fewer.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1_u32 << n.min(16)) - 1) as __mmask16
}

/// Defines methods that are one instruction on registers.
macro_rules! instructions {
    ($($name:ident($($operand:ident),*) = $instruction:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($operand: Self),*) -> Self {
            // SAFETY: the machine has AVX-512 F and DQ; no memory is touched.
            Self(unsafe { $instruction(self.0, $($operand.0),*) })
        }
    )*};
}

impl Vector for Avx512 {
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    const SCAN_STATES: usize = 8;

    instructions! {
        add(other) = _mm512_add_ps;
        sub(other) = _mm512_sub_ps;
        mul(other) = _mm512_mul_ps;
        div(other) = _mm512_div_ps;
        min(other) = _mm512_min_ps;
        max(other) = _mm512_max_ps;
        mul_add(factor, addend) = _mm512_fmadd_ps;
        scale_by_power_of_two(whole) = _mm512_scalef_ps;
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the machine has AVX-512; no memory is touched.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the machine has AVX-512, and the caller promises sixteen readable lanes.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the machine has AVX-512, and the caller promises sixteen writable lanes.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: the machine has AVX-512, and the caller promises `n` readable lanes; no others are read.
        Self(unsafe { _mm512_maskz_loadu_ps(first(n), from) })
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // SAFETY: the machine has AVX-512, and the caller promises `n` writable lanes; no others are written.
        unsafe { _mm512_mask_storeu_ps(to, first(n), self.0) }
    }

    #[inline(always)]
    unsafe fn split_whole(self) -> (Self, Self) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: the machine has AVX-512 DQ; no memory is touched.
        unsafe {
            // What is left of infinity is zero here, where a subtraction would make it NaN.
            let rest = _mm512_reduce_ps::<NEAREST>(self.0);
            (Self(rest), Self(_mm512_sub_ps(self.0, rest)))
        }
    }

    #[inline(always)]
    unsafe fn to_bf16(self) -> Self {
        // SAFETY: the machine has AVX-512 F and DQ; no memory is touched.
        unsafe {
            let bits = _mm512_castps_si512(self.0);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(BELOW_HALF.cast_signed()));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(QUIET.cast_signed()));
            let sum = _mm512_mask_mov_epi32(_mm512_add_epi32(bits, half), nan, quiet);
            let kept = _mm512_and_si512(sum, _mm512_set1_epi32(KEPT.cast_signed()));
            Self(_mm512_castsi512_ps(kept))
        }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: every x86-64 machine has the instruction, and the address may be anything.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the machine has AVX-512; no memory is touched.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }

    #[inline(always)]
    unsafe fn sum_each([a, b, c, d, e, f, g, h]: [Self; 8]) -> [f32; 8] {
        /// Adds quarters two by two: those of the first register end in the lower half.
        #[inline(always)]
        unsafe fn pair(x: __m512, y: __m512) -> __m512 {
            // SAFETY: the machine has AVX-512 F; no memory is touched.
            unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y)) }
        }
        /// Adds the quarters of what `pair` has left: one of each of four registers.
        #[inline(always)]
        unsafe fn four(x: __m512, y: __m512) -> __m512 {
            // SAFETY: the machine has AVX-512 F; no memory is touched.
            unsafe { _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y)) }
        }
        let mut sums = [0.0; 8];
        // SAFETY: the machine has AVX-512 F; the store is of eight lanes into eight elements.
        unsafe {
            let low = four(pair(a.0, b.0), pair(c.0, d.0));
            let high = four(pair(e.0, f.0), pair(g.0, h.0));
            // Each quarter: low, high, low, high.
            let two = _mm512_add_ps(_mm512_unpacklo_ps(low, high), _mm512_unpackhi_ps(low, high));
            let one = _mm512_add_ps(two, _mm512_permute_ps::<0x4e>(two));
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
            let ordered = _mm512_castps512_ps256(_mm512_permutexvar_ps(order, one));
            _mm256_storeu_ps(sums.as_mut_ptr(), ordered);
        }
        sums
    }
}
