//! A reader of bigWig files that trusts nothing: it follows both trees from their roots and checks what it meets.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// A bigWig file.
pub(crate) struct BigWigFile {
    bytes: Vec<u8>,
    /// Name → number and length.
    pub(crate) contigs: BTreeMap<String, (u32, u32)>,
    /// Bases of a cell, offsets of the records and of their index.
    pub(crate) zooms: Vec<(u32, u64, u64)>,
}

/// A zoom record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) contig: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) count: u32,
    pub(crate) min: f32,
    pub(crate) max: f32,
    pub(crate) sum: f32,
    pub(crate) sum_of_squares: f32,
}

/// The summary of the track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Total {
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) sum: f64,
    pub(crate) sum_of_squares: f64,
}

type Span = [(u32, u32); 2];

impl BigWigFile {
    pub(crate) fn open(path: &Path) -> Self {
        let mut file = Self { bytes: std::fs::read(path).unwrap(), contigs: BTreeMap::new(), zooms: Vec::new() };
        assert_eq!(file.u32(0), 0x888F_FC26);
        assert_eq!(file.u32(file.bytes.len() as u64 - 4), 0x888F_FC26);
        assert_eq!(file.u16(4), 4);
        let zoom = |i: u64| (file.u32(64 + 24 * i), file.u64(72 + 24 * i), file.u64(80 + 24 * i));
        file.zooms = (0..u64::from(file.u16(6))).map(zoom).collect();
        file.read_contigs();
        file
    }

    fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.bytes[at as usize..][..2].try_into().unwrap())
    }

    fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.bytes[at as usize..][..4].try_into().unwrap())
    }

    fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.bytes[at as usize..][..8].try_into().unwrap())
    }

    fn f64(&self, at: u64) -> f64 {
        f64::from_bits(self.u64(at))
    }

    pub(crate) fn total(&self) -> Total {
        let at = self.u64(44);
        let [min, max, sum, sum_of_squares] = [8, 16, 24, 32].map(|offset| self.f64(at + offset));
        Total { count: self.u64(at), min, max, sum, sum_of_squares }
    }

    fn read_contigs(&mut self) {
        let root = self.u64(8);
        assert_eq!(self.u32(root), 0x78CA_8C91);
        let key = u64::from(self.u32(root + 8));
        let mut names = Vec::new();
        self.walk_contigs(root + 32, key, &mut names);
        assert!(names.is_sorted());
        assert_eq!(self.u64(root + 16), names.len() as u64);
    }

    fn walk_contigs(&mut self, node: u64, key: u64, names: &mut Vec<String>) {
        for entry in 0..u64::from(self.u16(node + 2)) {
            let at = node + 4 + entry * (key + 8);
            let bytes = &self.bytes[at as usize..][..key as usize];
            let name = String::from_utf8(bytes.to_vec()).unwrap().trim_end_matches('\0').to_string();
            if self.bytes[node as usize] == 1 {
                names.push(name.clone());
                self.contigs.insert(name, (self.u32(at + key), self.u32(at + key + 4)));
            } else {
                let first = names.len();
                self.walk_contigs(self.u64(at + key), key, names);
                assert_eq!(names[first], name);
            }
        }
    }

    /// The inflated blocks of an index, with their spans, in the order of the tree.
    fn blocks(&self, index: u64) -> Vec<(Span, Vec<u8>)> {
        assert_eq!(self.u32(index), 0x2468_ACE0);
        let mut blocks = Vec::new();
        self.walk_index(index + 48, [(0, 0), (u32::MAX, u32::MAX)], &mut blocks);
        assert_eq!(self.u64(index + 8), blocks.len() as u64);
        assert!(blocks.windows(2).all(|pair| pair[0].0[1] <= pair[1].0[0]));
        blocks
    }

    fn walk_index(&self, node: u64, around: Span, blocks: &mut Vec<(Span, Vec<u8>)>) {
        let is_leaf = self.bytes[node as usize] == 1;
        for entry in 0..u64::from(self.u16(node + 2)) {
            let at = node + 4 + entry * if is_leaf { 32 } else { 24 };
            let span = [(self.u32(at), self.u32(at + 4)), (self.u32(at + 8), self.u32(at + 12))];
            assert!(around[0] <= span[0] && span[1] <= around[1], "{span:?} inside {around:?}");
            match is_leaf {
                true => blocks.push((span, self.inflate(self.u64(at + 16), self.u64(at + 24)))),
                false => self.walk_index(self.u64(at + 16), span, blocks),
            }
        }
    }

    fn inflate(&self, at: u64, bytes: u64) -> Vec<u8> {
        let mut block = Vec::new();
        let deflated = &self.bytes[at as usize..][..bytes as usize];
        flate2::read::ZlibDecoder::new(deflated).read_to_end(&mut block).unwrap();
        assert!(block.len() <= self.u32(52) as usize);
        block
    }

    /// Contig, position (0-based) and value of every base that has one.
    pub(crate) fn values(&self) -> Vec<(u32, u32, f32)> {
        let blocks = self.blocks(self.u64(24));
        assert_eq!(self.u64(self.u64(16)), blocks.len() as u64);
        let mut values = Vec::new();
        for (span, block) in blocks {
            let first = values.len();
            section(&block, &mut values);
            let (start, end) = (values[first], values[values.len() - 1]);
            assert_eq!(span, [(start.0, start.1), (end.0, end.1 + 1)]);
        }
        values
    }

    /// The records of a zoom level.
    pub(crate) fn records(&self, level: usize) -> Vec<Record> {
        let (_, data, index) = self.zooms[level];
        let blocks = self.blocks(index);
        let records: Vec<Record> = blocks.iter().flat_map(|(_, block)| block.chunks_exact(32).map(record)).collect();
        assert_eq!(self.u32(data) as usize, records.len());
        records
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn section(block: &[u8], values: &mut Vec<(u32, u32, f32)>) {
    let [contig, start, _, step, span] = [0, 4, 8, 12, 16].map(|at| word(block, at));
    let items = &block[24..];
    let count = usize::from(u16::from_le_bytes([block[22], block[23]]));
    assert_eq!(span, 1);
    match block[20] {
        2 => values.extend(items.chunks_exact(8).map(|item| (contig, word(item, 0), f32::from_bits(word(item, 4))))),
        3 => values.extend(
            items.chunks_exact(4).zip(0..).map(|(item, i)| (contig, start + i * step, f32::from_bits(word(item, 0)))),
        ),
        kind => panic!("a section of kind {kind}"),
    }
    assert_eq!(items.len(), count * if block[20] == 2 { 8 } else { 4 });
}

fn record(bytes: &[u8]) -> Record {
    let [contig, start, end, count] = [0, 4, 8, 12].map(|at| word(bytes, at));
    let [min, max, sum, sum_of_squares] = [16, 20, 24, 28].map(|at| f32::from_bits(word(bytes, at)));
    Record { contig, start, end, count, min, max, sum, sum_of_squares }
}
