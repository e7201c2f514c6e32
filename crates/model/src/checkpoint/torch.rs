//! `pytorch_model.bin`: the zip archive that `torch.save` writes, around a pickled dictionary of tensors.
//!
//! A pickle is a program. The one here is run by a machine that knows only what a dictionary of tensors needs
//! ([`unpickle`]); any other instruction, and any global beyond torch's own tensor constructors, is an error before
//! anything is made of it. Nothing is imported and nothing is called.

use std::collections::BTreeMap;
use std::ops::Range;
use std::{error, fmt};

use super::tensors::{Entry, EntryType};

mod machine;
mod pickle;
mod zip;

pub use pickle::{PickleError, StateDict, TorchTensor, unpickle};
pub use zip::ZipError;

/// How a file from before PyTorch 1.6 begins: a pickled magic number.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// The archive's member that holds the pickle; the folder's name differs from writer to writer.
const PICKLE_MEMBER: &str = "/data.pkl";

/// An error returned when a PyTorch archive cannot be read.
#[derive(Debug)]
pub enum TorchError {
    /// The format from before PyTorch 1.6, which is not an archive.
    Legacy,
    /// Not a zip archive that torch wrote.
    Zip(ZipError),
    /// There is no `data.pkl`.
    NoPickle,
    /// The bytes of numbers are not little-endian.
    ByteOrder(String),
    /// The pickle is not a dictionary of tensors.
    Pickle(PickleError),
    /// A tensor reaches beyond its storage, or the storage is not in the archive.
    Storage {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        what: String,
    },
}

impl error::Error for TorchError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Zip(e) => Some(e),
            Self::Pickle(e) => Some(e),
            _ => None,
        }
    }
}

impl fmt::Display for TorchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy => write!(
                f,
                "the file has the format from before PyTorch 1.6; load it there and write it again with torch.save"
            ),
            Self::Zip(_) => write!(f, "not a whole zip archive as torch.save writes it"),
            Self::NoPickle => write!(f, "the archive has no data.pkl"),
            Self::ByteOrder(found) => write!(f, "expected byte order \"little\", found {found:?}"),
            Self::Pickle(_) => write!(f, "data.pkl is not a plain dictionary of tensors"),
            Self::Storage { tensor, what } => write!(f, "tensor \"{tensor}\": {what}"),
        }
    }
}

/// Whether the bytes begin as a file of torch does, of the old format or the new.
pub(super) fn is_torch(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK") || bytes.starts_with(LEGACY_MAGIC)
}

/// Finds the tensors of an archive.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<(String, Entry)>, TorchError> {
    if bytes.starts_with(LEGACY_MAGIC) {
        return Err(TorchError::Legacy);
    }
    let members = zip::members(bytes).map_err(TorchError::Zip)?;
    let folder = members.keys().find_map(|name| name.strip_suffix(PICKLE_MEMBER)).ok_or(TorchError::NoPickle)?;
    check_byte_order(bytes, &members, folder)?;
    let pickle = &bytes[members[&format!("{folder}{PICKLE_MEMBER}")].clone()];
    let tensors = unpickle(pickle).map_err(TorchError::Pickle)?;
    tensors.into_iter().map(|(name, tensor)| locate(name, tensor, &members, folder)).collect()
}

fn check_byte_order(bytes: &[u8], members: &BTreeMap<String, Range<usize>>, folder: &str) -> Result<(), TorchError> {
    match members.get(&format!("{folder}/byteorder")).map(|range| &bytes[range.clone()]) {
        None | Some(b"little") => Ok(()),
        Some(other) => Err(TorchError::ByteOrder(String::from_utf8_lossy(other).into_owned())),
    }
}

fn locate(
    name: String,
    tensor: TorchTensor,
    members: &BTreeMap<String, Range<usize>>,
    folder: &str,
) -> Result<(String, Entry), TorchError> {
    match place(tensor, members, folder) {
        Ok(entry) => Ok((name, entry)),
        Err(what) => Err(TorchError::Storage { tensor: name, what }),
    }
}

fn place(tensor: TorchTensor, members: &BTreeMap<String, Range<usize>>, folder: &str) -> Result<Entry, String> {
    let size = tensor.dtype.size();
    let member = members.get(&format!("{folder}/data/{}", tensor.storage));
    let member = member.ok_or_else(|| format!("storage {:?} is not in the archive", tensor.storage))?;
    if tensor.storage_len.checked_mul(size) != Some(member.len()) {
        let expected = format!("{} elements of {}", tensor.storage_len, tensor.dtype);
        return Err(format!("expected storage {:?} of {expected}, found {} bytes", tensor.storage, member.len()));
    }
    if !fits(&tensor) {
        let (shape, strides, offset) = (&tensor.shape, &tensor.strides, tensor.offset);
        let len = tensor.storage_len;
        return Err(format!("shape {shape:?}, strides {strides:?} at {offset} reach beyond its storage of {len}"));
    }
    Ok(Entry {
        dtype: EntryType::Known(tensor.dtype),
        shape: tensor.shape,
        strides: tensor.strides,
        file: 0,
        offset: member.start + tensor.offset * size,
    })
}

/// Whether every element lies inside the storage, and there are no more elements than it has.
fn fits(tensor: &TorchTensor) -> bool {
    let count = tensor.shape.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
    if count == Some(0) {
        return tensor.offset <= tensor.storage_len;
    }
    let last = tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .try_fold(tensor.offset, |last, (&n, &stride)| last.checked_add((n - 1).checked_mul(stride)?));
    count.is_some_and(|count| count <= tensor.storage_len) && last.is_some_and(|last| last < tensor.storage_len)
}

#[cfg(test)]
mod tests {
    use super::super::tensors::StoredType;
    use super::*;

    fn tensor(shape: &[usize], strides: &[usize], offset: usize) -> TorchTensor {
        TorchTensor {
            storage: "0".into(),
            storage_len: 6,
            dtype: StoredType::F32,
            offset,
            shape: shape.into(),
            strides: strides.into(),
        }
    }

    #[test]
    fn tensors_stay_inside_their_storage() {
        assert!(fits(&tensor(&[2, 3], &[3, 1], 0)));
        assert!(fits(&tensor(&[3, 2], &[1, 3], 0)));
        assert!(fits(&tensor(&[0, 3], &[3, 1], 6)));
        assert!(!fits(&tensor(&[2, 3], &[3, 1], 1)));
        assert!(!fits(&tensor(&[2, 3], &[4, 1], 0)));
        assert!(!fits(&tensor(&[7], &[0], 0)));
        assert!(!fits(&tensor(&[usize::MAX, 2], &[1, 1], 0)));
        assert!(!fits(&tensor(&[2], &[usize::MAX], 1)));
    }

    #[test]
    fn the_old_format_is_named() {
        let bytes = [LEGACY_MAGIC, b".\x80\x02"].concat();
        assert!(matches!(entries(&bytes), Err(TorchError::Legacy)));
    }
}
