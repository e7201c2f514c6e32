//! Real files with a few bytes changed: whatever comes of them, nothing panics. The same entry points are fuzzed in
//! `fuzz/`.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::checkpoint::torch::unpickle;
use longstrand_model::config::Config;

const ROUNDS: usize = 3000;

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Changes, removes, repeats or inserts a few bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            let end = bytes.len().min(at + 1 + self.below(16));
            match self.below(6) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at..end].fill([0, 0xff][self.below(2)]),
                3 => drop(bytes.drain(at..end)),
                4 => bytes.extend_from_within(at..end),
                _ => bytes.truncate(at),
            }
        }
    }
}

fn fixture(path: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path);
    fs::read(path).unwrap()
}

/// The pickle inside an archive: from its first instruction to its last, behind which the next record begins.
fn pickle_of(archive: &[u8]) -> &[u8] {
    let find =
        |from: usize, wanted: &[u8]| from + archive[from..].windows(wanted.len()).position(|w| w == wanted).unwrap();
    let start = find(0, b"\x80\x02}q");
    &archive[start..find(start, b"u.PK") + 2]
}

#[test]
fn pickles() {
    let mut random = Random(1);
    for case in ["plantcaduceus", "ss-mamba2"] {
        let archive = fixture(&format!("{case}/pytorch_model.bin"));
        let pickle = pickle_of(&archive);
        assert!(unpickle(pickle).is_ok(), "{case}");
        for _ in 0..ROUNDS {
            let mut mutated = pickle.to_vec();
            random.mutate(&mut mutated);
            let _ = unpickle(&mutated);
        }
    }
}

#[test]
fn configs() {
    let mut random = Random(2);
    for case in ["plantcaduceus", "caduceus-ps-seqcls", "hf-mamba", "hf-mamba2", "ss-mamba2"] {
        let config = fixture(&format!("{case}/config.json"));
        assert!(Config::parse(&config).is_ok(), "{case}");
        for _ in 0..ROUNDS {
            let mut mutated = config.clone();
            random.mutate(&mut mutated);
            let _ = Config::parse(&mutated);
        }
    }
}

#[test]
fn checkpoints() {
    let mut random = Random(3);
    for weights in ["ss-mamba/model.safetensors", "ss-mamba/pytorch_model.bin", "plantcaduceus/pytorch_model.bin"] {
        let folder = weights.split_once('/').unwrap().0;
        let config = fixture(&format!("{folder}/config.json"));
        let bytes = fixture(weights);
        assert!(Checkpoint::from_bytes("whole", &config, &bytes).is_ok(), "{weights}");
        for _ in 0..ROUNDS / 6 {
            let mut mutated = bytes.clone();
            let header = random.below(8192.min(mutated.len()));
            let mut head = mutated[..header].to_vec();
            let mut tail = mutated.split_off(header);
            if random.below(2) == 0 {
                random.mutate(&mut head)
            } else {
                random.mutate(&mut tail)
            }
            head.append(&mut tail);
            let _ = Checkpoint::from_bytes("mutated", &config, &head);
        }
    }
}
