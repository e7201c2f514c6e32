//! A model's weights on a device, changed as its layers use them.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};
use longstrand_kernels::embedding::complement_table;
use longstrand_kernels::{Direction, norm};

use super::Unsupported;
use crate::checkpoint::{LayerWeights, MambaWeights, MixerWeights, NormWeights, Weights};
use crate::config::{Config, MambaConfig, MixerConfig, NormConfig, NormKind};
use crate::head::head_table;
use crate::layer::Join;
use crate::mixer::{Preparation, input_weight, output_bias, output_weight, transpose};
use crate::strand::Arrangement;

/// All weights; matrices are in `T`, everything else in f32.
#[derive(Debug)]
pub(super) struct DeviceWeights<T: Real> {
    /// What each strand starts from, `[V, D]`.
    pub(super) tables: Vec<Buffer<f32>>,
    pub(super) layers: Vec<Layer<T>>,
    pub(super) norm_f: Norm,
    pub(super) head: Option<Head<T>>,
}

/// A norm.
#[derive(Debug)]
pub(super) struct Norm {
    config: NormConfig,
    weight: Buffer<f32>,
    bias: Option<Buffer<f32>>,
}

/// The language-model head.
#[derive(Debug)]
pub(super) struct Head<T: Real> {
    /// `[V, D]` for the strand in slot a, and of a model with RCPS for the one in slot b.
    pub(super) tables: Vec<Buffer<T>>,
    /// Which strand each takes.
    pub(super) slots: [usize; 2],
}

/// A layer: norm, mixer of one or two directions, residual.
#[derive(Debug)]
pub(super) struct Layer<T: Real> {
    pub(super) norm: Norm,
    pub(super) branches: Vec<Branch<T>>,
    pub(super) join: Join,
}

/// One direction of a layer.
#[derive(Debug)]
pub(super) struct Branch<T: Real> {
    /// `None` where the first branch's are shared.
    pub(super) projections: Option<Projections<T>>,
    pub(super) core: MambaCore<T>,
    /// The direction on a strand that is not walked backwards.
    pub(super) direction: Direction,
}

/// Input and output projections.
#[derive(Debug)]
pub(super) struct Projections<T: Real> {
    /// `[2 I, D]`, rows x then z.
    pub(super) input: Buffer<T>,
    pub(super) input_bias: Option<Buffer<f32>>,
    /// `[D, I]`
    pub(super) output: Buffer<T>,
    pub(super) output_bias: Option<Buffer<f32>>,
}

/// What a direction of a Mamba mixer has between the projections.
#[derive(Debug)]
pub(super) struct MambaCore<T: Real> {
    /// `[K, I]`
    pub(super) conv_weight: Buffer<f32>,
    pub(super) conv_bias: Option<Buffer<f32>>,
    /// `[R + 2 N, I]`, rows Δ, B, C.
    pub(super) x_proj: Buffer<T>,
    /// `[I, R]`
    pub(super) dt_proj: Buffer<T>,
    /// `[N, I]`
    pub(super) a: Buffer<f32>,
    pub(super) d: Buffer<f32>,
    pub(super) delta_bias: Buffer<f32>,
}

impl<T: Real> DeviceWeights<T> {
    /// Brings weights that follow their configuration to the device.
    pub(super) fn new(device: &Device, config: &Config, weights: &Weights) -> Result<Self, CudaError> {
        let MixerConfig::Mamba(mixer) = config.mixer else { return Err(Unsupported::MAMBA2) };
        let layer = |(i, layer)| Layer::new(device, config, mixer, layer, Arrangement::of_layer(config, i).swapped);
        let mut tables = vec![device.upload(&weights.embedding)?];
        if let Some(rcps) = &config.rcps {
            let complement = complement_table(&weights.embedding, config.d_model, &rcps.complement_map);
            tables.push(device.upload(&complement)?);
        }
        let last = Arrangement::after_blocks(config, config.n_layer);
        Ok(Self {
            tables,
            layers: weights.layers.iter().enumerate().map(layer).collect::<Result<_, _>>()?,
            norm_f: Norm::new(device, config.norm, &weights.norm_f, last.swapped)?,
            head: Head::new(device, config, weights)?,
        })
    }
}

impl Norm {
    fn new(device: &Device, config: NormConfig, weights: &NormWeights, flip: bool) -> Result<Self, CudaError> {
        let upload = |values: &Vec<f32>| match flip {
            true => device.upload(&values.iter().rev().copied().collect::<Vec<_>>()),
            false => device.upload(values),
        };
        Ok(Self { config, weight: upload(&weights.weight)?, bias: weights.bias.as_ref().map(upload).transpose()? })
    }

    pub(super) fn params(&self) -> norm::cuda::Params<'_> {
        norm::cuda::Params {
            kind: match self.config.kind {
                NormKind::Rms => norm::Kind::Rms,
                NormKind::Layer => norm::Kind::Layer,
            },
            epsilon: self.config.epsilon,
            weight: self.weight.view(),
            bias: self.bias.as_ref().map(Buffer::view),
        }
    }
}

impl<T: Real> Head<T> {
    fn new(device: &Device, config: &Config, weights: &Weights) -> Result<Option<Self>, CudaError> {
        let Some(head) = head_table(config, weights) else { return Ok(None) };
        let mut tables = vec![matrix(device, &head.table)?];
        if let Some(map) = head.complement_map {
            tables.push(matrix(device, &complement_table(&head.table, config.d_model, map))?);
        }
        Ok(Some(Self { tables, slots: head.slots }))
    }
}

impl<T: Real> Layer<T> {
    fn new(
        device: &Device,
        config: &Config,
        mixer: MambaConfig,
        weights: &LayerWeights,
        flip: bool,
    ) -> Result<Self, CudaError> {
        let join = Join::of(config);
        let prepare = Preparation { flip_channels: flip, sums_directions: join == Join::SumBeforeProjection };
        let branch = |weights: &MixerWeights, direction| {
            let MixerWeights::Mamba(core) = weights else { return Err(Unsupported::MAMBA2) };
            Ok(Branch {
                projections: Projections::new(device, mixer, config.d_model, weights, prepare)?,
                core: MambaCore::new(device, mixer, core)?,
                direction,
            })
        };
        let mut branches = vec![branch(&weights.forward, Direction::Forward)?];
        if let Some(weights) = &weights.reverse {
            branches.push(branch(weights, Direction::Reverse)?);
        }
        Ok(Self { norm: Norm::new(device, config.norm, &weights.norm, flip)?, branches, join })
    }

    /// The projections that a branch uses.
    pub(super) fn projections(&self, branch: usize) -> &Projections<T> {
        let own = self.branches[branch].projections.as_ref();
        own.or(self.branches[0].projections.as_ref()).expect("the forward direction has projections")
    }
}

impl<T: Real> Branch<T> {
    /// The direction on a strand.
    pub(super) fn on(&self, backwards: bool) -> Direction {
        if backwards { self.direction.opposite() } else { self.direction }
    }
}

impl<T: Real> Projections<T> {
    fn new(
        device: &Device,
        mixer: MambaConfig,
        d_model: usize,
        weights: &MixerWeights,
        prepare: Preparation,
    ) -> Result<Option<Self>, CudaError> {
        let Some((in_proj, out_proj)) = weights.projections() else { return Ok(None) };
        let inner = mixer.d_inner;
        let upload = |bias: Option<Vec<f32>>| bias.map(|bias| device.upload(&bias)).transpose();
        Ok(Some(Self {
            input: matrix(device, &input_weight(in_proj, d_model, 0..2 * inner, prepare.flip_channels))?,
            input_bias: upload(in_proj.bias.clone())?,
            output: matrix(device, &output_weight(out_proj, inner, prepare.flip_channels))?,
            output_bias: upload(output_bias(out_proj, prepare))?,
        }))
    }
}

impl<T: Real> MambaCore<T> {
    fn new(device: &Device, config: MambaConfig, weights: &MambaWeights) -> Result<Self, CudaError> {
        let zeros = vec![0.0; config.d_inner];
        Ok(Self {
            conv_weight: device.upload(&transpose::<f32>(&weights.conv_weight, config.d_conv, |w| w))?,
            conv_bias: weights.conv_bias.as_ref().map(|bias| device.upload(bias)).transpose()?,
            x_proj: matrix(device, &weights.x_proj)?,
            dt_proj: matrix(device, &weights.dt_proj.weight)?,
            a: device.upload(&transpose::<f32>(&weights.a_log, config.d_state, |a_log| -a_log.exp()))?,
            d: device.upload(&weights.d)?,
            delta_bias: device.upload(weights.dt_proj.bias.as_ref().unwrap_or(&zeros))?,
        })
    }
}

/// A matrix in the type that products are made of.
fn matrix<T: Real>(device: &Device, values: &[f32]) -> Result<Buffer<T>, CudaError> {
    device.upload(&values.iter().map(|&x| T::from_f32(x)).collect::<Vec<T>>())
}
