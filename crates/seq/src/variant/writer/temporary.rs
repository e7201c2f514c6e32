//! A file under a temporary name that takes its own when it is whole.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    path::Path,
    process,
};

use tempfile::{Builder, NamedTempFile};

use crate::variant::error::{VariantError, VariantErrorKind};

const SUFFIX: &str = ".tmp";

/// Creates `.NAME.PROCESS-RANDOM.tmp` beside the file of that name; it is removed when dropped.
pub(super) fn create(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = prefix(path);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    // Temporary files are private by default; this one becomes the output, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder(path))
}

fn prefix(path: &Path) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or(OsStr::new("out")));
    name.push(format!(".{}-", process::id()));
    name
}

/// The folder that a file lies in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Flushes the file to the disk and renames it.
pub(super) fn seal(file: NamedTempFile, path: &Path, replace: bool) -> Result<(), VariantError> {
    let failed = VariantError::writing(path);
    file.as_file().sync_all().map_err(&failed)?;
    let persisted = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    persisted.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => VariantError::new(path, VariantErrorKind::Exists),
        _ => failed(error.error),
    })?;
    if cfg!(unix) {
        File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(VariantError::writing(path))?;
    }
    Ok(())
}

/// Removes the files that [`create`] made in this process for a file; what cannot be removed stays.
pub(super) fn remove(path: &Path) {
    let prefix = prefix(path);
    for entry in fs::read_dir(folder(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes())
            && name.as_encoded_bytes().ends_with(SUFFIX.as_bytes());
        if is_ours {
            let _ = fs::remove_file(entry.path());
        }
    }
}
