//! What was measured, on what.

use std::{fs, path::Path, time::Instant};

use anyhow::Context;
use longstrand_kernels::simd::{Level, probe};
use serde_json::{Map, Value, json};

/// The machine's ceilings with all threads of the pool busy, as measured when a report begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Multiply-adds a second, two operations each.
    pub(crate) flops: f64,
    /// Exponentials a second.
    pub(crate) exps: f64,
}

/// A benchmark's rows and the machine they were measured on.
pub(crate) struct Report {
    name: &'static str,
    pub(crate) level: Level,
    pub(crate) rates: Rates,
    rows: Vec<Value>,
}

impl Report {
    pub(crate) fn new(name: &'static str) -> anyhow::Result<Self> {
        let level = Level::detect()?;
        let rates =
            Rates { flops: all_threads(|| probe::fma_flops(level)), exps: all_threads(|| probe::exp_rate(level)) };
        println!("\n## {name}\n");
        println!(
            "{} · {} threads · {level} · {:.0} GFLOP/s and {:.1} G exponentials/s with all threads\n",
            cpu(),
            rayon::current_num_threads(),
            rates.flops / 1e9,
            rates.exps / 1e9
        );
        Ok(Self { name, level, rates, rows: Vec::new() })
    }

    /// Prints a row and keeps it.
    pub(crate) fn row(&mut self, what: &str, figures: &[(&str, f64)]) {
        let text: Vec<_> = figures.iter().map(|(name, value)| format!("{} {name}", readable(*value))).collect();
        println!("{what:<44} {}", text.join(" · "));
        let figures: Map<String, Value> =
            figures.iter().map(|(name, value)| ((*name).to_string(), json!(value))).collect();
        self.rows.push(json!({ "what": what, "figures": figures }));
    }

    /// Writes the record, if a folder is given.
    pub(crate) fn finish(self, folder: Option<&Path>) -> anyhow::Result<()> {
        let Some(folder) = folder else { return Ok(()) };
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let record = json!({
            "benchmark": self.name,
            "version": env!("CARGO_PKG_VERSION"),
            "cpu": cpu(),
            "threads": rayon::current_num_threads(),
            "simd": self.level.to_string(),
            "fma_flops_all_threads": self.rates.flops,
            "exponentials_per_second_all_threads": self.rates.exps,
            "rows": self.rows,
        });
        let path = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(&record)? + "\n";
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

/// The sum of what every thread reaches with the others busy too.
fn all_threads(rate: impl Fn() -> f64 + Sync) -> f64 {
    rayon::broadcast(|_| rate()).into_iter().sum()
}

fn readable(value: f64) -> String {
    match value.abs() {
        x if x >= 1e4 => {
            let digits = format!("{value:.0}");
            let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
            groups.join(",")
        }
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        let line = info.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let number = |key: &str| field(key).unwrap_or_else(|| "?".into());
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    format!("{name} (family {} model {})", number("cpu family"), number("model\t"))
}

/// Seconds of the fastest of `rounds` runs after one that is not counted.
pub(crate) fn fastest(rounds: usize, mut work: impl FnMut()) -> f64 {
    work();
    (0..rounds).map(|_| seconds(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Seconds of one run.
pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
