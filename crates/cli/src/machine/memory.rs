//! How much memory there is for this process.

use std::fs;

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Memory {
    /// Memory of the machine, or the limit of the control group (container, batch job) if that is less.
    pub total: u64,
    /// What can still be used without swapping, within that limit.
    pub available: u64,
}

impl Memory {
    /// Asks the system; `None` where it has no `/proc/meminfo`.
    pub fn detect() -> Option<Self> {
        let machine = parse_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
        Some(groups().into_iter().filter_map(|group| group.read()).fold(machine, Self::within))
    }

    /// This memory as seen from inside a control group with a limit and bytes used, page cache left out.
    fn within(self, (limit, used): (u64, u64)) -> Self {
        Self { total: self.total.min(limit), available: self.available.min(limit.saturating_sub(used)) }
    }
}

/// Bytes for a reader.
pub fn format_memory(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 20) {
        mebibytes @ 1024.0.. => format!("{:.1} GiB", mebibytes / 1024.0),
        mebibytes => format!("{mebibytes:.1} MiB"),
    }
}

fn parse_meminfo(text: &str) -> Option<Memory> {
    let kibibytes = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some(Memory { total: kibibytes("MemTotal")? << 10, available: kibibytes("MemAvailable")? << 10 })
}

/// A control group's files.
struct Group {
    folder: String,
    limit: &'static str,
    usage: &'static str,
}

impl Group {
    /// The limit and the bytes used, if there is a limit.
    fn read(&self) -> Option<(u64, u64)> {
        let read = |name: &str| fs::read_to_string(format!("{}/{name}", self.folder)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let cache = read("memory.stat").map_or(0, |text| inactive_file(&text));
        Some((number(self.limit)?, number(self.usage)?.saturating_sub(cache)))
    }
}

/// The control groups that this process is in, version 2 from the innermost outwards, then version 1.
fn groups() -> Vec<Group> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let inner = membership.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let mut groups: Vec<Group> = std::path::Path::new(inner)
        .ancestors()
        .map(|path| Group {
            folder: format!("/sys/fs/cgroup{}", path.display()),
            limit: "memory.max",
            usage: "memory.current",
        })
        .collect();
    let inner = membership.lines().find_map(|line| line.split_once(":memory:")).map_or("/", |(_, path)| path);
    // A container often sees its own group as the root of the mount, not under the path that the kernel names.
    groups.extend([inner, ""].map(|path| Group {
        folder: format!("/sys/fs/cgroup/memory{path}"),
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
    }));
    groups
}

/// Bytes of page cache that the kernel gives up first.
fn inactive_file(stat: &str) -> u64 {
    let of = |key: &str| stat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    of("total_inactive_file ").or_else(|| of("inactive_file ")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_in_kibibytes() {
        let text = "MemTotal:       16309760 kB\nMemFree:          283408 kB\nMemAvailable:    9042116 kB\n";
        let expected = Memory { total: 16_309_760 * 1024, available: 9_042_116 * 1024 };
        assert_eq!(parse_meminfo(text), Some(expected));
        assert_eq!(parse_meminfo("MemTotal: 5 kB\n"), None);
    }

    #[test]
    fn a_limit_narrows_and_never_widens() {
        let machine = Memory { total: 100, available: 60 };
        assert_eq!(machine.within((50, 20)), Memory { total: 50, available: 30 });
        assert_eq!(machine.within((50, 70)), Memory { total: 50, available: 0 });
        assert_eq!(machine.within((u64::MAX, 20)), machine);
    }

    #[test]
    fn inactive_page_cache_is_found_in_both_versions() {
        assert_eq!(inactive_file("anon 5\ninactive_file 7\nactive_file 9\n"), 7);
        assert_eq!(inactive_file("inactive_file 7\ntotal_inactive_file 8\n"), 8);
    }
}
