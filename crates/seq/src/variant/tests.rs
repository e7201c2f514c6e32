//! Reading, writing and searching whole files.
//!
//! `na12878_chr21.vcf.gz` holds records 5,001 to 5,500 of the Platinum Genomes calls of NA12878 on chromosome 21,
//! from the examples of Illumina/hap.py (BSD). It is real: indels, overlapping calls, and a row `N <DEL>`.

mod bcftools;
mod damage;
mod errors;
mod search;
mod surveys;
mod whole;

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use super::*;

const REAL: &[u8] = include_bytes!("tests/na12878_chr21.vcf.gz");

/// Every type of value, in and out of samples, with and without gaps.
const ODDS: &str = "##fileformat=VCFv4.2
##FILTER=<ID=q10,Description=\"Quality below 10\">
##FILTER=<ID=s50,Description=\"Less than half, \\\"really\\\"\">
##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">
##INFO=<ID=AF,Number=A,Type=Float,Description=\"Frequency\">
##INFO=<ID=AA,Number=1,Type=String,Description=\"Ancestor\">
##INFO=<ID=DB,Number=0,Type=Flag,Description=\"Known\">
##INFO=<ID=END,Number=1,Type=Integer,Description=\"End\">
##INFO=<ID=SVLEN,Number=A,Type=Integer,Description=\"Length\">
##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">
##FORMAT=<ID=HQ,Number=2,Type=Integer,Description=\"Qualities\">
##FORMAT=<ID=GL,Number=G,Type=Float,Description=\"Likelihoods\">
##FORMAT=<ID=FT,Number=1,Type=String,Description=\"Filter\">
##contig=<ID=20,length=62435964>
##contig=<ID=X>
##source=a caller, of sorts
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tNA1\tNA2\tNA3
20\t0\ttelo\tN\t<DEL>\t.\t.\tEND=5\tGT\t0|1\t.\t./.
20\t14370\trs6054257\tG\tA\t29\tPASS\tDP=14;AF=0.5;DB\tGT:DP:HQ:GL:FT\t0|0:1:51,51:-0.1,-1,-2:PASS\t1|0:300:.,51:.:q10;s50\t1/1:.:.:-1,-2.5,.:.
20\t17330\t.\tT\tA,C\t3.5\tq10;s50\tDP=100000;AF=0.017,.;AA=a,b\tGT:DP\t0|2:-5\t.|1:-70000\t0/1/2:0
20\t1110696\tx;y\tacgt\tA\t67\tPASS\tDP=-129;AF=1e-20\t.\t.\t.\t.
20\t1230237\t.\tT\t.\t47\t.\t.\tGT\t0\t0|0\t.
20\t1234567\tsv\tG\t<DEL>,<DUP:TANDEM>,*\t.\tPASS\tSVLEN=-90,40,.\tGT\t0/1\t2|3\t./.
X\t5\tbnd\tG\tG]20:14370],<*>\t.\tPASS\tAA=x\tGT\t0\t1\t2
";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn records(path: &Path, regions: &[&str]) -> Result<Vec<VariantRecord>, VariantError> {
    let regions: Vec<String> = regions.iter().map(ToString::to_string).collect();
    let mut reader = VariantReader::open(path, &regions)?;
    let mut records = Vec::new();
    while let Some(record) = reader.read()? {
        records.push(record);
    }
    assert_eq!(surveyed(path, &regions).unwrap().records, records.len() as u64);
    Ok(records)
}

/// A survey that nobody breaks off.
fn surveyed(path: &Path, regions: &[String]) -> Result<Survey, VariantError> {
    survey(path, regions, &mut |_| ControlFlow::Continue(())).map(|survey| survey.expect("it was not broken off"))
}

/// The whole file as text, as the reader gives it.
fn text(path: &Path) -> String {
    let mut text = VariantReader::open(path, &[]).unwrap().header().to_bytes();
    for record in records(path, &[]).unwrap() {
        text.extend_from_slice(record.line());
        text.push(b'\n');
    }
    String::from_utf8(text).unwrap()
}

/// Writes all records of a file into another, each with its number in INFO.
fn convert(from: &Path, to: &Path) -> Result<Finished, VariantError> {
    let mut reader = VariantReader::open(from, &[])?;
    let line = "##INFO=<ID=LSN,Number=1,Type=Integer,Description=\"Number\">";
    let header = reader.header().with_lines([line, "##LScommand=score"]);
    let format = VariantFormat::from_path(to).unwrap();
    let mut writer = VariantWriter::create(&VariantOutput::from_path(to), format, &header, false)?;
    let mut number = 0;
    while let Some(record) = reader.read()? {
        number += 1;
        writer.write(&record, &[("LSN", &number.to_string())])?;
    }
    writer.finish()
}

fn bgzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = noodles_bgzf::io::Writer::new(Vec::new());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut inside = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut inside).unwrap();
    inside
}
