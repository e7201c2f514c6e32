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
//! Rows are independent. The cost is that of reading and writing them once.

pub mod cpu;
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
