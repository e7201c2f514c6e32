//! What is scored and how, for all commands that score.

use std::num::NonZeroU64;

use longstrand_variants::{Anchor, Score, ScoreOptions, Strands};

use super::number::size;

/// Options of scores.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Scores")]
pub struct ScoreArgs {
    /// masked, wildtype, likelihood or embedding, or several with commas [default: masked, or likelihood for a causal model]
    #[arg(long, value_name = "SCORES", value_delimiter = ',')]
    score: Vec<Score>,
    /// Bases of a window, an even number; of a block for --anchor block. Also the longest allele that is scored
    #[arg(long, value_name = "N", default_value = "1024", value_parser = size, allow_negative_numbers = true)]
    context: NonZeroU64,
    /// Strands that the model reads: forward, reverse, or both and their mean
    #[arg(long, value_name = "STRANDS", default_value = "both")]
    strand: Strands,
    /// What a causal model has read before the allele: a window around it, all from the block before (between one and
    /// two contexts), or all from the contig's start: window, block or contig
    #[arg(long, value_name = "ANCHOR", default_value = "window")]
    anchor: Anchor,
    /// Bases behind the allele that count, for --anchor block and contig
    #[arg(long, value_name = "N", default_value = "1024", allow_negative_numbers = true)]
    tail: u64,
    /// Bases on either side of the allele that --score embedding averages over
    #[arg(long, value_name = "N", default_value = "64", allow_negative_numbers = true)]
    pool_radius: u64,
}

impl ScoreArgs {
    /// The options; a REF that is not the reference's is an error.
    pub fn options(&self) -> ScoreOptions {
        ScoreOptions {
            scores: self.score.clone(),
            context: self.context,
            strands: self.strand,
            anchor: self.anchor,
            tail: self.tail,
            pool_radius: self.pool_radius,
            ..ScoreOptions::default()
        }
    }
}
