//! Logits to log-probabilities, in place over the last axis.
//!
//! ```text
//! x[t, v] ← x[t, v] - m[t] - ln Σ_v exp(x[t, v] - m[t]),   m[t] = max_v x[t, v]
//! ```
//!
//! | buffer | shape |
//! |---|---|
//! | `x` | `[L, V]`, V = `width`, argument and result |
//!
//! A logit of negative infinity has probability 0; a row needs one finite logit. A row with a NaN becomes NaN.

pub mod cpu;
pub mod reference;
#[cfg(test)]
mod tests;

fn check<S>(x: &[S], width: usize) {
    assert!(
        width > 0 && x.len().is_multiple_of(width),
        "{} elements are not a whole number of rows of {width}",
        x.len()
    );
}
