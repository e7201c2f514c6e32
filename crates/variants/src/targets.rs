//! The files that a run writes: where they may lie, and what stands there before it begins.

mod places;

use std::fs;
use std::path::Path;

use longstrand_model::Difference;
use longstrand_seq::variant::VariantReader;
use longstrand_table::{Destination, Existing, ScoreLayout, ScoreWriter, TableError, WriteOptions};

use crate::annotate;
use crate::error::ScoreError;
use crate::journal::Journal;
use crate::prefix::Prefix;
use crate::provenance::Identity;

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
    /// Whether a run that was stopped has left a journal to go on with.
    pub(crate) fn is_resumable(&self) -> bool {
        self.0.first().is_some_and(|output| Journal::is_left(output.path()))
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
            _ if Journal::is_held(output) => return Err(ScoreError::Busy { path: journal }),
            Existing::Replace => {}
            // What was there when the run began that is resumed was to be replaced.
            Existing::Resume if Journal::is_replacing(output) => {}
            Existing::Resume if Journal::is_left(output) => _ = self.is_complete(run)?,
            Existing::Resume if run.has_stream => self.refuse_existing()?,
            Existing::Resume if self.is_complete(run)? => return Ok(Opened::Complete),
            Existing::Resume => {}
            Existing::Refuse => self.refuse_standing()?,
        }
        match run.is_repeatable {
            true => Journal::open(output, &run.identity.line(), existing).map(Opened::Writing),
            false => Ok(Opened::Writing(Journal::none())),
        }
    }

    /// Refuses what stands under the outputs' names where nothing is to be resumed nor replaced.
    ///
    /// # Errors
    ///
    /// - an output exists, or the journal of a run that was stopped or is running.
    fn refuse_standing(&self) -> Result<(), ScoreError> {
        let journal = self.0.first().map(|first| (first.path(), Journal::path(first.path())));
        match journal.filter(|(output, _)| Journal::is_left(output)) {
            Some((output, journal)) if Journal::is_held(output) => return Err(ScoreError::Busy { path: journal }),
            Some((output, journal)) => return Err(ScoreError::Unfinished { output: output.into(), journal }),
            None => {}
        }
        self.refuse_existing()
    }

    /// Refuses before anything is read what [`Self::open`] would refuse without asking whose it is.
    ///
    /// # Errors
    ///
    /// - an output exists, or the journal of a run that was stopped, and nothing was said about it.
    pub(crate) fn check_standing(&self, existing: Existing) -> Result<(), ScoreError> {
        match existing {
            Existing::Refuse => self.refuse_standing(),
            Existing::Resume | Existing::Replace => Ok(()),
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
