//! A single file that takes its name when it is whole.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::destination::Destination;
use crate::error::TableError;
use crate::options::Existing;
use crate::temporary;

/// A file on its way to its name; dropped before it is sealed, it leaves nothing.
#[derive(Debug)]
pub(crate) struct WholeFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Begins a file that is to become `path`. What stands there gives way only under [`Existing::Replace`]: such a file
    /// cannot be resumed.
    pub(crate) fn create(path: &Path, existing: Existing) -> Result<Self, TableError> {
        let destination = Destination::File(path.to_path_buf());
        let folder = destination.parent()?;
        match destination.standing()? {
            Some(there) if there.is_dir() || existing != Existing::Replace => {
                return Err(TableError::Exists(path.to_path_buf()));
            }
            _ => {}
        }
        let file = temporary::create_with(&folder, &prefix(path))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    /// A handle to write the file through.
    pub(crate) fn handle(&self) -> Result<File, TableError> {
        temporary::handle(&self.file)
    }

    /// Flushes the file to the disk and gives it its name. Returns its size in bytes.
    pub(crate) fn seal(self) -> Result<u64, TableError> {
        temporary::seal(self.file, &self.path)
    }
}

/// How the temporary names of a file begin: `.NAME.part-`.
fn prefix(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part-");
    name
}

/// Removes what runs that were killed have left of the text table or track `path` under temporary names,
/// `.NAME.part-*.tmp` beside it.
///
/// Dropping a writer does the same: this is for a process that exits without dropping it. What cannot be removed stays.
pub fn remove_temporaries(path: &Path) {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let prefix = prefix(path);
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(temporary::SUFFIX.as_bytes()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
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
            assert!(matches!(WholeFile::create(&path, existing), Err(TableError::Exists(_))));
        }
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(WholeFile::create(&path, Existing::Replace).unwrap().seal().unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert!(matches!(WholeFile::create(folder.path(), Existing::Replace), Err(TableError::Exists(_))));
    }

    #[test]
    fn leftovers_of_one_output_go_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".out.tsv.part-ab12.tmp", ".other.tsv.part-ab12.tmp", ".out.tsv.part-ab12", "out.tsv"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_temporaries(&folder.path().join("out.tsv"));
        let mut left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".other.tsv.part-ab12.tmp", ".out.tsv.part-ab12", "out.tsv"]);
    }
}
