//! The Mamba DNA model family: configurations, checkpoints and streaming forward passes.
