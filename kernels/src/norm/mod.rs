//! Normalisation over channels.
//!
//! ```text
//! Rms:    out[t, d] = x[t, d] / √(mean_d x[t]² + ε) · w[d] + β[d]             (Zhang & Sennrich 2019)
//! Layer:  out[t, d] = (x[t, d] - μ[t]) / √(mean_d (x[t] - μ[t])² + ε) · w[d] + β[d],  μ[t] = mean_d x[t]
//!                                                                            (Ba, Kiros & Hinton 2016)
//! ```
//!
//! | buffer | shape |
//! |---|---|
//! | `weight` | `[D]` |
//! | `bias` | `[D]`, optional |
//! | `x`, `out` | `[L, D]` |
//!
//! On a GPU the buffers are the same: the norm stands outside the mixers, in the residual stream. There forward may first
//! add what the last layer gave to the stream.
//!
//! Rows are independent. The cost is that of reading and writing them once.
//!
//! In [bf16](crate::backend::Precision) both ways read x rounded. So a caller that keeps x rounded has all that the way
//! back needs, and the stream that x is read from need not be rounded itself.
//!
//! # Backward
//!
//! With r = 1 / √(mean square + ε) of a row, x̂ = (x - μ) · r (μ = 0 for `Rms`) and g = ∂loss/∂x̂ = d_out · w, an element
//! of x acts through its own x̂, through r and through μ:
//!
//! ```text
//! ∂r/∂x[d] = -r² · x̂[d] / D,   hence through r:   -r · x̂[d] · mean_d(g · x̂)
//! ∂μ/∂x[d] = 1 / D,            hence through μ:   -r · mean_d(g);  r does not change with μ, since mean_d(x̂) = 0
//!
//! d_x[t, d]   = r · (g[d] - mean_d(g) - x̂[d] · mean_d(g · x̂))                 mean_d(g) for Layer alone
//! d_weight[d] += Σ_t d_out[t, d] · x̂[t, d]
//! d_bias[d]   += Σ_t d_out[t, d]
//! ```
//!
//! Nothing is saved but `x`: the statistics are computed again. Gradients of parameters are always added to; `d_x` is
//! set or added to.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

/// Which statistics a row is normalised by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The root of the mean square.
    Rms,
    /// Mean and standard deviation.
    Layer,
}

/// What does not depend on the position.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a, S> {
    /// Which statistics are used.
    pub kind: Kind,
    /// ε, added to the mean square.
    pub epsilon: f64,
    /// w, `[D]`.
    pub weight: &'a [S],
    /// β, `[D]`.
    pub bias: Option<&'a [S]>,
}

/// Gradients of the parameters, which are added to.
#[derive(Debug)]
pub struct GradParams<'a, S> {
    /// `[D]`
    pub d_weight: &'a mut [S],
    /// `[D]`, given exactly when there is a bias.
    pub d_bias: Option<&'a mut [S]>,
}

/// Checks all lengths and returns D.
fn check<S>(params: &Params<'_, S>, x: &[S], out: &[S]) -> usize {
    let width = params.weight.len();
    assert!(
        width > 0 && x.len().is_multiple_of(width),
        "{} elements are not a whole number of rows of {width}",
        x.len()
    );
    assert_eq!(out.len(), x.len(), "length of the output");
    if let Some(bias) = params.bias {
        assert_eq!(bias.len(), width, "length of the bias");
    }
    width
}

/// Checks all lengths of the backward call and returns D.
fn check_backward<S>(params: &Params<'_, S>, x: &[S], d_out: &[S], d_x: &[S], d_params: &GradParams<'_, S>) -> usize {
    let width = check(params, x, d_x);
    assert_eq!(d_out.len(), x.len(), "length of the output's gradient");
    assert_eq!(d_params.d_weight.len(), width, "length of the weight's gradient");
    assert_eq!(
        d_params.d_bias.as_ref().map(|d_bias| d_bias.len()),
        params.bias.map(<[S]>::len),
        "length of the bias's gradient"
    );
    width
}
