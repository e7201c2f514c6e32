//! A FASTA in memory at 2 bits a base, for what cannot be read at random.

use std::ops::Range;

use super::{
    Opened, Storage,
    runs::{Run, Runs},
    stream::FastaStream,
    two_bit::unpack,
};
use crate::{contig::Contig, error::Error};

/// Reads a stream whole.
pub(super) fn open(mut stream: FastaStream, notice: &str) -> Result<Opened, Error> {
    let mut records = Vec::new();
    let mut sequences = Vec::new();
    while let Some(name) = stream.next_contig()? {
        let mut sequence = Sequence::new();
        while let Some(piece) = stream.next_bases(usize::MAX)? {
            sequence.extend(stream.bases(&piece));
        }
        sequence.bits.shrink_to_fit();
        records.push(Contig { name, length: sequence.length });
        sequences.push(sequence);
    }
    let notice = Some(format!("{}: {notice}", stream.path().display()));
    Ok(Opened { records, storage: Box::new(Packed(sequences)), notice })
}

/// Bytes that a genome takes which was read whole, by its bases and its runs of lower-case ones. Other codes than A, C, G and T
/// are few.
pub fn packed_bytes(bases: u64, runs: u64) -> u64 {
    bases.div_ceil(4) + runs * size_of::<Run<()>>() as u64
}

struct Packed(Vec<Sequence>);

impl Storage for Packed {
    fn read(&mut self, record: usize, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        self.0[record].read(range, out);
        Ok(())
    }
}

/// Bases as 2bit packs them (T 0, C 1, A 2, G 3, the first in the highest bits), with what that cannot say beside them.
struct Sequence {
    length: u64,
    bits: Vec<u8>,
    /// Upper-case codes other than A, C, G and T.
    others: Runs<u8>,
    lower_case: Runs<()>,
}

impl Sequence {
    fn new() -> Self {
        Self { length: 0, bits: Vec::new(), others: Runs::new(), lower_case: Runs::new() }
    }

    fn extend(&mut self, bases: &[u8]) {
        for &base in bases {
            let upper = base.to_ascii_uppercase();
            let code = code(upper).unwrap_or_else(|| {
                self.others.push(self.length, upper);
                0
            });
            if base != upper {
                self.lower_case.push(self.length, ());
            }
            self.push(code);
        }
    }

    fn push(&mut self, code: u8) {
        let shift = 6 - 2 * (self.length % 4);
        match self.bits.last_mut() {
            Some(last) if shift < 6 => *last |= code << shift,
            _ => self.bits.push(code << shift),
        }
        self.length += 1;
    }

    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) {
        let from = out.len();
        let bytes = range.start as usize / 4..(range.end as usize).div_ceil(4);
        unpack(&self.bits[bytes], &range, out);
        self.others.paint(&range, &mut out[from..], <[u8]>::fill);
        self.lower_case.paint(&range, &mut out[from..], |bases, ()| bases.make_ascii_lowercase());
    }
}

fn code(upper: u8) -> Option<u8> {
    match upper {
        b'T' => Some(0),
        b'C' => Some(1),
        b'A' => Some(2),
        b'G' => Some(3),
        _ => None,
    }
}
