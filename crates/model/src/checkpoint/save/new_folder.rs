//! A folder that takes its name when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use super::SaveError;

/// In the middle of the temporary name of a folder that is being written.
const UNFINISHED: &str = ".new-";

/// In the middle of the temporary name of a folder that is being replaced.
const REPLACED: &str = ".old-";

const SUFFIX: &str = ".tmp";

/// What becomes of a folder that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays; saving is an error.
    Refuse,
    /// It gives way once the new one is whole, if it is a checkpoint's (it has a `config.json`) or empty.
    Replace,
}

/// A folder on its way to its name. Dropped before [`NewFolder::finish`], it leaves nothing.
///
/// It is written beside its place as `.NAME.new-*.tmp`. A folder that it replaces is called `.NAME.old-*.tmp` for the
/// moment between two renames; [`NewFolder::tidy`] puts right what a kill leaves behind.
#[derive(Debug)]
pub struct NewFolder {
    temporary: TempDir,
    path: PathBuf,
    existing: Existing,
}

impl NewFolder {
    /// Begins the folder that is to become `path`, whose parent must be there.
    ///
    /// # Errors
    ///
    /// Something stands at `path` that may not be replaced, or no folder can be made beside it.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, SaveError> {
        check_place(path, existing)?;
        let temporary = temporary_folder(path, UNFINISHED)?;
        Ok(Self { temporary, path: path.into(), existing })
    }

    /// Where the files are until the folder has its name.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Writes a file into the folder and makes it reach the disk.
    ///
    /// # Errors
    ///
    /// The file is there already or cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SaveError> {
        let path = self.path().join(name);
        let write = || {
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(SaveError::io("write", self.path.join(name)))
    }

    /// Gives the folder its name, for good once this returns. Files that were not written by [`NewFolder::write`] must have
    /// reached the disk before.
    ///
    /// # Errors
    ///
    /// Something has come to stand at its place, or the disk refuses; then the place holds what it held or the whole new
    /// folder.
    pub fn finish(self) -> Result<(), SaveError> {
        sync_folder(self.path())?;
        let replaced = match check_place(&self.path, self.existing)? {
            Place::Free => None,
            Place::Taken => Some(set_aside(&self.path, REPLACED)?),
        };
        let renamed = fs::rename(self.temporary.path(), &self.path).map_err(SaveError::io("write", &self.path));
        if let (Err(_), Some(aside)) = (&renamed, &replaced) {
            fs::rename(aside, &self.path).map_err(SaveError::io("put back", &self.path))?;
        }
        renamed?;
        let _ = self.temporary.keep();
        sync_folder(parent(&self.path))?;
        replaced.map_or(Ok(()), |aside| fs::remove_dir_all(&aside).map_err(SaveError::io("remove", aside)))
    }

    /// Removes the folder `path`; a kill leaves it whole, or nothing under its name.
    ///
    /// # Errors
    ///
    /// It is not there or cannot be removed.
    pub fn remove(path: &Path) -> Result<(), SaveError> {
        let aside = set_aside(path, UNFINISHED)?;
        sync_folder(parent(path))?;
        fs::remove_dir_all(&aside).map_err(SaveError::io("remove", aside))
    }

    /// Clears `parent` of what killed saves have left: unfinished folders go, and one that was to be replaced gets its
    /// name back if nothing else has it. No other process may be saving there.
    ///
    /// # Errors
    ///
    /// The folder cannot be read or changed.
    pub fn tidy(parent: &Path) -> Result<(), SaveError> {
        for entry in fs::read_dir(parent).map_err(SaveError::io("read", parent))? {
            let name = entry.map_err(SaveError::io("read", parent))?.file_name();
            let left = parent.join(&name);
            match meant(&name) {
                Some((own, REPLACED)) if parent.join(own).symlink_metadata().is_err() => {
                    fs::rename(&left, parent.join(own)).map_err(SaveError::io("rename", left))?;
                }
                Some(_) => fs::remove_dir_all(&left).map_err(SaveError::io("remove", left))?,
                None => {}
            }
        }
        sync_folder(parent)
    }
}

/// Whether a folder's place is free.
enum Place {
    Free,
    Taken,
}

/// Whether the place is free or may become so.
fn check_place(path: &Path, existing: Existing) -> Result<Place, SaveError> {
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        metadata => metadata.map_err(SaveError::io("look at", path))?,
    };
    let exists = |is_foreign| Err(SaveError::Exists { path: path.into(), is_foreign });
    match existing {
        Existing::Refuse => exists(false),
        Existing::Replace if metadata.is_dir() && (path.join("config.json").is_file() || is_empty(path)?) => {
            Ok(Place::Taken)
        }
        Existing::Replace => exists(true),
    }
}

fn is_empty(folder: &Path) -> Result<bool, SaveError> {
    Ok(fs::read_dir(folder).map_err(SaveError::io("read", folder))?.next().is_none())
}

/// Renames the folder at `path` to a temporary name, which is returned.
fn set_aside(path: &Path, middle: &str) -> Result<PathBuf, SaveError> {
    let temporary = temporary_folder(path, middle)?;
    let aside = temporary.path().to_path_buf();
    // The name is what is wanted: not every system renames a folder onto an empty one.
    temporary.close().map_err(SaveError::io("remove", &aside))?;
    fs::rename(path, &aside).map_err(SaveError::io("rename", path))?;
    Ok(aside)
}

/// Makes an empty folder `.NAME<middle>*.tmp` beside `path`, which goes when it is dropped.
fn temporary_folder(path: &Path, middle: &str) -> Result<TempDir, SaveError> {
    let absent = || io::Error::new(io::ErrorKind::InvalidInput, "not the name of a folder");
    let name = path.file_name().ok_or_else(absent).map_err(SaveError::io("make", path))?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(middle);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    // Temporary folders are private by default; this one becomes the output, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(parent(path)).map_err(SaveError::io("make a folder in", parent(path)))
}

/// The name that a temporary one is made of, and what is in its middle.
fn meant(name: &OsStr) -> Option<(&str, &'static str)> {
    let name = name.to_str()?.strip_prefix('.')?.strip_suffix(SUFFIX)?;
    [UNFINISHED, REPLACED].into_iter().find_map(|middle| Some((name.rsplit_once(middle)?.0, middle)))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}

/// Makes the names in a folder last through a power cut.
fn sync_folder(folder: &Path) -> Result<(), SaveError> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(SaveError::io("write", folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(path: &Path, existing: Existing, text: &str) -> Result<(), SaveError> {
        let folder = NewFolder::create(path, existing)?;
        folder.write("config.json", text.as_bytes())?;
        assert_ne!(folder.path(), path);
        folder.finish()
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("step-1");
        let folder = NewFolder::create(&path, Existing::Refuse).unwrap();
        folder.write("config.json", b"{}").unwrap();
        assert!(!path.exists());
        assert!(folder.write("config.json", b"{}").is_err(), "a file is written once");
        drop(folder);
        assert!(names(run.path()).is_empty());
        write(&path, Existing::Refuse, "{}").unwrap();
        assert_eq!(names(run.path()), ["step-1"]);
        assert_eq!(names(&path), ["config.json"]);
    }

    #[test]
    fn what_stands_gives_way_only_when_told_to() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("best");
        write(&path, Existing::Refuse, "1").unwrap();
        let message = write(&path, Existing::Refuse, "2").unwrap_err().to_string();
        assert!(message.ends_with("best exists"), "{message}");
        assert_eq!(fs::read_to_string(path.join("config.json")).unwrap(), "1");
        write(&path, Existing::Replace, "2").unwrap();
        assert_eq!(fs::read_to_string(path.join("config.json")).unwrap(), "2");
        assert_eq!(names(run.path()), ["best"]);
    }

    #[test]
    fn what_is_no_checkpoint_is_left_alone() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("thesis");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("chapter"), "1").unwrap();
        let message = write(&path, Existing::Replace, "2").unwrap_err().to_string();
        assert!(message.contains("is not a checkpoint's folder"), "{message}");
        assert!(write(&path.join("chapter"), Existing::Replace, "2").is_err(), "a file is no folder");
        assert_eq!(names(&path), ["chapter"]);
    }

    #[test]
    fn a_place_that_is_taken_meanwhile_is_not_overwritten() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("final");
        let folder = NewFolder::create(&path, Existing::Refuse).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(folder.finish(), Err(SaveError::Exists { .. })));
        assert_eq!(names(run.path()), ["final"]);
    }

    #[test]
    fn a_folder_is_removed_with_all_that_is_in_it() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("step-1");
        write(&path, Existing::Refuse, "1").unwrap();
        NewFolder::remove(&path).unwrap();
        assert!(names(run.path()).is_empty());
        assert!(NewFolder::remove(&path).is_err());
        assert!(names(run.path()).is_empty());
    }

    #[test]
    fn what_kills_leave_is_put_right() {
        let run = tempfile::tempdir().unwrap();
        let left = |name: &str, text: &str| {
            fs::create_dir(run.path().join(name)).unwrap();
            fs::write(run.path().join(name).join("config.json"), text).unwrap();
        };
        left(".step-2.new-x.tmp", "half");
        left(".best.old-y.tmp", "before");
        left(".last.old-z.tmp", "before");
        left("last", "after");
        left(".other.tmp", "not ours");
        NewFolder::tidy(run.path()).unwrap();
        assert_eq!(names(run.path()), [".other.tmp", "best", "last"]);
        assert_eq!(fs::read_to_string(run.path().join("best/config.json")).unwrap(), "before");
        assert_eq!(fs::read_to_string(run.path().join("last/config.json")).unwrap(), "after");
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let run = tempfile::tempdir().unwrap();
        let message = write(&run.path().join("none/step-1"), Existing::Refuse, "").unwrap_err().to_string();
        assert!(message.starts_with("cannot make a folder in ") && message.ends_with("none"), "{message}");
        assert!(NewFolder::create(Path::new("/"), Existing::Refuse).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_umask_decides_who_may_read() {
        use std::os::unix::fs::PermissionsExt;

        let run = tempfile::tempdir().unwrap();
        let (plain, path) = (run.path().join("plain"), run.path().join("step-1"));
        fs::create_dir(&plain).unwrap();
        write(&path, Existing::Refuse, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }
}
