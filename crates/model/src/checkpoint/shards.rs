//! The index of a checkpoint in several files: `{"weight_map": {tensor: file}}`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::CheckpointError;
use crate::config::excerpt;

/// Shard → the tensors that are in it.
pub(super) type Shards = BTreeMap<String, BTreeSet<String>>;

/// Reads an index. A shard lies beside it: a name with a folder in it is refused.
pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Shards, CheckpointError> {
    let wrong = |what: String| CheckpointError::Index { path: path.into(), what };
    let index: Value =
        serde_json::from_slice(text).map_err(|source| CheckpointError::Json { path: path.into(), source })?;
    let map = index.get("weight_map").and_then(Value::as_object).filter(|map| !map.is_empty());
    let map = map.ok_or_else(|| {
        let found = index.get("weight_map").map_or("nothing".into(), excerpt);
        wrong(format!("\"weight_map\": expected an object of tensors and files, found {found}"))
    })?;
    let mut shards = Shards::new();
    for (tensor, file) in map {
        let file = file.as_str().filter(|file| is_plain(file)).ok_or_else(|| {
            wrong(format!("tensor \"{tensor}\": expected the name of a file beside the index, found {file}"))
        })?;
        shards.entry(file.into()).or_default().insert(tensor.clone());
    }
    Ok(shards)
}

fn is_plain(file: &str) -> bool {
    !file.starts_with('.') && !file.is_empty() && !file.contains(['/', '\\', ':', '\0'])
}

/// Checks that the file `shard` holds just the tensors that the index says.
pub(super) fn check<'a>(
    path: &Path,
    shard: &str,
    expected: &BTreeSet<String>,
    found: impl Iterator<Item = &'a String>,
) -> Result<(), CheckpointError> {
    let wrong = |what: String| Err(CheckpointError::Index { path: path.into(), what });
    let found: BTreeSet<&String> = found.collect();
    if let Some(name) = expected.iter().find(|name| !found.contains(name)) {
        return wrong(format!("tensor \"{name}\" is not in {shard}, where the index has it"));
    }
    if let Some(name) = found.into_iter().find(|name| !expected.contains(*name)) {
        return wrong(format!("tensor \"{name}\" is in {shard}, where the index does not have it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_lie_beside_their_index() {
        let path = Path::new("model.safetensors.index.json");
        let shards =
            parse(path, br#"{"metadata": {}, "weight_map": {"a": "x.bin", "b": "x.bin", "c": "y.bin"}}"#).unwrap();
        assert_eq!(shards["x.bin"].len(), 2);
        for file in ["../x.bin", "/etc/passwd", "a/b.bin", "..", "", "c:\\\\x"] {
            let text = format!(r#"{{"weight_map": {{"a": "{file}"}}}}"#);
            let message = parse(path, text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains("tensor \"a\": expected the name of a file beside the index"), "{message}");
        }
        let message = parse(path, br#"{"weight_map": {}}"#).unwrap_err().to_string();
        assert!(message.ends_with("\"weight_map\": expected an object of tensors and files, found {}"), "{message}");
        assert!(matches!(parse(path, b"["), Err(CheckpointError::Json { .. })));
    }

    #[test]
    fn a_shard_holds_what_the_index_says() {
        let path = Path::new("index.json");
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
        assert!(check(path, "x.bin", &names(&["a", "b"]), names(&["a", "b"]).iter()).is_ok());
        let message = check(path, "x.bin", &names(&["a", "b"]), names(&["a"]).iter()).unwrap_err().to_string();
        assert_eq!(message, "index.json: tensor \"b\" is not in x.bin, where the index has it");
        assert!(check(path, "x.bin", &names(&["a"]), names(&["a", "b"]).iter()).is_err());
    }
}
