//! What a benchmark runs on, and who else is there.

use std::fs;
use std::thread::available_parallelism;

use anyhow::Context;

/// The processor's name, family and model.
pub(crate) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        let line = info.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let number = |key: &str| field(key).unwrap_or_else(|| "?".into());
    let name = field("model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    format!("{name} (family {} model {})", number("cpu family"), number("model\t"))
}

/// Hardware threads.
pub(crate) fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// Bytes of this process that `/proc/self/status` gives: `VmRSS` what it holds, `VmHWM` the most it has held.
pub(crate) fn resident(field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let values = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let values = values.with_context(|| format!("no {field} in /proc/self/status"))?;
    let kib: f64 = values.split_whitespace().next().context("no figure")?.parse()?;
    Ok(1024.0 * kib)
}

/// How many threads have been running or waiting to, on average over the last minute.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Time that the processors have worked since the machine was started, in the kernel's ticks.
pub(crate) struct Work {
    /// For anyone, other machines on the same processors included.
    everyone: u64,
    /// For this process and the children that it has waited for.
    own: u64,
    /// For anyone, and not at all.
    all: u64,
}

impl Work {
    /// Up to now, where the system tells.
    pub(crate) fn so_far() -> Option<Self> {
        let system = fs::read_to_string("/proc/stat").ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal
        let ticks: Vec<u64> =
            system.lines().next()?.split_whitespace().skip(1).take(8).map_while(|tick| tick.parse().ok()).collect();
        let idle = ticks.get(3)? + ticks.get(4)?;
        let all = ticks.iter().sum();
        let process = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program may hold spaces; user and system time, own and of children, are fields 14 to 17.
        let (_, fields) = process.rsplit_once(')')?;
        let own = fields.split_whitespace().skip(11).take(4).map_while(|tick| tick.parse::<u64>().ok()).sum();
        Some(Self { everyone: all - idle, own, all })
    }

    /// The share of the processors' time since then that went to others.
    pub(crate) fn share_of_others(&self) -> Option<f64> {
        let now = Self::so_far()?;
        let others = (now.everyone - self.everyone).saturating_sub(now.own - self.own);
        Some(others as f64 / (now.all - self.all).max(1) as f64)
    }
}
