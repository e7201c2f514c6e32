//! What a model makes of sequences: hidden states for a head, or a head's outputs.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use longstrand_kernels::{Cpu, Rows};
use longstrand_model::{Chunking, Model, Observer, Request, Scratch, Tap, Watch};
use longstrand_seq::Vocabulary;

use super::data::{Example, Part, oriented};
use super::error::FineTuneError;
use super::lanes::Lanes;
use super::measures::{Measures, class_measures, likeliest, value_measures};
use super::settings::Strands;
use super::task::{Target, Task};

/// Sequences that a thread takes at a time.
pub(super) const AT_A_TIME: usize = 16;

/// All that has to be known beside the weights to apply a tuned model.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What its outputs stand for.
    pub task: Task,
    /// Bases of a sequence that are used, around its centre.
    pub longest: usize,
    /// Which strands are predicted from.
    pub strands: Strands,
}

/// What was predicted for a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The line of its table.
    pub line: u64,
    /// Its label as written; none where the table has none.
    pub label: Option<String>,
    /// The probability of each class, or the value.
    pub said: Vec<f64>,
}

impl Prediction {
    /// The place of the likeliest class, the first of equal ones.
    pub fn likeliest(&self) -> usize {
        likeliest(&self.said)
    }
}

/// Counts sequences for a watch.
pub(super) struct Progress<'a> {
    pub(super) watch: &'a dyn Watch,
    done: AtomicU64,
    all: AtomicU64,
}

impl<'a> Progress<'a> {
    pub(super) fn new(watch: &'a dyn Watch) -> Self {
        Self { watch, done: AtomicU64::new(0), all: AtomicU64::new(0) }
    }

    /// So many sequences are still to be passed.
    pub(super) fn expect(&self, sequences: usize) {
        self.all.fetch_add(sequences as u64, Ordering::Relaxed);
    }

    /// A sequence of so many bases has been passed.
    pub(super) fn passed(&self, bases: usize) -> Result<(), FineTuneError> {
        let done = 1 + self.done.fetch_add(1, Ordering::Relaxed);
        self.watch.advanced(bases as u64);
        self.watch.counted(done, Some(self.all.load(Ordering::Relaxed)));
        self.check()
    }

    pub(super) fn check(&self) -> Result<(), FineTuneError> {
        if self.watch.is_cancelled() { Err(FineTuneError::Cancelled) } else { Ok(()) }
    }
}

/// How sequences pass a model.
pub(super) struct Passes<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    /// Whether both strands pass one after another.
    pub(super) both: bool,
    pub(super) lanes: &'a Lanes,
    pub(super) progress: &'a Progress<'a>,
}

impl Passes<'_> {
    /// Final hidden states averaged over positions and strands, `[D]` of each sequence: what `score` is multiplied by.
    pub(super) fn hidden(&self, model: &Model<Cpu>, examples: &[&Example]) -> Result<Vec<Vec<f32>>, FineTuneError> {
        self.each(model, examples, |ids, scratch| {
            let mut sums = Sums { sums: vec![0.0; model.width()], watch: self.progress.watch };
            let request = Request { taps: &[Tap::Last], logits: false };
            if model.encode(ids, Chunking::Auto, &request, scratch, &mut sums).is_break() {
                return Err(FineTuneError::Cancelled);
            }
            Ok(sums.mean(ids.len(), model.config().d_model))
        })
    }

    /// The outputs of the model's head.
    pub(super) fn outputs(&self, model: &Model<Cpu>, examples: &[&Example]) -> Result<Vec<Vec<f64>>, FineTuneError> {
        let outputs = self.each(model, examples, |ids, scratch| {
            let logits = model.classify(ids, Chunking::Auto, scratch).expect("the model was given a head");
            Ok(logits)
        })?;
        Ok(outputs.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect())
    }

    /// The mean over strands of what is made of each.
    fn each(
        &self,
        model: &Model<Cpu>,
        examples: &[&Example],
        make: impl Fn(&[u8], &mut Scratch<f32>) -> Result<Vec<f32>, FineTuneError> + Sync,
    ) -> Result<Vec<Vec<f32>>, FineTuneError> {
        let mut made = vec![Vec::new(); examples.len()];
        let jobs = examples.chunks(AT_A_TIME).zip(made.chunks_mut(AT_A_TIME)).collect();
        let longest = examples.iter().map(|example| example.ids.len()).max().unwrap_or_default();
        self.lanes.each(
            jobs,
            longest,
            || model.scratch(),
            |scratch, (examples, made): (&[&Example], &mut [Vec<f32>])| {
                for (example, made) in examples.iter().zip(made) {
                    *made = make(&example.ids, scratch)?;
                    if self.both {
                        let other = make(&oriented(&example.ids, true, self.vocabulary), scratch)?;
                        made.iter_mut().zip(other).for_each(|(x, y)| *x = 0.5 * (*x + y));
                    }
                    self.progress.passed(example.ids.len())?;
                }
                Ok(())
            },
        )?;
        Ok(made)
    }
}

/// Adds up hidden states, `[D]`, or of an equivariant model `[2 D]`.
struct Sums<'a> {
    sums: Vec<f64>,
    watch: &'a dyn Watch,
}

impl Sums<'_> {
    /// The mean over positions and halves. The second half has its channels reversed.
    fn mean(&self, len: usize, d_model: usize) -> Vec<f32> {
        let (first, second) = self.sums.split_at(d_model);
        let len = len as f64;
        match second {
            [] => first.iter().map(|sum| (sum / len) as f32).collect(),
            second => first.iter().zip(second.iter().rev()).map(|(a, b)| ((a + b) / (2.0 * len)) as f32).collect(),
        }
    }
}

impl Observer<f32> for Sums<'_> {
    fn hidden(&mut self, _: Tap, _: u64, rows: Rows<'_, f32>) {
        for t in 0..rows.len() {
            self.sums.iter_mut().zip(rows.row(t)).for_each(|(sum, &x)| *sum += f64::from(x));
        }
    }

    fn advanced(&mut self, _: u64) -> ControlFlow<()> {
        self.watch.flow()
    }
}

/// What outputs say of sequences.
pub(super) fn predictions(task: &Task, examples: &[&Example], outputs: &[Vec<f64>]) -> Vec<Prediction> {
    let one = |(example, outputs): (&&Example, &Vec<f64>)| Prediction {
        line: example.line,
        label: example.label.clone(),
        said: task.said(outputs),
    };
    examples.iter().zip(outputs).map(one).collect()
}

/// How good predictions are.
pub(super) fn measures(predictions: &[Prediction], targets: &[Target]) -> Measures {
    let classes: Option<Vec<usize>> = targets
        .iter()
        .map(|target| match target {
            Target::Class(class) => Some(*class),
            Target::Value(_) => None,
        })
        .collect();
    let said = || predictions.iter().map(|prediction| prediction.said.clone());
    match classes {
        Some(classes) => class_measures(&said().collect::<Vec<_>>(), &classes),
        None => {
            let value = |target: &Target| match target {
                Target::Value(value) => *value,
                Target::Class(class) => *class as f64,
            };
            let labels: Vec<f64> = targets.iter().map(value).collect();
            value_measures(&said().map(|said| said[0]).collect::<Vec<_>>(), &labels)
        }
    }
}

/// The mean loss of outputs, by the sequences' weights.
pub(super) fn mean_loss(task: &Task, outputs: &[Vec<f64>], part: &Part<'_>, weights: &[f64]) -> f64 {
    let losses = outputs.iter().zip(&part.targets).zip(weights);
    let sum: f64 = losses.map(|((outputs, &target), weight)| weight * task.loss(outputs, target)).sum();
    sum / weights.iter().sum::<f64>()
}
