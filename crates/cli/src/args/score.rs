//! What is scored and how, for all commands that score.

use std::num::NonZeroU64;

use longstrand_variants::{Anchor, Score, ScoreOptions, Strands};

use super::number::size;
use crate::failure::Usage;

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
    /// Bases behind the allele that count, for --anchor block and contig [default: 1024]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    tail: Option<u64>,
    /// Bases on either side of the allele that --score embedding averages over [default: 64]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pool_radius: Option<u64>,
}

impl ScoreArgs {
    /// The options; a REF that is not the reference's is an error.
    pub fn options(&self) -> ScoreOptions {
        ScoreOptions {
            scores: self.score.clone(),
            context: self.context,
            strands: self.strand,
            anchor: self.anchor,
            tail: self.tail.unwrap_or(ScoreOptions::DEFAULT_TAIL),
            pool_radius: self.pool_radius.unwrap_or(ScoreOptions::DEFAULT_POOL_RADIUS),
            ..ScoreOptions::default()
        }
    }

    /// Refuses options that mean nothing for what is computed: `options`, with the scores that suit the model.
    ///
    /// # Errors
    ///
    /// When one is given.
    pub fn check(&self, options: &ScoreOptions) -> Result<(), Usage> {
        let has = |score| options.scores.contains(&score);
        let is_anchored = has(Score::Likelihood) && options.anchor != Anchor::Window;
        if let Some(tail) = self.tail.filter(|_| !is_anchored) {
            let of = "of --score likelihood with --anchor block or contig, which is not asked for";
            return Err(Usage(format!("--tail {tail} is {of}")));
        }
        if let Some(radius) = self.pool_radius.filter(|_| !has(Score::Embedding)) {
            return Err(Usage(format!("--pool-radius {radius} is of --score embedding, which is not asked for")));
        }
        Ok(())
    }

    /// What is computed, line by line, for a run that only says what it would do.
    pub fn describe(options: &ScoreOptions, columns: &[&str]) -> Vec<(&'static str, String)> {
        let has = |score| options.scores.contains(&score);
        let is_anchored = has(Score::Likelihood) && options.anchor != Anchor::Window;
        let mut rows = vec![
            ("columns", columns.join(", ")),
            ("context", format!("{} bases", options.context)),
            ("strand", options.strands.to_string()),
        ];
        if has(Score::Likelihood) {
            rows.push(("anchor", options.anchor.to_string()));
        }
        if is_anchored {
            rows.push(("tail", format!("{} bases", options.tail)));
        }
        if has(Score::Embedding) {
            rows.push(("pooled", format!("{} bases on either side of the allele", options.pool_radius)));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        scores: ScoreArgs,
    }

    #[test]
    fn options_without_a_meaning_are_refused() {
        let check = |line: &str| {
            let line = Line::try_parse_from(["test"].into_iter().chain(line.split_whitespace())).unwrap();
            line.scores.check(&line.scores.options()).map_err(|Usage(message)| message)
        };
        for good in [
            "--score masked",
            "--score embedding --pool-radius 5",
            "--score likelihood --anchor block --tail 7",
            "--score likelihood,embedding --anchor contig --tail 7 --pool-radius 64",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, says) in [
            ("--score likelihood --tail 1024", "--tail 1024 is of"),
            ("--score masked --tail 0", "--tail 0 is of"),
            ("--score masked --pool-radius 64", "--pool-radius 64 is of"),
        ] {
            assert!(check(bad).unwrap_err().starts_with(says), "{bad}");
        }
    }
}
