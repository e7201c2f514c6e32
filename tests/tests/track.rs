//! `longstrand track`: surprisal and entropy base by base, against the model itself and from one format to the other.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use flate2::read::MultiGzDecoder;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_tests::{
    CHR20,
    command::Longstrand,
    data,
    likelihood::{encode, log_probabilities, reverse_complement},
    synthetic::Family,
    variants::Contig,
    workdir::Workdir,
};

const ERROR: i32 = 1;
const USAGE: i32 = 2;

/// Values by contig and 0-based position.
type Values = BTreeMap<(String, u64), f64>;

/// A workdir with a genome of a long contig with some N, and a short one.
struct Bench {
    workdir: Workdir,
    long: Contig,
    short: Contig,
}

impl Bench {
    fn new(family: Family) -> Self {
        let (mut long, short) = (Contig::random("long", 3_000, 41), Contig::random("short", 90, 42));
        long.bases[700..750].fill(b'N');
        long.bases[1_200] = b'R';
        let bench = Self { workdir: Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family), long, short };
        bench.workdir.write("genome.fa", bench.long.fasta() + &bench.short.fasta());
        bench
    }

    fn track(&self) -> Longstrand {
        self.workdir.command("track", self.workdir.path("genome.fa"))
    }

    /// The values that one of the tracks has.
    fn values(&self, track: &str, options: &str) -> Values {
        bed_graph(&self.track().args(&format!("--{track} -")).args(options).succeeds().stdout)
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::load(self.workdir.path("model")).expect("the model")
    }
}

/// The values of a bedGraph, base by base; intervals must ascend without overlapping.
fn bed_graph(text: &str) -> Values {
    let mut values = Values::new();
    for line in text.lines().filter(|line| !line.starts_with("track") && !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [contig, start, end, value] = fields[..] else { panic!("{line:?} is not of four fields") };
        let (start, end): (u64, u64) = (start.parse().expect("start"), end.parse().expect("end"));
        assert!(start < end, "{line}");
        for position in start..end {
            let before = values.insert((contig.to_owned(), position), value.parse().expect("a value"));
            assert_eq!(before, None, "{line}: twice");
        }
    }
    values
}

/// −log2 p of a base, and the entropy of A, C, G, T in bits, of a row of log-probabilities.
fn told(checkpoint: &Checkpoint, row: &[f64], base: u8) -> [f64; 2] {
    let of = |base: u8| row[usize::from(checkpoint.vocabulary.id(base))];
    let sum: f64 = b"ACGT".iter().map(|&base| of(base).exp()).sum();
    let entropy = b"ACGT".iter().map(|&base| of(base).exp() / sum).map(|p| -p * p.log2()).sum();
    [-of(base) / std::f64::consts::LN_2, entropy]
}

fn assert_value(values: &Values, contig: &str, position: u64, expected: f64) {
    let found = values[&(contig.to_owned(), position)];
    let tolerance = 1e-5 * expected.abs().max(1.0);
    assert!((found - expected).abs() <= tolerance, "{contig}:{position}: expected {expected}, found {found}");
}

#[test]
fn a_masked_model_is_read_on_a_grid_of_windows() {
    for family in [Family::CaduceusPh, Family::CaduceusPs] {
        let bench = Bench::new(family);
        let checkpoint = bench.checkpoint();
        for strand in ["forward", "reverse"] {
            let options = format!("--context 500 --strand {strand}");
            let tracks = ["surprisal", "entropy"].map(|track| bench.values(track, &options));
            // The site is nearest to the middle of these windows; the earlier of two equally near ones counts.
            for (position, start) in
                [(0, 0), (300, 0), (375, 0), (376, 250), (1_000, 750), (2_700, 2_500), (2_999, 2_500)]
            {
                let window = &bench.long.bases[start..start + 500];
                let place = position - start;
                let row = match strand {
                    "forward" => log_probabilities(&checkpoint, &encode(&checkpoint, window))[place].clone(),
                    _ => {
                        let ids = encode(&checkpoint, &reverse_complement(window));
                        log_probabilities(&checkpoint, &ids)[499 - place].clone()
                    }
                };
                let base = bench.long.bases[position];
                let base = if strand == "forward" { base } else { reverse_complement(&[base])[0] };
                for (values, expected) in tracks.iter().zip(told(&checkpoint, &row, base)) {
                    assert_value(values, "long", position as u64, expected);
                }
            }
        }
    }
}

#[test]
fn a_causal_model_has_read_the_blocks_before() {
    for family in [Family::Mamba, Family::Mamba2] {
        let bench = Bench::new(family);
        let checkpoint = bench.checkpoint();
        let forward = ["surprisal", "entropy"].map(|track| bench.values(track, "--context 400 --strand forward"));
        let reverse = ["surprisal", "entropy"].map(|track| bench.values(track, "--context 400 --strand reverse"));
        let both = ["surprisal", "entropy"].map(|track| bench.values(track, "--context 400"));
        // Nothing tells the first base of a contig.
        assert!(!forward[0].contains_key(&("long".into(), 0)) && !forward[0].contains_key(&("short".into(), 0)));
        assert!(!reverse[0].contains_key(&("long".into(), 2_999)) && !reverse[1].contains_key(&("short".into(), 89)));
        for position in [1, 399, 400, 799, 800, 1_111, 2_998, 2_999_usize] {
            let block = position / 400;
            let start = block.saturating_sub(1) * 400;
            let ids = encode(&checkpoint, &bench.long.bases[start..=position]);
            let row = &log_probabilities(&checkpoint, &ids)[position - start - 1];
            let expected = told(&checkpoint, row, bench.long.bases[position]);
            (0..2).for_each(|i| assert_value(&forward[i], "long", position as u64, expected[i]));
            if position == 2_999 {
                continue;
            }
            let end = ((block + 2) * 400).min(3_000);
            let ids = encode(&checkpoint, &reverse_complement(&bench.long.bases[position..end]));
            let rows = log_probabilities(&checkpoint, &ids);
            let turned = told(&checkpoint, &rows[ids.len() - 2], reverse_complement(&[bench.long.bases[position]])[0]);
            (0..2).for_each(|i| assert_value(&reverse[i], "long", position as u64, turned[i]));
            (0..2).for_each(|i| assert_value(&both[i], "long", position as u64, (expected[i] + turned[i]) / 2.0));
        }
    }
}

#[test]
fn bases_that_are_not_told_have_no_surprisal() {
    let bench = Bench::new(Family::CaduceusPh);
    let surprisal = bench.values("surprisal", "--context 200");
    let unknown = |position: u64| (700..750).contains(&position) || position == 1_200;
    for (contig, length) in [("long", 3_000), ("short", 90)] {
        for position in 0..length {
            let is_there = surprisal.contains_key(&(contig.to_owned(), position));
            assert_eq!(is_there, contig == "short" || !unknown(position), "{contig}:{position}");
        }
    }
    assert!(surprisal.values().all(|value| value.is_finite() && *value > 0.0));
    let entropy = bench.values("entropy", "--context 200");
    assert!(entropy.values().all(|value| (0.0..=2.0 + 1e-6).contains(value)));
}

#[test]
fn a_region_has_the_values_of_the_whole() {
    for family in [Family::CaduceusPh, Family::Mamba2] {
        let bench = Bench::new(family);
        let options = "--context 300";
        let whole = bench.values("surprisal", options);
        for (regions, ranges) in [
            ("--region long:1-1", vec![("long", 0..1)]),
            ("--region long:3000-3000", vec![("long", 2_999..3_000)]),
            ("--region long:130-1,311", vec![("long", 129..1_311)]),
            ("--region short --region long:5-9", vec![("long", 4..9), ("short", 0..90)]),
            ("--region long:5-90 --region long:50-120 --region long:121-130", vec![("long", 4..130)]),
        ] {
            let found = bench.values("surprisal", &format!("{options} {regions}"));
            let is_in = |(contig, position): &(String, u64)| {
                ranges.iter().any(|(name, range)| name == contig && range.contains(position))
            };
            let expected: Values =
                whole.iter().filter(|(place, _)| is_in(place)).map(|(k, v)| (k.clone(), *v)).collect();
            assert_eq!(found, expected, "{family:?} {regions}");
        }
    }
}

fn gunzipped(path: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).expect("a file")).read_to_string(&mut text).expect("gzip of text");
    text
}

/// The values of a bigWig as pyBigWig reads them, if Python has it.
#[allow(clippy::print_stderr, reason = "a skipped check says so")]
fn big_wig(path: &Path) -> Option<Values> {
    const SCRIPT: &str = "import sys, pyBigWig\n\
        wig = pyBigWig.open(sys.argv[1])\n\
        for name in wig.chroms():\n\
        \x20   for start, end, value in wig.intervals(name) or ():\n\
        \x20       print(name, start, end, repr(value), sep='\\t')\n";
    let output = Command::new("python3").args(["-c", SCRIPT]).arg(path).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No module named") {
        eprintln!("not read by pyBigWig, which is not installed");
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(bed_graph(&String::from_utf8_lossy(&output.stdout)))
}

#[test]
fn formats_say_the_same() {
    let bench = Bench::new(Family::CaduceusPh);
    let outputs = |extension: &str| ["s", "e"].map(|name| bench.workdir.path(&format!("{name}.{extension}")));
    for extension in ["bedgraph", "bedgraph.gz", "bw", "bigwig"] {
        let [surprisal, entropy] = outputs(extension);
        let command = bench.track().args("--context 200 --surprisal").arg(surprisal).arg("--entropy").arg(entropy);
        command.succeeds();
    }
    let [plain, gzip, wig, other] = ["bedgraph", "bedgraph.gz", "bw", "bigwig"].map(outputs);
    for (i, track) in ["surprisal", "entropy"].into_iter().enumerate() {
        let text = std::fs::read_to_string(&plain[i]).expect("a bedGraph");
        let streamed = bench.track().args(&format!("--context 200 --{track} -")).succeeds().stdout;
        let lines =
            |text: &str| text.lines().filter(|line| !line.starts_with("track")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&streamed), lines(&text));
        assert_eq!(gunzipped(&gzip[i]), text);
        let bytes = |path: &PathBuf| std::fs::read(path).expect("a bigWig");
        assert_eq!(bytes(&wig[i])[..4], [0x26, 0xfc, 0x8f, 0x88]);
        assert!(bytes(&wig[i]) == bytes(&other[i]));
        if let Some(values) = big_wig(&wig[i]) {
            let expected = bed_graph(&text);
            assert!(values.keys().eq(expected.keys()));
            for (place, value) in &expected {
                assert!((values[place] - value).abs() <= 1e-5 * value.abs(), "{place:?}");
            }
        }
    }
}

#[test]
fn threads_change_no_byte() {
    for family in [Family::CaduceusPs, Family::Mamba2] {
        let bench = Bench::new(family);
        let run = |threads: usize| {
            bench.track().args(&format!("--context 200 --surprisal - --threads {threads}")).succeeds().stdout
        };
        assert!(run(1) == run(2) && run(1) == run(3), "{family:?}");
    }
}

#[test]
fn a_slice_of_chromosome_20() {
    let bench = Bench::new(Family::Mamba);
    let output = bench.workdir.path("out.bedgraph");
    let command = bench.workdir.command("track", data(CHR20)).args("--sliced-reference --context 2k");
    command.args("--region 20:10,000,001-10,020,000 --surprisal").arg(&output).succeeds();
    let values = bed_graph(&std::fs::read_to_string(output).expect("a bedGraph"));
    assert_eq!(values.len(), 20_000);
    assert_eq!(values.keys().next(), Some(&("20".to_owned(), 10_000_000)));
}

#[test]
fn what_is_refused() {
    let bench = Bench::new(Family::CaduceusPh);
    let before = bench.workdir.names();
    let path = |name: &str| bench.workdir.path(name);
    bench.track().fails(USAGE, &["expected an output"]);
    bench.track().args("--context 101 --surprisal -").fails(USAGE, &["even number"]);
    bench.track().arg("--surprisal").arg(path("out.txt")).fails(USAGE, &[".bw, .bigwig, .bedgraph or .bedgraph.gz"]);
    for (region, says) in [("long:2999-3001", "3001"), ("chrQ", "unknown contig"), ("long:0-4", "1-based")] {
        bench.track().arg("--region").arg(region).args("--surprisal").arg(path("out.bw")).fails(ERROR, &[says]);
    }
    assert_eq!(bench.workdir.names(), before);
    let kept = bench.workdir.write("kept.bedgraph", "what was here before");
    bench.track().arg("--surprisal").arg(&kept).fails(ERROR, &["kept.bedgraph", "exists"]);
    assert_eq!(bench.workdir.text("kept.bedgraph"), "what was here before");
    bench.track().args("--context 100 --force --surprisal").arg(&kept).succeeds();
    assert!(bench.workdir.text("kept.bedgraph").lines().count() > 1_000);
    // The genome is not written over, nor one track by the other.
    let genome = bench.workdir.text("genome.fa");
    let twice = path("twice.bedgraph");
    bench.track().arg("--surprisal").arg(&twice).arg("--entropy").arg(&twice).fails(USAGE, &["twice.bedgraph"]);
    bench.track().args("--surprisal - --entropy -").fails(USAGE, &["--surprisal and --entropy are both -"]);
    let over = |name: &str| bench.track().args("--force --surprisal").arg(path(name));
    over("genome.fa").fails(USAGE, &["genome.fa is one of the inputs"]);
    over("genome.fa.fai").fails(USAGE, &["genome.fa.fai is the index of the input"]);
    bench.workdir.write("genome.bedgraph", &genome);
    let input = bench.workdir.command("track", path("genome.bedgraph")).args("--force --surprisal");
    input.arg(path("./genome.bedgraph")).fails(USAGE, &["is one of the inputs"]);
    assert_eq!(bench.workdir.text("genome.bedgraph"), genome);
    assert_eq!(bench.workdir.text("genome.fa"), genome);
}
