//! Whether two paths name the same file.

use std::io;
use std::path::{Path, PathBuf};

/// Whether a path names one of these files, be it under another spelling or by a link. `-` names no file.
pub fn is_one_of<'a>(path: &Path, files: impl IntoIterator<Item = &'a Path>) -> bool {
    let is_stream = |path: &Path| path.as_os_str() == "-";
    !is_stream(path) && files.into_iter().any(|file| !is_stream(file) && place(file) == place(path))
}

/// Whether a path lies in a folder, or in one that lies there.
pub fn is_within(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (place(path), place(folder));
    path != folder && path.starts_with(folder)
}

fn place(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| place_of_new(path)).unwrap_or_else(|_| path.to_path_buf())
}

/// Where a file would lie that is not there yet, be it in folders that are not there either.
fn place_of_new(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let there = |folder: &Path| Some(folder.canonicalize().ok()?.join(path.strip_prefix(folder).ok()?));
    Ok(path.ancestors().skip(1).find_map(there).unwrap_or_else(|| path.clone()))
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
        assert!(is_within(&path("x/y/z"), &path("x/")) && !is_within(&path("x"), &path("x")));
        assert!(!is_within(&path("xy"), &path("x")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
            assert!(is_one_of(&path("link"), [&*path("a")]));
            std::os::unix::fs::symlink(folder.path(), path("folder")).unwrap();
            assert!(is_one_of(&path("folder/new"), [&*path("new")]));
            assert!(is_within(&path("folder/none/new"), &path("none")));
        }
    }
}
