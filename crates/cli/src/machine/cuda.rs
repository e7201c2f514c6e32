//! Whether there is an NVIDIA driver, found out without opening it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The driver's library.
const LIBRARY: &str = "libcuda.so.1";

/// Folders where drivers are put and that no configuration names.
const USUAL: [&str; 8] = [
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
    "/usr/local/cuda/compat",
];

/// What can be seen of an NVIDIA driver.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cuda {
    /// The driver's library.
    pub library: Option<PathBuf>,
    /// Names of the cards that the kernel module sees.
    pub cards: Vec<String>,
}

impl Cuda {
    /// Looks where the loader would look.
    pub fn detect() -> Self {
        Self { library: find(search_path(), LIBRARY), cards: cards(Path::new("/proc/driver/nvidia/gpus")) }
    }
}

fn find(folders: Vec<PathBuf>, name: &str) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The loader's folders: the environment's, those of its configuration, the usual ones.
fn search_path() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("LD_LIBRARY_PATH").iter().flat_map(env::split_paths).filter(|path| path.is_absolute()).collect();
    folders.extend(configured(Path::new("/etc/ld.so.conf.d")));
    folders.extend(USUAL.map(PathBuf::from));
    folders
}

/// The folders named by the `*.conf` files of a folder, in the order of the files' names.
fn configured(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| text.lines().map(PathBuf::from).filter(|path| path.is_absolute()).collect::<Vec<_>>())
        .collect()
}

fn cards(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path().join("information"))).collect();
    files.sort();
    files.iter().filter_map(|file| model(&fs::read_to_string(file).ok()?)).collect()
}

fn model(information: &str) -> Option<String> {
    information.lines().find_map(|line| Some(line.strip_prefix("Model:")?.trim().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_in_a_configured_folder() {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("lib");
        fs::create_dir(&libraries).unwrap();
        fs::write(libraries.join(LIBRARY), "").unwrap();
        let text = format!("# a comment\n{}\nrelative\n", libraries.display());
        fs::write(folder.path().join("cuda.conf"), text).unwrap();
        fs::write(folder.path().join("cuda.conf.old"), "/nowhere\n").unwrap();
        let folders = configured(folder.path());
        assert_eq!(folders, std::slice::from_ref(&libraries));
        assert_eq!(find(folders, LIBRARY), Some(libraries.join(LIBRARY)));
        assert_eq!(find(vec![folder.path().to_path_buf()], LIBRARY), None);
    }

    #[test]
    fn cards_are_named_by_the_kernel_module() {
        let folder = tempfile::tempdir().unwrap();
        for (slot, name) in [("0000:02:00.0", "NVIDIA L4"), ("0000:01:00.0", "NVIDIA A100-SXM4-40GB")] {
            let card = folder.path().join(slot);
            fs::create_dir(&card).unwrap();
            fs::write(card.join("information"), format!("Model: \t\t {name}\nIRQ:   \t\t 42\n")).unwrap();
        }
        assert_eq!(cards(folder.path()), ["NVIDIA A100-SXM4-40GB", "NVIDIA L4"]);
    }
}
