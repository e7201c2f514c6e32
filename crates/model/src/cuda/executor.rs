//! Sequences through a model on a device.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real, View};
use longstrand_kernels::linear::cuda::SinglePrecision;
use longstrand_kernels::{Direction, embedding};

use super::arithmetics::Arithmetics;
use super::host::HostMemory;
use super::layout::{Layout, Plane, Stretch};
use super::mixer::{BranchState, tile};
use super::output::{Output, Streams, Take};
use super::weights::{DeviceWeights, Layer};
use super::workspace::Workspace;
use crate::checkpoint::Weights;
use crate::config::{Config, MixerConfig};
use crate::encode::spans;
use crate::output::{Request, Tap};
use crate::pooling::Pooling;
use crate::strand::Arrangement;

/// Bytes that the working memory of a chunk may take: enough for 131,072 columns of the models of width 256, and for a pass over
/// 1,048,576 bases of one with RCPS to take no more than 4 GB.
const WORKING_SET: usize = 920 << 20;

/// Bytes that the states of sequences that go together may take.
const STATES: usize = 4 << 30;

/// Passes sequences that go together; it is told the place of the first.
type PassOfGroup<'a> = &'a mut dyn FnMut(usize, &[&[u8]]) -> Result<ControlFlow<()>, CudaError>;

/// A model on a device, its matrices and the activations of its mixers in `T`.
#[derive(Debug)]
pub(super) struct Executor<T: Real> {
    pub(super) device: Device,
    pub(super) config: Config,
    pub(super) weights: DeviceWeights<T>,
    pub(super) how: Arithmetics,
    /// Columns of a chunk.
    pub(super) columns: usize,
    /// Where what is handed over lies.
    pub(super) host: HostMemory,
}

impl<T: Real> Executor<T> {
    pub(super) fn new(
        device: Device,
        config: Config,
        weights: &Weights,
        single: SinglePrecision,
    ) -> Result<Self, CudaError> {
        let weights = DeviceWeights::new(&device, &config, weights)?;
        let (fit, tile) = (WORKING_SET / Workspace::<T>::bytes_per_column(&config), tile(&config.mixer));
        let columns = (fit / tile * tile).max(tile);
        let how = Arithmetics { mixer: config.mixer, single };
        Ok(Self { device, config, weights, how, columns, host: HostMemory::default() })
    }

    /// Puts other weights in the place of these.
    pub(super) fn update(&mut self, weights: &Weights) -> Result<(), CudaError> {
        self.weights = DeviceWeights::by_all_threads(&self.device, &self.config, weights)?;
        Ok(())
    }

    pub(super) fn mixer(&self) -> &MixerConfig {
        &self.config.mixer
    }

    pub(super) fn strands(&self) -> usize {
        self.weights.tables.len()
    }

    /// How many sequences of a length a chunk has room for; none where one is longer.
    pub(super) fn sequences_of(&self, len: usize) -> usize {
        let columns = self.strands() * Layout::new(1, len).stride;
        (self.columns / columns.max(1)).min((STATES / self.states_bytes()).max(1))
    }

    /// Bytes of the states that there are of a sequence at a time.
    fn states_bytes(&self) -> usize {
        let states = if self.config.is_causal() { self.config.n_layer } else { 2 * self.strands() };
        states * BranchState::bytes(self.mixer())
    }

    /// Columns of the chunks that a long sequence is cut into. A layer's outputs are kept beside the streams, so that there is
    /// room for fewer than in a chunk of many sequences.
    fn chunk_of(&self, len: usize) -> usize {
        let tile = tile(self.mixer());
        if len <= self.columns { self.columns } else { (self.columns * 2 / 3 / tile * tile).max(tile) }
    }

    /// Bytes that a pass over one sequence takes beside the weights.
    pub(super) fn pass_bytes(&self, len: usize) -> u64 {
        let (strands, stride) = (self.strands(), Layout::new(1, len).stride);
        let columns = match self.sequences_of(len) {
            0 if !self.config.is_causal() => self.chunk_of(len),
            _ => self.columns.min(strands * stride),
        };
        let working = columns * Workspace::<T>::bytes_per_column(&self.config);
        let state = BranchState::bytes(self.mixer());
        let carried = match (self.config.is_causal(), self.sequences_of(len)) {
            (true, _) => self.states_bytes() + columns * self.config.d_model * size_of::<f32>(),
            // Outputs of a branch, in buffers of whole chunks.
            (false, 0) => stride.next_multiple_of(columns) * self.mixer().d_inner() * size_of::<T>() + 2 * state,
            (false, _) => self.states_bytes(),
        };
        let streams =
            if self.config.is_causal() { 0 } else { strands * stride * self.config.d_model * size_of::<f32>() };
        let bytes = (working + carried + streams) as u64;
        // Large buffers are made larger by an eighth at most.
        bytes + bytes / 8
    }

    /// Passes sequences of one length through together, as many at a time as there is room for.
    pub(super) fn encode(
        &self,
        sequences: &[&[u8]],
        request: &Request<'_>,
        take: Take<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        self.in_groups(sequences, &mut |first, group| {
            let mut take_of_group = |index: usize, piece: super::Piece| take(first + index, piece);
            self.pass(group, &mut Output::new(request, &mut take_of_group, vec![0; group.len()]))
        })
    }

    /// As [`Self::encode`], of which hidden states are pooled.
    pub(super) fn pool(
        &self,
        sequences: &[&[u8]],
        taps: &[Tap],
        poolings: &[Pooling],
        take: Take<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        assert_eq!(poolings.len(), sequences.len(), "a pooling for each sequence");
        let request = Request { taps, logits: false };
        self.in_groups(sequences, &mut |first, group| {
            let mut take_of_group = |index: usize, piece: super::Piece| take(first + index, piece);
            let output = Output::new(&request, &mut take_of_group, vec![0; group.len()]);
            self.pass(group, &mut output.pooled(&poolings[first..first + group.len()]))
        })
    }

    /// Does something with sequences that go together.
    fn in_groups(&self, sequences: &[&[u8]], pass: PassOfGroup<'_>) -> Result<ControlFlow<()>, CudaError> {
        let Some(len) = self.check(sequences) else { return Ok(ControlFlow::Continue(())) };
        let size = self.sequences_of(len).max(1);
        for (i, group) in sequences.chunks(size).enumerate() {
            if pass(i * size, group)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Passes sequences that go together.
    fn pass(&self, group: &[&[u8]], output: &mut Output<'_>) -> Result<ControlFlow<()>, CudaError> {
        match (self.config.is_causal(), self.sequences_of(group[0].len())) {
            (true, _) => self.feed_group(group, &mut self.zero_states(group.len())?, output),
            (false, 0) => self.encode_in_chunks(group[0], output),
            (false, _) => self.encode_group(group, output),
        }
    }

    /// The length that all sequences have; none if there is nothing to do.
    ///
    /// # Panics
    ///
    /// Panics if lengths differ or an id is not in the vocabulary.
    pub(super) fn check(&self, sequences: &[&[u8]]) -> Option<usize> {
        let len = sequences.first()?.len();
        for ids in sequences {
            assert_eq!(ids.len(), len, "sequences of one length");
            let largest = ids.iter().max().copied().unwrap_or(0);
            assert!(usize::from(largest) < self.config.vocab_size, "id {largest} is not in the vocabulary");
        }
        (len > 0).then_some(len)
    }

    /// States of all layers of a causal model.
    pub(super) fn zero_states(&self, sequences: usize) -> Result<Vec<BranchState>, CudaError> {
        (0..self.config.n_layer).map(|_| BranchState::zeros(&self.device, self.mixer(), sequences)).collect()
    }

    /// The states of a layer's branches before the start of sequences, or their gradients behind the end.
    pub(super) fn branch_states(&self, layer: usize, sequences: usize) -> Result<Vec<BranchState>, CudaError> {
        let branches = &self.weights.layers[layer].branches;
        branches.iter().map(|_| BranchState::zeros(&self.device, self.mixer(), sequences)).collect()
    }

    /// Of each strand, whether a layer meets it backwards in time.
    pub(super) fn backwards(&self, layer: usize) -> Vec<bool> {
        let arrangement = Arrangement::of_layer(&self.config, layer);
        (0..self.strands()).map(|strand| arrangement.backwards(strand)).collect()
    }

    /// The embedding of every strand, `[strands, columns, D]`; the layout is that of one.
    pub(super) fn embedded(&self, ids: &Buffer<u8>, layout: Layout) -> Result<Buffer<f32>, CudaError> {
        let size = layout.columns() * self.config.d_model;
        let mut streams = self.device.buffer(self.strands() * size)?;
        for strand in 0..self.strands() {
            self.embed(strand, ids, layout, &mut streams, strand * size)?;
        }
        Ok(streams)
    }

    /// Feeds the next positions of sequences to a causal model, chunk after chunk.
    pub(super) fn feed_group(
        &self,
        sequences: &[&[u8]],
        states: &mut [BranchState],
        output: &mut Output<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let (len, count) = (sequences[0].len(), sequences.len());
        let tile = tile(self.mixer());
        let chunk = (self.columns / count / tile * tile).clamp(tile, len.next_multiple_of(tile));
        let columns = count * chunk.min(Layout::new(1, len).stride);
        let mut work = Workspace::new(&self.device, &self.config, columns)?;
        let mut residual = self.device.buffer::<f32>(columns * self.config.d_model)?;
        for span in spans(len, chunk) {
            let layout = Layout::new(count, span.len());
            self.embed(0, &self.upload(sequences, &span, layout)?, layout, &mut residual, 0)?;
            let all = ..layout.columns() * self.config.d_model;
            let stretch = Stretch { layout, backwards: &[false] };
            self.emit(Tap::Block(0), &Streams::new(span.start, layout, [residual.view().slice(all)]), output)?;
            for (i, (layer, state)) in self.weights.layers.iter().zip(&mut *states).enumerate() {
                layer.normalize(&mut work, residual.view().slice(all))?;
                let stream = residual.view_mut().slice(all);
                layer.forward(self.how, stretch, &mut work, stream, std::slice::from_mut(state))?;
                self.emit(Tap::Block(i + 1), &Streams::new(span.start, layout, [residual.view().slice(all)]), output)?;
            }
            self.emit(Tap::Last, &Streams::new(span.start, layout, [residual.view().slice(all)]), output)?;
            if output.advanced(span.len() * self.config.n_layer).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Passes sequences through a bidirectional model, all strands in one chunk.
    fn encode_group(&self, sequences: &[&[u8]], output: &mut Output<'_>) -> Result<ControlFlow<()>, CudaError> {
        let (len, strands) = (sequences[0].len(), self.strands());
        let of_strand = Layout::new(sequences.len(), len);
        let layout = Layout::new(strands * sequences.len(), len);
        let size = of_strand.columns() * self.config.d_model;
        let mut work = Workspace::new(&self.device, &self.config, layout.columns())?;
        let mut residual = self.embedded(&self.upload(sequences, &(0..len), of_strand)?, of_strand)?;
        let streams = |residual: &Buffer<f32>, tap, output: &mut Output<'_>| {
            let strands = (0..strands).map(|i| residual.view().slice(i * size..(i + 1) * size));
            self.emit(tap, &Streams::new(0, of_strand, strands), output)
        };
        streams(&residual, Tap::Block(0), output)?;
        for (i, layer) in self.weights.layers.iter().enumerate() {
            let (backwards, mut states) = (self.backwards(i), self.branch_states(i, layout.sequences)?);
            let stretch = Stretch { layout, backwards: &backwards };
            layer.normalize(&mut work, residual.view())?;
            layer.forward(self.how, stretch, &mut work, residual.view_mut(), &mut states)?;
            streams(&residual, Tap::Block(i + 1), output)?;
            if output.advanced(len * strands).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        streams(&residual, Tap::Last, output)?;
        Ok(ControlFlow::Continue(()))
    }

    /// Passes one sequence through a bidirectional model, layer after layer, strand after strand, chunk after chunk.
    fn encode_in_chunks(&self, ids: &[u8], output: &mut Output<'_>) -> Result<ControlFlow<()>, CudaError> {
        let (strands, d, chunk) = (self.strands(), self.config.d_model, self.chunk_of(ids.len()));
        let (whole, spans) = (Layout::new(1, ids.len()), spans(ids.len(), chunk));
        let size = whole.columns() * d;
        let mut work = Workspace::new(&self.device, &self.config, chunk)?;
        let mut residual = self.embedded(&self.upload(&[ids], &(0..ids.len()), whole)?, whole)?;
        let emit = |residual: &Buffer<f32>, tap, output: &mut Output<'_>| {
            spans.iter().try_for_each(|span| {
                let layout = chunk_layout(span, chunk);
                let part = |i| i * size + span.start * d..i * size + (span.start + layout.used()) * d;
                let strands = (0..strands).map(|i| residual.view().slice(part(i)));
                self.emit(tap, &Streams::new(span.start, layout, strands), output)
            })
        };
        emit(&residual, Tap::Block(0), output)?;
        for i in 0..self.config.n_layer {
            for (strand, backwards) in self.backwards(i).into_iter().enumerate() {
                let stream = strand * size..(strand + 1) * size;
                let sweep = Sweep { layer: i, backwards, spans: &spans, chunk, stream };
                if self.sweep(&sweep, &mut work, &mut residual, output)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            emit(&residual, Tap::Block(i + 1), output)?;
        }
        emit(&residual, Tap::Last, output)?;
        Ok(ControlFlow::Continue(()))
    }

    /// One strand through one layer: the branch that goes against the main one comes first, and its outputs are kept.
    fn sweep(
        &self,
        sweep: &Sweep<'_>,
        work: &mut Workspace<T>,
        residual: &mut Buffer<f32>,
        output: &mut Output<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        self.run_sweep(
            sweep,
            work,
            residual,
            |layer, work, chunk| layer.normalize(work, chunk.rows),
            |_, _, _| Ok(()),
            |work| output.advanced(work),
        )
    }

    /// As [`Self::sweep`]. `normalize` norms the rows of a chunk, `entered` is told the state with which a branch enters a
    /// chunk, and `advanced` how many positions are done.
    pub(super) fn run_sweep(
        &self,
        sweep: &Sweep<'_>,
        work: &mut Workspace<T>,
        residual: &mut Buffer<f32>,
        mut normalize: impl FnMut(&Layer<T>, &mut Workspace<T>, Chunk<'_>) -> Result<(), CudaError>,
        mut entered: impl FnMut(usize, usize, &BranchState) -> Result<(), CudaError>,
        mut advanced: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let layer = &self.weights.layers[sweep.layer];
        let backwards = [sweep.backwards];
        let main = layer.branches[0].on(sweep.backwards);
        let zeros = || BranchState::zeros(&self.device, self.mixer(), 1);
        if let [span] = sweep.spans {
            let stretch = Stretch { layout: chunk_layout(span, sweep.chunk), backwards: &backwards };
            let mut states = self.branch_states(sweep.layer, 1)?;
            states.iter().enumerate().try_for_each(|(branch, state)| entered(branch, 0, state))?;
            normalize(layer, work, self.chunk(sweep, span, residual))?;
            let rows = residual.view_mut().slice(self.elements(sweep, span));
            layer.forward(self.how, stretch, work, rows, &mut states)?;
            return Ok(advanced(span.len()));
        }
        let mut kept = Vec::new();
        if layer.branches.len() > 1 {
            let mut state = zeros()?;
            for i in in_order(main.opposite(), sweep.spans.len()) {
                let span = &sweep.spans[i];
                let stretch = Stretch { layout: chunk_layout(span, sweep.chunk), backwards: &backwards };
                let mut y = Plane::new(&self.device, self.mixer().d_inner(), sweep.chunk)?;
                entered(1, i, &state)?;
                normalize(layer, work, self.chunk(sweep, span, residual))?;
                layer.forward_branch(self.how, 1, stretch, work, &mut state, &mut y)?;
                kept.push(y);
            }
        }
        let mut state = zeros()?;
        for i in in_order(main, sweep.spans.len()) {
            let span = &sweep.spans[i];
            let stretch = Stretch { layout: chunk_layout(span, sweep.chunk), backwards: &backwards };
            entered(0, i, &state)?;
            normalize(layer, work, self.chunk(sweep, span, residual))?;
            let rows = residual.view_mut().slice(self.elements(sweep, span));
            match kept.pop() {
                Some(mut y) => layer.forward_beside(self.how, stretch, work, rows, &mut state, &mut y)?,
                None => layer.forward(self.how, stretch, work, rows, std::slice::from_mut(&mut state))?,
            }
            if advanced(span.len()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn chunk<'a>(&self, sweep: &Sweep<'_>, span: &Range<usize>, residual: &'a Buffer<f32>) -> Chunk<'a> {
        let elements = self.elements(sweep, span);
        Chunk { rows: residual.view().slice(elements.clone()), elements }
    }

    /// The elements of a chunk in the residual streams.
    fn elements(&self, sweep: &Sweep<'_>, span: &Range<usize>) -> Range<usize> {
        let d = self.config.d_model;
        let start = sweep.stream.start + span.start * d;
        start..start + chunk_layout(span, sweep.chunk).used() * d
    }

    /// Some positions of sequences, as the layout has them.
    pub(super) fn upload(
        &self,
        sequences: &[&[u8]],
        span: &Range<usize>,
        layout: Layout,
    ) -> Result<Buffer<u8>, CudaError> {
        let mut ids = vec![0; layout.columns()];
        for (row, sequence) in ids.chunks_exact_mut(layout.stride).zip(sequences) {
            row[..span.len()].copy_from_slice(&sequence[span.clone()]);
        }
        self.device.upload(&ids)
    }

    /// Writes a strand's embedding at an element of the residual streams.
    pub(super) fn embed(
        &self,
        strand: usize,
        ids: &Buffer<u8>,
        layout: Layout,
        residual: &mut Buffer<f32>,
        at: usize,
    ) -> Result<(), CudaError> {
        let out = residual.view_mut().slice(at..at + layout.columns() * self.config.d_model);
        embedding::cuda::forward(self.weights.tables[strand].view(), ids.view(), out)
    }
}

/// One strand's way through one layer.
pub(super) struct Sweep<'a> {
    pub(super) layer: usize,
    /// Whether the layer meets the strand backwards in time.
    pub(super) backwards: bool,
    pub(super) spans: &'a [Range<usize>],
    /// Columns of the buffers of a chunk.
    pub(super) chunk: usize,
    /// The strand's elements in the residual streams.
    pub(super) stream: Range<usize>,
}

/// A chunk of a strand's residual stream.
pub(super) struct Chunk<'a> {
    /// `[used columns, D]`
    pub(super) rows: View<'a, f32>,
    /// Where it lies in the streams.
    pub(super) elements: Range<usize>,
}

/// The layout of a chunk in buffers of `chunk` columns.
pub(super) fn chunk_layout(span: &Range<usize>, chunk: usize) -> Layout {
    Layout { sequences: 1, len: span.len(), stride: chunk }
}

/// Indices of chunks in the order of a direction.
pub(super) fn in_order(direction: Direction, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| match direction {
        Direction::Forward => i,
        Direction::Reverse => count - 1 - i,
    })
}
