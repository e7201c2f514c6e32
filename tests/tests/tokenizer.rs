//! The Caduceus vocabulary against the published tokenizer.

use longstrand_seq::vocab::Vocabulary;
use longstrand_tests::fixture;
use serde_json::Value;

fn ids(value: &Value) -> Vec<u8> {
    value.as_array().expect("a list of ids").iter().map(|id| id.as_u64().expect("an id") as u8).collect()
}

#[test]
fn text_becomes_the_published_ids() {
    let expected = fixture::read_json(&fixture::root().join("tokenizer/expected.json")).expect("the fixture");
    let vocabulary = Vocabulary::caduceus();
    let rows = expected["rows"].as_array().expect("rows");
    assert!(rows.len() >= 10);
    for row in rows {
        let text = row["text"].as_str().expect("a text");
        assert_eq!(vocabulary.tokenize(text), ids(&row["ids_no_special"]), "{text:?}");
        assert_eq!(vocabulary.tokenize_published(text), ids(&row["ids"]), "{text:?} with special tokens");
    }
    for (token, id) in expected["vocab"].as_object().expect("a vocabulary") {
        let id = id.as_u64().expect("an id") as u8;
        assert_eq!(vocabulary.name(id), Some(token.as_str()));
        let complement = expected["complement_map"][id.to_string()].as_u64().expect("a complement") as u8;
        assert_eq!(vocabulary.complement(id), complement);
    }
}

#[test]
fn bases_are_encoded_as_text_is() {
    let vocabulary = Vocabulary::caduceus();
    let bases = b"ACGTNacgtnRYKMSWBDHVryU-*X.";
    let mut encoded = Vec::new();
    vocabulary.encode(bases, &mut encoded);
    assert_eq!(encoded, vocabulary.tokenize(std::str::from_utf8(bases).expect("text")));
}
