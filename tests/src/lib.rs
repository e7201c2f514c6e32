//! What the end-to-end tests share: numerical fixtures and how they are compared, models of any shape, the command as a
//! user starts it, and its tables.

pub mod command;
pub mod fixture;
pub mod synthetic;
pub mod table;
pub mod workdir;

use std::path::{Path, PathBuf};

/// A file of the repository's folder `data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(name)
}

/// The genome of yeast: 16 chromosomes, gzip.
pub const YEAST: &str = "scerevisiae_R64-1-1.fa.gz";

/// 1,100,000 bases of human chromosome 20, one record named `20:9450001-10550000`, bgzip.
pub const CHR20: &str = "human_GRCh37_chr20_9450001-10550000.fa.gz";

/// 973 reads on a contig called `chr20`.
pub const READS: &str = "NA12878_small.bam";

/// Two intervals on those reads, on a contig called `20`.
pub const INTERVALS: &str = "NA12878_small.bed";
