//! What a model makes of sequences: hidden states for a head, or a head's outputs.

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use longstrand_kernels::Rows;
use longstrand_model::{Chunking, Engine, Excess, Observer, Pooling, Request, Scratch, Tap, VectorObserver, Watch};
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
    pub(super) fn hidden(&self, model: &Engine, examples: &[&Example]) -> Result<Vec<Vec<f32>>, FineTuneError> {
        self.each(model, examples, |ids, scratch| {
            let mut sums = Sums { sums: vec![0.0; model.width()], rows: 0, watch: self.progress.watch };
            let request = Request { taps: &[Tap::Last], logits: false };
            let mean = Pooling::mean(0..ids.len() as u64);
            // On a CPU nothing is rounded to f32 before halves are added.
            let flow = match model.gathers() {
                true => model.pool(ids, Chunking::Auto, request.taps, &mean, scratch, &mut sums),
                false => model.encode(ids, Chunking::Auto, &request, scratch, &mut sums),
            };
            match flow {
                ControlFlow::Continue(()) => Ok(sums.mean(model.config().d_model)),
                ControlFlow::Break(()) => Err(stopped(model)),
            }
        })
    }

    /// The outputs of the model's head.
    pub(super) fn outputs(&self, model: &Engine, examples: &[&Example]) -> Result<Vec<Vec<f64>>, FineTuneError> {
        let outputs =
            self.each(model, examples, |ids, scratch| match model.classify(ids, Chunking::Auto, scratch) {
                ControlFlow::Continue(logits) => Ok(logits.expect("the model was given a head")),
                ControlFlow::Break(()) => Err(stopped(model)),
            })?;
        Ok(outputs.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect())
    }

    /// The mean over strands of what is made of each.
    ///
    /// A GPU passes those of one length together, so they come to it by their lengths, the longest first.
    fn each(
        &self,
        model: &Engine,
        examples: &[&Example],
        make: impl Fn(&[u8], &mut Scratch<f32>) -> Result<Vec<f32>, FineTuneError> + Sync,
    ) -> Result<Vec<Vec<f32>>, FineTuneError> {
        let mut made = vec![Vec::new(); examples.len()];
        let mut rows: Vec<(&Example, &mut Vec<f32>)> = examples.iter().copied().zip(&mut made).collect();
        let longest = examples.iter().map(|example| example.ids.len()).max().unwrap_or_default();
        let work = |scratch: &mut Scratch<f32>, rows: &mut [(&Example, &mut Vec<f32>)]| {
            for (example, made) in rows {
                **made = make(&example.ids, scratch)?;
                if self.both {
                    let other = make(&oriented(&example.ids, true, self.vocabulary), scratch)?;
                    made.iter_mut().zip(other).for_each(|(x, y)| *x = 0.5 * (*x + y));
                }
                self.progress.passed(example.ids.len())?;
            }
            Ok(())
        };
        match waiting(model, longest) {
            Some(_) => {
                rows.sort_by_key(|(example, _)| Reverse(example.ids.len()));
                let lanes = |(example, _): &(&Example, _)| waiting(model, example.ids.len()).unwrap_or(1);
                // One that fills the GPU keeps no others from being passed together.
                for alike in rows.chunk_by_mut(|a, b| lanes(a) == lanes(b)) {
                    Lanes::waiting(lanes(&alike[0]), alike.chunks_mut(1).collect(), || model.scratch(), work)?;
                }
            }
            None => self.lanes.each(rows.chunks_mut(AT_A_TIME).collect(), longest, || model.scratch(), work)?,
        }
        Ok(made)
    }
}

/// How many sequences wait for a GPU at a time where the longest one is so long; nothing of a CPU.
pub(super) fn waiting(model: &Engine, longest: usize) -> Option<usize> {
    model.gathers().then(|| match model.lanes(longest, usize::MAX, NonZeroUsize::MIN) {
        longstrand_model::Lanes::SideBySide(lanes) => lanes.get(),
        longstrand_model::Lanes::Together => 1,
    })
}

/// Refuses sequences of which the longest takes more of a GPU's memory than there is.
pub(super) fn check_gpu(model: &Engine, longest: usize) -> Result<(), Excess> {
    model.check_window(Chunking::Auto, longest as u64, None)
}

/// Why a pass broke off.
fn stopped(model: &Engine) -> FineTuneError {
    model.failure().map_or(FineTuneError::Cancelled, FineTuneError::Engine)
}

/// Adds up hidden states or means of them, `[D]`, or of an equivariant model `[2 D]`.
struct Sums<'a> {
    sums: Vec<f64>,
    /// How many there are.
    rows: usize,
    watch: &'a dyn Watch,
}

impl Sums<'_> {
    fn add(&mut self, rows: Rows<'_, f32>) {
        self.rows += rows.len();
        for t in 0..rows.len() {
            self.sums.iter_mut().zip(rows.row(t)).for_each(|(sum, &x)| *sum += f64::from(x));
        }
    }

    /// The mean over rows and halves. The second half has its channels reversed.
    fn mean(&self, d_model: usize) -> Vec<f32> {
        let (first, second) = self.sums.split_at(d_model);
        let rows = self.rows as f64;
        match second {
            [] => first.iter().map(|sum| (sum / rows) as f32).collect(),
            second => first.iter().zip(second.iter().rev()).map(|(a, b)| ((a + b) / (2.0 * rows)) as f32).collect(),
        }
    }
}

impl Observer<f32> for Sums<'_> {
    fn hidden(&mut self, _: Tap, _: u64, rows: Rows<'_, f32>) {
        self.add(rows);
    }

    fn advanced(&mut self, _: u64) -> ControlFlow<()> {
        self.watch.flow()
    }
}

impl VectorObserver for Sums<'_> {
    fn vectors(&mut self, _: Tap, _: usize, rows: Rows<'_, f32>) {
        self.add(rows);
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
