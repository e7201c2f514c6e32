//! Markov models of DNA: what a base's neighbours alone say about it.
//!
//! A language model that learned something says more than the counts of short words do. With n(c, x) the number of times
//! that the base x was counted among the neighbours c,
//!
//! ```text
//! p(x | c) = (n(c, x) + 1) / (n(c, A) + n(c, C) + n(c, G) + n(c, T) + 4)        (add one, Laplace)
//! ```
//!
//! [`Neighbours`] are the k bases to the left (the order-k Markov model), or k on either side, which no causal model sees.
//! Where fewer than k are bases (at the edges of a window or an interval, beside `N`), the largest smaller number is
//! taken, on both sides the same, down to none. Counts of smaller numbers come from all positions, so that they are those
//! of a model of that order.
//!
//! Bases are counted on the strand that the file has, and as it has them: a target's neighbours are the true bases,
//! those too that a masked language model does not see.

mod counted_on;
mod counts;
mod error;
mod neighbours;
mod score;

pub use counted_on::CountedOn;
pub use counts::{Counts, Markov};
pub use error::BaselineError;
pub use neighbours::Neighbours;

/// What stands for a token or a letter that is none of A 0, C 1, G 2 and T 3.
pub const OTHER: u8 = 4;

/// The number of a base in either case, or [`OTHER`].
pub fn digit(base: u8) -> u8 {
    match base.to_ascii_uppercase() {
        b'A' => 0,
        b'C' => 1,
        b'G' => 2,
        b'T' => 3,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests;
