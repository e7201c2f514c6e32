//! `longstrand doctor`: what this machine offers.

use std::fmt::Write;
use std::thread;

use longstrand_kernels::simd::{Level, SIMD_VARIABLE};
use serde_json::json;

use crate::args::GeneralOptions;
use crate::failure::write_stdout;
use crate::machine::cuda::{Cuda, Gpu};
use crate::machine::memory::Memory;

/// Options of `longstrand doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand doctor
  longstrand doctor --json
  LONGSTRAND_SIMD=avx2 longstrand doctor      with another choice of vector instructions")]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Looks around and prints what there is.
///
/// # Errors
///
/// - `LONGSTRAND_SIMD` names vector instructions that are unknown or not there.
/// - Stdout cannot be written to.
pub fn run(options: &Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let report = Report::gather(general)?;
    let text = match options.json {
        true => report.json(),
        false => report.table(),
    };
    write_stdout(text.as_bytes())
}

/// What this machine offers.
#[derive(Debug)]
struct Report {
    /// Vector instructions that kernels use.
    simd: Level,
    /// Vector instructions that there are, from the plainest to the widest.
    simd_available: Vec<Level>,
    /// Threads that commands compute with.
    threads: usize,
    /// Threads that this process may use, if the system says so.
    threads_available: Option<usize>,
    memory: Option<Memory>,
    cuda: Cuda,
}

impl Report {
    fn gather(general: &GeneralOptions) -> anyhow::Result<Self> {
        Ok(Self {
            simd: Level::detect()?,
            simd_available: Level::available(),
            threads: general.threads().get(),
            threads_available: thread::available_parallelism().ok().map(Into::into),
            memory: Memory::detect(),
            cuda: Cuda::detect(),
        })
    }

    fn levels(&self) -> Vec<String> {
        self.simd_available.iter().map(Level::to_string).collect()
    }

    fn json(&self) -> String {
        let value = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "simd": { "used": self.simd.to_string(), "available": self.levels() },
            "threads": { "used": self.threads, "available": self.threads_available },
            "memory": self.memory.map(|memory| json!({
                "total_bytes": memory.total,
                "available_bytes": memory.available,
            })),
            "cuda": {
                "driver": self.cuda.driver,
                "nvrtc": self.cuda.nvrtc,
                "devices": self.cuda.devices.iter().map(|gpu| json!({
                    "name": gpu.name,
                    "architecture": gpu.architecture,
                    "memory_bytes": gpu.memory,
                })).collect::<Vec<_>>(),
                "problems": self.cuda.problems,
            },
            "cache_folder": self.cuda.cache,
        });
        format!("{value:#}\n")
    }

    fn table(&self) -> String {
        let unknown = || "unknown".to_string();
        let threads = self.threads_available.map_or_else(unknown, |threads| threads.to_string());
        let memory = self.memory.map_or_else(unknown, |memory| {
            format!("{:.1} GiB, {:.1} GiB available", gib(memory.total), gib(memory.available))
        });
        let rows = [
            ("version", env!("CARGO_PKG_VERSION").to_string()),
            ("simd", format!("{} (of {}; {SIMD_VARIABLE} overrides)", self.simd, self.levels().join(", "))),
            ("threads", format!("{} (of {threads}; --threads overrides)", self.threads)),
            ("memory", memory),
            ("cuda", self.cuda_row()),
            ("cache folder", self.cache_row()),
        ];
        rows.iter().fold(String::new(), |mut table, (name, value)| {
            let _ = writeln!(table, "{name:<14}{value}");
            table
        })
    }

    fn cache_row(&self) -> String {
        let folder = self.cuda.cache.as_ref().map_or("unknown".to_string(), |path| path.display().to_string());
        format!("{folder} (for compiled GPU kernels; LONGSTRAND_CACHE overrides)")
    }

    fn cuda_row(&self) -> String {
        let cuda = &self.cuda;
        let devices = cuda.devices.iter().map(|gpu| {
            let Gpu { name, architecture, memory } = gpu;
            format!("{name} ({architecture}, {:.1} GiB)", gib(*memory))
        });
        let driver = cuda.driver.iter().map(|version| format!("driver for CUDA {version}"));
        let nvrtc = cuda.nvrtc.iter().map(|version| format!("NVRTC {version}"));
        let facts: Vec<String> = devices.chain(driver).chain(nvrtc).chain(cuda.problems.iter().cloned()).collect();
        format!("{} (--device chooses)", facts.join("; "))
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            simd: Level::PORTABLE,
            simd_available: vec![Level::PORTABLE],
            threads: 2,
            threads_available: Some(4),
            memory: Some(Memory { total: 16 << 30, available: 9 << 30 }),
            cuda: Cuda {
                devices: vec![Gpu { name: "NVIDIA L4".into(), architecture: "sm_89".into(), memory: 23 << 30 }],
                driver: Some("13.0".into()),
                problems: vec!["NVRTC was not found".into()],
                ..Cuda::default()
            },
        }
    }

    #[test]
    fn the_table_has_one_line_a_fact() {
        let expected = format!(
            "version       {}
simd          portable (of portable; LONGSTRAND_SIMD overrides)
threads       2 (of 4; --threads overrides)
memory        16.0 GiB, 9.0 GiB available
cuda          NVIDIA L4 (sm_89, 23.0 GiB); driver for CUDA 13.0; NVRTC was not found (--device chooses)
cache folder  unknown (for compiled GPU kernels; LONGSTRAND_CACHE overrides)
",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(report().table(), expected);
    }

    #[test]
    fn the_json_holds_the_same_in_numbers() {
        let value: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(value["simd"]["used"], "portable");
        assert_eq!(value["threads"], json!({ "used": 2, "available": 4 }));
        assert_eq!(value["memory"]["available_bytes"], 9_u64 << 30);
        assert_eq!(value["cuda"]["devices"][0]["name"], "NVIDIA L4");
        assert_eq!(value["cuda"]["devices"][0]["memory_bytes"], 23_u64 << 30);
        assert!(value["cuda"]["nvrtc"].is_null());
        assert!(value["cache_folder"].is_null());
    }
}
