//! `longstrand inspect`: what a checkpoint is.

use std::fmt::Write;
use std::path::PathBuf;

use longstrand_model::checkpoint::Checkpoint;
use serde_json::Value;

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
    let facts = serde_json::to_value(checkpoint.summary())?;
    let text = match options.json {
        true => format!("{facts:#}\n"),
        false => table(&facts),
    };
    write_stdout(text.as_bytes())
}

/// The facts that the model has, a line each, under the names that they have in JSON.
fn table(facts: &Value) -> String {
    let facts = facts.as_object().into_iter().flatten();
    facts.filter(|(_, fact)| !fact.is_null()).fold(String::new(), |mut table, (name, fact)| {
        let _ = writeln!(table, "{name:<17}{}", shown(fact));
        table
    })
}

fn shown(fact: &Value) -> String {
    match fact {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Value::Array(facts) => facts.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
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
        let facts = serde_json::to_value(Checkpoint::builtin().unwrap().summary()).unwrap();
        let table = table(&facts);
        for line in ["family           Caduceus-Ph\n", "n_layer          4\n", "trained_context  1,024\n"] {
            assert!(table.contains(line), "{table}");
        }
        let named = facts.as_object().unwrap().iter().filter(|(_, fact)| !fact.is_null());
        assert!(named.map(|(name, _)| name.as_str()).eq(table.lines().map(|line| line.split_once(' ').unwrap().0)));
    }
}
