//! Sequences with labels, ready for a model.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use longstrand_model::Watch;
use longstrand_seq::labelled::{Labels, read_labelled};
use longstrand_seq::{Genome, GenomeOptions, Vocabulary};

use super::error::FineTuneError;
use super::task::{Target, Task};

/// A sequence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Example {
    /// The line of its table.
    pub(super) line: u64,
    /// Its label as written.
    pub(super) label: Option<String>,
    /// Token ids, at most as many as were asked for.
    pub(super) ids: Vec<u8>,
}

/// A table's sequences.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// The file.
    pub(super) path: PathBuf,
    /// The rows.
    pub(super) examples: Vec<Example>,
}

impl Table {
    /// Reads a table; of longer sequences the `longest` bases around the centre are kept, which is told as a note.
    pub(super) fn read(
        path: &Path,
        genome: Option<&mut Genome>,
        labels: Labels,
        vocabulary: &Vocabulary,
        longest: usize,
        watch: &dyn Watch,
    ) -> Result<Self, FineTuneError> {
        let mut cut = 0_usize;
        let example = |row: longstrand_seq::labelled::Labelled| {
            let mut ids = row.bases;
            if ids.len() > longest {
                cut += 1;
                let start = (ids.len() - longest) / 2;
                ids = ids[start..start + longest].to_vec();
            }
            vocabulary.encode_in_place(&mut ids);
            Example { line: row.line, label: row.label, ids }
        };
        let examples: Vec<Example> = read_labelled(path, genome, labels)?.into_iter().map(example).collect();
        if cut > 0 {
            let (path, all) = (path.display(), examples.len());
            watch.note(&format!("{path}: of {cut} of {all} sequences the {longest} bases around the centre are used"));
        }
        Ok(Self { path: path.into(), examples })
    }

    /// What the labels mean.
    pub(super) fn targets(&self, task: &Task) -> Result<Vec<Target>, FineTuneError> {
        let target = |example: &Example| {
            let label = example.label.as_deref().unwrap_or_default();
            task.target(label).map_err(|expected| self.wrong_label(example, expected))
        };
        self.examples.iter().map(target).collect()
    }

    pub(super) fn wrong_label(&self, example: &Example, expected: String) -> FineTuneError {
        FineTuneError::Label {
            path: self.path.clone(),
            line: example.line,
            expected,
            found: example.label.clone().unwrap_or_default(),
        }
    }

    /// Whether every row has a label.
    pub(super) fn is_labelled(&self) -> bool {
        self.examples.iter().all(|example| example.label.is_some())
    }
}

/// Opens the genome of tables of intervals.
pub(super) fn open_genome(
    path: Option<&Path>,
    options: &GenomeOptions,
    watch: &dyn Watch,
) -> Result<Option<Genome>, FineTuneError> {
    let genome = path.map(|path| Genome::open(path, options)).transpose()?;
    if let Some(notice) = genome.as_ref().and_then(Genome::notice) {
        watch.note(&notice);
    }
    Ok(genome)
}

/// Rows of a table that are used together, with their targets and pooled hidden states.
#[derive(Clone, Debug, Default)]
pub(super) struct Part<'a> {
    pub(super) examples: Vec<&'a Example>,
    pub(super) targets: Vec<Target>,
    /// `[D]` each.
    pub(super) hidden: Vec<&'a [f32]>,
}

impl<'a> Part<'a> {
    pub(super) fn of_table(table: &'a Table, hidden: &'a [Vec<f32>], task: &Task) -> Result<Self, FineTuneError> {
        Ok(Self {
            examples: table.examples.iter().collect(),
            targets: table.targets(task)?,
            hidden: hidden.iter().map(Vec::as_slice).collect(),
        })
    }

    /// The rows of which `is_in` says yes, by their places.
    pub(super) fn filter(&self, is_in: impl Fn(usize) -> bool) -> Self {
        let places = || (0..self.examples.len()).filter(|&place| is_in(place));
        Self {
            examples: places().map(|place| self.examples[place]).collect(),
            targets: places().map(|place| self.targets[place]).collect(),
            hidden: places().map(|place| self.hidden[place]).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.examples.len()
    }

    pub(super) fn strata(&self) -> Vec<usize> {
        self.targets.iter().map(|target| target.stratum()).collect()
    }
}

/// A sequence's ids, or those of its reverse complement.
pub(super) fn oriented<'a>(ids: &'a [u8], is_reverse: bool, vocabulary: &Vocabulary) -> Cow<'a, [u8]> {
    match is_reverse {
        false => Cow::Borrowed(ids),
        true => ids.iter().rev().map(|&id| vocabulary.complement(id)).collect(),
    }
}
