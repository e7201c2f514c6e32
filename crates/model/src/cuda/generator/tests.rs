use std::ops::ControlFlow;

use longstrand_kernels::cuda::Device;
use longstrand_kernels::step::Choice;
use longstrand_kernels::{Reference, Rows};

use super::super::tests::{bf16_tolerance, checkpoint, device, sequence};
use super::super::{Arithmetic, CudaModel, Piece};
use super::{BASES, CudaGenerator};
use crate::checkpoint::Checkpoint;
use crate::stream::State;
use crate::{Chunking, Model, Observer, Request, Tap};

const CAUSAL: [&str; 7] =
    ["hf-mamba", "hf-mamba-variant", "ss-mamba", "hf-mamba2", "hf-mamba2-groups", "ss-mamba2", "caduceus-uni"];

const LOGITS: Request<'static> = Request { taps: &[], logits: true };

/// Positions of a prompt.
const PROMPT: usize = 37;

/// Keeps the bases' logits of each position.
struct Logits {
    bases: [u8; BASES],
    rows: Vec<[f64; BASES]>,
}

impl Observer<f64> for Logits {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f64>) {}

    fn logits(&mut self, _: u64, rows: Rows<'_, f64>) {
        self.rows.extend((0..rows.len()).map(|t| self.bases.map(|id| rows.row(t)[usize::from(id)])));
    }
}

/// The truth, position by position.
fn expected(checkpoint: &Checkpoint, ids: &[u8]) -> Vec<[f64; BASES]> {
    let model = Model::new(Reference, checkpoint);
    let mut logits = Logits { bases: checkpoint.vocabulary.bases(), rows: Vec::new() };
    assert!(model.encode(ids, Chunking::Whole, &LOGITS, &mut model.scratch(), &mut logits).is_continue());
    logits.rows
}

/// The state behind ids, and what comes next.
fn fed(model: &CudaModel, ids: &[u8], bases: [u8; BASES]) -> (State<f32>, [f32; BASES]) {
    let (mut state, mut next) = (model.initial_state().unwrap(), [0.0; BASES]);
    let flow = model.feed(&mut [&mut state], &[ids], &LOGITS, &mut |_, piece| {
        if let Piece::Logits { rows, .. } = piece {
            let rows = rows.rows();
            next = bases.map(|id| rows.row(rows.len() - 1)[usize::from(id)]);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(flow, Ok(ControlFlow::Continue(())));
    (state, next)
}

fn generator<'a>(model: &'a CudaModel, checkpoint: &Checkpoint, sequences: usize, block: usize) -> CudaGenerator<'a> {
    // Hot enough for samples of models with large logits to differ.
    let choice = Choice { temperature: 8.0, top_k: 4 };
    model.generator(choice, checkpoint.vocabulary.bases(), sequences, block).unwrap()
}

fn opened(device: &Device, arithmetic: Arithmetic, checkpoint: &Checkpoint) -> CudaModel {
    CudaModel::new(device.clone(), arithmetic, checkpoint).unwrap()
}

#[test]
fn logits_are_those_of_the_reference_position_by_position() {
    let Some(device) = device() else { return };
    for case in CAUSAL {
        let checkpoint = checkpoint(case);
        let bases = checkpoint.vocabulary.bases();
        let sequences: Vec<Vec<u8>> = (0..4).map(|seed| sequence(PROMPT + 12, seed)).collect();
        let truths: Vec<Vec<[f64; BASES]>> = sequences.iter().map(|ids| expected(&checkpoint, ids)).collect();
        let of_bf16 = bf16_tolerance(&checkpoint);
        for (arithmetic, tolerance) in
            [(Arithmetic::Single, 2e-5), (Arithmetic::Tf32, 1e-2), (Arithmetic::Bf16, of_bf16)]
        {
            let model = opened(&device, arithmetic, &checkpoint);
            // Three of each prompt, more than go into one tile.
            let mut generator = generator(&model, &checkpoint, 12, 1);
            for (i, ids) in sequences.iter().enumerate() {
                let (state, next) = fed(&model, &ids[..PROMPT], bases);
                generator.go_on_from(3 * i..3 * i + 3, &state, next).unwrap();
            }
            for t in PROMPT - 1..PROMPT + 12 {
                if t >= PROMPT {
                    generator.feed(&(0..12).map(|i| sequences[i / 3][t]).collect::<Vec<_>>()).unwrap();
                }
                for (i, found) in generator.logits().unwrap().iter().enumerate() {
                    let expected = &truths[i / 3][t];
                    let largest = truths[i / 3].as_flattened().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                    let error =
                        found.iter().zip(expected).fold(0.0_f64, |most, (x, y)| most.max((f64::from(*x) - y).abs()));
                    assert!(
                        error <= tolerance * largest,
                        "{case} {arithmetic:?}, sequence {i}, position {t}: {found:?}, expected {expected:?}, largest {largest}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_sample_has_the_same_bases_alone_and_among_others() {
    let Some(device) = device() else { return };
    for case in CAUSAL {
        let checkpoint = checkpoint(case);
        for arithmetic in [Arithmetic::Single, Arithmetic::Bf16] {
            let model = opened(&device, arithmetic, &checkpoint);
            let (state, next) = fed(&model, &sequence(PROMPT, 3), checkpoint.vocabulary.bases());
            let unit = |sample: usize, step: usize| {
                ((sample * 618_035 + step * 104_729 + 13) % 1_000_003) as f64 / 1_000_003.0
            };
            // Blocks of 50 and of 10 bases.
            let draw = |samples: &[usize], block: usize| -> Vec<Vec<u8>> {
                let mut generator = generator(&model, &checkpoint, samples.len(), block);
                generator.go_on_from(0..samples.len(), &state, next).unwrap();
                let mut drawn = vec![Vec::new(); samples.len()];
                for first in (0..50).step_by(block) {
                    let steps = first..first + block;
                    let units: Vec<f64> =
                        steps.flat_map(|step| samples.iter().map(move |&sample| unit(sample, step))).collect();
                    generator.begin(&units).unwrap();
                    let mut bases = vec![0; units.len()];
                    generator.finish(&mut bases).unwrap();
                    bases.iter().enumerate().for_each(|(i, &base)| drawn[i % samples.len()].push(base));
                }
                drawn
            };
            let together = draw(&(0..20).collect::<Vec<_>>(), 50);
            assert!(together[0] != together[1], "{case} {arithmetic:?}: samples differ");
            for sample in [0, 7, 19] {
                assert_eq!(draw(&[sample], 10)[0], together[sample], "{case} {arithmetic:?}: sample {sample}");
            }
        }
    }
}

#[test]
fn as_many_are_drawn_together_as_there_is_room_for() {
    let Some(device) = device() else { return };
    let model = opened(&device, Arithmetic::Single, &checkpoint("hf-mamba"));
    assert_eq!(model.most_drawn(), Ok(1024));
}
