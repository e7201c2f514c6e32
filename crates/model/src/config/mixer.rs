//! Sizes of the two mixers.

/// The mixer of every layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MixerConfig {
    /// The selective scan of Mamba.
    Mamba(MambaConfig),
    /// The state-space duality form of Mamba-2.
    Mamba2(Mamba2Config),
}

impl MixerConfig {
    /// Width inside the mixer.
    pub fn d_inner(&self) -> usize {
        match self {
            Self::Mamba(mamba) => mamba.d_inner,
            Self::Mamba2(mamba2) => mamba2.d_inner,
        }
    }

    /// State size of a channel, N.
    pub fn d_state(&self) -> usize {
        match self {
            Self::Mamba(mamba) => mamba.d_state,
            Self::Mamba2(mamba2) => mamba2.d_state,
        }
    }

    /// Taps of the causal convolution, K.
    pub fn d_conv(&self) -> usize {
        match self {
            Self::Mamba(mamba) => mamba.d_conv,
            Self::Mamba2(mamba2) => mamba2.d_conv,
        }
    }

    /// Channels that pass the convolution.
    pub fn conv_channels(&self) -> usize {
        match self {
            Self::Mamba(mamba) => mamba.d_inner,
            Self::Mamba2(mamba2) => mamba2.conv_channels(),
        }
    }

    /// Rows of the input projection.
    pub fn projection_rows(&self) -> usize {
        match self {
            Self::Mamba(mamba) => 2 * mamba.d_inner,
            Self::Mamba2(mamba2) => mamba2.projection_rows(),
        }
    }
}

/// Sizes of a Mamba mixer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MambaConfig {
    /// Width inside the mixer.
    pub d_inner: usize,
    /// State size of a channel, N.
    pub d_state: usize,
    /// Taps of the causal convolution, K.
    pub d_conv: usize,
    /// Rank of the step-size projection, R.
    pub dt_rank: usize,
    /// Whether the input and output projections have a bias.
    pub bias: bool,
    /// Whether the convolution has a bias.
    pub conv_bias: bool,
}

/// Sizes of a Mamba-2 mixer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mamba2Config {
    /// Width inside the mixer, `n_heads` × `head_dim`.
    pub d_inner: usize,
    /// State size, N.
    pub d_state: usize,
    /// Taps of the causal convolution, K.
    pub d_conv: usize,
    /// Number of heads.
    pub n_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Groups of heads that share B and C.
    pub n_groups: usize,
    /// Lower and upper bound of the step size after softplus; (0, ∞) leaves it alone.
    pub dt_limit: (f64, f64),
    /// Channels over which the gated norm runs: `d_inner` in transformers, `d_inner / n_groups` in state-spaces code.
    pub norm_group: usize,
    /// Epsilon of the gated norm.
    pub norm_epsilon: f64,
    /// Whether the input and output projections have a bias.
    pub bias: bool,
    /// Whether the convolution has a bias.
    pub conv_bias: bool,
}

impl Mamba2Config {
    /// Channels that pass the convolution: x, B and C.
    pub fn conv_channels(&self) -> usize {
        self.d_inner + 2 * self.n_groups * self.d_state
    }

    /// Rows of the input projection: z, x, B, C and the step sizes.
    pub fn projection_rows(&self) -> usize {
        self.d_inner + self.conv_channels() + self.n_heads
    }
}
