//! A plan for a reader.

use longstrand_pretrain::finetune::{Method, TuningPlan};

use crate::machine::memory::format_memory;

/// What would be done on a device, in a table.
pub(super) fn table(plan: &TuningPlan, device: &str) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.extend(plan.tables.iter().map(|(path, count)| ("table", format!("{}: {count} sequences", path.display()))));
    let tuned = match plan.method {
        Method::HeadOnly => "the head",
        Method::Full => "the head, then all parameters",
    };
    let memory = &plan.memory;
    rows.extend([
        ("longest", format!("{} bases", plan.longest)),
        ("outputs", plan.outputs.to_string()),
        ("parameters", plan.parameters.to_string()),
        ("tuned", tuned.into()),
        ("device", device.into()),
        ("threads", plan.threads.to_string()),
        ("memory", format!("about {}", format_memory(plan.total()))),
        ("", format!("{} sequences and their hidden states", format_memory(plan.sequences))),
        ("", format!("{} weights and optimizer", format_memory(memory.state))),
        ("", format!("{} sequences under way", format_memory(memory.windows))),
        ("", format!("{} gradients", format_memory(memory.gradients))),
        ("", format!("{} weights made ready", format_memory(memory.passing))),
        ("available", plan.available_memory.map_or("not known".into(), format_memory)),
    ]);
    rows.iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
}
