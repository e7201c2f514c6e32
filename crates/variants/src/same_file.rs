//! Whether two paths name the same file.

use std::io;
use std::path::{Path, PathBuf};

/// Whether a path names one of these files, be it under another spelling or by a link. `-` names no file.
pub(crate) fn is_one_of<'a>(path: &Path, files: impl IntoIterator<Item = &'a Path>) -> bool {
    let is_stream = |path: &Path| path.as_os_str() == "-";
    !is_stream(path) && files.into_iter().any(|file| !is_stream(file) && place(file) == place(path))
}

fn place(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| place_of_new(path)).unwrap_or_else(|_| path.to_path_buf())
}

/// Where a file would lie that is not there yet.
fn place_of_new(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => Ok(folder.join(name)),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_and_links_are_seen_through() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "").unwrap();
        assert!(is_one_of(&path("a"), [&*path("b"), &path("./a")]));
        assert!(is_one_of(&path("new"), [&*path("./new")]));
        assert!(!is_one_of(&path("new"), [&*path("a")]));
        assert!(!is_one_of(Path::new("-"), [Path::new("-")]));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
            assert!(is_one_of(&path("link"), [&*path("a")]));
            std::os::unix::fs::symlink(folder.path(), path("folder")).unwrap();
            assert!(is_one_of(&path("folder/new"), [&*path("new")]));
        }
    }
}
