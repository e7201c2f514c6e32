//! One algorithm, several machines.
//!
//! A kernel's body is written once, generic over `Vector`, and compiled for each [`Level`] by the `simd_entry!`
//! macro: the AVX2 and AVX-512 copies are functions with the target features switched on, chosen at run time. The
//! portable vector is an array of eight floats in plain Rust, which compilers turn into whatever vectors the target
//! has.
//!
//! Results at one level do not depend on anything but the inputs; results at two levels differ by rounding, since
//! the portable level has no fused multiply-add on x86-64 and since lane counts order sums differently. AVX-512 BF16
//! is AVX-512 with one more instruction, which products of [bf16](crate::backend::Precision) operands use: all that
//! is f32 has the same bits at both.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
pub(crate) mod level;
mod math;
mod portable;
pub mod probe;
mod sweep;
mod target;
mod vector;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub use level::{DetectLevelError, Level, ParseLevelError, SIMD_VARIABLE};
pub(crate) use math::{exp, exp2, sigmoid, silu, silu_and_slope, softplus};
pub(crate) use portable::Portable;
pub(crate) use sweep::{add_row, sweep};
pub(crate) use target::Target;
pub(crate) use vector::Vector;

/// The most lanes a vector has: what buffers are padded to that serve every level.
pub(crate) const MAX_LANES: usize = 16;

const _: () = assert!(MAX_LANES.is_multiple_of(Portable::LANES));
#[cfg(target_arch = "x86_64")]
const _: () = assert!(MAX_LANES.is_multiple_of(Avx2::LANES) && MAX_LANES.is_multiple_of(Avx512::LANES));

/// Defines `fn $name(level, args…)`, which runs the generic `$body::<V>(args…)` compiled for `level`.
///
/// The generated function is `unsafe` for the reasons of the body; the level adds none, because a [`Level`] can only
/// be had for a machine that offers it.
macro_rules! simd_entry {
    ($(#[$doc:meta])* unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        unsafe fn $name(level: $crate::simd::Level, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: forwarded from the caller of the entry.
                unsafe { $body::<$crate::simd::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: forwarded from the caller of the entry.
                unsafe { $body::<$crate::simd::Avx2>($($arg),*) }
            }
            // SAFETY: a level exists only where the machine has its features; the rest is the caller's promise.
            unsafe {
                match level.kind() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::level::Kind::Avx512 | $crate::simd::level::Kind::Avx512Bf16 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::level::Kind::Avx2 => avx2($($arg),*),
                    $crate::simd::level::Kind::Portable => $body::<$crate::simd::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use simd_entry;

#[cfg(test)]
mod tests;
