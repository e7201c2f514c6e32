//! Bases a second of a step, and the whole of the preset `tiny` on the genome of yeast.

use std::num::NonZeroU64;

use longstrand_kernels::simd::Level;
use longstrand_model::{Unwatched, checkpoint::Checkpoint};
use longstrand_pretrain::{
    baseline::{CountedOn, Neighbours},
    collectives::Alone,
    config::Flag,
    evaluate::{Class, Evaluation, Input, WindowsOf},
    train::{Pretraining, Trained},
};
use longstrand_seq::GenomeOptions;
use longstrand_table::Existing;
use longstrand_tests::{YEAST, data};

use super::{Steps, settings, threads};
use crate::report::{Report, fastest, seconds};

/// Steps that are timed, after one that is not.
const ROUNDS: usize = 3;

/// The most seconds that the whole of `tiny` may take on two threads.
const TINY_SECONDS: f64 = 90.0;

/// The least by which `tiny` ends below the order-0 Markov model, in nats.
const TINY_MARGIN: f64 = 0.015;

/// Chromosomes that `tiny` is validated on, and that it is measured on afterwards.
const VALIDATION: &str = "IV";
const TEST: &str = "VII";

/// The presets that are timed, and windows of a step. Those of `caduceus-ph-1k` are a sixteenth of the preset's: a base
/// costs the same.
const PRESETS: [(&str, u32); 3] = [("tiny", 8), ("tiny-ps", 8), ("caduceus-ph-1k", 64)];

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    for (preset, windows) in PRESETS {
        let mut steps = Steps::new(&settings(Some(preset), &[])?, windows, report.level)?;
        let bases = steps.division.length as f64 * f64::from(windows);
        let mut stepped = Ok(());
        let seconds = fastest(ROUNDS, || stepped = steps.step());
        stepped?;
        let parameters = steps.learner.weights().parameter_count() as f64;
        let what = format!("a step of {preset}, {windows} windows");
        report.row(&what, &[("bases/s", bases / seconds), ("parameters", parameters)]);
    }
    tiny(report)
}

/// Trains `tiny` as a user would, and asks it and the commonest base for a chromosome that it has not seen.
fn tiny(report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut trained = None;
    let took = seconds(|| trained = Some(train(&folder.path().join("run"), report.level)));
    let trained = trained.expect("it has been called")?;
    let (loss, order_0) = losses(&trained, report.level)?;
    report.row(
        "the whole of tiny on yeast",
        &[
            ("seconds", took),
            ("million bases", trained.bases as f64 / 1e6),
            ("nats a base, held out", loss),
            ("order 0", order_0),
        ],
    );
    report.at_least("tiny: nats a base below order 0", order_0 - loss, TINY_MARGIN);
    if threads().get() >= 2 {
        report.at_most("tiny: seconds", took, TINY_SECONDS);
    }
    Ok(())
}

fn train(folder: &std::path::Path, level: Level) -> anyhow::Result<Trained> {
    let flags = [
        Flag::new("data.genomes", vec![data(YEAST).display().to_string()]),
        Flag::new("data.split.kind", "contigs"),
        Flag::new("data.split.valid_contigs", vec![VALIDATION.to_string()]),
        Flag::new("data.split.test_contigs", vec![TEST.to_string()]),
    ];
    let run = Pretraining {
        settings: Some(settings(Some("tiny"), &flags)?),
        folder: folder.into(),
        existing: Existing::Refuse,
        from: None,
        threads: threads(),
        processor: level.into(),
        available_memory: None,
    };
    Ok(run.run(&mut Alone::default(), &Unwatched)?)
}

/// The loss of a model on the test chromosome, and that of the frequencies of bases of the others.
fn losses(trained: &Trained, level: Level) -> anyhow::Result<(f64, f64)> {
    let windows = WindowsOf {
        path: data(YEAST),
        genome: GenomeOptions::default(),
        regions: vec![TEST.into()],
        beds: Vec::new(),
        lengths: vec![const { NonZeroU64::new(512).expect("not zero") }],
        max_ambiguous: 0.1,
        maskings: Vec::new(),
        seed: 1,
    };
    let evaluation = Evaluation { input: Input::Genome(windows), limit: NonZeroU64::new(500), threads: threads() };
    let counted_on = CountedOn { path: data(YEAST), ..CountedOn::default() };
    let order_0 = counted_on.count(&[Neighbours::Left(0)], &Unwatched)?;
    let checkpoint = Checkpoint::load(&trained.model)?;
    let measured = evaluation.run_beside(&order_0, &checkpoint, level, &Unwatched)?;
    let loss = |tally: &longstrand_pretrain::evaluate::Tally| tally.total(Class::All).mean_loss();
    Ok((loss(&measured[0].tally), loss(&measured[0].baselines[0].1)))
}
