use std::{error::Error, fmt, io, sync::Arc, time::Duration};

/// What all ranks do together, by its number since they met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Operation {
    /// How many were before it.
    pub number: u64,
    /// What it is.
    pub kind: OperationKind,
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OperationKind {
    /// Waiting for each other.
    Barrier,
    /// A sum of so many f32.
    SumF32(u64),
    /// A sum of so many f64.
    SumF64(u64),
    /// The bytes of this rank for all.
    Broadcast(u64),
    /// The bytes of all ranks for all.
    Gather,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {}, ", self.number)?;
        match self.kind {
            OperationKind::Barrier => f.write_str("a barrier"),
            OperationKind::SumF32(count) => write!(f, "a sum of {count} f32"),
            OperationKind::SumF64(count) => write!(f, "a sum of {count} f64"),
            OperationKind::Gather => f.write_str("a gather"),
            OperationKind::Broadcast(root) => write!(f, "a broadcast of rank {root}"),
        }
    }
}

/// Ranks that do not come together, or are parted.
#[derive(Clone, Debug)]
pub enum CollectiveError {
    /// A variable of the environment is missing or makes no sense.
    Variable {
        /// Its name.
        variable: &'static str,
        /// What would do.
        expected: String,
        /// What it is.
        found: Option<String>,
    },
    /// The first rank of all or of a group cannot listen.
    Listen {
        /// The rank.
        rank: usize,
        /// Where.
        address: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Nobody answers where the first rank should be.
    Unreachable {
        /// The rank that asked.
        rank: usize,
        /// The rank that should be there.
        first: usize,
        /// Where.
        address: String,
        /// How long it was tried.
        patience: Duration,
        /// Why the last try failed.
        source: Arc<io::Error>,
    },
    /// Ranks did not come to meet the first one.
    Absent {
        /// Those that are missing.
        ranks: Vec<usize>,
        /// Where they were waited for.
        address: String,
        /// How long.
        patience: Duration,
    },
    /// A process came that cannot be what it says.
    Stranger {
        /// What it says it is.
        rank: u64,
        /// Whom it came to meet.
        first: usize,
        /// What would do.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A rank's connection ended without a word: its process died, or its machine.
    Lost {
        /// The rank.
        rank: usize,
        /// What it was needed for.
        during: Operation,
        /// What the connection says; none if it was closed.
        source: Option<Arc<io::Error>>,
    },
    /// A rank ended, in order, while others still needed it.
    Left {
        /// The rank.
        rank: usize,
        /// What it was needed for.
        during: Operation,
    },
    /// Ranks did not come to an operation in time.
    Late {
        /// Those that are missing.
        ranks: Vec<usize>,
        /// The operation.
        during: Operation,
        /// How long they were waited for.
        patience: Duration,
    },
    /// A rank came to another operation.
    Differs {
        /// The rank.
        rank: usize,
        /// What the first rank came to.
        expected: Operation,
        /// What the rank came to.
        found: Operation,
    },
    /// A rank sends what is no message.
    Garbled {
        /// The rank.
        rank: usize,
        /// What it was needed for.
        during: Operation,
    },
    /// A rank has something else than rank 0.
    Disagrees {
        /// The rank.
        rank: usize,
        /// Of what.
        what: String,
    },
    /// Rank 0, or the first one of a group, says what went wrong.
    Told {
        /// The rank that says it.
        rank: usize,
        /// Its words.
        message: String,
    },
}

impl CollectiveError {
    pub(super) fn lost(rank: usize, during: Operation, source: io::Error) -> Self {
        Self::Lost { rank, during, source: Some(Arc::new(source)) }
    }
}

impl fmt::Display for CollectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { variable, expected, found: None } => {
                write!(f, "{variable}: expected {expected}, found no such variable")
            }
            Self::Variable { variable, expected, found: Some(found) } => {
                write!(f, "{variable}: expected {expected}, found {found:?}")
            }
            Self::Listen { rank: 0, address, .. } => {
                write!(f, "rank 0 cannot listen at {address} (MASTER_ADDR:MASTER_PORT)")
            }
            Self::Listen { rank, address, .. } => write!(f, "rank {rank} cannot listen at {address}"),
            Self::Unreachable { rank, first, address, patience, .. } => {
                write!(f, "rank {rank}: expected rank {first} at {address}, found nobody within {patience:?}")
            }
            Self::Absent { ranks, address, patience } => {
                write!(f, "expected {} at {address} within {patience:?}, found nobody", listed(ranks))
            }
            Self::Stranger { rank, first, expected, found } => {
                write!(f, "rank {rank} came to meet rank {first}: expected {expected}, found {found}")
            }
            Self::Lost { rank, during, .. } => {
                write!(f, "rank {rank} is gone: its connection ended during {during}; its own messages say why")
            }
            Self::Left { rank, during } => write!(f, "rank {rank} has ended its run before {during}"),
            Self::Late { ranks, during, patience } => {
                write!(f, "expected {} at {during}, found no word of it within {patience:?}", listed(ranks))
            }
            Self::Differs { rank, expected, found } => write!(f, "rank {rank}: expected {expected}, found {found}"),
            Self::Garbled { rank, during } => {
                write!(f, "rank {rank}: expected a message for {during}, found something else")
            }
            Self::Disagrees { rank, what } => {
                write!(f, "rank {rank}: expected {what} to be the same as on rank 0, found a difference")
            }
            Self::Told { rank, message } => write!(f, "rank {rank}: {message}"),
        }
    }
}

fn listed(ranks: &[usize]) -> String {
    let numbers: Vec<String> = ranks.iter().map(usize::to_string).collect();
    format!("rank{} {}", if ranks.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

impl Error for CollectiveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::Unreachable { source, .. } => Some(source.as_ref()),
            Self::Lost { source, .. } => source.as_ref().map(|source| source.as_ref() as &(dyn Error + 'static)),
            _ => None,
        }
    }
}
