//! What a kernel's body may ask of a machine.

/// The biased exponent of 2 to this power is that of zero.
pub(crate) const ZERO_EXPONENT: f32 = -127.0;

/// The biased exponent of 2 to this power is that of infinity.
pub(crate) const INFINITE_EXPONENT: f32 = 128.0;

/// A register of `f32` lanes.
///
/// # Safety
///
/// Every method is `unsafe` because it may compile to instructions that the machine must have; bodies that use them
/// are reached only through `simd_entry!`, which checks. Loads and stores add that the pointer must be valid for the
/// lanes they touch; no alignment is asked for.
///
/// # NaN
///
/// NaN in a lane stays NaN through every operation but [`min`](Self::min) and [`max`](Self::max): as the instructions
/// of x86 have it, these give the *second* operand where either is NaN. A bound is therefore written
/// `V::splat(bound).max(x)`, which lets the NaN of a variable through; `x.max(V::splat(bound))` would hide it.
#[allow(clippy::missing_safety_doc, reason = "said once, on the trait")]
pub(crate) trait Vector: Copy {
    /// Number of lanes.
    const LANES: usize;
    /// Rows of the matrix-product tile that fit the machine's registers beside two vectors of columns.
    const TILE_ROWS: usize;
    /// States of a scan whose vectors stay in registers together.
    const SCAN_STATES: usize;

    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `n` lanes from memory, zero in the rest; `n` may be anything from 0 to `LANES`.
    unsafe fn load_first(from: *const f32, n: usize) -> Self;
    /// The first `n` lanes to memory.
    unsafe fn store_first(self, to: *mut f32, n: usize);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// The lesser of the two, and `other` where either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// The greater of the two, and `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// `self × factor + addend`, fused where the machine can.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Splits every lane into a whole number and a rest in [-½, ½], and returns `(rest, whole)`.
    ///
    /// Lanes beyond [`ZERO_EXPONENT`] and [`INFINITE_EXPONENT`] may be moved there first, and the rest of an infinite
    /// lane is zero.
    unsafe fn split_whole(self) -> (Self, Self);
    /// `self × 2^whole` for whole numbers out of [`split_whole`](Self::split_whole); results below the normal range may
    /// flush to zero, those above it to infinity.
    unsafe fn scale_by_power_of_two(self, whole: Self) -> Self;
    /// Every lane [rounded to bf16](crate::bf16), the same bits on every machine.
    unsafe fn to_bf16(self) -> Self;
    /// Asks for the cache line at an address, which need not be valid.
    unsafe fn prefetch(from: *const f32);
    /// The sum of the lanes, in an order that depends on the machine alone.
    unsafe fn sum(self) -> f32;
    /// The sum of the lanes of each of eight registers, in an order that depends on the machine alone.
    #[inline(always)]
    unsafe fn sum_each(registers: [Self; 8]) -> [f32; 8] {
        // SAFETY: forwarded from the caller.
        registers.map(|register| unsafe { register.sum() })
    }
}
