//! What a GPU does.

use longstrand_kernels::cuda::Device;
use serde_json::json;

use crate::report::Report;

pub(crate) mod generate;
pub(crate) mod longest;
pub(crate) mod models;
pub(crate) mod scan;

/// Says which device it is; `values` are its own.
fn device_row(report: &mut Report, device: &Device, values: &[(&str, f64)]) -> anyhow::Result<()> {
    let marks = [
        ("device", json!(device.name())),
        ("driver", json!(device.driver_version().to_string())),
        ("nvrtc", json!(device.nvrtc()?.version().to_string())),
    ];
    report.marked_row("device", values, &marks);
    Ok(())
}
