//! 1,048,576 bases of human chromosome 20 through the built-in model, in chunks and in one piece: the same bits.
//!
//! The pass in one piece takes 12 GiB.

use std::path::Path;

use anyhow::ensure;
use longstrand_kernels::{Cpu, Rows};
use longstrand_model::{Chunking, Model, Observer, Tap, checkpoint::Checkpoint};
use longstrand_seq::genome::{Genome, GenomeOptions};

use crate::{
    models::LAST,
    report::{Report, seconds},
};

const LEN: u64 = 1 << 20;

/// FNV-1a over the bits of what a pass gives, in the order of positions.
struct Digest {
    hash: u64,
    rows: u64,
}

impl Observer<f32> for Digest {
    fn hidden(&mut self, _: Tap, start: u64, rows: Rows<'_, f32>) {
        assert_eq!(start, self.rows, "positions come in order");
        self.rows += rows.len() as u64;
        for t in 0..rows.len() {
            for x in rows.row(t) {
                self.hash = (self.hash ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3);
            }
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
        let mut digest = Digest { hash: 0xcbf2_9ce4_8422_2325, rows: 0 };
        let seconds = seconds(|| {
            let _ = model.encode(&ids, chunking, &LAST, &mut model.scratch(), &mut digest);
        });
        ensure!(digest.rows == LEN, "{what}: {} of {LEN} positions", digest.rows);
        report.row(&format!("built-in model, L {LEN}, {what}"), &[("bases/s", LEN as f64 / seconds)]);
        digests.push(digest.hash);
    }
    ensure!(digests[0] == digests[1], "chunks changed the bits: {:016x} and {:016x}", digests[0], digests[1]);
    report.row("the same bits", &[("digests", 1.0)]);
    Ok(())
}
