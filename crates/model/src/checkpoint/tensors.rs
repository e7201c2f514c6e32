//! Tensors inside files held in memory, decoded one by one as they are taken.

use std::collections::BTreeMap;
use std::fmt;

use half::{bf16, f16};

use super::{CheckpointError, TensorProblem};

const FLOATS: &str = "F32, F16 or BF16";

/// Decoded bytes allowed for each byte of the files: widening doubles, and a model may share a few tensors.
const MAX_UNFOLDING: usize = 8;

/// Element types, by the names of the safetensors format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum StoredType {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl StoredType {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("BOOL"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// The element type of an entry; a type without a [`StoredType`] is kept by name for the error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryType {
    Known(StoredType),
    Other(String),
}

/// Where a tensor lies. Every element that shape and strides reach is inside the file: whoever makes an entry checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dtype: EntryType,
    pub(super) shape: Vec<usize>,
    /// In elements, one for each axis.
    pub(super) strides: Vec<usize>,
    /// Which file.
    pub(super) file: usize,
    /// Of the first element, in bytes from the file's start.
    pub(super) offset: usize,
}

/// A file in memory.
struct File {
    /// Its path, or the model's name.
    origin: String,
    bytes: Vec<u8>,
}

/// The tensors of all files of a checkpoint, by name.
pub(super) struct Tensors {
    /// The one weight file, or the index of several.
    origin: String,
    files: Vec<File>,
    entries: BTreeMap<String, Entry>,
    decoded: usize,
    types: Vec<StoredType>,
}

impl Tensors {
    /// None yet, of the weight file or the index `origin`.
    pub(super) fn new(origin: String) -> Self {
        Self { origin, files: Vec::new(), entries: BTreeMap::new(), decoded: 0, types: Vec::new() }
    }

    /// Adds a file and its entries.
    ///
    /// # Errors
    ///
    /// A name that an earlier file has as well.
    pub(super) fn add(
        &mut self,
        origin: String,
        bytes: Vec<u8>,
        entries: Vec<(String, Entry)>,
    ) -> Result<(), CheckpointError> {
        let file = self.files.len();
        self.files.push(File { origin, bytes });
        for (name, entry) in entries {
            if self.entries.contains_key(&name) {
                return Err(self.wrong(Some(file), &name, TensorProblem::Unexpected));
            }
            self.entries.insert(name, Entry { file, ..entry });
        }
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The float types that were taken, each once.
    pub(super) fn types(&self) -> &[StoredType] {
        &self.types
    }

    /// Takes the floats of `name`, row-major.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let entry = self.remove(name, shape)?;
        self.floats(name, &entry)
    }

    /// Takes the integers of `name`, `[expected.len()]`, which must be those of `from`.
    pub(super) fn take_repeated(&mut self, name: &str, expected: &[i64], from: &str) -> Result<(), CheckpointError> {
        let entry = self.remove(name, &[expected.len()])?;
        if entry.dtype != EntryType::Known(StoredType::I64) {
            return Err(self.wrong_type(name, "I64", &entry));
        }
        self.charge(name, &entry)?;
        let found = elements(&self.files[entry.file].bytes, &entry, i64::from_le_bytes);
        self.check_same(name, &entry, from, expected, &found)
    }

    /// Takes `alias`, if it is there, which must hold the same values as `original`; that one stays.
    pub(super) fn take_alias(&mut self, alias: &str, original: &str, shape: &[usize]) -> Result<(), CheckpointError> {
        if !self.has(alias) {
            return Ok(());
        }
        let copy = self.remove(alias, shape)?;
        let entry = self.remove(original, shape)?;
        if copy != entry {
            let (expected, found) = (self.floats(original, &entry)?, self.floats(alias, &copy)?);
            self.check_same(alias, &copy, original, &expected, &found)?;
        }
        self.entries.insert(original.into(), entry);
        Ok(())
    }

    /// Ends the reading: whatever was not taken is an error.
    pub(super) fn finish(&self) -> Result<(), CheckpointError> {
        match self.entries.iter().next() {
            None => Ok(()),
            Some((name, entry)) => Err(self.wrong(Some(entry.file), name, TensorProblem::Unexpected)),
        }
    }

    fn remove(&mut self, name: &str, shape: &[usize]) -> Result<Entry, CheckpointError> {
        match self.entries.remove(name) {
            Some(entry) if entry.shape == shape => Ok(entry),
            Some(entry) => {
                let problem = TensorProblem::Shape { expected: shape.into(), found: entry.shape };
                Err(self.wrong(Some(entry.file), name, problem))
            }
            None => Err(self.wrong(None, name, TensorProblem::Missing { expected: shape.into() })),
        }
    }

    fn floats(&mut self, name: &str, entry: &Entry) -> Result<Vec<f32>, CheckpointError> {
        self.charge(name, entry)?;
        let file = &self.files[entry.file].bytes;
        let (stored, values) = match &entry.dtype {
            EntryType::Known(stored @ StoredType::F32) => (*stored, elements(file, entry, f32::from_le_bytes)),
            EntryType::Known(stored @ StoredType::F16) => {
                (*stored, elements(file, entry, |b| f16::from_le_bytes(b).to_f32()))
            }
            EntryType::Known(stored @ StoredType::BF16) => {
                (*stored, elements(file, entry, |b| bf16::from_le_bytes(b).to_f32()))
            }
            _ => return Err(self.wrong_type(name, FLOATS, entry)),
        };
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let value = values[index].to_string();
            return Err(self.wrong(Some(entry.file), name, TensorProblem::NotFinite { index, value }));
        }
        if !self.types.contains(&stored) {
            self.types.push(stored);
        }
        Ok(values)
    }

    /// Counts the bytes that decoding takes, so that views of one storage cannot unfold without end.
    fn charge(&mut self, name: &str, entry: &Entry) -> Result<(), CheckpointError> {
        let elements: usize = entry.shape.iter().product();
        self.decoded = self.decoded.saturating_add(elements.saturating_mul(size_of::<f32>()));
        let on_disk: usize = self.files.iter().map(|file| file.bytes.len()).sum();
        let most = on_disk.saturating_mul(MAX_UNFOLDING);
        if self.decoded > most {
            let problem = TensorProblem::Inflated { expected: most, found: self.decoded };
            return Err(self.wrong(Some(entry.file), name, problem));
        }
        Ok(())
    }

    /// Checks that the values `found` of `name` are those of `from`.
    fn check_same<T: PartialEq + fmt::Display>(
        &self,
        name: &str,
        entry: &Entry,
        from: &str,
        expected: &[T],
        found: &[T],
    ) -> Result<(), CheckpointError> {
        let Some(index) = expected.iter().zip(found).position(|(expected, found)| expected != found) else {
            return Ok(());
        };
        let (expected, found) = (expected[index].to_string(), found[index].to_string());
        let problem = TensorProblem::Differs { from: from.into(), index, expected, found };
        Err(self.wrong(Some(entry.file), name, problem))
    }

    fn wrong_type(&self, name: &str, expected: &'static str, entry: &Entry) -> CheckpointError {
        let found = match &entry.dtype {
            EntryType::Known(stored) => stored.to_string(),
            EntryType::Other(name) => name.clone(),
        };
        self.wrong(Some(entry.file), name, TensorProblem::Type { expected, found })
    }

    /// The error of a tensor, in one of the files or in none.
    fn wrong(&self, file: Option<usize>, name: &str, problem: TensorProblem) -> CheckpointError {
        let origin = file.map_or(&self.origin, |file| &self.files[file].origin);
        CheckpointError::Tensor { origin: origin.clone(), name: name.into(), problem: problem.into() }
    }
}

/// Strides, in elements, of a row-major tensor.
pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// The elements of `entry` in row-major order.
fn elements<const N: usize, T>(file: &[u8], entry: &Entry, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    let count: usize = entry.shape.iter().product();
    let bytes = &file[entry.offset..];
    if entry.strides == row_major(&entry.shape) {
        let (chunks, _) = bytes[..count * N].as_chunks::<N>();
        return chunks.iter().map(|chunk| decode(*chunk)).collect();
    }
    let (chunks, _) = bytes.as_chunks::<N>();
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0; entry.shape.len()];
    for _ in 0..count {
        let at: usize = index.iter().zip(&entry.strides).map(|(i, stride)| i * stride).sum();
        values.push(decode(chunks[at]));
        advance(&mut index, &entry.shape);
    }
    values
}

/// Steps to the next index in row-major order.
fn advance(index: &mut [usize], shape: &[usize]) {
    for axis in (0..shape.len()).rev() {
        index[axis] += 1;
        if index[axis] < shape[axis] {
            return;
        }
        index[axis] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(values: &[f32], shape: &[usize], strides: &[usize]) -> Tensors {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let entry = Entry {
            dtype: EntryType::Known(StoredType::F32),
            shape: shape.into(),
            strides: strides.into(),
            file: 0,
            offset: 0,
        };
        let mut tensors = Tensors::new("index".into());
        tensors.add("file".into(), bytes, vec![("w".into(), entry)]).unwrap();
        tensors
    }

    #[test]
    fn a_transposed_view_is_laid_out() {
        let mut transposed = tensors(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[3, 2], &[1, 3]);
        assert_eq!(transposed.take("w", &[3, 2]).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = tensors(&[0.0; 6], &[3, 2], &[2, 1]).take("w", &[2, 3]).unwrap_err().to_string();
        assert_eq!(message, "file: tensor \"w\": expected shape [2, 3], found [3, 2]");
        let message = tensors(&[0.0; 6], &[3, 2], &[2, 1]).take("v", &[2, 3]).unwrap_err().to_string();
        assert_eq!(message, "index: tensor \"v\": missing; expected one of shape [2, 3]");
        let message = tensors(&[0.0; 6], &[6], &[1]).take_repeated("w", &[0; 6], "ids").unwrap_err().to_string();
        assert_eq!(message, "file: tensor \"w\": expected type I64, found F32");
        let message = tensors(&[0.0, f32::NAN], &[2], &[1]).take("w", &[2]).unwrap_err().to_string();
        assert_eq!(message, "file: tensor \"w\": expected finite values, found NaN at index 1");
        let message = tensors(&[0.0], &[1], &[1]).finish().unwrap_err().to_string();
        assert_eq!(message, "file: tensor \"w\": unexpected; a model of this config has none of this name");
    }

    #[test]
    fn views_cannot_unfold_without_end() {
        let bytes = vec![0; 4];
        let entry =
            Entry { dtype: EntryType::Known(StoredType::F32), shape: vec![1], strides: vec![1], file: 0, offset: 0 };
        let mut tensors = Tensors::new("file".into());
        let names: Vec<String> = (0..10).map(|i| format!("w{i}")).collect();
        tensors.add("file".into(), bytes, names.iter().map(|name| (name.clone(), entry.clone())).collect()).unwrap();
        let failed = names.iter().find_map(|name| tensors.take(name, &[1]).err()).unwrap();
        let message = failed.to_string();
        assert_eq!(
            message,
            "file: tensor \"w8\": expected tensors of at most 32 bytes in all, found views that unfold to 36"
        );
    }
}
