use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use longstrand_kernels::cuda::{CudaError, Device};
use longstrand_kernels::{Backend, Reference, RoundedReference, Rows};

use super::{Arithmetic, CudaModel, Kind, Piece};
use crate::checkpoint::{Checkpoint, MixerWeights};
use crate::config::{Config, Directions, Head, Mamba2Config, MambaConfig, MixerConfig, Naming, Rcps, Strategy};
use crate::pooling::Poolers;
use crate::{Chunking, Model, Observer, Pooling, Reduction, Request, Spans, Tap, VectorObserver};

pub(super) mod classify;

/// One of each way to join directions, of each mixer and of each head.
pub(super) const CASES: [&str; 19] = [
    "hf-mamba",
    "hf-mamba-variant",
    "ss-mamba",
    "hf-mamba2",
    "hf-mamba2-groups",
    "ss-mamba2",
    "caduceus-uni",
    "caduceus-ph",
    "caduceus-ph-bias",
    "caduceus-ph-layernorm",
    "caduceus-ph-untied",
    "caduceus-ph-ewmul",
    "caduceus-ps",
    "caduceus-ps-odd",
    "caduceus-ps-ewmul",
    "caduceus-ps-untied",
    "caduceus-ps-unfused",
    "caduceus-ps-layernorm-unfused",
    "plantcaduceus",
];

const LENGTHS: [usize; 5] = [1, 7, 8, 130, 301];

/// The device, or nothing where there is none and none is required.
pub(super) fn device() -> Option<Device> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("LONGSTRAND_REQUIRE_CUDA").is_some_and(|value| value == "1") => {
            panic!("{error}")
        }
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "a test says that it is skipped")]
            {
                eprintln!("skipped: {error}");
            }
            None
        }
    }
}

pub(super) fn checkpoint(case: &str) -> Checkpoint {
    Checkpoint::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(case)).unwrap()
}

/// Mamba-2 in both directions is in no fixture: a reverse mixer is made of the forward one.
pub(super) fn bidirectional_mamba2() -> impl Iterator<Item = (String, Checkpoint)> {
    let ways = [(Strategy::Add, true), (Strategy::Add, false), (Strategy::Multiply, true)];
    let strands = [None, Some(false), Some(true)];
    ways.into_iter().flat_map(move |(strategy, tied)| {
        strands.into_iter().map(move |fused| {
            let what = format!("Mamba-2 {strategy:?} tied {tied} strands fused {fused:?}");
            (what, both_directions(checkpoint("hf-mamba2-groups"), strategy, tied, fused))
        })
    })
}

fn both_directions(mut checkpoint: Checkpoint, strategy: Strategy, tied: bool, fused: Option<bool>) -> Checkpoint {
    let Checkpoint { config, weights, .. } = &mut checkpoint;
    config.directions = Directions::Bidirectional { strategy, tied };
    config.naming = Naming::Caduceus;
    let complement_map: Vec<u8> = (0..config.vocab_size as u8).rev().collect();
    config.rcps = fused.map(|fused_add_norm| Rcps { fused_add_norm, complement_map });
    if config.rcps.is_some() {
        (config.head, weights.lm_head) = (Head::LanguageModel { tied: true }, None);
    }
    for layer in &mut weights.layers {
        let mut reverse = layer.forward.clone();
        if let MixerWeights::Mamba2(reverse) = &mut reverse {
            reverse.conv_weight.reverse();
            reverse.dt_bias.reverse();
            reverse.norm.reverse();
            if tied {
                (reverse.in_proj, reverse.out_proj) = (None, None);
            }
        }
        layer.reverse = Some(reverse);
    }
    checkpoint
}

/// Ids of bases and a few others.
pub(super) fn sequence(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|t| ((t * t + 7 * t * seed + t / 3 + seed) % 11 % 7) as u8).collect()
}

const TAPS: [Tap; 3] = [Tap::Block(0), Tap::Block(1), Tap::Last];
const ALL: Request<'static> = Request { taps: &TAPS, logits: true };

/// All that is computed of a sequence: hidden states by tap, and logits under `None`.
type Found = BTreeMap<Option<Tap>, Vec<f64>>;

#[derive(Default)]
struct Collect(Found);

impl Observer<f64> for Collect {
    fn hidden(&mut self, tap: Tap, start: u64, rows: Rows<'_, f64>) {
        self.add(Some(tap), start, rows);
    }

    fn logits(&mut self, start: u64, rows: Rows<'_, f64>) {
        self.add(None, start, rows);
    }
}

impl Collect {
    fn add<S: longstrand_kernels::backend::Scalar>(&mut self, of: Option<Tap>, start: u64, rows: Rows<'_, S>) {
        let values = self.0.entry(of).or_default();
        assert_eq!(values.len() as u64, start * rows.width() as u64, "pieces in the order of positions");
        values.extend((0..rows.len()).flat_map(|t| rows.row(t)).map(|x| x.to_f64()));
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Hidden { tap, start, rows } => self.add(Some(tap), start, rows.rows()),
            Piece::Logits { start, rows } => self.add(None, start, rows.rows()),
            Piece::Vectors { .. } => unreachable!("nothing was to be pooled"),
            Piece::Advanced(_) => {}
        }
    }
}

fn expected(checkpoint: &Checkpoint, ids: &[u8]) -> Found {
    encoded(&Model::new(Reference, checkpoint), ids)
}

fn encoded<B: Backend<Scalar = f64>>(model: &Model<B>, ids: &[u8]) -> Found {
    let mut found = Collect::default();
    assert!(model.encode(ids, Chunking::Whole, &ALL, &mut model.scratch(), &mut found).is_continue());
    found.0
}

/// How far a model may be from the reference in bf16: three times as far as rounding what products and norms read takes the
/// reference itself, as more is rounded on a GPU.
pub(super) fn bf16_tolerance(checkpoint: &Checkpoint) -> f64 {
    let rounded = Model::new(RoundedReference, checkpoint);
    let worst = LENGTHS.iter().flat_map(|&len| (0..3).map(move |seed| sequence(len, seed))).map(|ids| {
        let (found, expected) = (encoded(&rounded, &ids), expected(checkpoint, &ids));
        expected.iter().map(|(of, expected)| relative_error(&found[of], expected)).fold(0.0, f64::max)
    });
    3.0 * worst.fold(0.0, f64::max)
}

/// The largest difference, of the largest magnitude that is expected.
fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let error = found.iter().zip(expected).fold(0.0_f64, |error, (x, y)| error.max((x - y).abs()));
    error / largest
}

fn found(model: &CudaModel, sequences: &[&[u8]]) -> Vec<Found> {
    let mut all: Vec<Collect> = sequences.iter().map(|_| Collect::default()).collect();
    let flow = model.encode(sequences, &ALL, &mut |i, piece| {
        all[i].take(piece);
        ControlFlow::Continue(())
    });
    assert_eq!(flow, Ok(ControlFlow::Continue(())));
    all.into_iter().map(|one| one.0).collect()
}

/// A model whose chunks have so many columns.
fn model(device: &Device, arithmetic: Arithmetic, checkpoint: &Checkpoint, columns: usize) -> CudaModel {
    let mut model = CudaModel::new(device.clone(), arithmetic, checkpoint).unwrap();
    match &mut model.executor {
        Kind::Single(executor) => executor.columns = columns,
        Kind::Bf16(executor) => executor.columns = columns,
    }
    model
}

fn assert_close(what: &str, found: &Found, expected: &Found, tolerance: f64) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (of, expected) in expected {
        let error = relative_error(&found[of], expected);
        assert!(error <= tolerance, "{what} {of:?}: {error:e} of the largest, {tolerance:e} allowed");
    }
}

#[test]
fn the_answers_are_those_of_the_reference() {
    let Some(device) = device() else { return };
    for case in CASES {
        assert_agrees(&device, case, &checkpoint(case));
    }
    for (case, checkpoint) in bidirectional_mamba2() {
        assert_agrees(&device, &case, &checkpoint);
    }
}

fn assert_agrees(device: &Device, case: &str, checkpoint: &Checkpoint) {
    let of_bf16 = bf16_tolerance(checkpoint);
    for (arithmetic, tolerance) in [(Arithmetic::Single, 2e-5), (Arithmetic::Tf32, 1e-2), (Arithmetic::Bf16, of_bf16)] {
        let whole = model(device, arithmetic, checkpoint, 4096);
        for len in LENGTHS {
            let sequences: Vec<Vec<u8>> = (0..3).map(|seed| sequence(len, seed)).collect();
            let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
            let what = format!("{case} {arithmetic:?} {len}");
            for (ids, found) in sequences.iter().zip(found(&whole, &sequences)) {
                assert_close(&what, &found, &expected(checkpoint, ids), tolerance);
            }
        }
        for columns in [128, 256] {
            let in_chunks = model(device, arithmetic, checkpoint, columns);
            let ids = sequence(513, 5);
            let what = format!("{case} {arithmetic:?} in chunks of {columns}");
            assert_close(&what, &found(&in_chunks, &[&ids])[0], &expected(checkpoint, &ids), tolerance);
        }
    }
}

#[test]
fn what_the_scan_of_mamba2_cannot_do_is_refused() {
    let config = checkpoint("hf-mamba2").config;
    let MixerConfig::Mamba2(known) = config.mixer else { panic!("a Mamba-2 mixer") };
    assert_eq!(super::check(&config), Ok(()));
    for (head_dim, d_state, reason) in [
        (12, 32, "a Mamba-2 model whose heads are not a multiple of 8 channels cannot be computed on a GPU"),
        (16, 257, "a Mamba-2 model with more than 256 states cannot be computed on a GPU"),
    ] {
        let mixer = MixerConfig::Mamba2(Mamba2Config { head_dim, d_state, ..known });
        let error = super::check(&Config { mixer, ..config.clone() }).unwrap_err();
        assert_eq!(error.to_string(), format!("{reason}; --device cpu does"));
    }
}

#[test]
fn what_there_is_no_code_for_is_refused() {
    let config = checkpoint("caduceus-ph").config;
    let MixerConfig::Mamba(known) = config.mixer else { panic!("a Mamba mixer") };
    assert_eq!(super::check_training(&config), Ok(()));
    let of = |changed: MambaConfig| Config { mixer: MixerConfig::Mamba(changed), ..config.clone() };
    let many_states = of(MambaConfig { d_state: 49, ..known });
    assert_eq!(super::check(&many_states), Ok(()));
    for (config, reason) in [
        (many_states, "the training of a Mamba model with more than 48 states"),
        (Config { d_model: 12_289, ..config.clone() }, "the training of a model wider than 12,288"),
        (Config { vocab_size: 257, ..config.clone() }, "a model of more than 256 tokens"),
        (of(MambaConfig { d_conv: 17, ..known }), "a convolution of more than 16 taps"),
    ] {
        assert_eq!(super::check_training(&config), Err(CudaError::Unsupported { what: reason }));
    }
}

#[test]
fn a_sequence_has_the_same_bits_alone_and_among_others() {
    let Some(device) = device() else { return };
    for case in ["hf-mamba", "hf-mamba2-groups", "caduceus-ph", "caduceus-ps"] {
        let checkpoint = checkpoint(case);
        for arithmetic in [Arithmetic::Single, Arithmetic::Bf16] {
            let model = model(&device, arithmetic, &checkpoint, 4096);
            let sequences: Vec<Vec<u8>> = (0..9).map(|seed| sequence(100, seed)).collect();
            let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
            let together = found(&model, &sequences);
            for (ids, together) in sequences.iter().zip(&together) {
                assert!(found(&model, &[ids])[0] == *together, "{case} {arithmetic:?}");
            }
            assert!(found(&model, &sequences) == together, "{case} {arithmetic:?} once more");
        }
    }
}

#[test]
fn a_causal_model_goes_on_from_its_states() {
    let Some(device) = device() else { return };
    for case in ["hf-mamba", "ss-mamba", "hf-mamba2", "hf-mamba2-groups", "caduceus-uni"] {
        let checkpoint = checkpoint(case);
        let model = model(&device, Arithmetic::Single, &checkpoint, 256);
        let sequences: Vec<Vec<u8>> = (0..3).map(|seed| sequence(400, seed)).collect();
        let mut states: Vec<_> = (0..3).map(|_| model.initial_state().unwrap()).collect();
        let mut found: Vec<Collect> = (0..3).map(|_| Collect::default()).collect();
        for span in [0..1, 1..130, 130..133, 133..400] {
            let parts: Vec<&[u8]> = sequences.iter().map(|ids| &ids[span.clone()]).collect();
            let mut states: Vec<_> = states.iter_mut().collect();
            let flow = model.feed(&mut states, &parts, &ALL, &mut |i, piece| {
                found[i].take(piece);
                ControlFlow::Continue(())
            });
            assert_eq!(flow, Ok(ControlFlow::Continue(())));
        }
        assert!(states.iter().all(|state| state.position() == 400));
        for (ids, found) in sequences.iter().zip(&found) {
            assert_close(case, &found.0, &expected(&checkpoint, ids), 2e-5);
        }
    }
}

#[test]
fn whoever_takes_may_break_off() {
    let Some(device) = device() else { return };
    for (case, columns) in [("hf-mamba", 128), ("caduceus-ps", 4096), ("caduceus-ps", 128)] {
        let model = model(&device, Arithmetic::Single, &checkpoint(case), columns);
        let ids = sequence(300, 1);
        let mut pieces = 0;
        let flow = model.encode(&[&ids, &ids], &ALL, &mut |_, _| {
            pieces += 1;
            ControlFlow::Break(())
        });
        assert_eq!((flow, pieces), (Ok(ControlFlow::Break(())), 1), "{case}");
    }
}

/// Vectors of the reference's hidden states.
#[derive(Default)]
struct Vectors(BTreeMap<Tap, Vec<f32>>);

impl VectorObserver for Vectors {
    fn vectors(&mut self, tap: Tap, first: usize, rows: Rows<'_, f32>) {
        let of_tap = self.0.entry(tap).or_default();
        assert_eq!(first * rows.width(), of_tap.len(), "spans in order");
        (0..rows.len()).for_each(|i| of_tap.extend_from_slice(rows.row(i)));
    }

    fn advanced(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[test]
fn vectors_are_those_of_the_hidden_states() {
    let Some(device) = device() else { return };
    let taps = [Tap::Block(0), Tap::Block(1), Tap::Last];
    for (case, columns, len, count) in [
        ("hf-mamba", 4096, 301, 3),
        ("hf-mamba", 128, 513, 2),
        ("caduceus-ph", 4096, 130, 5),
        ("caduceus-ps", 4096, 301, 3),
        ("caduceus-ps", 128, 513, 1),
        ("hf-mamba2", 256, 700, 1),
    ] {
        let model = model(&device, Arithmetic::Single, &checkpoint(case), columns);
        let sequences: Vec<Vec<u8>> = (0..count).map(|seed| sequence(len, seed)).collect();
        let sequences: Vec<&[u8]> = sequences.iter().map(Vec::as_slice).collect();
        for reduction in [Reduction::Mean, Reduction::Max] {
            let spans = |i: u64| match i {
                0 => Spans::one(0..len as u64),
                1 => Spans::new(3..len as u64 - 5, 40),
                2 => Spans::new(0..len as u64, 128).mirrored(len as u64),
                _ => Spans::one(i..i),
            };
            let poolings: Vec<Pooling> = (0..count as u64).map(|i| Pooling { reduction, spans: spans(i) }).collect();
            let mut found: Vec<Vectors> = sequences.iter().map(|_| Vectors::default()).collect();
            let flow = model.pool(&sequences, &taps, &poolings, &mut |i, piece| {
                match piece {
                    Piece::Vectors { tap, first, rows } => found[i].vectors(tap, first, rows.rows()),
                    Piece::Advanced(_) => {}
                    piece => panic!("{piece:?}"),
                }
                ControlFlow::Continue(())
            });
            assert_eq!(flow, Ok(ControlFlow::Continue(())));
            let width = model.config().d_model * model.config().rcps.as_ref().map_or(1, |_| 2);
            for (i, (ids, pooling)) in sequences.iter().zip(&poolings).enumerate() {
                let mut expected = Vectors::default();
                let mut poolers = Poolers::new(&taps, pooling, width, &mut expected);
                let request = Request { taps: &taps, logits: false };
                let flow = model.encode(&[ids], &request, &mut |_, piece| {
                    if let Piece::Hidden { tap, start, rows } = piece {
                        poolers.hidden(tap, start, rows.rows());
                    }
                    ControlFlow::Continue(())
                });
                assert_eq!(flow, Ok(ControlFlow::Continue(())));
                assert_eq!(found[i].0.keys().collect::<Vec<_>>(), expected.0.keys().collect::<Vec<_>>());
                for (tap, expected) in &expected.0 {
                    let found = &found[i].0[tap];
                    assert_eq!(found.len(), expected.len(), "{case} {i} {tap:?}");
                    for (x, y) in found.iter().zip(expected) {
                        assert!((x - y).abs() <= 2e-7 * y.abs().max(1.0), "{case} {i} {tap:?} {reduction:?}: {x} {y}");
                    }
                }
            }
        }
    }
}
