//! Samples drawn on a CPU: a thread has one.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use longstrand_kernels::simd::Level;
use longstrand_kernels::{Cpu, Rows};
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Crew, Model, Observer, Request, Scratch, Tap, Watch};
use longstrand_seq::vocab::Vocabulary;

use super::{Beginning, Drawer, GenerateError, Generation, Output, Prompt, tell};
use crate::random::{Draws, Purpose};

/// Bases of a sample that are drawn before it is told.
const TOLD: u64 = 1_024;

/// What bases are drawn from.
struct Source<'a> {
    model: Model<Cpu>,
    vocabulary: &'a Vocabulary,
}

/// Draws samples on threads.
pub(super) struct CpuDrawer<'a> {
    options: &'a Generation,
    source: Source<'a>,
    crew: Crew<Scratch<f32>>,
    watch: &'a dyn Watch,
}

impl<'a> CpuDrawer<'a> {
    pub(super) fn new(options: &'a Generation, level: Level, checkpoint: &'a Checkpoint, watch: &'a dyn Watch) -> Self {
        let source = Source { model: Model::new(Cpu::new(level), checkpoint), vocabulary: &checkpoint.vocabulary };
        let crew = Crew::new(options.threads, source.model.scratch());
        Self { options, source, crew, watch }
    }

    /// One sample, written as it is drawn.
    fn stream(&mut self, prompt: &Prompt, sample: u64, output: &mut Output<'_>) -> Result<(), GenerateError> {
        let Self { options, source, crew, watch } = self;
        let mut record = output.begin(prompt, sample)?;
        crew.together(vec![prompt.beginning.clone()], |beginning, scratch| {
            let of = (prompt.number, sample);
            source.draw(options, of, beginning, scratch, *watch, &mut |base| record.extend(&[base]))
        })?;
        record.end()
    }

    /// Samples that each thread draws one of, and which are then written in order.
    fn side_by_side(
        &mut self,
        prompt: &Prompt,
        samples: Range<u64>,
        output: &mut Output<'_>,
    ) -> Result<(), GenerateError> {
        let Self { options, source, crew, watch } = self;
        let drawn: Vec<Mutex<Vec<u8>>> = samples.clone().map(|_| Mutex::default()).collect();
        crew.side_by_side(samples.clone().collect(), |sample, scratch| {
            let mut bases = Vec::with_capacity(options.length.get() as usize);
            let mut keep = |base| {
                bases.push(base);
                Ok(())
            };
            let of = (prompt.number, sample);
            source.draw(options, of, prompt.beginning.clone(), scratch, *watch, &mut keep)?;
            *drawn[(sample - samples.start) as usize].lock().unwrap_or_else(PoisonError::into_inner) = bases;
            Ok::<_, GenerateError>(())
        })?;
        for (sample, bases) in samples.zip(drawn) {
            output.write(prompt, sample, &bases.into_inner().unwrap_or_else(PoisonError::into_inner))?;
        }
        Ok(())
    }
}

impl Drawer for CpuDrawer<'_> {
    fn nothing(&self) -> Beginning {
        Beginning { state: self.source.model.initial_state().expect("the model is causal"), next: None }
    }

    fn feed(&mut self, beginning: &mut Beginning, bases: Vec<u8>) -> Result<(), GenerateError> {
        let Self { source, crew, watch, .. } = self;
        crew.together(vec![bases], |bases, scratch| source.feed(beginning, &bases, scratch, *watch))
    }

    fn samples(&mut self, prompt: Prompt, output: &mut Output<'_>) -> Result<(), GenerateError> {
        let together = self.options.held_together().min(self.options.threads.get()) as u64;
        let all = self.options.samples.get();
        if together < 2 {
            return (0..all).try_for_each(|sample| self.stream(&prompt, sample, output));
        }
        let mut first = 0;
        while first < all {
            let end = (first + together).min(all);
            self.side_by_side(&prompt, first..end, output)?;
            first = end;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<'_>) -> Result<(), GenerateError> {
        Ok(())
    }
}

impl Source<'_> {
    /// Feeds bases and keeps what comes next.
    fn feed(
        &self,
        beginning: &mut Beginning,
        bases: &[u8],
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
    ) -> Result<(), GenerateError> {
        let Some((last, before)) = bases.split_last() else { return Ok(()) };
        let mut ids = Vec::with_capacity(bases.len());
        self.vocabulary.encode(before, &mut ids);
        let mut nothing = Next { bases: self.vocabulary.bases(), logits: None };
        let silent = Request { taps: &[], logits: false };
        let _ = self.model.feed(&mut beginning.state, &ids, &silent, scratch, &mut nothing);
        self.step(beginning, self.vocabulary.id(*last), scratch);
        tell(watch, bases.len() as u64)
    }

    /// Feeds one id.
    fn step(&self, beginning: &mut Beginning, id: u8, scratch: &mut Scratch<f32>) {
        let mut next = Next { bases: self.vocabulary.bases(), logits: None };
        let request = Request { taps: &[], logits: true };
        let _ = self.model.feed(&mut beginning.state, &[id], &request, scratch, &mut next);
        beginning.next = next.logits;
    }

    /// Draws a sample, base by base; `of` is the prompt's and the sample's number.
    fn draw(
        &self,
        options: &Generation,
        of: (u32, u64),
        mut beginning: Beginning,
        scratch: &mut Scratch<f32>,
        watch: &dyn Watch,
        take: &mut (dyn FnMut(u8) -> Result<(), GenerateError> + Send),
    ) -> Result<(), GenerateError> {
        let draws = Draws::new(options.seed, Purpose::Generate, of.1, of.0);
        let ids = self.vocabulary.bases();
        for position in 0..options.length.get() {
            let unit = draws.unit(position);
            let base = match beginning.next {
                None => (unit * 4.0) as usize,
                Some(logits) => options
                    .choice
                    .rule()
                    .choose(logits, unit)
                    .ok_or(GenerateError::NotFinite { sample: of.1 + 1, position: position + 1 })?,
            };
            take(b"ACGT"[base])?;
            self.step(&mut beginning, ids[base], scratch);
            if (position + 1) % TOLD == 0 || position + 1 == options.length.get() {
                tell(watch, position % TOLD + 1)?;
            }
        }
        Ok(())
    }
}

/// Keeps the last position's logits of the bases.
struct Next {
    bases: [u8; 4],
    logits: Option<[f32; 4]>,
}

impl Observer<f32> for Next {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, _: u64, rows: Rows<'_, f32>) {
        let row = rows.row(rows.len() - 1);
        self.logits = Some(self.bases.map(|id| row[usize::from(id)]));
    }
}
