//! A single file that takes its name when it is whole.

use std::fs::File;
use std::path::Path;

use longstrand_seq::whole_file::{WholeFile, Whose, remove_beside};

use crate::destination::Destination;
use crate::error::TableError;
use crate::options::Existing;

/// Begins a file that is to become `path`. What stands there gives way only under [`Existing::Replace`]: such a file cannot
/// be resumed. What killed runs have left of it under temporary names goes.
pub(crate) fn create(path: &Path, existing: Existing) -> Result<WholeFile, TableError> {
    let destination = Destination::File(path.to_path_buf());
    let folder = destination.parent()?;
    match destination.standing()? {
        Some(there) if there.is_dir() || existing != Existing::Replace => {
            return Err(TableError::Exists(path.to_path_buf()));
        }
        _ => {}
    }
    remove_beside(path, Whose::Nobodys);
    WholeFile::create(path).map_err(TableError::io("create a file in", &folder))
}

/// A handle to write a file through.
pub(crate) fn handle(file: &WholeFile) -> Result<File, TableError> {
    file.handle().map_err(TableError::io("write", file.path()))
}

/// Flushes a file to the disk and gives it its name, which is replaced if it exists. Returns its size in bytes.
pub(crate) fn seal(file: WholeFile) -> Result<u64, TableError> {
    let path = file.path().to_path_buf();
    file.seal(true).map_err(TableError::io("write", &path))
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
        assert_eq!(seal(create(&path, Existing::Replace).unwrap()).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert!(matches!(create(folder.path(), Existing::Replace), Err(TableError::Exists(_))));
    }
}
