//! Drawing bases from a small causal model.

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use longstrand_kernels::simd::Level;
use longstrand_kernels::{Cpu, Rows};
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Chunking, Model, Observer, Request, Tap, Unwatched};
use longstrand_pretrain::generate::{Choice, GenerateError, Generation};

fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name))
        .expect("a value of the test")
}

fn generation(prompts: Option<PathBuf>, samples: u64, length: u64, threads: usize) -> Generation {
    Generation {
        prompts,
        samples: NonZeroU64::new(samples).expect("a value of the test"),
        length: NonZeroU64::new(length).expect("a value of the test"),
        choice: Choice::new(1.0, 4).expect("a value of the test"),
        keep_prompt: false,
        seed: 3,
        threads: NonZeroUsize::new(threads).expect("a value of the test"),
    }
}

fn drawn(generation: &Generation) -> String {
    let mut out = Vec::new();
    let generated =
        generation.run(&checkpoint("hf-mamba"), &Level::widest().into(), &mut out, &Unwatched).expect("a value of the test");
    let text = String::from_utf8(out).expect("a value of the test");
    assert_eq!(generated.samples, text.matches('>').count() as u64);
    text
}

/// The sequences of FASTA text.
fn sequences(text: &str) -> Vec<String> {
    let records = text.split('>').skip(1);
    records.map(|record| record.split_once('\n').expect("a value of the test").1.replace('\n', "")).collect()
}

#[test]
fn samples_depend_on_the_seed_and_on_nothing_else() {
    let one = drawn(&generation(None, 5, 130, 1));
    assert_eq!(one, drawn(&generation(None, 5, 130, 3)));
    let sequences = sequences(&one);
    assert!(sequences.iter().all(|sequence| sequence.len() == 130));
    assert_ne!(sequences[0], sequences[1]);
    assert_ne!(one, drawn(&Generation { seed: 4, ..generation(None, 5, 130, 1) }));
    assert!(one.starts_with(">sample_1 length=130 seed=3 temperature=1 top_k=4\n"), "{one}");
    assert!(one.lines().all(|line| line.len() <= 60));
    // A longer sample begins with the shorter one: it is drawn base by base.
    let longer = drawn(&generation(None, 1, 200, 2));
    assert_eq!(self::sequences(&longer)[0][..130], sequences[0]);
}

/// Keeps the likeliest of the bases at each position.
struct Likeliest {
    bases: [u8; 4],
    letters: Vec<u8>,
}

impl Observer<f32> for Likeliest {
    fn hidden(&mut self, _: Tap, _: u64, _: Rows<'_, f32>) {}

    fn logits(&mut self, _: u64, rows: Rows<'_, f32>) {
        for t in 0..rows.len() {
            let logits = self.bases.map(|id| rows.row(t)[usize::from(id)]);
            let best = (0..4).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("a value of the test");
            self.letters.push(b"ACGT"[best]);
        }
    }
}

#[test]
fn the_likeliest_bases_are_those_of_one_pass_over_prompt_and_sample() {
    let folder = tempfile::tempdir().expect("a value of the test");
    let prompts = folder.path().join("prompts.fa");
    fs::write(&prompts, ">a some words\nACGTTGCAnacg\n>b\nT\n").expect("a value of the test");
    let options = Generation {
        choice: Choice::new(0.0, 4).expect("a value of the test"),
        keep_prompt: true,
        ..generation(Some(prompts), 2, 50, 2)
    };
    let text = drawn(&options);
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix('>')?.split(' ').next()).collect();
    assert_eq!(names, ["a_sample_1", "a_sample_2", "b_sample_1", "b_sample_2"]);
    let sequences = sequences(&text);
    assert_eq!(sequences[0], sequences[1]);
    let checkpoint = checkpoint("hf-mamba");
    let model = Model::new(Cpu::new(Level::widest()), &checkpoint);
    for (sequence, prompt) in [(&sequences[0], "ACGTTGCANACG"), (&sequences[2], "T")] {
        assert!(sequence.starts_with(prompt));
        let mut ids = Vec::new();
        checkpoint.vocabulary.encode(sequence.as_bytes(), &mut ids);
        let mut likeliest = Likeliest { bases: checkpoint.vocabulary.bases(), letters: Vec::new() };
        let request = Request { taps: &[], logits: true };
        let flow = model.encode(&ids, Chunking::Whole, &request, &mut model.scratch(), &mut likeliest);
        assert!(flow.is_continue());
        let expected = &likeliest.letters[prompt.len() - 1..sequence.len() - 1];
        assert_eq!(&sequence.as_bytes()[prompt.len()..], expected);
    }
}

#[test]
fn what_cannot_be_drawn_from_is_refused() {
    let folder = tempfile::tempdir().expect("a value of the test");
    let run = |generation: Generation, checkpoint: &Checkpoint| {
        generation.run(checkpoint, &Level::widest().into(), &mut Vec::new(), &Unwatched).unwrap_err()
    };
    let causal = checkpoint("hf-mamba");
    let error = run(generation(None, 1, 5, 1), &checkpoint("caduceus-ph"));
    assert!(matches!(&error, GenerateError::Usage(told) if told.contains("reads both ways")), "{error}");
    let empty = folder.path().join("empty.fa");
    fs::write(&empty, ">a\nAC\n>b\n>c\nT\n").expect("a value of the test");
    let error = run(generation(Some(empty), 1, 5, 1), &causal).to_string();
    assert!(error.ends_with("empty.fa: expected a prompt of one base or more, found none in record b"), "{error}");
    assert!(run(generation(Some(folder.path().join("none.fa")), 1, 5, 1), &causal).to_string().contains("none.fa"));
    let mut broken = causal.clone();
    broken.weights.norm_f.weight[0] = f32::NAN;
    let error = run(generation(None, 1, 5, 1), &broken).to_string();
    assert_eq!(error, "sample 1, base 2: expected finite logits; are the model's weights sound?");
}
