//! One writer at a time for a folder of parts.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::TableError;

/// Name of the lock file inside the folder of parts.
pub(crate) const NAME: &str = ".longstrand.lock";

/// A lock on a folder of parts. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    // Holds the lock for as long as it is open.
    _file: File,
}

impl Lock {
    /// Takes the lock of `folder` for the sake of `output`, or says that another process has it.
    ///
    /// File systems without locks (some network mounts) give no protection and no error.
    pub(crate) fn take(folder: &Path, output: &Path) -> Result<Self, TableError> {
        let path = folder.join(NAME);
        let file = File::create(&path).map_err(TableError::io("create", &path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TableError::Busy(output.to_path_buf())),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { path, _file: file }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path(), Path::new("out")).unwrap();
        let second = Lock::take(folder.path(), Path::new("out"));
        assert!(matches!(second, Err(TableError::Busy(path)) if path == Path::new("out")));
        drop(first);
        assert!(!folder.path().join(NAME).exists());
        Lock::take(folder.path(), Path::new("out")).unwrap();
    }
}
