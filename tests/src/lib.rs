//! What the end-to-end tests share: numerical fixtures and how they are compared, models of any shape, the command as a
//! user starts it, and its tables.

pub mod command;
pub mod fixture;
pub mod labelled;
pub mod likelihood;
pub mod pages;
pub mod ranks;
pub mod synthetic;
pub mod table;
pub mod training;
pub mod variants;
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

/// The 200,000 bases around BRCA1, one record named `17:41100001-41300000`, bgzip.
pub const BRCA1: &str = "brca1_hg19_chr17_41100001-41300000.fa.gz";

/// 3,893 substitutions in BRCA1 with their measured effects, bgzip.
pub const BRCA1_VARIANTS: &str = "findlay2018_brca1.vcf.gz";

/// 169 calls within the bases of [`CHR20`], 79 of them indels, bgzip.
pub const CHR20_VARIANTS: &str = "NA12878_chr20_9450001-10550000.vcf.gz";

/// The first 5,000 calls of a human chromosome 21 and its 14 deletions that have no end, bgzip.
pub const CHR21_VARIANTS: &str = "NA12878_chr21_first5000.vcf.gz";
