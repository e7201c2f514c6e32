//! What the other commands print, and what `embed` says beside its table.

use longstrand_tests::{READS, YEAST, command::Longstrand, data, synthetic::Family, workdir::Workdir};
use serde_json::Value;

fn longstrand() -> Longstrand {
    Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test"))
}

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

fn inspected(command: Longstrand) -> Value {
    serde_json::from_str(&command.args("--json").succeeds().stdout).expect("JSON")
}

#[test]
fn inspect_tells_what_a_checkpoint_is() {
    let builtin = inspected(longstrand().args("inspect"));
    assert_eq!(builtin["name"], "longstrand-ph-d256-l4-grch37");
    assert_eq!(builtin["parameters"], 1_934_592);
    assert_eq!(builtin["trained_context"], 1024);
    for (family, name) in [
        (Family::Mamba, "Mamba"),
        (Family::Mamba2, "Mamba-2"),
        (Family::CaduceusPh, "Caduceus-Ph"),
        (Family::CaduceusPs, "Caduceus-PS"),
    ] {
        let facts = inspected(longstrand().args("inspect").arg(workdir(family).path("model")));
        assert_eq!((&facts["family"], &facts["d_model"], &facts["n_layer"]), (&name.into(), &32.into(), &2.into()));
    }
    let table = longstrand().args("inspect").succeeds().stdout;
    assert!(table.contains("parameters       1,934,592\n"), "{table}");
}

#[test]
fn a_digest_follows_the_weights() {
    let digest =
        |workdir: &Workdir| inspected(longstrand().args("inspect").arg(workdir.path("model")))["digest"].clone();
    let (one, other) = (workdir(Family::Mamba), workdir(Family::Mamba2));
    assert_eq!(digest(&one), digest(&workdir(Family::Mamba)));
    assert_ne!(digest(&one), digest(&other));
}

#[test]
fn a_dry_run_tells_the_plan_and_writes_nothing() {
    let workdir = workdir(Family::CaduceusPs);
    let before = workdir.names();
    let plan = workdir.embed(data(YEAST), "out.parquet").args("--region I --window 1000 --dry-run").succeeds().stdout;
    for line in ["windows   231\n", "bases     230218\n", "model     model (Caduceus-PS)\n", "vector    64 numbers\n"] {
        assert!(plan.contains(line), "{plan}");
    }
    assert_eq!(workdir.names(), before);
}

#[test]
fn a_run_says_what_it_wrote_unless_it_is_to_be_quiet() {
    let workdir = workdir(Family::CaduceusPh);
    let embed = |output: &str| {
        longstrand()
            .arg("embed")
            .arg(data(READS))
            .arg("-o")
            .arg(workdir.path(output))
            .model(workdir.path("model"))
            .args("--min-mapq 60")
    };
    let said = embed("said.parquet").succeeds();
    assert_eq!(said.stdout, "");
    assert_eq!(said.stderr.lines().count(), 1, "{said}");
    for words in [" rows of ", " windows", "low mapping quality", "kb/s", "said.parquet"] {
        assert!(said.stderr.contains(words), "{words}: {said}");
    }
    let quiet = embed("quiet.parquet").args("-q").succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let again = embed("said.parquet").args("--resume").succeeds();
    assert!(again.stderr.contains("is complete already"), "{again}");
}

#[test]
fn a_window_beyond_the_trained_context_warns_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = folder.path().join("out.parquet");
    let warned = longstrand().embed(data(YEAST), output).args("--region I:1-4000 --window 2000").succeeds();
    let warnings: Vec<&str> = warned.stderr.lines().filter(|line| line.contains("warning")).collect();
    assert_eq!(warnings.len(), 1, "{warned}");
    assert!(warnings[0].contains("windows of up to 2000 bases; the model was trained at 1024"), "{warned}");
    let output = folder.path().join("region.parquet");
    let region = longstrand().args("embed --region I:1-4000").arg(data(YEAST)).arg("-o").arg(output).succeeds();
    assert!(region.stderr.contains("a region is one window unless --window tiles it"), "{region}");
    assert!(region.stderr.contains("1 row of 1 window, "), "{region}");
}

#[test]
fn every_level_of_vector_instructions_runs() {
    let workdir = workdir(Family::CaduceusPh);
    let doctor = inspected(longstrand().args("doctor"));
    let levels = doctor["simd"]["available"].as_array().expect("levels").clone();
    assert!(!levels.is_empty());
    for level in levels {
        let level = level.as_str().expect("a name");
        let output = format!("{level}.parquet");
        let embed = workdir.embed(data(YEAST), &output).args("--region I:1-3000 --window 1000");
        embed.variable("LONGSTRAND_SIMD", level).succeeds();
        assert!(workdir.path(&output).exists());
    }
}
