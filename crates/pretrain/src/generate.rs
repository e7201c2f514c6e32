//! DNA drawn from a causal model, base by base.
//!
//! At each position the model gives logits over its vocabulary; those of A, C, G and T, divided by the temperature, are
//! made a distribution, of which the `top_k` likeliest bases are kept. A temperature of 0 takes the likeliest base. The
//! number that a base is drawn with is a function of the seed, the prompt, the sample and the position alone.
//!
//! On a CPU a thread draws a sample; a GPU draws many at once, of one prompt or several. Samples that are drawn side by side
//! are held until they are written in order, up to 256 MiB of them; longer ones are drawn one after another and written as they
//! are drawn, so that memory does not grow with their length.

mod choice;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
mod fasta;

use std::io::Write;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::Head;
use longstrand_model::{Processor, State, Watch};
use longstrand_seq::genome::FastaStream;

pub use choice::{Choice, ParseChoiceError};
use cpu::CpuDrawer;
#[cfg(feature = "cuda")]
use cuda::CudaDrawer;
pub use error::GenerateError;
use fasta::Record;

/// Bytes of samples that are held in memory so that they can be drawn side by side.
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
    /// - the model is not causal or has no language-model head, or there are several GPUs;
    /// - a GPU has no room for the model, or fails;
    /// - the prompts cannot be read, or one has no bases;
    /// - the model gives a logit that is not finite;
    /// - nothing can be written;
    /// - the watch stops the run.
    pub fn run(
        &self,
        checkpoint: &Checkpoint,
        processor: &Processor,
        out: &mut (dyn Write + Send),
        watch: &dyn Watch,
    ) -> Result<Generated, GenerateError> {
        check(checkpoint)?;
        let mut output = Output { options: self, out, generated: Generated::default() };
        match processor {
            Processor::Cpu(level) => self.draw(&mut CpuDrawer::new(self, *level, checkpoint, watch), &mut output)?,
            #[cfg(feature = "cuda")]
            Processor::Cuda(gpus) => self.draw(&mut CudaDrawer::new(self, gpus, checkpoint, watch)?, &mut output)?,
        }
        output.out.flush().map_err(GenerateError::Write)?;
        if let Some(trained) = checkpoint.config.trained_context.filter(|&trained| self.length.get() > trained) {
            watch.warn(&format!(
                "samples of {} bases; the model was trained at {trained}, and what it makes of more is not known",
                self.length
            ));
        }
        Ok(output.generated)
    }

    /// All samples of all prompts.
    fn draw(&self, drawer: &mut dyn Drawer, output: &mut Output<'_>) -> Result<(), GenerateError> {
        match &self.prompts {
            None => {
                let (name, kept, beginning) = ("sample".into(), Vec::new(), drawer.nothing());
                drawer.samples(Prompt { number: 0, name, kept, beginning }, output)?;
            }
            Some(path) => self.draw_from_prompts(path, drawer, output)?,
        }
        drawer.finish(output)
    }

    fn draw_from_prompts(
        &self,
        path: &Path,
        drawer: &mut dyn Drawer,
        output: &mut Output<'_>,
    ) -> Result<(), GenerateError> {
        let mut prompts = FastaStream::open(path)?;
        for number in 0.. {
            let Some(name) = prompts.next_contig()? else { break };
            let mut kept = Vec::new();
            let beginning = self.read(&mut prompts, drawer, &mut kept)?;
            let beginning =
                beginning.ok_or_else(|| GenerateError::EmptyPrompt { path: path.to_path_buf(), name: name.clone() })?;
            drawer.samples(Prompt { number, name: format!("{name}_sample"), kept, beginning }, output)?;
        }
        Ok(())
    }

    /// Feeds a prompt to the model; none if it has no bases. `kept` gets it if it is to be written.
    fn read(
        &self,
        prompts: &mut FastaStream,
        drawer: &mut dyn Drawer,
        kept: &mut Vec<u8>,
    ) -> Result<Option<Beginning>, GenerateError> {
        let mut beginning = drawer.nothing();
        loop {
            let mut bases = Vec::new();
            if prompts.read_bases(PROMPT_BASES, &mut bases)? == 0 {
                break;
            }
            if self.keep_prompt {
                kept.extend(bases.iter().map(u8::to_ascii_uppercase));
            }
            drawer.feed(&mut beginning, bases)?;
        }
        Ok(beginning.next.is_some().then_some(beginning))
    }

    /// How many samples are held together at most; with less than two they are written as they are drawn.
    fn held_together(&self) -> usize {
        (SIDE_BY_SIDE / self.length.get()) as usize
    }
}

fn check(checkpoint: &Checkpoint) -> Result<(), GenerateError> {
    let name = &checkpoint.name;
    if !checkpoint.config.is_causal() {
        return Err(GenerateError::Usage(format!(
            "generate needs a causal model, and {name} reads both ways: --model names another, as `longstrand pretrain --preset tiny` makes one"
        )));
    }
    match checkpoint.config.head {
        Head::LanguageModel { .. } => Ok(()),
        _ => Err(GenerateError::Usage(format!("generate needs a language model, and {name} has no such head"))),
    }
}

/// Feeds prompts to a model and draws from it.
trait Drawer {
    /// The state before any base.
    fn nothing(&self) -> Beginning;

    /// Feeds bases and keeps what comes next.
    fn feed(&mut self, beginning: &mut Beginning, bases: Vec<u8>) -> Result<(), GenerateError>;

    /// Draws all samples of a prompt, now or later.
    fn samples(&mut self, prompt: Prompt, output: &mut Output<'_>) -> Result<(), GenerateError>;

    /// Draws those that are left.
    fn finish(&mut self, output: &mut Output<'_>) -> Result<(), GenerateError>;
}

/// The state behind a prompt, and what the model says comes next.
#[derive(Clone)]
struct Beginning {
    state: State<f32>,
    /// Logits of A, C, G and T; none before the first base.
    next: Option<[f32; 4]>,
}

/// A prompt that was fed.
struct Prompt {
    /// Which one, from 0 on.
    number: u32,
    /// What its samples are called, but for their number.
    name: String,
    /// Its bases, if they are to be written.
    kept: Vec<u8>,
    beginning: Beginning,
}

/// Where samples go, in order.
struct Output<'a> {
    options: &'a Generation,
    out: &'a mut (dyn Write + Send),
    generated: Generated,
}

impl Output<'_> {
    /// Begins a sample's record, and counts it.
    fn begin(&mut self, prompt: &Prompt, sample: u64) -> Result<Record<'_>, GenerateError> {
        self.generated.count(self.options.length);
        let mut record = Record::begin(&mut *self.out, &prompt.name, sample, self.options)?;
        record.extend(&prompt.kept)?;
        Ok(record)
    }

    /// Writes a sample.
    fn write(&mut self, prompt: &Prompt, sample: u64, bases: &[u8]) -> Result<(), GenerateError> {
        let mut record = self.begin(prompt, sample)?;
        record.extend(bases)?;
        record.end()
    }
}

impl Generated {
    fn count(&mut self, length: NonZeroU64) {
        self.samples += 1;
        self.bases += length.get();
    }
}

/// Tells a watch of so many bases.
fn tell(watch: &dyn Watch, bases: u64) -> Result<(), GenerateError> {
    watch.advanced(bases);
    match watch.flow() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(GenerateError::Cancelled),
    }
}
