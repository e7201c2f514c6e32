//! Where a table goes, and the paths that it passes on its way there.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use longstrand_seq::whole_file::{self, Whose};

use crate::error::TableError;
use crate::footer::Footer;

/// One Parquet file, or a folder of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// One file. Its parts lie in a hidden folder beside it, `.NAME.parts`, until it is finished.
    File(PathBuf),
    /// A folder of parts `part-00000.parquet`, `part-00001.parquet`, … in the order of the rows.
    Folder(PathBuf),
}

impl Destination {
    /// Reads a path as a user writes it: `*.parquet` and `*.pq` are files unless they are existing folders; anything
    /// else is a folder.
    ///
    /// ```
    /// use longstrand_table::Destination;
    ///
    /// assert_eq!(Destination::from_path("out.parquet"), Destination::File("out.parquet".into()));
    /// assert_eq!(Destination::from_path("out/"), Destination::Folder("out/".into()));
    /// ```
    pub fn from_path(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let named_as_file = path.extension().is_some_and(is_parquet) && !ends_in_separator(path);
        match named_as_file && !path.is_dir() {
            true => Self::File(path.to_path_buf()),
            false => Self::Folder(path.to_path_buf()),
        }
    }

    /// The path of the output.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Folder(path) => path,
        }
    }

    /// The folder that the parts are written into: the output, or what lies hidden beside it until it is whole.
    pub fn parts_folder(&self) -> PathBuf {
        match self {
            Self::Folder(path) => path.clone(),
            Self::File(path) => {
                let mut name = OsString::from(".");
                name.push(path.file_name().unwrap_or(OsStr::new("out")));
                name.push(".parts");
                path.with_file_name(name)
            }
        }
    }

    /// Whether whole parts are there that a resumed run would go on behind.
    pub fn has_parts(&self) -> bool {
        part_indices(&self.parts_folder()).is_ok_and(|parts| !parts.is_empty())
    }

    /// What the footer of the output, or of the first part of it, says of its origin; `None` where there is no such file
    /// or it cannot be read.
    pub fn metadata(&self) -> Option<crate::Metadata> {
        let first_part = part_path(&self.parts_folder(), 0);
        let files = match self {
            Self::File(path) => vec![path.clone(), first_part],
            Self::Folder(_) => vec![first_part],
        };
        files.iter().find_map(|file| Footer::read(file).ok()).map(|footer| footer.metadata())
    }

    /// The folder that holds the output, which must exist.
    pub(crate) fn parent(&self) -> Result<PathBuf, TableError> {
        let parent = match self.path().parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        match parent.is_dir() {
            true => Ok(parent),
            false => Err(TableError::NoFolder(parent)),
        }
    }

    /// What stands under the output's name itself, be it a link that leads nowhere; an error if it is a pipe, a device or
    /// a socket, or leads to one.
    pub(crate) fn standing(&self) -> Result<Option<Metadata>, TableError> {
        let path = self.path();
        match fs::metadata(path) {
            Ok(there) if !there.is_file() && !there.is_dir() => Err(TableError::NotRegular(path.to_path_buf())),
            _ => Ok(fs::symlink_metadata(path).ok()),
        }
    }

    /// Removes what a run that is stopped at this moment would leave under temporary names.
    ///
    /// Whole parts stay, so that the run can be resumed; the hidden folder of a single file's parts goes if it holds
    /// none. Dropping the writer does the same: this is for a process that exits without dropping it. What cannot be
    /// removed stays.
    pub fn remove_temporaries(&self) {
        self.remove_parts_being_written(Whose::Own);
        let folder = self.parts_folder();
        let _ = fs::remove_file(folder.join(crate::lock::NAME));
        if matches!(self, Self::File(_)) {
            // Fails, as it should, when whole parts are left.
            let _ = fs::remove_dir(&folder);
        }
    }

    /// Removes what lies in the folder of parts under temporary names of parts, or of the file that is made of them.
    pub(crate) fn remove_parts_being_written(&self, whose: Whose) {
        let output = self.path().file_name().unwrap_or_default().as_encoded_bytes();
        let is_of = |name: &[u8]| name == output || str::from_utf8(name).is_ok_and(|name| part_index(name).is_some());
        whole_file::remove(&self.parts_folder(), whose, is_of);
    }
}

/// The path of part `index`.
pub(crate) fn part_path(folder: &Path, index: u64) -> PathBuf {
    folder.join(format!("part-{index:05}.parquet"))
}

/// The indices of the parts in a folder, in rising order. A folder that is not there holds none.
pub(crate) fn part_indices(folder: &Path) -> Result<Vec<u64>, TableError> {
    let names = names(folder).map_err(TableError::io("read the folder", folder))?;
    let mut indices: Vec<u64> = names.iter().filter_map(|name| part_index(name.to_str()?)).collect();
    indices.sort_unstable();
    Ok(indices)
}

fn part_index(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
    let index = digits.parse().ok()?;
    (format!("{index:05}") == digits).then_some(index)
}

/// The names in a folder; none where there is no folder.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_parquet(extension: &OsStr) -> bool {
    extension.eq_ignore_ascii_case("parquet") || extension.eq_ignore_ascii_case("pq")
}

fn ends_in_separator(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().last().is_some_and(|&last| std::path::is_separator(last.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_separator_and_existing_folder_decide() {
        let folder = tempfile::tempdir().unwrap();
        let existing = folder.path().join("table.parquet");
        fs::create_dir(&existing).unwrap();
        let is_file = |path: &Path| matches!(Destination::from_path(path), Destination::File(_));
        assert!(is_file(Path::new("a/b.PARQUET")));
        assert!(is_file(Path::new("b.pq")));
        assert!(!is_file(Path::new("b.parquet/")));
        assert!(!is_file(Path::new("v1.2")));
        assert!(!is_file(&existing));
    }

    #[test]
    fn parts_of_a_file_lie_hidden_beside_it() {
        let file = Destination::File("a/out.parquet".into());
        assert_eq!(file.parts_folder(), Path::new("a/.out.parquet.parts"));
        assert_eq!(Destination::File("out.parquet".into()).parts_folder(), Path::new(".out.parquet.parts"));
    }

    #[test]
    fn a_folder_that_is_not_there_holds_no_parts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for none in [folder.path().join("missing"), file] {
            assert_eq!(part_indices(&none).unwrap(), []);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let error = part_indices(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read the folder {}", path.display()));
    }

    #[test]
    fn only_names_that_the_writer_gives_count_as_parts() {
        assert_eq!(part_index("part-00012.parquet"), Some(12));
        assert_eq!(part_index("part-123456.parquet"), Some(123_456));
        for other in ["part-12.parquet", "part-00012.parquet.bak", "part-+0012.parquet", "parts.parquet"] {
            assert_eq!(part_index(other), None, "{other}");
        }
    }
}
