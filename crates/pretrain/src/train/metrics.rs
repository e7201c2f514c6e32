//! `metrics.jsonl`: what every step of a run was like, one JSON object a line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use longstrand_seq::whole_file::WholeFile;
use serde::{Deserialize, Serialize};

use super::TrainError;

/// A line of `metrics.jsonl`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MetricsLine {
    /// A validation.
    Validation(ValidationMetrics),
    /// A step.
    Step(StepMetrics),
}

/// A step of a run.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct StepMetrics {
    /// Updates of the weights, this one among them; the first step is 1.
    pub step: u64,
    /// The mean loss over the step's targets before the update, in nats; none where there was no target.
    pub loss: Option<f64>,
    /// For which part of the targets no other token had a larger logit; none where there was no target.
    pub accuracy: Option<f64>,
    /// The learning rate of the update.
    pub rate: f64,
    /// The norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Bases of a window.
    pub length: u64,
    /// Bases of the step, all windows together.
    pub tokens: u64,
    /// What the step took; bases a second are `tokens / seconds`.
    pub seconds: f64,
}

/// A validation of a run, by the weights that a step has left.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct ValidationMetrics {
    /// Updates of the weights so far.
    pub step: u64,
    /// What was measured.
    pub validation: Validation,
    /// What it took.
    pub seconds: f64,
}

impl ValidationMetrics {
    /// The one with the smallest loss that is a number.
    pub fn best<'a>(validations: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        let with_loss = validations.into_iter().filter_map(|metrics| Some((metrics.validation.loss?, metrics)));
        let finite = with_loss.filter(|(loss, _)| loss.is_finite());
        finite.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, metrics)| metrics)
    }
}

/// What a model makes of the held-out windows.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Validation {
    /// The mean loss over all targets, in nats; none where there is no target.
    pub loss: Option<f64>,
    /// For which part of the targets no other token has a larger logit.
    pub accuracy: Option<f64>,
    /// The mean loss where the model sees `[MASK]`; none of causal models.
    pub masked_loss: Option<f64>,
    /// Targets.
    pub targets: u64,
}

impl MetricsLine {
    /// Updates of the weights so far.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(metrics) => metrics.step,
            Self::Validation(metrics) => metrics.step,
        }
    }
}

/// Reads the lines of a file. A last line that is not whole is left out: the run that wrote it was killed, or is writing.
///
/// # Errors
///
/// - the file cannot be read, or a line is none of a run
pub fn read_metrics(path: &Path) -> Result<Vec<MetricsLine>, TrainError> {
    whole_lines(path)?.iter().map(|(_, line)| Ok(*line)).collect()
}

/// The whole lines of a file with their texts, which end in a line feed.
fn whole_lines(path: &Path) -> Result<Vec<(String, MetricsLine)>, TrainError> {
    let text = fs::read_to_string(path).map_err(TrainError::io("read", path))?;
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let parse = |(i, line): (usize, &str)| match serde_json::from_str(line) {
        Ok(parsed) => Ok((line.to_owned(), parsed)),
        Err(source) => Err(TrainError::Metrics { path: path.into(), line: i + 1, source }),
    };
    whole.enumerate().map(parse).collect()
}

/// The file that a run appends to.
#[derive(Debug)]
pub(super) struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file behind the lines of the first `step` steps: what comes after them is cut off, in one go. Returns those
    /// lines.
    pub(super) fn open(path: &Path, step: u64) -> Result<(Self, Vec<MetricsLine>), TrainError> {
        let lines = if path.exists() { whole_lines(path)? } else { Vec::new() };
        let kept: Vec<_> = lines.into_iter().filter(|(_, line)| line.step() <= step).collect();
        let text: String = kept.iter().map(|(text, _)| text.as_str()).collect();
        replace(path, &text).map_err(TrainError::io("write", path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainError::io("write", path))?;
        Ok((Self { path: path.into(), file }, kept.into_iter().map(|(_, line)| line).collect()))
    }

    /// Appends a line.
    pub(super) fn append(&mut self, line: &MetricsLine) -> Result<(), TrainError> {
        let mut text = serde_json::to_string(line).expect("numbers are JSON");
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(TrainError::io("write", &self.path))
    }

    /// Makes what was appended reach the disk.
    pub(super) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_all().map_err(TrainError::io("write", &self.path))
    }
}

/// Puts a whole text in the place of a file.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let file = WholeFile::create(path)?;
    file.handle()?.write_all(text.as_bytes())?;
    file.seal(true).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64) -> MetricsLine {
        let (loss, accuracy) = (Some(1.25 / step as f64), Some(0.1 + 0.2));
        MetricsLine::Step(StepMetrics {
            step,
            loss,
            accuracy,
            rate: 1e-3,
            grad_norm: 0.7,
            length: 8,
            tokens: 64,
            seconds: 0.1,
        })
    }

    fn validation(step: u64) -> MetricsLine {
        let validation = Validation { loss: Some(1.3), accuracy: Some(0.3), masked_loss: None, targets: 9 };
        MetricsLine::Validation(ValidationMetrics { step, validation, seconds: 1.5 })
    }

    #[test]
    fn lines_come_back_as_they_were_and_are_cut_behind_a_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let (mut file, kept) = MetricsFile::open(&path, 0).unwrap();
        assert!(kept.is_empty());
        let lines = [step(1), step(2), validation(2), step(3)];
        lines.iter().for_each(|line| file.append(line).unwrap());
        file.file.write_all(b"{\"step\":4,\"lo").unwrap();
        assert_eq!(read_metrics(&path).unwrap(), lines);
        let (mut file, kept) = MetricsFile::open(&path, 2).unwrap();
        assert_eq!(kept, lines[..3]);
        file.append(&step(3)).unwrap();
        file.sync().unwrap();
        assert_eq!(read_metrics(&path).unwrap(), lines);
    }

    #[test]
    fn what_is_no_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, format!("{}\nloss: 1.2\n", serde_json::to_string(&step(1)).unwrap())).unwrap();
        let message = read_metrics(&path).unwrap_err().to_string();
        assert!(message.ends_with("metrics.jsonl, line 2: expected the metrics of a step"), "{message}");
    }

    #[test]
    fn a_step_without_targets_has_no_loss() {
        let MetricsLine::Step(one) = step(1) else { unreachable!() };
        let none = MetricsLine::Step(StepMetrics { loss: None, accuracy: None, ..one });
        let text = serde_json::to_string(&none).unwrap();
        assert!(text.starts_with(r#"{"step":1,"loss":null,"#), "{text}");
        assert_eq!(serde_json::from_str::<MetricsLine>(&text).unwrap(), none);
    }
}
