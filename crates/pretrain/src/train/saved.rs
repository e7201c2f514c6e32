//! A run's checkpoints: the model as the reference code loads it, the optimizer's state, and a digest of every file.
//!
//! ```text
//! checkpoints/step-0000100/
//! ├── config.json, model.safetensors, …   the model
//! ├── optimizer.safetensors               exp_avg.NAME and exp_avg_sq.NAME of every parameter
//! ├── state.json                          the step and the running mean of the loss
//! └── SHA256SUMS                          of all of these, as sha256sum -c reads it
//! ```

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use longstrand_model::{
    checkpoint::{
        Checkpoint, Existing, NamedTensor, NewFolder, TensorSpec, Weights, tensors_from_safetensors,
        tensors_to_safetensors,
    },
    config::Config,
};
use longstrand_seq::{Vocabulary, digest::digests};
use serde::{Deserialize, Serialize};

use super::{Flaw, TrainError, spike::RunningLoss, step::Learner};
use crate::optimizer::AdamW;

const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const SUMS: &str = "SHA256SUMS";

/// What a run is at, beside weights and moments.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Updates of the weights.
    step: u64,
    /// The running mean of the loss, and the steps that it is of.
    running_loss: Option<f64>,
    running_steps: u64,
}

/// A broken file and what is wrong with it.
pub(super) type Broken = (PathBuf, Flaw);

/// Writes the folder of a checkpoint, whole or not at all.
pub(super) fn save(path: &Path, learner: &Learner, running: &RunningLoss) -> Result<(), TrainError> {
    let folder = NewFolder::create(path, Existing::Refuse)?;
    model(learner)?.write_into(&folder)?;
    folder.write(OPTIMIZER, &moments(learner)?)?;
    let state = State { step: learner.optimizer().step(), running_loss: running.mean, running_steps: running.steps };
    let state = serde_json::to_string_pretty(&state).expect("numbers are JSON") + "\n";
    folder.write(STATE, state.as_bytes())?;
    let sums: String = sums(folder.path())?.into_iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    folder.write(SUMS, sums.as_bytes())?;
    folder.finish()?;
    Ok(())
}

/// The model as it is now.
pub(super) fn model(learner: &Learner) -> Result<Checkpoint, TrainError> {
    let weights = learner.weights().clone();
    Ok(Checkpoint::new("model".into(), learner.config().clone(), weights, Vocabulary::caduceus())?)
}

fn moments(learner: &Learner) -> Result<Vec<u8>, TrainError> {
    let shapes = TensorSpec::all(learner.config()).into_iter().flat_map(|spec| [spec.shape.clone(), spec.shape]);
    let named = |((name, values), shape)| NamedTensor { spec: TensorSpec { name, shape }, values };
    let tensors: Vec<_> = learner.optimizer().state().zip(shapes).map(named).collect();
    Ok(tensors_to_safetensors(&tensors)?)
}

/// The files of a folder in the order of their names, with their digests; the list of digests is left out.
fn sums(folder: &Path) -> Result<Vec<(String, String)>, TrainError> {
    let entries = fs::read_dir(folder).map_err(TrainError::io("read", folder))?;
    let files: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files.map_err(TrainError::io("read", folder))?;
    files.retain(|file| file.file_name().is_some_and(|name| name != SUMS));
    files.sort();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let digests = digests(&files, &mut |_, _| ControlFlow::Continue(()))?.unwrap_or_default();
    Ok(digests.into_iter().map(|file| (file.name, file.sha256.unwrap_or_default())).collect())
}

/// Reads a checkpoint into a learner of the same model. When it is broken, the learner stays as it was.
pub(super) fn load(path: &Path, step: u64, learner: &mut Learner) -> Result<RunningLoss, Broken> {
    check(path)?;
    let weights = weights(&path.join("model.safetensors"), learner.config())?;
    let file = path.join(STATE);
    let state: Result<State, _> = serde_json::from_slice(&read(&file)?);
    let state = match state {
        Ok(state) if state.step == step => state,
        Ok(state) => return Err((file, Flaw::Format(format!("expected step {step}, found {}", state.step)))),
        Err(error) => return Err((file, Flaw::Format(error.to_string()))),
    };
    let optimizer = optimizer(&path.join(OPTIMIZER), step, learner.optimizer())?;
    learner.restore(weights, optimizer);
    Ok(RunningLoss { mean: state.running_loss, steps: state.running_steps })
}

fn weights(file: &Path, config: &Config) -> Result<Weights, Broken> {
    let origin = file.display().to_string();
    Weights::from_safetensors(config, &origin, read(file)?).map_err(|error| (file.into(), Flaw::Checkpoint(error)))
}

fn optimizer(file: &Path, step: u64, like: &AdamW) -> Result<AdamW, Broken> {
    let tensors = tensors_from_safetensors(&file.display().to_string(), read(file)?);
    let tensors = tensors.map_err(|error| (file.to_path_buf(), Flaw::Checkpoint(error)))?;
    let mut optimizer = like.clone();
    let restored = optimizer.restore(step, tensors.into_iter().map(|(spec, values)| (spec.name, values)));
    restored.map_err(|error| (file.to_path_buf(), Flaw::State(error)))?;
    Ok(optimizer)
}

/// Compares every file with its digest.
fn check(path: &Path) -> Result<(), Broken> {
    let list = path.join(SUMS);
    let text = String::from_utf8_lossy(&read(&list)?).into_owned();
    let entries: Option<Vec<(&str, &str)>> = text.lines().map(|line| line.split_once("  ")).collect();
    let entries = entries.ok_or_else(|| (list.clone(), Flaw::Format("expected a digest and a name a line".into())))?;
    for needed in ["config.json", "model.safetensors", OPTIMIZER, STATE] {
        if !entries.iter().any(|(_, name)| *name == needed) {
            return Err((path.join(needed), Flaw::Unlisted));
        }
    }
    for (expected, name) in entries {
        let file = path.join(name);
        let found = digests(&[&file], &mut |_, _| ControlFlow::Continue(()));
        let found = found.map_err(|error| (error.path, Flaw::Io(error.source)))?.unwrap_or_default();
        let found = found.into_iter().find_map(|file| file.sha256).unwrap_or_default();
        if found != expected {
            return Err((file, Flaw::Digest { expected: expected.into(), found }));
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>, Broken> {
    fs::read(file).map_err(|error| (file.into(), Flaw::Io(error)))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use longstrand_kernels::{Cpu, simd::Level};

    use super::*;
    use crate::{init::initial_weights, optimizer::AdamWOptions};

    fn learner(seed: u64) -> Learner {
        let config = Config::mamba(8, 2, &Vocabulary::caduceus());
        let weights = initial_weights(&config, &Default::default(), seed);
        let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
        Learner::new(Cpu::new(Level::detect().unwrap()), config, weights, options, 1.0, NonZeroUsize::MIN)
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("step-0000000");
        let (first, mut second) = (learner(1), learner(2));
        let running = RunningLoss { mean: Some(0.1 + 0.2), steps: 7 };
        save(&path, &first, &running).unwrap();
        assert_ne!(first.weights(), second.weights());
        assert_eq!(load(&path, 0, &mut second).unwrap(), running);
        assert_eq!((first.weights(), first.optimizer()), (second.weights(), second.optimizer()));
        assert!(Checkpoint::load(&path).is_ok());
    }

    #[test]
    fn every_flipped_byte_and_missing_file_is_found() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("step-0000000");
        let mut learner = learner(1);
        save(&path, &learner, &RunningLoss::default()).unwrap();
        let names: Vec<String> = sums(&path).unwrap().into_iter().map(|(name, _)| name).chain([SUMS.into()]).collect();
        assert!(names.len() >= 5, "{names:?}");
        for name in &names {
            let file = path.join(name);
            let whole = fs::read(&file).unwrap();
            for at in [0, whole.len() / 2, whole.len() - 2] {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                fs::write(&file, flipped).unwrap();
                assert!(load(&path, 0, &mut learner).is_err(), "byte {at} of {name}");
            }
            fs::write(&file, &whole[..whole.len() - 3]).unwrap();
            assert!(load(&path, 0, &mut learner).is_err(), "{name} cut short");
            fs::remove_file(&file).unwrap();
            assert!(load(&path, 0, &mut learner).is_err(), "without {name}");
            fs::write(&file, whole).unwrap();
        }
        assert!(load(&path, 1, &mut learner).is_err(), "another step");
        assert!(load(&path, 0, &mut learner).is_ok());
    }
}
