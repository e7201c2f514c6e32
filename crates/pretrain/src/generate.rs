//! DNA drawn from a causal model, base by base.
//!
//! At each position the model gives logits over its vocabulary; those of A, C, G and T, divided by the temperature, are
//! made a distribution, of which the `top_k` likeliest bases are kept. A temperature of 0 takes the likeliest base. The
//! number that a base is drawn with is a function of the seed, the prompt, the sample and the position alone.
//!
//! Samples are drawn side by side and held until they are written in order, up to 256 MiB of them; longer ones are drawn one
//! after another and written as they are drawn, so that memory does not grow with their length.

mod choice;
mod error;
mod fasta;

use std::io::Write;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use longstrand_kernels::simd::Level;
use longstrand_kernels::{Cpu, Rows};
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::Head;
use longstrand_model::{Crew, Model, Observer, Request, Scratch, State, Tap, Watch};
use longstrand_seq::genome::FastaStream;
use longstrand_seq::vocab::Vocabulary;

pub use choice::{Choice, ParseChoiceError};
pub use error::GenerateError;
use fasta::Record;

use crate::random::{Draws, Purpose};

/// Bytes of samples that are held in memory so that each thread can draw one.
const SIDE_BY_SIDE: u64 = 256 << 20;

/// Bases of a prompt that are read at a time.
const PROMPT_BASES: usize = 1 << 16;

/// What to draw.
#[derive(Clone, Debug)]
pub struct Generation {
    /// FASTA whose records are prompts; `-` for standard input. Without prompts a sample's first base is drawn evenly.
    pub prompts: Option<PathBuf>,
    /// Samples of each prompt.
    pub samples: NonZeroU64,
    /// Bases of a sample, its prompt not counted.
    pub length: NonZeroU64,
    /// How a base is chosen.
    pub choice: Choice,
    /// Whether a sample's record begins with its prompt.
    pub keep_prompt: bool,
    /// What the draws depend on.
    pub seed: u64,
    /// Threads that compute.
    pub threads: NonZeroUsize,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Generated {
    /// How many samples.
    pub samples: u64,
    /// Bases of all of them.
    pub bases: u64,
}

impl Generation {
    /// Draws the samples and writes them as FASTA, in the order of the prompts.
    ///
    /// # Errors
    ///
    /// - the model is not causal or has no language-model head;
    /// - the prompts cannot be read, or one has no bases;
    /// - the model gives a logit that is not finite;
    /// - nothing can be written;
    /// - the watch stops the run.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        level: Level,
        out: &mut (dyn Write + Send),
        watch: &dyn Watch,
    ) -> Result<Generated, GenerateError> {
        check(checkpoint)?;
        let source = Source { model: Model::new(Cpu::new(level), checkpoint), vocabulary: &checkpoint.vocabulary };
        let crew = Crew::new(self.threads, source.model.scratch());
        let mut drawing = Drawing { options: self, source, crew, watch, out, generated: Generated::default() };
        match &self.prompts {
            None => drawing.draw_from_nothing()?,
            Some(path) => drawing.draw_from_prompts(path)?,
        }
        drawing.out.flush().map_err(GenerateError::Write)?;
        if let Some(trained) = checkpoint.config.trained_context.filter(|&trained| self.length.get() > trained) {
            watch.warn(&format!(
                "samples of {} bases; the model was trained at {trained}, and what it makes of more is not known",
                self.length
            ));
        }
        Ok(drawing.generated)
    }
}

fn check(checkpoint: &Checkpoint) -> Result<(), GenerateError> {
    let name = &checkpoint.name;
    if !checkpoint.config.is_causal() {
        return Err(GenerateError::Usage(format!("generate needs a causal model, and {name} reads both ways")));
    }
    match checkpoint.config.head {
        Head::LanguageModel { .. } => Ok(()),
        _ => Err(GenerateError::Usage(format!("generate needs a language model, and {name} has no such head"))),
    }
}

/// What bases are drawn from.
struct Source<'a> {
    model: Model<Cpu>,
    vocabulary: &'a Vocabulary,
}

/// The state behind a prompt, and what the model says comes next.
#[derive(Clone)]
struct Beginning {
    state: State<f32>,
    /// Logits of A, C, G and T; none before the first base.
    next: Option<[f32; 4]>,
}

struct Drawing<'a> {
    options: &'a Generation,
    source: Source<'a>,
    crew: Crew<Scratch<f32>>,
    watch: &'a dyn Watch,
    out: &'a mut (dyn Write + Send),
    generated: Generated,
}

impl Drawing<'_> {
    fn draw_from_nothing(&mut self) -> Result<(), GenerateError> {
        let beginning = self.source.nothing();
        self.samples(0, "sample", &[], &beginning)
    }

    fn draw_from_prompts(&mut self, path: &Path) -> Result<(), GenerateError> {
        let mut prompts = FastaStream::open(path)?;
        for number in 0.. {
            let Some(name) = prompts.next_contig()? else { break };
            let mut kept = Vec::new();
            let beginning = self.read(&mut prompts, &mut kept)?;
            let beginning =
                beginning.ok_or_else(|| GenerateError::EmptyPrompt { path: path.to_path_buf(), name: name.clone() })?;
            self.samples(number, &format!("{name}_sample"), &kept, &beginning)?;
        }
        Ok(())
    }

    /// Feeds a prompt to the model; none if it has no bases. `kept` gets it if it is to be written.
    fn read(&mut self, prompts: &mut FastaStream, kept: &mut Vec<u8>) -> Result<Option<Beginning>, GenerateError> {
        let mut beginning = self.source.nothing();
        loop {
            let mut bases = Vec::new();
            if prompts.read_bases(PROMPT_BASES, &mut bases)? == 0 {
                break;
            }
            if self.options.keep_prompt {
                kept.extend(bases.iter().map(u8::to_ascii_uppercase));
            }
            let (source, watch, begun) = (&self.source, self.watch, &mut beginning);
            self.crew.together(vec![bases], |bases, scratch| source.feed(begun, &bases, scratch, watch))?;
        }
        Ok(beginning.next.is_some().then_some(beginning))
    }

    /// All samples of a prompt.
    fn samples(&mut self, prompt: u32, name: &str, kept: &[u8], beginning: &Beginning) -> Result<(), GenerateError> {
        let together = (SIDE_BY_SIDE / self.options.length.get()).min(self.options.threads.get() as u64);
        let all = self.options.samples.get();
        if together < 2 {
            return (0..all).try_for_each(|sample| self.stream(prompt, sample, name, kept, beginning));
        }
        let mut first = 0;
        while first < all {
            let end = (first + together).min(all);
            self.side_by_side(prompt, first..end, name, kept, beginning)?;
            first = end;
        }
        Ok(())
    }

    /// One sample, written as it is drawn.
    fn stream(
        &mut self,
        prompt: u32,
        sample: u64,
        name: &str,
        kept: &[u8],
        beginning: &Beginning,
    ) -> Result<(), GenerateError> {
        let Self { options, source, crew, watch, out, generated } = self;
        let mut record = Record::begin(*out, name, sample, options)?;
        record.extend(kept)?;
        crew.together(vec![beginning.clone()], |beginning, scratch| {
            source.draw(options, (prompt, sample), beginning, scratch, *watch, &mut |base| record.extend(&[base]))
        })?;
        record.end()?;
        generated.count(options.length);
        Ok(())
    }

    /// Samples that each thread draws one of, and which are then written in order.
    fn side_by_side(
        &mut self,
        prompt: u32,
        samples: std::ops::Range<u64>,
        name: &str,
        kept: &[u8],
        beginning: &Beginning,
    ) -> Result<(), GenerateError> {
        let Self { options, source, crew, watch, out, generated } = self;
        let drawn: Vec<Mutex<Vec<u8>>> = samples.clone().map(|_| Mutex::default()).collect();
        crew.side_by_side(samples.clone().collect(), |sample, scratch| {
            let mut bases = Vec::with_capacity(options.length.get() as usize);
            let mut keep = |base| {
                bases.push(base);
                Ok(())
            };
            source.draw(options, (prompt, sample), beginning.clone(), scratch, *watch, &mut keep)?;
            *drawn[(sample - samples.start) as usize].lock().unwrap_or_else(PoisonError::into_inner) = bases;
            Ok::<_, GenerateError>(())
        })?;
        for (sample, bases) in samples.zip(drawn) {
            let mut record = Record::begin(*out, name, sample, options)?;
            record.extend(kept)?;
            record.extend(&bases.into_inner().unwrap_or_else(PoisonError::into_inner))?;
            record.end()?;
            generated.count(options.length);
        }
        Ok(())
    }
}

impl Generated {
    fn count(&mut self, length: NonZeroU64) {
        self.samples += 1;
        self.bases += length.get();
    }
}

impl Source<'_> {
    /// The state before any base.
    fn nothing(&self) -> Beginning {
        Beginning { state: self.model.initial_state().expect("the model is causal"), next: None }
    }

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
        watch.advanced(bases.len() as u64);
        match watch.flow() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(GenerateError::Cancelled),
        }
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
        const TOLD: u64 = 1_024;
        let draws = Draws::new(options.seed, Purpose::Generate, of.1, of.0);
        let ids = self.vocabulary.bases();
        for position in 0..options.length.get() {
            let unit = draws.unit(position);
            let base = match beginning.next {
                None => (unit * 4.0) as usize,
                Some(logits) => options
                    .choice
                    .choose(logits, unit)
                    .ok_or(GenerateError::NotFinite { sample: of.1 + 1, position: position + 1 })?,
            };
            take(b"ACGT"[base])?;
            self.step(&mut beginning, ids[base], scratch);
            if (position + 1) % TOLD == 0 || position + 1 == options.length.get() {
                watch.advanced(position % TOLD + 1);
                if watch.is_cancelled() {
                    return Err(GenerateError::Cancelled);
                }
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
