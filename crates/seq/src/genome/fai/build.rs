use super::FaiRecord;
use crate::{error::Error, genome::stream::FastaStream};

/// Makes the index of a FASTA; `None` when the lines of a record are of uneven length, so that no index can say where its
/// bases lie.
pub(in crate::genome) fn build(mut stream: FastaStream) -> Result<Option<Vec<FaiRecord>>, Error> {
    let mut records = Vec::new();
    while let Some(name) = stream.next_contig()? {
        match build_record(&mut stream, name)? {
            Some(record) => records.push(record),
            None => return Ok(None),
        }
    }
    Ok(Some(records))
}

fn build_record(stream: &mut FastaStream, name: String) -> Result<Option<FaiRecord>, Error> {
    let mut record = FaiRecord { name, length: 0, offset: stream.offset(), line_bases: u64::MAX, line_width: u64::MAX };
    let mut first_line = None;
    while let Some(piece) = stream.next_bases(usize::MAX)? {
        let first_line = *first_line.get_or_insert(piece.line);
        if record.line_bases == u64::MAX && piece.line > first_line {
            record.line_bases = record.length;
            record.line_width = piece.offset - record.offset;
        }
        if record.position(record.length) != piece.offset {
            return Ok(None);
        }
        record.length += piece.range.len() as u64;
        // A last line that is longer than the first.
        if record.end() != piece.offset + piece.range.len() as u64 {
            return Ok(None);
        }
    }
    if record.line_bases == u64::MAX {
        record.line_bases = record.length;
        record.line_width = record.length + 1;
    }
    Ok(Some(record))
}
