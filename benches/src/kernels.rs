//! Each kernel and its gradients at the sizes of Caduceus-Ph d 256, against their floors.
//!
//! Floors: multiply-adds at the machine's measured rate for matrix products and Mamba-2's scan; exponentials at theirs for
//! Mamba's scan; for the rest the bytes that have to move, at the rate that a copy of the same size reaches in the same run.

mod moving;
mod products;
mod scan;
mod ssd;

use longstrand_kernels::Cpu;

use crate::report::Report;

const LEN: usize = 4096;
const WIDTH: usize = 256;
const INNER: usize = 512;
const STATES: usize = 16;
const ROUNDS: usize = 9;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let cpu = Cpu::new(report.level);
    products::run(report, cpu);
    scan::run(report, cpu);
    ssd::run(report, cpu);
    moving::run(report, cpu);
    Ok(())
}

/// Numbers that are not special: neither zero, nor equal, nor large.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1999) as f32 / 1000.0 - 1.0).collect()
}
