//! `longstrand score` of the records that trip programs: edges of contigs, odd alleles, odd files.

use std::{fs, path::PathBuf};

use longstrand_model::checkpoint::Checkpoint;
use longstrand_tests::{
    CHR20, CHR20_VARIANTS, data,
    likelihood::{causal_log_probabilities, encode, log_probabilities, reverse_complement},
    synthetic::Family,
    variants::{Contig, Scores, record, vcf},
    workdir::Workdir,
};

/// What an error ends with.
const ERROR: i32 = 1;
/// What options that do not go together end with.
const USAGE: i32 = 2;

/// A workdir with a genome of a long and a short contig.
struct Bench {
    workdir: Workdir,
    long: Contig,
    short: Contig,
}

impl Bench {
    fn new(family: Family) -> Self {
        let (long, short) = (Contig::random("long", 40_000, 5), Contig::random("short", 300, 6));
        let bench = Self { workdir: Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family), long, short };
        bench.workdir.write("genome.fa", bench.long.fasta() + &bench.short.fasta());
        bench
    }

    fn reference(&self) -> PathBuf {
        self.workdir.path("genome.fa")
    }

    fn vcf(&self, records: &[String]) -> String {
        vcf(&[&self.long, &self.short], records)
    }

    /// The scores of records.
    fn scores(&self, records: &[String], options: &str) -> Scores {
        let variants = self.workdir.write("in.vcf", self.vcf(records));
        self.workdir.scores(variants, self.reference(), options)
    }

    /// The reasons for which records have no score.
    fn reasons(&self, records: &[String], options: &str) -> Vec<String> {
        self.scores(records, options).texts("reason").into_iter().map(str::to_owned).collect()
    }

    /// Asserts that records are refused and nothing is left behind.
    fn refused(&self, records: &[String], options: &str, says: &[&str]) {
        let variants = self.workdir.write("in.vcf", self.vcf(records));
        let before = self.workdir.names();
        let command = self.workdir.score(variants, self.reference()).args(options);
        command.arg("-o").arg(self.workdir.path("out.vcf.gz")).fails(ERROR, says);
        assert_eq!(self.workdir.names(), before);
    }
}

#[test]
fn first_and_last_bases() {
    let bench = Bench::new(Family::CaduceusPh);
    let (long, short) = (&bench.long, &bench.short);
    let records = [
        long.snv(1),
        long.record(1, 3, long.at(1..2)),
        long.record(40_000, 1, &format!("{}ACGT", long.at(40_000..40_001))),
        long.record(39_991, 10, long.at(39_991..39_992)),
        long.snv(40_000),
        short.snv(1),
        short.snv(300),
        short.record(1, 300, "A"),
    ];
    let scores = bench.scores(&records, "--score masked,embedding --strand both");
    let starts = ["0", "0", "38976", "38967", "38976", "0", "0", "0"];
    assert_eq!(scores.texts("window_start"), starts);
    let ends = ["1024", "1024", "40000", "40000", "40000", "300", "300", "300"];
    assert_eq!(scores.texts("window_end"), ends);
    for column in ["embedding_l2", "embedding_cosine"] {
        assert!(scores.values(column).iter().all(|distance| *distance > 0.0), "{:?}", scores.values(column));
    }
    let lengths_change = [false, true, true, true, false, false, false, true];
    for (masked, lengths_change) in scores.numbers("masked").iter().zip(lengths_change) {
        assert_eq!(masked.is_none(), lengths_change);
    }
    // The model is asked what it is told: the site masked, N behind a short contig.
    let checkpoint = Checkpoint::load(bench.workdir.path("model")).expect("the model");
    let masked = scores.numbers("masked_forward");
    for (row, contig, start, site) in [(0, long, 0, 0), (4, long, 38_976, 1_023), (5, short, 0, 0), (6, short, 0, 299)]
    {
        let mut window: Vec<u8> = contig.bases[start..].iter().take(1_024).copied().collect();
        let reference = window[site];
        window.resize(1_024, b'N');
        let mut ids = encode(&checkpoint, &window);
        ids[site] = checkpoint.vocabulary.mask().expect("a mask");
        let distribution = &log_probabilities(&checkpoint, &ids)[site];
        let alternate = scores.texts("alt")[row].as_bytes()[0];
        let log_p = |base: u8| distribution[usize::from(checkpoint.vocabulary.id(base))];
        let expected = log_p(alternate) - log_p(reference);
        let found = masked[row].expect("a score");
        assert!((found - expected).abs() < 1e-9, "row {row}: expected {expected}, found {found}");
    }
}

#[test]
fn first_and_last_bases_of_a_causal_model() {
    let bench = Bench::new(Family::Mamba);
    let (long, short) = (&bench.long, &bench.short);
    let records = [
        long.snv(1),
        long.record(1, 3, "T"),
        long.snv(40_000),
        short.snv(1),
        short.snv(300),
        short.record(1, 300, "A"),
    ];
    for anchor in ["window", "block", "contig"] {
        // The longest tail ends with the contig.
        for tail in ["0", "200", "18446744073709551615"] {
            let tail = if anchor == "window" { String::new() } else { format!("--tail {tail}") };
            let scores = bench.scores(&records, &format!("--anchor {anchor} --context 512 {tail}"));
            for column in ["likelihood_forward", "likelihood_reverse", "likelihood_per_base"] {
                assert!(scores.values(column).iter().all(|score| score.is_finite()), "{anchor} {tail} {column}");
            }
        }
    }
}

/// The reference and the edited sequence as windows of `context` bases have them: both from the same base on, or each up to the
/// contig's end where there are not enough bases for that.
fn windows(contig: &[u8], at: usize, replaced: usize, alternate: &[u8], context: usize) -> [Vec<u8>; 2] {
    let edited = [&contig[..at], alternate, &contig[at + replaced..]].concat();
    let behind = contig.len() - at - replaced;
    let start = |length: usize| (at - context / 2).min(length - context);
    let starts = match alternate.len().abs_diff(replaced) <= behind {
        true => [start(contig.len().min(edited.len())); 2],
        false => [start(contig.len()), start(edited.len())],
    };
    [contig[starts[0]..][..context].to_vec(), edited[starts[1]..][..context].to_vec()]
}

#[test]
fn insertions_and_deletions_near_the_right_end() {
    const CONTEXT: usize = 64;
    let bench = Bench::new(Family::Mamba);
    let checkpoint = Checkpoint::load(bench.workdir.path("model")).expect("the model");
    let long = &bench.long;
    let (mut records, mut sequences) = (Vec::new(), Vec::new());
    // As VCF has it: the base before what is inserted or left out.
    let mut add = |position: usize, replaced: usize, inserted: &str| {
        let first = long.at(position..position + 1);
        let alternate = format!("{first}{inserted}");
        records.push(long.record(position, replaced, &alternate));
        sequences.push(windows(&long.bases, position - 1, replaced, alternate.as_bytes(), CONTEXT));
    };
    let end = long.bases.len();
    for behind in [0, 1, 5, 10, 14, 15, 16, 17, 31, 32, 40, 200] {
        add(end - behind, 1, "GATTACAGATTACAGA");
    }
    for (position, replaced) in
        [(end - 9, 10), (end - 1, 2), (end - 20, 12), (end - 25, 20), (end - 60, 12), (end - 300, 12)]
    {
        add(position, replaced, "");
    }
    let scores = bench.scores(&records, &format!("--score likelihood,embedding --context {CONTEXT}"));
    let log_p = |bases: &[u8]| causal_log_probabilities(&checkpoint, &encode(&checkpoint, bases)).iter().sum::<f64>();
    let (forward, reverse) = (scores.values("likelihood_forward"), scores.values("likelihood_reverse"));
    let distances = scores.values("embedding_l2");
    for (i, [reference, alternate]) in sequences.iter().enumerate() {
        let turned = [reference, alternate].map(|bases| reverse_complement(bases));
        for (found, expected) in
            [(forward[i], log_p(alternate) - log_p(reference)), (reverse[i], log_p(&turned[1]) - log_p(&turned[0]))]
        {
            assert!((found - expected).abs() < 1e-9, "{}: expected {expected}, found {found}", records[i]);
        }
        assert!(forward[i] != 0.0 && distances[i] > 0.0, "{}", records[i]);
    }
}

#[test]
fn ten_thousand_bases_are_left_out() {
    let bench = Bench::new(Family::CaduceusPh);
    let (long, before) = (&bench.long, bench.long.at(15_000..15_001));
    let spelled = long.record(15_000, 10_001, before);
    let symbolic = |information: &str| format!("long\t15000\t.\t{before}\t<DEL>\t.\t.\t{information}");
    let records = [spelled, symbolic("END=25000"), symbolic("SVLEN=-10000"), symbolic("SVLEN=10000"), symbolic(".")];
    let reasons = bench.reasons(&records, "--score embedding --context 1024");
    let too_long = "longer_than_context";
    assert_eq!(reasons, [too_long, too_long, too_long, too_long, "no_end"]);
    let scores = bench.scores(&records, "--score embedding,masked --context 32768");
    let distances = scores.numbers("embedding_l2");
    assert!(distances[0].is_some_and(|distance| distance > 0.0));
    assert!(distances[..4].iter().all(|distance| *distance == distances[0]), "{distances:?}");
    let masked = "masked:not_a_substitution";
    assert_eq!(scores.texts("reason"), [masked, masked, masked, masked, "no_end"]);
    let kinds = ["deletion", "symbolic_deletion", "symbolic_deletion", "symbolic_deletion", "symbolic_deletion"];
    assert_eq!(scores.texts("variant_type"), kinds);
}

#[test]
fn duplications_and_inversions_are_their_sequence() {
    let bench = Bench::new(Family::Mamba);
    let (long, before, inside) = (&bench.long, bench.long.at(500..501), bench.long.at(501..521));
    let turned = longstrand_tests::likelihood::reverse_complement(inside.as_bytes());
    let turned = format!("{before}{}", String::from_utf8(turned).expect("bases"));
    let records = [
        format!("long\t500\t.\t{before}\t<DUP>\t.\t.\tEND=520"),
        format!("long\t500\t.\t{before}\t<INV>\t.\t.\tEND=520"),
        long.record(500, 21, &format!("{before}{inside}{inside}")),
        long.record(500, 21, &turned),
    ];
    let scores = bench.scores(&records, "--score likelihood,embedding");
    for column in ["likelihood", "likelihood_per_base", "embedding_l2", "embedding_cosine", "embedding_dot"] {
        let values = scores.values(column);
        assert_eq!(values[..2], values[2..], "{column}");
    }
}

#[test]
fn alleles_that_have_no_sequence() {
    let bench = Bench::new(Family::CaduceusPh);
    let at = |alternates: &str| bench.long.record(700, 1, alternates);
    for (alternates, reason, kind) in [
        ("*", "overlapping_deletion", "overlapping_deletion"),
        ("<*>", "unspecified_allele", "unspecified"),
        ("<NON_REF>", "unspecified_allele", "unspecified"),
        (".", "no_alternate", "none"),
        ("G]long:900]", "breakend", "breakend"),
        ("[short:20[G", "breakend", "breakend"),
        ("G.", "breakend", "breakend"),
        ("<INS>", "symbolic_allele", "symbolic"),
        ("<CNV>", "symbolic_allele", "symbolic"),
        ("<DEL>", "no_end", "symbolic_deletion"),
        ("QZ", "invalid_bases", "complex"),
        (bench.long.at(700..701), "same_as_reference", "none"),
    ] {
        let scores = bench.scores(&[at(alternates)], "--score masked,wildtype,embedding");
        assert_eq!((scores.texts("reason"), scores.texts("variant_type")), (vec![reason], vec![kind]), "{alternates}");
        assert!(scores.texts("masked").iter().chain(&scores.texts("embedding_l2")).all(|cell| cell.is_empty()));
    }
    // Beside an allele that has one, and in the order of the record.
    let scores = bench.scores(&[at("*,<*>,NN").replace("NN", &bench.long.snv(700)[12..13])], "--score embedding");
    assert_eq!(scores.rows().len(), 3);
    assert_eq!(scores.texts("reason")[..2], ["overlapping_deletion", "unspecified_allele"]);
}

#[test]
fn an_allele_of_several_bases_is_the_sum_of_its_sites() {
    let bench = Bench::new(Family::CaduceusPs);
    let long = &bench.long;
    let alternate: String = (2_000..2_004).map(|at| long.snv(at).split('\t').nth(4).expect("ALT").to_owned()).collect();
    let kept = format!("{}{}", &alternate[..1], long.at(2_001..2_003)) + &alternate[3..];
    let mut records = vec![long.record(2_000, 4, &alternate), long.record(2_000, 4, &kept)];
    records.extend((2_000..2_004).map(|at| long.snv(at)));
    let scores = bench.scores(&records, "--score masked,wildtype");
    assert_eq!(scores.texts("variant_type")[..2], ["mnv", "mnv"]);
    for column in ["masked", "masked_forward", "masked_reverse", "wildtype"] {
        let values = scores.values(column);
        let sum: f64 = values[2..].iter().sum();
        assert!((values[0] - sum).abs() < 1e-9, "{column}: expected {sum}, found {}", values[0]);
        assert!((values[1] - values[2] - values[5]).abs() < 1e-9, "{column}");
    }
}

#[test]
fn lower_case_is_upper_case() {
    let bench = Bench::new(Family::CaduceusPh);
    let records: Vec<String> = [100, 2_000, 39_000].iter().map(|&at| bench.long.snv(at)).collect();
    let lower: Vec<String> = records.iter().map(|line| line.to_lowercase()).collect();
    let options = "--score masked,wildtype,embedding";
    let (upper, lowered) = (bench.scores(&records, options), bench.scores(&lower, options));
    for column in ["masked", "wildtype", "embedding_l2", "variant_type", "window_start"] {
        assert_eq!(upper.texts(column), lowered.texts(column), "{column}");
    }
    // The record stays as it is; so does a genome's soft mask.
    assert_eq!(
        lowered.texts("ref"),
        lower.iter().map(|line| line.split('\t').nth(3).expect("REF")).collect::<Vec<_>>()
    );
    let soft = bench.long.fasta().to_lowercase() + &bench.short.fasta();
    bench.workdir.write("genome.fa", soft);
    assert_eq!(bench.scores(&records, options), upper);
}

#[test]
fn ambiguous_bases() {
    let mut bench = Bench::new(Family::CaduceusPh);
    bench.long.bases[999] = b'A';
    bench.long.bases[1_999] = b'R';
    bench.long.bases[3_000..3_010].fill(b'N');
    bench.workdir.write("genome.fa", bench.long.fasta());
    let records = [
        record("long", 1_000, "R", "C"),
        record("long", 1_000, "N", "C"),
        record("long", 1_000, "A", "Y"),
        record("long", 2_000, "A", "T"),
        record("long", 2_000, "R", "T"),
        record("long", 3_001, "N", "<DEL>"),
        record("long", 3_001, "N", "A"),
        record("long", 3_001, "G", "A"),
        bench.long.snv(3_200),
    ];
    let scores = bench.scores(&records, "--score masked");
    let (of_reference, of_alternate) = ("ambiguous_reference", "ambiguous_alternate");
    let reasons = ["", "", of_alternate, "", of_reference, "no_end", of_reference, "", ""];
    assert_eq!(scores.texts("reason"), reasons);
    // A code in REF is the genome's base.
    let plain = bench.scores(&[record("long", 1_000, "A", "C")], "--score masked").values("masked")[0];
    assert_eq!(scores.numbers("masked")[..2], [Some(plain); 2]);
    let ambiguous = scores.numbers("n_ambiguous");
    assert_eq!((ambiguous[3], ambiguous[8]), (Some(1.0), Some(10.0)));
    // Not all scores need a base there.
    let scores = bench.scores(&records[..3], "--score masked,embedding");
    assert_eq!(scores.texts("reason")[2], "masked:ambiguous_alternate");
    assert!(scores.numbers("embedding_l2").iter().all(Option::is_some));
    // A code that leaves the reference's base out is a mismatch.
    bench.refused(&[record("long", 1_000, "Y", "G")], "", &["long:1000: expected REF A", "found Y"]);
}

#[test]
fn one_variant_spelled_in_several_ways() {
    let bench = Bench::new(Family::CaduceusPh);
    let base = |position: usize| char::from(bench.long.bases[position - 1]);
    let text = |positions: std::ops::RangeInclusive<usize>| positions.map(base).collect::<String>();
    let other = if base(1_000) == 'A' { "C" } else { "A" };
    let padded = format!("{}{other}{}", text(301..=999), text(1_001..=1_010));
    let records = [
        record("long", 1_000, &text(1_000..=1_000), other),
        record("long", 301, &text(301..=1_010), &padded),
        record("long", 1_000, &text(1_000..=1_000), &format!("{}{other}", base(1_000))),
        record("long", 990, &text(990..=1_003), &format!("{}{other}{}", text(990..=1_000), text(1_001..=1_003))),
    ];
    let scores = bench.scores(&records, "--score embedding");
    let l2 = scores.values("embedding_l2");
    assert!(l2[0] > 0.0 && l2[2] > 0.0 && l2[0] == l2[1] && l2[2] == l2[3], "{l2:?}");
}

#[test]
fn a_reference_that_differs() {
    let bench = Bench::new(Family::CaduceusPh);
    let good = bench.long.snv(600);
    let fields: Vec<&str> = good.split('\t').collect();
    let wrong = record("long", 600, fields[4], fields[3]);
    let (expected, found) = (format!("expected REF {}", fields[3]), format!("found {}", fields[4]));
    bench.refused(
        &[good.clone(), wrong.clone()],
        "",
        &["in.vcf", "line 7", "long:600", &expected, &found, "--ref-mismatch skip"],
    );
    let records = [good, wrong];
    assert_eq!(bench.reasons(&records, "--ref-mismatch skip"), ["", "reference_mismatch"]);
    let ignored = bench.scores(&records, "--ref-mismatch ignore");
    // The site is masked: what the record takes for the reference is all that counts.
    let values = ignored.values("masked");
    assert!((values[0] + values[1]).abs() < 1e-12, "{values:?}");
}

#[test]
fn places_that_the_reference_does_not_have() {
    let bench = Bench::new(Family::Mamba);
    let beyond = [
        (record("long", 0, "N", "A"), "long:0: expected a position of the reference"),
        (record("long", 40_001, "A", "C"), "long:40001: expected a position of the reference"),
        (record("short", 300, &format!("{}A", bench.short.at(300..301)), "C"), "the reference has short:1-300"),
        (record("other", 5, "A", "C"), "unknown contig \"other\""),
    ];
    for (line, says) in &beyond {
        bench.refused(std::slice::from_ref(line), "", &["in.vcf", says]);
        for policy in ["skip", "ignore"] {
            let reasons = bench.reasons(std::slice::from_ref(line), &format!("--ref-mismatch {policy}"));
            assert_eq!(reasons, ["not_in_reference"], "{line} {policy}");
        }
    }
}

#[test]
fn lines_that_end_as_on_windows() {
    let bench = Bench::new(Family::CaduceusPh);
    let text = bench.vcf(&[bench.long.snv(50), bench.short.snv(60)]);
    let (unix, windows) =
        (bench.workdir.write("u.vcf", &text), bench.workdir.write("w.vcf", text.replace('\n', "\r\n")));
    let scores = |path| bench.workdir.scores(path, bench.reference(), "");
    assert_eq!(scores(unix), scores(windows));
}

#[test]
fn nothing_to_score() {
    let bench = Bench::new(Family::CaduceusPh);
    let none = bench.scores(&[], "");
    assert!(none.rows().is_empty());
    assert!(none.texts("masked").is_empty(), "the columns are there");
    let unscorable = [bench.long.record(5, 1, "<INS>"), bench.long.record(7, 1, "*"), bench.long.record(9, 1, ".")];
    assert_eq!(bench.scores(&unscorable, "").texts("masked"), ["", "", ""]);
    for name in ["none.vcf", "none.vcf.gz", "none.bcf", "none.parquet"] {
        let variants = bench.workdir.write("in.vcf", bench.vcf(&[]));
        let flag = if name.ends_with("parquet") { "--parquet" } else { "-o" };
        bench.workdir.score(variants, bench.reference()).arg(flag).arg(bench.workdir.path(name)).succeeds();
        assert!(bench.workdir.path(name).exists());
    }
    assert!(Scores::read_parquet(&bench.workdir.path("none.parquet")).rows().is_empty());
    let empty = bench.workdir.write("empty.vcf", "");
    bench.workdir.score(empty, bench.reference()).args("--tsv -").fails(ERROR, &["empty.vcf"]);
}

#[test]
fn files_that_are_cut_off() {
    let bench = Bench::new(Family::CaduceusPh);
    let whole = fs::read(data(CHR20_VARIANTS)).expect("a shipped file");
    let before = bench.workdir.names().len();
    for length in [whole.len() / 2, whole.len() - 28, whole.len() - 40] {
        let cut = bench.workdir.write("cut.vcf.gz", &whole[..length]);
        let command = bench.workdir.score(cut, data(CHR20)).args("--sliced-reference --ref-mismatch skip");
        let finished = command.arg("-o").arg(bench.workdir.path("out.vcf")).run();
        // Without the last block, which is empty, all records are there; htslib takes such a file with a warning.
        assert_eq!(finished.code, Some(ERROR), "{length}: {finished}");
        assert!(finished.stderr.contains("cut.vcf.gz"), "{finished}");
        assert!(!bench.workdir.path("out.vcf").exists());
    }
    assert_eq!(bench.workdir.names().len(), before + 1, "{:?}", bench.workdir.names());
}

#[test]
fn contexts_that_are_no_windows() {
    let bench = Bench::new(Family::Mamba);
    let variants = bench.workdir.write("in.vcf", bench.vcf(&[bench.long.snv(5)]));
    for context in ["1023", "400G", "18446744073709551614"] {
        for anchor in ["window", "block"] {
            let command = bench.workdir.score(&variants, bench.reference()).args("--tsv - --context").arg(context);
            command.arg("--anchor").arg(anchor).fails(USAGE, &["--context: expected"]);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn contexts_that_do_not_fit_into_memory() {
    let bench = Bench::new(Family::CaduceusPh);
    let variants = bench.workdir.write("in.vcf", bench.vcf(&[bench.long.snv(5)]));
    let says = ["--context 4294967294", "GiB of memory", "are available", "at most"];
    for score in ["masked", "wildtype", "embedding"] {
        let command = bench.workdir.score(&variants, bench.reference()).args("--tsv - --context 4294967294 --score");
        command.arg(score).fails(USAGE, &says);
    }
    let region = bench.workdir.command("mutagenesis", bench.reference()).args("--region long:5-9 --context 4294967294");
    region.arg("-o").arg(bench.workdir.path("out.parquet")).fails(USAGE, &says);
    let track = bench.workdir.command("track", bench.reference());
    track.args("--surprisal - --context 4294967294").fails(USAGE, &says);
    // A causal model's windows are no longer than the genome, and its state does not grow.
    let causal = Bench::new(Family::Mamba);
    let long = causal.scores(&[causal.long.snv(500)], "--context 4294967294").values("likelihood");
    assert_eq!(long, causal.scores(&[causal.long.snv(500)], "--context 80000").values("likelihood"));
}

#[test]
fn what_is_never_scored_may_lie_anywhere() {
    let bench = Bench::new(Family::CaduceusPh);
    let records: Vec<String> = ["G]long:900]", "*", "<*>", "<NON_REF>", ".", "<INS>", "<CNV>"]
        .iter()
        .flat_map(|alternates| [record("elsewhere", 7, "A", alternates), record("short", 900, "A", alternates)])
        .collect();
    let scores = bench.scores(&records, "--score masked");
    let reasons = scores.texts("reason");
    assert_eq!(reasons[..4], ["breakend", "breakend", "overlapping_deletion", "overlapping_deletion"]);
    assert!(!reasons.contains(&"not_in_reference") && !reasons.contains(&""), "{reasons:?}");
    // Beside one that would be scored, the contig is looked for.
    bench.refused(&[record("elsewhere", 7, "A", "*,C")], "", &["unknown contig \"elsewhere\""]);
}

#[test]
fn ends_that_records_tell() {
    let bench = Bench::new(Family::CaduceusPh);
    let at =
        |alternates: &str, info: &str| format!("long\t500\t.\t{}\t{alternates}\t.\t.\t{info}", bench.long.at(500..501));
    let records = [
        at("<DEL>", "END=520;SVLEN=-20"),
        at("<DEL>", "END=520;SVLEN=-19"),
        at("<DUP>", "END=519;SVLEN=20"),
        at("<DEL>,<INV>", "END=530;SVLEN=-20,30"),
        at("<DEL>,<INV>", "END=525;SVLEN=-20,30"),
        at("<INS>", "END=500"),
        at("<DEL>", "."),
        bench.long.record(500, 4, "A"),
        at("<NON_REF>", "END=700"),
        at("<CNV>", "SVLEN=500"),
    ];
    let scores = bench.scores(&records, "--score embedding");
    let (told, disagrees, none) = ("", "end_and_svlen_disagree", "no_end");
    let others = ["symbolic_allele", none, "", "unspecified_allele", "symbolic_allele"];
    let expected = [told, disagrees, disagrees, told, told, told, disagrees];
    assert_eq!(scores.texts("reason"), [&expected[..], &others].concat());
    let ends = ["520", "", "", "520", "530", "520", "", "500", "", "503", "700", "1000"];
    assert_eq!(scores.texts("end"), ends);
    // An end that the reference does not have.
    let beyond = at("<DEL>", "END=40001");
    bench.refused(
        std::slice::from_ref(&beyond),
        "",
        &["line 6", "long:500", "an END of at most 40000", "found 40001", "--ref-mismatch skip"],
    );
    for policy in ["skip", "ignore"] {
        let options = format!("--score embedding --ref-mismatch {policy}");
        assert_eq!(bench.reasons(std::slice::from_ref(&beyond), &options), ["not_in_reference"]);
    }
}

#[test]
fn positions_and_lengths_of_63_bits() {
    let bench = Bench::new(Family::CaduceusPh);
    let last = i64::MAX as usize;
    let deletion = |length: u64| format!("long\t5\t.\t{}\t<DEL>\t.\t.\tSVLEN={length}", bench.long.at(5..6));
    let records = [
        record("long", last, "A", "C"),
        record("long", last - 1, "AC", "A"),
        deletion(i64::MAX as u64),
        deletion(i64::MAX as u64 - 5),
        deletion(u64::MAX),
    ];
    let variants = bench.workdir.write("in.vcf", bench.vcf(&records));
    let output = bench.workdir.path("out.parquet");
    let command = bench.workdir.score(variants, bench.reference()).args("--score embedding --ref-mismatch skip");
    command.arg("--parquet").arg(&output).succeeds();
    let scores = Scores::read_parquet(&output);
    let (nowhere, none) = ("not_in_reference", "no_end");
    assert_eq!(scores.texts("reason"), [nowhere, nowhere, none, nowhere, none]);
    let last = last.to_string();
    assert_eq!(scores.texts("end"), [&*last, &*last, "", &*last, ""]);
    bench.refused(
        &[record("long", i64::MAX as usize, "AC", "A")],
        "--ref-mismatch skip",
        &["line 6: long:9223372036854775807: expected a REF that ends at position 9223372036854775807 at most, found 2 bases"],
    );
}

#[test]
fn many_alternates_of_one_record() {
    let bench = Bench::new(Family::CaduceusPh);
    let base = bench.long.at(500..501);
    let other = bench.long.snv(500).split('\t').nth(4).expect("ALT").to_owned();
    let (deletions, lengths) = (vec!["<DEL>"; 100_000].join(","), vec!["-100000"; 100_000].join(","));
    let line = format!("long\t500\t.\t{base}\t{other},{deletions}\t.\t.\tSVLEN=0,{lengths}");
    let started = std::time::Instant::now();
    let reasons = bench.reasons(&[line], "--score masked --ref-mismatch skip");
    assert_eq!((reasons.len(), &*reasons[0], &*reasons[100_000]), (100_001, "", "not_in_reference"));
    // Looking each of them up anew takes minutes.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn groups_that_end_by_their_bytes_change_no_score() {
    let bench = Bench::new(Family::Mamba);
    // Each record is several MiB: a group has a few of them.
    let information = format!("NOTE={}", "x".repeat(6 << 20));
    let records: Vec<String> = (0..14).map(|i| bench.long.snv(1_000 + 700 * (i % 5))).collect();
    let long: Vec<String> =
        records.iter().map(|line| line.replace("\t.\t.\t.", &format!("\t.\t.\t{information}"))).collect();
    for options in ["--score likelihood,embedding --context 64", "--anchor contig --tail 40"] {
        assert_eq!(bench.scores(&long, options), bench.scores(&records, options), "{options}");
    }
}

#[test]
fn lines_that_are_no_records() {
    let bench = Bench::new(Family::CaduceusPh);
    for (line, says) in [
        ("long\t5", "line 6"),
        ("long\tfive\t.\tA\tC\t.\t.\t.", "line 6"),
        ("long\t-5\t.\tA\tC\t.\t.\t.", "line 6"),
        ("long\t99999999999999999999\t.\tA\tC\t.\t.\t.", "line 6"),
    ] {
        bench.refused(&[line.to_owned()], "", &["in.vcf", says]);
    }
}
