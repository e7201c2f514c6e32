//! The tensors of one layer.

use super::source::Source;
use super::{Names, norm};
use crate::checkpoint::{LayerWeights, LinearWeights, Mamba2Weights, MambaWeights, MixerWeights};
use crate::config::{Config, Directions, Mamba2Config, MambaConfig, MixerConfig, Naming};

pub(super) fn layer<S, F: Source<S>>(
    source: &mut F,
    config: &Config,
    names: &Names,
    index: usize,
) -> Result<LayerWeights<S>, F::Error> {
    let layer = format!("{}layers.{index}.", names.backbone);
    let mixer = format!("{layer}mixer.{}", names.mixer_wrapper);
    let forward = match config.naming {
        Naming::Caduceus => format!("{mixer}mamba_fwd."),
        Naming::HuggingFace | Naming::StateSpaces => mixer.clone(),
    };
    let reverse = format!("{mixer}mamba_rev.");
    let tied = matches!(config.directions, Directions::Bidirectional { tied: true, .. });
    let projections = if tied { Projections::SharedWith(&reverse) } else { Projections::Own };
    Ok(LayerWeights {
        norm: norm(source, config, &format!("{layer}norm.{}", names.norm_wrapper))?,
        forward: mixer_weights(source, config, Direction { prefix: &forward, projections })?,
        reverse: match config.directions {
            Directions::Causal => None,
            Directions::Bidirectional { .. } => {
                let projections = if tied { Projections::Elsewhere } else { Projections::Own };
                Some(mixer_weights(source, config, Direction { prefix: &reverse, projections })?)
            }
        },
    })
}

fn mixer_weights<S, F: Source<S>>(
    source: &mut F,
    config: &Config,
    direction: Direction<'_>,
) -> Result<MixerWeights<S>, F::Error> {
    match &config.mixer {
        MixerConfig::Mamba(mamba) => direction.mamba(source, mamba, config.d_model).map(MixerWeights::Mamba),
        MixerConfig::Mamba2(mamba2) => direction.mamba2(source, mamba2, config.d_model).map(MixerWeights::Mamba2),
    }
}

/// Whose a mixer's input and output projections are.
#[derive(Clone, Copy)]
enum Projections<'a> {
    Own,
    /// Its own, and some files hold them once more under this prefix.
    SharedWith(&'a str),
    /// Those of the other direction.
    Elsewhere,
}

/// The tensors of one direction.
#[derive(Clone, Copy)]
struct Direction<'a> {
    prefix: &'a str,
    projections: Projections<'a>,
}

impl Direction<'_> {
    fn mamba<S, F: Source<S>>(
        &self,
        source: &mut F,
        mamba: &MambaConfig,
        d_model: usize,
    ) -> Result<MambaWeights<S>, F::Error> {
        let MambaConfig { d_inner, d_state, d_conv, dt_rank, bias, conv_bias } = *mamba;
        Ok(MambaWeights {
            in_proj: self.projection(source, "in_proj", [2 * d_inner, d_model], bias)?,
            conv_weight: self.tensor(source, "conv1d.weight", &[d_inner, 1, d_conv])?,
            conv_bias: self.tensor_if(source, conv_bias, "conv1d.bias", &[d_inner])?,
            x_proj: self.tensor(source, "x_proj.weight", &[dt_rank + 2 * d_state, d_inner])?,
            dt_proj: self.linear(source, "dt_proj", [d_inner, dt_rank], true)?,
            a_log: self.tensor(source, "A_log", &[d_inner, d_state])?,
            d: self.tensor(source, "D", &[d_inner])?,
            out_proj: self.projection(source, "out_proj", [d_model, d_inner], bias)?,
        })
    }

    fn mamba2<S, F: Source<S>>(
        &self,
        source: &mut F,
        mamba2: &Mamba2Config,
        d_model: usize,
    ) -> Result<Mamba2Weights<S>, F::Error> {
        let (channels, heads) = (mamba2.conv_channels(), mamba2.n_heads);
        Ok(Mamba2Weights {
            in_proj: self.projection(source, "in_proj", [mamba2.projection_rows(), d_model], mamba2.bias)?,
            conv_weight: self.tensor(source, "conv1d.weight", &[channels, 1, mamba2.d_conv])?,
            conv_bias: self.tensor_if(source, mamba2.conv_bias, "conv1d.bias", &[channels])?,
            dt_bias: self.tensor(source, "dt_bias", &[heads])?,
            a_log: self.tensor(source, "A_log", &[heads])?,
            d: self.tensor(source, "D", &[heads])?,
            norm: self.tensor(source, "norm.weight", &[mamba2.d_inner])?,
            out_proj: self.projection(source, "out_proj", [d_model, mamba2.d_inner], mamba2.bias)?,
        })
    }

    fn tensor<S, F: Source<S>>(&self, source: &mut F, name: &str, shape: &[usize]) -> Result<Vec<S>, F::Error> {
        source.tensor(&format!("{}{name}", self.prefix), shape)
    }

    fn tensor_if<S, F: Source<S>>(
        &self,
        source: &mut F,
        present: bool,
        name: &str,
        shape: &[usize],
    ) -> Result<Option<Vec<S>>, F::Error> {
        if present { self.tensor(source, name, shape).map(Some) } else { Ok(None) }
    }

    fn linear<S, F: Source<S>>(
        &self,
        source: &mut F,
        name: &str,
        shape: [usize; 2],
        bias: bool,
    ) -> Result<LinearWeights<S>, F::Error> {
        Ok(LinearWeights {
            weight: self.tensor(source, &format!("{name}.weight"), &shape)?,
            bias: self.tensor_if(source, bias, &format!("{name}.bias"), &shape[..1])?,
        })
    }

    /// A projection that the two directions may share.
    fn projection<S, F: Source<S>>(
        &self,
        source: &mut F,
        name: &str,
        shape: [usize; 2],
        bias: bool,
    ) -> Result<Option<LinearWeights<S>>, F::Error> {
        match self.projections {
            Projections::Elsewhere => return Ok(None),
            Projections::Own => {}
            Projections::SharedWith(other) => {
                let mut copy = |part: &str, shape: &[usize]| {
                    source.copy(&format!("{other}{name}.{part}"), &format!("{}{name}.{part}", self.prefix), shape)
                };
                copy("weight", &shape)?;
                if bias {
                    copy("bias", &shape[..1])?;
                }
            }
        }
        self.linear(source, name, shape, bias).map(Some)
    }
}
