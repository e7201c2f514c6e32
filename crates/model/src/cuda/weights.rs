//! A model's weights on a device, changed as its layers use them.

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real};
use longstrand_kernels::embedding::complement_table;
use longstrand_kernels::{Direction, norm};
use rayon::prelude::*;

use super::layout::{Stretch, Walk, on};
use super::mixer::{self, Core, matrix};
use crate::checkpoint::{LayerWeights, MixerWeights, NormWeights, Weights};
use crate::config::{Config, NormConfig, NormKind};
use crate::head::head_table;
use crate::layer::Join;
use crate::mixer::{Preparation, input_weight, output_bias, output_weight};
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
    pub(super) core: Core<T>,
    /// The direction on a strand that is not walked backwards.
    pub(super) direction: Direction,
}

/// Input and output projections.
#[derive(Debug)]
pub(super) struct Projections<T: Real> {
    /// Rows x and z; of Mamba-2 z, x, B, C and Δ: `[rows, D]`.
    pub(super) input: Buffer<T>,
    pub(super) input_bias: Option<Buffer<f32>>,
    /// `[D, I]`
    pub(super) output: Buffer<T>,
    pub(super) output_bias: Option<Buffer<f32>>,
}

impl<T: Real> DeviceWeights<T> {
    /// Brings weights that follow their configuration to the device, one layer after another.
    pub(super) fn new(device: &Device, config: &Config, weights: &Weights) -> Result<Self, CudaError> {
        let layers = weights.layers.iter().enumerate();
        let layers = layers.map(|(i, layer)| Layer::of_place(device, config, i, layer));
        Self::with_layers(device, config, weights, layers.collect::<Result<_, _>>()?)
    }

    /// As `new`, by all threads of the pool that it is called in: each has a layer's weights changed in memory meanwhile.
    pub(super) fn by_all_threads(device: &Device, config: &Config, weights: &Weights) -> Result<Self, CudaError> {
        let layers = weights.layers.par_iter().enumerate();
        let layers = layers.map(|(i, layer)| Layer::of_place(device, config, i, layer));
        Self::with_layers(device, config, weights, layers.collect::<Result<_, _>>()?)
    }

    fn with_layers(
        device: &Device,
        config: &Config,
        weights: &Weights,
        layers: Vec<Layer<T>>,
    ) -> Result<Self, CudaError> {
        let mut tables = vec![device.upload(&weights.embedding)?];
        if let Some(rcps) = &config.rcps {
            let complement = complement_table(&weights.embedding, config.d_model, &rcps.complement_map);
            tables.push(device.upload(&complement)?);
        }
        let last = Arrangement::after_blocks(config, config.n_layer);
        Ok(Self {
            tables,
            layers,
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
    fn of_place(device: &Device, config: &Config, index: usize, weights: &LayerWeights) -> Result<Self, CudaError> {
        mixer::check(config)?;
        Self::new(device, config, weights, Arrangement::of_layer(config, index).swapped)
    }

    fn new(device: &Device, config: &Config, weights: &LayerWeights, flip: bool) -> Result<Self, CudaError> {
        let join = Join::of(config);
        let prepare = Preparation { flip_channels: flip, sums_directions: join == Join::SumBeforeProjection };
        let branch = |weights: &MixerWeights, direction| {
            Ok(Branch {
                projections: Projections::new(device, config, weights, prepare)?,
                core: Core::new(device, &config.mixer, weights)?,
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
        on(self.direction, backwards)
    }

    /// A stretch as the branch walks it.
    pub(super) fn walk<'a>(&self, stretch: Stretch<'a>) -> Walk<'a> {
        Walk { stretch, direction: self.direction }
    }
}

impl<T: Real> Projections<T> {
    fn new(
        device: &Device,
        config: &Config,
        weights: &MixerWeights,
        prepare: Preparation,
    ) -> Result<Option<Self>, CudaError> {
        let Some((in_proj, out_proj)) = weights.projections() else { return Ok(None) };
        let rows = 0..config.mixer.projection_rows();
        let upload = |bias: Option<Vec<f32>>| bias.map(|bias| device.upload(&bias)).transpose();
        Ok(Some(Self {
            input: matrix(device, &input_weight(in_proj, config.d_model, rows, prepare.flip_channels))?,
            input_bias: upload(in_proj.bias.clone())?,
            output: matrix(device, &output_weight(out_proj, config.mixer.d_inner(), prepare.flip_channels))?,
            output_bias: upload(output_bias(out_proj, prepare))?,
        }))
    }
}
