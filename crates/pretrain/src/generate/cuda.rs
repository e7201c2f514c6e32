//! Samples drawn on a GPU, many at once.
//!
//! Samples of one prompt or several wait until there are as many as are drawn together. They go forward in blocks of bases:
//! while the device draws one, the host makes the numbers that the next is drawn with.

use std::ops::ControlFlow;
use std::rc::Rc;

use longstrand_kernels::cuda::CudaError;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::cuda::{CudaGenerator, CudaModel, NOT_FINITE, Piece};
use longstrand_model::{EngineError, Gpus, Request, State, Watch};
use longstrand_seq::vocab::Vocabulary;

use super::{Beginning, Drawer, GenerateError, Generation, Output, Prompt, SIDE_BY_SIDE, tell};
use crate::random::{Draws, Purpose};

/// Bases of a sample that are drawn in a block.
const BLOCK: u64 = 1_024;

/// Draws samples on a GPU.
pub(super) struct CudaDrawer<'a> {
    options: &'a Generation,
    model: CudaModel,
    vocabulary: &'a Vocabulary,
    watch: &'a dyn Watch,
    /// How many samples are drawn together at most.
    together: usize,
    waiting: Vec<Sample>,
}

/// A sample that is to be drawn.
struct Sample {
    prompt: Rc<Prompt>,
    number: u64,
    draws: Draws,
}

impl<'a> CudaDrawer<'a> {
    pub(super) fn new(
        options: &'a Generation,
        gpus: &Gpus,
        checkpoint: &'a Checkpoint,
        watch: &'a dyn Watch,
    ) -> Result<Self, GenerateError> {
        if gpus.count() > 1 {
            let count = gpus.count();
            return Err(GenerateError::Usage(format!("generate computes on one GPU: expected one, found {count}")));
        }
        let failed = |error| GenerateError::Device(EngineError::of(gpus.first(), &error));
        let model = CudaModel::new(gpus.first().clone(), gpus.arithmetic(), checkpoint).map_err(failed)?;
        let together = model.most_drawn().map_err(failed)?.min(options.held_together()).max(1);
        Ok(Self { options, model, vocabulary: &checkpoint.vocabulary, watch, together, waiting: Vec::new() })
    }

    fn failed(&self, error: CudaError) -> GenerateError {
        GenerateError::Device(EngineError::of(self.model.device(), &error))
    }

    /// Feeds ids, and returns what comes next if it is asked for.
    fn pass(&self, state: &mut State<f32>, ids: &[u8], logits: bool) -> Result<Option<[f32; 4]>, GenerateError> {
        let mut next = None;
        let request = Request { taps: &[], logits };
        let fed = self.model.feed(&mut [state], &[ids], &request, &mut |_, piece| {
            if let Piece::Logits { rows, .. } = piece {
                let rows = rows.rows();
                let row = rows.row(rows.len() - 1);
                next = Some(self.vocabulary.bases().map(|id| row[usize::from(id)]));
            }
            ControlFlow::Continue(())
        });
        let _ = fed.map_err(|error| self.failed(error))?;
        Ok(next)
    }

    /// Draws the samples that wait, and writes them in order: the first one as it is drawn.
    fn draw_waiting(&mut self, output: &mut Output<'_>) -> Result<(), GenerateError> {
        let samples = std::mem::take(&mut self.waiting);
        let Some((first, others)) = samples.split_first() else { return Ok(()) };
        let mut held = vec![Vec::new(); others.len()];
        let mut record = output.begin(&first.prompt, first.number)?;
        self.draw(&samples, &mut |bases| {
            let letters = bases.iter().map(|&base| b"ACGT"[usize::from(base)]);
            for (i, letter) in letters.enumerate() {
                match i % samples.len() {
                    0 => record.extend(&[letter])?,
                    other => held[other - 1].push(letter),
                }
            }
            Ok(())
        })?;
        record.end()?;
        for (sample, bases) in others.iter().zip(&held) {
            output.write(&sample.prompt, sample.number, bases)?;
        }
        Ok(())
    }

    /// Draws samples together, and hands over the bases, `[positions, samples]`, block after block.
    fn draw(
        &self,
        samples: &[Sample],
        take: &mut dyn FnMut(&[u8]) -> Result<(), GenerateError>,
    ) -> Result<(), GenerateError> {
        let (length, failed) = (self.options.length.get(), |error| self.failed(error));
        let block = BLOCK.min(length) as usize;
        let (choice, ids) = (*self.options.choice.rule(), self.vocabulary.bases());
        let mut generator = self.model.generator(choice, ids, samples.len(), block).map_err(failed)?;
        begin(&mut generator, samples).map_err(failed)?;
        let mut position = 0;
        // Samples that have no prompt are alone with their likes.
        if samples[0].prompt.beginning.next.is_none() {
            let bases: Vec<u8> = samples.iter().map(|sample| (sample.draws.unit(0) * 4.0) as u8).collect();
            let ids: Vec<u8> = bases.iter().map(|&base| ids[usize::from(base)]).collect();
            generator.feed(&ids).map_err(failed)?;
            take(&bases)?;
            tell(self.watch, bases.len() as u64)?;
            position = 1;
        }
        let mut units = units(samples, position, length);
        let mut bases = Vec::new();
        while !units.is_empty() {
            generator.begin(&units).map_err(failed)?;
            bases.resize(units.len(), 0);
            let steps = (units.len() / samples.len()) as u64;
            units = self::units(samples, position + steps, length);
            generator.finish(&mut bases).map_err(failed)?;
            are_finite(samples, position, &bases)?;
            take(&bases)?;
            tell(self.watch, bases.len() as u64)?;
            position += steps;
        }
        Ok(())
    }
}

impl Drawer for CudaDrawer<'_> {
    fn nothing(&self) -> Beginning {
        Beginning { state: self.model.initial_state().expect("the model is causal"), next: None }
    }

    fn feed(&mut self, beginning: &mut Beginning, bases: Vec<u8>) -> Result<(), GenerateError> {
        let mut ids = bases;
        self.vocabulary.encode_in_place(&mut ids);
        let Some((last, before)) = ids.split_last() else { return Ok(()) };
        self.pass(&mut beginning.state, before, false)?;
        beginning.next = self.pass(&mut beginning.state, &[*last], true)?;
        tell(self.watch, ids.len() as u64)
    }

    fn samples(&mut self, prompt: Prompt, output: &mut Output<'_>) -> Result<(), GenerateError> {
        let kept = self.waiting.chunk_by(is_of_one_prompt).map(|samples| samples[0].prompt.kept.len() as u64);
        if kept.sum::<u64>() + prompt.kept.len() as u64 > SIDE_BY_SIDE {
            self.draw_waiting(output)?;
        }
        let prompt = Rc::new(prompt);
        for number in 0..self.options.samples.get() {
            let draws = Draws::new(self.options.seed, Purpose::Generate, number, prompt.number);
            self.waiting.push(Sample { prompt: prompt.clone(), number, draws });
            if self.waiting.len() == self.together {
                self.draw_waiting(output)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), GenerateError> {
        self.draw_waiting(output)
    }
}

fn is_of_one_prompt(a: &Sample, b: &Sample) -> bool {
    Rc::ptr_eq(&a.prompt, &b.prompt)
}

/// Has the samples go on from their prompts.
fn begin(generator: &mut CudaGenerator<'_>, samples: &[Sample]) -> Result<(), CudaError> {
    let mut first = 0;
    for of_prompt in samples.chunk_by(is_of_one_prompt) {
        let Beginning { state, next } = &of_prompt[0].prompt.beginning;
        let end = first + of_prompt.len();
        generator.go_on_from(first..end, state, next.unwrap_or_default())?;
        first = end;
    }
    Ok(())
}

/// The numbers that a block from a position on is drawn with, `[steps, samples]`.
fn units(samples: &[Sample], position: u64, length: u64) -> Vec<f64> {
    let positions = position..length.min(position + BLOCK);
    positions.flat_map(|position| samples.iter().map(move |sample| sample.draws.unit(position))).collect()
}

/// Refuses bases of a block from a position on that logits say nothing of.
fn are_finite(samples: &[Sample], position: u64, bases: &[u8]) -> Result<(), GenerateError> {
    match bases.iter().position(|&base| base == NOT_FINITE) {
        None => Ok(()),
        Some(at) => Err(GenerateError::NotFinite {
            sample: samples[at % samples.len()].number + 1,
            position: position + (at / samples.len()) as u64 + 1,
        }),
    }
}
