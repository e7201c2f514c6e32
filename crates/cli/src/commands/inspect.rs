//! `longstrand inspect`: what a checkpoint is.

use std::fmt::Write;
use std::path::PathBuf;

use longstrand_model::checkpoint::{Checkpoint, Summary};

use crate::args::load_model;
use crate::failure::write_stdout;

/// Options of `longstrand inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand inspect                                  the built-in model
  longstrand inspect models/caduceus-ph --json
  longstrand inspect kuleshov-group/caduceus-ps_seqlen-131k_d_model-256_n_layer-16")]
pub struct Options {
    /// A Hugging Face folder, a weight file beside its config.json, or organisation/name in the local Hugging Face cache
    /// [default: the built-in model]
    pub model: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Loads the checkpoint and prints its facts.
///
/// # Errors
///
/// - There is no checkpoint, or it is not what its config says.
/// - Stdout cannot be written to.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let checkpoint: Checkpoint = load_model(options.model.as_deref())?;
    let summary = checkpoint.summary();
    let text = match options.json {
        true => serde_json::to_string_pretty(&summary)? + "\n",
        false => table(&summary),
    };
    write_stdout(text.as_bytes())
}

fn table(summary: &Summary) -> String {
    let number = |number: Option<usize>| number.map(|number| number.to_string());
    let rows = [
        ("name", Some(summary.name.clone())),
        ("family", Some(summary.family.clone())),
        ("parameters", Some(grouped(summary.parameters))),
        ("layers", Some(summary.n_layer.to_string())),
        ("d_model", Some(summary.d_model.to_string())),
        ("embedding width", Some(summary.hidden_width.to_string())),
        ("d_inner", Some(summary.d_inner.to_string())),
        ("d_state", Some(summary.d_state.to_string())),
        ("d_conv", Some(summary.d_conv.to_string())),
        ("dt_rank", number(summary.dt_rank)),
        ("heads", number(summary.n_heads)),
        ("head width", number(summary.head_dim)),
        ("groups", number(summary.n_groups)),
        ("norm", Some(summary.norm.clone())),
        ("directions", Some(summary.directions.clone())),
        ("rcps", summary.rcps.clone()),
        ("head", Some(summary.head.clone())),
        ("vocabulary", Some(format!("{}, {} tokens", summary.vocabulary, summary.vocab_size))),
        (
            "trained at",
            Some(summary.trained_context.map_or("unknown".into(), |bases| format!("{} bases", grouped(bases)))),
        ),
        ("stored as", Some(summary.stored_types.join(", "))),
        ("sha256", Some(summary.digest.clone())),
    ];
    rows.iter().fold(String::new(), |mut table, (name, value)| {
        if let Some(value) = value {
            let _ = writeln!(table, "{name:<17}{value}");
        }
        table
    })
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 131_072, 7_654_321].map(grouped), ["0", "999", "1,000", "131,072", "7,654,321"]);
    }

    #[test]
    fn the_built_in_model_is_described() {
        let table = table(&Checkpoint::builtin().unwrap().summary());
        for line in ["family           Caduceus-Ph\n", "layers           4\n", "trained at       1,024 bases\n"] {
            assert!(table.contains(line), "{table}");
        }
    }
}
