//! Commands on a GPU beside the same on the CPU, on real sequence. Skipped where there is no GPU, unless
//! `LONGSTRAND_REQUIRE_CUDA=1` requires one.

use std::fs;

use longstrand_kernels::cuda::{Device, require_cublaslt};
use longstrand_tests::{
    CHR20, CHR20_VARIANTS, READS, YEAST,
    command::Longstrand,
    data,
    labelled::write_classes,
    synthetic::Family,
    table::{metadata, rows},
    variants::Scores,
    workdir::Workdir,
};
use serde_json::Value;

const FAMILIES: [Family; 4] = [Family::Mamba, Family::Mamba2, Family::CaduceusPh, Family::CaduceusPs];

/// How far f32 on a GPU may be from f32 on the CPU, of the largest magnitude.
const TOLERANCE: f64 = 1e-4;

/// Whether there is a GPU to test on.
fn has_gpu() -> bool {
    let opened = Device::open(0).and_then(|device| device.nvrtc().map(|_| ())).and_then(|()| require_cublaslt());
    let is_required = std::env::var_os("LONGSTRAND_REQUIRE_CUDA").is_some_and(|value| value == "1");
    match opened {
        Ok(()) => true,
        Err(error) => {
            assert!(!is_required, "LONGSTRAND_REQUIRE_CUDA=1, but {error}");
            #[allow(clippy::print_stderr, reason = "a test says that it is skipped")]
            {
                eprintln!("skipped: {error}");
            }
            false
        }
    }
}

fn workdir(family: Family) -> Workdir {
    Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family)
}

/// Asserts that numbers agree, of which both lists may lack the same.
fn assert_close(found: &[Option<f64>], expected: &[Option<f64>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        match (found, expected) {
            (Some(found), Some(expected)) => {
                let is_close = (found - expected).abs() <= TOLERANCE * largest;
                assert!(is_close, "{what}, {i}: {found} on the GPU, {expected} on the CPU, the largest {largest}");
            }
            _ => assert_eq!(found, expected, "{what}, {i}"),
        }
    }
}

/// Embeds on both, and compares.
fn compare_embeddings(family: Family, input: &str, options: &str) {
    let workdir = workdir(family);
    let embed = |name: &str| workdir.embed(data(input), name).args(options);
    embed("cpu.parquet").succeeds();
    embed("gpu.parquet").on_gpu().succeeds();
    let [cpu, gpu] = ["cpu.parquet", "gpu.parquet"].map(|name| rows(&workdir.path(name)));
    let places = |rows: &[longstrand_tests::table::Row]| -> Vec<(String, i64, i64)> {
        rows.iter().map(|row| (row.name.clone(), row.start, row.end)).collect()
    };
    assert_eq!(places(&gpu), places(&cpu));
    let numbers = |rows: &[longstrand_tests::table::Row]| -> Vec<Option<f64>> {
        rows.iter().flat_map(|row| row.embedding.iter().map(|&x| Some(f64::from(x)))).collect()
    };
    assert_close(&numbers(&gpu), &numbers(&cpu), &format!("{family:?} {input} {options}"));
}

#[test]
fn windows_have_the_cpu_s_embeddings() {
    if !has_gpu() {
        return;
    }
    for family in FAMILIES {
        compare_embeddings(family, YEAST, "--region I:1-100000 --window 512 --layer 1,last");
        compare_embeddings(family, YEAST, "--region I:1-40000 --window 1000 --pool bins:100");
        // One long window, alone.
        compare_embeddings(family, YEAST, "--region II:1-200000 --pool bins:1000");
    }
    compare_embeddings(Family::CaduceusPh, YEAST, "--region I:1-100000 --window 300 --strand average");
    compare_embeddings(Family::CaduceusPs, YEAST, "--region I:1-100000 --window 300 --equivariant split");
}

#[test]
fn reads_of_many_lengths_have_the_cpu_s_embeddings() {
    if !has_gpu() {
        return;
    }
    compare_embeddings(Family::Mamba, READS, "");
}

#[test]
fn variants_have_the_cpu_s_scores() {
    if !has_gpu() {
        return;
    }
    for (family, options) in [
        (Family::CaduceusPh, "--score masked,wildtype,embedding --context 512"),
        (Family::CaduceusPs, "--score masked,embedding --context 512"),
        (Family::Mamba, "--score likelihood,embedding --context 512"),
        (Family::Mamba, "--score likelihood --anchor block --context 4096 --tail 200"),
    ] {
        let workdir = workdir(family);
        let score = |name: &str| {
            let score = workdir.score(data(CHR20_VARIANTS), data(CHR20)).args("--sliced-reference");
            score.args(options).arg("--parquet").arg(workdir.path(name))
        };
        score("cpu.parquet").succeeds();
        score("gpu.parquet").on_gpu().succeeds();
        let [cpu, gpu] = ["cpu.parquet", "gpu.parquet"].map(|name| Scores::read_parquet(&workdir.path(name)));
        for column in ["masked", "wildtype", "likelihood", "embedding_l2"] {
            if options.contains(column.split('_').next().expect("a word")) {
                assert_close(&gpu.numbers(column), &cpu.numbers(column), &format!("{family:?} {column}"));
            }
        }
    }
}

#[test]
fn a_model_is_as_good_as_on_the_cpu() {
    if !has_gpu() {
        return;
    }
    for family in FAMILIES {
        let workdir = workdir(family);
        let losses = |on: fn(Longstrand) -> Longstrand| -> Vec<Option<f64>> {
            let json = workdir.path("measures.json");
            let evaluate =
                workdir.command("evaluate", data(YEAST)).args("--region I --length 512,20000 --force --json");
            on(evaluate.arg(&json)).succeeds();
            let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
            let measures = report["measures"].as_array().expect("measures");
            measures.iter().map(|measure| measure["classes"]["all"]["loss"].as_f64()).collect()
        };
        let (cpu, gpu) = (losses(|command| command), losses(Longstrand::on_gpu));
        assert!(cpu.iter().all(Option::is_some) && cpu.len() == 2);
        assert_close(&gpu, &cpu, &format!("{family:?}"));
    }
}

/// A folder with a table to learn from and one to test.
struct Labelled(Workdir);

impl Labelled {
    fn new(family: Family) -> Self {
        let workdir = workdir(family);
        write_classes(&workdir.path("train.tsv"), 0..120);
        write_classes(&workdir.path("test.tsv"), 200..260);
        Self(workdir)
    }

    fn finetune(&self, folder: &str) -> Longstrand {
        let command = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).args("finetune -q --test");
        command.arg(self.0.path("test.tsv")).arg("-o").arg(self.0.path(folder))
    }

    fn tune(&self, method: &str, folder: &str) -> Longstrand {
        let command = self.finetune(folder).arg("--train").arg(self.0.path("train.tsv"));
        command.model(self.0.path("model")).args(method)
    }

    /// Applies a tuned model.
    fn apply(&self, model: &str, folder: &str) -> Longstrand {
        self.finetune(folder).arg("--apply").arg(self.0.path(model))
    }

    fn metrics(&self, folder: &str) -> Value {
        let text = fs::read(self.0.path(folder).join("metrics.json")).expect("metrics");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The losses of all epochs, while they were learned and on the validation part.
    fn losses(&self, folder: &str) -> Vec<f64> {
        let metrics = self.metrics(folder);
        let of_epoch = |epoch: &Value| ["loss", "valid_loss"].map(|key| epoch[key].as_f64().expect("a loss"));
        metrics["epochs"].as_array().expect("epochs").iter().flat_map(of_epoch).collect()
    }

    fn accuracy(&self, folder: &str) -> f64 {
        let metrics = self.metrics(folder);
        let parts = metrics["parts"].as_array().expect("parts");
        let test = parts.iter().find(|part| part["part"] == "test").expect("a test part");
        test["measures"]["accuracy"].as_f64().expect("an accuracy")
    }

    /// Asserts that two runs had like losses.
    fn assert_alike(&self, cpu: &str, gpu: &str, tolerance: f64, what: &str) {
        let (expected, found) = (self.losses(cpu), self.losses(gpu));
        assert_eq!(found.len(), expected.len(), "{what}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let (epoch, part) = (i / 2 + 1, ["train", "valid"][i % 2]);
            let is_close = (found - expected).abs() <= tolerance * expected.abs().max(0.01);
            assert!(is_close, "{what}, epoch {epoch}, {part}: loss {found} on the GPU, {expected} on the CPU");
        }
    }
}

#[test]
fn a_head_is_fitted_as_on_the_cpu_and_applied_with_the_same_outcome() {
    if !has_gpu() {
        return;
    }
    for family in FAMILIES {
        let place = Labelled::new(family);
        place.tune("--head-only", "cpu").succeeds();
        place.tune("--head-only", "gpu").on_gpu().succeeds();
        place.assert_alike("cpu", "gpu", 0.01, &format!("{family:?}"));
        assert!(place.accuracy("gpu") >= 0.95, "{family:?}: {}", place.accuracy("gpu"));
        place.apply("cpu", "by-cpu").succeeds();
        place.apply("cpu", "by-gpu").on_gpu().succeeds();
        // One of 60 may lie between the classes.
        let (cpu, gpu) = (place.accuracy("by-cpu"), place.accuracy("by-gpu"));
        assert!((cpu - gpu).abs() < 0.02, "{family:?}: {gpu} applied on the GPU, {cpu} on the CPU");
        let footer = metadata(&place.0.path("gpu").join("predictions.parquet"));
        assert!(footer["longstrand.device"].starts_with("cuda sm_") && footer["longstrand.precision"] == "f32");
        assert!(!footer.contains_key("longstrand.simd"));
    }
}

#[test]
fn all_parameters_are_tuned_as_on_the_cpu() {
    if !has_gpu() {
        return;
    }
    for family in FAMILIES {
        let place = Labelled::new(family);
        let method = "--epochs 2 --batch 16 --lr 1e-3";
        place.tune(method, "cpu").succeeds();
        for gpu in ["gpu", "again"] {
            place.tune(method, gpu).on_gpu().succeeds();
        }
        place.assert_alike("cpu", "gpu", 0.05, &format!("{family:?}"));
        assert!(place.accuracy("gpu") >= 0.95, "{family:?}: {}", place.accuracy("gpu"));
        let model = |folder: &str| fs::read(place.0.path(folder).join("model.safetensors")).expect("a model");
        assert!(model("gpu") == model("again"), "{family:?}: two runs differ");
        place.tune(method, "bf16").on_gpu().args("--precision bf16").succeeds();
        assert!(place.accuracy("bf16") >= 0.9, "{family:?} in bf16: {}", place.accuracy("bf16"));
    }
}

#[test]
fn drawn_dna_is_that_of_the_cpu() {
    if !has_gpu() {
        return;
    }
    for family in [Family::Mamba, Family::Mamba2] {
        let workdir = workdir(family);
        let generate = |name: &str, options: &str| {
            let command = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).args("generate -q --force");
            command.model(workdir.path("model")).args(options).arg("-o").arg(workdir.path(name))
        };
        let read = |name: &str| fs::read_to_string(workdir.path(name)).expect("FASTA");
        generate("prompts.fa", "--length 300 --samples 3 --seed 9").succeeds();
        for options in
            ["--length 1500 --samples 20", "--length 200 --samples 3 --temperature 0 --keep-prompt --prompt @"]
        {
            let options = options.replace('@', &workdir.path("prompts.fa").display().to_string());
            generate("cpu.fa", &options).succeeds();
            generate("gpu.fa", &options).on_gpu().succeeds();
            let (cpu, gpu) = (read("cpu.fa"), read("gpu.fa"));
            for (i, (cpu, gpu)) in cpu.lines().zip(gpu.lines()).enumerate() {
                assert_eq!(gpu, cpu, "{family:?} {options}: line {}", i + 1);
            }
            assert_eq!(gpu.len(), cpu.len(), "{family:?} {options}");
        }
        generate("half.fa", "--length 2000 --samples 9 --precision bf16").on_gpu().succeeds();
        assert_eq!(read("half.fa").matches('>').count(), 9);
    }
}

#[test]
fn a_run_is_not_gone_on_with_elsewhere_or_otherwise() {
    if !has_gpu() {
        return;
    }
    let workdir = workdir(Family::Mamba);
    let embed = || workdir.embed(data(YEAST), "out.parquet").args("--region I:1-2000 --resume");
    embed().on_gpu().succeeds();
    let written = metadata(&workdir.path("out.parquet"));
    assert!(written["longstrand.device"].starts_with("cuda sm_"));
    assert_eq!(written["longstrand.precision"], "f32");
    assert!(!written.contains_key("longstrand.simd"));
    embed().on_gpu().succeeds();
    embed().fails(1, &["out.parquet", "longstrand."]);
    embed().on_gpu().args("--precision bf16").fails(1, &["longstrand.precision: expected bf16, found f32"]);
}
