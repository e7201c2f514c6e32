//! The folder of a run.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use longstrand_model::checkpoint::NewFolder;
use longstrand_seq::whole_file::{Whose, remove_beside};
use longstrand_table::Existing;

use super::TrainError;
use crate::report::{LOSS, REPORT};

/// Before a checkpoint's step in its name.
const STEP: &str = "step-";

const CHECKPOINTS: &str = "checkpoints";

/// A run's folder, which no other process works in as long as this is held.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Whether there is a run to go on with.
    has_run: bool,
    // Holds the lock for as long as it is open. The file stays: another process may just be opening it.
    _lock: File,
}

impl RunFolder {
    /// Whether the folder may be used; nothing is changed.
    ///
    /// # Errors
    ///
    /// - it holds a run and `existing` is to refuse one, or it holds something else
    /// - it cannot be read
    pub fn check(path: &Path, existing: Existing) -> Result<(), TrainError> {
        let is_run = has_settings(path);
        match (is_run && existing == Existing::Refuse) || (!is_run && !is_free(path)?) {
            true => Err(TrainError::Exists { path: path.into(), is_run }),
            false => Ok(()),
        }
    }

    /// Makes the folder or takes the one that is there, and puts right what killed runs have left. A run that is to be
    /// replaced is still there.
    ///
    /// # Errors
    ///
    /// - as [`Self::check`]
    /// - another process works in it
    /// - it cannot be made or changed
    pub fn open(path: &Path, existing: Existing) -> Result<Self, TrainError> {
        Self::check(path, existing)?;
        fs::create_dir_all(path).map_err(TrainError::io("make", path))?;
        let lock = lock(path)?;
        // Another process may have begun a run meanwhile, and ended.
        Self::check(path, existing)?;
        let has_run = has_settings(path) && existing == Existing::Resume;
        let folder = Self { path: path.into(), has_run, _lock: lock };
        for file in ["config.toml", "run.json", "metrics.jsonl", LOSS, REPORT] {
            remove_beside(&path.join(file), Whose::Nobodys);
        }
        NewFolder::tidy(path)?;
        if folder.checkpoints().is_dir() {
            NewFolder::tidy(&folder.checkpoints())?;
        }
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a run to go on with.
    pub fn has_run(&self) -> bool {
        self.has_run
    }

    /// The settings, all of them. A folder without them has no run, so that they are what is written first.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// What the run began with: the program, the inputs, the sizes.
    pub fn facts(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// One JSON object a step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The folder of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The checkpoint behind so many steps.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        checkpoint(&self.path, step)
    }

    /// The model at the end of the run.
    pub fn model(&self) -> PathBuf {
        model(&self.path)
    }

    /// The steps of all checkpoints, in order.
    ///
    /// # Errors
    ///
    /// - the folder cannot be read
    pub fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let path = self.checkpoints();
        let mut steps = Vec::new();
        if !path.is_dir() {
            return Ok(steps);
        }
        for entry in fs::read_dir(&path).map_err(TrainError::io("read", &path))? {
            let name = entry.map_err(TrainError::io("read", &path))?.file_name();
            steps.extend(name.to_str().and_then(step_of));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Makes the folder of checkpoints.
    pub(super) fn make_checkpoints(&self) -> Result<(), TrainError> {
        fs::create_dir_all(self.checkpoints()).map_err(TrainError::io("make", &self.checkpoints()))
    }

    /// Removes what a run has made; its settings stay until others take their place.
    pub(super) fn clear(&self) -> Result<(), TrainError> {
        for folder in [self.checkpoints(), self.model()] {
            if folder.is_dir() {
                NewFolder::remove(&folder)?;
            }
        }
        for name in ["metrics.jsonl", "run.json", LOSS, REPORT] {
            let file = self.path.join(name);
            if file.is_file() {
                fs::remove_file(&file).map_err(TrainError::io("remove", &file))?;
            }
        }
        Ok(())
    }
}

/// The checkpoint of a run behind so many steps.
pub(super) fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join(CHECKPOINTS).join(checkpoint_name(step))
}

/// The folder of the model at the end of a run.
pub(super) fn model(run: &Path) -> PathBuf {
    run.join("model")
}

/// The name of the checkpoint behind so many steps.
pub(super) fn checkpoint_name(step: u64) -> String {
    format!("{STEP}{step:07}")
}

/// The step in a checkpoint's name.
pub(super) fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(STEP)?.parse().ok()?;
    (checkpoint_name(step) == name).then_some(step)
}

fn has_settings(path: &Path) -> bool {
    path.join("config.toml").is_file()
}

/// Whether nothing is there, or nothing that a user would see.
fn is_free(path: &Path) -> Result<bool, TrainError> {
    if !path.exists() {
        return Ok(true);
    }
    let mut entries = fs::read_dir(path).map_err(TrainError::io("read", path))?;
    Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."))))
}

/// File systems without locks (some network mounts) give no protection and no error.
fn lock(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(TrainError::io("create", &path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TrainError::Busy(folder.into())),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_run_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("runs/first");
        let folder = RunFolder::open(&path, Existing::Refuse).unwrap();
        assert!(!folder.has_run());
        assert!(matches!(RunFolder::open(&path, Existing::Refuse), Err(TrainError::Busy(busy)) if busy == path));
        drop(folder);
        assert!(!RunFolder::open(&path, Existing::Resume).unwrap().has_run(), "a lock is no run");
    }

    #[test]
    fn a_run_is_kept_unless_it_is_to_be_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let folder = RunFolder::open(&path, Existing::Refuse).unwrap();
        fs::write(folder.config(), "").unwrap();
        folder.make_checkpoints().unwrap();
        fs::create_dir(folder.checkpoint(120)).unwrap();
        fs::create_dir(folder.checkpoint(20_000_000)).unwrap();
        fs::create_dir(folder.checkpoints().join("step-7")).unwrap();
        drop(folder);
        assert!(matches!(RunFolder::open(&path, Existing::Refuse), Err(TrainError::Exists { is_run: true, .. })));
        let folder = RunFolder::open(&path, Existing::Resume).unwrap();
        assert!(folder.has_run());
        assert_eq!(folder.steps().unwrap(), [120, 20_000_000]);
        drop(folder);
        let folder = RunFolder::open(&path, Existing::Replace).unwrap();
        assert!(!folder.has_run() && folder.steps().unwrap().len() == 2);
        folder.clear().unwrap();
        assert!(folder.steps().unwrap().is_empty() && folder.config().exists());
    }

    #[test]
    fn what_is_no_run_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("thesis"), "").unwrap();
        for existing in [Existing::Refuse, Existing::Replace, Existing::Resume] {
            let message = RunFolder::open(parent.path(), existing).unwrap_err().to_string();
            assert!(message.ends_with("is there and is no run; name another folder"), "{message}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
