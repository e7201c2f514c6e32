//! Reverse-complement parameter sharing as two independent strands.
//!
//! The published block carries two halves (a, b) of `[L, 2 D]`, b being the reverse complement's stream flipped in
//! length and channels, and applies the same mixer to a and to flip(b); the fused block also swaps the halves (and
//! their residuals) in every layer. The halves never mix, so each can be followed on its own: strand 0 starts as the
//! embedding, strand 1 as the embedding of the complement. Strand 1 is kept with its channels in its own order, which
//! is b with the channels reversed. Then, in natural order of positions throughout:
//!
//! * a strand whose half sits in slot b at a layer meets that layer's mixer backwards in time;
//! * where the halves have been swapped an odd number of times, both strands see the layer with its channels
//!   reversed, which is a permutation of that layer's weights, made once.
//!
//! So nothing is ever flipped in memory, and a model without RCPS is the same with one strand and no swap.

use crate::config::{Config, Rcps};

/// Where the two strands stand at a layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Arrangement {
    /// The halves have changed places an odd number of times.
    pub(crate) swapped: bool,
}

impl Arrangement {
    /// The arrangement that layer `index` works in.
    pub(crate) fn of_layer(config: &Config, index: usize) -> Self {
        Self::after_blocks(config, index + 1)
    }

    /// The arrangement after `blocks` layers.
    pub(crate) fn after_blocks(config: &Config, blocks: usize) -> Self {
        let fused = config.rcps.as_ref().is_some_and(|rcps| rcps.fused_add_norm);
        Self { swapped: fused && blocks % 2 == 1 }
    }

    /// Whether a strand meets the mixer backwards in time: its half is in slot b.
    pub(crate) fn backwards(self, strand: usize) -> bool {
        (strand == 1) != self.swapped
    }

    /// The strand in slot a, and the strand in slot b.
    pub(crate) fn slots(self) -> [usize; 2] {
        if self.swapped { [1, 0] } else { [0, 1] }
    }
}

/// Number of strands that a model carries.
pub(crate) fn strands(rcps: Option<&Rcps>) -> usize {
    if rcps.is_some() { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_swap_turns_both_strands_round() {
        for swapped in [false, true] {
            let arrangement = Arrangement { swapped };
            assert_eq!(arrangement.backwards(0), swapped);
            assert_eq!(arrangement.backwards(1), !swapped);
            assert!(arrangement.backwards(arrangement.slots()[1]));
        }
    }
}
