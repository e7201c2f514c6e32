//! Parquet.

use std::path::PathBuf;

use longstrand_model::Watch;
use longstrand_table::{Destination, Existing, Metadata, WholeTable, WriteOptions, join_tables};
use serde_json::Value;

use super::part::{Part, arranged};
use crate::interrupt::Interrupted;
use crate::shown::Shown;

/// Joins tables and returns the number of rows.
pub(super) fn join(parts: &[PathBuf], to: &Destination, existing: Existing, shown: &Shown<'_>) -> anyhow::Result<u64> {
    let open = |path: &PathBuf| {
        let table = WholeTable::open(path)?;
        Part::new(path, table.identity().clone(), table)
    };
    let parts = arranged(parts.iter().map(open).collect::<Result<Vec<_>, _>>()?)?;
    let identity = parts[0].identity.clone();
    let tables: Vec<WholeTable> = parts.into_iter().map(|part| part.content).collect();
    let end = summed(tables.iter().map(WholeTable::end));
    let all = tables.iter().map(WholeTable::rows).sum();
    let options = WriteOptions { existing, ..WriteOptions::default() };
    let mut advanced = |done| {
        shown.counted(done, Some(all));
        shown.flow()
    };
    match join_tables(&tables, to, &options, identity, end, &mut advanced)? {
        Some(written) => Ok(written.rows),
        None => Err(Interrupted { resumable: to.has_parts(), ..Interrupted::default() }.into()),
    }
}

/// What the whole run would have counted.
fn summed<'a>(ends: impl Iterator<Item = &'a Metadata>) -> Metadata {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let mut sums: Vec<(String, Value)> = Vec::new();
    for (key, value) in ends.flatten() {
        match sums.iter_mut().find(|(other, _)| other == key) {
            Some((_, sum)) => add(sum, &parsed(value)),
            None => sums.push((key.clone(), parsed(value))),
        }
    }
    sums.into_iter().map(|(key, sum)| (key, sum.to_string())).collect()
}

/// Adds numbers to those of the same name. Names that not all have are in alphabetical order.
fn add(sum: &mut Value, value: &Value) {
    match (sum, value) {
        (Value::Object(sums), Value::Object(values)) => {
            let known = sums.len();
            for (name, value) in values {
                match sums.get_mut(name) {
                    Some(sum) => add(sum, value),
                    None => _ = sums.insert(name.clone(), value.clone()),
                }
            }
            if sums.len() > known {
                sums.sort_keys();
            }
        }
        (sum, value) => {
            if let (Some(one), Some(other)) = (sum.as_u64(), value.as_u64()) {
                *sum = Value::from(one.saturating_add(other));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_name_by_name() {
        let end = |counts: &str| vec![("longstrand.counts".to_owned(), counts.to_owned())];
        let ends = [
            end(r#"{"records":2,"alleles":3,"scores":{"masked":{"scored":1,"reasons":{"no_end":2}}}}"#),
            end(r#"{"records":1,"alleles":4,"scores":{"masked":{"scored":2,"reasons":{"breakend":1,"no_end":1}}}}"#),
        ];
        let expected =
            r#"{"records":3,"alleles":7,"scores":{"masked":{"scored":3,"reasons":{"breakend":1,"no_end":3}}}}"#;
        assert_eq!(summed(ends.iter()), end(expected));
    }
}
