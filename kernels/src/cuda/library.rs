//! Where the libraries lie.
//!
//! First the folders of `LONGSTRAND_CUDA_PATH`, then what the loader finds by itself (`LD_LIBRARY_PATH`, the system's
//! folders), then those of `CUDA_PATH`, `CUDA_HOME`, `CONDA_PREFIX`, `VIRTUAL_ENV` and `/usr/local/cuda`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use libloading::Library;

use super::CudaError;

/// The environment variable that says where NVRTC and cuBLASLt are: folders, parted as in `PATH`. Each may hold the
/// libraries, be a CUDA toolkit, a Python environment or its `site-packages`.
pub const PATH_VARIABLE: &str = "LONGSTRAND_CUDA_PATH";

/// Variables that name a toolkit or an environment.
const OTHERS: [&str; 4] = ["CUDA_PATH", "CUDA_HOME", "CONDA_PREFIX", "VIRTUAL_ENV"];

/// Where toolkits are installed by themselves.
const USUAL: &str = "/usr/local/cuda";

/// A library, and others that it opens by their names and would not find by itself.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) library: Library,
    /// Open for as long as the library is.
    _companions: Vec<Library>,
}

/// Opens the first library of these names, the best first: in the named folders, then as the loader does, then in the
/// usual folders. Files beside it whose names begin with `companion` are opened before.
///
/// # Errors
///
/// One is found and cannot be opened, and no other can.
pub(super) fn open(names: &[String], companion: Option<&str>) -> Result<Option<Opened>, String> {
    let mut refused = None;
    let mut at = |path: &PathBuf| {
        let companions = companion.map_or_else(Vec::new, |prefix| open_beside(path, prefix));
        // SAFETY: NVIDIA's libraries run no code on opening that asks anything of the process.
        let library = unsafe { Library::new(path) }.map_err(|error| refused = Some(error.to_string())).ok()?;
        Some(Opened { library, _companions: companions })
    };
    let by_loader = |name: &String| {
        // SAFETY: as above.
        let library = unsafe { Library::new(name) }.ok()?;
        Some(Opened { library, _companions: Vec::new() })
    };
    let found = files(&named_folders(), names).iter().find_map(&mut at);
    let found = found.or_else(|| names.iter().find_map(by_loader));
    match found.or_else(|| files(&usual_folders(), names).iter().find_map(&mut at)) {
        Some(opened) => Ok(Some(opened)),
        None => refused.map_or(Ok(None), Err),
    }
}

/// The libraries beside `path` whose names begin with `prefix`, as far as they can be opened.
fn open_beside(path: &Path, prefix: &str) -> Vec<Library> {
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let is_companion = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)) && path.is_file()
    };
    let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(is_companion);
    // SAFETY: as above.
    paths.filter_map(|path| unsafe { Library::new(path) }.ok()).collect()
}

fn named_folders() -> Vec<PathBuf> {
    let value = env::var_os(PATH_VARIABLE);
    value.iter().flat_map(env::split_paths).flat_map(|root| folders_below(&root)).collect()
}

fn usual_folders() -> Vec<PathBuf> {
    let roots = OTHERS.iter().filter_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
    roots.map(PathBuf::from).chain([USUAL.into()]).flat_map(|root| folders_below(&root)).collect()
}

/// The files of these names, folder after folder.
fn files(folders: &[PathBuf], names: &[String]) -> Vec<PathBuf> {
    let all = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    all.filter(|path| path.is_file()).collect()
}

/// Folders that may hold libraries, if `root` is one, a toolkit, a `site-packages`, its `nvidia`, or an environment.
fn folders_below(root: &Path) -> Vec<PathBuf> {
    if root.as_os_str().is_empty() {
        return Vec::new();
    }
    let mut folders = vec![root.to_path_buf()];
    folders.extend(["lib64", "lib", "bin", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib"].map(|l| root.join(l)));
    let mut packages = vec![root.to_path_buf(), root.join("nvidia")];
    let versions = subfolders(&root.join("lib")).into_iter().chain([root.join("Lib")]);
    packages.extend(versions.map(|version| version.join("site-packages/nvidia")));
    for package in packages.iter().flat_map(|folder| subfolders(folder)) {
        folders.extend(["lib", "bin"].map(|name| package.join(name)));
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

/// Makes sure that cuBLASLt can be called.
///
/// # Errors
///
/// It is not there.
pub fn require_cublaslt() -> Result<(), CudaError> {
    // The loader gives a library that is open already to whoever asks for it by its own name, as cudarc does.
    static OPENED: OnceLock<Option<Opened>> = OnceLock::new();
    OPENED.get_or_init(|| open(&names("cublasLt", None), None).ok().flatten());
    // SAFETY: it only tries to open the library.
    if unsafe { cudarc::cublaslt::sys::is_culib_present() } { Ok(()) } else { Err(CudaError::NoCublasLt) }
}

/// Names of a library of CUDA 13 or 12, the newest first, but none newer than `newest`.
pub(super) fn names(library: &str, newest: Option<i32>) -> Vec<String> {
    let majors = [13, 12].into_iter().filter(|major| newest.is_none_or(|newest| *major <= newest));
    match cfg!(windows) {
        true => majors.map(|major| format!("{library}64_{}.dll", windows_suffix(library, major))).collect(),
        false => majors.map(|major| format!("lib{library}.so.{major}")).collect(),
    }
}

/// NVRTC's names on Windows end in `130_0`, those of others in `13`.
fn windows_suffix(library: &str, major: i32) -> String {
    if library == "nvrtc" { format!("{major}0_0") } else { major.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with an empty library at each of the paths.
    fn folder(libraries: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in libraries {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn libraries_are_found_in_toolkits_and_environments() {
        for path in [
            "libnvrtc.so.13",
            "lib64/libnvrtc.so.13",
            "targets/x86_64-linux/lib/libnvrtc.so.13",
            "lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            "nvidia/cuda_nvrtc/lib/libnvrtc.so.13",
            "cu13/lib/libnvrtc.so.13",
        ] {
            let folder = folder(&[path]);
            let found = files(&folders_below(folder.path()), &["libnvrtc.so.13".to_string()]);
            assert_eq!(found, [folder.path().join(path)]);
        }
        assert!(folders_below(Path::new("")).is_empty(), "an empty part is not the working folder");
    }

    #[test]
    fn the_newest_of_a_folder_comes_first() {
        let folder = folder(&["lib/libnvrtc.so.12", "lib/libnvrtc.so.13"]);
        let names = ["libnvrtc.so.13", "libnvrtc.so.12"].map(String::from);
        let found = files(&folders_below(folder.path()), &names);
        assert_eq!(found, names.map(|name| folder.path().join("lib").join(name)));
    }

    #[test]
    #[cfg(not(windows))]
    fn no_library_is_newer_than_what_the_driver_takes() {
        assert_eq!(names("nvrtc", None), ["libnvrtc.so.13", "libnvrtc.so.12"]);
        assert_eq!(names("nvrtc", Some(12)), ["libnvrtc.so.12"]);
        assert!(names("nvrtc", Some(11)).is_empty());
    }
}
