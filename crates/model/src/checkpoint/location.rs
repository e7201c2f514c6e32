//! Where a checkpoint's files are: a folder, a file, or the local Hugging Face cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::CheckpointError;

/// The weight files that are looked for in a folder, the first one first.
const WEIGHT_FILES: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The files of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// A weight file, or the index of a sharded one.
    pub(super) weights: PathBuf,
}

/// Finds the files: what exists as a path is that path, and `org/name` is looked up in the cache.
pub(super) fn find(location: &Path) -> Result<Files, CheckpointError> {
    let given = location.to_string_lossy().into_owned();
    match fs::metadata(location) {
        Ok(metadata) if metadata.is_dir() => in_folder(location, folder_name(location), &given),
        Ok(_) => Ok(beside(location)),
        Err(e) if is_absent(&e) && is_hub_id(&given) => {
            in_cache(&given, hub_cache(|name| env::var_os(name)).as_deref())
        }
        Err(e) if is_absent(&e) => Err(CheckpointError::NotFound {
            location: given,
            looked: "no such file or folder, and not an \"organisation/name\" of the Hugging Face cache".into(),
        }),
        Err(source) => Err(CheckpointError::Io { path: location.into(), source }),
    }
}

/// Whether there is nothing at a path, as far as one may look.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn in_folder(folder: &Path, name: String, given: &str) -> Result<Files, CheckpointError> {
    for file in WEIGHT_FILES {
        let weights = folder.join(file);
        match fs::metadata(&weights) {
            Ok(metadata) if metadata.is_file() => return Ok(Files { name, folder: folder.into(), weights }),
            Err(source) if !is_absent(&source) => return Err(CheckpointError::Io { path: weights, source }),
            _ => {}
        }
    }
    let model = folder.join("model");
    let hint =
        if model.join("config.json").is_file() { format!("; {} is a model", model.display()) } else { String::new() };
    let looked = format!("{} has none of {}{hint}", folder.display(), WEIGHT_FILES.join(", "));
    Err(CheckpointError::NotFound { location: given.into(), looked })
}

/// A weight file, whose config lies beside it. A file of a published name is called by its folder.
fn beside(file: &Path) -> Files {
    let folder = match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let published = file.file_name().is_some_and(|name| WEIGHT_FILES.iter().any(|known| name == *known));
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = match stem {
        Some(stem) if !published => stem,
        _ => folder_name(&folder),
    };
    Files { name, folder, weights: file.into() }
}

/// The folder's own name; a snapshot of the cache is called as on the hub.
fn folder_name(folder: &Path) -> String {
    let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let repository = absolute.parent().filter(|parent| parent.ends_with("snapshots")).and_then(Path::parent);
    let hub_id = repository.and_then(name).and_then(|name| Some(name.strip_prefix("models--")?.replacen("--", "/", 1)));
    hub_id.or_else(|| name(&absolute)).unwrap_or_else(|| "checkpoint".into())
}

/// Whether `text` is `organisation/name`, in the characters that the hub allows.
fn is_hub_id(text: &str) -> bool {
    let part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed)
    };
    text.split_once('/').is_some_and(|(organisation, name)| part(organisation) && part(name))
}

/// The cache's folder, as the hub's own client finds it.
fn hub_cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("HF_HUB_CACHE")
        .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| path("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
        .or_else(|| path("HOME").map(|home| home.join(".cache/huggingface/hub")))
}

/// The snapshot that `main` points to.
fn in_cache(id: &str, cache: Option<&Path>) -> Result<Files, CheckpointError> {
    let not_found = |looked: String| CheckpointError::NotFound { location: id.into(), looked };
    let cache = cache.ok_or_else(|| not_found("no such folder, and no HOME to look for a cache in".into()))?;
    let repository = cache.join(format!("models--{}", id.replace('/', "--")));
    let reference = repository.join("refs/main");
    let revision = fs::read_to_string(&reference).map_err(|source| match is_absent(&source) {
        true => not_found(format!(
            "no such folder, and {} is not in the local cache; nothing is downloaded here (\"hf download {id}\" does it)",
            reference.display()
        )),
        false => CheckpointError::Io { path: reference.clone(), source },
    })?;
    let revision = revision.trim();
    if revision.is_empty() || !revision.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(not_found(format!("{} names no revision", reference.display())));
    }
    in_folder(&repository.join("snapshots").join(revision), id.into(), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_ids_are_told_from_paths() {
        assert!(is_hub_id("kuleshov-group/caduceus-ph_seqlen-131k_d_model-256_n_layer-16"));
        for path in ["model", "/model", "./model", "../model", "a/b/c", "a/", "a/..", "a b/c"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }

    #[test]
    fn variables_are_tried_in_order() {
        let only = |set: &'static str| hub_cache(move |name| (name == set).then(|| "/x".into()));
        assert_eq!(only("HF_HUB_CACHE"), Some("/x".into()));
        assert_eq!(only("HF_HOME"), Some("/x/hub".into()));
        assert_eq!(only("HOME"), Some("/x/.cache/huggingface/hub".into()));
        assert_eq!(only("SHELL"), None);
    }

    #[test]
    fn the_snapshot_of_main_is_found() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--group--dna");
        let snapshot = repository.join("snapshots/abc123");
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(repository.join("refs")).unwrap();
        fs::write(repository.join("refs/main"), "abc123\n").unwrap();
        fs::write(snapshot.join("model.safetensors"), "").unwrap();
        let files = in_cache("group/dna", Some(cache.path())).unwrap();
        assert_eq!(folder_name(&snapshot), "group/dna");
        let weights = snapshot.join("model.safetensors");
        assert_eq!(files, Files { name: "group/dna".into(), folder: snapshot, weights });

        let message = in_cache("group/other", Some(cache.path())).unwrap_err().to_string();
        assert!(message.contains("models--group--other/refs/main is not in the local cache"), "{message}");
        fs::write(repository.join("refs/main"), "../../elsewhere").unwrap();
        assert!(in_cache("group/dna", Some(cache.path())).unwrap_err().to_string().contains("names no revision"));
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_absent() {
        let unreadable = |result: Result<Files, CheckpointError>, expected: &Path| match result {
            Err(CheckpointError::Io { path, .. }) => assert_eq!(path, expected),
            other => panic!("{other:?}"),
        };
        let long = format!("src/{}", "n".repeat(300));
        unreadable(find(Path::new(&long)), Path::new(&long));

        let cache = tempfile::tempdir().unwrap();
        let reference = cache.path().join("models--group--dna/refs/main");
        fs::create_dir_all(&reference).unwrap();
        unreadable(in_cache("group/dna", Some(cache.path())), &reference);
    }

    #[cfg(unix)]
    #[test]
    fn a_weight_file_that_cannot_be_looked_at_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        std::os::unix::fs::symlink(&weights, &weights).unwrap();
        match find(folder.path()) {
            Err(CheckpointError::Io { path, .. }) => assert_eq!(path, weights),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lone_file_lies_beside_its_config() {
        let files = beside(Path::new("models/dna/model.safetensors"));
        assert_eq!((files.name.as_str(), files.folder.as_path()), ("dna", Path::new("models/dna")));
        let files = beside(Path::new("epoch3.safetensors"));
        assert_eq!((files.name.as_str(), files.folder.as_path()), ("epoch3", Path::new(".")));
    }
}
