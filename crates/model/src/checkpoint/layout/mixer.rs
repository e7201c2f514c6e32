//! The tensors of one layer.

use super::{Names, norm};
use crate::checkpoint::tensors::Tensors;
use crate::checkpoint::{CheckpointError, LayerWeights, LinearWeights, Mamba2Weights, MambaWeights, MixerWeights};
use crate::config::{Config, Directions, Mamba2Config, MambaConfig, MixerConfig, Naming};

pub(super) fn layer(
    tensors: &mut Tensors,
    config: &Config,
    names: &Names,
    index: usize,
) -> Result<LayerWeights, CheckpointError> {
    let layer = format!("{}layers.{index}.", names.backbone);
    let mixer = format!("{layer}mixer.{}", names.mixer_wrapper);
    let forward = match config.naming {
        Naming::Caduceus => format!("{mixer}mamba_fwd."),
        Naming::HuggingFace | Naming::StateSpaces => mixer.clone(),
    };
    let reverse = format!("{mixer}mamba_rev.");
    let norm = norm(tensors, config, &format!("{layer}norm.{}", names.norm_wrapper))?;
    let reverse = match config.directions {
        Directions::Causal => None,
        Directions::Bidirectional { tied, .. } => {
            let tied = tied.then_some(forward.as_str());
            Some(mixer_weights(&mut MixerReader { tensors: &mut *tensors, prefix: &reverse, tied_to: tied }, config)?)
        }
    };
    let forward = mixer_weights(&mut MixerReader { tensors, prefix: &forward, tied_to: None }, config)?;
    Ok(LayerWeights { norm, forward, reverse })
}

fn mixer_weights(reader: &mut MixerReader<'_>, config: &Config) -> Result<MixerWeights, CheckpointError> {
    match &config.mixer {
        MixerConfig::Mamba(mamba) => reader.mamba(mamba, config.d_model).map(MixerWeights::Mamba),
        MixerConfig::Mamba2(mamba2) => reader.mamba2(mamba2, config.d_model).map(MixerWeights::Mamba2),
    }
}

/// Takes the tensors of one direction.
struct MixerReader<'a> {
    tensors: &'a mut Tensors,
    prefix: &'a str,
    /// The mixer whose input and output projections this one uses.
    tied_to: Option<&'a str>,
}

impl MixerReader<'_> {
    fn mamba(&mut self, mamba: &MambaConfig, d_model: usize) -> Result<MambaWeights, CheckpointError> {
        let MambaConfig { d_inner, d_state, d_conv, dt_rank, bias, conv_bias } = *mamba;
        Ok(MambaWeights {
            in_proj: self.projection("in_proj", [2 * d_inner, d_model], bias)?,
            conv_weight: self.take("conv1d.weight", &[d_inner, 1, d_conv])?,
            conv_bias: self.take_if(conv_bias, "conv1d.bias", &[d_inner])?,
            x_proj: self.take("x_proj.weight", &[dt_rank + 2 * d_state, d_inner])?,
            dt_proj: self.linear("dt_proj", [d_inner, dt_rank], true)?,
            a_log: self.take("A_log", &[d_inner, d_state])?,
            d: self.take("D", &[d_inner])?,
            out_proj: self.projection("out_proj", [d_model, d_inner], bias)?,
        })
    }

    fn mamba2(&mut self, mamba2: &Mamba2Config, d_model: usize) -> Result<Mamba2Weights, CheckpointError> {
        let (channels, heads) = (mamba2.conv_channels(), mamba2.n_heads);
        Ok(Mamba2Weights {
            in_proj: self.projection("in_proj", [mamba2.projection_rows(), d_model], mamba2.bias)?,
            conv_weight: self.take("conv1d.weight", &[channels, 1, mamba2.d_conv])?,
            conv_bias: self.take_if(mamba2.conv_bias, "conv1d.bias", &[channels])?,
            dt_bias: self.take("dt_bias", &[heads])?,
            a_log: self.take("A_log", &[heads])?,
            d: self.take("D", &[heads])?,
            norm: self.take("norm.weight", &[mamba2.d_inner])?,
            out_proj: self.projection("out_proj", [d_model, mamba2.d_inner], mamba2.bias)?,
        })
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        self.tensors.take(&format!("{}{name}", self.prefix), shape)
    }

    fn take_if(&mut self, present: bool, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, CheckpointError> {
        if present { self.take(name, shape).map(Some) } else { Ok(None) }
    }

    fn linear(&mut self, name: &str, shape: [usize; 2], bias: bool) -> Result<LinearWeights, CheckpointError> {
        Ok(LinearWeights {
            weight: self.take(&format!("{name}.weight"), &shape)?,
            bias: self.take_if(bias, &format!("{name}.bias"), &shape[..1])?,
        })
    }

    /// A projection that the two directions may share: the reverse one's tensors, if stored at all, repeat the other's.
    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        bias: bool,
    ) -> Result<Option<LinearWeights>, CheckpointError> {
        let Some(original) = self.tied_to else {
            return self.linear(name, shape, bias).map(Some);
        };
        let mut alias = |part: &str, shape: &[usize]| {
            let (copy, original) = (format!("{}{name}.{part}", self.prefix), format!("{original}{name}.{part}"));
            self.tensors.take_alias(&copy, &original, shape)
        };
        alias("weight", &shape)?;
        if bias {
            alias("bias", &shape[..1])?;
        }
        Ok(None)
    }
}
