//! Pairs of bf16 in the lanes of AVX-512, for machines with AVX-512 BF16.
//!
//! A lane of 32 bits holds two brain floats, the first in its lower half. The instructions here round to nearest even
//! whatever the control register says, and take subnormal numbers, and give them, as zero.

use std::{arch::x86_64::*, mem::transmute};

use super::Avx512;

/// The order of `[first 0..16, second 0..16]` that puts the two of each lane side by side.
const SIDE_BY_SIDE: [u16; 32] = {
    let mut order = [0; 32];
    let mut lane = 0;
    while lane < 16 {
        (order[2 * lane], order[2 * lane + 1]) = (lane as u16, lane as u16 + 16);
        lane += 1;
    }
    order
};

/// # Safety
///
/// The machine has AVX-512 F, BW and BF16.
impl Avx512 {
    /// Rounds, and puts each lane's two numbers side by side.
    #[inline(always)]
    pub(crate) unsafe fn pair(first: Self, second: Self) -> Self {
        // SAFETY: the caller's machine has the instructions; the load is of 32 numbers of 16 bits.
        unsafe {
            let both: __m512i = transmute(_mm512_cvtne2ps_pbh(second.0, first.0));
            let order = _mm512_loadu_si512(SIDE_BY_SIDE.as_ptr().cast());
            Self(_mm512_castsi512_ps(_mm512_permutexvar_epi16(order, both)))
        }
    }

    /// Rounds the first `n` of up to 32 numbers that follow each other, zeros in the place of the rest.
    #[inline(always)]
    pub(crate) unsafe fn pair_neighbours(from: *const f32, n: usize) -> Self {
        // SAFETY: the caller's machine has the instructions, and `n` numbers can be read; no others are.
        unsafe {
            let all = (1_u64 << n.min(32)) - 1;
            let lower = _mm512_maskz_loadu_ps(all as __mmask16, from);
            let upper = _mm512_maskz_loadu_ps((all >> 16) as __mmask16, from.wrapping_add(16));
            let both: __m512i = transmute(_mm512_cvtne2ps_pbh(upper, lower));
            Self(_mm512_castsi512_ps(both))
        }
    }

    /// `sum` and the products of the two numbers of each lane of `self` and `other`.
    #[inline(always)]
    pub(crate) unsafe fn add_products_of_pairs(self, other: Self, sum: Self) -> Self {
        // SAFETY: the caller's machine has the instruction; no memory is touched.
        unsafe {
            let (x, y) = (transmute::<__m512, __m512bh>(self.0), transmute::<__m512, __m512bh>(other.0));
            Self(_mm512_dpbf16_ps(sum.0, x, y))
        }
    }
}
