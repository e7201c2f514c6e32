//! A single file that takes its name when it is whole.

use std::fs::File;
use std::io;
use std::path::Path;

use longstrand_seq::whole_file::{WholeFile, Whose, remove_beside};

use crate::destination::Destination;
use crate::error::TableError;
use crate::options::Existing;

/// A file on its way to its name, which is taken from another file only under [`Existing::Replace`].
#[derive(Debug)]
pub(crate) struct NewFile {
    file: WholeFile,
    existing: Existing,
}

/// Begins a file that is to become `path`. What stands there gives way only under [`Existing::Replace`]: such a file cannot
/// be resumed. What killed runs have left of it under temporary names goes.
pub(crate) fn create(path: &Path, existing: Existing) -> Result<NewFile, TableError> {
    let destination = Destination::File(path.to_path_buf());
    let folder = destination.parent()?;
    match destination.standing()? {
        Some(_) if path.is_dir() => return Err(TableError::NotRegular(path.to_path_buf())),
        Some(_) if existing != Existing::Replace => return Err(TableError::Exists(path.to_path_buf())),
        _ => {}
    }
    remove_beside(path, Whose::Nobodys);
    NewFile::create_in(&folder, path, existing)
}

impl NewFile {
    /// Begins, in another folder of the same file system, a file that is to become `path`, whatever stands there now.
    pub(crate) fn create_in(folder: &Path, path: &Path, existing: Existing) -> Result<Self, TableError> {
        let file = WholeFile::create_in(folder, path).map_err(TableError::io("create a file in", folder))?;
        Ok(Self { file, existing })
    }

    /// A handle to write the file through.
    pub(crate) fn handle(&self) -> Result<File, TableError> {
        self.file.handle().map_err(TableError::io("write", self.file.path()))
    }

    /// Flushes the file to the disk and gives it its name. Returns its size in bytes.
    ///
    /// # Errors
    ///
    /// - a file has taken the name in the meantime, and is not to be replaced;
    /// - the file cannot be written or renamed.
    pub(crate) fn seal(self) -> Result<u64, TableError> {
        let path = self.file.path().to_path_buf();
        self.file.seal(self.existing == Existing::Replace).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => TableError::Exists(path),
            _ => TableError::io("write", &path)(error),
        })
    }
}

/// Removes what this process is writing of the text table or track `path` under a temporary name.
///
/// Dropping a writer does the same: this is for a process that exits without dropping it. What cannot be removed stays.
pub fn remove_temporaries(path: &Path) {
    remove_beside(path, Whose::Own);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_replace_moves_a_file_away_and_nothing_moves_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.tsv");
        fs::write(&path, "before").unwrap();
        for existing in [Existing::Refuse, Existing::Resume] {
            assert!(matches!(create(&path, existing), Err(TableError::Exists(_))));
        }
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(create(&path, Existing::Replace).unwrap().seal().unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), b"");
        for existing in [Existing::Refuse, Existing::Resume, Existing::Replace] {
            let error = create(folder.path(), existing).unwrap_err();
            assert_eq!(error.to_string(), format!("{} exists and is not a file", folder.path().display()));
        }
    }
}
