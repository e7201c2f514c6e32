//! Tables of scores, contigs and VCF put together by hand, and bcftools.

use std::{fs::File, ops::Range, path::Path, process::Command};

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::synthetic::ids;

/// A table of scores, cell by cell as the text form has it; a missing value is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Scores {
    /// The table that a text holds.
    pub fn parse(tsv: &str) -> Self {
        let mut lines = tsv.lines().map(|line| line.split('\t').map(str::to_owned).collect());
        Self { columns: lines.next().expect("a line of column names"), rows: lines.collect() }
    }

    /// The table of a Parquet file.
    pub fn read_parquet(file: &Path) -> Self {
        let file = File::open(file).expect("a file");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        let columns = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
        let batches = reader.build().expect("Parquet").map(|batch| batch.expect("a batch"));
        Self { columns, rows: batches.flat_map(|batch| batch_rows(&batch)).collect() }
    }

    /// Tables of the same columns, one after another.
    pub fn concat(tables: &[Self]) -> Self {
        assert!(tables.windows(2).all(|pair| pair[0].columns == pair[1].columns));
        Self { columns: tables[0].columns.clone(), rows: tables.iter().flat_map(|table| table.rows.clone()).collect() }
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The rows in the order of their text.
    pub fn sorted_rows(&self) -> Vec<Vec<String>> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }

    /// The cells of a column.
    pub fn texts(&self, column: &str) -> Vec<&str> {
        let place = self.columns.iter().position(|name| name == column);
        let place = place.unwrap_or_else(|| panic!("no column {column} among {:?}", self.columns));
        self.rows.iter().map(|row| row[place].as_str()).collect()
    }

    /// The cells of a column of numbers.
    pub fn numbers(&self, column: &str) -> Vec<Option<f64>> {
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{column} has {text:?}"));
        self.texts(column).into_iter().map(|text| (!text.is_empty()).then(|| number(text))).collect()
    }

    /// The cells of a column of numbers that has no missing one.
    pub fn values(&self, column: &str) -> Vec<f64> {
        let numbers = self.numbers(column).into_iter().enumerate();
        numbers.map(|(i, number)| number.unwrap_or_else(|| panic!("no {column} in {:?}", self.rows[i]))).collect()
    }
}

fn batch_rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    (0..batch.num_rows()).map(|i| batch.columns().iter().map(|column| cell(column, i)).collect()).collect()
}

fn cell(column: &dyn Array, i: usize) -> String {
    let any = column.as_any();
    if column.is_null(i) {
        return String::new();
    }
    let text = any.downcast_ref::<StringArray>().map(|values| values.value(i).to_owned());
    let integer = || any.downcast_ref::<Int64Array>().map(|values| values.value(i).to_string());
    let number = || any.downcast_ref::<Float64Array>().map(|values| format!("{:?}", values.value(i)));
    text.or_else(integer).or_else(number).unwrap_or_else(|| panic!("unexpected {:?}", column.data_type()))
}

/// A contig of a genome that a test makes up.
#[derive(Clone, Debug)]
pub struct Contig {
    /// Its name.
    pub name: &'static str,
    /// Its bases.
    pub bases: Vec<u8>,
}

impl Contig {
    /// Pseudo-random bases.
    pub fn random(name: &'static str, length: usize, seed: u64) -> Self {
        Self { name, bases: ids(length, seed).iter().map(|&id| b"ACGT"[usize::from(id) - 7]).collect() }
    }

    /// The FASTA record.
    pub fn fasta(&self) -> String {
        let lines: Vec<&str> = self.bases.chunks(60).map(text).collect();
        format!(">{}\n{}\n", self.name, lines.join("\n"))
    }

    /// Bases at a range of 1-based positions, half-open.
    pub fn at(&self, positions: Range<usize>) -> &str {
        text(&self.bases[positions.start - 1..positions.end - 1])
    }

    /// A VCF line whose REF are the contig's bases from a 1-based position on.
    pub fn record(&self, position: usize, length: usize, alternates: &str) -> String {
        record(self.name, position, self.at(position..position + length), alternates)
    }

    /// A VCF line for the substitution of a base by the one behind it in the order ACGTA.
    pub fn snv(&self, position: usize) -> String {
        self.record(position, 1, other(self.bases[position - 1]))
    }
}

/// The base behind this one in the order ACGTA.
fn other(base: u8) -> &'static str {
    match base {
        b'A' => "C",
        b'C' => "G",
        b'G' => "T",
        _ => "A",
    }
}

fn text(bases: &[u8]) -> &str {
    std::str::from_utf8(bases).expect("bases are ASCII")
}

/// A VCF line without information.
pub fn record(contig: &str, position: usize, reference: &str, alternates: &str) -> String {
    format!("{contig}\t{position}\t.\t{reference}\t{alternates}\t.\t.\t.")
}

/// A VCF with the contigs in its header and these lines.
pub fn vcf<S: AsRef<str>>(contigs: &[&Contig], records: impl IntoIterator<Item = S>) -> String {
    let declared: String =
        contigs.iter().map(|contig| format!("##contig=<ID={},length={}>\n", contig.name, contig.bases.len())).collect();
    let records: String = records.into_iter().map(|line| format!("{}\n", line.as_ref())).collect();
    let columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";
    let end = "##INFO=<ID=END,Number=1,Type=Integer,Description=\"End\">\n";
    format!("##fileformat=VCFv4.3\n{declared}{end}{columns}{records}")
}

/// The lines of a VCF that are no header.
pub fn body(vcf: &str) -> Vec<&str> {
    vcf.lines().filter(|line| !line.starts_with('#')).collect()
}

/// A VCF without the line that tells the command.
pub fn without_command(vcf: &str) -> String {
    vcf.lines()
        .filter(|line| !line.starts_with("##longstrand_score_command="))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Whether bcftools can be run; it must be if `LONGSTRAND_REQUIRE_BCFTOOLS` is 1.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn has_bcftools() -> bool {
    let found = Command::new("bcftools").arg("--version").output().is_ok();
    let required = std::env::var_os("LONGSTRAND_REQUIRE_BCFTOOLS").is_some_and(|value| value == "1");
    assert!(found || !required, "LONGSTRAND_REQUIRE_BCFTOOLS is 1 and bcftools cannot be run");
    if !found {
        eprintln!("skipped: bcftools cannot be run");
    }
    found
}

/// What bcftools prints. It must succeed and say nothing on stderr.
pub fn bcftools(arguments: &str, file: &Path) -> String {
    let output = Command::new("bcftools").args(arguments.split_whitespace()).arg(file).output();
    let output = output.expect("bcftools starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "bcftools {arguments} {}: {said}", file.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
