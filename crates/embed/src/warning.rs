//! What a run warns of.

use std::fmt;

/// Something that may be wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Warning {
    /// Windows are longer than those that the model was trained at. Told once a run.
    BeyondContext {
        /// Bases of the first such window.
        n_bases: u64,
        /// Bases of the longest window, where windows are known beforehand.
        longest: Option<u64>,
        /// Bases of a training window.
        trained: u64,
        /// Whether a region is one window because no length was asked for.
        whole_region: bool,
    },
    /// Numbers became infinite in f16.
    F16Overflow {
        /// How many.
        values: u64,
    },
    /// Vectors hold a number that is infinite or not a number. Told at the end of a run.
    NotFinite {
        /// How many.
        vectors: u64,
        /// The first one's window.
        window: String,
    },
    /// A shard of a run got no window.
    EmptyShard,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondContext { n_bases, longest, trained, whole_region } => {
                match longest {
                    Some(longest) => write!(f, "windows of up to {longest} bases")?,
                    None => write!(f, "a window of {n_bases} bases")?,
                }
                write!(f, "; the model was trained at {trained}, and what it makes of more is not known")?;
                match whole_region {
                    true => write!(f, "; a region is one window unless --window tiles it, as --window {trained}"),
                    false => Ok(()),
                }
            }
            Self::F16Overflow { values: 1 } => {
                f.write_str("1 number is beyond the range of f16 and became infinite; --dtype f32 keeps it")
            }
            Self::F16Overflow { values } => {
                write!(f, "{values} numbers are beyond the range of f16 and became infinite; --dtype f32 keeps them")
            }
            Self::NotFinite { vectors: 1, window } => write!(f, "1 vector is not finite, that of window {window}"),
            Self::NotFinite { vectors, window } => {
                write!(f, "{vectors} vectors are not finite, the first is of window {window}")
            }
            Self::EmptyShard => f.write_str("this shard has no window"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_beyond_the_context_are_told_with_what_is_known_of_them() {
        let warning =
            |longest, whole_region| Warning::BeyondContext { n_bases: 2000, longest, trained: 1024, whole_region };
        assert_eq!(
            warning(Some(3000), false).to_string(),
            "windows of up to 3000 bases; the model was trained at 1024, and what it makes of more is not known"
        );
        assert!(warning(None, false).to_string().starts_with("a window of 2000 bases; "));
        assert!(warning(Some(3000), true).to_string().ends_with("unless --window tiles it, as --window 1024"));
    }
}
