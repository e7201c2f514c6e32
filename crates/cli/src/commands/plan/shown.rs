//! A plan for a reader and for a program.

use serde_json::{Map, Value, json};

use super::{Request, Run};
use crate::machine::memory::{Memory, format_memory};

/// A plan as JSON: one object. `docs/plan.md` says what its fields are.
pub(super) fn json(run: &Run, request: &Request) -> Value {
    let Run { command, device, threads, shard, estimate, .. } = run;
    let parts = |parts: &[(&'static str, u64)]| -> Map<String, Value> {
        parts.iter().map(|&(name, number)| (name.into(), number.into())).collect()
    };
    let memory = estimate.memory.as_ref();
    json!({
        "command": command,
        "version": env!("CARGO_PKG_VERSION"),
        "device": device,
        "threads": threads,
        "shard": shard.map(|shard| shard.to_string()),
        "work": parts(&estimate.work),
        "memory": {
            "bytes": memory.map(longstrand_model::estimate::Memory::total),
            "parts": memory.map(|memory| parts(memory.parts())),
            "available_bytes": Memory::detect().map(|memory| memory.available),
        },
        "disk": { "bytes": estimate.disk, "is": "at most, before compression" },
        "time": {
            "seconds": estimate.time.total(),
            "fixed_seconds": estimate.time.fixed,
            "divided_seconds": estimate.time.divided,
            "reading_seconds": estimate.time.reading,
        },
        "measured": estimate.pace.map(|pace| json!({
            "tokens": pace.tokens,
            "length": pace.length,
            "seconds": pace.seconds,
            "tokens_per_second": pace.rate(),
        })),
        "shards": request.shards.map(|count| json!({ "count": count, "seconds": request.seconds })),
        "request": { "memory_mb": request.memory_mb, "minutes": request.minutes },
    })
}

/// A plan as a table.
pub(super) fn table(run: &Run, request: &Request) -> String {
    let Run { command, device, threads, shard, estimate, .. } = run;
    let unknown = || "not known on this system".to_owned();
    let work: Vec<String> = estimate.work.iter().map(|(name, number)| format!("{} {name}", grouped(*number))).collect();
    let mut rows = vec![("command", format!("longstrand {command}"))];
    rows.extend(shard.filter(|shard| shard.count() > 1).map(|shard| ("shard", shard.to_string())));
    rows.extend([
        ("device", format!("{device}, {threads} threads")),
        ("work", work.join(", ")),
        ("memory", estimate.memory.as_ref().map_or_else(unknown, |memory| format_memory(memory.total()))),
    ]);
    let parts = estimate.memory.iter().flat_map(|memory| memory.parts());
    rows.extend(parts.map(|(name, bytes)| ("", format!("{} {name}", format_memory(*bytes)))));
    rows.extend(Memory::detect().map(|memory| ("available", format_memory(memory.available))));
    if !device.starts_with("CPU") {
        rows.push(("GPU memory", "not foreseen".into()));
    }
    rows.extend([
        ("disk", format!("at most {}, before compression", format_memory(estimate.disk))),
        ("time", duration(estimate.time.total())),
        ("", format!("{} to begin and to end", duration(estimate.time.fixed))),
        ("", format!("{} to compute", duration(estimate.time.divided))),
    ]);
    if estimate.time.reading > 0.0 {
        rows.push(("", format!("{} to read meanwhile", duration(estimate.time.reading))));
    }
    rows.extend(estimate.pace.map(|pace| {
        let (tokens, length, rate) = (grouped(pace.tokens), grouped(pace.length), grouped(pace.rate() as u64));
        ("measured", format!("{rate} tokens/s: {tokens}, in sequences of {length}, in {:.1} s", pace.seconds))
    }));
    rows.extend(request.shards.map(|count| ("shards", format!("{count}, each {}", duration(request.seconds)))));
    let memory = request.memory_mb.map_or_else(unknown, |megabytes| format!("{megabytes} MB"));
    rows.push(("request", format!("memory {memory}, time {} min, with the margins", request.minutes)));
    rows.iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Seconds for a reader.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600.. => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_readers() {
        assert_eq!([0, 999, 1_000, 12_157_105].map(grouped), ["0", "999", "1,000", "12,157,105"]);
        assert_eq!(
            [0.04, 59.4, 59.6, 3_599.0, 86_400.0].map(duration),
            ["0.0 s", "59.4 s", "1 min 0 s", "59 min 59 s", "24 h 0 min"]
        );
    }
}
