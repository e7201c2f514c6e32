//! The way back through the language-model head.

use longstrand_kernels::lm_head::{LmHeadBackward, Strand};
use longstrand_kernels::{Backend, Rows, Write};

use super::{HeadTable, head_table};
use crate::checkpoint::Weights;
use crate::config::Config;
use crate::scratch::Plane;

/// The transposes of the matrices of [`LanguageHead`](super::LanguageHead).
#[derive(Debug)]
pub(crate) struct LanguageHeadTransposed<B: Backend> {
    head: LmHeadBackward<B>,
    slots: [usize; 2],
}

impl<B: Backend> LanguageHeadTransposed<B> {
    pub(crate) fn new(backend: &B, config: &Config, weights: &Weights) -> Option<Self> {
        let HeadTable { table, complement_map, slots } = head_table(config, weights)?;
        Some(Self { head: LmHeadBackward::new(backend, &table, config.d_model, complement_map), slots })
    }

    /// Sets the gradients of the strands' final hidden states, `[L, D]` each, from those of the logits, `[L, V]`, and adds
    /// that of the weight.
    pub(crate) fn backward(
        &self,
        backend: &B,
        hidden: &[Rows<'_, B::Scalar>],
        d_logits: &[B::Scalar],
        d_hidden: &mut [Plane<B::Scalar>; 2],
        d_weight: &mut [B::Scalar],
    ) {
        let rows = hidden[0].len();
        let [first, second] = d_hidden;
        let mut strands = [Some(first), Some(second)];
        let mut strand = |slot: usize| {
            let index = self.slots[slot];
            let hidden = *hidden.get(index)?;
            Some(Strand { hidden, d_hidden: strands[index].take()?.rows_mut(rows) })
        };
        let forward = strand(0).expect("a strand in slot a");
        self.head.backward(backend, forward, strand(1), d_logits, Write::Set, d_weight);
    }
}
