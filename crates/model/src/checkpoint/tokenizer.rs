//! What the tokenizer files of a checkpoint say: which of the known alphabets, and the longest input.

mod write;

pub(super) use write::files;

use std::path::Path;
use std::{fs, io};

use longstrand_seq::vocab::Vocabulary;
use serde_json::{Map, Value};

use super::CheckpointError;
use crate::config::Config;

/// Lengths above this are the "no limit" of transformers.
const LONGEST: u64 = 1 << 32;

/// The files that a tokenizer is read from.
pub(super) const FILES: [&str; 2] = ["tokenizer_config.json", "tokenizer.json"];

/// The known alphabets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    Caduceus,
    PlantCaduceus,
}

/// What the files say; nothing, where there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tokenizer {
    /// The checkpoint's folder, or the model's name.
    origin: String,
    alphabet: Option<Alphabet>,
    /// Of an input, in tokens.
    pub(super) max_length: Option<u64>,
}

impl Alphabet {
    /// The alphabet of these tokens.
    pub(super) fn of(vocabulary: &Vocabulary) -> Self {
        if *vocabulary == Self::PlantCaduceus.vocabulary() { Self::PlantCaduceus } else { Self::Caduceus }
    }

    /// The published tokenizer's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Caduceus => "Caduceus",
            Self::PlantCaduceus => "PlantCaduceus",
        }
    }

    pub(super) fn vocabulary(self) -> Vocabulary {
        match self {
            Self::Caduceus => Vocabulary::caduceus(),
            Self::PlantCaduceus => Vocabulary::plant_caduceus(),
        }
    }

    /// Whether these are the alphabet's tokens and ids; PlantCaduceus's bases are in lower case.
    fn is(self, tokens: &Map<String, Value>) -> bool {
        let vocabulary = self.vocabulary();
        let named = |(token, id): (&String, &Value)| {
            let id = id.as_u64().and_then(|id| u8::try_from(id).ok());
            let name = id.and_then(|id| vocabulary.name(id));
            name.is_some_and(|name| name.eq_ignore_ascii_case(token))
        };
        tokens.len() == vocabulary.len() && tokens.iter().all(named)
    }

    /// The alphabet of an embedding of `rows` rows, padded to a multiple of 8 or not.
    fn of_rows(rows: usize) -> Option<Self> {
        match rows {
            7 | 8 => Some(Self::PlantCaduceus),
            12 | 16 => Some(Self::Caduceus),
            _ => None,
        }
    }
}

impl Tokenizer {
    /// No files.
    pub(super) fn none(origin: String) -> Self {
        Self { origin, alphabet: None, max_length: None }
    }

    /// Reads `tokenizer_config.json` and `tokenizer.json`, of which either may be absent.
    pub(super) fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let [config, tokenizer] = FILES.map(|file| folder.join(file));
        let config = json(&config)?.unwrap_or_default();
        let max_length = config.get("model_max_length").and_then(Value::as_u64);
        let class = config.get("tokenizer_class").and_then(Value::as_str);
        let tokenizer = json(&tokenizer)?;
        let none = Self::none(folder.display().to_string());
        let alphabet = alphabet(class, tokenizer.as_ref()).map_err(|found| none.unknown(found))?;
        Ok(Self { alphabet, max_length: max_length.filter(|length| (1..=LONGEST).contains(length)), ..none })
    }

    /// The alphabet, which must fit the config's embedding and complement map.
    pub(super) fn alphabet(&self, config: &Config) -> Result<Alphabet, CheckpointError> {
        let rows = config.vocab_size;
        let alphabet = self.alphabet.or_else(|| Alphabet::of_rows(rows));
        let found = || format!("no tokenizer files and an embedding of {rows} rows");
        let alphabet = alphabet.ok_or_else(|| self.unknown(found()))?;
        let vocabulary = alphabet.vocabulary();
        if vocabulary.len() > rows {
            return Err(self.unknown(format!("{} tokens and an embedding of {rows} rows", vocabulary.len())));
        }
        if let Some(rcps) = &config.rcps {
            let map = vocabulary.check_complement_map(&rcps.complement_map);
            let origin = || self.origin.clone();
            map.map_err(|source| CheckpointError::ComplementMap { origin: origin(), source })?;
        }
        Ok(alphabet)
    }

    fn unknown(&self, found: String) -> CheckpointError {
        CheckpointError::Vocabulary { origin: self.origin.clone(), found }
    }
}

/// The alphabet that the files name, if any, or what they name instead.
fn alphabet(class: Option<&str>, tokenizer: Option<&Value>) -> Result<Option<Alphabet>, String> {
    if let Some(vocabulary) = tokenizer.map(|tokenizer| &tokenizer["model"]["vocab"]) {
        let known = |vocabulary: &Map<String, Value>| {
            [Alphabet::Caduceus, Alphabet::PlantCaduceus].into_iter().find(|alphabet| alphabet.is(vocabulary))
        };
        let found = vocabulary.as_object().and_then(known);
        return found.map(Some).ok_or_else(|| "another vocabulary in tokenizer.json".into());
    }
    match class {
        Some("CaduceusTokenizer") => Ok(Some(Alphabet::Caduceus)),
        None | Some("PreTrainedTokenizerFast" | "CharacterTokenizer") => Ok(None),
        Some(other) => Err(format!("tokenizer_class \"{other}\"")),
    }
}

fn json(path: &Path) -> Result<Option<Value>, CheckpointError> {
    match fs::read(path) {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(CheckpointError::Json { path: path.into(), source }),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckpointError::Io { path: path.into(), source }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn alphabets_are_told_by_their_tokens() {
        let tokenizer = |vocabulary: Value| json!({"model": {"vocab": vocabulary}});
        let plant = tokenizer(json!({"[PAD]": 0, "[MASK]": 1, "[UNK]": 2, "a": 3, "c": 4, "g": 5, "t": 6}));
        assert_eq!(alphabet(None, Some(&plant)).unwrap(), Some(Alphabet::PlantCaduceus));
        let swapped = tokenizer(json!({"[PAD]": 0, "[MASK]": 1, "[UNK]": 2, "a": 3, "c": 5, "g": 4, "t": 6}));
        assert!(alphabet(None, Some(&swapped)).is_err());
        let caduceus = tokenizer(json!({
            "[CLS]": 0, "[SEP]": 1, "[BOS]": 2, "[MASK]": 3, "[PAD]": 4, "[RESERVED]": 5, "[UNK]": 6,
            "A": 7, "C": 8, "G": 9, "T": 10, "N": 11,
        }));
        assert_eq!(alphabet(None, Some(&caduceus)).unwrap(), Some(Alphabet::Caduceus));
        assert_eq!(alphabet(Some("CaduceusTokenizer"), None).unwrap(), Some(Alphabet::Caduceus));
        assert_eq!(alphabet(Some("GPTNeoXTokenizer"), None).unwrap_err(), "tokenizer_class \"GPTNeoXTokenizer\"");
    }

    #[test]
    fn files_that_are_not_json_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for file in FILES {
            let path = folder.path().join(file);
            fs::write(&path, "{").unwrap();
            let error = Tokenizer::read(folder.path()).unwrap_err();
            assert!(matches!(&error, CheckpointError::Json { path: found, .. } if *found == path), "{error:?}");
            assert_eq!(error.to_string(), format!("{} is not valid JSON", path.display()));
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_tokenizer_that_is_not_known_is_told_with_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokenizer_config.json"), r#"{"tokenizer_class": "GPTNeoXTokenizer"}"#).unwrap();
        let message = Tokenizer::read(folder.path()).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("the tokenizer of {} is not known", folder.path().display())),
            "{message}"
        );
        assert!(message.ends_with("found tokenizer_class \"GPTNeoXTokenizer\""), "{message}");
    }

    #[test]
    fn no_limit_is_no_length() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer_config.json");
        fs::write(&file, r#"{"model_max_length": 1000000000000000019884624838656}"#).unwrap();
        assert_eq!(Tokenizer::read(folder.path()).unwrap(), Tokenizer::none(folder.path().display().to_string()));
        fs::write(&file, r#"{"model_max_length": 131072}"#).unwrap();
        assert_eq!(Tokenizer::read(folder.path()).unwrap().max_length, Some(131_072));
    }
}
