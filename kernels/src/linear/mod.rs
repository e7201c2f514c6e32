//! Matrix products with a weight: `out[t] = W · x[t] + bias`.
//!
//! | buffer | shape |
//! |---|---|
//! | weight | `[n_out, n_in]`, made ready once ([`crate::Backend::matrix`]) |
//! | bias | `[n_out]`, optional |
//! | `x` | `[L, n_in]`, rows with a stride |
//! | `out` | `[L, n]` with `n ≤ n_out`, rows with a stride: the first `n` outputs are computed |
//!
//! Each output element is one chain of multiply-adds over `n_in`, from the first to the last, then the bias; so it
//! depends on its row of `x` alone, not on how many rows are asked for at once.
//!
//! In [bf16](crate::backend::Precision) the weight and `x`, and of gradients `d_out`, are rounded, each number on its own;
//! bias, sums and results are f32. Products of two rounded numbers are exact in f32. How they are summed is the level's:
//! one after the other as above, or, with AVX-512 BF16, two by two by its instruction `vdpbf16ps`, which takes subnormal
//! numbers as zero. A pair is of neighbours along what is summed over, so a weight's gradient at that level depends in
//! its last bits on whether a sequence is cut at an even position.
//!
//! Cost: `2 · L · n · n_in` operations; the weight is read once for every [`cpu::ROW_BLOCK`] rows.
//!
//! # On a GPU
//!
//! `cuda::product` multiplies any two row-major matrices, or transposes of such, by cuBLASLt, with positions along the rows
//! or columns of the result or summed over, so that `[B, L, D]` and `[B, D, L]` are operands as they are. Operands are f32 or
//! bf16. Products of two bf16 numbers are exact and all sums f32; the result is rounded once, to f32 or bf16, after what was
//! there is added, if it is. f32 operands are multiplied as they are, or rounded to TF32 where that is asked for.
//!
//! In which order an element's terms are summed is the algorithm's. It is chosen for 65,536 positions, whatever their number
//! is, and among those that do not part a sum: so a row, or a column, of the result has the same bits however many there
//! are, if it lies in memory as before, all on multiples of 16 bytes: with the same stride, or, along positions, any.
//! Only where no such algorithm takes the real number of positions is one chosen for that. Sums over positions may be parted;
//! the parts are added in f32 and a fixed order. Two runs on one kind of card with one cuBLASLt have the same bits.
//!
//! A bias is f32, added to what was rounded, and the sum is rounded again. Its gradient is summed in f32 over parts of the
//! positions, and the parts in f64, in a fixed order.
//!
//! # Backward
//!
//! `out[t, j] = Σ_k W[j, k] · x[t, k] + bias[j]` is linear in each of its parts, so
//!
//! ```text
//! d_x[t, k]      = Σ_j d_out[t, j] · W[j, k]      that is d_x[t] = Wᵀ · d_out[t]
//! d_weight[j, k] += Σ_t d_out[t, j] · x[t, k]
//! d_bias[j]      += Σ_t d_out[t, j]
//! ```
//!
//! The first is this operation itself with the transposed weight ([`crate::Backend::transposed_matrix`]), set or added
//! as its `Write` says. The others are `weight_gradient`; being sums over positions they are always added to what is
//! there. `d_out` is `[L, n_out]` and `x` `[L, n_in]`, rows with a stride, `d_weight` `[n_out, n_in]`. Saved is `x`.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

use crate::{Rows, RowsMut};

fn check_weight(weight: &[f32], n_in: usize, bias: Option<&[f32]>) {
    assert!(n_in > 0 && weight.len().is_multiple_of(n_in), "a weight of {} has no rows of {n_in}", weight.len());
    if let Some(bias) = bias {
        assert_eq!(bias.len(), weight.len() / n_in, "a bias of another length than the weight has rows");
    }
}

fn check<S>(n_in: usize, n_out: usize, x: &Rows<'_, S>, out: &RowsMut<'_, S>) {
    assert_eq!(x.len(), out.len(), "as many rows out as in");
    assert_eq!(x.width(), n_in, "columns of x");
    assert!(out.width() <= n_out, "{} outputs of a weight of {n_out}", out.width());
}

fn check_gradient<S>(d_out: &Rows<'_, S>, x: &Rows<'_, S>, d_weight: &[S], d_bias: Option<&[S]>) {
    assert_eq!(d_out.len(), x.len(), "as many rows of the output's gradient as of x");
    assert_eq!(d_weight.len(), d_out.width() * x.width(), "length of the weight's gradient");
    if let Some(d_bias) = d_bias {
        assert_eq!(d_bias.len(), d_out.width(), "length of the bias's gradient");
    }
}
