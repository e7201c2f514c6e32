//! Whole models on a GPU in bf16: passes with logits brought to the host, and gradients brought to the host.

use std::{ops::ControlFlow, time::Instant};

use anyhow::Context;
use longstrand_kernels::cuda::Device;
use longstrand_model::checkpoint::TensorSpec;
use longstrand_model::cuda::{Arithmetic, CudaModel, CudaTrainee};
use longstrand_model::train::{Example, Gradients};
use longstrand_model::{Meter, Request, Unwatched};
use longstrand_pretrain::optimizer::{AdamW, AdamWOptions, clip_factor, global_norm};
use longstrand_tests::synthetic::{self, Family, Shape};

use super::device_row;
use crate::report::{Report, median};

/// Family, layers, sequences, positions.
const CASES: &[(Family, usize, usize, usize)] = &[
    (Family::CaduceusPh, 4, 128, 1_024),
    (Family::CaduceusPs, 4, 128, 1_024),
    (Family::CaduceusPh, 16, 1, 131_072),
    (Family::CaduceusPs, 16, 1, 131_072),
    (Family::CaduceusPh, 16, 1, 1 << 20),
    (Family::CaduceusPs, 16, 1, 1 << 20),
    (Family::Mamba, 16, 1, 131_072),
];

/// The model that a Transformer is compared with: sequences and positions, 131,072 of which is among the cases.
const MAMBA: &[(usize, usize)] =
    &[(128, 1_024), (32, 4_096), (16, 8_192), (8, 16_384), (4, 32_768), (2, 65_536), (1, 262_144), (1, 1 << 20)];

const ROUNDS: usize = 5;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let device = Device::open(0).context("the benchmark of models on a GPU needs a GPU")?;
    device_row(report, &device, &[("GB", device.total_bytes() as f64 / 1e9)])?;
    for &case in CASES {
        forward(report, &device, Arithmetic::Bf16, case)?;
        train(report, &device, Arithmetic::Bf16, case)?;
    }
    for &(count, len) in MAMBA {
        forward(report, &device, Arithmetic::Bf16, (Family::Mamba, 16, count, len))?;
    }
    forward(report, &device, Arithmetic::Single, CASES[2])?;
    train(report, &device, Arithmetic::Single, CASES[2])?;
    for (family, d_model, n_layer) in
        [(Family::CaduceusPh, 256, 4), (Family::CaduceusPs, 256, 16), (Family::Mamba, 1_024, 24)]
    {
        host(report, &device, Shape { family, d_model, n_layer })?;
    }
    Ok(())
}

/// What the host does in a step, with all threads: gradients are brought and folded, AdamW moves the weights, and they go back.
fn host(report: &mut Report, device: &Device, shape: Shape) -> anyhow::Result<()> {
    let Shape { family, d_model, n_layer } = shape;
    let checkpoint = shape.checkpoint(1);
    let (config, mut weights) = (&checkpoint.config, checkpoint.weights.clone());
    let mut trainee = CudaTrainee::new(device.clone(), Arithmetic::Bf16, config, &weights)?;
    let specs = TensorSpec::all(config);
    let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
    let mut optimizer = AdamW::new(options, specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice())));
    let mut gradients = Gradients::new(config, &weights);
    let ids = synthetic::ids(1_024, 1);
    let mut step = || -> anyhow::Result<f64> {
        let example = Example { ids: &ids, labels: &ids, weights: None };
        let flow = trainee.gradients(&[example], ids.len() as f64, &mut Meter::new(&Unwatched, 0, 0))?;
        anyhow::ensure!(flow.is_continue());
        device.synchronize()?;
        let start = Instant::now();
        gradients.zero();
        trainee.take(&mut gradients)?;
        let sums = gradients.fold(config, &weights);
        let factor = clip_factor(global_norm(&sums.tensors()), 1.0);
        optimizer.update(1e-3, factor, &mut weights.tensors_mut(), &sums.tensors());
        trainee.update(&weights)?;
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    };
    step()?;
    let seconds = median((0..ROUNDS).map(|_| step()).collect::<Result<Vec<_>, _>>()?);
    let parameters = checkpoint.weights.parameter_count() as f64 / 1e6;
    let what = format!("host's part of a step, {family:?} d {d_model}, {n_layer} layers");
    report.row(&what, &[("M parameters", parameters), ("ms", seconds * 1e3)]);
    drop(trainee);
    device.trim();
    Ok(())
}

fn sequences(count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|seed| synthetic::ids(len, seed as u64)).collect()
}

fn forward(
    report: &mut Report,
    device: &Device,
    arithmetic: Arithmetic,
    (family, n_layer, count, len): (Family, usize, usize, usize),
) -> anyhow::Result<()> {
    let model = CudaModel::new(device.clone(), arithmetic, &Shape { family, d_model: 256, n_layer }.checkpoint(1))?;
    let sequences = sequences(count, len);
    let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
    let request = Request { taps: &[], logits: true };
    let pass = || -> anyhow::Result<f64> {
        let start = Instant::now();
        let flow = model.encode(&sequences, &request, &mut |_, _| ControlFlow::Continue(()))?;
        anyhow::ensure!(flow.is_continue());
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64())
    };
    pass()?;
    device.reset_peak();
    let seconds = (0..ROUNDS).map(|_| pass()).collect::<Result<Vec<_>, _>>()?;
    row(report, "forward", arithmetic, (family, n_layer, count, len), median(seconds), device);
    drop(model);
    device.trim();
    Ok(())
}

fn train(
    report: &mut Report,
    device: &Device,
    arithmetic: Arithmetic,
    (family, n_layer, count, len): (Family, usize, usize, usize),
) -> anyhow::Result<()> {
    let checkpoint = Shape { family, d_model: 256, n_layer }.checkpoint(1);
    let (config, weights) = (&checkpoint.config, &checkpoint.weights);
    let mut trainee = CudaTrainee::new(device.clone(), arithmetic, config, weights)?;
    let sequences = sequences(count, len);
    let examples: Vec<Example<'_, f32>> =
        sequences.iter().map(|ids| Example { ids, labels: ids, weights: None }).collect();
    let mut gradients = Gradients::new(config, weights);
    let mut step = || -> anyhow::Result<f64> {
        let start = Instant::now();
        let flow = trainee.gradients(&examples, (count * len) as f64, &mut Meter::new(&Unwatched, 0, 0))?;
        anyhow::ensure!(flow.is_continue());
        trainee.take(&mut gradients)?;
        Ok(start.elapsed().as_secs_f64())
    };
    step()?;
    device.reset_peak();
    let seconds = (0..ROUNDS).map(|_| step()).collect::<Result<Vec<_>, _>>()?;
    row(report, "gradients", arithmetic, (family, n_layer, count, len), median(seconds), device);
    drop(trainee);
    device.trim();
    Ok(())
}

fn row(
    report: &mut Report,
    what: &str,
    arithmetic: Arithmetic,
    (family, n_layer, count, len): (Family, usize, usize, usize),
    seconds: f64,
    device: &Device,
) {
    report.row(
        &format!("{what} {arithmetic:?} {family:?} d 256, {n_layer} layers, B {count} L {len}"),
        &[
            ("M bases/s", (count * len) as f64 / seconds / 1e6),
            ("ms", seconds * 1e3),
            ("peak GB", device.memory().peak as f64 / 1e9),
        ],
    );
}
