//! JSON as Python writes it: `Infinity`, `-Infinity` and `NaN` may stand bare.

use std::borrow::Cow;

use serde_json::Value;

/// The key of the object that newer transformers write for a float that JSON cannot hold.
pub(super) const FLOAT_TAG: &str = "__float__";

const BARE: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

pub(super) fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(&tag_bare_floats(text))
}

/// Stands for infinity in a value that [`write`] is to write.
pub(super) const INFINITY: &str = "__float__ Infinity";

/// Writes JSON as Python does, [`INFINITY`] bare: so every version of transformers reads it.
pub(super) fn write(value: &Value) -> Vec<u8> {
    let text = format!("{value:#}\n");
    text.replace(&format!("\"{INFINITY}\""), "Infinity").into_bytes()
}

/// Writes every bare special float as `{"__float__": "…"}`; text inside strings is left alone.
fn tag_bare_floats(text: &[u8]) -> Cow<'_, [u8]> {
    let mut tagged: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut i = 0;
    while i < text.len() {
        if text[i] == b'"' {
            i = string_end(text, i);
        } else if let Some(name) = BARE.into_iter().find(|name| text[i..].starts_with(name)) {
            let out = tagged.get_or_insert_with(Vec::new);
            out.extend_from_slice(&text[copied..i]);
            out.extend_from_slice(format!("{{\"{FLOAT_TAG}\":\"").as_bytes());
            out.extend_from_slice(name);
            out.extend_from_slice(b"\"}");
            i += name.len();
            copied = i;
        } else {
            i += 1;
        }
    }
    match tagged {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.extend_from_slice(&text[copied..]);
            Cow::Owned(out)
        }
    }
}

/// The offset behind the string that opens at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < text.len() {
        match text[i] {
            b'"' => return i + 1,
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_floats_are_tagged_outside_strings() {
        let value = parse(br#"{"a": [0.0, Infinity], "b": "Infinity \" NaN", "c": -Infinity}"#).unwrap();
        assert_eq!(value["a"][1][FLOAT_TAG], "Infinity");
        assert_eq!(value["b"], "Infinity \" NaN");
        assert_eq!(value["c"][FLOAT_TAG], "-Infinity");
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(tag_bare_floats(br#"{"a": 1}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn an_unclosed_string_is_an_error() {
        assert!(parse(br#"{"a": "\"#).is_err());
    }
}
