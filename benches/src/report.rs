//! What was measured, on what.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, ensure};
use longstrand_kernels::simd::{Level, probe};
use serde_json::{Map, Value, json};

use crate::machine::{self, Work};

/// The share of the processors' time that others may have had on a machine that counts as quiet.
const QUIET: f64 = 0.02;

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
    load_at_start: Option<f64>,
    work_before: Option<Work>,
    rows: Vec<Value>,
    bounds: Vec<Value>,
    missed: Vec<String>,
}

impl Report {
    /// Begins a benchmark. `load_at_start` is the load average before the first one of this process.
    pub(crate) fn new(name: &'static str, load_at_start: Option<f64>) -> anyhow::Result<Self> {
        let level = Level::detect()?;
        let work_before = Work::so_far();
        let rates =
            Rates { flops: all_threads(|| probe::fma_flops(level)), exps: all_threads(|| probe::exp_rate(level)) };
        println!("\n## {name}\n");
        println!(
            "{} · {} threads · {level} · {:.0} GFLOP/s and {:.1} G exponentials/s with all threads\n",
            machine::processor(),
            rayon::current_num_threads(),
            rates.flops / 1e9,
            rates.exps / 1e9
        );
        Ok(Self {
            name,
            level,
            rates,
            load_at_start,
            work_before,
            rows: Vec::new(),
            bounds: Vec::new(),
            missed: Vec::new(),
        })
    }

    /// Prints a row and keeps it.
    pub(crate) fn row(&mut self, what: &str, figures: &[(&str, f64)]) {
        self.marked_row(what, figures, &[]);
    }

    /// Prints a row and keeps it, with what else is to be known of it.
    pub(crate) fn marked_row(&mut self, what: &str, figures: &[(&str, f64)], marks: &[(&str, Value)]) {
        let figure_texts = figures.iter().map(|(name, value)| format!("{} {name}", readable(*value)));
        let mark_texts = marks.iter().map(|(name, value)| format!("{name} {value}"));
        println!("{what:<44} {}", figure_texts.chain(mark_texts).collect::<Vec<_>>().join(" · "));
        let figures: Map<String, Value> =
            figures.iter().map(|(name, value)| ((*name).to_string(), json!(value))).collect();
        let mut row = json!({ "what": what, "figures": figures });
        for (name, value) in marks {
            row[*name] = value.clone();
        }
        self.rows.push(row);
    }

    /// Holds a figure to the least that it may be; a miss fails the benchmark when its record is written.
    pub(crate) fn at_least(&mut self, what: &str, figure: f64, bound: f64) {
        self.hold(what, figure, "at least", bound, figure >= bound);
    }

    /// Holds a figure to the most that it may be; a miss fails the benchmark when its record is written.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, bound: f64) {
        self.hold(what, figure, "at most", bound, figure <= bound);
    }

    fn hold(&mut self, what: &str, figure: f64, relation: &str, bound: f64, held: bool) {
        self.bounds.push(json!({ "what": what, "figure": figure, relation: bound, "held": held }));
        if !held {
            self.missed.push(format!("{what}: expected {relation} {}, found {}", readable(bound), readable(figure)));
        }
    }

    /// Writes the record, if a folder is given.
    ///
    /// # Errors
    ///
    /// - the record cannot be written;
    /// - a bound was missed.
    pub(crate) fn finish(self, folder: Option<&Path>) -> anyhow::Result<()> {
        let others = self.work_before.as_ref().and_then(Work::share_of_others);
        if let Some(others) = others.filter(|&others| others > QUIET) {
            println!("\nA busy machine: other processes had {:.0} % of its processors.", 100.0 * others);
        }
        if let Some(folder) = folder {
            self.write(folder, others)?;
        }
        ensure!(self.missed.is_empty(), "{}: {}", self.name, self.missed.join("; "));
        Ok(())
    }

    fn write(&self, folder: &Path, others: Option<f64>) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let record = json!({
            "benchmark": self.name,
            "version": env!("CARGO_PKG_VERSION"),
            "cpu": machine::processor(),
            "processors": machine::processors(),
            "threads": rayon::current_num_threads(),
            "simd": self.level.to_string(),
            "load_average_at_start": self.load_at_start,
            "share_of_other_processes": others,
            "quiet": others.map(|others| others <= QUIET),
            "fma_flops_all_threads": self.rates.flops,
            "exponentials_per_second_all_threads": self.rates.exps,
            "rows": self.rows,
            "bounds": self.bounds,
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
        x if x >= 1e-3 || x == 0.0 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
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

/// The middle one of an odd number of figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
