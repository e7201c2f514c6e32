//! The tokenizer files of the known alphabets.

use longstrand_seq::vocab::Vocabulary;
use serde_json::{Map, Value, json};

use super::{Alphabet, LONGEST};
use crate::config::Naming;

/// A `model_max_length` that is no limit.
const NO_LIMIT: u64 = 1_000_000_000_000_000_000;

/// What transformers calls the tokens that stand for something.
const ROLES: [(&str, &str); 7] = [
    ("bos_token", "[BOS]"),
    ("cls_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("mask_token", "[MASK]"),
    ("pad_token", "[PAD]"),
    ("sep_token", "[SEP]"),
    ("unk_token", "[UNK]"),
];

/// Names and texts of the files. Caduceus's own tokenizer is a Python class, which lies beside the published weights; every
/// other model gets a `tokenizer.json`, which needs no code.
pub(in crate::checkpoint) fn files(
    vocabulary: &Vocabulary,
    naming: Naming,
    trained_context: Option<u64>,
) -> Vec<(&'static str, String)> {
    let alphabet = Alphabet::of(vocabulary);
    let roles = roles(vocabulary);
    let mut config = roles.clone();
    let length = trained_context.filter(|length| (1..=LONGEST).contains(length)).unwrap_or(NO_LIMIT);
    config.insert("model_max_length".into(), length.into());
    config.insert("clean_up_tokenization_spaces".into(), true.into());
    if alphabet == Alphabet::Caduceus && naming == Naming::Caduceus {
        config.extend(python_class(vocabulary));
        return vec![("tokenizer_config.json", text(config)), ("special_tokens_map.json", text(roles))];
    }
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    vec![("tokenizer.json", text(tokenizer_json(alphabet))), ("tokenizer_config.json", text(config))]
}

fn text(value: impl Into<Value>) -> String {
    format!("{:#}\n", value.into())
}

fn roles(vocabulary: &Vocabulary) -> Map<String, Value> {
    let has = |name: &str| tokens(vocabulary).any(|(_, token)| token == name);
    ROLES.into_iter().filter(|(_, name)| has(name)).map(|(role, name)| (role.into(), name.into())).collect()
}

fn tokens(vocabulary: &Vocabulary) -> impl Iterator<Item = (u8, &'static str)> {
    (0..=u8::MAX).map_while(|id| Some((id, vocabulary.name(id)?)))
}

/// Tokens that are not bases.
fn special_tokens(vocabulary: &Vocabulary) -> impl Iterator<Item = (u8, &'static str)> {
    tokens(vocabulary).filter(|(_, token)| token.starts_with('['))
}

/// What the files of Caduceus's own class say.
fn python_class(vocabulary: &Vocabulary) -> Map<String, Value> {
    let code = "kuleshov-group/caduceus-ps_seqlen-131k_d_model-256_n_layer-16--tokenization_caduceus.CaduceusTokenizer";
    let added: Map<String, Value> = special_tokens(vocabulary)
        .filter(|(_, token)| *token != "[RESERVED]")
        .map(|(id, token)| (id.to_string(), added_token(token)))
        .collect();
    let settings = json!({
        "add_prefix_space": false,
        "added_tokens_decoder": added,
        "auto_map": {"AutoTokenizer": [code, null]},
        "padding_side": "left",
        "tokenizer_class": "CaduceusTokenizer",
    });
    settings.as_object().cloned().unwrap_or_default()
}

fn added_token(content: &str) -> Value {
    json!({
        "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
    })
}

/// A tokenizer of single characters: byte-pair encoding without merges, as PlantCaduceus publishes its own.
fn tokenizer_json(alphabet: Alphabet) -> Value {
    let vocabulary = alphabet.vocabulary();
    let added: Vec<Value> = special_tokens(&vocabulary)
        .map(|(id, token)| {
            let mut added = added_token(token);
            added["id"] = id.into();
            added
        })
        .collect();
    let case = |token: &str| match alphabet {
        Alphabet::PlantCaduceus if !token.starts_with('[') => token.to_ascii_lowercase(),
        _ => token.into(),
    };
    let ids: Map<String, Value> = tokens(&vocabulary).map(|(id, token)| (case(token), id.into())).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": normalizer(alphabet, &vocabulary),
        "pre_tokenizer": match alphabet {
            Alphabet::Caduceus => Value::Null,
            Alphabet::PlantCaduceus => json!({"type": "Whitespace"}),
        },
        "post_processor": separator(&vocabulary),
        "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "[UNK]", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": ids, "merges": [],
        },
    })
}

/// Lower case for PlantCaduceus; for the other, whose library has no upper case, letter by letter.
fn normalizer(alphabet: Alphabet, vocabulary: &Vocabulary) -> Value {
    if alphabet == Alphabet::PlantCaduceus {
        return json!({"type": "Lowercase"});
    }
    let letters = tokens(vocabulary).filter(|(_, token)| !token.starts_with('['));
    let replace = |letter: &str| json!({"type": "Replace", "pattern": {"String": letter.to_ascii_lowercase()}, "content": letter});
    let replacements: Vec<Value> = letters.map(|(_, letter)| replace(letter)).collect();
    json!({"type": "Sequence", "normalizers": replacements})
}

/// Puts the separator behind a sequence where the published tokenizer does.
fn separator(vocabulary: &Vocabulary) -> Value {
    let Some((id, token)) = vocabulary.appended().and_then(|id| Some((id, vocabulary.name(id)?))) else {
        return Value::Null;
    };
    let sequence = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let behind = json!({"SpecialToken": {"id": token, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [sequence("A"), behind],
        "pair": [sequence("A"), behind, sequence("B"), behind],
        "special_tokens": {(token): {"id": token, "ids": [id], "tokens": [token]}},
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Tokenizer;
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for alphabet in [Alphabet::Caduceus, Alphabet::PlantCaduceus] {
            for naming in [Naming::HuggingFace, Naming::StateSpaces, Naming::Caduceus] {
                for context in [None, Some(1), Some(131_072)] {
                    let folder = tempfile::tempdir().unwrap();
                    for (name, text) in files(&alphabet.vocabulary(), naming, context) {
                        fs::write(folder.path().join(name), text).unwrap();
                    }
                    let read = Tokenizer::read(folder.path()).unwrap();
                    assert_eq!((read.alphabet, read.max_length), (Some(alphabet), context));
                }
            }
        }
    }
}
