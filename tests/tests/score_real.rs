//! `longstrand score` on real variants: BRCA1's measured substitutions, and the calls of a genome with its indels.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::read::MultiGzDecoder;
use longstrand_tests::{
    BRCA1, BRCA1_VARIANTS, CHR20, CHR20_VARIANTS, CHR21_VARIANTS,
    command::Longstrand,
    data,
    synthetic::{Family, ids},
    variants::{Scores, bcftools, body, has_bcftools},
    workdir::Workdir,
};

const ERROR: i32 = 1;
const SLICED: &str = "--sliced-reference";

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

fn gunzipped(path: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).expect("a file")).read_to_string(&mut text).expect("gzip of text");
    text
}

/// A script of `data/scripts` on these arguments: what it prints, and what it says.
fn script(name: &str, arguments: &[&Path]) -> (Vec<u8>, String) {
    let mut python = Command::new("python3");
    python.arg(data("scripts").join(name)).args(arguments);
    let output = python.stdin(Stdio::null()).output().expect("python3 starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {said}");
    (output.stdout, said)
}

#[test]
fn the_script_makes_the_shipped_variants_of_brca1() {
    let workdir = workdir(Family::Mamba);
    let table = workdir.write("table.tsv", gunzipped(&data("findlay2018_brca1_sge.tsv.gz")));
    let (vcf, _) = script("brca1_vcf.py", &[&table]);
    assert!(vcf == gunzipped(&data(BRCA1_VARIANTS)).into_bytes());
}

#[test]
fn every_substitution_of_brca1_is_scored() {
    let workdir = workdir(Family::CaduceusPh);
    let output = workdir.path("scored.vcf.gz");
    let command = workdir.score(data(BRCA1_VARIANTS), data(BRCA1)).args(SLICED).args("--tsv -");
    let command = command.args("--score masked,wildtype --context 128").arg("-o").arg(&output);
    let scores = Scores::parse(&command.succeeds().stdout);
    assert_eq!(scores.rows().len(), 3_893);
    assert!(scores.texts("reason").iter().all(|reason| reason.is_empty()));
    assert!(scores.values("masked").iter().chain(&scores.values("wildtype")).all(|score| score.is_finite()));
    assert!(scores.texts("variant_type").iter().all(|kind| *kind == "snv"));
    let (before, after) = (gunzipped(&data(BRCA1_VARIANTS)), gunzipped(&output));
    assert_eq!(body(&after).len(), 3_893);
    for (after, before) in body(&after).into_iter().zip(body(&before)) {
        assert!(after.starts_with(before) && after[before.len()..].starts_with(";LS_MASKED="), "{after}");
    }
    if has_bcftools() {
        let found = bcftools("query -i INFO/CLASS=\"LOF\"&&LS_MASKED<100 -f %POS\\t%INFO/LS_MASKED\\n", &output);
        assert_eq!(found.lines().count(), 823);
        assert_eq!(bcftools("index -n", &output).trim(), "3893");
    }
}

#[test]
fn the_built_in_model_scores_brca1() {
    let workdir = workdir(Family::Mamba);
    let all = gunzipped(&data(BRCA1_VARIANTS));
    let header = all.lines().filter(|line| line.starts_with('#'));
    let few: String = header.chain(body(&all).into_iter().step_by(97)).map(|line| format!("{line}\n")).collect();
    let few = workdir.write("few.vcf", few);
    let longstrand = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
    let command = longstrand.arg("score").arg(few).arg("--reference").arg(data(BRCA1)).args(SLICED);
    let scores = Scores::parse(&command.args("--context 256 --tsv - -q").succeeds().stdout);
    let masked = scores.values("masked");
    assert_eq!(masked.len(), 41);
    // The model has learned something of human sequence: a base that differs is on the whole less likely.
    let mean = masked.iter().sum::<f64>() / 41.0;
    assert!(mean < -0.1, "{mean}: {masked:?}");
}

#[test]
fn every_call_of_chromosome_20_is_scored() {
    for (family, options, scored) in [
        (Family::CaduceusPs, "--score wildtype --context 256", 90),
        (Family::CaduceusPs, "--score embedding --context 128", 169),
        (Family::Mamba, "--score likelihood --context 128", 169),
        (Family::Mamba2, "--anchor block --context 1024 --tail 64", 169),
    ] {
        let workdir = workdir(family);
        let output = workdir.path("scored.bcf");
        let command = workdir.score(data(CHR20_VARIANTS), data(CHR20)).args(SLICED).args(options).args("--tsv -");
        let scores = Scores::parse(&command.arg("-o").arg(&output).succeeds().stdout);
        assert_eq!(scores.rows().len(), 169);
        let reasons = scores.texts("reason");
        assert_eq!(reasons.iter().filter(|reason| reason.is_empty()).count(), scored, "{family:?} {options}");
        assert!(reasons.iter().all(|reason| ["", "not_a_substitution"].contains(reason)));
        let calls = gunzipped(&data(CHR20_VARIANTS));
        let places: Vec<(&str, &str)> = body(&calls).iter().map(|line| place(line)).collect();
        assert_eq!(scores.texts("pos"), places.iter().map(|(position, _)| *position).collect::<Vec<_>>());
        if has_bcftools() {
            assert_eq!(bcftools("view -H", &output).lines().count(), 169);
            let before = bcftools("query -f %POS\\t%ALT\\t%QUAL[\\t%GT:%DP:%GQ:%PL]\\n", &data(CHR20_VARIANTS));
            assert_eq!(bcftools("query -f %POS\\t%ALT\\t%QUAL[\\t%GT:%DP:%GQ:%PL]\\n", &output), before);
        }
    }
}

/// POS and REF of a line.
fn place(line: &str) -> (&str, &str) {
    let fields: Vec<&str> = line.split('\t').collect();
    (fields[1], fields[3])
}

/// REF of the record at a position.
fn reference_at(vcf: &str, position: &str) -> String {
    let mut places = body(vcf).into_iter().map(place);
    places.find(|(at, _)| *at == position).expect("a record at the position").1.to_owned()
}

#[test]
fn twenty_altered_references() {
    let workdir = workdir(Family::CaduceusPh);
    let calls = data(CHR20_VARIANTS);
    let (altered, said) = script("alter_ref.py", &[&calls]);
    let positions: Vec<&str> = said.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(positions.len(), 20);
    let altered = workdir.write("altered.vcf", altered);
    let options = format!("{SLICED} --score wildtype --context 256");
    // An error names the first of them.
    let (position, text) = (positions[0], workdir.text("altered.vcf"));
    let expected = format!("20:{position}: expected REF {}", reference_at(&gunzipped(&calls), position));
    let found = format!("found {}", reference_at(&text, position));
    let says = ["altered.vcf", &expected, &found, "--ref-mismatch skip"];
    let output = workdir.path("out.vcf");
    workdir.score(&altered, data(CHR20)).args(&options).arg("-o").arg(&output).fails(ERROR, &says);
    assert!(!output.exists());

    let true_scores = workdir.scores(&calls, data(CHR20), &options);
    let skipped = workdir.scores(&altered, data(CHR20), &format!("{options} --ref-mismatch skip"));
    let ignored = workdir.scores(&altered, data(CHR20), &format!("{options} --ref-mismatch ignore"));
    assert_eq!((skipped.rows().len(), ignored.rows().len()), (169, 169));
    for i in 0..169 {
        let is_altered = positions.contains(&skipped.texts("pos")[i]);
        assert_eq!(skipped.texts("reason")[i] == "reference_mismatch", is_altered);
        assert_ne!(ignored.texts("reason")[i], "reference_mismatch");
        assert!(is_altered || skipped.rows()[i] == true_scores.rows()[i]);
        assert!(is_altered || ignored.rows()[i] == true_scores.rows()[i]);
    }
}

/// A genome of pieces of chromosome 21 around some positions. The bases are not the chromosome's: those that records name
/// are taken from the records.
fn pieces(workdir: &Workdir, positions: &[u64]) -> PathBuf {
    let bases: String = ids(400, 21).iter().map(|&id| char::from(b"ACGT"[usize::from(id) - 7])).collect();
    let piece = |at: &u64| format!(">chr21:{}-{}\n{bases}\n", at - 199, at + 200);
    workdir.write("pieces.fa", positions.iter().map(piece).collect::<String>())
}

#[test]
fn deletions_without_an_end_have_a_reason_and_no_score() {
    let workdir = workdir(Family::CaduceusPh);
    let calls = gunzipped(&data(CHR21_VARIANTS));
    let records: Vec<&str> = calls.lines().filter(|line| line.contains("\tN\t<DEL>\t")).collect();
    assert_eq!(records.len(), 14);
    let positions: Vec<u64> = records.iter().map(|line| place(line).0.parse().expect("POS")).collect();
    let header: String = calls.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let variants = workdir.write("deletions.vcf", header + &records.join("\n") + "\n");
    let genome = pieces(&workdir, &positions);
    for policy in ["error", "skip", "ignore"] {
        for score in ["masked", "embedding"] {
            let options = format!("{SLICED} --score {score} --ref-mismatch {policy}");
            let scores = workdir.scores(&variants, &genome, &options);
            assert_eq!(scores.texts("reason"), ["no_end"; 14], "{options}");
            assert_eq!(scores.texts("variant_type"), ["symbolic_deletion"; 14]);
        }
    }
}

#[test]
fn every_call_of_chromosome_21_comes_out() {
    let workdir = workdir(Family::CaduceusPh);
    let calls = gunzipped(&data(CHR21_VARIANTS));
    let genome = pieces(&workdir, &[9_500_000]);
    let output = workdir.path("out.vcf.gz");
    let command = workdir.score(data(CHR21_VARIANTS), genome).args(SLICED).args("--ref-mismatch skip");
    command.arg("-o").arg(&output).succeeds();
    let found = gunzipped(&output);
    assert_eq!(body(&found).len(), 5_014);
    for (found, line) in body(&found).into_iter().zip(body(&calls)) {
        let (found, line): (Vec<&str>, Vec<&str>) = (found.split('\t').collect(), line.split('\t').collect());
        assert_eq!((&found[..7], &found[8..]), (&line[..7], &line[8..]));
        assert!(found[7].starts_with(line[7]) && found[7].contains("LS_REASON=not_in_reference"), "{found:?}");
    }
    if has_bcftools() {
        assert_eq!(bcftools("index -n", &output).trim(), "5014");
        let reasons = bcftools("query -f %INFO/LS_REASON\\n", &output);
        assert_eq!(reasons.lines().count(), 5_014);
    }
}
