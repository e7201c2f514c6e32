//! The configuration of a training: presets, a TOML file, flags.
//!
//! Every setting has a default. A preset changes some, a file some more, and flags have the last word. Tables are merged
//! key by key and lists replaced whole. A key that is not known is an error that names it and its line.
//!
//! ```
//! use longstrand_pretrain::config::{Flag, Settings, resolve};
//!
//! let flags = [Flag::new("run.steps", 500)];
//! let settings = resolve(Some("caduceus-ph-1k"), None, &flags)?;
//! assert_eq!((settings.run.steps, settings.run.tokens), (500, 1 << 20));
//! assert_eq!(settings.schedule()?.rate(50), 8e-3);
//! # Ok::<(), longstrand_pretrain::config::ConfigError>(())
//! ```

mod check;
mod error;
mod merge;
mod model;
mod preset;
mod settings;

pub use error::ConfigError;
pub use merge::{ConfigFile, Flag, resolve};
pub use model::{FamilyName, ModelSettings};
pub use preset::{PRESETS, Preset};
pub use settings::{
    DataSettings, ObjectiveKind, ObjectiveSettings, OptimizerSettings, Precision, RunSettings, ScheduleKind,
    ScheduleSettings, Settings, SplitKind, SplitSettings, ValidationSettings,
};

#[cfg(test)]
mod tests;
