//! The entries of a safetensors file, and its bytes.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};

use super::layout::NamedTensor;
use super::tensors::{Entry, EntryType, StoredType, row_major};

/// Bytes of the header's length, at the file's start.
const LENGTH_BYTES: usize = 8;

/// Reads the header; the length of the whole file is checked against it.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<(String, Entry)>, SafeTensorError> {
    let (header, metadata) = SafeTensors::read_metadata(bytes)?;
    let data = LENGTH_BYTES + header;
    let tensors = metadata.tensors().into_iter();
    tensors.map(|(name, info)| Ok((name, entry(info, data, bytes.len())?))).collect()
}

/// Makes an entry from a tensor's header, of a file of `length` bytes whose tensors begin at `data`.
fn entry(info: &TensorInfo, data: usize, length: usize) -> Result<Entry, SafeTensorError> {
    let (start, end) = info.data_offsets;
    if end > length - data {
        return Err(SafeTensorError::MetadataIncompleteBuffer);
    }
    Ok(Entry {
        dtype: entry_type(info.dtype),
        strides: row_major(&info.shape),
        shape: info.shape.clone(),
        file: 0,
        offset: data + start,
    })
}

fn entry_type(dtype: Dtype) -> EntryType {
    EntryType::Known(match dtype {
        Dtype::F64 => StoredType::F64,
        Dtype::F32 => StoredType::F32,
        Dtype::F16 => StoredType::F16,
        Dtype::BF16 => StoredType::BF16,
        Dtype::I64 => StoredType::I64,
        Dtype::I32 => StoredType::I32,
        Dtype::I16 => StoredType::I16,
        Dtype::I8 => StoredType::I8,
        Dtype::U8 => StoredType::U8,
        Dtype::BOOL => StoredType::Bool,
        other => return EntryType::Other(format!("{other:?}")),
    })
}

/// The bytes of a file with these tensors and buffers of ids.
pub(super) fn serialize(
    tensors: &[NamedTensor<'_, f32>],
    buffers: &[(String, Vec<i64>)],
) -> Result<Vec<u8>, SafeTensorError> {
    // transformers refuses a file that does not say which framework's layout it has.
    let metadata = HashMap::from([("format".into(), "pt".into())]);
    let tensors = tensors.iter().map(|t| (t.spec.name.as_str(), Column::Floats(&t.spec.shape, t.values)));
    let buffers = buffers.iter().map(|(name, ids)| (name.as_str(), Column::Ids([ids.len()], ids)));
    safetensors::serialize(tensors.chain(buffers), Some(metadata))
}

/// Numbers on their way into a file.
enum Column<'a> {
    Floats(&'a [usize], &'a [f32]),
    Ids([usize; 1], &'a [i64]),
}

impl View for Column<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Floats(..) => Dtype::F32,
            Self::Ids(..) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Floats(shape, _) => shape,
            Self::Ids(shape, _) => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Floats(_, values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Ids(_, ids) => ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Floats(_, values) => size_of_val(*values),
            Self::Ids(_, ids) => size_of_val(*ids),
        }
    }
}
