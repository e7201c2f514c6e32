//! What a run's folder says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::ReportError;
use crate::{
    config::{ConfigFile, Settings, resolve},
    train::{MetricsLine, StepMetrics, ValidationMetrics, read_metrics},
};

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct Record {
    /// The folder.
    pub folder: PathBuf,
    /// `config.toml`, as it is written.
    pub config: String,
    /// What it says.
    pub settings: Settings,
    /// What the run began with: program, sizes and inputs; null where `run.json` is missing.
    pub facts: Value,
    /// The steps so far.
    pub steps: Vec<StepMetrics>,
    /// The validations so far.
    pub validations: Vec<ValidationMetrics>,
}

impl Record {
    /// Reads the files of a run. Those that a run that has just begun has not yet are left out.
    ///
    /// # Errors
    ///
    /// - there is no `config.toml`, or it is none
    /// - a line of `metrics.jsonl`, or `run.json`, is none
    /// - a file cannot be read
    pub fn read(folder: &Path) -> Result<Self, ReportError> {
        let path = folder.join("config.toml");
        let config = read(&path)?;
        let settings = resolve(None, Some(ConfigFile { path: &path, text: &config }), &[])?;
        let path = folder.join("run.json");
        let facts = if path.exists() { read(&path)? } else { "null".into() };
        let facts = serde_json::from_str(&facts).map_err(|error| ReportError::Read { path, source: error.into() })?;
        let path = folder.join("metrics.jsonl");
        let lines = if path.exists() { read_metrics(&path)? } else { Vec::new() };
        let mut record =
            Self { folder: folder.into(), config, settings, facts, steps: Vec::new(), validations: Vec::new() };
        for line in lines {
            match line {
                MetricsLine::Step(metrics) => record.steps.push(metrics),
                MetricsLine::Validation(metrics) => record.validations.push(metrics),
            }
        }
        Ok(record)
    }

    /// Updates of the weights so far.
    pub fn step(&self) -> u64 {
        self.steps.last().map_or(0, |metrics| metrics.step)
    }

    /// Whether all steps are done.
    pub fn is_finished(&self) -> bool {
        self.step() >= self.settings.run.steps
    }

    /// Bases that were trained on.
    pub fn tokens(&self) -> u64 {
        self.steps.iter().map(|metrics| metrics.tokens).sum()
    }

    /// Seconds of steps, and of validations.
    pub fn seconds(&self) -> (f64, f64) {
        let of_validations = self.validations.iter().map(|metrics| metrics.seconds).sum();
        (self.steps.iter().map(|metrics| metrics.seconds).sum(), of_validations)
    }

    /// The validation with the smallest loss.
    pub fn best(&self) -> Option<&ValidationMetrics> {
        ValidationMetrics::best(&self.validations)
    }
}

fn read(path: &Path) -> Result<String, ReportError> {
    fs::read_to_string(path).map_err(|source: io::Error| ReportError::Read { path: path.into(), source })
}
