//! Token ids and targets in a file: `input_ids` and `labels`, `[B, L]`, in safetensors.
//!
//! This is how the examples of published experiments are exchanged: what a model saw, masks and random tokens included, and
//! what it had to say.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// Sequences of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenFile {
    /// L.
    pub length: usize,
    /// What the model sees, `[B, L]`.
    pub ids: Vec<u8>,
    /// What it has to say, `[B, L]`; none where there is nothing to say.
    pub labels: Vec<Option<u8>>,
}

/// Why a file gives no tokens.
#[derive(Debug)]
pub struct TokenFileError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Read(io::Error),
    Format(SafeTensorError),
    Missing(&'static str),
    Type { name: &'static str, found: Dtype },
    Shape { ids: Vec<usize>, labels: Vec<usize> },
    Id { row: usize, column: usize, vocabulary: usize, found: i64 },
}

impl TokenFile {
    /// Reads a file of integers (U8, I32 or I64). A label that is no id below `vocabulary`, or that `is_target` refuses, is none.
    ///
    /// # Errors
    ///
    /// - the file cannot be read, or is no safetensors
    /// - a tensor is missing, of another type, or the two are not of one shape `[B, L]`
    /// - an id is not below `vocabulary`
    pub fn read(path: &Path, vocabulary: usize, is_target: impl Fn(u8) -> bool) -> Result<Self, TokenFileError> {
        parse(path, vocabulary, is_target).map_err(|kind| TokenFileError { path: path.into(), kind })
    }
}

fn parse(path: &Path, vocabulary: usize, is_target: impl Fn(u8) -> bool) -> Result<TokenFile, Kind> {
    let bytes = fs::read(path).map_err(Kind::Read)?;
    let file = SafeTensors::deserialize(&bytes).map_err(Kind::Format)?;
    let tensor = |name| file.tensor(name).map_err(|_| Kind::Missing(name));
    let (ids, labels) = (tensor("input_ids")?, tensor("labels")?);
    let &[_, length] = ids.shape() else { return Err(shapes(&ids, &labels)) };
    if ids.shape() != labels.shape() || length == 0 {
        return Err(shapes(&ids, &labels));
    }
    let id = |number: i64| u8::try_from(number).ok().filter(|&id| usize::from(id) < vocabulary);
    let ids = integers("input_ids", &ids)?.into_iter().enumerate().map(|(i, number)| {
        id(number).ok_or(Kind::Id { row: i / length, column: i % length, vocabulary, found: number })
    });
    let labels = integers("labels", &labels)?.into_iter().map(|number| id(number).filter(|&label| is_target(label)));
    Ok(TokenFile { length, ids: ids.collect::<Result<_, _>>()?, labels: labels.collect() })
}

fn shapes(ids: &TensorView<'_>, labels: &TensorView<'_>) -> Kind {
    Kind::Shape { ids: ids.shape().into(), labels: labels.shape().into() }
}

fn integers(name: &'static str, tensor: &TensorView<'_>) -> Result<Vec<i64>, Kind> {
    let bytes = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::U8 => bytes.iter().map(|&byte| byte.into()).collect(),
        Dtype::I32 => bytes.as_chunks().0.iter().map(|chunk| i32::from_le_bytes(*chunk).into()).collect(),
        Dtype::I64 => bytes.as_chunks().0.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect(),
        found => return Err(Kind::Type { name, found }),
    })
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            Kind::Read(_) => f.write_str("cannot read the file"),
            Kind::Format(_) => f.write_str("expected a safetensors file"),
            Kind::Missing(name) => write!(f, "expected a tensor {name}, found none"),
            Kind::Type { name, found } => write!(f, "{name}: expected U8, I32 or I64, found {found:?}"),
            Kind::Shape { ids, labels } => {
                write!(f, "expected input_ids and labels of one shape [B, L], found {ids:?} and {labels:?}")
            }
            Kind::Id { row, column, vocabulary, found } => {
                write!(f, "input_ids[{row}, {column}]: expected an id below {vocabulary}, found {found}")
            }
        }
    }
}

impl std::error::Error for TokenFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Read(error) => Some(error),
            Kind::Format(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> PathBuf {
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
        let path = folder.join("tokens.safetensors");
        fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    }

    fn wide(numbers: &[i64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn labels_that_are_no_targets_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let labels = wide(&[-100, 7, 4, 300]);
        let path = write(
            folder.path(),
            &[("input_ids", Dtype::U8, &[2, 2], vec![3, 8, 7, 11]), ("labels", Dtype::I64, &[2, 2], labels)],
        );
        let file = TokenFile::read(&path, 12, |id| id >= 7).unwrap();
        assert_eq!(file, TokenFile { length: 2, ids: vec![3, 8, 7, 11], labels: vec![None, Some(7), None, None] });
        let error = TokenFile::read(&path, 9, |_| true).unwrap_err().to_string();
        assert!(error.ends_with("tokens.safetensors: input_ids[1, 1]: expected an id below 9, found 11"), "{error}");
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = |tensors: &[(&str, Dtype, &[usize], Vec<u8>)]| {
            TokenFile::read(&write(folder.path(), tensors), 12, |_| true).unwrap_err().to_string()
        };
        let ids = || ("input_ids", Dtype::U8, &[1, 2][..], vec![7, 7]);
        assert!(told(&[ids()]).ends_with("expected a tensor labels, found none"));
        let floats = ("labels", Dtype::F32, &[1, 2][..], vec![0; 8]);
        assert!(told(&[ids(), floats]).ends_with("labels: expected U8, I32 or I64, found F32"));
        let short = ("labels", Dtype::U8, &[1, 1][..], vec![7]);
        assert!(told(&[ids(), short]).ends_with("of one shape [B, L], found [1, 2] and [1, 1]"));
        let path = folder.path().join("tokens.safetensors");
        fs::write(&path, "no").unwrap();
        assert!(TokenFile::read(&path, 12, |_| true).is_err());
    }
}
