//! Where outputs may lie.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use longstrand_seq::whole_file::folder;
use longstrand_table::Destination;

use super::{Target, Targets};
use crate::error::ScoreError;
use crate::journal::Journal;
use crate::same_file::{is_one_of, is_within};

/// What lies beside inputs and belongs to them.
const INDEXES_OF_INPUTS: [&str; 4] = [".fai", ".gzi", ".tbi", ".csi"];
/// What is written beside variants.
const INDEXES_OF_VARIANTS: [&str; 2] = [".tbi", ".csi"];

impl Targets<'_> {
    /// Refuses outputs that are to go to the standard output and cannot; that are inputs, files of the model or what belongs to them; that are each other, or lie where another
    /// one has its parts, its index or its journal; and those that cannot lie where they are to.
    ///
    /// # Errors
    ///
    /// - [`ScoreError::Usage`]
    /// - [`ScoreError::NoFolder`]
    /// - [`ScoreError::Taken`]
    pub(crate) fn check(&self, inputs: &[&Path], model: &[PathBuf]) -> Result<(), ScoreError> {
        for (i, output) in self.0.iter().enumerate() {
            let path = output.path();
            if path.as_os_str() == "-" {
                let message =
                    "only variants, --tsv and bedGraph go to the standard output, as -; expected the name of a file";
                return Err(ScoreError::Usage(message.into()));
            }
            let whose = whose(path, inputs, model).or_else(|| self.whose(i, path));
            if let Some(whose) = whose {
                return Err(ScoreError::Usage(format!("the output {} {whose}", path.display())));
            }
            if is_one_of(path, self.0[..i].iter().map(|other| other.path())) {
                return Err(ScoreError::Usage(format!("two outputs are {}", path.display())));
            }
            output.check_place()?;
        }
        Ok(())
    }

    /// What of the other outputs a path names.
    fn whose(&self, i: usize, path: &Path) -> Option<String> {
        let others = || self.0.iter().enumerate().filter(|(other, _)| *other != i).map(|(_, other)| other);
        if let Some(other) = others().find(|other| other.has_index(path)) {
            return Some(format!("is the index of the output {}", other.path().display()));
        }
        if let Some(other) = others().find(|other| other.has_part(path)) {
            return Some(format!("lies among the parts of the output {}", other.path().display()));
        }
        let first = self.0.first().filter(|first| is_one_of(path, [&*Journal::path(first.path())]))?;
        Some(format!("is the journal of the output {}", first.path().display()))
    }
}

impl Target<'_> {
    fn has_index(self, path: &Path) -> bool {
        matches!(self, Self::Variants(_)) && is_beside(path, self.path(), &INDEXES_OF_VARIANTS)
    }

    fn has_part(self, path: &Path) -> bool {
        matches!(self, Self::Table(table) if is_within(path, &table.parts_folder()))
    }

    /// Refuses a name in no folder, and one that something else has than what it is to be.
    fn check_place(self) -> Result<(), ScoreError> {
        let path = self.path();
        let folder = folder(path);
        if !folder.is_dir() {
            return Err(ScoreError::NoFolder { path: folder.into() });
        }
        let is_folder = matches!(self, Self::Table(Destination::Folder(_)));
        match fs::metadata(path) {
            Ok(there) if (is_folder && !there.is_dir()) || (!is_folder && !there.is_file()) => {
                let expected = if is_folder { "a folder" } else { "a file" };
                Err(ScoreError::Taken { path: path.into(), expected })
            }
            _ => Ok(()),
        }
    }
}

/// What of the inputs and the model a path names.
fn whose(path: &Path, inputs: &[&Path], model: &[PathBuf]) -> Option<String> {
    if is_one_of(path, inputs.iter().copied()) {
        return Some("is one of the inputs".into());
    }
    if is_one_of(path, model.iter().map(PathBuf::as_path)) {
        return Some("is a file of the model".into());
    }
    let input = inputs.iter().find(|input| is_beside(path, input, &INDEXES_OF_INPUTS))?;
    Some(format!("is the index of the input {}", input.display()))
}

fn is_beside(path: &Path, file: &Path, extensions: &[&str]) -> bool {
    extensions.iter().any(|extension| is_one_of(path, [&*beside(file, extension)]))
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(extension);
    name.into()
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
            let (inputs, model) = ([path("in.vcf.gz"), path("genome.fa")], [path("config.json")]);
            let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
            targets.check(&inputs, &model).err().map(|error| error.to_string())
        };
        assert_eq!(told("out.vcf.gz", "out.tsv"), None);
        for (first, second, says) in [
            ("in.vcf.gz", "out.tsv", "is one of the inputs"),
            ("out.vcf", "./genome.fa", "is one of the inputs"),
            ("out.vcf", "./config.json", "is a file of the model"),
            ("out.vcf", "genome.fa.fai", "is the index of the input"),
            ("out.vcf", "in.vcf.gz.tbi", "is the index of the input"),
            ("out.vcf", "out.vcf", "two outputs are"),
            ("out.vcf.gz", "out.vcf.gz.csi", "is the index of the output"),
            ("out.vcf", ".out.vcf.journal", "is the journal of the output"),
        ] {
            let told = told(first, second).unwrap();
            assert!(told.contains(says), "{told}");
        }
    }

    #[test]
    fn parts_are_of_one_output_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (table, parts) in [
            (Destination::Folder(path("parts")), "parts"),
            (Destination::Folder(path("parts/")), "parts"),
            (Destination::File(path("out.parquet")), ".out.parquet.parts"),
        ] {
            let text = path(parts).join("part-00000.parquet");
            for targets in [[Target::Table(&table), Target::Text(&text)], [Target::Text(&text), Target::Table(&table)]]
            {
                let told = Targets(targets.to_vec()).check(&[], &[]).unwrap_err().to_string();
                assert!(told.contains("lies among the parts of the output"), "{told}");
            }
        }
    }

    #[test]
    fn an_output_needs_a_folder_and_a_name_of_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("folder")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        fn check(target: Target<'_>) -> Result<(), ScoreError> {
            Targets(vec![target]).check(&[], &[])
        }
        let stream = check(Target::Text(Path::new("-"))).unwrap_err();
        assert!(matches!(stream, ScoreError::Usage(_)), "{stream}");
        let device = check(Target::Variants(Path::new("/dev/null"))).unwrap_err();
        assert!(device.to_string().ends_with("exists and is not a file; - is the standard output"), "{device}");
        assert!(matches!(check(Target::Text(&path("none/out.tsv"))), Err(ScoreError::NoFolder { .. })));
        assert!(matches!(check(Target::Text(&path("folder"))), Err(ScoreError::Taken { .. })));
        let table = Destination::Folder(path("file"));
        assert!(matches!(check(Target::Table(&table)), Err(ScoreError::Taken { .. })));
        assert!(check(Target::Text(&path("file"))).is_ok());
        assert!(check(Target::Table(&Destination::Folder(path("folder")))).is_ok());
    }
}
