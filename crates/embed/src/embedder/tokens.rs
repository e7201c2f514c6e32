//! A window's token ids, for either strand.

use longstrand_seq::vocab::Vocabulary;
use longstrand_seq::window::Window;

use crate::options::{EmbedOptions, SpecialTokens};

/// The token behind each sequence.
pub(super) fn appended(vocabulary: &Vocabulary, options: &EmbedOptions) -> Option<u8> {
    match options.special_tokens {
        SpecialTokens::None => None,
        SpecialTokens::Published => vocabulary.appended(),
    }
}

/// One byte a token: the bases, then padding, then the special token.
pub(crate) struct Tokens<'a> {
    ids: Vec<u8>,
    n_bases: usize,
    vocabulary: &'a Vocabulary,
}

impl<'a> Tokens<'a> {
    /// Takes the bases out of a window: they become ids where they lie.
    pub(super) fn of(window: &mut Window, vocabulary: &'a Vocabulary, options: &EmbedOptions) -> Self {
        let mut ids = std::mem::take(&mut window.bases);
        let n_bases = ids.len() - window.n_padded as usize;
        for base in &mut ids {
            *base = vocabulary.id(*base);
        }
        ids.extend(appended(vocabulary, options));
        Self { ids, n_bases, vocabulary }
    }

    /// Bases of the window, without padding.
    pub(super) fn n_bases(&self) -> usize {
        self.n_bases
    }

    /// The window as it is.
    pub(super) fn forward(&self) -> &[u8] {
        &self.ids
    }

    /// The reverse complement of the bases, with padding and special token behind it as behind the window.
    pub(super) fn reverse_complement(&self) -> Vec<u8> {
        let (bases, behind) = self.ids.split_at(self.n_bases);
        let complement = bases.iter().rev().map(|&id| self.vocabulary.complement(id));
        complement.chain(behind.iter().copied()).collect()
    }

    /// How many bases of a part of the window are none of A, C, G, T.
    pub(super) fn n_ambiguous(&self, part: std::ops::Range<usize>) -> u64 {
        self.ids[part].iter().filter(|&&id| !self.vocabulary.is_base(id)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedder::tests::window;

    #[test]
    fn padding_and_separator_stay_behind_either_strand() {
        let vocabulary = Vocabulary::caduceus();
        let options = EmbedOptions { special_tokens: SpecialTokens::Published, ..EmbedOptions::default() };
        let mut padded = window(b"AACGRN");
        padded.n_padded = 1;
        let tokens = Tokens::of(&mut padded, &vocabulary, &options);
        assert_eq!(tokens.forward(), [7, 7, 8, 9, 6, 11, 1]);
        assert_eq!(tokens.reverse_complement(), [6, 8, 9, 10, 10, 11, 1]);
        assert_eq!((tokens.n_bases(), tokens.n_ambiguous(0..5)), (5, 1));
    }
}
