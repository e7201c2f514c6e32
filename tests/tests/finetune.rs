//! `longstrand finetune`: a task that must be learned, the same bits however it is run, and tables that are wrong.

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use longstrand_kernels::{Cpu, simd::Level};
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::config::{ClassifierPooling, Head};
use longstrand_model::{Chunking, Model};
use longstrand_seq::labelled::{Labels, read_labelled};
use longstrand_tests::{
    command::Longstrand,
    fixture,
    labelled::{bases, write_classes},
    synthetic::Family,
    workdir::Workdir,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// A table whose labels are the fraction of A and T, in another unit.
fn write_values(path: &Path, rows: std::ops::Range<u64>) {
    let mut text = String::from("label\tsequence\n");
    for row in rows {
        let of = [b"CCCGGGAT", b"CCGGATAT", b"AATTACGT", b"AAATTTCG"][row as usize % 4].as_slice();
        let sequence = bases(row, 60, of);
        let at = sequence.bytes().filter(|base| b"AT".contains(base)).count() as f64 / 60.0;
        text += &format!("{}\t{sequence}\n", 1000.0 + 50.0 * at);
    }
    fs::write(path, text).expect("a table is written");
}

struct Place {
    workdir: Workdir,
}

impl Place {
    fn new(family: Family) -> Self {
        Self { workdir: Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), family) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workdir.path(name)
    }

    /// `finetune` of this folder's model, in this folder.
    fn finetune(&self, options: &str) -> Longstrand {
        let is_file = |word: &str| word.contains('.') && !word.starts_with(|c: char| c.is_ascii_digit());
        let in_folder = |word: &str| if is_file(word) { self.path(word).into_os_string() } else { word.into() };
        let begin = Longstrand::at(env!("CARGO_BIN_EXE_longstrand-under-test")).arg("finetune").arg("-q");
        options.split_whitespace().fold(begin, |command, word| command.arg(in_folder(word)))
    }

    fn tune(&self, options: &str) -> Longstrand {
        self.finetune(options).model(self.path("model"))
    }

    fn metrics(&self, folder: &str) -> Value {
        let text = fs::read(self.path(folder).join("metrics.json")).expect("metrics");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn measure(&self, folder: &str, part: &str, measure: &str) -> f64 {
        let metrics = self.metrics(folder);
        let parts = metrics["parts"].as_array().expect("parts");
        let of = parts.iter().find(|of| of["part"] == part).expect("the part");
        of["measures"][measure].as_f64().expect("the measure")
    }

    fn predictions(&self, folder: &str) -> arrow_array::RecordBatch {
        let file = fs::File::open(self.path(folder).join("predictions.parquet")).expect("predictions");
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build()).expect("Parquet");
        reader.next().expect("a batch").expect("rows")
    }
}

fn names(batch: &arrow_array::RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn numbers(batch: &arrow_array::RecordBatch, column: &str) -> Vec<f64> {
    batch.column_by_name(column).expect("the column").as_primitive::<Float64Type>().values().to_vec()
}

#[test]
fn both_methods_learn_to_tell_composition_and_are_applied_again() {
    for family in [Family::CaduceusPh, Family::CaduceusPs, Family::Mamba, Family::Mamba2] {
        let place = Place::new(family);
        write_classes(&place.path("train.tsv"), 0..120);
        write_classes(&place.path("test.tsv"), 200..260);
        for (method, folder) in [("--head-only", "head.out"), ("--epochs 2 --batch 16 --lr 1e-3", "full.out")] {
            let options = format!("--train train.tsv --test test.tsv {method} -o {folder}");
            let printed = place.tune(&options).succeeds().stdout;
            assert!(
                printed.starts_with("part\tsequences\taccuracy\tmcc\tf1\tf1_macro\tauroc\tauprc\nvalid\t12\t"),
                "{printed}"
            );
            let accuracy = place.measure(folder, "test", "accuracy");
            assert!(accuracy >= 0.95, "{family:?} {method}: {accuracy}");
            let checkpoint = Checkpoint::load(place.path(folder)).expect("a model that loads");
            let head = Head::SequenceClassification { n_labels: 2, pooling: ClassifierPooling::Mean };
            assert_eq!(checkpoint.config.head, head);
            let again = place.finetune(&format!("--apply {folder} --test test.tsv -o again-{folder}"));
            again.succeeds();
            let batch = place.predictions(&format!("again-{folder}"));
            assert_eq!(names(&batch), ["part", "line", "label", "predicted", "p_poor", "p_rich"]);
            let before = place.predictions(folder);
            let test = before.slice(12, 60);
            for (a, b) in numbers(&test, "p_rich").iter().zip(numbers(&batch, "p_rich")) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
            assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 2);
            assert_eq!(place.measure(&format!("again-{folder}"), "test", "accuracy"), accuracy);
        }
        let changed = |folder: &str| Checkpoint::load(place.path(folder)).expect("a model").weights.layers;
        let base = Checkpoint::load(place.path("model")).expect("a model").weights.layers;
        assert!(changed("head.out") == base && changed("full.out") != base);
    }
}

#[test]
fn values_are_predicted_in_their_own_unit() {
    let place = Place::new(Family::CaduceusPh);
    write_values(&place.path("train.tsv"), 0..160);
    write_values(&place.path("test.tsv"), 300..360);
    let options = "--train train.tsv --test test.tsv --task regression --head-only --epochs 80 -o tuned.out";
    place.tune(options).succeeds();
    let (pearson, mse) = (place.measure("tuned.out", "test", "pearson"), place.measure("tuned.out", "test", "mse"));
    assert!(pearson > 0.9 && mse < 40.0, "{pearson} {mse}");
    assert!(place.measure("tuned.out", "test", "spearman") > 0.85);
    let batch = place.predictions("tuned.out");
    assert_eq!(names(&batch), ["part", "line", "label", "predicted"]);
    assert!(numbers(&batch, "predicted").iter().all(|value| (990.0..1060.0).contains(value)));
    fs::write(place.path("new.tsv"), "sequence\nAAAATTTTAAAATTTT\nCCCCGGGGCCCCGGGG\n").expect("a table");
    let printed = place.finetune("--apply tuned.out --test new.tsv -o new.out").succeeds().stdout;
    assert_eq!(printed, "part\tsequences\ntest\t2\n");
    let batch = place.predictions("new.out");
    let values = numbers(&batch, "predicted");
    assert!(values[0] > values[1], "{values:?}");
    assert!(batch.column_by_name("label").expect("the column").is_null(0));
}

#[test]
fn threads_change_no_bit_and_seeds_do() {
    let place = Place::new(Family::CaduceusPh);
    write_classes(&place.path("train.tsv"), 0..50);
    let files = |folder: &str| {
        ["model.safetensors", "metrics.json", "finetune.json"]
            .map(|name| fs::read(place.path(folder).join(name)).expect("a file"))
    };
    let options = "--train train.tsv --epochs 1 --batch 12 --class-weights balanced";
    for (threads, seed, folder) in [(1, 0, "a.out"), (3, 0, "b.out"), (2, 1, "c.out")] {
        place.tune(&format!("{options} -@ {threads} --seed {seed} -o {folder}")).succeeds();
    }
    assert!(files("a.out") == files("b.out"), "threads");
    assert!(files("a.out")[0] != files("c.out")[0], "seeds");
}

#[test]
fn folds_predict_every_sequence_once_and_keep_no_model() {
    let place = Place::new(Family::CaduceusPs);
    write_classes(&place.path("all.tsv"), 0..91);
    let printed = place.tune("--train all.tsv --folds 3 --head-only -o folds.out").succeeds().stdout;
    assert_eq!(printed.lines().count(), 4, "{printed}");
    let batch = place.predictions("folds.out");
    let mut lines: Vec<i64> = batch.column(1).as_primitive::<Int64Type>().values().to_vec();
    lines.sort_unstable();
    assert_eq!(lines, (2..93).collect::<Vec<_>>());
    assert!(!place.path("folds.out").join("config.json").exists());
    assert!(place.metrics("folds.out")["over_folds"]["accuracy"]["mean"].as_f64().expect("a mean") > 0.9);
    place.tune("--train all.tsv --folds 3 --head-only -o folds.out").fails(2, &["exists; --force replaces it"]);
    place.tune("--train all.tsv --folds 3 --head-only --force -o folds.out").succeeds();
}

#[test]
fn a_model_is_only_replaced_on_demand() {
    let place = Place::new(Family::CaduceusPh);
    write_classes(&place.path("train.tsv"), 0..30);
    let options = "--train train.tsv --head-only --epochs 2 -o tuned.out";
    place.tune(options).succeeds();
    place.tune(options).fails(1, &["tuned.out exists"]);
    place.tune(&format!("{options} --force")).succeeds();
}

#[test]
fn intervals_of_a_genome_are_the_same_as_their_sequences() {
    let place = Place::new(Family::CaduceusPh);
    let genome = bases(5, 4_000, b"ACGT");
    fs::write(place.path("g.fa"), format!(">chr7\n{genome}\n")).expect("a genome");
    let (mut intervals, mut sequences) =
        ("label\tchrom\tstart\tend\tstrand\n".to_owned(), "label\tsequence\n".to_owned());
    for i in 0..40 {
        let (start, end) = (100 * i, 100 * i + 60);
        let mut bases = genome.as_bytes()[start..end].to_vec();
        let strand = if i % 2 == 0 { "+" } else { "-" };
        if i % 2 == 1 {
            longstrand_seq::strand::reverse_complement(&mut bases);
        }
        intervals += &format!("{}\t7\t{start}\t{end}\t{strand}\n", i % 2);
        sequences += &format!("{}\t{}\n", i % 2, String::from_utf8_lossy(&bases));
    }
    fs::write(place.path("i.tsv"), intervals).expect("a table");
    fs::write(place.path("s.tsv"), sequences).expect("a table");
    let options = "--head-only --epochs 3 --strands forward";
    place.tune(&format!("--train i.tsv --genome g.fa {options} -o i.out")).succeeds();
    place.tune(&format!("--train s.tsv {options} -o s.out")).succeeds();
    let model = |folder: &str| fs::read(place.path(folder).join("model.safetensors")).expect("a model");
    assert!(model("i.out") == model("s.out"));
}

#[test]
fn a_plan_is_printed_and_nothing_is_written() {
    let place = Place::new(Family::Mamba);
    write_classes(&place.path("train.tsv"), 0..40);
    let printed = |more: &str| place.tune(&format!("--train train.tsv --dry-run -o out.out {more}")).succeeds().stdout;
    let (full, head) = (printed("-@ 1"), printed("-@ 1 --head-only"));
    let row = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).expect("the row").to_owned();
        line[name.len()..].trim().to_owned()
    };
    assert!(row(&full, "table").ends_with("train.tsv: 40 sequences"), "{full}");
    assert_eq!((row(&full, "longest"), row(&full, "outputs")), ("69 bases".into(), "2".into()));
    assert_eq!(row(&full, "tuned"), "the head, then all parameters");
    assert!(full.contains(" gradients\n") && head.contains("0.0 MiB gradients\n"), "{head}");
    assert!(!place.path("out.out").exists());
    place.tune("--train train.tsv --dry-run -o out.out --lr 0").fails(2, &["expected a learning rate above 0"]);
}

#[test]
fn what_cannot_be_learned_is_told_with_file_and_line() {
    let place = Place::new(Family::CaduceusPh);
    write_classes(&place.path("good.tsv"), 0..30);
    let write = |name: &str, text: &str| fs::write(place.path(name), text).expect("a table");
    write("ragged.tsv", "label\tsequence\na\tACGT\nb\n");
    write("base.tsv", "label\tsequence\na\tACGT\nb\tAC!T\n");
    write("one.tsv", "label\tsequence\na\tACGT\na\tACTT\n");
    write("other.tsv", "label\tsequence\nrich\tACGT\nnew\tACTT\n");
    let tune = |options: &str| place.tune(&format!("{options} --head-only -o out.out"));
    tune("--train ragged.tsv").fails(1, &["ragged.tsv, line 3: expected 2 fields"]);
    tune("--train base.tsv").fails(1, &["base.tsv, line 3: expected a base at position 3 of the sequence, found '!'"]);
    tune("--train one.tsv").fails(1, &["one.tsv: expected two classes or more, found \"a\" alone"]);
    tune("--train good.tsv --test other.tsv")
        .fails(1, &["other.tsv, line 3: expected one of the classes trained on (poor, rich) as label, found \"new\""]);
    tune("--train good.tsv --task regression")
        .fails(1, &["good.tsv, line 2: expected a number as label, found \"rich\""]);
    tune("--train none.tsv").fails(1, &["cannot read", "none.tsv"]);
    tune("--train good.tsv --lr 0").fails(2, &["expected a learning rate above 0, found 0"]);
    tune("--train good.tsv --valid-fraction 1").fails(2, &["validation fraction"]);
    tune("--train good.tsv --folds 1").fails(2, &["expected at least 2 folds"]);
    let applied = |model: &str| place.finetune("--test good.tsv -o out.out --apply").arg(place.path(model));
    applied("none").fails(1, &["none"]);
    applied("model").fails(1, &["cannot read", "finetune.json"]);
    assert!(!place.path("out.out").exists());
    place
        .finetune("--train good.tsv --head-only -o out.out")
        .model(fixture::root().join("ss-mamba"))
        .fails(1, &["cannot have a classification head in its own format"]);
}

/// The published code's logits of both forms: what is applied is the head of the reference.
#[test]
fn published_heads_are_applied_as_published() {
    for name in ["caduceus-ph-seqcls", "caduceus-ps-seqcls"] {
        let place = Place::new(Family::CaduceusPh);
        let folder = place.path("head.in");
        fs::create_dir(&folder).expect("a folder");
        for entry in fs::read_dir(fixture::root().join(name)).expect("the fixture") {
            let entry = entry.expect("a file");
            fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
        }
        let checkpoint = Checkpoint::load(&folder).expect("the model");
        let Head::SequenceClassification { n_labels, .. } = checkpoint.config.head else { panic!("a head") };
        let labels: Vec<String> = (0..n_labels).map(|label| format!("l{label}")).collect();
        let recipe = serde_json::json!({
            "task": "classification", "labels": labels, "max_length": 1000, "strands": "both",
        });
        fs::write(folder.join("finetune.json"), recipe.to_string()).expect("a recipe");
        let mut sequence = bases(9, 77, b"ACGT").into_bytes();
        fs::write(place.path("t.tsv"), format!("sequence\n{}\n", String::from_utf8_lossy(&sequence))).expect("a table");
        place.finetune("--apply head.in --test t.tsv -o p.out").succeeds();
        let model = Model::new(Cpu::new(Level::widest()), &checkpoint);
        let mut logits = vec![0.0; n_labels];
        for _ in 0..2 {
            let ids: Vec<u8> = sequence.iter().map(|&base| checkpoint.vocabulary.id(base)).collect();
            let of_strand = model.classify(&ids, Chunking::Auto, &mut model.scratch()).expect("a head");
            logits.iter_mut().zip(of_strand).for_each(|(sum, x)| *sum += f64::from(x) / 2.0);
            longstrand_seq::strand::reverse_complement(&mut sequence);
        }
        let total: f64 = logits.iter().map(|x| x.exp()).sum();
        let batch = place.predictions("p.out");
        for (label, logit) in labels.iter().zip(logits) {
            let found = numbers(&batch, &format!("p_{label}"))[0];
            assert!((found - logit.exp() / total).abs() < 1e-5, "{name} {label}: {found}");
        }
    }
}

#[test]
fn the_shipped_task_is_whole() {
    for (part, rows, positive) in [("train", 7_429, 3_463), ("test", 1_882, 849)] {
        let path = longstrand_tests::data(&format!("human_ocr_ensembl.{part}.tsv.gz"));
        let table = read_labelled(&path, None, Labels::Required).expect("a table");
        let found = table.iter().filter(|row| row.label.as_deref() == Some("positive")).count();
        assert_eq!((table.len(), found), (rows, positive), "{part}");
    }
}
