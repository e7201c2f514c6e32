//! `longstrand version`: what this program is, for provenance.

use std::fmt::Write;

use longstrand_kernels::simd::Level;
use longstrand_model::checkpoint::Checkpoint;
use serde_json::json;

use crate::failure::write_stdout;

/// The commit that the program was built from. Whoever packages it says so by a variable of the build's environment: a
/// build asks no git, so that the same source gives the same program with and without it.
const COMMIT: Option<&str> = option_env!("LONGSTRAND_COMMIT");

/// Options of `longstrand version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand version
  longstrand version --json      for a record of what computed a result")]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints what the program is.
///
/// # Errors
///
/// - `LONGSTRAND_SIMD` names vector instructions that are unknown or not there.
/// - Stdout cannot be written to.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let version = Version::gather()?;
    let text = match options.json {
        true => version.json(),
        false => version.table(),
    };
    write_stdout(text.as_bytes())
}

/// What decides what the program computes, the command line and the GPU aside.
#[derive(Debug)]
struct Version {
    commit: Option<&'static str>,
    features: Vec<&'static str>,
    /// Vector instructions that kernels use.
    simd: Level,
    /// Vector instructions that there are, from the plainest to the widest.
    simd_available: Vec<Level>,
    /// Name and digest of the built-in model.
    model: (String, String),
}

impl Version {
    fn gather() -> anyhow::Result<Self> {
        let model = Checkpoint::builtin()?;
        Ok(Self {
            commit: COMMIT.filter(|commit| !commit.is_empty()),
            features: features(),
            simd: Level::detect()?,
            simd_available: Level::available(),
            model: (model.name, model.digest),
        })
    }

    fn levels(&self) -> Vec<String> {
        self.simd_available.iter().map(Level::to_string).collect()
    }

    fn json(&self) -> String {
        let value = json!({
            "name": "longstrand",
            "version": env!("CARGO_PKG_VERSION"),
            "commit": self.commit,
            "target": env!("LONGSTRAND_TARGET"),
            "features": self.features,
            "simd": { "used": self.simd.to_string(), "available": self.levels() },
            "model": { "name": self.model.0, "digest": self.model.1 },
        });
        format!("{value:#}\n")
    }

    fn table(&self) -> String {
        let rows = [
            ("version", env!("CARGO_PKG_VERSION").to_string()),
            ("commit", self.commit.unwrap_or("not told by the build").to_string()),
            ("target", env!("LONGSTRAND_TARGET").to_string()),
            ("features", if self.features.is_empty() { "none".into() } else { self.features.join(", ") }),
            ("simd", format!("{} (of {})", self.simd, self.levels().join(", "))),
            ("model", format!("{} ({})", self.model.0, self.model.1)),
        ];
        rows.iter().fold(String::new(), |mut table, (name, value)| {
            let _ = writeln!(table, "{name:<10}{value}");
            table
        })
    }
}

/// The features that this crate was built with.
fn features() -> Vec<&'static str> {
    let all = [("cram", cfg!(feature = "cram")), ("cuda", cfg!(feature = "cuda"))];
    all.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version {
            commit: Some("0123abc"),
            features: vec!["cram"],
            simd: Level::PORTABLE,
            simd_available: Level::available(),
            model: ("small".into(), "89ef".into()),
        }
    }

    #[test]
    fn the_json_has_every_fact() {
        let value: serde_json::Value = serde_json::from_str(&version().json()).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "version", "commit", "target", "features", "simd", "model"]);
        assert_eq!(value["commit"], "0123abc");
        assert_eq!(value["features"], json!(["cram"]));
        assert_eq!(value["simd"]["used"], "portable");
        assert_eq!(value["model"], json!({ "name": "small", "digest": "89ef" }));
        let untold = Version { commit: None, ..version() };
        assert!(serde_json::from_str::<serde_json::Value>(&untold.json()).unwrap()["commit"].is_null());
    }

    #[test]
    fn the_table_has_one_line_a_fact() {
        let table = version().table();
        assert_eq!(table.lines().count(), 6, "{table}");
        for line in ["commit    0123abc\n", "features  cram\n", "model     small (89ef)\n"] {
            assert!(table.contains(line), "{table}");
        }
        let plain = Version { commit: None, features: Vec::new(), ..version() }.table();
        assert!(plain.contains("commit    not told by the build\n") && plain.contains("features  none\n"), "{plain}");
    }
}
