//! All settings and their defaults.

use std::path::PathBuf;

use longstrand_kernels::backend;
use serde::{Deserialize, Serialize};

use super::ModelSettings;
use crate::{objective::RandomIds, sample::Stage, schedule::FirstStep, split::Reading};

/// The settings of a training.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The preset that they started from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// What is trained.
    pub model: ModelSettings,
    /// What it is trained on.
    pub data: DataSettings,
    /// What it learns.
    pub objective: ObjectiveSettings,
    /// The learning rate.
    pub schedule: ScheduleSettings,
    /// How weights move.
    pub optimizer: OptimizerSettings,
    /// How long, and what is kept.
    pub run: RunSettings,
    /// How the loss on held-out bases is watched.
    pub validation: ValidationSettings,
}

/// Genomes and windows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// FASTA and 2bit files; relative to where the program is started.
    pub genomes: Vec<PathBuf>,
    /// Whether a record named `contig:start-end` stands for that interval of `contig`.
    pub sliced_reference: bool,
    /// BED of the bases that may be used; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<PathBuf>,
    /// BED of bases that may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<PathBuf>,
    /// Bases of a window.
    pub length: u64,
    /// Lengths from steps on, in the place of `length`, for a warm-up of the length.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// The probability that a window is read from the reverse strand.
    pub reverse_complement: f64,
    /// Windows of which a larger fraction is none of A, C, G, T are drawn again.
    pub max_ambiguous: f64,
    /// What is held out.
    pub split: SplitSettings,
}

impl Default for DataSettings {
    /// 1,024 bases, either strand (Caduceus-Ph), at most a tenth of them ambiguous.
    fn default() -> Self {
        Self {
            genomes: Vec::new(),
            sliced_reference: false,
            include: None,
            exclude: None,
            length: 1_024,
            stages: Vec::new(),
            reverse_complement: 0.5,
            max_ambiguous: 0.1,
            split: SplitSettings::default(),
        }
    }
}

/// How bases are divided; see [`crate::split`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitSettings {
    /// By what.
    pub kind: SplitKind,
    /// `fraction`: the part of every contig that is for validation.
    pub valid: f64,
    /// `fraction`: the part that is for the test.
    pub test: f64,
    /// `fraction`: bases left out around each border.
    pub gap: u64,
    /// `contigs`: those for validation.
    pub valid_contigs: Vec<String>,
    /// `contigs`: those for the test.
    pub test_contigs: Vec<String>,
    /// `bed`: the table, its fourth column `train`, `valid` or `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bed: Option<PathBuf>,
    /// `bed`: how rows are read.
    pub reading: Reading,
}

impl Default for SplitSettings {
    /// 5 % of every contig for validation, 5 % for the test, 1,000 bases left out around each border.
    fn default() -> Self {
        Self {
            kind: SplitKind::Fraction,
            valid: 0.05,
            test: 0.05,
            gap: 1_000,
            valid_contigs: Vec::new(),
            test_contigs: Vec::new(),
            bed: None,
            reading: Reading::LeakFree,
        }
    }
}

/// By what bases are divided.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// By fractions of every contig.
    #[default]
    Fraction,
    /// By names of contigs.
    Contigs,
    /// By a table.
    Bed,
}

/// What is learned; see [`crate::objective`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveSettings {
    /// The objective.
    pub kind: ObjectiveKind,
    /// `masked`: the fraction of bases that is selected.
    pub select: f64,
    /// `masked`: the fraction of those that becomes `[MASK]`.
    pub mask: f64,
    /// `masked`: the fraction of those that becomes a random token.
    pub random: f64,
    /// `masked`: which tokens these are.
    pub random_ids: RandomIds,
    /// How much the loss of a lower-case base counts: 1 as any other, 0 not at all. PlantCaduceus and GPN take 0.1.
    pub soft_mask_weight: f64,
}

impl Default for ObjectiveSettings {
    /// Caduceus: 15 %, of which 80 % masked, 10 % random out of the whole vocabulary.
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::Masked,
            select: 0.15,
            mask: 0.8,
            random: 0.1,
            random_ids: RandomIds::Vocabulary,
            soft_mask_weight: 1.0,
        }
    }
}

/// The objectives.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveKind {
    /// The next base; for models that run left to right.
    Causal,
    /// Hidden bases; for models that run both ways.
    Masked,
}

/// The learning rate; see [`crate::schedule`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSettings {
    /// What follows the warm-up.
    pub kind: ScheduleKind,
    /// The rate that the warm-up starts from.
    pub start: f64,
    /// The largest rate.
    pub peak: f64,
    /// `cosine`, `wsd`: the rate at the end.
    #[serde(rename = "final")]
    pub last: f64,
    /// The part of all steps that is warm-up.
    pub warmup: f64,
    /// Steps of the warm-up, in the place of `warmup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// What the first step gets.
    pub first_step: FirstStep,
    /// `wsd`: the part of all steps that is decay.
    pub decay: f64,
}

impl Default for ScheduleSettings {
    /// Caduceus: a tenth of the steps up from 1e-6 to 8e-3, then a cosine down to 1e-4.
    fn default() -> Self {
        Self {
            kind: ScheduleKind::Cosine,
            start: 1e-6,
            peak: 8e-3,
            last: 1e-4,
            warmup: 0.1,
            warmup_steps: None,
            first_step: FirstStep::Start,
            decay: 0.1,
        }
    }
}

/// What follows the warm-up.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The largest rate for ever.
    Constant,
    /// Half a cosine.
    Cosine,
    /// The largest rate, then a linear decay (warm-up, stable, decay).
    Wsd,
}

/// AdamW; see [`crate::optimizer`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerSettings {
    /// β₁
    pub beta1: f64,
    /// β₂
    pub beta2: f64,
    /// ε
    pub epsilon: f64,
    /// The decay of matrices.
    pub weight_decay: f64,
    /// The largest norm of all gradients.
    pub clip: f64,
}

impl Default for OptimizerSettings {
    /// Mamba and Caduceus: β 0.9 and 0.95, decay 0.1, norm at most 1.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1, clip: 1.0 }
    }
}

/// How long a run is, and what it keeps.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// Updates of the weights.
    pub steps: u64,
    /// Tokens of an update, all windows together.
    pub tokens: u64,
    /// What makes the difference between two runs: initial weights, windows, masks.
    pub seed: u64,
    /// What activations are computed in.
    pub precision: Precision,
    /// Processes that own each window together, every one a stretch of it; the number of processes is a multiple of it.
    pub context_ranks: u64,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Checkpoints that are kept, the last one among them; that of the best validation is kept beside them.
    pub keep: u64,
    /// The run ends when a step's loss is more than so many times the running mean of those before; 0 for never.
    pub spike: f64,
}

impl Default for RunSettings {
    /// Caduceus at 1,024 bases: 10,000 steps of 2²⁰ tokens, seed 2222.
    fn default() -> Self {
        Self {
            steps: 10_000,
            tokens: 1 << 20,
            seed: 2_222,
            precision: Precision::F32,
            context_ranks: 1,
            save_every: 500,
            keep: 3,
            spike: 3.0,
        }
    }
}

/// What a step multiplies. Weights, sums, scans, losses, gradients and the optimizer are f32 in either case.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    F32,
    /// Brain floats, of eight significant bits: what matrix products and norms read is rounded, and layer inputs are kept
    /// so.
    Bf16,
}

impl From<Precision> for backend::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::Full,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// How held-out bases are watched.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationSettings {
    /// Steps between validations; 0 for none.
    pub every: u64,
    /// Windows of a validation, always the same ones.
    pub windows: u32,
    /// Bases of such a window; as long as the longest of the training when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// What decides where they lie and what is masked in them, apart from the run's seed, so that runs can be compared.
    pub seed: u64,
}

impl Default for ValidationSettings {
    /// 512 windows every 500 steps.
    fn default() -> Self {
        Self { every: 500, windows: 512, length: None, seed: 0 }
    }
}

impl Settings {
    /// The settings as a TOML file that gives them again.
    ///
    /// # Errors
    ///
    /// - a path is no UTF-8 text, or a number is larger than TOML holds (2⁶³ − 1)
    pub fn to_toml(&self) -> Result<String, super::ConfigError> {
        toml::to_string(self).map_err(super::ConfigError::write)
    }
}
