//! `longstrand evaluate` and `longstrand generate` from end to end.

use std::fs;
use std::io;
use std::path::Path;

use flate2::read::GzDecoder;
use longstrand_tests::fixture::Expected;
use longstrand_tests::{YEAST, command::Longstrand, data, synthetic::Family, workdir::Workdir};
use serde_json::Value;

const ERROR: i32 = 1;
const USAGE: i32 = 2;

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

fn evaluate(workdir: &Workdir) -> Longstrand {
    Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).args("evaluate -q").model(workdir.path("model"))
}

/// What reference logits say of the targets that `counts`: their number, mean loss and accuracy.
fn truth(expected: &Expected, counts: impl Fn(u8) -> bool) -> (f64, f64, f64) {
    let (logits, _) = expected.require("logits");
    let (ids, labels) = (expected.ids("input_ids").concat(), expected.ids("labels").concat());
    let (mut n, mut loss, mut correct) = (0.0, 0.0, 0.0);
    for ((row, &id), &label) in logits.chunks_exact(16).zip(&ids).zip(&labels) {
        if label != 4 && counts(id) {
            let target = row[usize::from(label)];
            n += 1.0;
            loss += row.iter().map(|x| x.exp()).sum::<f64>().ln() - target;
            correct += f64::from(u8::from(row.iter().all(|&x| x <= target)));
        }
    }
    (n, loss / n, correct / n)
}

#[test]
fn a_model_measures_what_the_reference_code_s_logits_do() {
    const MASK: u8 = 3;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reference-trained");
    let expected = Expected::read(&folder);
    let output = tempfile::tempdir().expect("a folder");
    let json = output.path().join("measures.json");
    Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"))
        .args("evaluate -q --tokens")
        .arg(folder.join("expected.safetensors"))
        .arg("--model")
        .arg(folder.join("model"))
        .arg("--json")
        .arg(&json)
        .succeeds();
    let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
    let classes = &report["measures"][0]["classes"];
    let kinds: [(&str, &dyn Fn(u8) -> bool); 3] =
        [("all", &|_| true), ("masked", &|id| id == MASK), ("visible", &|id| id != MASK)];
    for (class, counts) in kinds {
        let (targets, loss, accuracy) = truth(&expected, counts);
        let found = |key: &str| classes[class][key].as_f64().expect("a number");
        assert_eq!(found("targets"), targets, "{class}");
        assert!((found("loss") - loss).abs() < 1e-5, "{class}: {} instead of {loss}", found("loss"));
        assert_eq!(found("accuracy"), accuracy, "{class}");
    }
}

/// The first 512 of the 4,096 windows that the built-in model is measured on, and what it has to say of them. Its card has the
/// losses on all.
#[test]
fn the_built_in_model_has_the_loss_of_its_validation() {
    let packed = fs::File::open(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reference-trained/validation-512.safetensors.gz"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let (tokens, json) = (folder.path().join("validation.safetensors"), folder.path().join("measures.json"));
    let mut unpacked = fs::File::create(&tokens).expect("a file");
    io::copy(&mut GzDecoder::new(packed.expect("the fixture")), &mut unpacked).expect("gzip");
    let command = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).args("evaluate -q --tokens");
    command.arg(tokens).arg("--json").arg(&json).succeeds();
    let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
    let classes = &report["measures"][0]["classes"];
    for (class, targets, loss) in [("all", 78_479, 1.09971), ("masked", 63_582, 1.17753), ("visible", 14_897, 0.76756)]
    {
        assert_eq!(classes[class]["targets"], targets, "{class}");
        let found = classes[class]["loss"].as_f64().expect("a number");
        assert!((found - loss).abs() < 1e-4, "{class}: {found} instead of {loss}");
    }
}

#[test]
fn a_table_is_printed_and_written() {
    let workdir = workdir(Family::CaduceusPh);
    let command = || evaluate(&workdir).arg(data(YEAST)).args("--region I:1-5,000 --length 200,500 --select 0.15,0.4");
    let (json, parquet) = (workdir.path("m.json"), workdir.path("m.parquet"));
    let printed = command().arg("--json").arg(&json).arg("--parquet").arg(&parquet).succeeds().stdout;
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["length", "selected", "windows", "targets_of", "targets", "loss", "perplexity", "accuracy"]);
    assert_eq!(rows.len(), 1 + 4 * 7);
    assert_eq!(&rows[1][..4], ["200", "0.15", "25", "all"]);
    assert_eq!(&rows[22][..4], ["500", "0.4", "10", "all"]);
    let report: Value = serde_json::from_slice(&fs::read(&json).expect("a report")).expect("JSON");
    let loss = report["measures"][0]["classes"]["all"]["loss"].as_f64().expect("a loss");
    assert_eq!(format!("{loss:.5}"), rows[1][5]);
    assert!(fs::read(&parquet).expect("a table").starts_with(b"PAR1"));
    // What is there is not replaced unless that is said, and nothing is computed before.
    command().arg("--json").arg(&json).fails(USAGE, &["m.json exists", "--force"]);
    command().arg("--json").arg(&json).args("--force").succeeds();
    let threads = |n: &str| command().args("--threads").args(n).succeeds().stdout;
    assert_eq!(threads("1"), threads("3"));
}

#[test]
fn what_cannot_be_measured_is_told_in_a_line() {
    let workdir = workdir(Family::Mamba);
    evaluate(&workdir).arg(data(YEAST)).args("--region I:1-50").fails(ERROR, &["a window of 1024 bases, found none"]);
    evaluate(&workdir).arg(data(YEAST)).args("--region Z").fails(ERROR, &["Z"]);
    evaluate(&workdir).arg(workdir.path("none.fa")).fails(ERROR, &["none.fa"]);
    evaluate(&workdir).arg("--tokens").arg(data(YEAST)).fails(ERROR, &["expected a safetensors file"]);
    assert_eq!(evaluate(&workdir).run().code, Some(USAGE));
}

#[test]
fn drawn_dna_is_fasta_that_the_other_commands_read() {
    let workdir = workdir(Family::Mamba);
    let generate =
        || Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).args("generate -q").model(workdir.path("model"));
    let printed = generate().args("--length 500 --samples 3 --seed 5").succeeds().stdout;
    let (plain, compressed) = (workdir.path("drawn.fa"), workdir.path("drawn.fa.gz"));
    for path in [&plain, &compressed] {
        generate().args("--length 500 --samples 3 --seed 5 --threads 2 -o").arg(path).succeeds();
    }
    assert_eq!(fs::read_to_string(&plain).expect("FASTA"), printed);
    generate().args("-o").arg(&plain).fails(ERROR, &["drawn.fa", "exists"]);
    for path in [&plain, &compressed] {
        let measured = evaluate(&workdir).arg(path).args("--length 100").succeeds().stdout;
        assert!(measured.lines().any(|line| line.contains(" 15 all ")), "{measured}");
    }
    generate().arg("--prompt").arg(&plain).args("--length 5 --keep-prompt").succeeds();
    let onto_itself = generate().arg("--prompt").arg(&plain).args("--length 5 --force -o").arg(&plain);
    onto_itself.fails(USAGE, &["drawn.fa", "expected another file than that of the prompts"]);
    for (wrong, says) in [("--temperature -1", "a temperature of 0 or more"), ("--top-k 5", "1 to 4 bases")] {
        generate().args(wrong).fails(USAGE, &[says]);
    }
    let bidirectional = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"));
    bidirectional.args("generate").fails(USAGE, &["needs a causal model"]);
}

#[test]
fn markov_models_are_asked_for_the_same_targets() {
    let workdir = workdir(Family::CaduceusPh);
    let ask = |more: &str| {
        let command = evaluate(&workdir).arg(data(YEAST)).args("--region I:1,001-9,000 --length 400");
        command.arg("--markov-train").arg(data(YEAST)).args(more)
    };
    let json = workdir.path("m.json");
    let printed = ask("--markov 0,3,2+2 --markov-region II --curve").arg("--json").arg(&json).succeeds().stdout;
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][8..], ["loss_markov_0", "loss_markov_3", "loss_markov_2+2"]);
    let losses: Vec<f64> = rows[1][8..].iter().map(|loss| loss.parse().expect("a loss")).collect();
    // Yeast is rich in A and T, and its neighbours say a little more.
    assert!(
        losses[0] > 1.3 && losses[0] < 4.0_f64.ln() && losses[1] < losses[0] && losses[2] < losses[0],
        "{losses:?}"
    );
    let report: Value = serde_json::from_slice(&fs::read(&json).expect("a report")).expect("JSON");
    let measure = &report["measures"][0];
    for class in ["all", "masked", "visible", "A", "C", "G", "T"] {
        let targets = |value: &Value| value[class]["targets"].as_u64().expect("a count");
        assert_eq!(targets(&measure["markov"]["2+2"]), targets(&measure["classes"]), "{class}");
    }
    assert!(rows.iter().any(|row| row[3] == "positions_256-512" && row.len() == 11));

    let refused = |command: Longstrand, says: &str| {
        let finished = command.run();
        assert!(finished.code == Some(USAGE) && finished.stderr.contains(says), "{finished}");
    };
    refused(ask("--markov 13"), "from 0 to 12 on the left (5), or from 0 to 6 on both sides (6+6), found 13");
    refused(evaluate(&workdir).arg(data(YEAST)).args("--markov 2"), "--markov-train");
    ask("--markov 2 --markov-region Z:1-5").fails(ERROR, &["Z"]);
    let causal = Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), Family::Mamba);
    let both =
        evaluate(&causal).arg(data(YEAST)).args("--region I:1-2,000 --markov 1+1 --markov-train").arg(data(YEAST));
    both.fails(USAGE, &["sees bases to the left alone", "found 1+1"]);
}
