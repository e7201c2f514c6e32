//! A stretch of real sequence, and SNVs on it.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use longstrand_seq::{Genome, GenomeOptions};
use longstrand_tests::{CHR20, data};

/// What contig the sequence is of.
const CONTIG: &str = "20";

/// How its file is understood.
pub(super) const OPTIONS: GenomeOptions = GenomeOptions { sliced_reference: true };

/// The shipped slice of human chromosome 20.
pub(crate) struct Sequence {
    pub(crate) path: PathBuf,
    /// Where it lies on its chromosome, 0-based, half-open.
    pub(crate) span: Range<u64>,
    bases: Vec<u8>,
}

/// Another base in the place of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snv {
    /// 0-based.
    pub(super) position: u64,
    pub(super) reference: u8,
    pub(super) alternate: u8,
}

impl Sequence {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let path = data(CHR20);
        let mut genome = Genome::open(&path, &OPTIONS)?;
        let contig = genome.contigs().resolve(CONTIG)?;
        let span = genome.contigs().spans(contig).first().context("a slice of chromosome 20")?.clone();
        let mut bases = Vec::new();
        genome.read(contig, span.clone(), &mut bases)?;
        bases.make_ascii_uppercase();
        Ok(Self { path, span, bases })
    }

    /// Bases of the chromosome, in upper case.
    pub(super) fn bases(&self, range: Range<u64>) -> &[u8] {
        let place = |position: u64| (position - self.span.start) as usize;
        &self.bases[place(range.start)..place(range.end)]
    }

    /// As many SNVs, at equal distances in a range of the chromosome.
    pub(crate) fn snvs(&self, range: Range<u64>, count: usize) -> anyhow::Result<Vec<Snv>> {
        let length = range.end - range.start;
        (0..count as u64)
            .map(|i| {
                let position = range.start + (2 * i + 1) * length / (2 * count as u64);
                let reference = self.bases(position..position + 1)[0];
                let place = b"ACGT".iter().position(|&base| base == reference);
                let place = place.with_context(|| format!("no base at {position}"))?;
                Ok(Snv { position, reference, alternate: b"ACGT"[(place + 1) % 4] })
            })
            .collect()
    }
}

/// Writes SNVs as VCF.
pub(crate) fn write_vcf(path: &Path, snvs: &[Snv]) -> anyhow::Result<()> {
    let mut text =
        format!("##fileformat=VCFv4.3\n##contig=<ID={CONTIG}>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n");
    for snv in snvs {
        let (reference, alternate) = (char::from(snv.reference), char::from(snv.alternate));
        writeln!(text, "{CONTIG}\t{}\t.\t{reference}\t{alternate}\t.\t.\t.", snv.position + 1)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// A column of numbers of a table of scores, one for each of `rows` rows.
pub(super) fn read_column(table: &Path, column: &str, rows: usize) -> anyhow::Result<Vec<f64>> {
    let text = fs::read_to_string(table).with_context(|| table.display().to_string())?;
    let mut lines = text.lines();
    let place = lines.next().and_then(|header| header.split('\t').position(|name| name == column));
    let place = place.with_context(|| format!("no column {column}"))?;
    let values: Vec<f64> = lines
        .map(|line| Ok(line.split('\t').nth(place).context("too few fields")?.parse()?))
        .collect::<anyhow::Result<_>>()?;
    ensure!(values.len() == rows, "{} rows of {rows}", values.len());
    Ok(values)
}
