//! A Markov model on the targets of a language model.

use longstrand_seq::Vocabulary;

use super::{Markov, OTHER};
use crate::{
    evaluate::Tally,
    objective::{Batch, IGNORED},
};

impl Markov {
    /// Adds what it makes of a batch's targets. Each counts in the classes in which the language model's counts.
    pub fn add(&self, batch: &Batch, vocabulary: &Vocabulary, is_causal: bool, tally: &mut Tally) {
        let mut digits = Vec::with_capacity(batch.length + 1);
        let rows = batch.ids.chunks_exact(batch.length).zip(batch.labels.chunks_exact(batch.length));
        for (ids, labels) in rows {
            true_bases(ids, labels, vocabulary, is_causal, &mut digits);
            for (t, &label) in labels.iter().enumerate().filter(|(_, label)| **label != IGNORED) {
                let probabilities = self.probabilities(&digits, t + usize::from(is_causal));
                let base = usize::from(number(label, vocabulary));
                let Some(&of_label) = probabilities.get(base) else { continue };
                let is_best = probabilities.iter().all(|&probability| probability <= of_label);
                let sees_mask = vocabulary.mask().filter(|_| !is_causal).map(|mask| mask == ids[t]);
                tally.count(t as u64, Some(base), sees_mask, -of_label.ln(), is_best);
            }
        }
    }
}

/// The sequence of a window: what the model sees, with targets of a masked one in the place of what hides them, and behind
/// the end of a causal one the target of its last position.
fn true_bases(ids: &[u8], labels: &[u8], vocabulary: &Vocabulary, is_causal: bool, digits: &mut Vec<u8>) {
    let visible = |(&id, &label): (&u8, &u8)| if is_causal || label == IGNORED { id } else { label };
    digits.clear();
    digits.extend(ids.iter().zip(labels).map(visible).map(|id| number(id, vocabulary)));
    digits.extend(labels.last().filter(|_| is_causal).map(|&label| number(label, vocabulary)));
}

fn number(id: u8, vocabulary: &Vocabulary) -> u8 {
    vocabulary.bases().iter().position(|&base| base == id).map_or(OTHER, |base| base as u8)
}
