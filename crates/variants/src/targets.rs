//! The files that a run writes: where they may lie, and what stands there before it begins.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use longstrand_model::Difference;
use longstrand_seq::variant::VariantReader;
use longstrand_table::{Destination, Existing, ScoreLayout, ScoreWriter, TableError, WriteOptions};

use crate::annotate;
use crate::error::ScoreError;
use crate::journal::Journal;
use crate::prefix::Prefix;
use crate::provenance::Identity;
use crate::same_file::is_one_of;

/// What lies beside inputs and belongs to them.
const INDEXES_OF_INPUTS: [&str; 4] = [".fai", ".gzi", ".tbi", ".csi"];
/// What is written beside variants.
const INDEXES_OF_VARIANTS: [&str; 2] = [".tbi", ".csi"];

/// Something to be written, unless it is there already.
pub(crate) enum Opened<T> {
    Writing(T),
    Complete,
}

/// An output that is a file or a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// VCF or BCF, whose header tells its run.
    Variants(&'a Path),
    /// Parquet, whose footer tells its run.
    Table(&'a Destination),
    /// A text, which does not tell its run.
    Text(&'a Path),
}

/// The outputs of a run that are files or folders, the first of which the journal lies beside.
#[derive(Clone, Debug)]
pub(crate) struct Targets<'a>(pub(crate) Vec<Target<'a>>);

/// What a run's outputs tell of it.
pub(crate) struct Run<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) layout: &'a ScoreLayout,
    pub(crate) prefix: &'a Prefix,
    /// Whether there are outputs that are no files.
    pub(crate) has_stream: bool,
    /// Whether all inputs can be read again.
    pub(crate) is_repeatable: bool,
}

/// What stands under an output's name, if it is not another run's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Nothing,
    /// This run's output, or some parts of it.
    Ours {
        is_whole: bool,
    },
    /// What does not tell whose it is.
    Untold,
}

impl<'a> Target<'a> {
    pub(crate) fn path(self) -> &'a Path {
        match self {
            Self::Variants(path) | Self::Text(path) => path,
            Self::Table(destination) => destination.path(),
        }
    }

    fn is_there(self) -> bool {
        fs::symlink_metadata(self.path()).is_ok()
    }

    fn exists(self) -> ScoreError {
        ScoreError::Exists { path: self.path().into() }
    }

    /// What stands under the name.
    ///
    /// # Errors
    ///
    /// - what stands there is another run's, or cannot be read.
    fn standing(self, run: &Run<'_>) -> Result<Standing, ScoreError> {
        if !self.is_there() {
            return Ok(Standing::Nothing);
        }
        match self {
            Self::Text(_) => Ok(Standing::Untold),
            Self::Variants(path) => {
                let reader = VariantReader::open(path, &[])?;
                match annotate::is_of(reader.header(), run.prefix, run.identity) {
                    true => Ok(Standing::Ours { is_whole: true }),
                    false => Err(self.exists()),
                }
            }
            Self::Table(destination) => {
                let options = WriteOptions { existing: Existing::Resume, ..WriteOptions::default() };
                match ScoreWriter::open(destination, run.layout, &options, run.identity.metadata()) {
                    Ok(longstrand_table::Opened::Complete(_)) => Ok(Standing::Ours { is_whole: true }),
                    Ok(longstrand_table::Opened::Writing(_)) => Ok(Standing::Ours { is_whole: false }),
                    Err(error) => Err(narrowed(error).into()),
                }
            }
        }
    }
}

impl<'a> Targets<'a> {
    /// Refuses outputs that are inputs or what belongs to them, or that are each other or each other's indexes.
    ///
    /// # Errors
    ///
    /// - [`ScoreError::Usage`]
    pub(crate) fn check(&self, inputs: &[&Path]) -> Result<(), ScoreError> {
        let usage = |message: String| Err(ScoreError::Usage(message));
        let is_beside = |path: &Path, file: &Path, extensions: &[&str]| {
            extensions.iter().any(|extension| is_one_of(path, [&*beside(file, extension)]))
        };
        for (i, output) in self.0.iter().enumerate() {
            let path = output.path();
            if is_one_of(path, inputs.iter().copied()) {
                return usage(format!("the output {} is one of the inputs", path.display()));
            }
            if let Some(input) = inputs.iter().find(|input| is_beside(path, input, &INDEXES_OF_INPUTS)) {
                return usage(format!("the output {} is the index of the input {}", path.display(), input.display()));
            }
            if is_one_of(path, self.0[..i].iter().map(|other| other.path())) {
                return usage(format!("two outputs are {}", path.display()));
            }
            let mut variants = self.0.iter().filter(|other| matches!(other, Target::Variants(_)));
            if let Some(other) = variants.find(|other| is_beside(path, other.path(), &INDEXES_OF_VARIANTS)) {
                let other = other.path().display();
                return usage(format!("the output {} is the index of the output {other}", path.display()));
            }
        }
        Ok(())
    }

    /// Whether a run that was stopped has left a journal to go on with.
    pub(crate) fn is_resumable(&self) -> bool {
        self.0.first().is_some_and(|output| Journal::path(output.path()).exists())
    }

    /// The journal to go on with or to begin, unless an earlier run has written all outputs. They are to be opened for
    /// [`replacing`] then: rows are written anew, from the journal where it has them.
    ///
    /// # Errors
    ///
    /// - an output exists, and is neither to be replaced nor this run's;
    /// - the journal is left and nothing was said about it, is another run's, or cannot be read or written.
    pub(crate) fn open(&self, existing: Existing, run: &Run<'_>) -> Result<Opened<Journal>, ScoreError> {
        let Some(first) = self.0.first() else { return Ok(Opened::Writing(Journal::none())) };
        let (output, journal) = (first.path(), Journal::path(first.path()));
        match existing {
            Existing::Replace => {}
            Existing::Resume if journal.exists() => {}
            Existing::Resume if run.has_stream => self.refuse_existing()?,
            Existing::Resume if self.is_complete(run)? => return Ok(Opened::Complete),
            Existing::Resume => {}
            Existing::Refuse if journal.exists() => {
                return Err(ScoreError::Unfinished { output: output.into(), journal });
            }
            Existing::Refuse => self.refuse_existing()?,
        }
        match run.is_repeatable {
            true => Journal::open(output, &run.identity.line(), existing == Existing::Resume).map(Opened::Writing),
            false => Ok(Opened::Writing(Journal::none())),
        }
    }

    fn refuse_existing(&self) -> Result<(), ScoreError> {
        match self.0.iter().find(|output| output.is_there()) {
            Some(output) => Err(output.exists()),
            None => Ok(()),
        }
    }

    /// Whether all outputs are there and are this run's. A text counts beside an output that tells; where one is missing, all
    /// are written again.
    fn is_complete(&self, run: &Run<'_>) -> Result<bool, ScoreError> {
        let standing: Vec<Standing> = self.0.iter().map(|output| output.standing(run)).collect::<Result<_, _>>()?;
        let tells = standing.iter().any(|standing| matches!(standing, Standing::Ours { .. }));
        match self.0.iter().zip(&standing).find(|(_, standing)| **standing == Standing::Untold) {
            Some((output, _)) if !tells => Err(output.exists()),
            _ => Ok(standing.iter().all(|it| matches!(it, Standing::Ours { is_whole: true } | Standing::Untold))),
        }
    }
}

/// What becomes of what stands under an output's name once [`Targets::open`] has let it pass.
pub(crate) fn replacing(existing: Existing) -> Existing {
    match existing {
        Existing::Refuse => Existing::Refuse,
        Existing::Resume | Existing::Replace => Existing::Replace,
    }
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(extension);
    name.into()
}

/// Of all options that differ from an earlier run's, the first.
fn narrowed(error: TableError) -> TableError {
    match error {
        TableError::Differs { path, key, expected: Some(expected), found: Some(found) } => {
            let Difference { key, expected, found } = Difference::between(&key, &expected, &found);
            TableError::Differs { path, key, expected: Some(expected), found: Some(found) }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_what_belongs_to_files_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let told = |first: &str, second: &str| {
            let (first, second) = (path(first), path(second));
            let targets = Targets(vec![Target::Variants(&first), Target::Text(&second)]);
            targets.check(&[&path("in.vcf.gz"), &path("genome.fa")]).err().map(|error| error.to_string())
        };
        assert_eq!(told("out.vcf.gz", "out.tsv"), None);
        for (first, second, says) in [
            ("in.vcf.gz", "out.tsv", "is one of the inputs"),
            ("out.vcf", "./genome.fa", "is one of the inputs"),
            ("out.vcf", "genome.fa.fai", "is the index of the input"),
            ("out.vcf", "in.vcf.gz.tbi", "is the index of the input"),
            ("out.vcf", "out.vcf", "two outputs are"),
            ("out.vcf.gz", "out.vcf.gz.csi", "is the index of the output"),
        ] {
            let told = told(first, second).unwrap();
            assert!(told.contains(says), "{told}");
        }
    }
}
