//! What a run warns of.

use std::fmt;
use std::path::PathBuf;

use longstrand_model::Watch;
use longstrand_seq::variant::VariantReader;

/// The most alleles of a record, REF among them, that bcftools reads.
pub(crate) const MOST_ALLELES: usize = u16::MAX as usize;

/// Something that may be wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Warning {
    /// The context is longer than the windows that the model was trained at.
    BeyondContext {
        /// Bases of a window.
        context: u64,
        /// Bases of a training window.
        trained: u64,
    },
    /// The index that regions are searched with is older than its file.
    StaleIndex {
        /// The index.
        index: PathBuf,
    },
    /// A record has more alleles than bcftools reads.
    ManyAlleles {
        /// `contig:position` of the first such record, 1-based.
        locus: String,
    },
    /// No index was written beside the output, and why.
    NoIndex(String),
    /// Values that are infinite or not a number were left out.
    NotFinite {
        /// How many.
        values: u64,
    },
}

/// Warns of a context that is longer than what a model was trained at.
pub(crate) fn of_context(context: u64, trained: Option<u64>, watch: &dyn Watch) {
    if let Some(trained) = trained.filter(|&trained| context > trained) {
        watch.warn(&Warning::BeyondContext { context, trained }.to_string());
    }
}

/// Warns of an index that is older than the variants that it is of.
pub(crate) fn of_stale_index(reader: &VariantReader, watch: &dyn Watch) {
    if let Some(index) = reader.stale_index() {
        watch.warn(&Warning::StaleIndex { index: index.into() }.to_string());
    }
}

/// Warns of values that were left out because they are infinite or not a number.
pub(crate) fn of_not_finite(values: u64, watch: &dyn Watch) {
    if values > 0 {
        watch.warn(&Warning::NotFinite { values }.to_string());
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondContext { context, trained } => {
                write!(
                    f,
                    "windows of {context} bases; the model was trained at {trained}, and what it makes of more is not known"
                )
            }
            Self::StaleIndex { index } => {
                write!(f, "the index {} is older than its file: records may be missed", index.display())
            }
            Self::ManyAlleles { locus } => {
                write!(f, "{locus} has more than {MOST_ALLELES} alleles, REF among them, which bcftools does not read")
            }
            Self::NoIndex(why) => write!(f, "no index was written: {why}"),
            Self::NotFinite { values } => {
                write!(f, "{values} values are not finite and were left out; are the model's weights sound?")
            }
        }
    }
}
