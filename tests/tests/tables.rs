//! The tables that `longstrand embed` writes, to those who read them: types, footers, and other libraries.

use std::{path::Path, process::Command};

use longstrand_tests::{
    CHR20, READS, YEAST, data,
    synthetic::Family,
    table::{metadata, rows},
    workdir::Workdir,
};

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

#[test]
fn half_precision_is_the_rounded_single() {
    let workdir = workdir(Family::CaduceusPh);
    let options = "--region I:1-20000 --window 500";
    let (single, half) =
        (workdir.rows(data(YEAST), options), workdir.rows(data(YEAST), &format!("{options} --dtype f16")));
    assert_eq!(single.len(), half.len());
    for (single, half) in single.iter().zip(&half) {
        for (x, h) in single.embedding.iter().zip(&half.embedding) {
            assert!((x - h).abs() <= x.abs() / 2048.0 + 1e-7, "{x} became {h}");
        }
    }
}

#[test]
fn the_footer_tells_the_origin_and_no_folder() {
    let workdir = workdir(Family::CaduceusPh);
    workdir
        .embed(data(CHR20), "out.parquet")
        .args("--sliced-reference --region 20:9,500,001-9,502,000 --window 100")
        .succeeds();
    let metadata = metadata(&workdir.path("out.parquet"));
    assert_eq!(metadata["longstrand.command"], "embed");
    assert_eq!(metadata["longstrand.model.name"], "model");
    assert_eq!(metadata["longstrand.model.digest"].len(), 64);
    let inputs: serde_json::Value = serde_json::from_str(&metadata["longstrand.inputs"]).expect("JSON");
    assert_eq!(inputs[0]["name"], CHR20);
    assert_eq!(inputs[0]["sha256"], "58c596300e072a73f61261b2a7aca5dfa6685b7052a48f3921c6eee7703453dc");
    let options: serde_json::Value = serde_json::from_str(&metadata["longstrand.options"]).expect("JSON");
    assert_eq!((&options["window"], &options["sliced_reference"]), (&100.into(), &true.into()));
    let counts: serde_json::Value = serde_json::from_str(&metadata["longstrand.counts"]).expect("JSON");
    assert_eq!((&counts["windows"], &counts["bases"]), (&20.into(), &2000.into()));
    assert!(!metadata.values().any(|value| workdir.is_named_in(value)), "{metadata:?}");
}

/// Opens a table in a library and prints rows, width, the first name and the sum of the first vector.
const READERS: [(&str, &str); 3] = [
    (
        "pyarrow",
        "import pyarrow.parquet as q; t = q.read_table(path); v = t['embedding'][0].as_py(); \
         print(t.num_rows, len(v), t['name'][0].as_py(), sum(v))",
    ),
    (
        "polars",
        "import polars as p; t = p.read_parquet(path); v = t['embedding'][0].to_list(); \
         print(t.height, len(v), t['name'][0], sum(v))",
    ),
    (
        "duckdb",
        "import duckdb; c = duckdb.sql(f\"select name, embedding from '{path}'\").fetchall(); v = c[0][1]; \
         print(len(c), len(v), c[0][0], sum(v))",
    ),
];

/// Whether a module of Python is there; it must be when `LONGSTRAND_REQUIRE_PYTHON` is 1.
fn has_module(module: &str) -> bool {
    let import = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    let found = import.is_ok_and(|output| output.status.success());
    let required = std::env::var_os("LONGSTRAND_REQUIRE_PYTHON").is_some_and(|value| value == "1");
    assert!(found || !required, "LONGSTRAND_REQUIRE_PYTHON is 1 and python3 cannot import {module}");
    found
}

#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn other_libraries_open_the_tables() {
    let workdir = workdir(Family::CaduceusPh);
    for (name, input, options) in [
        ("genome-f32", YEAST, "--region I:1-50000 --window 500"),
        ("genome-f16", YEAST, "--region I:1-50000 --window 500 --dtype f16 --soft-mask"),
        ("reads-f32", READS, "--region 20:9,999,900-10,000,100"),
    ] {
        let output = format!("{name}.parquet");
        workdir.embed(data(input), &output).args(options).succeeds();
        for (module, program) in READERS {
            match has_module(module) {
                true => check_reader(&workdir.path(&output), module, program),
                false => eprintln!("skipped: python3 cannot import {module}"),
            }
        }
    }
}

fn check_reader(table: &Path, module: &str, program: &str) {
    let program = format!("import sys; path = sys.argv[1]; {program}");
    let output = Command::new("python3").args(["-c", &program]).arg(table).output().expect("python3 starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{module}: {}", String::from_utf8_lossy(&output.stderr));
    let fields: Vec<&str> = said.split_whitespace().collect();
    let rows = rows(table);
    let expected = [rows.len().to_string(), rows[0].embedding.len().to_string(), rows[0].name.clone()];
    assert_eq!(fields[..3], expected, "{module}");
    let (sum, expected): (f32, f32) = (fields[3].parse().expect("a number"), rows[0].embedding.iter().sum());
    assert!((sum - expected).abs() <= 1e-2 * expected.abs().max(1.0), "{module}: {sum}, expected {expected}");
}
