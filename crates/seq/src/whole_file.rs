//! A file under a temporary name that takes its own name when it is whole.
//!
//! The temporary name of `NAME` is `.NAME.PROCESS-RANDOM.tmp`, in the folder of `NAME`. The file is locked while it is
//! written, and the system lets go of the lock however the process ends: so what a killed run has left can be told from
//! what another process is writing. File systems without locks (some network mounts) give no such sign; what lies there
//! is left alone.

mod name;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

/// A file on its way to its name; dropped before it is sealed, it leaves nothing.
///
/// ```
/// use std::io::Write;
///
/// use longstrand_seq::whole_file::WholeFile;
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("out.txt");
/// let file = WholeFile::create(&path)?;
/// file.handle()?.write_all(b"whole")?;
/// assert!(!path.exists());
/// assert_eq!(file.seal(false)?, 5);
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WholeFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    /// Begins a file that is to become `path`, beside it.
    ///
    /// # Errors
    ///
    /// - the file cannot be created in the folder
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::create_in(folder(path), path)
    }

    /// Begins, in another folder of the same file system, a file that is to become `path`.
    ///
    /// # Errors
    ///
    /// - the file cannot be created in the folder
    pub fn create_in(folder: &Path, path: &Path) -> io::Result<Self> {
        let prefix = name::prefix(path.file_name().unwrap_or_default());
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(name::SUFFIX);
        // Temporary files are private by default; this one becomes the output, so the umask decides.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        Ok(Self { file: create_locked(&builder, folder)?, path: path.to_path_buf() })
    }

    /// The path that it is to become.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle to write the file through, so that the file itself is at hand when the writer is done.
    ///
    /// # Errors
    ///
    /// - the system gives no handle
    pub fn handle(&self) -> io::Result<File> {
        self.file.as_file().try_clone()
    }

    /// Flushes the file to the disk, gives it its name, and makes that last through a power cut. Returns its size in bytes.
    ///
    /// # Errors
    ///
    /// - [`io::ErrorKind::AlreadyExists`]: the name is taken and is not to be replaced
    /// - the file cannot be written or renamed
    pub fn seal(self, replace: bool) -> io::Result<u64> {
        let Self { file, path } = self;
        file.as_file().sync_all()?;
        let bytes = file.as_file().metadata()?.len();
        if replace { file.persist(&path) } else { file.persist_noclobber(&path) }.map_err(|error| error.error)?;
        if cfg!(unix) {
            File::open(folder(&path))?.sync_all()?;
        }
        Ok(bytes)
    }
}

/// Creates a file and takes its lock before anyone else can.
fn create_locked(builder: &Builder<'_, '_>, folder: &Path) -> io::Result<NamedTempFile> {
    const TRIES: usize = 16;
    for _ in 0..TRIES {
        let file = builder.tempfile_in(folder)?;
        match file.as_file().try_lock() {
            // Between the two steps another process may have taken it for one that was left behind.
            Ok(()) if !file.path().exists() => {}
            Err(TryLockError::WouldBlock) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "other processes take the file away as soon as it is created"))
}

/// Whose temporary files are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    /// Those of this process: for one that exits without dropping what it writes.
    Own,
    /// Those that no process is writing any more.
    Nobodys,
}

/// Removes what lies in a folder under temporary names for files whose names, as encoded bytes, `is_of` says yes to.
/// What cannot be removed stays.
pub fn remove(folder: &Path, whose: Whose, is_of: impl Fn(&[u8]) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name::Temporary::parse(name.as_encoded_bytes()).filter(|name| is_of(name.target)) else {
            continue;
        };
        match whose {
            Whose::Own if !name.is_own() => {}
            Whose::Own => _ = fs::remove_file(entry.path()),
            Whose::Nobodys => _ = remove_unlocked(&entry.path()),
        }
    }
}

/// Removes what lies beside a file under temporary names of it.
pub fn remove_beside(path: &Path, whose: Whose) {
    let target = path.file_name().unwrap_or_default().as_encoded_bytes();
    remove(folder(path), whose, |name| name == target);
}

/// Removes a file while holding its lock, so that nobody begins to write it meanwhile.
fn remove_unlocked(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.try_lock().is_ok() { fs::remove_file(path) } else { Ok(()) }
}

/// The folder that a file lies in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_that_is_taken_is_only_replaced_on_demand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let file = WholeFile::create(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert_eq!(file.seal(false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(WholeFile::create(&path).unwrap().seal(true).unwrap(), 0);
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["out".into()], Vec::new()));
    }

    #[test]
    fn only_what_nobody_writes_is_taken_for_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.vcf");
        let left = [".out.vcf.1-00000000-Ab12cD.tmp", ".out.vcf.4194304-fedcba98-Ab12cD.tmp"];
        let others = [".out.1-00000000-Ab12cD.tmp", ".out.vcf.gz.1-00000000-Ab12cD.tmp", ".out.vcf.tmp", "out.vcf.x"];
        for name in left.iter().chain(&others) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let written = WholeFile::create(&path).unwrap();
        remove_beside(&path, Whose::Nobodys);
        let found = names(folder.path());
        assert!(left.iter().all(|name| !found.contains(&(*name).to_owned())), "{found:?}");
        assert_eq!(found.len(), others.len() + 1);
        remove_beside(&path, Whose::Own);
        assert_eq!(names(folder.path()).len(), others.len());
        drop(written);
    }

    #[test]
    fn what_is_dropped_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        drop(WholeFile::create(&folder.path().join("out")).unwrap());
        assert!(names(folder.path()).is_empty());
    }
}
