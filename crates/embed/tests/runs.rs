//! Whole runs: the bytes that they write do not depend on how the work was done.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use longstrand_embed::{EmbedError, InputOptions, Job, Outcome, Plan};
use longstrand_kernels::simd::Level;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::{Unwatched, Watch};
use longstrand_seq::window::{Partial, WindowSize};
use longstrand_table::Existing;
use tempfile::TempDir;

/// A genome of two contigs; the second begins with N.
fn genome(folder: &TempDir) -> PathBuf {
    let mut state = 1_u64;
    let mut bases = |n: usize| -> String {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b"ACGT"[(state >> 60) as usize % 4])
        };
        std::iter::repeat_with(next).take(n).collect()
    };
    let text = format!(">chr1 first\n{}\n>chr2\n{}{}\n", bases(1500), "N".repeat(300), bases(700));
    let path = folder.path().join("genome.fa");
    fs::write(&path, text).unwrap();
    path
}

fn job(folder: &TempDir, output: &str) -> Job {
    let mut input = InputOptions::new(genome(folder));
    input.window = Some(WindowSize::Bases(200.try_into().unwrap()));
    let mut job = Job::new(input, folder.path().join(output));
    job.output.write.rows_per_group = NonZeroUsize::new(3);
    job
}

fn plan(job: &Job) -> Result<Plan, EmbedError> {
    Plan::new(job.clone(), &Checkpoint::builtin().unwrap(), Level::detect().unwrap())
}

fn run(job: &Job) -> Outcome {
    plan(job).unwrap().run(&Unwatched).unwrap()
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn threads_batches_and_chunks_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let first = job(&folder, "first.parquet");
    let outcome = run(&first);
    assert_eq!((outcome.written.rows, outcome.bases_computed), (13, 2500));
    let expected = bytes(first.output.destination.path());
    for (threads, batch_tokens, chunk) in [(1, 10_000, None), (2, 500, Some(256)), (3, 1, None), (2, 100_000, None)] {
        let mut other = job(&folder, "other.parquet");
        other.compute.threads = NonZeroUsize::new(threads);
        other.compute.batch_tokens = NonZeroUsize::new(batch_tokens);
        other.compute.chunk = chunk.and_then(NonZeroUsize::new);
        other.output.write.existing = Existing::Replace;
        run(&other);
        assert!(bytes(other.output.destination.path()) == expected, "{threads} threads, {batch_tokens} tokens");
    }
}

/// Stops a run after so many bases and keeps what it was told.
struct Until {
    bases: u64,
    done: AtomicU64,
    skipped: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

impl Until {
    fn new(bases: u64) -> Self {
        Self { bases, done: AtomicU64::new(0), skipped: AtomicU64::new(0), warnings: Mutex::new(Vec::new()) }
    }
}

impl Watch for Until {
    fn skipped(&self, bases: u64) {
        self.skipped.fetch_add(bases, Ordering::Relaxed);
    }

    fn advanced(&self, bases: u64) {
        self.done.fetch_add(bases, Ordering::Relaxed);
    }

    fn warn(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        self.done.load(Ordering::Relaxed) >= self.bases
    }
}

#[test]
fn a_stopped_run_leaves_no_output_and_is_resumed_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let pools = ["mean", "bins:70"];
    for pool in pools {
        let mut whole = job(&folder, &format!("whole-{}.parquet", pool.len()));
        whole.embed.pool = pool.parse().unwrap();
        whole.input.max_ambiguous = 0.5;
        run(&whole);
        let mut stopped = whole.clone();
        stopped.output.destination =
            longstrand_table::Destination::from_path(folder.path().join(format!("stopped-{}.parquet", pool.len())));
        stopped.compute.threads = NonZeroUsize::new(1);
        stopped.compute.batch_tokens = NonZeroUsize::new(200);
        let error = plan(&stopped).unwrap().run(&Until::new(1500)).unwrap_err();
        assert!(matches!(error, EmbedError::Cancelled), "{error}");
        assert!(!stopped.output.destination.path().exists());

        stopped.output.write.existing = Existing::Resume;
        let watch = Until::new(u64::MAX);
        let outcome = plan(&stopped).unwrap().run(&watch).unwrap();
        assert!(outcome.bases_computed < 2500 && watch.skipped.load(Ordering::Relaxed) > 0, "{pool}");
        assert_eq!(outcome.counts.unwrap().bases() + 200, 2500, "one window of N is left out");
        assert!(bytes(stopped.output.destination.path()) == bytes(whole.output.destination.path()), "{pool}");
        let again = run(&stopped);
        assert!(again.counts.is_none(), "nothing is left to do");
    }
}

#[test]
fn vectors_that_are_not_finite_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = Checkpoint::builtin().unwrap();
    checkpoint.weights.norm_f.weight[0] = f32::NAN;
    let watch = Until::new(u64::MAX);
    let job = job(&folder, "out.parquet");
    Plan::new(job, &checkpoint, Level::detect().unwrap()).unwrap().run(&watch).unwrap();
    let told = watch.warnings.into_inner().unwrap();
    assert_eq!(told, ["13 vectors are not finite, the first is of window chr1:1-200"]);
}

#[test]
fn a_default_and_the_same_choice_are_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut default = job(&folder, "out.parquet");
    default.input.window = None;
    run(&default);
    let mut same = default.clone();
    same.output.write.existing = Existing::Resume;
    same.input.window = Some(WindowSize::Bases(1024.try_into().unwrap()));
    same.input.stride = Some(1024.try_into().unwrap());
    assert!(run(&same).counts.is_none());
    same.input.stride = Some(512.try_into().unwrap());
    let error = plan(&same).unwrap().run(&Unwatched).unwrap_err().to_string();
    assert!(error.ends_with("longstrand.options.stride: expected 512, found 1024"), "{error}");
}

#[test]
fn another_level_of_vector_instructions_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(&folder, "out.parquet");
    job.output.write.existing = Existing::Resume;
    let levels = Level::available();
    let runs: Vec<_> = levels
        .iter()
        .map(|level| Plan::new(job.clone(), &Checkpoint::builtin().unwrap(), *level).unwrap().run(&Unwatched))
        .collect();
    assert!(runs[0].is_ok());
    for (level, run) in levels.iter().zip(&runs).skip(1) {
        let error = run.as_ref().map(drop).unwrap_err().to_string();
        let (expected, found) = (level.without_bf16(), levels[0]);
        assert!(error.ends_with(&format!("longstrand.simd: expected {expected}, found {found}")), "{error}");
    }
}

#[test]
fn shards_share_the_windows() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&job(&folder, "whole.parquet"));
    let mut rows = 0;
    for shard in ["1/3", "2/3", "3/3"] {
        let mut part = job(&folder, &format!("{}.parquet", &shard[..1]));
        part.input.shard = shard.parse().unwrap();
        rows += run(&part).written.rows;
    }
    assert_eq!(rows, whole.written.rows);
}

#[test]
fn a_shard_does_not_meet_another_one_in_its_output() {
    let folder = tempfile::tempdir().unwrap();
    for output in ["file.parquet", "folder/"] {
        let mut first = job(&folder, output);
        first.input.shard = "1/3".parse().unwrap();
        run(&first);
        let mut second = first.clone();
        second.input.shard = "2/3".parse().unwrap();
        for existing in [Existing::Refuse, Existing::Resume] {
            second.output.write.existing = existing;
            let error = plan(&second).unwrap().run(&Unwatched).unwrap_err().to_string();
            assert!(error.contains("expected shard 2/3 or nothing, found shard 1/3; "), "{error}");
        }
        let again = plan(&first).unwrap().run(&Unwatched).unwrap_err().to_string();
        assert!(again.ends_with("exists; --force replaces it"), "{again}");
    }
}

/// Stops as soon as it is told of digests.
#[derive(Default)]
struct AtTheDigest {
    bytes: AtomicU64,
    total: AtomicU64,
}

impl Watch for AtTheDigest {
    fn digested(&self, bytes: u64, total: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.total.load(Ordering::Relaxed) > 0
    }
}

#[test]
fn digests_are_followed_and_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(&folder, "out.parquet");
    job.input.path = folder.path().join("large.fa");
    fs::write(&job.input.path, format!(">c\n{}\n", "ACGT".repeat(1 << 20))).unwrap();
    let watch = AtTheDigest::default();
    let error = plan(&job).unwrap().run(&watch).unwrap_err();
    assert!(matches!(error, EmbedError::Cancelled), "{error}");
    let (bytes, total) = (watch.bytes.into_inner(), watch.total.into_inner());
    assert_eq!(total, (4 << 20) + 4);
    assert!(bytes > 0 && bytes < total, "{bytes} of {total}");
}

#[test]
fn memory_is_reckoned_from_the_windows_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let estimate = |window: u64, threads, batch_tokens| {
        let mut job = job(&folder, "out.parquet");
        job.input.window = Some(WindowSize::Bases(window.try_into().unwrap()));
        job.compute.threads = NonZeroUsize::new(threads);
        job.compute.batch_tokens = NonZeroUsize::new(batch_tokens);
        plan(&job).unwrap().memory_estimate().unwrap()
    };
    // A row of 1 KiB for each token, in each of three batches; there are no more tokens than the windows have.
    let hundred = estimate(1, 1, 200) - estimate(1, 1, 100);
    assert!(hundred > 3 * 100 * 1024 && hundred < 3 * 100 * 1500, "{hundred}");
    assert_eq!(estimate(1, 1, 100_000), estimate(1, 1, 10_000));
    assert!(estimate(256, 4, 100) > 2 * estimate(256, 1, 100));
    // Nor are there more windows under way than there are.
    assert_eq!(estimate(1024, 64, 100), estimate(1024, 1, 100));
}

#[test]
fn an_empty_shard_is_a_whole_table_and_an_empty_run_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = job(&folder, "whole.parquet");
    whole.input.window = Some(WindowSize::Bases(5000.try_into().unwrap()));
    whole.input.partial = Some(Partial::Drop);
    let error = plan(&whole).map(drop).unwrap_err().to_string();
    assert!(
        error.ends_with("expected at least one window, found none; 2 shorter than the window were dropped"),
        "{error}"
    );

    let mut shard = job(&folder, "shard.parquet");
    shard.input.window = Some(WindowSize::Contig);
    shard.input.shard = "2/9".parse().unwrap();
    let watch = Until::new(u64::MAX);
    assert_eq!(plan(&shard).unwrap().run(&watch).unwrap().written.rows, 0);
    assert_eq!(*watch.warnings.lock().unwrap(), ["this shard has no window"]);

    let mut of_n = job(&folder, "n.parquet");
    of_n.input.regions = vec!["chr2:1-200".into()];
    of_n.input.max_ambiguous = 0.1;
    let error = plan(&of_n).unwrap().run(&Unwatched).unwrap_err().to_string();
    assert!(error.ends_with("found none; left out: 1 too many ambiguous bases"), "{error}");
    assert!(!of_n.output.destination.path().exists());
}

#[test]
fn a_window_beyond_the_training_window_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(&folder, "out.parquet");
    job.input.window = Some(WindowSize::Bases(1100.try_into().unwrap()));
    job.input.stride = Some(100.try_into().unwrap());
    job.input.regions = vec!["chr1".into()];
    let watch = Until::new(u64::MAX);
    plan(&job).unwrap().run(&watch).unwrap();
    let warnings = watch.warnings.into_inner().unwrap();
    assert!(
        matches!(&warnings[..], [one] if one.starts_with("windows of up to 1100 bases; the model was trained at 1024")),
        "{warnings:?}"
    );
}

#[test]
fn options_that_do_not_go_together_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut Job)| {
        let mut job = job(&folder, "out.parquet");
        change(&mut job);
        match plan(&job).map(drop) {
            Err(EmbedError::Usage(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let flag = refused(|job| job.input.reads.min_mapping_quality = Some(3));
    assert!(flag.starts_with("--min-mapq goes with reads (BAM, CRAM)"), "{flag}");
    let both = refused(|job| {
        job.input.regions = vec!["chr1".into()];
        job.input.beds = vec!["x.bed".into()];
    });
    assert_eq!(both, "--region and --bed exclude each other");
    let output = refused(|job| {
        let input = job.input.path.clone();
        job.output.destination = longstrand_table::Destination::File(input);
        job.output.write.existing = Existing::Replace;
    });
    assert!(output.ends_with("genome.fa is one of the inputs"), "{output}");
    let padding = refused(|job| {
        job.input.window = Some(WindowSize::Bases((1 << 30).try_into().unwrap()));
        job.input.partial = Some(Partial::Pad);
        job.compute.available_memory = Some(1 << 30);
    });
    assert!(padding.starts_with("--last pad: a window of 1073741824 bases takes about "), "{padding}");
    let stride = refused(|job| {
        job.input.window = Some(WindowSize::Contig);
        job.input.stride = NonZeroUsize::new(5).map(|n| (n.get() as u64).try_into().unwrap());
    });
    assert!(stride.contains("stride"), "{stride}");
}
