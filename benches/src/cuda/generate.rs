//! Bases drawn from a causal Mamba on a GPU in bf16, after prompts of several lengths, and the bases brought to the host.

use std::{ops::ControlFlow, time::Instant};

use anyhow::Context;
use longstrand_kernels::cuda::Device;
use longstrand_kernels::step::Choice;
use longstrand_model::Request;
use longstrand_model::cuda::{Arithmetic, CudaModel};
use longstrand_tests::synthetic::{self, Family, Shape};

use super::device_row;
use crate::report::{Report, median};

const BATCHES: &[usize] = &[1, 8, 32, 128, 512, 1_024];
const PROMPTS: &[usize] = &[2_048, 16_384, 131_072];

/// Bases of a sample that are drawn at a time.
const STEPS: usize = 512;

const ROUNDS: usize = 3;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let device = Device::open(0).context("the benchmark of generation on a GPU needs a GPU")?;
    device_row(report, &device, &[("GB", device.total_bytes() as f64 / 1e9)])?;
    for (family, batches) in [(Family::Mamba, BATCHES), (Family::Mamba2, &[1, 128])] {
        let checkpoint = Shape { family, d_model: 256, n_layer: 16 }.checkpoint(1);
        let model = CudaModel::new(device.clone(), Arithmetic::Bf16, &checkpoint)?;
        let bases = checkpoint.vocabulary.bases();
        for &batch in batches {
            for &prompt in if batch <= 128 { PROMPTS } else { &PROMPTS[..1] } {
                let seconds = generate(&model, bases, batch, prompt)?;
                report.row(
                    &format!("generate {family:?} d 256, 16 layers, B {batch} prompt {prompt} +{STEPS}"),
                    &[
                        ("tokens/s", (batch * STEPS) as f64 / seconds),
                        ("us a step", seconds / STEPS as f64 * 1e6),
                        ("peak GB", device.memory().peak as f64 / 1e9),
                    ],
                );
                device.trim();
            }
        }
    }
    Ok(())
}

/// The time of a block of bases of so many samples of a prompt.
fn generate(model: &CudaModel, bases: [u8; 4], batch: usize, prompt: usize) -> anyhow::Result<f64> {
    let mut state = model.initial_state().context("a causal model")?;
    let (ids, silent) = (synthetic::ids(prompt, 1), Request { taps: &[], logits: false });
    let flow = model.feed(&mut [&mut state], &[&ids], &silent, &mut |_, _| ControlFlow::Continue(()))?;
    anyhow::ensure!(flow.is_continue());
    model.device().reset_peak();
    let mut generator = model.generator(Choice { temperature: 1.0, top_k: 4 }, bases, batch, STEPS)?;
    generator.go_on_from(0..batch, &state, [0.0; 4])?;
    let units: Vec<f64> = (0..batch * STEPS).map(|i| (i * 7_919 % 104_729) as f64 / 104_729.0).collect();
    let mut drawn = vec![0; units.len()];
    let mut block = || -> anyhow::Result<f64> {
        let start = Instant::now();
        generator.begin(&units)?;
        generator.finish(&mut drawn)?;
        Ok(start.elapsed().as_secs_f64())
    };
    block()?;
    let seconds = (0..ROUNDS).map(|_| block()).collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(drawn.iter().all(|&base| base < 4), "logits that are not finite");
    Ok(median(seconds))
}
