//! Gradients of a rank's stretch of a window against those of a window as long: the price of what ranks walk before they know
//! what comes in. Who waits for whom, and the network, are not in it.

use std::ops::ControlFlow;

use longstrand_kernels::Cpu;
use longstrand_model::{
    Chunking, Meter, Unwatched,
    train::{Context, Course, Example, Gradients, Trainee, WholeSequences},
};
use longstrand_pretrain::{config::Flag, init::initial_weights};

use super::{batch, settings};
use crate::report::{Report, fastest};

const ROUNDS: usize = 3;

const LENGTH: usize = 1 << 16;

/// Width and layers.
const SHAPE: (u32, u32) = (256, 2);

const FAMILIES: [&str; 4] = ["mamba", "mamba2", "caduceus-ph", "caduceus-ps"];

/// The second of two ranks, the first of which says what it says itself; counts the bytes.
struct Echo(usize);

impl Context<f32> for Echo {
    fn rank(&self) -> usize {
        1
    }

    fn ranks(&self) -> usize {
        2
    }

    fn gather(&mut self, own: Vec<f32>) -> ControlFlow<(), Vec<Vec<f32>>> {
        self.0 += size_of_val(&own[..]);
        ControlFlow::Continue(vec![own.clone(), own])
    }
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    for family in FAMILIES {
        let is_causal = family.starts_with("mamba");
        let mut flags = vec![
            Flag::new("model.family", family),
            Flag::new("model.d_model", i64::from(SHAPE.0)),
            Flag::new("model.n_layer", i64::from(SHAPE.1)),
        ];
        flags.extend(is_causal.then(|| Flag::new("objective.kind", "causal")));
        let settings = settings(None, &flags)?;
        let config = settings.model_config()?;
        let weights = initial_weights(&config, &settings.model.initial(), settings.run.seed);
        let trainee = Trainee::new(Cpu::new(report.level), &config, &weights);
        let (mut scratch, mut gradients) = (trainee.scratch(), Gradients::new(&config, &weights));
        let batch = batch(LENGTH, 0, is_causal);
        let mut took = |context: &mut dyn Context<f32>| {
            let example = Example { ids: &batch.ids, labels: &batch.labels, weights: None };
            let work = trainee.work(LENGTH as u64);
            fastest(ROUNDS, || {
                let mut meter = Meter::new(&Unwatched, LENGTH as u64, work);
                let course = &mut Course { context: &mut *context, meter: &mut meter };
                let (scratch, gradients) = (&mut scratch, &mut gradients);
                let flow = trainee.gradients_of_stretch(&example, 1.0, Chunking::Auto, scratch, gradients, course);
                assert!(flow.is_continue(), "nobody breaks it off");
            })
        };
        let whole = took(&mut WholeSequences);
        let mut echo = Echo(0);
        let stretch = took(&mut echo);
        // One round more warms up.
        let bytes = echo.0 as f64 / (ROUNDS + 1) as f64 / f64::from(SHAPE.1);
        report.row(
            &format!("{family} d {}, {} layers, a stretch of {LENGTH}", SHAPE.0, SHAPE.1),
            &[("bases/s", LENGTH as f64 / stretch), ("times a window", stretch / whole), ("bytes a layer", bytes)],
        );
    }
    Ok(())
}
