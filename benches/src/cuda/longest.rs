//! How long one sequence may be whose gradients fit on a GPU, of models of 16 layers in bf16.

use std::time::Instant;

use anyhow::Context;
use longstrand_kernels::cuda::{CudaError, Device};
use longstrand_model::cuda::{Arithmetic, CudaTrainee};
use longstrand_model::train::{Example, Gradients};
use longstrand_model::{Meter, Unwatched};
use longstrand_tests::synthetic::{self, Family, Shape};

use super::device_row;
use crate::report::Report;

/// Families, and lengths in units of 2^20 bases until one does not fit.
const CASES: &[(Family, &[usize])] = &[(Family::CaduceusPh, &[4, 8, 12]), (Family::CaduceusPs, &[3, 4, 6])];

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let device = Device::open(0).context("the benchmark of long gradients on a GPU needs a GPU")?;
    device_row(report, &device, &[("GB", device.total_bytes() as f64 / 1e9)])?;
    for &(family, lengths) in CASES {
        for &length in lengths {
            if !step(report, &device, family, length << 20)? {
                break;
            }
        }
    }
    Ok(())
}

/// One step; whether it fitted.
fn step(report: &mut Report, device: &Device, family: Family, len: usize) -> anyhow::Result<bool> {
    let checkpoint = Shape { family, d_model: 256, n_layer: 16 }.checkpoint(1);
    let (config, weights) = (&checkpoint.config, &checkpoint.weights);
    let mut trainee = CudaTrainee::new(device.clone(), Arithmetic::Bf16, config, weights)?;
    let ids = synthetic::ids(len, 1);
    let example = Example { ids: &ids, labels: &ids, weights: None };
    let mut gradients = Gradients::new(config, weights);
    device.reset_peak();
    let start = Instant::now();
    let outcome = trainee.gradients(&[example], len as f64, &mut Meter::new(&Unwatched, 0, 0));
    let what = format!("gradients Bf16 {family:?} d 256, 16 layers, B 1 L {len}");
    let fits = match outcome {
        Ok(flow) => {
            anyhow::ensure!(flow.is_continue());
            trainee.take(&mut gradients)?;
            let seconds = start.elapsed().as_secs_f64();
            let peak = device.memory().peak as f64 / 1e9;
            report.row(&what, &[("M bases/s", len as f64 / seconds / 1e6), ("s", seconds), ("peak GB", peak)]);
            true
        }
        Err(CudaError::OutOfMemory { asked, in_use, .. }) => {
            report.row(&what, &[("does not fit: GB in use", in_use as f64 / 1e9), ("GB asked", asked as f64 / 1e9)]);
            false
        }
        Err(error) => return Err(error.into()),
    };
    drop(trainee);
    device.trim();
    Ok(fits)
}
