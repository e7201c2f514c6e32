//! How long one sequence may be whose gradients fit on a GPU, of models of 16 layers in bf16.

use std::time::Instant;

use anyhow::Context;
use longstrand_cli::machine::memory::Memory;
use longstrand_kernels::cuda::{CudaError, Device};
use longstrand_model::cuda::{Arithmetic, CudaTrainee, Room};
use longstrand_model::train::{Example, Gradients};
use longstrand_model::{Meter, Unwatched};
use longstrand_tests::synthetic::{self, Family, Shape};

use super::device_row;
use crate::report::Report;

/// Families, and lengths in units of 2^20 bases until one does not fit: on the device alone, and with the host's memory.
const CASES: &[(Family, &[usize], &[usize])] =
    &[(Family::CaduceusPh, &[4, 8, 12], &[16, 20]), (Family::CaduceusPs, &[3, 4, 6], &[10])];

/// The part of the host's available memory that inputs of layers are put away in.
const PART_OF_HOST: f64 = 0.8;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let device = Device::open(0).context("the benchmark of long gradients on a GPU needs a GPU")?;
    let host = (Memory::detect().map_or(0, |memory| memory.available) as f64 * PART_OF_HOST) as u64;
    let values = [("GB", device.total_bytes() as f64 / 1e9), ("GB of the host", host as f64 / 1e9)];
    device_row(report, &device, &values)?;
    for &(family, alone, with_host) in CASES {
        for (lengths, room) in [(alone, Room::default()), (with_host, Room { device: None, host })] {
            for &length in lengths {
                if !step(report, &device, family, length << 20, room)? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// One step; whether it fitted.
fn step(report: &mut Report, device: &Device, family: Family, len: usize, room: Room) -> anyhow::Result<bool> {
    let checkpoint = Shape { family, d_model: 256, n_layer: 16 }.checkpoint(1);
    let (config, weights) = (&checkpoint.config, &checkpoint.weights);
    let mut trainee = CudaTrainee::new(device.clone(), Arithmetic::Bf16, config, weights)?;
    trainee.set_room(room);
    let ids = synthetic::ids(len, 1);
    let example = Example { ids: &ids, labels: &ids, weights: None };
    let mut gradients = Gradients::new(config, weights);
    device.reset_peak();
    let mut step = || -> Result<f64, CudaError> {
        let start = Instant::now();
        let _ = trainee.gradients(&[example], len as f64, &mut Meter::new(&Unwatched, 0, 0))?;
        trainee.take(&mut gradients)?;
        Ok(start.elapsed().as_secs_f64())
    };
    // The host's memory is got ready in a first step.
    let outcome = if room.host > 0 { step().and_then(|_| step()) } else { step() };
    let host = if room.host > 0 { ", with the host's memory" } else { "" };
    let what = format!("gradients Bf16 {family:?} d 256, 16 layers, B 1 L {len}{host}");
    let fits = match outcome {
        Ok(seconds) => {
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
