//! What a fine-tuning leaves: the model, its measures and its predictions.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use longstrand_model::Processor;
use longstrand_model::checkpoint::{Checkpoint, Existing as ExistingModel, NewFolder};
use longstrand_pretrain::finetune::{
    ClassWeights, Epoch, FineTuned, FineTuning, Measured, Method, Optimization, Prediction, Recipe, Task,
};
use longstrand_table::{Destination, Existing, Frame, Values, write_text};
use serde_json::{Map, Value, json};

use super::recipe;
use crate::failure::Usage;

const METRICS: &str = "metrics.json";
const PREDICTIONS: &str = "predictions.parquet";

/// The output folder: a model's, which is written whole, or one of two files.
pub(super) enum Outputs {
    Model(NewFolder),
    Files { folder: PathBuf, existing: Existing },
}

impl Outputs {
    /// Looks at the place before anything is computed.
    pub(super) fn new(folder: &Path, force: bool, has_model: bool) -> anyhow::Result<Self> {
        if has_model {
            let existing = if force { ExistingModel::Replace } else { ExistingModel::Refuse };
            return Ok(Self::Model(NewFolder::create(folder, existing)?));
        }
        let files = [METRICS, PREDICTIONS].map(|name| folder.join(name));
        if let Some(file) = files.iter().find(|file| !force && file.exists()) {
            return Err(Usage(format!("{} exists; --force replaces it", file.display())).into());
        }
        let existing = if force { Existing::Replace } else { Existing::Refuse };
        Ok(Self::Files { folder: folder.into(), existing })
    }

    /// A folder that is to be removed if the process ends at once.
    pub(super) fn unfinished(&self) -> Option<PathBuf> {
        match self {
            Self::Model(folder) => Some(folder.path().into()),
            Self::Files { .. } => None,
        }
    }

    /// Writes what a fine-tuning gave.
    pub(super) fn write_tuned(
        self,
        tuned: &FineTuned,
        job: &FineTuning,
        base: &Checkpoint,
        processor: &Processor,
    ) -> anyhow::Result<()> {
        let mut metrics = recipe::to_json(&tuned.recipe);
        metrics.insert("model".into(), model(base));
        metrics.insert("settings".into(), settings(job));
        metrics.insert("parts".into(), tuned.parts.iter().map(part).collect());
        if tuned.checkpoint.is_none() {
            metrics.insert("over_folds".into(), over_parts(&tuned.parts));
        }
        metrics.insert("epochs".into(), tuned.epochs.iter().map(epoch).collect());
        let frame = predictions_frame(&tuned.recipe.task, &tuned.parts);
        let model = tuned.checkpoint.as_ref().map(|checkpoint| (checkpoint, &tuned.recipe));
        self.write(&metrics, &frame, (base, processor), model)
    }

    /// Writes what a tuned model says of a table.
    pub(super) fn write_applied(
        self,
        measured: &Measured,
        recipe: &Recipe,
        model: &Checkpoint,
        processor: &Processor,
    ) -> anyhow::Result<()> {
        let mut metrics = recipe::to_json(recipe);
        metrics.insert("model".into(), self::model(model));
        metrics.insert("parts".into(), Value::from(vec![part(measured)]));
        let frame = predictions_frame(&recipe.task, std::slice::from_ref(measured));
        self.write(&metrics, &frame, (model, processor), None)
    }

    fn write(
        self,
        metrics: &Map<String, Value>,
        predictions: &Frame,
        (of, processor): (&Checkpoint, &Processor),
        tuned: Option<(&Checkpoint, &Recipe)>,
    ) -> anyhow::Result<()> {
        let text = |object: &Map<String, Value>| serde_json::to_string_pretty(object).map(|text| text + "\n");
        let of = tuned.map_or(of, |(checkpoint, _)| checkpoint);
        let mut identity = vec![("longstrand.command".to_owned(), "finetune".to_owned())];
        identity.extend(of.provenance(processor));
        let parquet = |folder: &Path, existing| {
            let destination = Destination::from_path(folder.join(PREDICTIONS));
            predictions.write_parquet(&destination, existing, identity)
        };
        match self {
            Self::Model(folder) => {
                if let Some((checkpoint, recipe)) = tuned {
                    checkpoint.write_into(&folder)?;
                    folder.write(recipe::FILE, text(&recipe::to_json(recipe))?.as_bytes())?;
                }
                folder.write(METRICS, text(metrics)?.as_bytes())?;
                parquet(folder.path(), Existing::Refuse)?;
                folder.finish()?;
            }
            Self::Files { folder, existing } => {
                fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
                write_text(&folder.join(METRICS), &text(metrics)?, existing)?;
                parquet(&folder, existing)?;
            }
        }
        Ok(())
    }
}

/// A row for each part.
pub(super) fn measures_frame(parts: &[Measured]) -> Frame {
    let mut frame = Frame::default();
    frame.push("part", Values::Texts(parts.iter().map(|part| Some(part.part.clone())).collect()));
    let sequences = |part: &Measured| i64::try_from(part.predictions.len()).ok();
    frame.push("sequences", Values::Integers(parts.iter().map(sequences).collect()));
    for (i, (name, _)) in parts.iter().find_map(|part| part.measures.clone()).into_iter().flatten().enumerate() {
        let value = |part: &Measured| part.measures.as_ref().and_then(|measures| measures[i].1);
        frame.push(name, Values::Numbers(parts.iter().map(value).collect()));
    }
    frame
}

/// A row for each sequence.
fn predictions_frame(task: &Task, parts: &[Measured]) -> Frame {
    let rows: Vec<(&str, &Prediction)> =
        parts.iter().flat_map(|part| part.predictions.iter().map(|row| (part.part.as_str(), row))).collect();
    let texts =
        |of: &dyn Fn(&Prediction) -> Option<String>| Values::Texts(rows.iter().map(|(_, row)| of(row)).collect());
    let numbers =
        |of: &dyn Fn(&Prediction) -> Option<f64>| Values::Numbers(rows.iter().map(|(_, row)| of(row)).collect());
    let mut frame = Frame::default();
    frame.push("part", Values::Texts(rows.iter().map(|(part, _)| Some((*part).to_owned())).collect()));
    frame.push("line", Values::Integers(rows.iter().map(|(_, row)| i64::try_from(row.line).ok()).collect()));
    match task {
        Task::Classes(labels) => {
            frame.push("label", texts(&|row| row.label.clone()));
            frame.push("predicted", texts(&|row| Some(labels[row.likeliest()].clone())));
            for (class, label) in labels.iter().enumerate() {
                frame.push(format!("p_{label}"), numbers(&|row| Some(row.said[class])));
            }
        }
        Task::Value { .. } => {
            frame.push("label", numbers(&|row| row.label.as_deref().and_then(|label| label.parse().ok())));
            frame.push("predicted", numbers(&|row| Some(row.said[0])));
        }
    }
    frame
}

fn model(checkpoint: &Checkpoint) -> Value {
    json!({ "name": checkpoint.name, "digest": checkpoint.digest })
}

fn part(measured: &Measured) -> Value {
    let measures: Option<Map<String, Value>> = measured
        .measures
        .as_ref()
        .map(|measures| measures.iter().map(|(name, value)| ((*name).into(), json!(value))).collect());
    json!({ "part": measured.part, "sequences": measured.predictions.len(), "measures": measures })
}

/// Mean and standard deviation (of a sample) of every measure over parts that have it.
fn over_parts(parts: &[Measured]) -> Value {
    let names = parts.iter().find_map(|part| part.measures.clone()).unwrap_or_default();
    let spread = |i: usize| {
        let values: Vec<f64> =
            parts.iter().filter_map(|part| part.measures.as_ref().and_then(|measures| measures[i].1)).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        json!({ "mean": mean, "sd": (squares / (n - 1.0)).sqrt() })
    };
    names.iter().enumerate().map(|(i, (name, _))| ((*name).to_owned(), spread(i))).collect()
}

fn epoch(epoch: &Epoch) -> Value {
    let stage = match epoch.stage {
        Method::HeadOnly => "head",
        Method::Full => "full",
    };
    json!({ "stage": stage, "epoch": epoch.epoch, "loss": epoch.loss, "valid_loss": epoch.valid_loss })
}

fn settings(job: &FineTuning) -> Value {
    let optimization = |of: &Optimization| {
        json!({
            "epochs": of.epochs, "batch": of.batch, "lr": of.rate, "weight_decay": of.weight_decay,
            "warmup": of.warmup, "clip": of.clip,
        })
    };
    let full = (job.method == Method::Full).then(|| optimization(&job.full));
    json!({
        "seed": job.seed,
        "valid_fraction": job.valid_fraction,
        "class_weights": match job.class_weights {
            ClassWeights::Equal => "equal",
            ClassWeights::Balanced => "balanced",
        },
        "head": optimization(&job.head),
        "full": full,
    })
}
