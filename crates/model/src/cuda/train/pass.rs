//! Sequences through all layers, forward and back.

use std::ops::{ControlFlow, Range};

use longstrand_kernels::cross_entropy::cuda::LossSums;
use longstrand_kernels::cuda::{Buffer, CudaError, Real};
use longstrand_kernels::{embedding, pointwise};

use super::cut::Cut;
use super::layer::{LayerBackward, Passage, forward_traced};
use super::shelves::{Held, Shelves};
use super::sums::Sums;
use super::trail::Trail;
use super::workspace::Adjoints;
use crate::checkpoint::Weights;
use crate::cuda::executor::{Executor, Sweep, in_order};
use crate::cuda::layout::{Layout, Stretch};
use crate::cuda::mixer::{BranchState, tile};
use crate::cuda::workspace::Workspace;
use crate::encode::spans;
use crate::head::Score;
use crate::layer::Join;
use crate::train::{Gradients, Loss, WAY_BACK};
use crate::watch::Meter;

/// Bytes that the working memory of a chunk may take, and the part of the device's memory that it may.
const WORKING_SET: u64 = 6 << 30;
const PART_OF_MEMORY: u64 = 8;

/// Trails may take one part in so many of the device's memory.
const TRAILS: u64 = 2;

/// See [`CudaTrainee`](super::CudaTrainee).
#[derive(Debug)]
pub(super) struct Trainer<T: Real> {
    pub(super) executor: Executor<T>,
    pub(super) sums: Sums,
    pub(super) loss: LossSums,
    pub(super) score: Option<Score>,
    /// Columns of a chunk.
    pub(super) columns: usize,
    /// Bytes that trails may take.
    pub(super) room: usize,
    /// Where the inputs of layers are kept.
    pub(super) shelves: Shelves<T>,
}

/// What is kept of sequences on their way forward.
struct Kept<T: Real> {
    /// The input of every layer, `[strands, columns, D]`.
    inputs: Vec<Held<T>>,
    /// The residual stream behind the last layer, `[strands, columns, D]`.
    streams: Buffer<f32>,
    /// What every layer leaves for its way back, where there is room for it.
    trails: Vec<Trail<T>>,
    /// What each branch of each layer entered each chunk with, layers and strands side by side; nothing of one chunk.
    entered: Vec<Vec<[Option<BranchState>; 2]>>,
}

/// What is computed behind the last layer.
pub(super) trait Objective<T: Real> {
    /// Adds the gradients of the head and of the final norm for a group of the sequences, and gives that of the streams
    /// behind the last layer, `[strands, columns, D]`.
    fn d_streams(
        &mut self,
        trainer: &mut Trainer<T>,
        group: Range<usize>,
        cut: &Cut,
        streams: &Buffer<f32>,
    ) -> Result<Buffer<f32>, CudaError>;
}

impl<T: Real> Trainer<T> {
    pub(super) fn new(executor: Executor<T>, weights: &Weights) -> Result<Self, CudaError> {
        let total = executor.device.total_bytes();
        let room = WORKING_SET.min(total / PART_OF_MEMORY) as usize;
        let fit = room / Adjoints::<T>::bytes_per_column(&executor.config);
        let tile = tile(executor.mixer());
        Ok(Self {
            sums: Sums::new(&executor.device, &executor.config, weights)?,
            loss: LossSums::new(&executor.device)?,
            columns: (fit / tile * tile).max(tile),
            room: (total / TRAILS) as usize,
            score: Score::of_strands(&executor.config, weights),
            shelves: Shelves::default(),
            executor,
        })
    }

    /// Puts other weights in the place of these.
    pub(super) fn update(&mut self, weights: &Weights) -> Result<(), CudaError> {
        self.score = Score::of_strands(&self.executor.config, weights);
        self.executor.update(weights)
    }

    /// How many sequences of a length a chunk has room for; none where one is longer.
    pub(super) fn sequences_of(&self, len: usize) -> usize {
        self.columns / (self.executor.strands() * Layout::new(1, len).stride).max(1)
    }

    pub(super) fn work(&self, len: u64) -> u64 {
        (1 + WAY_BACK) * len * (self.executor.config.n_layer * self.executor.strands()) as u64
    }

    pub(super) fn take(&mut self, gradients: &mut Gradients<f32>) -> Result<Loss, CudaError> {
        self.sums.take(&self.executor.config, gradients)?;
        let loss = self.loss.read()?;
        self.loss.zero()?;
        Ok(loss)
    }

    /// Adds the gradients of an objective of sequences of one length.
    pub(super) fn gradients(
        &mut self,
        sequences: &[&[u8]],
        objective: &mut dyn Objective<T>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let Some(len) = self.executor.check(sequences) else { return Ok(ControlFlow::Continue(())) };
        let size = self.sequences_of(len).max(1);
        for start in (0..sequences.len()).step_by(size) {
            let group = start..sequences.len().min(start + size);
            if self.gradients_of(sequences, group, objective, meter)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The gradients of sequences that go together, or of one in chunks.
    fn gradients_of(
        &mut self,
        sequences: &[&[u8]],
        group: Range<usize>,
        objective: &mut dyn Objective<T>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let len = sequences[0].len();
        let of_strand = Layout::new(group.len(), len);
        let chunk = match self.sequences_of(len) {
            0 => self.columns.min(len.div_ceil(2).next_multiple_of(tile(self.executor.mixer()))),
            _ => of_strand.columns(),
        };
        let cut = Cut { of_strand, spans: spans(len, chunk), chunk };
        self.shelves.divide(&self.executor.device, cut.need(&self.executor))?;
        let ids = self.executor.upload(&sequences[group.clone()], &(0..len), of_strand)?;
        let Some(mut kept) = self.forward(&ids, &cut, meter)? else { return Ok(ControlFlow::Break(())) };
        let mut d_streams = objective.d_streams(self, group, &cut, &kept.streams)?;
        // What has passed the last layer is read no more.
        kept.streams = self.executor.device.buffer(0)?;
        self.backward(&ids, &cut, &mut kept, &mut d_streams, meter)
    }

    /// Passes sequences through all layers and keeps what the way back needs; nothing where the meter broke it off.
    fn forward(&mut self, ids: &Buffer<u8>, cut: &Cut, meter: &mut Meter<'_>) -> Result<Option<Kept<T>>, CudaError> {
        let executor = &self.executor;
        let (strands, size) = (executor.strands(), cut.of_strand.columns() * executor.config.d_model);
        let streams = executor.embedded(ids, cut.of_strand)?;
        let columns = if cut.spans.len() == 1 { strands * cut.of_strand.columns() } else { cut.chunk };
        let mut work = Workspace::new(&executor.device, &executor.config, columns)?;
        let mut kept = Kept { inputs: Vec::new(), streams, trails: Vec::new(), entered: Vec::new() };
        for i in 0..executor.config.n_layer {
            let mut input = executor.device.buffer::<T>(strands * size)?;
            pointwise::cuda::convert(kept.streams.view(), input.view_mut())?;
            let flow = match cut.spans.len() {
                1 => self.forward_together(i, cut, &input, &mut kept, &mut work, meter)?,
                _ => self.forward_in_chunks(i, cut, &input, &mut kept, &mut work, meter)?,
            };
            kept.inputs.push(self.shelves.hold(i, input)?);
            if flow.is_break() {
                return Ok(None);
            }
        }
        Ok(Some(kept))
    }

    fn forward_together(
        &self,
        index: usize,
        cut: &Cut,
        input: &Buffer<T>,
        kept: &mut Kept<T>,
        work: &mut Workspace<T>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let (layer, backwards) = (&self.executor.weights.layers[index], self.executor.backwards(index));
        let stretch = Stretch { layout: self.together(cut), backwards: &backwards };
        let (how, mut states) = (self.executor.how, self.executor.branch_states(index, stretch.layout.sequences)?);
        layer.normalize(work, input.view())?;
        // As the way back computes a trail again, if there is no room for it: room changes no bit.
        if states.len() == 1 || layer.join == Join::SumBeforeProjection {
            let (device, columns) = (&self.executor.device, stretch.layout.columns());
            let mut trail = Trail::new(device, &how.mixer, columns, states.len())?;
            forward_traced((layer, how), stretch, work, &mut trail, &mut states, kept.streams.view_mut())?;
            if self.has_room_for_trails(stretch.layout) {
                kept.trails.push(trail);
            }
        } else {
            layer.forward(how, stretch, work, kept.streams.view_mut(), &mut states)?;
        }
        Ok(meter.advance((stretch.layout.sequences * cut.of_strand.len) as u64))
    }

    /// Whether the trails of all layers are kept for the way back.
    fn has_room_for_trails(&self, layout: Layout) -> bool {
        let layers = &self.executor.weights.layers;
        let of_column = Trail::<T>::bytes_per_column(self.executor.mixer(), layers[0].branches.len());
        of_column * layout.columns() * layers.len() <= self.room
    }

    fn forward_in_chunks(
        &self,
        index: usize,
        cut: &Cut,
        input: &Buffer<T>,
        kept: &mut Kept<T>,
        work: &mut Workspace<T>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let size = cut.of_strand.columns() * self.executor.config.d_model;
        for (strand, backwards) in self.executor.backwards(index).into_iter().enumerate() {
            let stream = strand * size..(strand + 1) * size;
            let sweep = Sweep { layer: index, backwards, spans: &cut.spans, chunk: cut.chunk, stream };
            let mut entered: Vec<[Option<BranchState>; 2]> = cut.spans.iter().map(|_| [None, None]).collect();
            let flow = self.executor.run_sweep(
                &sweep,
                work,
                &mut kept.streams,
                |layer, work, chunk| layer.normalize(work, input.view().slice(chunk.elements)),
                |branch, chunk, state| {
                    entered[chunk][branch] = Some(state.copy()?);
                    Ok(())
                },
                |positions| meter.advance(positions as u64),
            )?;
            kept.entered.push(entered);
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes the gradients of the last streams back through all layers and into the embedding.
    fn backward(
        &mut self,
        ids: &Buffer<u8>,
        cut: &Cut,
        kept: &mut Kept<T>,
        d_streams: &mut Buffer<f32>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let Executor { device, config, .. } = &self.executor;
        let (strands, size) = (self.executor.strands(), cut.of_strand.columns() * config.d_model);
        let is_together = cut.spans.len() == 1;
        let (columns, branches) = match is_together {
            true if !kept.trails.is_empty() => (strands * cut.of_strand.columns(), 0),
            true => (strands * cut.of_strand.columns(), self.executor.weights.layers[0].branches.len()),
            false => (cut.chunk, 1),
        };
        let mut work = Adjoints::new(device, config, columns, branches)?;
        let mut d_out = device.buffer::<T>(strands * size)?;
        for i in (0..config.n_layer).rev() {
            pointwise::cuda::convert(d_streams.view(), d_out.view_mut())?;
            let input = kept.inputs.pop().expect("an input of each layer");
            let input = self.shelves.give(input, &self.executor.device)?;
            let way = Way { index: i, cut, input: &input, d_out: &d_out };
            let flow = match is_together {
                true => self.backward_together(&way, kept.trails.pop(), d_streams, &mut work, meter)?,
                false => self.backward_in_chunks(&way, kept, d_streams, &mut work, meter)?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        for strand in 0..strands {
            let place = self.sums.places.tables[strand].clone();
            for columns in cut.of_strand.positions() {
                let rows = columns.start * self.executor.config.d_model..columns.end * self.executor.config.d_model;
                let d_rows = d_streams.view().slice(strand * size..).slice(rows);
                let d_table = self.sums.view_mut().0.slice(place.clone());
                embedding::cuda::backward(ids.view().slice(columns), d_rows, d_table)?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn backward_together(
        &mut self,
        way: &Way<'_, T>,
        trail: Option<Trail<T>>,
        d_streams: &mut Buffer<f32>,
        work: &mut Adjoints<T>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let is_traced = trail.is_some();
        if let Some(trail) = trail {
            work.trail = trail;
        }
        let (layout, backwards) = (self.together(way.cut), self.executor.backwards(way.index));
        let entering = self.executor.branch_states(way.index, layout.sequences)?;
        let mut d_states = self.executor.branch_states(way.index, layout.sequences)?;
        let passage = Passage {
            stretch: Stretch { layout, backwards: &backwards },
            input: way.input.view(),
            d_out: way.d_out.view(),
            d_in: d_streams.view_mut(),
            entering: &entering.iter().collect::<Vec<_>>(),
            d_states: &mut d_states,
        };
        self.layer_backward(way.index, work, is_traced).run(0..entering.len(), passage)?;
        Ok(meter.advance(WAY_BACK * (layout.sequences * layout.len) as u64))
    }

    fn backward_in_chunks(
        &mut self,
        way: &Way<'_, T>,
        kept: &mut Kept<T>,
        d_streams: &mut Buffer<f32>,
        work: &mut Adjoints<T>,
        meter: &mut Meter<'_>,
    ) -> Result<ControlFlow<()>, CudaError> {
        let (d, cut) = (self.executor.config.d_model, way.cut);
        let (size, strands) = (cut.of_strand.columns() * d, self.executor.strands());
        for (strand, is_backwards) in self.executor.backwards(way.index).into_iter().enumerate().rev() {
            let entered = kept.entered.pop().expect("states of each layer and strand");
            let branches = self.executor.weights.layers[way.index].branches.len();
            for branch in 0..branches {
                let direction = self.executor.weights.layers[way.index].branches[branch].on(is_backwards);
                let mut d_states = self.executor.branch_states(way.index, 1)?;
                for i in in_order(direction.opposite(), cut.spans.len()) {
                    let layout = cut.layout(&cut.spans[i]);
                    let start = strand * size + cut.spans[i].start * d;
                    let elements = start..start + layout.used() * d;
                    let passage = Passage {
                        stretch: Stretch { layout, backwards: &[is_backwards] },
                        input: way.input.view().slice(elements.clone()),
                        d_out: way.d_out.view().slice(elements.clone()),
                        d_in: d_streams.view_mut().slice(elements),
                        entering: &entered[i].iter().flatten().collect::<Vec<_>>(),
                        d_states: &mut d_states,
                    };
                    self.layer_backward(way.index, work, false).run(branch..branch + 1, passage)?;
                    let done = |upto: usize| upto * WAY_BACK as usize * cut.spans[i].len() / branches;
                    let flow = meter.advance((done(branch + 1) - done(branch)) as u64);
                    if flow.is_break() {
                        return Ok(flow);
                    }
                }
            }
        }
        debug_assert!(kept.entered.len() == way.index * strands, "states are taken layer after layer");
        Ok(ControlFlow::Continue(()))
    }

    fn layer_backward<'a>(
        &'a mut self,
        index: usize,
        work: &'a mut Adjoints<T>,
        is_traced: bool,
    ) -> LayerBackward<'a, T> {
        let layer = &self.executor.weights.layers[index];
        LayerBackward { layer, index, how: self.executor.how, sums: &mut self.sums, work, is_traced }
    }

    /// The layout of all strands' sequences together.
    fn together(&self, cut: &Cut) -> Layout {
        Layout { sequences: self.executor.strands() * cut.of_strand.sequences, ..cut.of_strand }
    }
}

/// A layer's way back.
struct Way<'a, T: Real> {
    index: usize,
    cut: &'a Cut,
    /// `[strands, columns, D]`
    input: &'a Buffer<T>,
    /// Gradient of the layer's output, `[strands, columns, D]`.
    d_out: &'a Buffer<T>,
}
