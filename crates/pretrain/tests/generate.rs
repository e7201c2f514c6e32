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
    let generated = generation
        .run(&checkpoint("hf-mamba"), &Level::widest().into(), &mut out, &Unwatched)
        .expect("a value of the test");
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

/// Samples of a GPU beside those of the CPU. Skipped where there is no GPU, unless `LONGSTRAND_REQUIRE_CUDA=1` requires one.
#[cfg(feature = "cuda")]
mod cuda {
    use longstrand_kernels::cuda::Device;
    use longstrand_model::cuda::Arithmetic;
    use longstrand_model::{Gpus, Processor};

    use super::*;

    fn gpu(arithmetic: Arithmetic) -> Option<Processor> {
        match Device::open(0) {
            Ok(device) => Some(Processor::Cuda(Gpus::new(vec![device], arithmetic))),
            Err(error) => {
                let is_required = std::env::var_os("LONGSTRAND_REQUIRE_CUDA").is_some_and(|value| value == "1");
                assert!(!is_required, "LONGSTRAND_REQUIRE_CUDA=1, but {error}");
                #[allow(clippy::print_stderr, reason = "a test says that it is skipped")]
                {
                    eprintln!("skipped: {error}");
                }
                None
            }
        }
    }

    fn drawn(generation: &Generation, checkpoint: &Checkpoint, processor: &Processor) -> String {
        let mut out = Vec::new();
        let generated = generation.run(checkpoint, processor, &mut out, &Unwatched).expect("samples");
        let text = String::from_utf8(out).expect("FASTA");
        assert_eq!(generated.samples, text.matches('>').count() as u64);
        text
    }

    /// Says where two texts part.
    fn assert_same(found: &str, expected: &str, what: &str) {
        for (i, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{what}: line {} of {}", i + 1, found.lines().count());
        }
        assert_eq!(found, expected, "{what}");
    }

    #[test]
    fn samples_are_the_cpu_s() {
        let Some(gpu) = gpu(Arithmetic::Single) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let prompts = folder.path().join("prompts.fa");
        fs::write(&prompts, ">a\nACGTTGCAnacg\n>b\nT\n>c\nGGATTACAGGATTACAGGATTACA\n").expect("prompts");
        for case in ["hf-mamba", "hf-mamba-variant", "ss-mamba", "caduceus-uni", "hf-mamba2", "ss-mamba2"] {
            let checkpoint = checkpoint(case);
            for (temperature, top_k) in [(1.0, 4), (0.5, 2), (0.0, 4)] {
                let choice = Choice::new(temperature, top_k).expect("a choice");
                for (prompts, samples) in [(None, 7), (Some(prompts.clone()), 1), (Some(prompts.clone()), 4)] {
                    let options = Generation { choice, keep_prompt: true, ..generation(prompts, samples, 150, 2) };
                    let cpu = drawn(&options, &checkpoint, &Level::widest().into());
                    let what = format!("{case}, {choice}, {samples} samples");
                    assert_same(&drawn(&options, &checkpoint, &gpu), &cpu, &what);
                }
            }
        }
    }

    #[test]
    fn samples_longer_than_a_block_go_on() {
        for arithmetic in [Arithmetic::Single, Arithmetic::Bf16] {
            let Some(gpu) = gpu(arithmetic) else { return };
            let checkpoint = checkpoint("hf-mamba");
            let whole = sequences(&drawn(&generation(None, 3, 2_500, 1), &checkpoint, &gpu));
            let start = sequences(&drawn(&generation(None, 1, 1_030, 1), &checkpoint, &gpu));
            assert!(whole.iter().all(|sequence| sequence.len() == 2_500));
            assert_eq!(whole[0][..1_030], start[0], "{arithmetic:?}");
            if arithmetic == Arithmetic::Single {
                let cpu = drawn(&generation(None, 3, 2_500, 1), &checkpoint, &Level::widest().into());
                assert_eq!(whole, sequences(&cpu));
            }
        }
    }

    #[test]
    fn weights_that_are_not_sound_are_told() {
        let Some(gpu) = gpu(Arithmetic::Single) else { return };
        let mut broken = checkpoint("hf-mamba");
        broken.weights.norm_f.weight[0] = f32::NAN;
        let run =
            |options: Generation| options.run(&broken, &gpu, &mut Vec::new(), &Unwatched).unwrap_err().to_string();
        let error = run(generation(None, 3, 5, 1));
        assert_eq!(error, "sample 1, base 2: expected finite logits; are the model's weights sound?");
        let Processor::Cuda(gpus) = &gpu else { unreachable!("a GPU") };
        let twice = Gpus::new(vec![gpus.first().clone(), gpus.first().clone()], Arithmetic::Single);
        let error = generation(None, 1, 5, 1).run(&broken, &Processor::Cuda(twice), &mut Vec::new(), &Unwatched);
        assert_eq!(error.unwrap_err().to_string(), "generate computes on one GPU: expected one, found 2");
    }
}
