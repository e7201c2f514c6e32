use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    variant::error::{VariantError, VariantErrorKind},
    whole_file::{Whose, folder, remove_beside},
};

/// Where variants are written to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VariantOutput {
    /// A file.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

impl VariantOutput {
    /// Reads a path as a user writes it: `-` is standard output.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if path.as_os_str() == "-" { Self::Stdout } else { Self::File(path) }
    }

    /// The path; `-` for standard output.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Stdout => Path::new("-"),
        }
    }

    /// Removes what this process wrote under temporary names for the output and its index, for one that exits without
    /// dropping its writer. What cannot be removed stays.
    pub fn remove_temporaries(&self) {
        if let Self::File(path) = self {
            remove_temporaries(path, Whose::Own);
        }
    }
}

/// A format that variants are written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VariantFormat {
    /// VCF, plain text.
    Vcf,
    /// VCF, bgzip.
    VcfGz,
    /// BCF 2.2, bgzip.
    Bcf,
}

impl VariantFormat {
    /// The format that a path's name tells: `.vcf`, `.vcf.gz`, `.vcf.bgz` or `.bcf`.
    ///
    /// ```
    /// use longstrand_seq::variant::VariantFormat;
    ///
    /// assert_eq!(VariantFormat::from_path("calls.vcf.gz".as_ref()), Some(VariantFormat::VcfGz));
    /// assert_eq!(VariantFormat::from_path("calls.txt".as_ref()), None);
    /// ```
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let endings = [(".vcf", Self::Vcf), (".vcf.gz", Self::VcfGz), (".vcf.bgz", Self::VcfGz), (".bcf", Self::Bcf)];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| format)
    }
}

/// Whether a file may be written under a path.
pub(super) fn check(path: &Path, replace: bool) -> Result<(), VariantError> {
    let error = |path: &Path, kind| Err(VariantError::new(path, kind));
    let folder = folder(path);
    if !folder.is_dir() {
        return error(folder, VariantErrorKind::NoFolder);
    }
    for path in [path.to_path_buf()].into_iter().chain(indexes(path)) {
        match fs::metadata(&path) {
            Ok(there) if !there.is_file() => return error(&path, VariantErrorKind::NotRegular),
            _ if !replace && fs::symlink_metadata(&path).is_ok() => return error(&path, VariantErrorKind::Exists),
            _ => {}
        }
    }
    Ok(())
}

/// Removes what lies under temporary names for a file and its indexes.
pub(super) fn remove_temporaries(path: &Path, whose: Whose) {
    [path.to_path_buf()].iter().chain(&indexes(path)).for_each(|path| remove_beside(path, whose));
}

/// The paths of the indexes that a file may have beside it.
fn indexes(path: &Path) -> [PathBuf; 2] {
    [".tbi", ".csi"].map(|extension| beside(path, extension))
}

/// A path with an extension put behind it.
pub(super) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

pub(super) fn remove_indexes(path: &Path) -> io::Result<()> {
    for index in indexes(path) {
        match fs::remove_file(index) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
