//! A temporary folder in which a test trains small models.

use std::{
    fs,
    io::Read,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime},
};

use flate2::read::MultiGzDecoder;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_pretrain::train::{MetricsLine, read_metrics};
use tempfile::TempDir;

use crate::{
    YEAST,
    command::{Finished, Longstrand, Running},
    data, ranks,
};

/// A run of a few seconds.
const SMALL: &str = "
    [data]
    length = 128
    split = { valid = 0.2 }
    [schedule]
    peak = 4e-3
    [run]
    steps = 60
    tokens = 1024
    save_every = 4
    keep = 2
    [validation]
    every = 12
    windows = 6
";

/// A causal model.
pub const MAMBA: &str =
    "--set model.family=mamba --set objective.kind=causal --set model.d_model=16 --set model.n_layer=2";

/// An equivariant model, with windows that grow, and lower case that counts half.
pub const CADUCEUS_PS: &str = "--set model.family=caduceus-ps --set model.d_model=16 --set model.n_layer=2 \
    --set data.stages=[{from_step=0,length=64},{from_step=30,length=128}] --set objective.soft_mask_weight=0.5";

/// A temporary folder with a small genome.
pub struct Place {
    folder: TempDir,
    binary: &'static str,
}

impl Place {
    /// For the program at `binary`, with the first 40,000 bases of yeast, in two contigs and lower case in the middle of the first.
    ///
    /// # Panics
    ///
    /// When the folder cannot be made.
    pub fn new(binary: &'static str) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a temporary folder"), binary };
        let mut text = vec![0; 60_000];
        let file = fs::File::open(data(YEAST)).expect("a genome");
        MultiGzDecoder::new(file).read_exact(&mut text).expect("a longer genome");
        let lines = text.split(|&byte| byte == b'\n').skip(1);
        let mut bases: Vec<u8> = lines.flatten().copied().take(40_000).collect();
        bases[8_000..12_000].make_ascii_lowercase();
        let mut fasta = b">one\n".to_vec();
        fasta.extend(&bases[..30_000]);
        fasta.extend(b"\n>two\n");
        fasta.extend(&bases[30_000..]);
        fasta.push(b'\n');
        fs::write(place.path("genome.fa"), fasta).expect("a file in a temporary folder");
        fs::write(place.path("small.toml"), SMALL).expect("a file in a temporary folder");
        place
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `pretrain` on the small genome, quiet.
    pub fn pretrain(&self, output: &str, settings: &str) -> Longstrand {
        let longstrand = Longstrand::at(self.binary).arg("pretrain").arg("--genome").arg(self.path("genome.fa"));
        longstrand
            .arg("-o")
            .arg(self.path(output))
            .arg("--config")
            .arg(self.path("small.toml"))
            .args("-q")
            .args(settings)
    }

    /// A file of a run.
    pub fn bytes(&self, run: &str, file: &str) -> Vec<u8> {
        fs::read(self.path(run).join(file)).unwrap_or_else(|error| panic!("{run}/{file}: {error}"))
    }

    /// The names of a run's checkpoints, in order.
    pub fn checkpoints(&self, run: &str) -> Vec<String> {
        let folder = self.path(run).join("checkpoints");
        let mut names: Vec<String> = fs::read_dir(folder).map_or(Vec::new(), |entries| {
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
        });
        names.sort();
        names
    }

    /// The last checkpoint's step.
    pub fn newest(&self, run: &str) -> u64 {
        let names = self.checkpoints(run);
        names.iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok()).max().unwrap_or(0)
    }

    /// What a run has measured, but for the time.
    pub fn metrics(&self, run: &str) -> Vec<MetricsLine> {
        let untimed = |line| match line {
            MetricsLine::Step(mut metrics) => {
                metrics.seconds = 0.0;
                MetricsLine::Step(metrics)
            }
            MetricsLine::Validation(mut metrics) => {
                metrics.seconds = 0.0;
                MetricsLine::Validation(metrics)
            }
        };
        let lines = read_metrics(&self.path(run).join("metrics.jsonl")).expect("metrics");
        lines.into_iter().map(untimed).collect()
    }

    /// Asserts that two runs have ended with the same weights, moments and measures.
    pub fn assert_same(&self, run: &str, other: &str) {
        let moments = format!("checkpoints/step-{:07}/optimizer.safetensors", self.newest(run));
        for file in ["model/model.safetensors", "model/config.json", &moments] {
            assert!(self.bytes(run, file) == self.bytes(other, file), "{file} of {run} and {other}");
        }
        assert_eq!(self.metrics(run), self.metrics(other), "{run} and {other}");
    }
}

/// Runs of several ranks.
impl Place {
    /// A command for each rank. The others are told of a folder that is not there, as if they ran on another machine.
    pub fn commands(&self, run: &str, settings: &str, size: usize) -> Vec<Longstrand> {
        (0..size).map(|rank| self.pretrain(&folder(rank, run), settings).args("--threads 1")).collect()
    }

    /// Trains to the end.
    pub fn train(&self, run: &str, settings: &str, size: usize) {
        for finished in ranks::run(&self.commands(run, settings, size)) {
            assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished}");
        }
        assert!(!self.path("elsewhere").exists(), "only rank 0 writes");
    }

    /// Commands that go on with a run, which rank 0 alone sees, and say nothing of its settings.
    pub fn resumed(&self, run: &str, size: usize) -> Vec<Longstrand> {
        let longstrand = Longstrand::at(self.binary).args("pretrain -q --resume -o");
        (0..size).map(|rank| longstrand.clone().arg(self.path(&folder(rank, run)))).collect()
    }

    /// Waits until a run has done a step.
    pub fn wait_for_a_step(&self, run: &str, running: &mut Running) {
        let metrics = self.path(run).join("metrics.jsonl");
        running.wait_for(&metrics);
        while fs::metadata(&metrics).map_or(0, |file| file.len()) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills ranks at moments that nobody chose, whichever it is, and asserts that the others end and say which one is gone, and
    /// that the run goes on to what one that was not stopped comes to. A run has more than 40 steps.
    ///
    /// # Panics
    ///
    /// When it is not so, or a step takes too long.
    pub fn assert_kills_are_survived(&self, settings: &str, size: usize) {
        self.train("whole", settings, size);
        let commands = self.commands("killed", &format!("{settings} --resume"), size);
        let (mut moments, mut kills) = (Moments::new(), 0);
        while self.newest("killed") < 40 {
            let (target, victim) =
                (self.newest("killed") + 2 + 2 * moments.below(5), moments.below(size as u64) as usize);
            let (running, started) = (ranks::start(&commands), Instant::now());
            while self.newest("killed") < target {
                assert!(started.elapsed() < Duration::from_secs(60), "no step {target} in time");
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_micros(moments.below(50_000)));
            running[victim].signal("KILL");
            let mut ended: Vec<Finished> = running.into_iter().map(Running::finish).collect();
            assert_eq!(ended.remove(victim).code, None);
            for other in ended {
                other.failed(1, &[&format!("rank {victim} is gone: its connection ended during operation ")]);
            }
            kills += 1;
        }
        assert!(kills >= 3, "{kills} kills");
        for finished in ranks::run(&commands) {
            assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished}");
        }
        self.assert_same("whole", "killed");
    }

    /// Asserts that the weights and measures of two runs are the same but for rounding.
    pub fn assert_close(&self, run: &str, other: &str) {
        let load = |run: &str| Checkpoint::load(self.path(run).join("model")).expect("a model");
        let (ours, theirs) = (load(run), load(other));
        let tensors = ours.weights.named(&ours.config).into_iter().zip(theirs.weights.named(&theirs.config));
        for (ours, theirs) in tensors {
            let largest = theirs.values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let difference = ours.values.iter().zip(theirs.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference <= 1e-6 * largest, "{}: {difference} of {largest}", ours.spec.name);
        }
        let (ours, theirs) = (self.metrics(run), self.metrics(other));
        assert_eq!(ours.len(), theirs.len());
        ours.into_iter().zip(theirs).for_each(|(ours, theirs)| assert_line_close(ours, theirs));
    }
}

/// The folder of a run as a rank sees it.
fn folder(rank: usize, run: &str) -> String {
    if rank == 0 { run.to_owned() } else { format!("elsewhere/{rank}") }
}

fn assert_line_close(ours: MetricsLine, theirs: MetricsLine) {
    let is_same = |ours: Option<f64>, theirs: Option<f64>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-6,
        (ours, theirs) => ours == theirs,
    };
    let (ours, theirs) = match (ours, theirs) {
        (MetricsLine::Step(ours), MetricsLine::Step(theirs)) => (ours.loss, theirs.loss),
        (MetricsLine::Validation(ours), MetricsLine::Validation(theirs)) => {
            assert_eq!(ours.validation.targets, theirs.validation.targets);
            assert!(is_same(ours.validation.masked_loss, theirs.validation.masked_loss), "{ours:?} {theirs:?}");
            (ours.validation.loss, theirs.validation.loss)
        }
        lines => panic!("{lines:?}"),
    };
    assert!(is_same(ours, theirs), "{ours:?} {theirs:?}");
}

/// Numbers for moments, from the clock: what is tested is to hold at any.
#[derive(Debug)]
pub struct Moments(u64);

impl Moments {
    /// Says on standard output what makes them again, for a test that fails.
    #[allow(clippy::new_without_default, clippy::print_stdout, reason = "no two are the same, and captured by tests")]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
        println!("moments from {}", now.as_nanos() as u64);
        Self(now.as_nanos() as u64 | 1)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
