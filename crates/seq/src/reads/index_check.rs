//! Whether an index is what its counts say, before memory is set aside for them.
//!
//! ```text
//! BAI         "BAI\1"   n_ref   per contig: bins, linear index   [n_no_coor]
//! CSI (BGZF)  "CSI\1"   min_shift depth l_aux aux   n_ref   per contig: bins   [n_no_coor]
//! bin         id   [CSI: loffset]   n_chunk   chunks of (start, end), virtual offsets
//! ```

use std::io::Read;

use noodles_bgzf as bgzf;

use crate::fields::{Fields, require};

const BAI_DEPTH: u32 = 5;
const LARGEST_CSI_DEPTH: u32 = 9;
/// Bits of the largest position that a CSI may reach.
const LARGEST_CSI_REACH: u32 = 62;
const CHUNK_BYTES: u64 = 16;
const LINEAR_BYTES: u64 = 8;
/// Chunks of the bin that holds counts of reads in place of chunks.
const METADATA_CHUNKS: u64 = 2;
/// The fields of a CSI's aux block before its names, and the place of their length among them.
const AUX_BYTES: u64 = 28;
const AUX_NAMES: usize = 24;

/// The file that an index is to be of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed {
    pub(super) n_contigs: usize,
    /// Its size in bytes.
    pub(super) n_bytes: u64,
}

/// Whether the bytes of a BAI are one of the file.
pub(super) fn is_bai(bytes: &[u8], of: Indexed) -> bool {
    bai(&mut Fields(bytes), of).is_some()
}

/// Whether the bytes of a CSI, compressed as they are stored, are one of the file.
pub(super) fn is_csi(bytes: &[u8], of: Indexed) -> bool {
    const SPARE: u64 = 64 << 20;
    const LARGEST_RATIO: u64 = 64;
    let limit = SPARE + LARGEST_RATIO * bytes.len() as u64;
    let mut inflated = Vec::new();
    let read = bgzf::io::Reader::new(bytes).take(limit + 1).read_to_end(&mut inflated);
    read.is_ok() && inflated.len() as u64 <= limit && csi(&mut Fields(&inflated), of).is_some()
}

fn bai(fields: &mut Fields, of: Indexed) -> Option<()> {
    require(fields.take(4)? == b"BAI\x01")?;
    require(fields.count()? == of.n_contigs as u64)?;
    for _ in 0..of.n_contigs {
        let bins = Bins { depth: BAI_DEPTH, have_offset: false };
        bins.check(fields, of)?;
        let n = fields.count()?;
        fields.skip(n * LINEAR_BYTES)?;
    }
    end(fields)
}

fn csi(fields: &mut Fields, of: Indexed) -> Option<()> {
    require(fields.take(4)? == b"CSI\x01")?;
    let (min_shift, depth) = (fields.u32()?, fields.u32()?);
    require(depth <= LARGEST_CSI_DEPTH && min_shift <= LARGEST_CSI_REACH - 3 * depth)?;
    aux(fields)?;
    require(fields.count()? == of.n_contigs as u64)?;
    let bins = Bins { depth, have_offset: true };
    (0..of.n_contigs).try_for_each(|_| bins.check(fields, of))?;
    end(fields)
}

/// The aux block, empty in the index of a BAM file, must be as long as the names in it.
fn aux(fields: &mut Fields) -> Option<()> {
    let n = fields.count()?;
    if n == 0 {
        return Some(());
    }
    require(n >= AUX_BYTES)?;
    let aux = fields.take(n)?;
    let n_names = Fields(&aux[AUX_NAMES..]).count()?;
    require(AUX_BYTES + n_names == n)
}

/// What may follow the contigs: the number of reads that are nowhere.
fn end(fields: &Fields) -> Option<()> {
    require(matches!(fields.0.len(), 0 | 8))
}

/// How the bins of a contig are stored.
struct Bins {
    depth: u32,
    have_offset: bool,
}

impl Bins {
    fn check(&self, fields: &mut Fields, of: Indexed) -> Option<()> {
        let n = fields.count()?;
        require(n * self.least_bytes() <= fields.0.len() as u64)?;
        (0..n).try_for_each(|_| self.check_bin(fields, of))
    }

    /// Bytes of a bin without chunks.
    fn least_bytes(&self) -> u64 {
        if self.have_offset { 16 } else { 8 }
    }

    fn check_bin(&self, fields: &mut Fields, of: Indexed) -> Option<()> {
        let n_bins = ((1 << (3 * (self.depth + 1))) - 1) / 7;
        let id = fields.u32()?;
        if self.have_offset {
            fields.skip(8)?;
        }
        let n_chunks = fields.count()?;
        let is_metadata = id == n_bins + 1;
        if is_metadata {
            require(n_chunks == METADATA_CHUNKS)?;
            return fields.skip(n_chunks * CHUNK_BYTES);
        }
        require(id < n_bins)?;
        require(n_chunks * CHUNK_BYTES <= fields.0.len() as u64)?;
        (0..n_chunks).try_for_each(|_| check_chunk(fields, of))
    }
}

fn check_chunk(fields: &mut Fields, of: Indexed) -> Option<()> {
    let (start, end) = (fields.u64()?, fields.u64()?);
    let block = bgzf::VirtualPosition::from(end).compressed();
    require(start <= end && block <= of.n_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const OF: Indexed = Indexed { n_contigs: 1, n_bytes: 1_000 };

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// One contig with a bin of one chunk, the bin of counts, and a linear index of one offset.
    fn bai_words() -> Vec<u32> {
        let magic = u32::from_le_bytes(*b"BAI\x01");
        let mut words = vec![magic, 1, 2, 4_681, 1, 0, 0, 500 << 16, 0, 37_450, 2];
        words.extend([0; 8]);
        words.extend([1, 0, 0]);
        words
    }

    fn csi_words() -> Vec<u32> {
        let magic = u32::from_le_bytes(*b"CSI\x01");
        vec![magic, 14, 5, 0, 1, 1, 4_681, 0, 0, 1, 0, 0, 500 << 16, 0]
    }

    fn bgzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = bgzf::io::Writer::new(Vec::new());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn is_csi_of(fields: &[u32]) -> bool {
        is_csi(&bgzip(&words(fields)), OF)
    }

    #[test]
    fn a_whole_bai_passes_and_no_other() {
        let good = bai_words();
        assert!(is_bai(&words(&good), OF));
        assert!(is_bai(&words(&[&good[..], &[7, 0]].concat()), OF));
        assert!(!is_bai(&words(&good), Indexed { n_contigs: 2, ..OF }));
        assert!(!is_bai(&words(&good), Indexed { n_bytes: 499, ..OF }));
        for kept in 0..good.len() {
            assert!(!is_bai(&words(&good[..kept]), OF), "{kept}");
        }
        let wrong =
            [(0, 0), (1, u32::MAX), (2, i32::MAX as u32), (3, 37_449), (3, 37_451), (4, 1 << 28), (5, 501 << 16)];
        for (i, word) in wrong.into_iter().chain([(10, 1), (19, 1 << 29)]) {
            let mut bad = good.clone();
            bad[i] = word;
            if i == 5 {
                bad[7] = 500 << 16;
            }
            assert!(!is_bai(&words(&bad), OF), "{i}: {word}");
        }
    }

    #[test]
    fn a_whole_csi_passes_and_no_other() {
        let good = csi_words();
        assert!(is_csi_of(&good));
        let with_aux = |n_aux: u32, n_names: u32| {
            let mut fields = good[..3].to_vec();
            fields.extend([n_aux, 0, 0, 0, 0, 0, 0, n_names, 0x0061_6161]);
            fields.extend(&good[4..]);
            fields
        };
        assert!(is_csi_of(&with_aux(32, 4)));
        assert!(!is_csi_of(&with_aux(32, 3)));
        for (i, word) in
            [(1, 48), (1, 255), (2, 10), (3, 8), (4, 2), (5, 1 << 30), (6, 37_449), (9, 2), (12, 1_001 << 16)]
        {
            let mut bad = good.clone();
            bad[i] = word;
            assert!(!is_csi_of(&bad), "{i}: {word}");
        }
        assert!(!is_csi(&[b'x'; 100], OF));
    }

    #[test]
    fn a_csi_that_swells_is_not_inflated_whole() {
        let bytes = bgzip(&vec![0; 100 << 20]);
        assert!((bytes.len() as u64) < 500 << 10);
        assert!(!is_csi(&bytes, OF));
    }
}
