//! The entries of a safetensors file.

use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

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
