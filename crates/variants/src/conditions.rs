//! What defines a score beside its formula.

use crate::options::{Anchor, Score, ScoreOptions};

/// The model and those of the options that a score depends on, in a phrase without quotes.
pub(crate) fn conditions(score: Score, model: &str, options: &ScoreOptions) -> String {
    let context = format!("context {}", options.context);
    let of_score = match (score, options.anchor) {
        (Score::Masked | Score::Wildtype, _) => context,
        (Score::Likelihood, Anchor::Window) => format!("{context}, anchor window"),
        (Score::Likelihood, Anchor::Block) => format!("{context}, anchor block, tail {}", options.tail),
        // It is read from the contig's start on, whatever the context.
        (Score::Likelihood, Anchor::Contig) => format!("anchor contig, tail {}", options.tail),
        (Score::Embedding, _) => format!("{context}, pool radius {}", options.pool_radius),
    };
    format!("model {model}, {of_score}, strand {}", options.strands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_score_tells_what_it_depends_on() {
        let told = |score, anchor| conditions(score, "m", &ScoreOptions { anchor, tail: 9, ..ScoreOptions::default() });
        for (score, anchor, expected) in [
            (Score::Masked, Anchor::Block, "model m, context 1024, strand both"),
            (Score::Likelihood, Anchor::Window, "model m, context 1024, anchor window, strand both"),
            (Score::Likelihood, Anchor::Block, "model m, context 1024, anchor block, tail 9, strand both"),
            (Score::Likelihood, Anchor::Contig, "model m, anchor contig, tail 9, strand both"),
            (Score::Embedding, Anchor::Contig, "model m, context 1024, pool radius 64, strand both"),
        ] {
            assert_eq!(told(score, anchor), expected);
        }
    }
}
