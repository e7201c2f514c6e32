//! What the INFO fields of a run are called.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::options::Score;

/// What the keys of a run's INFO fields begin with, so that a file can hold the scores of several models.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prefix(String);

impl Prefix {
    /// The key of a column, or of what stands beside the scores.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{self}_{}", name.to_ascii_uppercase())
    }

    /// The key of the number of ambiguous bases.
    pub(crate) fn ambiguous(&self) -> String {
        self.key("n_ambiguous")
    }

    /// The key of the reason.
    pub(crate) fn reason(&self) -> String {
        self.key("reason")
    }

    /// Every key that a run may write.
    pub(crate) fn keys(&self) -> Vec<String> {
        let columns = Score::ALL.into_iter().flat_map(Score::columns).map(|column| self.key(column.name));
        columns.chain([self.ambiguous(), self.reason()]).collect()
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("LS".into())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A key has a _ behind the prefix, whether the user thinks of it or not.
        let prefix = text.trim_end_matches('_');
        let is_first = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let is_next = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let is_key = prefix.as_bytes().first().is_some_and(is_first) && prefix.bytes().all(is_next);
        if is_key { Ok(Self(prefix.into())) } else { Err(PrefixError(text.into())) }
    }
}

/// A text with which no INFO key can begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrefixError(String);

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected letters, digits, _ and ., the first one a letter or _, found {:?}", self.0)
    }
}

impl Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_begins_a_key() {
        for (text, prefix) in [("LS", "LS"), ("_m", "_m"), ("m.2_B", "m.2_B"), ("LS_", "LS"), ("m__", "m")] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), prefix);
        }
        for text in ["", "_", "2B", ".a", "a-b", "a b", "a=", "ä"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        assert_eq!("m".parse::<Prefix>().unwrap().key("embedding_l2"), "m_EMBEDDING_L2");
        assert_eq!(Prefix::default().keys().len(), 9);
    }
}
