//! VCF and BCF.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use longstrand_model::Watch;
use longstrand_seq::variant::{NoIndex, VariantFormat, VariantHeader, VariantOutput, VariantReader, VariantWriter};
use longstrand_variants::ToldRun;

use super::part::{Part, arranged};
use crate::commands::scoring::command_line;
use crate::shown::Shown;

/// Joins files of variants and returns the number of records.
pub(super) fn join(
    parts: &[PathBuf],
    to: &VariantOutput,
    format: VariantFormat,
    replace: bool,
    shown: &Shown<'_>,
) -> anyhow::Result<u64> {
    let parts = arranged(parts.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?)?;
    let header = header(&parts)?;
    let mut writer = VariantWriter::create(to, format, &header, replace)?;
    let mut counts = Vec::with_capacity(parts.len());
    let mut all = 0;
    for part in &parts {
        let mut reader = VariantReader::open(&part.path, &[])?;
        let before = all;
        while let Some(record) = reader.read()? {
            writer.write(&record, &[])?;
            all += 1;
            shown.counted(all, None);
            shown.interrupt.check()?;
        }
        counts.push(all - before);
    }
    check_counts(&parts, &counts)?;
    match writer.finish()?.index {
        Ok(_) | Err(NoIndex::Stdout | NoIndex::PlainText) => {}
        Err(why) => shown.warn(&format!("no index was written: {why}")),
    }
    Ok(all)
}

fn open(path: &Path) -> anyhow::Result<Part<ToldRun>> {
    let run = ToldRun::last(VariantReader::open(path, &[])?.header());
    let run =
        run.with_context(|| format!("{}: expected a header line ##longstrand_score, found none", path.display()))?;
    Part::new(path, run.identity.clone(), run)
}

/// The header that the parts have in common, with the whole run in the place of theirs.
fn header(parts: &[Part<ToldRun>]) -> anyhow::Result<VariantHeader> {
    let run = ToldRun { identity: parts[0].identity.clone(), ..parts[0].content.clone() };
    let told = |part: &Part<ToldRun>| {
        VariantReader::open(&part.path, &[]).map(|reader| run.tell(reader.header(), &command_line()))
    };
    let first = told(&parts[0])?;
    for part in &parts[1..] {
        let other = told(part)?;
        if other != first {
            let (expected, found) = difference(&first, &other);
            let (path, as_first) = (part.path.display(), parts[0].path.display());
            bail!("{path}: expected {expected} in the header as {as_first} has it, found {found}");
        }
    }
    Ok(first)
}

/// Where two headers differ first.
fn difference(first: &VariantHeader, other: &VariantHeader) -> (String, String) {
    let line =
        |header: &VariantHeader, i| header.meta_lines().nth(i).map(|line| String::from_utf8_lossy(line).into_owned());
    let lines = first.meta_lines().count().max(other.meta_lines().count());
    let differing = (0..lines).map(|i| (line(first, i), line(other, i))).find(|(expected, found)| expected != found);
    let shown = |line: Option<String>| line.unwrap_or_else(|| "no further line".into());
    match differing {
        Some((expected, found)) => (shown(expected), shown(found)),
        None => ("the same samples".into(), "others".into()),
    }
}

/// An error unless the shards have as many records as shards of one file do. Plain text does not tell otherwise where it ends.
fn check_counts(parts: &[Part<ToldRun>], counts: &[u64]) -> anyhow::Result<()> {
    let all = counts.iter().sum();
    let missing = |part: &Part<ToldRun>, found: u64| part.shard.size(all).saturating_sub(found);
    // Where one has too many, another has too few.
    let shortest = parts.iter().zip(counts).max_by_key(|&(part, &found)| missing(part, found));
    if let Some((part, &found)) = shortest.filter(|&(part, &found)| missing(part, found) > 0) {
        let (path, shard, expected) = (part.path.display(), part.shard, part.shard.size(all));
        bail!("{path}: expected {expected} records in shard {shard} of {all}, found {found}; a part is cut off");
    }
    Ok(())
}
