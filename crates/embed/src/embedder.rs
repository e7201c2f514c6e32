//! One window through a model.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use longstrand_kernels::TILE;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Chunking, Engine, EngineError, Lanes, Meter, Pooling, Processor, Scratch, Tap, Watch};
use longstrand_seq::vocab::Vocabulary;
use longstrand_seq::window::Window;

mod pass;
mod rows;
mod tokens;

use pass::Pass;
pub(crate) use rows::{RowSink, WindowRows};
use tokens::Tokens;

use crate::error::{EmbedError, UsageError};
use crate::options::{EmbedOptions, Equivariant, Strands, layer_name};

/// A model and what is to be computed of each window.
#[derive(Debug)]
pub struct Embedder {
    model: Engine,
    vocabulary: Vocabulary,
    options: EmbedOptions,
    chunking: Chunking,
}

impl Embedder {
    /// Makes a checkpoint ready.
    ///
    /// # Errors
    ///
    /// - a layer that the model does not have;
    /// - `equivariant` with a model that is not reverse-complement equivariant, or strands other than forward with one
    ///   that is: it reads both strands already;
    /// - a chunk that is not a multiple of [`TILE`], which would change the last bits of the result;
    /// - a device has no room for the weights, or cannot compute.
    pub fn new(
        checkpoint: &Checkpoint,
        processor: impl Into<Processor>,
        options: EmbedOptions,
        chunk: Option<NonZeroUsize>,
    ) -> Result<Self, EmbedError> {
        check(checkpoint, &options)?;
        let chunking = match chunk {
            None => Chunking::Auto,
            Some(positions) if positions.get().is_multiple_of(TILE) => Chunking::Positions(positions),
            Some(positions) => {
                return Err(UsageError::new(format!(
                    "expected a chunk of a multiple of {TILE} positions, found {positions}"
                ))
                .into());
            }
        };
        let model = Engine::new(&processor.into(), checkpoint)?;
        Ok(Self { model, vocabulary: checkpoint.vocabulary.clone(), options, chunking })
    }

    /// What is computed of each window.
    pub fn options(&self) -> &EmbedOptions {
        &self.options
    }

    /// Numbers in a vector.
    pub fn width(&self) -> NonZeroUsize {
        let published = self.model.width();
        let width = match (self.equivariant(), self.options.strands) {
            (Some(Equivariant::Conjoined | Equivariant::Split), _) => published / 2,
            (_, Strands::Concat) => published * 2,
            _ => published,
        };
        NonZeroUsize::new(width).expect("a model has channels")
    }

    /// Rows that a window of `n` bases gives.
    pub fn rows(&self, n: u64) -> u64 {
        let spans = self.options.pool.spans(n).len() * self.options.layers.taps().len();
        spans as u64 * if self.equivariant() == Some(Equivariant::Split) { 2 } else { 1 }
    }

    /// Tokens that a window of `n` positions, padding included, gives.
    pub(crate) fn tokens(&self, n: usize) -> usize {
        n.saturating_add(usize::from(tokens::appended(&self.vocabulary, &self.options).is_some()))
    }

    /// Bytes that a pass over a short window of `n` bases takes.
    pub(crate) fn pass_bytes(&self, n: u64) -> u64 {
        self.model.pass_bytes(self.chunking, n as usize)
    }

    /// Bytes that one window of `n` bases at a time takes.
    pub(crate) fn window_bytes(&self, n: u64) -> u64 {
        self.model.window_bytes(self.chunking, n)
    }

    /// Whether a window of so many tokens is best computed by itself, and its rows handed on as they come.
    pub(crate) fn is_filled_by(&self, tokens: usize) -> bool {
        self.model.is_filled_by(tokens)
    }

    /// How windows of about so many tokens are divided among threads.
    pub(crate) fn lanes(&self, tokens: usize, windows: usize, threads: NonZeroUsize) -> Lanes {
        self.model.lanes(tokens, windows, threads)
    }

    /// Times that a window goes through the model.
    pub(crate) fn passes(&self) -> u64 {
        if self.options.strands == Strands::Forward { 1 } else { 2 }
    }

    /// Positions that a pass over so many works on at a time.
    pub(crate) fn chunk(&self, tokens: usize) -> usize {
        self.model.chunk_positions(self.chunking, tokens)
    }

    /// Why windows break, where it is a device that has failed.
    pub(crate) fn failure(&self) -> Option<EngineError> {
        self.model.failure()
    }

    pub(crate) fn scratch(&self) -> Scratch<f32> {
        self.model.scratch()
    }

    /// What becomes of the two halves; `None` for a model that has none.
    pub(crate) fn equivariant(&self) -> Option<Equivariant> {
        self.model.config().rcps.as_ref().map(|_| self.options.equivariant.unwrap_or_default())
    }

    /// Computes the rows of a window and pushes them to `sink` in order: by layer, then by bin, then by half. Breaks when
    /// the sink does or the watch is cancelled.
    ///
    /// Memory beyond the model's pass: the window's vectors; with one layer or a bidirectional model, and one strand, only
    /// those of one chunk.
    pub(crate) fn embed(
        &self,
        mut window: Window,
        is_read: bool,
        skip: u64,
        scratch: &mut Scratch<f32>,
        sink: &mut dyn RowSink,
        watch: &dyn Watch,
    ) -> ControlFlow<()> {
        let tokens = Tokens::of(&mut window, &self.vocabulary, &self.options);
        let n = tokens.n_bases() as u64;
        let mut meter = Meter::new(watch, n, self.passes() * self.model.work(tokens.forward().len() as u64));
        let mut rows = WindowRows::new(self, &window, &tokens, is_read, skip, sink);
        let pooling = self.options.pool.pooling(n);
        if self.streams() {
            return self.pass(tokens.forward(), &pooling, scratch, Some(&mut rows), &mut meter).map_continue(|_| ());
        }
        let forward = self.pass(tokens.forward(), &pooling, scratch, None, &mut meter)?;
        let vectors = match self.options.strands {
            Strands::Forward => forward,
            strands => {
                let pooling = self.options.pool.pooling_of_reverse_complement(n);
                let reverse = self.pass(&tokens.reverse_complement(), &pooling, scratch, None, &mut meter)?;
                let pairs = forward.into_iter().zip(reverse);
                pairs.map(|(forward, reverse)| rows::join(strands, &forward, &reverse, self.model.width())).collect()
            }
        };
        let taps = self.options.layers.taps();
        vectors.iter().enumerate().try_for_each(|(i, vectors)| rows.emit(&layer_name(taps[i]), 0, vectors))
    }

    /// Whether vectors come in the order of rows, so that none need be kept.
    fn streams(&self) -> bool {
        let in_order = self.options.layers.taps().len() == 1 || !self.model.is_causal();
        in_order && self.options.strands == Strands::Forward
    }

    /// One pass over `ids`: the vectors of each layer, or none if `rows` took them.
    fn pass<'w>(
        &self,
        ids: &[u8],
        pooling: &Pooling,
        scratch: &mut Scratch<f32>,
        rows: Option<&mut WindowRows<'w>>,
        meter: &mut Meter<'w>,
    ) -> ControlFlow<(), Vec<Vec<f32>>> {
        let taps = self.options.layers.taps();
        let mut pass = Pass::new(taps, rows, meter);
        self.model.pool(ids, self.chunking, taps, pooling, scratch, &mut pass)?;
        pass.finish()
    }
}

fn check(checkpoint: &Checkpoint, options: &EmbedOptions) -> Result<(), UsageError> {
    let (name, n_layer) = (&checkpoint.name, checkpoint.config.n_layer);
    let is_equivariant = checkpoint.config.rcps.is_some();
    for tap in options.layers.taps() {
        if matches!(*tap, Tap::Block(blocks) if blocks > n_layer) {
            let found = layer_name(*tap);
            return Err(UsageError::new(format!(
                "layer {found}: expected last or 0 to {n_layer}, the blocks of {name}"
            )));
        }
    }
    if options.equivariant.is_some() && !is_equivariant {
        return Err(UsageError::new(format!(
            "--equivariant takes the halves of a reverse-complement equivariant model apart, and {name} has none; \
             --strand average or concat reads both strands of any other model"
        )));
    }
    if options.strands != Strands::Forward && is_equivariant {
        return Err(UsageError::new(format!(
            "--strand {}: {name} is reverse-complement equivariant and reads both strands in one pass; \
             --equivariant conjoined or split says what becomes of them",
            options.strands
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
