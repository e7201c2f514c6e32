//! A temporary folder in which a test calls the program with a small model.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    command::Longstrand,
    synthetic::{Family, Shape},
    table::{Row, rows},
    variants::Scores,
};

/// A temporary folder with a small model in it.
pub struct Workdir {
    folder: TempDir,
    longstrand: Longstrand,
}

impl Workdir {
    /// A folder with a model of this family, 32 wide and of two layers, for the program at `binary`.
    pub fn new(binary: &'static str, family: Family) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Shape { family, d_model: 32, n_layer: 2 }.write(11, &folder.path().join("model"));
        Self { folder, longstrand: Longstrand::at(binary) }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file in a temporary folder");
        path
    }

    /// `embed` of a file with the small model into an output of the folder.
    pub fn embed(&self, input: impl AsRef<Path>, output: &str) -> Longstrand {
        self.longstrand.clone().embed(input, self.path(output)).model(self.path("model"))
    }

    /// The rows that `embed` writes with these options, which hold no spaces.
    pub fn rows(&self, input: impl AsRef<Path>, options: &str) -> Vec<Row> {
        self.embed(input, "rows.parquet").args(options).args("--force").succeeds();
        rows(&self.path("rows.parquet"))
    }

    /// A command on an input, quiet and with the small model.
    pub fn command(&self, name: &str, input: impl AsRef<Path>) -> Longstrand {
        self.longstrand.clone().arg(name).arg(input.as_ref()).arg("-q").model(self.path("model"))
    }

    /// `score` of variants told against a reference; an output is still to be named.
    pub fn score(&self, variants: impl AsRef<Path>, reference: impl AsRef<Path>) -> Longstrand {
        self.command("score", variants).arg("--reference").arg(reference.as_ref())
    }

    /// The table that `score` writes with these options, which hold no spaces.
    pub fn scores(&self, variants: impl AsRef<Path>, reference: impl AsRef<Path>, options: &str) -> Scores {
        let finished = self.score(variants, reference).args("--tsv -").args(options).succeeds();
        assert!(finished.stderr.is_empty(), "{finished}");
        Scores::parse(&finished.stdout)
    }

    /// The text of a file in the folder.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a text file in a temporary folder")
    }

    /// Whether a path names the folder.
    pub fn is_named_in(&self, text: &str) -> bool {
        text.contains(&*self.folder.path().to_string_lossy())
    }

    /// The names of what lies in the folder, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}
