//! `longstrand embed` on real sequence: what it writes, and that nothing but the question changes the answer.

use std::fs;
use std::ops::Range;

use longstrand_kernels::{Cpu, Rows, simd::Level};
use longstrand_model::{Chunking, Model, Observer, Request, Tap, checkpoint::Checkpoint};
use longstrand_seq::{Genome, GenomeOptions, Vocabulary};
use longstrand_tests::{
    CHR20, INTERVALS, READS, YEAST,
    command::Longstrand,
    data,
    synthetic::Family,
    table::{Row, rows},
    workdir::Workdir,
};

const FAMILIES: [Family; 4] = [Family::Mamba, Family::Mamba2, Family::CaduceusPh, Family::CaduceusPs];

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

#[test]
fn the_whole_yeast_genome_in_windows() {
    let workdir = workdir(Family::Mamba);
    let rows = workdir.rows(data(YEAST), "--window 1024 --batch-tokens 65536");
    let genome = Genome::open(&data(YEAST), &GenomeOptions::default()).expect("the genome");
    let mut expected = Vec::new();
    for contig in genome.contigs().iter() {
        for start in (0..contig.length).step_by(1024) {
            expected.push((contig.name.clone(), start as i64, contig.length.min(start + 1024) as i64));
        }
    }
    let found: Vec<_> = rows.iter().map(|row| (row.contig.clone(), row.start, row.end)).collect();
    assert!(found == expected, "{} rows, expected {}", found.len(), expected.len());
    assert_eq!(rows.iter().map(|row| row.n_bases).sum::<i64>(), 12_071_326);
    assert!(rows.iter().all(|row| row.embedding.len() == 32 && row.embedding.iter().all(|x| x.is_finite())));
}

#[test]
fn a_megabase_of_chromosome_20_in_bins() {
    let workdir = workdir(Family::CaduceusPh);
    let options = "--sliced-reference --region 20:9,450,001-10,498,576 --pool bins:1024";
    let rows = workdir.rows(data(CHR20), options);
    assert_eq!(rows.len(), 1024);
    for (i, row) in (0..).zip(&rows) {
        assert_eq!((row.start, row.end), (9_450_000 + 1024 * i, 9_450_000 + 1024 * (i + 1)));
        assert_eq!((row.contig.as_str(), row.n_bases), ("20", 1024));
    }
    // It is one context: other bases around a bin change it.
    let alone = workdir.rows(data(CHR20), "--sliced-reference --region 20:9,963,025-9,964,048");
    let bin = rows.iter().find(|row| row.start == alone[0].start).expect("a bin of the window");
    assert_eq!(bin.end, alone[0].end);
    assert_ne!(bin.embedding, alone[0].embedding);
    // And it is the context that the model sees when it is handed all of it.
    let checkpoint = Checkpoint::load(workdir.path("model")).expect("the model");
    let options = GenomeOptions { sliced_reference: true };
    let mut genome = Genome::open(&data(CHR20), &options).expect("the slice");
    let mut ids = Vec::new();
    genome.read(0, 9_450_000..10_498_576, &mut ids).expect("bases of chromosome 20");
    checkpoint.vocabulary.encode_in_place(&mut ids);
    assert!(rows[700].embedding == mean(&checkpoint, &ids, 700 * 1024..701 * 1024), "{:?}", rows[700]);
}

/// The mean of the last hidden states over some of a sequence's positions.
fn mean(checkpoint: &Checkpoint, ids: &[u8], positions: Range<u64>) -> Vec<f32> {
    let model = Model::new(Cpu::new(Level::widest()), checkpoint);
    let n = (positions.end - positions.start) as f64;
    let mut mean = Mean { sums: vec![0.0; model.width()], positions };
    let request = Request { taps: &[Tap::Last], logits: false };
    let _ = model.encode(ids, Chunking::Auto, &request, &mut model.scratch(), &mut mean);
    mean.sums.iter().map(|sum| (sum / n) as f32).collect()
}

/// Sums of a pass's last hidden states over some positions.
struct Mean {
    sums: Vec<f64>,
    positions: Range<u64>,
}

impl Observer<f32> for Mean {
    fn hidden(&mut self, _: Tap, start: u64, rows: Rows<'_, f32>) {
        for t in (0..rows.len()).filter(|&t| self.positions.contains(&(start + t as u64))) {
            self.sums.iter_mut().zip(rows.row(t)).for_each(|(sum, &x)| *sum += f64::from(x));
        }
    }
}

#[test]
fn reads_of_a_region_and_of_intervals_under_another_name() {
    let workdir = workdir(Family::CaduceusPh);
    let all = workdir.rows(data(READS), "");
    assert_eq!(all.len(), 973);
    let region = workdir.rows(data(READS), "--region 20:9,999,900-10,002,000");
    assert!(region == all, "every read overlaps the region");
    let some = workdir.rows(data(READS), &format!("--bed {}", data(INTERVALS).display()));
    let expected: Vec<Row> = all.iter().filter(|row| is_wanted(row, &all)).cloned().collect();
    assert!(some == expected, "{} rows, expected {}", some.len(), expected.len());
    assert_eq!(some.len(), 773);
    assert!(some.iter().any(|row| row.strand == "-") && some.iter().any(|row| row.strand == "+"));
}

/// Whether a read, or the mate beside which an unmapped read stands, overlaps the shipped intervals.
fn is_wanted(row: &Row, all: &[Row]) -> bool {
    let (pair, _) = row.name.split_at(row.name.len() - 1);
    match row.contig.as_str() {
        "*" => all.iter().any(|mate| mate.contig != "*" && mate.name.starts_with(pair) && is_wanted(mate, all)),
        contig => {
            contig == "chr20"
                && [(9_999_899, 10_000_500), (10_001_000, 10_002_000)]
                    .iter()
                    .any(|&(start, end)| row.start < end && start < row.end)
        }
    }
}

#[test]
fn a_row_is_the_mean_of_the_models_last_hidden_states() {
    let workdir = workdir(Family::Mamba);
    let output = workdir.path("out.parquet");
    let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
    longstrand.embed(data(YEAST), &output).args("--region I:1001-3048 --window 1024").succeeds();
    let rows = rows(&output);

    let mut genome = Genome::open(&data(YEAST), &GenomeOptions::default()).expect("the genome");
    let checkpoint = Checkpoint::builtin().expect("the built-in model");
    assert_eq!(rows.len(), 2);
    for (row, start) in rows.iter().zip([1000, 2024]) {
        let mut ids = Vec::new();
        genome.read(0, start..start + 1024, &mut ids).expect("bases of chromosome I");
        Vocabulary::caduceus().encode_in_place(&mut ids);
        assert_eq!((row.start, row.end), (start as i64, start as i64 + 1024));
        assert!(row.embedding == mean(&checkpoint, &ids, 0..1024), "{row:?}");
    }
}

#[test]
fn threads_batches_and_chunks_change_no_byte() {
    for family in FAMILIES {
        let workdir = workdir(family);
        for (question, windows) in [("short", "--region II:1-60000 --window 512"), ("long", "--region II:1-40000")] {
            let answer = |name: &str, how: &str| {
                let output = format!("{question}-{name}.parquet");
                workdir.embed(data(YEAST), &output).args(windows).args("--pool bins:100").args(how).succeeds();
                fs::read(workdir.path(&output)).expect("an output")
            };
            let one = answer("one", "--threads 1");
            for (name, how) in [
                ("two", "--threads 2"),
                ("five", "--threads 5 --batch-tokens 3000"),
                ("small-batches", "--batch-tokens 600"),
                ("small-chunks", "--chunk 256"),
                ("large-chunks", "--chunk 4096 --threads 2"),
            ] {
                assert!(answer(name, how) == one, "{family:?} {question} {how}");
            }
        }
    }
}

#[test]
fn shards_one_after_another_are_the_whole() {
    let workdir = workdir(Family::CaduceusPs);
    let intervals = format!("--bed {}", data(INTERVALS).display());
    let slice = "--sliced-reference --region 20:9,500,001-9,600,000 --window 1000 --stride 700";
    for (input, options) in
        [(YEAST, "--region I --region III:1-50000 --window 777"), (CHR20, slice), (READS, &intervals)]
    {
        let whole = workdir.rows(data(input), options);
        let shards: Vec<Vec<Row>> =
            (1..=3).map(|i| workdir.rows(data(input), &format!("{options} --shard {i}/3"))).collect();
        assert!(shards.iter().all(|shard| shard.len().abs_diff(whole.len() / 3) <= 2), "{input}: unbalanced");
        assert!(shards.concat() == whole, "{input}: {} rows, expected {}", shards.concat().len(), whole.len());
    }
}

#[test]
fn a_folder_of_parts_holds_the_rows_of_a_file() {
    let workdir = workdir(Family::Mamba2);
    let options = "--region VI --window 1000 --row-group 20";
    workdir.embed(data(YEAST), "parts").args(options).succeeds();
    let parts = fs::read_dir(workdir.path("parts")).expect("a folder").count();
    assert!(parts >= 3, "{parts} parts");
    assert!(rows(&workdir.path("parts")) == workdir.rows(data(YEAST), options));
}

#[test]
fn layers_strands_and_halves_have_their_widths() {
    for (family, options, width, rows_a_window) in [
        (Family::Mamba, "--strand concat", 64, 1),
        (Family::CaduceusPh, "--strand average --layer 0,1,last", 32, 3),
        (Family::CaduceusPs, "", 64, 1),
        (Family::CaduceusPs, "--equivariant conjoined", 32, 1),
        (Family::CaduceusPs, "--equivariant split", 32, 2),
        (Family::CaduceusPs, "--equivariant split --layer 2,last --special-tokens published", 32, 4),
    ] {
        let rows = workdir(family).rows(data(YEAST), &format!("--region I:1-4000 --window 1000 {options}"));
        assert_eq!(rows.len(), 4 * rows_a_window, "{family:?} {options}");
        assert!(rows.iter().all(|row| row.embedding.len() == width), "{family:?} {options}");
    }
}
