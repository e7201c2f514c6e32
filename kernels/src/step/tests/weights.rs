//! Small models with random weights, and what a step of them is in f64.

use crate::{
    Direction, Rows, RowsMut, Write,
    backend::Precision,
    causal_conv1d,
    cuda::{Buffer, Device, Real, View, testing},
    gated_norm, norm, selective_scan, ssd,
    step::{
        BASES,
        cuda::{Layer, Mixer, Model},
    },
    testing::Random,
};

const EPSILON: f64 = 1e-5;
const VOCABULARY: usize = 6;
const LAYERS: usize = 2;
const DT_LIMIT: (f64, f64) = (0.05, 1.5);

/// Sizes of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    width: usize,
    inner: usize,
    states: usize,
    /// R of Mamba.
    rank: usize,
    taps: usize,
    kind: norm::Kind,
    has_bias: bool,
    /// H, G and the channels of a gated norm, of Mamba-2.
    heads: Option<(usize, usize, usize)>,
}

const fn mamba(width: usize, inner: usize, states: usize, rank: usize, taps: usize) -> Sizes {
    let (kind, has_bias) = if taps.is_multiple_of(2) { (norm::Kind::Rms, false) } else { (norm::Kind::Layer, true) };
    Sizes { width, inner, states, rank, taps, kind, has_bias, heads: None }
}

pub(super) const MAMBA: [Sizes; 5] = [
    mamba(3, 5, 1, 1, 1),
    mamba(24, 48, 16, 2, 4),
    mamba(256, 512, 17, 16, 3),
    mamba(130, 33, 40, 9, 2),
    mamba(64, 100, 3, 4, 16),
];

pub(super) const MAMBA2: [Sizes; 3] = [
    Sizes { heads: Some((6, 2, 48)), ..mamba(24, 48, 5, 0, 4) },
    Sizes { heads: Some((4, 1, 64)), ..mamba(70, 256, 64, 0, 3) },
    Sizes { heads: Some((3, 3, 8)), ..mamba(9, 24, 17, 0, 1) },
];

impl Sizes {
    fn channels(&self) -> usize {
        self.inner + self.heads.map_or(0, |(_, groups, _)| 2 * groups * self.states)
    }

    fn rows(&self) -> usize {
        self.heads.map_or(2 * self.inner, |(heads, ..)| self.inner + self.channels() + heads)
    }
}

/// The same numbers on both sides.
struct Twin<T: Real> {
    device: Buffer<T>,
    host: Vec<f64>,
}

impl<T: Real> Twin<T> {
    fn new(device: &Device, values: &[f32]) -> Self {
        let held: Vec<T> = testing::held(values);
        Self { device: device.upload(&held).unwrap(), host: testing::widen(&held) }
    }

    fn view(&self) -> View<'_, T> {
        self.device.view()
    }
}

struct LayerWeights<T: Real> {
    norm: Twin<f32>,
    norm_bias: Option<Twin<f32>>,
    input: Twin<T>,
    input_bias: Option<Twin<f32>>,
    taps: Twin<f32>,
    tap_bias: Option<Twin<f32>>,
    selection: Twin<T>,
    delta: Twin<T>,
    a: Twin<f32>,
    d: Twin<f32>,
    step_bias: Twin<f32>,
    gated: Twin<f32>,
    output: Twin<T>,
    output_bias: Option<Twin<f32>>,
}

/// A model on both sides.
pub(super) struct Weights<T: Real> {
    sizes: Sizes,
    embedding: Twin<f32>,
    layers: Vec<LayerWeights<T>>,
    norm: Twin<f32>,
    norm_bias: Option<Twin<f32>>,
    head: Twin<T>,
}

/// A sequence in f64.
pub(super) struct Truth {
    /// `[K-1, C]` of each layer.
    conv: Vec<Vec<f64>>,
    /// As the device has it.
    scan: Vec<Vec<f64>>,
    channels: usize,
    pub(super) logits: [f64; BASES],
}

impl Truth {
    /// The convolution's state as the device has it, `[C, K-1]`.
    pub(super) fn conv_of(&self, layer: usize) -> Vec<f64> {
        let (state, channels) = (&self.conv[layer], self.channels);
        let kept = state.len() / channels;
        (0..channels).flat_map(|c| (0..kept).map(move |k| state[k * channels + c])).collect()
    }

    pub(super) fn scan_of(&self, layer: usize) -> Vec<f64> {
        self.scan[layer].clone()
    }

    /// Of all layers, exact where nothing was fed yet.
    pub(super) fn conv(&self) -> Vec<Vec<f32>> {
        (0..self.conv.len()).map(|layer| narrow(&self.conv_of(layer))).collect()
    }

    pub(super) fn scan(&self) -> Vec<Vec<f32>> {
        self.scan.iter().map(|state| narrow(state)).collect()
    }
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

impl<T: Real> LayerWeights<T> {
    fn new(device: &Device, sizes: Sizes, random: &mut Random) -> Self {
        let Sizes { width, inner, states, rank, taps, has_bias, heads, .. } = sizes;
        let (channels, rows) = (sizes.channels(), sizes.rows());
        let rates = heads.map_or(states * inner, |(heads, ..)| heads);
        let of_head = heads.map_or(inner, |(heads, ..)| heads);
        let mut matrix = |rows: usize, columns: usize| {
            let bound = 1.5 / (columns.max(1) as f32).sqrt();
            Twin::<T>::new(device, &random.vector(rows * columns, -bound, bound))
        };
        let (input, output) = (matrix(rows, width), matrix(width, inner));
        let (selection, delta) = (matrix(rank + 2 * states, inner), matrix(inner, rank));
        let mut vector = |len: usize, from, to| Twin::new(device, &random.vector(len, from, to));
        Self {
            norm: vector(width, 0.5, 1.5),
            norm_bias: has_bias.then(|| vector(width, -0.5, 0.5)),
            input,
            input_bias: has_bias.then(|| vector(rows, -0.5, 0.5)),
            taps: vector(taps * channels, -0.7, 0.7),
            tap_bias: has_bias.then(|| vector(channels, -0.5, 0.5)),
            selection,
            delta,
            a: vector(rates, -4.0, -0.1),
            d: vector(of_head, -1.0, 1.0),
            step_bias: vector(of_head, -3.0, 1.0),
            gated: vector(inner, 0.5, 1.5),
            output,
            output_bias: has_bias.then(|| vector(width, -0.5, 0.5)),
        }
    }

    fn on_device(&self, sizes: Sizes) -> Layer<'_, T> {
        let mixer = match sizes.heads {
            None => Mixer::Mamba {
                selection: self.selection.view(),
                delta: self.delta.view(),
                scan: selective_scan::cuda::Params {
                    a: self.a.view(),
                    d: self.d.view(),
                    delta_bias: self.step_bias.view(),
                },
            },
            Some((heads, groups, group)) => Mixer::Mamba2 {
                duality: ssd::cuda::Params {
                    heads,
                    head_dim: sizes.inner / heads,
                    states: sizes.states,
                    groups,
                    a: self.a.view(),
                    d: self.d.view(),
                    dt_bias: self.step_bias.view(),
                    dt_limit: DT_LIMIT,
                },
                norm: gated_norm::cuda::Params { weight: self.gated.view(), epsilon: EPSILON, group },
            },
        };
        Layer {
            norm: norm_on_device(sizes.kind, &self.norm, &self.norm_bias),
            input: self.input.view(),
            input_bias: self.input_bias.as_ref().map(Twin::view),
            convolution: causal_conv1d::cuda::Params {
                weight: self.taps.view(),
                bias: self.tap_bias.as_ref().map(Twin::view),
            },
            mixer,
            output: self.output.view(),
            output_bias: self.output_bias.as_ref().map(Twin::view),
        }
    }

    /// Adds to a residual row what the layer makes of it.
    fn step(&self, sizes: Sizes, stream: &mut [f64], conv: &mut [f64], scan: &mut [f64]) {
        let (inner, channels) = (sizes.inner, sizes.channels());
        let normed = normed(sizes.kind, &self.norm, &self.norm_bias, stream);
        let projected = times(&self.input, &self.input_bias, &normed);
        let first = if sizes.heads.is_some() { inner } else { 0 };
        let mut main = vec![0.0; channels];
        let taps =
            causal_conv1d::Params { weight: &self.taps.host, bias: self.tap_bias.as_ref().map(|bias| &bias.host[..]) };
        let x = Rows::new(&projected[first..first + channels], channels);
        causal_conv1d::reference::forward(&taps, Direction::Forward, x, conv, &mut main);
        let mut y = vec![0.0; inner];
        match sizes.heads {
            None => self.scan(sizes, &main, &projected[inner..], scan, &mut y),
            Some((heads, groups, group)) => {
                let params = ssd::Params {
                    heads,
                    head_dim: inner / heads,
                    states: sizes.states,
                    groups,
                    a: &self.a.host,
                    d: &self.d.host,
                    dt_bias: &self.step_bias.host,
                    dt_limit: DT_LIMIT,
                };
                let shared = groups * sizes.states;
                let (x, bc) = main.split_at(inner);
                let (b, c) = bc.split_at(shared);
                let inputs = ssd::Inputs {
                    x: Rows::new(x, inner),
                    dt: Rows::new(&projected[inner + channels..], heads),
                    b: Rows::new(b, shared),
                    c: Rows::new(c, shared),
                };
                let output = ssd::Output { y: RowsMut::new(&mut y, inner), write: Write::Set };
                ssd::reference::forward(&params, Direction::Forward, 0, &inputs, scan, Some(output));
                let params = gated_norm::Params { weight: &self.gated.host, epsilon: EPSILON, group };
                gated_norm::reference::forward(&params, &mut y, Rows::new(&projected[..inner], inner));
            }
        }
        let added = times(&self.output, &self.output_bias, &y);
        stream.iter_mut().zip(added).for_each(|(stream, added)| *stream += added);
    }

    fn scan(&self, sizes: Sizes, u: &[f64], z: &[f64], state: &mut [f64], y: &mut [f64]) {
        let Sizes { inner, states, rank, .. } = sizes;
        let selected = times(&self.selection, &None, u);
        let delta = times(&self.delta, &None, &selected[..rank]);
        let (b, c) = selected[rank..].split_at(states);
        let params = selective_scan::Params { a: &self.a.host, d: &self.d.host, delta_bias: &self.step_bias.host };
        let inputs =
            selective_scan::Inputs { u: Rows::new(u, inner), delta: Rows::new(&delta, inner), b: Rows::new(b, states) };
        let output = selective_scan::Output {
            c: Rows::new(c, states),
            z: Some(Rows::new(z, inner)),
            y: RowsMut::new(y, inner),
            write: Write::Set,
        };
        selective_scan::reference::forward(&params, Direction::Forward, &inputs, state, Some(output));
    }
}

impl<T: Real> Weights<T> {
    pub(super) fn new(device: &Device, sizes: Sizes) -> Self {
        let random = &mut Random::new(sizes.width as u64 * 1000 + sizes.inner as u64);
        let layers = (0..LAYERS).map(|_| LayerWeights::new(device, sizes, random)).collect();
        let table = sizes.width * VOCABULARY;
        // Logits are of about 1, whatever the width.
        let bound = 2.0 / (sizes.width as f32).sqrt();
        Self {
            sizes,
            embedding: Twin::new(device, &random.vector(table, -1.0, 1.0)),
            layers,
            norm: Twin::new(device, &random.vector(sizes.width, 0.5, 1.5)),
            norm_bias: sizes.has_bias.then(|| Twin::new(device, &random.vector(sizes.width, -0.5, 0.5))),
            head: Twin::new(device, &random.vector(table, -bound, bound)),
        }
    }

    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Ids of the bases, in no order.
    pub(super) fn bases(&self) -> [u8; BASES] {
        [2, 5, 1, 3]
    }

    pub(super) fn model(&self) -> Model<'_, T> {
        Model {
            embedding: self.embedding.view(),
            layers: self.layers.iter().map(|layer| layer.on_device(self.sizes)).collect(),
            norm: norm_on_device(self.sizes.kind, &self.norm, &self.norm_bias),
            head: self.head.view(),
            bases: self.bases(),
        }
    }

    /// The n-th sequence before its first step.
    pub(super) fn truth(&self, n: usize) -> Truth {
        let Sizes { inner, states, taps, .. } = self.sizes;
        let channels = self.sizes.channels();
        let mut random = Random::new(77 + n as u64);
        let mut of_layers = |len: usize| -> Vec<Vec<f64>> {
            (0..LAYERS).map(|_| crate::testing::widen(&random.vector(len, -1.0, 1.0))).collect()
        };
        Truth {
            conv: of_layers(channels * (taps - 1)),
            scan: of_layers(inner * states),
            channels,
            logits: [0.0; BASES],
        }
    }

    /// Feeds an id.
    pub(super) fn step(&self, truth: &mut Truth, id: u8) {
        let width = self.sizes.width;
        let mut stream = self.embedding.host[usize::from(id) * width..][..width].to_vec();
        for ((layer, conv), scan) in self.layers.iter().zip(&mut truth.conv).zip(&mut truth.scan) {
            layer.step(self.sizes, &mut stream, conv, scan);
        }
        let normed = normed(self.sizes.kind, &self.norm, &self.norm_bias, &stream);
        let logits = times(&self.head, &None, &normed);
        truth.logits = self.bases().map(|id| logits[usize::from(id)]);
    }
}

fn norm_on_device<'a>(kind: norm::Kind, weight: &'a Twin<f32>, bias: &'a Option<Twin<f32>>) -> norm::cuda::Params<'a> {
    norm::cuda::Params { kind, epsilon: EPSILON, weight: weight.view(), bias: bias.as_ref().map(Twin::view) }
}

fn normed(kind: norm::Kind, weight: &Twin<f32>, bias: &Option<Twin<f32>>, x: &[f64]) -> Vec<f64> {
    let bias = bias.as_ref().map(|bias| &bias.host[..]);
    let params = norm::Params { kind, epsilon: EPSILON, weight: &weight.host, bias };
    let mut out = vec![0.0; x.len()];
    norm::reference::forward(Precision::Full, &params, x, &mut out);
    out
}

/// The product with a row, and a bias.
fn times<T: Real>(weight: &Twin<T>, bias: &Option<Twin<f32>>, x: &[f64]) -> Vec<f64> {
    let dot = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let mut out: Vec<f64> = weight.host.chunks_exact(x.len()).map(dot).collect();
    if let Some(bias) = bias {
        out.iter_mut().zip(&bias.host).for_each(|(out, bias)| *out += bias);
    }
    out
}
