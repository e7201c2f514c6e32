//! 1,048,576 bases of human chromosome 20 through the built-in model, in chunks and in one piece: the same bits.
//!
//! The pass in one piece takes 12 GiB. The digests tell whether another machine gives the same bits at the same level of
//! vector instructions.

use std::path::Path;

use anyhow::ensure;
use longstrand_kernels::{Cpu, Rows};
use longstrand_model::{Chunking, Model, Observer, Tap, checkpoint::Checkpoint};
use longstrand_seq::genome::{Genome, GenomeOptions};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    models::LAST,
    report::{Report, seconds},
};

const LEN: u64 = 1 << 20;

/// SHA-256 of the bits of what a pass gives, little-endian f32 in the order of positions.
struct Bits {
    hash: Sha256,
    rows: u64,
    bytes: Vec<u8>,
}

impl Bits {
    fn new() -> Self {
        Self { hash: Sha256::new(), rows: 0, bytes: Vec::new() }
    }

    fn digest(self) -> String {
        base16ct::lower::encode_string(&self.hash.finalize())
    }
}

impl Observer<f32> for Bits {
    fn hidden(&mut self, _: Tap, start: u64, rows: Rows<'_, f32>) {
        assert_eq!(start, self.rows, "positions come in order");
        self.rows += rows.len() as u64;
        for t in 0..rows.len() {
            self.bytes.clear();
            self.bytes.extend(rows.row(t).iter().flat_map(|x| x.to_le_bytes()));
            self.hash.update(&self.bytes);
        }
    }
}

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/human_GRCh37_chr20_9450001-10550000.fa.gz");
    let checkpoint = Checkpoint::builtin()?;
    let (mut bases, mut ids) = (Vec::new(), Vec::new());
    Genome::open(&slice, &GenomeOptions::default())?.read(0, 0..LEN, &mut bases)?;
    checkpoint.vocabulary.encode(&bases, &mut ids);
    let model = Model::new(Cpu::new(report.level), &checkpoint);
    let mut digests = Vec::new();
    for (what, chunking) in [("in chunks", Chunking::Auto), ("in one piece", Chunking::Whole)] {
        let mut bits = Bits::new();
        let seconds = seconds(|| {
            let _ = model.encode(&ids, chunking, &LAST, &mut model.scratch(), &mut bits);
        });
        ensure!(bits.rows == LEN, "{what}: {} of {LEN} positions", bits.rows);
        let digest = bits.digest();
        report.marked_row(
            &format!("built-in model, L {LEN}, {what}"),
            &[("bases/s", LEN as f64 / seconds)],
            &[("sha256", json!(digest))],
        );
        digests.push(digest);
    }
    let same = f64::from(u8::from(digests[0] == digests[1]));
    report.at_least("the same bits in chunks and in one piece", same, 1.0);
    Ok(())
}
