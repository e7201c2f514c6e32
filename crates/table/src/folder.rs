//! The folder of parts, held by one process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use longstrand_seq::whole_file::Whose;

use crate::destination::Destination;
use crate::error::TableError;
use crate::lock::Lock;

/// The folder of parts while this process has it to itself.
#[derive(Debug)]
pub(crate) struct PartsFolder {
    path: PathBuf,
    destination: Destination,
    /// Whether this run made the folder; then it goes with the run if it is empty.
    is_new: bool,
    _lock: Lock,
}

impl PartsFolder {
    /// Makes the folder if it is missing, locks it and clears it of temporary files.
    pub(crate) fn take(destination: &Destination) -> Result<Self, TableError> {
        let path = destination.parts_folder();
        let is_new = match fs::create_dir(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => false,
            Err(_) if *destination == Destination::Folder(path.clone()) && path.symlink_metadata().is_ok() => {
                return Err(TableError::NotAFolder(path));
            }
            Err(error) => return Err(TableError::io("create the folder", &path)(error)),
        };
        let lock = Lock::take(&path, destination.path())?;
        destination.remove_parts_being_written(Whose::Nobodys);
        Ok(Self { path, destination: destination.clone(), is_new, _lock: lock })
    }

    /// Where the parts lie.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PartsFolder {
    fn drop(&mut self) {
        self.destination.remove_temporaries();
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}
