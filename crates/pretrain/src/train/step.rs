//! One step: gradients of its windows, and the update.
//!
//! A rank's windows are divided into groups by their number alone. The sequences of a group add up one after another; groups
//! are computed side by side where sequences are short, or one by one with all threads where they are long, and are added in
//! their order. So the bits do not depend on the threads. Then the ranks' sums are added in the order of ranks.

use std::{
    num::NonZeroUsize,
    ops::{ControlFlow, Range},
};

use longstrand_kernels::Cpu;
use longstrand_model::{
    Chunking, Crew, Meter, Watch,
    checkpoint::{TensorSpec, Weights},
    config::Config,
    train::{Course, Example, Gradients, Loss, TrainScratch, Trainee},
};
use rayon::ThreadPoolBuildError;

#[cfg(feature = "cuda")]
use super::gpu::GpuPasses;
use super::{
    Division, TrainError, TrainingProcessor,
    division::{Windows, share},
    stretches::Stretches,
};
use crate::{
    collectives::{Buckets, CollectiveError, Collectives, Ranks},
    objective::Batch,
    optimizer::{AdamW, AdamWOptions, clip_factor, global_norm},
};

/// A model that learns, with all that it needs for it.
pub struct Learner {
    processor: TrainingProcessor,
    config: Config,
    weights: Weights,
    optimizer: AdamW,
    clip: f64,
    crew: Crew<TrainScratch<f32>>,
    #[cfg(feature = "cuda")]
    gpu: GpuPasses,
    sets: Vec<Gradients<f32>>,
    /// Which gradients ranks sum together.
    buckets: Buckets,
    /// The ranks that own windows together with this one.
    stretches: Stretches,
}

/// The gradients of a step, summed over its windows.
#[derive(Clone, Debug, PartialEq)]
pub struct StepGradients {
    sums: Weights,
    /// Of all targets.
    pub loss: Loss,
    /// What makes the gradient of the mean loss of the sums.
    factor: f64,
    /// The norm of the gradient of the mean loss.
    pub norm: f64,
    /// Whether a rank is to stop behind this step.
    pub is_last: bool,
}

impl Learner {
    /// A model with an optimizer that has not moved yet.
    pub fn new(
        processor: impl Into<TrainingProcessor>,
        config: Config,
        weights: Weights,
        options: AdamWOptions,
        clip: f64,
        threads: NonZeroUsize,
    ) -> Self {
        let specs = TensorSpec::all(&config);
        let optimizer = AdamW::new(options, specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice())));
        let processor = processor.into();
        let crew = Crew::new(threads, TrainScratch::new(&config, processor.precision()));
        let buckets = Buckets::new(&weights.tensors().iter().map(|x| x.len()).collect::<Vec<_>>(), Buckets::BYTES);
        Self {
            processor,
            config,
            weights,
            optimizer,
            clip,
            crew,
            #[cfg(feature = "cuda")]
            gpu: GpuPasses::default(),
            sets: Vec::new(),
            buckets,
            stretches: Stretches::default(),
        }
    }

    /// Lets so many bytes of the host's memory be used by a long window that a GPU has no room for.
    #[cfg(feature = "cuda")]
    pub(super) fn set_host_room(&mut self, bytes: u64) {
        self.gpu.host_room = bytes;
    }

    /// Owns its windows together with other ranks from now on, each a stretch of every window: those of a group that stand side
    /// by side among all ranks. What they have to be given are whole windows all the same. GPUs do not.
    pub fn share_windows(&mut self, group: Ranks) {
        self.stretches = Stretches::new(group);
    }

    /// What it is computed on.
    pub fn processor(&self) -> &TrainingProcessor {
        &self.processor
    }

    /// The model's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// Puts other weights and another state of the optimizer in the place of these.
    pub(super) fn restore(&mut self, weights: Weights, optimizer: AdamW) {
        (self.weights, self.optimizer) = (weights, optimizer);
    }

    /// The gradients of a step, the same ones on every rank; `None` where a rank has broken its part off, as its watch stops
    /// it. `division` is the whole step's, and `read` gives the window of an index below `division.windows`, a batch of one; it
    /// is called from several threads, in any order, for this rank's windows.
    ///
    /// # Errors
    ///
    /// - those of `read`
    /// - the system does not give threads
    /// - ranks are parted
    ///
    /// # Panics
    ///
    /// When the model has no language-model head, or a window is not of the division's length.
    pub fn gradients<C>(
        &mut self,
        division: Division,
        read: impl Fn(u32) -> Result<Batch, TrainError> + Sync,
        ranks: &mut C,
        watch: &dyn Watch,
    ) -> Result<Option<StepGradients>, TrainError>
    where
        C: Collectives<Values = Vec<f32>> + ?Sized,
    {
        let passed = self.pass(division, read, ranks, watch);
        if let Err(TrainError::Ranks(error)) = passed {
            // All ranks together know best which one is gone, and tell those that have not come that far.
            Account { is_broken_off: true, ..Account::default() }.sum(ranks)?;
            return Err(error.into());
        }
        let account = Account::of(passed, watch)?.sum(ranks)?;
        if account.is_broken_off {
            return Ok(None);
        }
        let Self { config, weights, crew, sets, buckets, .. } = self;
        let mut sums = crew.install(|| sets[0].fold(config, weights))?;
        buckets.sum(&mut sums.tensors_mut(), ranks)?;
        Ok(Some(crew.install(|| StepGradients::new(sums, &account, division.bases() as f64))?))
    }

    /// Puts the gradients of this rank's windows in the place of the first set, and returns their loss.
    fn pass<C>(
        &mut self,
        division: Division,
        read: impl Fn(u32) -> Result<Batch, TrainError> + Sync,
        ranks: &C,
        watch: &dyn Watch,
    ) -> Result<Loss, TrainError>
    where
        C: Collectives + ?Sized,
    {
        let group = self.stretches.size();
        let windows = share(division.windows, ranks.rank() / group, ranks.world_size() / group);
        let own = Division { windows: windows.end - windows.start, context: group, ..division };
        let stretch = self.stretches.own(division.length);
        let pass = Windows { read: &read, watch, step: division, own, first: windows.start, stretch };
        match self.processor {
            TrainingProcessor::Cpu(cpu) => self.pass_on_cpu(cpu, &pass),
            #[cfg(feature = "cuda")]
            TrainingProcessor::Cuda { .. } => {
                self.make_sets(1);
                let Self { processor, config, weights, gpu, crew, sets, .. } = self;
                crew.install(|| gpu.gradients((processor, config, weights), &pass, &mut sets[0]))?
            }
        }
    }

    fn pass_on_cpu<R>(&mut self, cpu: Cpu, windows: &Windows<'_, R>) -> Result<Loss, TrainError>
    where
        R: Fn(u32) -> Result<Batch, TrainError> + Sync,
    {
        let threads = self.crew.threads();
        self.make_sets(windows.own.gradient_sets(threads));
        let Self { config, weights, crew, sets, stretches, .. } = self;
        let trainee = crew.install(|| Trainee::new(cpu, config, weights))?;
        let pass = Pass { trainee: &trainee, windows };
        match windows.own.at_a_time(threads) {
            1 => pass.one_by_one(crew, sets, stretches),
            _ => pass.side_by_side(crew, sets),
        }
    }

    /// Makes sure that there are so many sets of gradients.
    fn make_sets(&mut self, count: usize) {
        while self.sets.len() < count {
            self.sets.push(Gradients::new(&self.config, &self.weights));
        }
    }

    /// Moves the weights against gradients, which must be finite.
    ///
    /// # Errors
    ///
    /// - the system does not give threads
    pub fn update(&mut self, rate: f64, gradients: &StepGradients) -> Result<(), ThreadPoolBuildError> {
        let factor = gradients.factor * clip_factor(gradients.norm, self.clip);
        let Self { weights, optimizer, crew, .. } = self;
        crew.install(|| optimizer.update(rate, factor, &mut weights.tensors_mut(), &gradients.sums.tensors()))
    }
}

/// What ranks tell each other of a step before they sum its gradients.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    loss: Loss,
    /// Whether a rank has broken off.
    is_broken_off: bool,
    /// Whether a rank is to stop.
    is_last: bool,
}

impl Account {
    /// Of this rank, whose watch may have stopped it; other errors are errors.
    fn of(passed: Result<Loss, TrainError>, watch: &dyn Watch) -> Result<Self, TrainError> {
        match passed {
            Ok(loss) => Ok(Self { loss, is_last: watch.is_cancelled(), ..Self::default() }),
            Err(TrainError::Cancelled { .. }) => Ok(Self { is_broken_off: true, ..Self::default() }),
            Err(error) => Err(error),
        }
    }

    /// Of all ranks. Counts are whole numbers that f64 has.
    fn sum<C: Collectives + ?Sized>(self, ranks: &mut C) -> Result<Self, CollectiveError> {
        let Loss { sum, weight, counted, correct } = self.loss;
        let flag = |is_set: bool| f64::from(u8::from(is_set));
        let mut sums = [sum, weight, counted as f64, correct as f64, flag(self.is_broken_off), flag(self.is_last)];
        ranks.sum_f64(&mut sums)?;
        let [sum, weight, counted, correct, broken_off, last] = sums;
        let loss = Loss { sum, weight, counted: counted as u64, correct: correct as u64 };
        Ok(Self { loss, is_broken_off: broken_off > 0.0, is_last: last > 0.0 })
    }
}

impl StepGradients {
    /// The sums were taken of losses divided by `tokens`, as the number of targets is known only when all windows have been
    /// read.
    fn new(sums: Weights, account: &Account, tokens: f64) -> Self {
        let Account { loss, is_last, .. } = *account;
        let factor = if loss.weight > 0.0 { tokens / loss.weight } else { 1.0 };
        let norm = factor * global_norm(&sums.tensors());
        Self { sums, loss, factor, norm, is_last }
    }

    /// The mean loss, in nats; none without a target.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.loss.weight > 0.0).then(|| self.loss.sum / self.loss.weight)
    }

    /// The part of the targets that is correct; none without a target.
    pub fn accuracy(&self) -> Option<f64> {
        (self.loss.counted > 0).then(|| self.loss.correct as f64 / self.loss.counted as f64)
    }

    /// Whether they can be used.
    pub fn are_finite(&self) -> bool {
        self.norm.is_finite() && self.loss.sum.is_finite()
    }
}

/// A rank's passes of a step.
struct Pass<'a, R> {
    trainee: &'a Trainee<Cpu>,
    windows: &'a Windows<'a, R>,
}

impl<R> Pass<'_, R>
where
    R: Fn(u32) -> Result<Batch, TrainError> + Sync,
{
    /// Computes the groups one after another by all threads.
    fn one_by_one(
        &self,
        crew: &mut Crew<TrainScratch<f32>>,
        sets: &mut [Gradients<f32>],
        stretches: &mut Stretches,
    ) -> Result<Loss, TrainError> {
        let (first, rest) = sets.split_first_mut().expect("a step has a group");
        let mut loss = Loss::default();
        let jobs = self.windows.own.groups().enumerate().collect();
        crew.together(jobs, |(i, windows): (usize, Range<u32>), scratch| {
            let of_group = match rest.first_mut().filter(|_| i > 0) {
                None => self.group(windows, stretches, scratch, first)?,
                Some(other) => {
                    let of_group = self.group(windows, stretches, scratch, other)?;
                    first.add(other);
                    of_group
                }
            };
            loss = loss.and(of_group);
            Ok::<(), TrainError>(())
        })?;
        Ok(loss)
    }

    /// Computes the groups at the same time, each by one thread, and adds them in their order.
    fn side_by_side(
        &self,
        crew: &mut Crew<TrainScratch<f32>>,
        sets: &mut [Gradients<f32>],
    ) -> Result<Loss, TrainError> {
        let mut losses = vec![Loss::default(); self.windows.own.n_groups() as usize];
        let jobs = self.windows.own.groups().zip(sets.iter_mut().zip(&mut losses)).collect();
        crew.side_by_side(jobs, |(windows, (set, loss)): (Range<u32>, (&mut Gradients<f32>, &mut Loss)), scratch| {
            *loss = self.group(windows, &mut Stretches::default(), scratch, set)?;
            Ok::<(), TrainError>(())
        })?;
        let (first, others) = sets[..losses.len()].split_first_mut().expect("a step has a group");
        others.iter().for_each(|other| first.add(other));
        Ok(losses.into_iter().fold(Loss::default(), Loss::and))
    }

    /// Puts the gradients of a group in the place of what the set held.
    fn group(
        &self,
        windows: Range<u32>,
        stretches: &mut Stretches,
        scratch: &mut TrainScratch<f32>,
        set: &mut Gradients<f32>,
    ) -> Result<Loss, TrainError> {
        set.zero();
        let of = self.windows;
        let (mut loss, tokens) = (Loss::default(), of.step.bases() as f64);
        for index in windows {
            let batch = of.read(index)?;
            let at = of.stretch.clone();
            let weights = batch.weights.as_deref().map(|weights| &weights[at.clone()]);
            let example = Example { ids: &batch.ids[at.clone()], labels: &batch.labels[at.clone()], weights };
            let bases = of.bases(index + 1) - of.bases(index);
            let mut meter = Meter::new(of.watch, bases, self.trainee.work(at.len() as u64));
            let course = &mut Course { context: &mut *stretches, meter: &mut meter };
            match self.trainee.gradients_of_stretch(&example, tokens, Chunking::Auto, scratch, set, course) {
                ControlFlow::Continue(of_window) => {
                    loss = loss.and(of_window.expect("what is pretrained is a language model"));
                }
                ControlFlow::Break(()) => {
                    let parted = stretches.parted().map(TrainError::Ranks);
                    return Err(parted.unwrap_or(TrainError::Cancelled { resumable: true }));
                }
            }
        }
        Ok(loss)
    }
}
