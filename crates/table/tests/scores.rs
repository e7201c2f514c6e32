//! The table of scores, as Parquet and as text: what is written is what is read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use longstrand_table::{
    Destination, Existing, Opened, ScoreLayout, ScoreRow, ScoreWriter, StrandScores, TableError, TsvWriter,
    WriteOptions, Written,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use support::{Random, check_with_python, end, file, footer, identity, keys, names};

const COLUMNS: [&str; 17] = [
    "contig",
    "pos",
    "end",
    "ref",
    "alt",
    "id",
    "variant_type",
    "masked",
    "masked_forward",
    "masked_reverse",
    "embedding_l2",
    "embedding_l2_forward",
    "embedding_l2_reverse",
    "n_ambiguous",
    "window_start",
    "window_end",
    "reason",
];

fn layout() -> ScoreLayout {
    ScoreLayout::new(["masked", "embedding_l2"])
}

/// A row that owns its fields.
#[derive(Debug)]
struct Owned {
    contig: String,
    position: u64,
    end: Option<u64>,
    reference: String,
    id: Option<String>,
    values: [StrandScores; 2],
    n_ambiguous: Option<u64>,
    window: Option<std::ops::Range<u64>>,
    reason: Option<String>,
}

impl Owned {
    fn random(random: &mut Random, row: u64) -> Self {
        let mut value = || random.bits().is_multiple_of(5).then(|| random.number());
        let mut strands = || StrandScores { score: value(), forward: value(), reverse: value() };
        let values = [strands(), strands()];
        let scored = random.bits().is_multiple_of(2);
        let length = if row == 7 { 10_000 } else { 1 + random.bits() as usize % 4 };
        Self {
            contig: format!("chr{}", row / 1_500),
            position: 1 + row * 10,
            end: (!row.is_multiple_of(5)).then_some(3 + row * 10),
            reference: "G".repeat(length),
            id: random.bits().is_multiple_of(3).then(|| format!("rs{row}")),
            values,
            n_ambiguous: scored.then(|| random.bits() % 9),
            window: scored.then(|| row * 10..row * 10 + 1_024),
            reason: (!scored).then(|| "reference is N".to_string()),
        }
    }

    fn row(&self) -> ScoreRow<'_> {
        ScoreRow {
            contig: &self.contig,
            position: self.position,
            end: self.end,
            reference: &self.reference,
            alternate: "T",
            id: self.id.as_deref(),
            variant_type: "deletion",
            values: &self.values,
            n_ambiguous: self.n_ambiguous,
            window: self.window.clone(),
            reason: self.reason.as_deref(),
        }
    }

    fn scores(&self) -> Vec<Option<f64>> {
        self.values.iter().flat_map(|strands| [strands.score, strands.forward, strands.reverse]).collect()
    }
}

fn random_rows(count: u64) -> Vec<Owned> {
    let mut random = Random(count + 1);
    (0..count).map(|row| Owned::random(&mut random, row)).collect()
}

fn open(to: &Destination, existing: Existing) -> ScoreWriter {
    let options = WriteOptions { rows_per_group: NonZeroUsize::new(1_000), rows_per_part: None, existing };
    match ScoreWriter::open(to, &layout(), &options, identity()).unwrap() {
        Opened::Writing(writer) => writer,
        Opened::Complete(written) => panic!("complete already: {written:?}"),
    }
}

fn write_parquet(to: &Destination, rows: &[Owned]) -> Written {
    let mut writer = open(to, Existing::Refuse);
    rows.iter().for_each(|row| writer.write(&row.row()).unwrap());
    writer.finish(end()).unwrap()
}

fn read_parquet(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

fn check_row(batch: &RecordBatch, i: usize, expected: &Owned) {
    let text = |name: &str| {
        let column = batch[name].as_string::<i32>();
        column.is_valid(i).then(|| column.value(i).to_string())
    };
    let count = |name: &str| {
        let column = batch[name].as_primitive::<Int64Type>();
        column.is_valid(i).then(|| column.value(i) as u64)
    };
    let score = |name: &str| {
        let column = batch[name].as_primitive::<Float64Type>();
        column.is_valid(i).then(|| column.value(i))
    };
    assert_eq!(text("contig").as_ref(), Some(&expected.contig));
    assert_eq!((count("pos"), count("end")), (Some(expected.position), expected.end));
    assert_eq!(text("ref").as_ref(), Some(&expected.reference));
    assert_eq!((text("alt").as_deref(), text("variant_type").as_deref()), (Some("T"), Some("deletion")));
    assert_eq!((text("id"), text("reason")), (expected.id.clone(), expected.reason.clone()));
    assert_eq!(COLUMNS[7..13].iter().map(|name| score(name)).collect::<Vec<_>>(), expected.scores());
    assert_eq!(count("n_ambiguous"), expected.n_ambiguous);
    let window = expected.window.as_ref();
    assert_eq!(count("window_start"), window.map(|window| window.start));
    assert_eq!(count("window_end"), window.map(|window| window.end));
}

#[test]
fn every_column_comes_back_from_parquet() {
    for count in [0, 1, 2_500] {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = file(folder.path());
        let rows = random_rows(count);
        let written = write_parquet(&to, &rows);
        assert_eq!((written.rows, written.files, written.bytes), (count, 1, path.metadata().unwrap().len()));
        let mut expected = rows.iter();
        for batch in read_parquet(&path) {
            (0..batch.num_rows()).for_each(|i| check_row(&batch, i, expected.next().unwrap()));
        }
        assert!(expected.next().is_none());
        assert_eq!(names(folder.path()), ["out.parquet"]);
    }
}

#[test]
fn the_schema_is_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    write_parquet(&to, &[]);
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let found: Vec<_> = builder
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type().clone(), field.is_nullable()))
        .collect();
    let expected = COLUMNS.map(|name| match name {
        "contig" | "ref" | "alt" | "variant_type" => (name, DataType::Utf8, false),
        "id" | "reason" => (name, DataType::Utf8, true),
        "pos" => (name, DataType::Int64, false),
        "end" | "n_ambiguous" | "window_start" | "window_end" => (name, DataType::Int64, true),
        _ => (name, DataType::Float64, true),
    });
    assert_eq!(found, expected);
    let expected = ["longstrand.version", "longstrand.window", "longstrand.rows_per_group", "ARROW:schema"];
    assert_eq!(keys(&path)[..4], expected);
    assert_eq!(keys(&path)[4..], ["longstrand.complete", "longstrand.windows"]);
}

#[test]
fn encodings_and_row_groups_are_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    write_parquet(&to, &random_rows(2_500));
    let footer = footer(&path);
    assert_eq!(footer.row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    for chunk in footer.row_groups().iter().flat_map(|group| group.columns()) {
        let name = chunk.column_path().string();
        assert!(matches!(chunk.compression(), Compression::ZSTD(_)), "{name}");
        let has = |encoding| chunk.encodings().any(|found| found == encoding);
        match name.as_str() {
            "contig" | "variant_type" | "reason" => assert!(chunk.dictionary_page_offset().is_some(), "{name}"),
            "pos" | "window_start" => assert!(has(Encoding::DELTA_BINARY_PACKED), "{name}"),
            "masked" | "embedding_l2_reverse" => assert!(has(Encoding::BYTE_STREAM_SPLIT), "{name}"),
            _ => {}
        }
    }
}

#[test]
fn a_run_that_stops_half_way_leaves_parts_to_resume_and_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    let rows = random_rows(2_500);
    let mut writer = open(&to, Existing::Refuse);
    rows[..2_200].iter().for_each(|row| writer.write(&row.row()).unwrap());
    drop(writer);
    assert!(!path.exists());

    let mut writer = open(&to, Existing::Resume);
    // Two row groups were whole.
    rows[2_000..].iter().for_each(|row| writer.write(&row.row()).unwrap());
    assert_eq!(writer.finish(end()).unwrap().rows, 2_500);

    let whole = tempfile::tempdir().unwrap();
    let (at_once, to) = file(whole.path());
    write_parquet(&to, &rows);
    assert_eq!(fs::read(path).unwrap(), fs::read(at_once).unwrap());
}

#[test]
fn a_value_that_is_not_a_number_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    let mut row = random_rows(1).remove(0);
    row.values[0].score = Some(f64::NAN);
    write_parquet(&to, std::slice::from_ref(&row));
    assert!(read_parquet(&path)[0]["masked"].is_null(0));
    let text = write_tsv(&folder.path().join("out.tsv"), &[row]);
    assert_eq!(text.lines().nth(1).unwrap().split('\t').nth(7), Some(""));
}

fn write_tsv(path: &Path, rows: &[Owned]) -> String {
    let mut writer = TsvWriter::create(path, &layout(), Existing::Refuse).unwrap();
    rows.iter().for_each(|row| writer.write(&row.row()).unwrap());
    let written = writer.finish().unwrap();
    assert_eq!((written.rows, written.bytes), (rows.len() as u64, path.metadata().unwrap().len()));
    let bytes = fs::read(path).unwrap();
    match path.extension().unwrap() == "gz" {
        false => String::from_utf8(bytes).unwrap(),
        true => {
            let mut text = String::new();
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            text
        }
    }
}

#[test]
fn every_column_comes_back_from_text() {
    for (name, count) in [("out.tsv", 0), ("out.tsv", 1), ("out.tsv", 2_500), ("out.tsv.gz", 2_500)] {
        let folder = tempfile::tempdir().unwrap();
        let rows = random_rows(count);
        let text = write_tsv(&folder.path().join(name), &rows);
        let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        assert_eq!(lines.next().unwrap(), COLUMNS);
        for row in &rows {
            let fields = lines.next().unwrap();
            let some = |field: &str| (!field.is_empty()).then(|| field.to_string());
            let end = row.end.map(|end| end.to_string()).unwrap_or_default();
            assert_eq!(fields[..5], [&row.contig, &row.position.to_string(), &end, &row.reference, "T"]);
            assert_eq!(
                (some(fields[5]), fields[6], some(fields[16])),
                (row.id.clone(), "deletion", row.reason.clone())
            );
            let scores: Vec<Option<f64>> = fields[7..13].iter().map(|field| field.parse().ok()).collect();
            assert_eq!(scores, row.scores());
            let counts: Vec<Option<u64>> = fields[13..16].iter().map(|field| field.parse().ok()).collect();
            let window = row.window.as_ref();
            assert_eq!(counts, [row.n_ambiguous, window.map(|window| window.start), window.map(|window| window.end)]);
        }
        assert_eq!(lines.next(), None);
        assert_eq!(names(folder.path()), [name]);
    }
}

#[test]
fn text_that_is_not_finished_leaves_nothing_and_an_old_table_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.tsv");
    let mut writer = TsvWriter::create(&path, &layout(), Existing::Refuse).unwrap();
    writer.write(&random_rows(1)[0].row()).unwrap();
    assert!(names(folder.path()).iter().all(|name| name.starts_with(".out.tsv.")));
    drop(writer);
    assert_eq!(names(folder.path()), [""; 0]);

    fs::write(&path, "old").unwrap();
    let refused = TsvWriter::create(&path, &layout(), Existing::Refuse).unwrap_err();
    assert!(matches!(refused, TableError::Exists(_)));
    drop(TsvWriter::create(&path, &layout(), Existing::Replace).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    TsvWriter::create(&path, &layout(), Existing::Replace).unwrap().finish().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), COLUMNS.join("\t") + "\n");
    let lost = TsvWriter::create(&folder.path().join("no/out.tsv"), &layout(), Existing::Refuse).unwrap_err();
    assert!(matches!(lost, TableError::NoFolder(_)));
}

#[test]
fn a_stream_gets_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let rows = random_rows(20);
    let expected = write_tsv(&folder.path().join("out.tsv"), &rows);
    let path = folder.path().join("stream");
    let mut writer = TsvWriter::stream(File::create(&path).unwrap(), "standard output", &layout()).unwrap();
    rows.iter().for_each(|row| writer.write(&row.row()).unwrap());
    assert_eq!(writer.finish().unwrap().bytes, expected.len() as u64);
    assert_eq!(fs::read_to_string(path).unwrap(), expected);
}

/// Prints rows, missing values of `masked`, of `id` and of `window_start`, the sum of `masked` and of `pos`.
const READERS: [(&str, &str); 3] = [
    (
        "pyarrow",
        "import pyarrow.parquet as q, pyarrow.compute as c; t = q.read_table(sys.argv[1]); \
         print(t.num_rows, *(t[n].null_count for n in N), c.sum(t['masked']), c.sum(t['pos']))",
    ),
    (
        "polars",
        "import polars as p\nfor t in (p.read_parquet(sys.argv[1]), p.read_csv(sys.argv[2], separator='\\t')): \
         print(t.height, *(t[n].null_count() for n in N), t['masked'].sum(), t['pos'].sum())",
    ),
    (
        "duckdb",
        "import duckdb\nfor f in sys.argv[1:]: \
         print(*duckdb.sql('select count(*), ' + ', '.join(f'count(*) - count({n})' for n in N) \
         + f\", sum(masked), sum(pos) from '{f}'\").fetchall()[0])",
    ),
];

#[test]
fn other_libraries_read_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    let text = folder.path().join("out.tsv");
    let rows = random_rows(2_500);
    write_parquet(&to, &rows);
    write_tsv(&text, &rows);
    let missing = [
        rows.iter().filter(|row| row.values[0].score.is_none()).count(),
        rows.iter().filter(|row| row.id.is_none()).count(),
        rows.iter().filter(|row| row.window.is_none()).count(),
    ];
    let sum: f64 = rows.iter().filter_map(|row| row.values[0].score).sum();
    let positions: u64 = rows.iter().map(|row| row.position).sum();
    for (module, program) in READERS {
        let program = format!("import sys; N = ['masked', 'id', 'window_start']\n{program}");
        let Some(said) = check_with_python(module, &program, &[&path, &text]) else {
            continue;
        };
        assert!(!said.is_empty());
        for line in said.lines() {
            let fields: Vec<f64> = line.split(' ').map(|field| field.parse().unwrap()).collect();
            assert_eq!(fields[..4], [2_500, missing[0], missing[1], missing[2]].map(|count| count as f64), "{module}");
            assert!((fields[4] / sum - 1.0).abs() < 1e-9, "{module}: {} and {sum}", fields[4]);
            assert_eq!(fields[5], positions as f64, "{module}");
        }
    }
}
