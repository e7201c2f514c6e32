use std::path::Path;

use super::{VariantError, VariantErrorKind, VariantReader};
use crate::input::is_stream;

/// Counts the records of a file, or those that lie in regions, as [`VariantReader::open`] would give them.
///
/// Without regions what is in the records is not looked at. An index is not asked: it may be older than its file.
///
/// # Errors
///
/// - the path is a stream, which could not be read again
/// - the file cannot be opened or read, as for [`VariantReader`]
pub fn count_records(path: &Path, regions: &[String]) -> Result<u64, VariantError> {
    if is_stream(path) && path.metadata().is_ok() || path.as_os_str() == "-" {
        return Err(VariantError::new(path, VariantErrorKind::Stream));
    }
    let mut reader = VariantReader::open(path, regions)?;
    let mut line = Vec::new();
    let mut count = 0;
    while reader.skip(&mut line)? {
        count += 1;
    }
    Ok(count)
}
