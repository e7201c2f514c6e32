//! `--device`: where to compute.

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Device {
    /// The fastest device that this version can compute on
    #[default]
    Auto,
    /// The CPU
    Cpu,
}
