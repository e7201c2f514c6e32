//! What a run gave and left out.

use std::fmt::Write;

use longstrand_seq::reads::ReadCounts;
use longstrand_seq::window::{WindowCounts, WindowSource};
use serde_json::{Value, json};

/// What a run gave and left out, in all: windows that an earlier run has embedded count too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counts {
    /// Windows of a genome.
    Windows(WindowCounts),
    /// Reads.
    Reads(ReadCounts),
}

impl Counts {
    pub(super) fn of(source: &WindowSource) -> Self {
        match source {
            WindowSource::Reads(reads) => Self::Reads(reads.counts()),
            other => Self::Windows(other.counts()),
        }
    }

    /// Windows embedded.
    pub fn windows(&self) -> u64 {
        self.totals().produced
    }

    /// Their bases.
    pub fn bases(&self) -> u64 {
        self.totals().bases
    }

    /// Windows embedded that are shorter than was asked for.
    pub fn kept_partial(&self) -> u64 {
        self.totals().kept_partial
    }

    fn totals(&self) -> WindowCounts {
        match self {
            Self::Windows(counts) => *counts,
            Self::Reads(counts) => counts.windows(),
        }
    }

    /// Numbers of what was left out, by reason, less those that are 0.
    pub fn dropped(&self) -> Vec<(&'static str, u64)> {
        let all: Vec<(&'static str, u64)> = match self {
            Self::Windows(c) => {
                vec![("shorter than the window", c.dropped_partial), ("too many ambiguous bases", c.dropped_ambiguous)]
            }
            Self::Reads(c) => vec![
                ("outside the regions", c.outside),
                ("unmapped", c.unmapped),
                ("secondary", c.secondary),
                ("supplementary", c.supplementary),
                ("by flags", c.other_flags),
                ("low mapping quality", c.low_mapping_quality),
                ("no sequence", c.no_sequence),
                ("too many ambiguous bases", c.ambiguous),
            ],
        };
        all.into_iter().filter(|(_, number)| *number > 0).collect()
    }

    /// What was left out, to follow a message; nothing if nothing was.
    pub(crate) fn left_out(&self) -> String {
        let mut text = String::new();
        for (reason, number) in self.dropped() {
            let _ = write!(text, "{} {number} {reason}", if text.is_empty() { "; left out:" } else { "," });
        }
        text
    }

    /// For the footer. How many reads lie outside the regions is left out: with an index, most are never seen.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Windows(c) => json!({
                "windows": c.produced,
                "bases": c.bases,
                "ambiguous_bases": c.ambiguous_bases,
                "padded": c.padded,
                "kept_partial": c.kept_partial,
                "dropped_partial": c.dropped_partial,
                "dropped_ambiguous": c.dropped_ambiguous,
            }),
            Self::Reads(c) => json!({
                "reads": c.produced,
                "bases": c.bases,
                "ambiguous_bases": c.ambiguous_bases,
                "unmapped": c.unmapped,
                "secondary": c.secondary,
                "supplementary": c.supplementary,
                "other_flags": c.other_flags,
                "low_mapping_quality": c.low_mapping_quality,
                "no_sequence": c.no_sequence,
                "dropped_ambiguous": c.ambiguous,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_told_by_reason() {
        let counts = ReadCounts { secondary: 2, no_sequence: 1, ..ReadCounts::default() };
        assert_eq!(Counts::Reads(counts).left_out(), "; left out: 2 secondary, 1 no sequence");
        assert_eq!(Counts::Windows(WindowCounts::default()).left_out(), "");
    }
}
