//! Vocabularies: bases to token ids and back.
//!
//! | family | ids |
//! |---|---|
//! | Caduceus | `[CLS]` 0, `[SEP]` 1, `[BOS]` 2, `[MASK]` 3, `[PAD]` 4, `[RESERVED]` 5, `[UNK]` 6, A 7, C 8, G 9, T 10, N 11 |
//! | PlantCaduceus | `[PAD]` 0, `[MASK]` 1, `[UNK]` 2, A 3, C 4, G 5, T 6 |
//!
//! Lower case is read as upper case. What has no id of its own, `U` of RNA and IUPAC codes among it, is `[UNK]`, as in the
//! published tokenizers.

use std::fmt;

/// The tokens of a model: one byte a base.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vocabulary {
    names: &'static [&'static str],
    ids: [u8; 256],
    complement: Vec<u8>,
    bases: [u8; 4],
    ends_with_separator: bool,
}

const CADUCEUS: [&str; 12] =
    ["[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]", "A", "C", "G", "T", "N"];
const PLANT_CADUCEUS: [&str; 7] = ["[PAD]", "[MASK]", "[UNK]", "A", "C", "G", "T"];

/// The letters that may have ids of their own.
const LETTERS: [u8; 5] = *b"ACGTN";

impl Vocabulary {
    /// The vocabulary of Caduceus and HyenaDNA. Its tokenizer puts `[SEP]` behind a sequence and nothing before it.
    pub fn caduceus() -> Self {
        Self::new(&CADUCEUS, true)
    }

    /// The vocabulary of PlantCaduceus. Its tokenizer adds nothing.
    pub fn plant_caduceus() -> Self {
        Self::new(&PLANT_CADUCEUS, false)
    }

    /// Compares a checkpoint's complement map with this vocabulary's; ids behind the vocabulary (padding) must map to themselves.
    ///
    /// # Errors
    ///
    /// - the map is shorter than the vocabulary
    /// - an id has another complement
    pub fn check_complement_map(&self, map: &[u8]) -> Result<(), VocabularyError> {
        if map.len() < self.len() {
            return Err(VocabularyError::ShortComplementMap { expected: self.len(), found: map.len() });
        }
        for (id, &found) in (0..=u8::MAX).zip(map) {
            let expected = self.complement(id);
            if found != expected {
                return Err(VocabularyError::Complement { id, expected, found });
            }
        }
        Ok(())
    }

    fn new(names: &'static [&'static str], ends_with_separator: bool) -> Self {
        let id = |name: &str| position(names, name).unwrap_or(position(names, "[UNK]").unwrap_or(0));
        let mut ids = [id("[UNK]"); 256];
        for letter in LETTERS {
            let id = id(char::from(letter).encode_utf8(&mut [0; 4]));
            ids[usize::from(letter)] = id;
            ids[usize::from(letter.to_ascii_lowercase())] = id;
        }
        let bases = ["A", "C", "G", "T"].map(id);
        let mut complement: Vec<u8> = (0..=u8::MAX).take(names.len()).collect();
        for (i, &base) in bases.iter().enumerate() {
            complement[usize::from(base)] = bases[3 - i];
        }
        Self { names, ids, complement, bases, ends_with_separator }
    }

    /// The number of tokens. A model's embedding table may be longer, for padding.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no token: never.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The id of a base, in either case.
    pub fn id(&self, base: u8) -> u8 {
        self.ids[usize::from(base)]
    }

    /// Appends one id for each base; nothing is added.
    pub fn encode(&self, bases: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(bases);
        self.encode_in_place(&mut out[from..]);
    }

    /// Puts the id of each base in the base's place.
    ///
    /// Comparing with the five letters that may have ids of their own says the same as the table, and compiles to vector
    /// code where a table look-up does not.
    pub fn encode_in_place(&self, bases: &mut [u8]) {
        const UPPER_CASE: u8 = 0b1101_1111;
        let unknown = self.ids[0];
        let [a, c, g, t, n] = LETTERS.map(|letter| self.id(letter) ^ unknown);
        for base in bases {
            let upper = *base & UPPER_CASE;
            let change = |letter, change| change & 0_u8.wrapping_sub(u8::from(upper == letter));
            *base = unknown ^ change(b'A', a) ^ change(b'C', c) ^ change(b'G', g) ^ change(b'T', t) ^ change(b'N', n);
        }
    }

    /// Reads text as the published tokenizer does before it adds special tokens: the name of a token in brackets is that
    /// token, any other character is one base.
    pub fn tokenize(&self, text: &str) -> Vec<u8> {
        let mut ids = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let (id, length) = self.special_at(rest).unwrap_or_else(|| {
                (u8::try_from(character).map_or(self.ids[0], |byte| self.id(byte)), character.len_utf8())
            });
            ids.push(id);
            rest = &rest[length..];
        }
        ids
    }

    /// Reads text as the published tokenizer does, with the special tokens that it adds.
    pub fn tokenize_published(&self, text: &str) -> Vec<u8> {
        let mut ids = self.tokenize(text);
        ids.extend(self.appended());
        ids
    }

    /// What the published tokenizer puts behind a sequence.
    pub fn appended(&self) -> Option<u8> {
        if self.ends_with_separator { self.sep() } else { None }
    }

    fn special_at(&self, text: &str) -> Option<(u8, usize)> {
        (0..=u8::MAX)
            .zip(self.names)
            .find(|(_, name)| name.starts_with('[') && text.starts_with(**name))
            .map(|(id, name)| (id, name.len()))
    }

    /// The id of `[MASK]`.
    pub fn mask(&self) -> Option<u8> {
        position(self.names, "[MASK]")
    }

    /// The id of `[PAD]`.
    pub fn pad(&self) -> Option<u8> {
        position(self.names, "[PAD]")
    }

    /// The id of `[UNK]`.
    pub fn unk(&self) -> Option<u8> {
        position(self.names, "[UNK]")
    }

    /// The id of `[CLS]`.
    pub fn cls(&self) -> Option<u8> {
        position(self.names, "[CLS]")
    }

    /// The id of `[SEP]`.
    pub fn sep(&self) -> Option<u8> {
        position(self.names, "[SEP]")
    }

    /// The ids of A, C, G and T.
    pub fn bases(&self) -> [u8; 4] {
        self.bases
    }

    /// Whether an id is A, C, G or T.
    pub fn is_base(&self, id: u8) -> bool {
        self.bases.contains(&id)
    }

    /// The name of an id: a base or a special token.
    pub fn name(&self, id: u8) -> Option<&'static str> {
        self.names.get(usize::from(id)).copied()
    }

    /// The id of the complementary base; every other id is its own.
    pub fn complement(&self, id: u8) -> u8 {
        self.complement.get(usize::from(id)).copied().unwrap_or(id)
    }

    /// The complement of every id in turn.
    pub fn complement_map(&self) -> &[u8] {
        &self.complement
    }
}

fn position(names: &[&str], name: &str) -> Option<u8> {
    (0..=u8::MAX).zip(names).find(|(_, known)| **known == name).map(|(id, _)| id)
}

/// A complement map does not belong to a vocabulary.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VocabularyError {
    /// The map has fewer ids than the vocabulary.
    ShortComplementMap {
        /// The number of ids in the vocabulary.
        expected: usize,
        /// The number of ids in the map.
        found: usize,
    },
    /// An id has another complement.
    Complement {
        /// The id.
        id: u8,
        /// Its complement in the vocabulary.
        expected: u8,
        /// Its complement in the map.
        found: u8,
    },
}

impl fmt::Display for VocabularyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortComplementMap { expected, found } => {
                write!(f, "complement map: expected at least {expected} ids, found {found}")
            }
            Self::Complement { id, expected, found } => {
                write!(f, "complement map: expected {expected} as the complement of id {id}, found {found}")
            }
        }
    }
}

impl std::error::Error for VocabularyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_the_published_id() {
        let (caduceus, plant) = (Vocabulary::caduceus(), Vocabulary::plant_caduceus());
        for byte in 0..=255_u8 {
            let (c, p) = match byte.to_ascii_uppercase() {
                b'A' => (7, 3),
                b'C' => (8, 4),
                b'G' => (9, 5),
                b'T' => (10, 6),
                b'N' => (11, 2),
                _ => (6, 2),
            };
            assert_eq!((caduceus.id(byte), plant.id(byte)), (c, p), "{byte}");
        }
        let all: Vec<u8> = (0..=255).collect();
        for vocabulary in [&caduceus, &plant] {
            let mut ids = Vec::new();
            for length in [1, 15, 16, 17, 31, 32, 60, 256] {
                for bases in all.chunks(length) {
                    vocabulary.encode(bases, &mut ids);
                }
                let one_by_one: Vec<u8> = all.iter().map(|&base| vocabulary.id(base)).collect();
                assert_eq!(ids, one_by_one, "by {length}");
                ids.clear();
            }
        }
        let mut ids = vec![9];
        caduceus.encode(b"ACGTNryk", &mut ids);
        assert_eq!(ids, [9, 7, 8, 9, 10, 11, 6, 6, 6]);
    }

    #[test]
    fn special_tokens_are_known() {
        let v = Vocabulary::caduceus();
        assert_eq!([v.cls(), v.sep(), v.mask(), v.pad(), v.unk()], [0, 1, 3, 4, 6].map(Some));
        let v = Vocabulary::plant_caduceus();
        assert_eq!([v.cls(), v.sep(), v.mask(), v.pad(), v.unk()], [None, None, Some(1), Some(0), Some(2)]);
        assert_eq!(v.name(3), Some("A"));
        assert_eq!(v.name(7), None);
        assert!(v.is_base(6) && !v.is_base(2));
    }

    #[test]
    fn text_is_read_as_the_published_tokenizer_reads_it() {
        let v = Vocabulary::caduceus();
        assert_eq!(v.tokenize("AC[MASK]gt"), [7, 8, 3, 9, 10]);
        assert_eq!(v.tokenize("A[C]"), [7, 6, 8, 6]);
        assert_eq!(v.tokenize("Aé C"), [7, 6, 6, 8]);
        assert_eq!(v.tokenize_published(""), [1]);
        assert_eq!(Vocabulary::plant_caduceus().tokenize_published("AN"), [3, 2]);
    }

    #[test]
    fn complement_maps_of_checkpoints_are_checked() {
        let caduceus = [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11, 12, 13, 14, 15];
        assert_eq!(Vocabulary::caduceus().check_complement_map(&caduceus), Ok(()));
        let plant = [0, 1, 2, 6, 5, 4, 3, 7];
        assert_eq!(Vocabulary::plant_caduceus().check_complement_map(&plant), Ok(()));
        assert_eq!(
            Vocabulary::caduceus().check_complement_map(&plant).unwrap_err().to_string(),
            "complement map: expected at least 12 ids, found 8"
        );
        let mut wrong = caduceus;
        wrong[15] = 14;
        assert_eq!(
            Vocabulary::caduceus().check_complement_map(&wrong).unwrap_err().to_string(),
            "complement map: expected 15 as the complement of id 15, found 14"
        );
    }
}
