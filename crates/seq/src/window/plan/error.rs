use std::{error, fmt, ops::Range};

/// Windows that cannot be laid.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanError {
    /// A stride was given where windows are not laid side by side.
    Stride,
    /// Whole contigs were asked for with an interval that is a part of one.
    NotAWholeContig {
        /// Name of the contig.
        contig: String,
        /// What the file has of it; 0-based, half-open.
        span: Range<u64>,
        /// 0-based start of the interval.
        start: u64,
        /// 0-based, exclusive end of the interval.
        end: u64,
    },
    /// The largest allowed fraction of ambiguous bases is no fraction.
    Limit(f64),
    /// Windows are to be padded to more bases than can be held.
    Padding {
        /// The bases of a window.
        size: u64,
        /// The most that it may have.
        largest: u64,
    },
    /// The windows hold more bases than 64 bits count.
    TooManyBases,
}

impl error::Error for PlanError {}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stride => f.write_str(
                "a stride goes with windows of a number of bases over contigs or regions alone: a BED interval, a whole contig and a region taken whole are one window each",
            ),
            Self::NotAWholeContig {
                contig,
                span,
                start,
                end,
            } => write!(
                f,
                "a window of a whole contig was asked for: expected {}-{} of contig {contig:?}, found {start}-{end} (0-based, half-open)",
                span.start, span.end
            ),
            Self::Limit(limit) => write!(
                f,
                "expected a largest fraction of ambiguous bases between 0 and 1, found {limit}"
            ),
            Self::Padding { size, largest } => {
                write!(f, "expected padded windows of at most {largest} bases, found {size}")
            }
            Self::TooManyBases => f.write_str(
                "the windows hold more than 2^64 bases in all: expected a larger stride or a smaller window",
            ),
        }
    }
}
