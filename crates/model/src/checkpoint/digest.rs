//! One digest over everything that decides what a checkpoint computes.

use longstrand_seq::vocab::Vocabulary;
use sha2::{Digest, Sha256};

/// A SHA-256 over several pieces, each preceded by its length as 8 little-endian bytes.
#[derive(Default)]
pub(super) struct PiecesDigest(Sha256);

impl PiecesDigest {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.0.update((piece.len() as u64).to_le_bytes());
        self.0.update(piece);
    }

    /// Adds the tokens in the order of their ids, one a line.
    pub(super) fn add_vocabulary(&mut self, vocabulary: &Vocabulary) {
        let names = (0..=u8::MAX).map_while(|id| vocabulary.name(id));
        let lines: String = names.flat_map(|name| [name, "\n"]).collect();
        self.add(lines.as_bytes());
    }

    pub(super) fn finish(self) -> String {
        base16ct::lower::encode_string(&self.0.finalize())
    }
}
