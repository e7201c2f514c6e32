use std::io::Write;

use tempfile::NamedTempFile;

use super::*;
use crate::genome::{Genome, GenomeOptions};

/// A record of 11 bases with N at 2..5 and lower case at 4..7.
const BASES: &[u8] = b"ACNNnacGTTG";

fn file(version: u32, word: fn(u32) -> [u8; 4]) -> Vec<u8> {
    let mut bytes: Vec<u8> = [0x1a41_2743, version, 2, 0].into_iter().flat_map(word).collect();
    let index = 16 + 2 * (1 + 1 + 4);
    let first = [0, 0, 0, 0];
    for (name, offset) in [(b'e', index), (b'a', index + 4 * first.len() as u32)] {
        bytes.extend([1, name]);
        bytes.extend(word(offset));
    }
    bytes.extend(first.into_iter().flat_map(word));
    bytes.extend([11, 1, 2, 3, 1, 4, 3, 0].into_iter().flat_map(word));
    // AC T T | T A C G | T T G -
    bytes.extend([0b1001_0000, 0b0010_0111, 0b0000_1100]);
    bytes
}

fn open_bytes(bytes: &[u8]) -> (NamedTempFile, Result<Genome, Error>) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let genome = Genome::open(file.path(), &GenomeOptions::default());
    (file, genome)
}

#[test]
fn both_byte_orders_are_read_from_any_place() {
    for word in [u32::to_le_bytes as fn(u32) -> [u8; 4], u32::to_be_bytes] {
        let (_file, genome) = open_bytes(&file(0, word));
        let mut genome = genome.unwrap();
        let names: Vec<_> = genome.contigs().iter().map(|c| (c.name.as_str(), c.length)).collect();
        assert_eq!(names, [("e", 0), ("a", 11)]);
        for start in 0..=11_u64 {
            for end in start..=11 {
                let mut bases = b"x".to_vec();
                genome.read(1, start..end, &mut bases).unwrap();
                assert_eq!(&bases[1..], &BASES[start as usize..end as usize], "{start}..{end}");
            }
        }
        genome.read(0, 0..0, &mut Vec::new()).unwrap();
    }
}

fn message(bytes: &[u8]) -> String {
    let (_file, genome) = open_bytes(bytes);
    let result = genome.and_then(|mut genome| genome.read(1, 0..11, &mut Vec::new()));
    result.unwrap_err().to_string().split_once(": ").unwrap().1.to_string()
}

#[test]
fn what_is_no_2bit_is_told() {
    let good = file(0, u32::to_le_bytes);
    assert_eq!(message(&file(1, u32::to_le_bytes)), "expected 2bit version 0, found 1");
    assert_eq!(message(&good[..20]), "the 2bit file is truncated: expected more, found its end");
    assert_eq!(
        message(&good[..good.len() - 1]),
        "record \"a\": the 2bit file is truncated: expected more, found its end"
    );

    let runs = 16 + 12 + 16 + 4;
    let mut many = good.clone();
    many[runs..runs + 4].fill(0xff);
    assert_eq!(message(&many), "record \"a\": the 2bit file is truncated: expected more, found its end");

    let mut beyond = good.clone();
    beyond[runs + 8] = 10;
    assert_eq!(
        message(&beyond),
        "record \"a\": expected runs of N or lower case in order and inside the record, found others"
    );

    let mut empty = good;
    empty[8] = 0;
    assert_eq!(message(&empty), "empty 2bit: expected a record, found none");
}
