//! `-o/--output`, `--tsv`, `--resume` and `--force`: where tables go.

use std::path::{PathBuf, is_separator};

use clap::builder::{PathBufValueParser, TypedValueParser};
use longstrand_table::{Destination, Existing};

/// Where a table goes, and what to do if it is there already.
#[derive(Clone, Debug, clap::Args)]
pub struct OutputOptions {
    /// Where to write: a file named *.parquet (or *.pq), or else a folder of parts
    #[arg(short, long, value_name = "PATH", value_parser = table())]
    pub output: PathBuf,
    #[command(flatten)]
    existing: ExistingArgs,
}

/// What to do about outputs that exist.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ExistingArgs {
    /// Go on where an earlier run of the same command was stopped; begin if there is nothing
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

impl OutputOptions {
    /// The file or folder.
    pub fn destination(&self) -> Destination {
        Destination::from_path(&self.output)
    }

    /// What to do about an output that exists.
    pub fn existing(&self) -> Existing {
        self.existing.existing()
    }
}

impl ExistingArgs {
    /// What to do about outputs that exist.
    pub fn existing(&self) -> Existing {
        match (self.resume, self.force) {
            (true, _) => Existing::Resume,
            (false, true) => Existing::Replace,
            (false, false) => Existing::Refuse,
        }
    }
}

/// A value of `--tsv`.
pub fn tsv() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(tsv_path)
}

/// A value that names a Parquet table.
pub fn table() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(table_path)
}

/// Refuses a name that promises commas.
fn tsv_path(path: PathBuf) -> Result<PathBuf, String> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_ascii_lowercase();
    match name.ends_with(b".csv") || name.ends_with(b".csv.gz") {
        true => {
            Err("expected a name that ends in .tsv, .tsv.gz or the like: columns are separated by tabs, not commas"
                .into())
        }
        false => Ok(path),
    }
}

/// Refuses what would become a folder by surprise.
///
/// # Errors
///
/// The name is that of something else than a table.
pub fn table_path(path: PathBuf) -> Result<PathBuf, String> {
    let text = path.as_os_str().as_encoded_bytes();
    if text == b"-" {
        return Err("a Parquet table cannot be written to a pipe; name a file or a folder".into());
    }
    let is_folder = text.last().is_some_and(|&last| is_separator(last.into())) || path.is_dir();
    match (path.extension(), Destination::from_path(&path)) {
        (Some(extension), Destination::Folder(_)) if !is_folder => Err(format!(
            "expected a name that ends in .parquet, or in / for a folder of parts, found .{}",
            extension.display()
        )),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        output: OutputOptions,
    }

    fn existing(flags: &[&str]) -> Option<Existing> {
        let line = ["test", "-o", "out.parquet"].iter().chain(flags);
        Line::try_parse_from(line).ok().map(|line| line.output.existing())
    }

    #[test]
    fn an_output_is_a_parquet_file_or_a_folder() {
        for good in ["out.parquet", "out.pq", "out", "out.v1/", "a.b/out"] {
            assert!(table_path(good.into()).is_ok(), "{good}");
        }
        for bad in ["-", "out.tsv", "parts.v1"] {
            assert!(table_path(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_table_is_not_named_as_if_it_had_commas() {
        for good in ["-", "out.tsv", "out.tsv.gz", "out.txt", "csv"] {
            assert!(tsv_path(good.into()).is_ok(), "{good}");
        }
        for bad in ["out.csv", "a/out.CSV.gz"] {
            assert!(tsv_path(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn resuming_and_replacing_exclude_each_other() {
        assert_eq!(existing(&[]), Some(Existing::Refuse));
        assert_eq!(existing(&["--resume"]), Some(Existing::Resume));
        assert_eq!(existing(&["--force"]), Some(Existing::Replace));
        assert_eq!(existing(&["--resume", "--force"]), None);
    }
}
