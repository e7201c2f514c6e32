//! Steps on a GPU.
//!
//! Matrices are f32 or bf16; activations, states and all arithmetic are f32, and the choice of a base is f64 as on a CPU. A
//! sequence has the same bits whatever others there are.

mod launches;

use super::{BASES, Choice};
use crate::{
    causal_conv1d,
    cuda::{Buffer, CudaError, Device, Real, View, ViewMut, graph::Graph},
    embedding, gated_norm, norm, selective_scan, ssd,
};
pub(crate) use launches::PROGRAM;
use launches::{Product, choose, duality, head, multiply, multiply_gated, project, scan};

/// The widest rows that products are made of: one has to fit into the shared memory of every card.
pub const MAX_WIDTH: usize = 24_576;

/// The most sequences that step together.
pub const MAX_SEQUENCES: usize = 65_535;

/// What stands for a base where a logit was not finite.
pub const NOT_FINITE: u8 = 255;

/// Weights of a causal model.
#[derive(Clone, Debug)]
pub struct Model<'a, T: Real> {
    /// `[V, D]`
    pub embedding: View<'a, f32>,
    /// From the first to the last.
    pub layers: Vec<Layer<'a, T>>,
    /// Before the head.
    pub norm: norm::cuda::Params<'a>,
    /// `[V, D]`
    pub head: View<'a, T>,
    /// Ids of A, C, G and T.
    pub bases: [u8; BASES],
}

/// Weights of a layer. P counts the rows of the input projection, C those that pass the convolution.
#[derive(Clone, Debug)]
pub struct Layer<'a, T: Real> {
    /// Before the mixer.
    pub norm: norm::cuda::Params<'a>,
    /// `[P, D]`
    pub input: View<'a, T>,
    /// `[P]`
    pub input_bias: Option<View<'a, f32>>,
    /// `[K, C]` and `[C]`
    pub convolution: causal_conv1d::cuda::Params<'a>,
    /// Between convolution and output projection.
    pub mixer: Mixer<'a, T>,
    /// `[D, I]`
    pub output: View<'a, T>,
    /// `[D]`
    pub output_bias: Option<View<'a, f32>>,
}

/// What a layer does between its convolution and its output projection.
#[derive(Clone, Debug)]
pub enum Mixer<'a, T: Real> {
    /// The input projection gives x and z.
    Mamba {
        /// `[R + 2 N, I]`, rows Δ, B, C.
        selection: View<'a, T>,
        /// `[I, R]`
        delta: View<'a, T>,
        /// Of the scan.
        scan: selective_scan::cuda::Params<'a>,
    },
    /// The input projection gives z, x, B, C and Δ.
    Mamba2 {
        /// Of the scan.
        duality: ssd::cuda::Params<'a>,
        /// Before the output projection.
        norm: gated_norm::cuda::Params<'a>,
    },
}

/// What a layer knows of the positions before.
#[derive(Debug)]
struct State {
    /// `[S, C, K-1]`
    conv: Buffer<f32>,
    /// `[S, N, I]`, or `[S, H, N, P]` of Mamba-2.
    scan: Buffer<f32>,
}

/// Sequences that go through a model together, position by position.
#[derive(Debug)]
pub struct Stepper<'a, T: Real> {
    // The graph goes before the buffers that it uses.
    graph: Option<Graph>,
    model: Model<'a, T>,
    choice: Choice,
    sequences: usize,
    states: Vec<State>,
    /// The residual stream, `[S, D]`.
    stream: Buffer<f32>,
    /// `[S, P]`
    projected: Buffer<f32>,
    /// `[S, R + 2 N]`; nothing of Mamba-2.
    selected: Buffer<f32>,
    /// `[S, I]`
    y: Buffer<f32>,
    /// Of the bases, `[S, 4]`.
    logits: Buffer<f32>,
    /// How many positions of a block have been drawn.
    step: Buffer<u32>,
    /// Numbers that bases are drawn with, `[block, S]`.
    pub(super) units: Buffer<f64>,
    /// Bases that were drawn, `[block, S]`.
    chosen: Buffer<u8>,
}

impl<'a, T: Real> Layer<'a, T> {
    /// D, the width of the residual stream.
    fn width(&self) -> usize {
        self.norm.weight.len()
    }

    /// I, the width inside the mixer.
    fn inner(&self) -> usize {
        self.output.len() / self.width()
    }

    /// P, the rows of the input projection.
    fn rows(&self) -> usize {
        self.input.len() / self.width()
    }

    /// R + 2 N of Mamba.
    fn selected(&self) -> usize {
        match &self.mixer {
            Mixer::Mamba { selection, .. } => selection.len() / self.inner(),
            Mixer::Mamba2 { .. } => 0,
        }
    }

    /// C and K, the channels and taps of the convolution.
    fn convolution(&self) -> (usize, usize) {
        let channels = match &self.mixer {
            Mixer::Mamba { .. } => self.inner(),
            Mixer::Mamba2 { duality, .. } => self.inner() + 2 * duality.groups * duality.states,
        };
        (channels, self.convolution.weight.len() / channels)
    }

    /// Values that a sequence keeps for the convolution and for the scan.
    fn state(&self) -> (usize, usize) {
        let (channels, taps) = self.convolution();
        let states = match &self.mixer {
            Mixer::Mamba { scan, .. } => scan.a.len() / self.inner(),
            Mixer::Mamba2 { duality, .. } => duality.states,
        };
        (channels * (taps - 1), self.inner() * states)
    }

    /// # Panics
    ///
    /// Panics if the lengths do not fit.
    fn check(&self) {
        let (width, inner, rows, (channels, taps)) = (self.width(), self.inner(), self.rows(), self.convolution());
        assert!(width.max(inner) <= MAX_WIDTH, "rows of {}, at most {MAX_WIDTH} are supported", width.max(inner));
        assert_eq!(self.input.len(), rows * width, "length of the input projection");
        assert_eq!(self.output.len(), width * inner, "length of the output projection");
        assert!((1..=causal_conv1d::MAX_KERNEL).contains(&taps), "{taps} taps");
        assert_eq!(self.convolution.weight.len(), taps * channels, "length of the taps");
        let biases = [(&self.input_bias, rows), (&self.output_bias, width), (&self.convolution.bias, channels)];
        for (bias, expected) in biases.into_iter().chain([(&self.norm.bias, width)]) {
            assert!(bias.is_none_or(|bias| bias.len() == expected), "length of a bias");
        }
        let expected = match &self.mixer {
            Mixer::Mamba { delta, scan, .. } => {
                let (states, rank) = (scan.a.len() / inner, delta.len() / inner);
                assert!(states > 0 && rank > 0, "{states} states, rank {rank}");
                assert_eq!((scan.a.len(), delta.len()), (states * inner, rank * inner), "lengths of A and Δ");
                assert_eq!((scan.d.len(), scan.delta_bias.len()), (inner, inner), "lengths of D and the bias of Δ");
                assert_eq!(self.selected(), rank + 2 * states, "rows of the selection");
                2 * inner
            }
            Mixer::Mamba2 { duality, norm } => {
                let heads = duality.heads;
                assert_eq!(heads * duality.head_dim, inner, "channels of all heads");
                assert!(heads.is_multiple_of(duality.groups) && duality.states > 0, "groups of heads");
                assert_eq!([duality.a, duality.d, duality.dt_bias].map(|x| x.len()), [heads; 3], "numbers of heads");
                assert!(norm.weight.len() == inner && inner.is_multiple_of(norm.group), "length of the gated norm");
                inner + channels + heads
            }
        };
        assert_eq!(rows, expected, "rows of the input projection");
    }
}

impl<T: Real> Model<'_, T> {
    /// D, the width of the residual stream.
    fn width(&self) -> usize {
        self.norm.weight.len()
    }

    fn check(&self) {
        let width = self.width();
        assert_eq!(self.embedding.len() % width, 0, "length of the embedding");
        assert_eq!(self.embedding.len(), self.head.len(), "lengths of embedding and head");
        assert!(self.bases.iter().all(|&id| usize::from(id) < self.head.len() / width), "ids of the bases");
        assert!(!self.layers.is_empty(), "a model without layers");
        for layer in &self.layers {
            assert_eq!(layer.width(), width, "width of a layer");
            assert_eq!(layer.rows(), self.layers[0].rows(), "rows of a layer");
            assert_eq!(layer.inner(), self.layers[0].inner(), "width inside a layer");
            assert_eq!(layer.selected(), self.layers[0].selected(), "selection of a layer");
            layer.check();
        }
    }

    /// Bytes of the device's memory that a sequence takes, what is drawn aside.
    pub fn bytes_per_sequence(&self) -> usize {
        let states: usize = self.layers.iter().map(Layer::state).map(|(conv, scan)| conv + scan).sum();
        let layer = &self.layers[0];
        (states + self.width() + layer.rows() + layer.selected() + layer.inner() + BASES) * size_of::<f32>()
    }
}

impl<'a, T: Real> Stepper<'a, T> {
    /// Makes room for so many sequences, which draw up to `block` bases each at a time. Their states are those before any
    /// position, and their logits 0. While it draws, nobody else may ask the device for anything: the second base is recorded.
    ///
    /// # Errors
    ///
    /// The device has not enough memory.
    ///
    /// # Panics
    ///
    /// Panics if the weights do not fit together, or for no sequences or too many.
    pub fn new(model: Model<'a, T>, choice: Choice, sequences: usize, block: usize) -> Result<Self, CudaError> {
        model.check();
        assert!((1..=MAX_SEQUENCES).contains(&sequences), "{sequences} sequences");
        assert!((1..=BASES).contains(&choice.top_k), "{} of {BASES} bases", choice.top_k);
        let device = model.embedding.device();
        let state = |layer: &Layer<'_, T>| {
            let (conv, scan) = layer.state();
            Ok(State { conv: device.zeros(sequences * conv)?, scan: device.zeros(sequences * scan)? })
        };
        let states = model.layers.iter().map(state).collect::<Result<_, CudaError>>()?;
        let (width, layer) = (model.width(), &model.layers[0]);
        Ok(Self {
            graph: None,
            states,
            stream: device.buffer(sequences * width)?,
            projected: device.buffer(sequences * layer.rows())?,
            selected: device.buffer(sequences * layer.selected())?,
            y: device.buffer(sequences * layer.inner())?,
            logits: device.zeros(sequences * BASES)?,
            step: device.zeros(1)?,
            units: device.buffer(block * sequences)?,
            chosen: device.buffer(block * sequences)?,
            model,
            choice,
            sequences,
        })
    }

    /// Where the sequences are.
    pub fn device(&self) -> &'a Device {
        self.model.embedding.device()
    }

    /// How many sequences there are.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// The state of a layer: of the convolution, `[S, C, K-1]`, and of the scan, `[S, N, I]` or `[S, H, N, P]`.
    pub fn state(&self, layer: usize) -> [View<'_, f32>; 2] {
        let State { conv, scan } = &self.states[layer];
        [conv.view(), scan.view()]
    }

    /// The same, to be written.
    pub fn state_mut(&mut self, layer: usize) -> [ViewMut<'_, f32>; 2] {
        let State { conv, scan } = &mut self.states[layer];
        [conv.view_mut(), scan.view_mut()]
    }

    /// What comes next: logits of A, C, G and T, `[S, 4]`.
    pub fn logits(&self) -> View<'_, f32> {
        self.logits.view()
    }

    /// The same, to be written.
    pub fn logits_mut(&mut self) -> ViewMut<'_, f32> {
        self.logits.view_mut()
    }

    /// Feeds the next id of each sequence.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if there is not one id for each sequence.
    pub fn feed(&mut self, ids: &[u8]) -> Result<(), CudaError> {
        assert_eq!(ids.len(), self.sequences, "an id for each sequence");
        let ids = self.device().upload(ids)?;
        embedding::cuda::forward(self.model.embedding, ids.view(), self.stream.view_mut())?;
        self.pass()
    }

    /// Begins to draw the next bases of all sequences, one for each of the numbers in [0, 1), `[steps, S]`.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if there are not as many numbers for each sequence, or more than in a block.
    pub fn begin(&mut self, units: &[f64]) -> Result<(), CudaError> {
        assert!(units.len().is_multiple_of(self.sequences), "{} numbers for {} sequences", units.len(), self.sequences);
        self.units.view_mut().slice(..units.len()).write(units)?;
        self.step.view_mut().zero()?;
        for _ in 0..units.len() / self.sequences {
            self.draw()?;
        }
        Ok(())
    }

    /// Waits for the bases that were begun: 0 to 3, or [`NOT_FINITE`], after which a sequence means nothing. `[steps, S]`.
    ///
    /// # Errors
    ///
    /// The driver refuses, or a kernel has failed.
    ///
    /// # Panics
    ///
    /// Panics if more are asked for than in a block.
    pub fn finish(&self, chosen: &mut [u8]) -> Result<(), CudaError> {
        self.chosen.view().slice(..chosen.len()).read(chosen)
    }

    /// Draws one base of each sequence. The first one is not recorded, so that the programs are loaded when the second is.
    fn draw(&mut self) -> Result<(), CudaError> {
        match &self.graph {
            // SAFETY: all that the graph uses is this value's own, or borrowed by it for as long as it is.
            Some(graph) => unsafe { graph.launch() },
            None => {
                self.draw_by_launches()?;
                let device = self.device().clone();
                // SAFETY: who generates has the device to itself, as `Stepper::new` asks for.
                self.graph = Some(unsafe { device.record(|| self.draw_by_launches()) }?);
                Ok(())
            }
        }
    }

    pub(super) fn draw_by_launches(&mut self) -> Result<(), CudaError> {
        let drawn = (self.units.view(), self.step.view(), self.chosen.view_mut());
        choose(&self.model, self.choice, self.logits.view(), drawn, self.stream.view_mut())?;
        self.pass()
    }

    /// The residual stream through all layers, to the logits.
    fn pass(&mut self) -> Result<(), CudaError> {
        for i in 0..self.model.layers.len() {
            self.pass_layer(i)?;
        }
        head(&self.model, self.stream.view(), self.logits.view_mut(), self.step.view_mut())
    }

    fn pass_layer(&mut self, index: usize) -> Result<(), CudaError> {
        let Self { model, states, stream, projected, selected, y, sequences, .. } = self;
        let (layer, State { conv, scan: state }) = (&model.layers[index], &mut states[index]);
        let (inner, rows, sequences) = (layer.inner(), layer.rows(), *sequences);
        project(layer, sequences, stream.view(), conv.view_mut(), projected.view_mut())?;
        let output = Product {
            weight: layer.output,
            bias: layer.output_bias,
            width: inner,
            stride: inner,
            sequences,
            adds: true,
        };
        match &layer.mixer {
            Mixer::Mamba { selection, .. } => {
                let select = Product { weight: *selection, bias: None, stride: rows, adds: false, ..output };
                multiply(&select, projected.view(), selected.view_mut())?;
                scan(layer, sequences, projected.view(), selected.view(), state.view_mut(), y.view_mut())?;
                multiply(&output, y.view(), stream.view_mut())
            }
            Mixer::Mamba2 { duality: params, norm } => {
                duality(layer, params, sequences, projected.view(), state.view_mut(), y.view_mut())?;
                multiply_gated(&output, norm, y.view(), (projected.view(), rows), stream.view_mut())
            }
        }
    }
}
