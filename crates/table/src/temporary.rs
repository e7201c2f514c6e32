//! A file under a temporary name that takes its own name when it is whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::error::TableError;

/// How temporary names begin.
const PREFIX: &str = ".part-";

/// How temporary names end.
pub(crate) const SUFFIX: &str = ".tmp";

/// Whether the name is one that [`create`] gives.
pub(crate) fn is_name(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Creates `.part-<random>.tmp` in `folder`; it is removed when dropped.
pub(crate) fn create(folder: &Path) -> Result<NamedTempFile, TableError> {
    create_with(folder, OsStr::new(PREFIX))
}

/// Creates `<prefix><random>.tmp` in `folder`; it is removed when dropped.
pub(crate) fn create_with(folder: &Path, prefix: &OsStr) -> Result<NamedTempFile, TableError> {
    let mut builder = Builder::new();
    builder.prefix(prefix).suffix(SUFFIX);
    // Temporary files are private by default; this one becomes the output, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).map_err(TableError::io("create a file in", folder))
}

/// A handle to write the file through, so that the file itself is at hand when the writer is done.
pub(crate) fn handle(file: &NamedTempFile) -> Result<File, TableError> {
    file.as_file().try_clone().map_err(TableError::io("open", file.path()))
}

/// Flushes the file to the disk and renames it to `path`, which is replaced if it exists. Returns its size in bytes.
pub(crate) fn seal(file: NamedTempFile, path: &Path) -> Result<u64, TableError> {
    file.as_file().sync_all().map_err(TableError::io("write", path))?;
    let bytes = file.as_file().metadata().map_err(TableError::io("write", path))?.len();
    file.persist(path).map_err(|error| TableError::io("rename a temporary file to", path)(error.error))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    Ok(bytes)
}

/// Makes a rename in the folder last through a power cut.
fn sync_folder(folder: &Path) -> Result<(), TableError> {
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(TableError::io("write", folder))?;
    }
    Ok(())
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), TableError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TableError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
