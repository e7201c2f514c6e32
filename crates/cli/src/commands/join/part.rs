//! What parts say of the run that they are shards of.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use longstrand_model::Difference;
use longstrand_seq::window::Shard;
use longstrand_table::Metadata;
use serde_json::{Map, Value, json};

/// The key under which the options stand.
const OPTIONS: &str = "longstrand.options";

/// What one shard wrote.
#[derive(Clone, Debug)]
pub(super) struct Part<T> {
    pub(super) path: PathBuf,
    pub(super) shard: Shard,
    /// What the whole run would be told by.
    pub(super) identity: Metadata,
    pub(super) content: T,
}

impl<T> Part<T> {
    /// Takes the shard out of an identity.
    ///
    /// # Errors
    ///
    /// - the options tell no shard
    pub(super) fn new(path: &Path, mut identity: Metadata, content: T) -> anyhow::Result<Self> {
        let shard = take_shard(&mut identity);
        let shard =
            shard.with_context(|| format!("{}: expected the output of a shard, found none told", path.display()))?;
        Ok(Self { path: path.to_path_buf(), shard, identity, content })
    }
}

/// The shard that the options tell. They are those of the whole run then.
fn take_shard(identity: &mut Metadata) -> Option<Shard> {
    let (_, options) = identity.iter_mut().find(|(key, _)| key == OPTIONS)?;
    let mut told: Map<String, Value> = serde_json::from_str(options).ok()?;
    let shard = told.get("shard")?.as_str()?.parse().ok()?;
    told.insert("shard".into(), json!(Shard::WHOLE.to_string()));
    *options = Value::from(told).to_string();
    Some(shard)
}

/// The parts in the order of their shards.
///
/// # Errors
///
/// - a part is of another run, or of another number of shards;
/// - a shard is doubled or missing.
pub(super) fn arranged<T>(mut parts: Vec<Part<T>>) -> anyhow::Result<Vec<Part<T>>> {
    for part in &parts[1..] {
        check_run(&parts[0], part)?;
    }
    parts.sort_by_key(|part| part.shard.index());
    if let Some(twins) = parts.windows(2).find(|pair| pair[0].shard == pair[1].shard) {
        let (shard, one, other) = (twins[0].shard, twins[0].path.display(), twins[1].path.display());
        bail!("expected one part of shard {shard}, found two: {one} and {other}");
    }
    let count = parts[0].shard.count();
    let gap = (0..).zip(&parts).find(|(index, part)| part.shard.index() != *index).map(|(index, _)| index);
    let missing = gap.unwrap_or(parts.len() as u64);
    if let Some(shard) = Shard::new(missing, count) {
        let files: Vec<String> = parts.iter().map(|part| part.path.display().to_string()).collect();
        bail!("expected all {count} shards, found no shard {shard} among {}", files.join(", "));
    }
    Ok(parts)
}

/// An error if two parts are not of the same run.
fn check_run<T>(first: &Part<T>, part: &Part<T>) -> anyhow::Result<()> {
    let (path, as_first) = (part.path.display(), first.path.display());
    let value = |part: &Part<T>, key: &str| {
        part.identity.iter().find(|(other, _)| other == key).map_or("none".to_owned(), |(_, value)| value.clone())
    };
    let keys = first.identity.iter().chain(&part.identity).map(|(key, _)| key);
    if let Some(key) = keys.into_iter().find(|key| value(first, key) != value(part, key)) {
        let Difference { key, expected, found } = Difference::between(key, &value(first, key), &value(part, key));
        bail!("{path}: expected {key} {expected} as {as_first} has it, found {found}");
    }
    let (expected, found) = (first.shard.count(), part.shard);
    ensure!(expected == found.count(), "{path}: expected one of {expected} shards as {as_first} is, found {found}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(path: &str, shard: &str, window: u64) -> Part<()> {
        let options = json!({ "window": window, "shard": shard, "last": "keep" }).to_string();
        let identity = vec![("longstrand.version".into(), "1".into()), (OPTIONS.into(), options)];
        Part::new(Path::new(path), identity, ()).unwrap()
    }

    fn told(parts: &[(&str, &str, u64)]) -> String {
        let parts = parts.iter().map(|(path, shard, window)| part(path, shard, *window)).collect();
        match arranged(parts) {
            Ok(parts) => parts.iter().map(|part| part.path.display().to_string()).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn parts_of_one_run_are_put_in_order() {
        assert_eq!(told(&[("a", "1/1", 5)]), "a");
        assert_eq!(told(&[("b", "2/3", 5), ("c", "3/3", 5), ("a", "1/3", 5)]), "a b c");
        let whole = part("b", "2/3", 5).identity;
        assert_eq!(whole[1].1, r#"{"window":5,"shard":"1/1","last":"keep"}"#);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (parts, message) in [
            (&[("a", "1/3", 5), ("c", "3/3", 5)][..], "expected all 3 shards, found no shard 2/3 among a, c"),
            (&[("b", "2/2", 5)], "expected all 2 shards, found no shard 1/2 among b"),
            (&[("a", "1/2", 5)], "expected all 2 shards, found no shard 2/2 among a"),
            (
                &[("a", "1/2", 5), ("b", "2/2", 5), ("c", "1/2", 5)],
                "expected one part of shard 1/2, found two: a and c",
            ),
            (&[("a", "1/2", 5), ("b", "2/3", 5)], "b: expected one of 2 shards as a is, found 2/3"),
            (&[("a", "1/2", 5), ("b", "2/2", 6)], "b: expected longstrand.options.window 5 as a has it, found 6"),
        ] {
            assert_eq!(told(parts), message);
        }
        let error = Part::new(Path::new("a"), vec![(OPTIONS.into(), "{}".into())], ()).unwrap_err();
        assert_eq!(error.to_string(), "a: expected the output of a shard, found none told");
    }
}
