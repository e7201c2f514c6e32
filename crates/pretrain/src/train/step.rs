//! One step: gradients of its windows, and the update.
//!
//! The windows are divided into groups by their number alone. The sequences of a group add up one after another; groups are
//! computed side by side where sequences are short, or one by one with all threads where they are long, and are added in
//! their order. So the bits do not depend on the threads.

use std::{num::NonZeroUsize, ops::Range};

use longstrand_kernels::{Backend, Cpu};
use longstrand_model::{
    Chunking, Crew, Watch,
    checkpoint::{TensorSpec, Weights},
    config::Config,
    train::{Example, Gradients, Loss, TrainScratch, Trainee},
};
use rayon::ThreadPoolBuildError;

use crate::{
    objective::Batch,
    optimizer::{AdamW, AdamWOptions, clip_factor, global_norm},
};

/// The most groups of a step.
const MOST_GROUPS: u32 = 32;

/// How the windows of a step are worked on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Division {
    /// Windows of the step, all groups together.
    pub windows: u32,
    /// Bases of a window.
    pub length: u64,
}

impl Division {
    /// Groups of windows that are added up on their own.
    pub fn n_groups(&self) -> u32 {
        self.windows.min(MOST_GROUPS)
    }

    fn groups(&self) -> impl Iterator<Item = Range<u32>> {
        let (windows, n) = (u64::from(self.windows), u64::from(self.n_groups()));
        let border = move |group: u64| (group * windows / n) as u32;
        (0..n).map(move |group| border(group)..border(group + 1))
    }

    /// Windows that are under way at a time, each with a scratch.
    pub fn at_a_time(&self, threads: NonZeroUsize) -> usize {
        let is_long = self.length >= Crew::<TrainScratch<f32>>::LONG as u64;
        if is_long { 1 } else { threads.get().min(self.n_groups() as usize) }
    }

    /// Sets of gradients that are held at a time.
    pub fn gradient_sets(&self, threads: NonZeroUsize) -> usize {
        let groups = self.n_groups() as usize;
        if self.at_a_time(threads) == 1 { groups.min(2) } else { groups }
    }
}

/// A model that learns, with all that it needs for it.
pub struct Learner {
    backend: Cpu,
    config: Config,
    weights: Weights,
    optimizer: AdamW,
    clip: f64,
    crew: Crew<TrainScratch<f32>>,
    sets: Vec<Gradients<f32>>,
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
}

impl Learner {
    /// A model with an optimizer that has not moved yet.
    pub fn new(
        backend: Cpu,
        config: Config,
        weights: Weights,
        options: AdamWOptions,
        clip: f64,
        threads: NonZeroUsize,
    ) -> Self {
        let specs = TensorSpec::all(&config);
        let optimizer = AdamW::new(options, specs.iter().map(|spec| (spec.name.as_str(), spec.shape.as_slice())));
        let crew = Crew::new(threads, TrainScratch::new(&config, backend.precision()));
        Self { backend, config, weights, optimizer, clip, crew, sets: Vec::new() }
    }

    /// What it is computed on.
    pub fn backend(&self) -> Cpu {
        self.backend
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

    /// The gradients of a step. `read` gives the window of an index below `division.windows`, a batch of one; it is called
    /// from several threads, in any order.
    ///
    /// # Errors
    ///
    /// - those of `read`
    /// - the system does not give threads
    ///
    /// # Panics
    ///
    /// When the model has no language-model head, or a window is not of the division's length.
    pub fn gradients<E>(
        &mut self,
        division: Division,
        read: impl Fn(u32) -> Result<Batch, E> + Sync,
        watch: &dyn Watch,
    ) -> Result<StepGradients, E>
    where
        E: From<ThreadPoolBuildError> + Send,
    {
        let threads = self.crew.threads();
        while self.sets.len() < division.gradient_sets(threads) {
            self.sets.push(Gradients::new(&self.config, &self.weights));
        }
        let Self { backend, config, weights, crew, sets, .. } = self;
        let trainee = crew.install(|| Trainee::new(*backend, config, weights))?;
        let pass = Pass { trainee: &trainee, read: &read, watch, division };
        let loss = match division.at_a_time(threads) {
            1 => pass.one_by_one(crew, sets)?,
            _ => pass.side_by_side(crew, sets)?,
        };
        drop(trainee);
        let sums = crew.install(|| sets[0].fold(config, weights))?;
        Ok(self.crew.install(|| StepGradients::new(sums, loss, division.tokens()))?)
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

impl Division {
    fn tokens(&self) -> f64 {
        f64::from(self.windows) * self.length as f64
    }
}

impl StepGradients {
    /// The sums were taken of losses divided by `tokens`, as the number of targets is known only when all windows have been
    /// read.
    ///
    /// Where several processes share a step, this is where they meet: sums and losses are added over all of them before the
    /// norm is taken, and all go on with the same bits.
    fn new(sums: Weights, loss: Loss, tokens: f64) -> Self {
        let factor = if loss.weight > 0.0 { tokens / loss.weight } else { 1.0 };
        let norm = factor * global_norm(&sums.tensors());
        Self { sums, loss, factor, norm }
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

/// A step's passes.
struct Pass<'a, R> {
    trainee: &'a Trainee<Cpu>,
    read: &'a R,
    watch: &'a dyn Watch,
    division: Division,
}

impl<E, R> Pass<'_, R>
where
    E: From<ThreadPoolBuildError> + Send,
    R: Fn(u32) -> Result<Batch, E> + Sync,
{
    /// Computes the groups one after another by all threads.
    fn one_by_one(&self, crew: &mut Crew<TrainScratch<f32>>, sets: &mut [Gradients<f32>]) -> Result<Loss, E> {
        let (first, rest) = sets.split_first_mut().expect("a step has a group");
        let mut loss = Loss::default();
        let jobs = self.division.groups().enumerate().collect();
        crew.together(jobs, |(i, windows): (usize, Range<u32>), scratch| {
            let of_group = match rest.first_mut().filter(|_| i > 0) {
                None => self.group(windows, scratch, first)?,
                Some(other) => {
                    let of_group = self.group(windows, scratch, other)?;
                    first.add(other);
                    of_group
                }
            };
            loss = loss.and(of_group);
            Ok::<(), E>(())
        })?;
        Ok(loss)
    }

    /// Computes the groups at the same time, each by one thread, and adds them in their order.
    fn side_by_side(&self, crew: &mut Crew<TrainScratch<f32>>, sets: &mut [Gradients<f32>]) -> Result<Loss, E> {
        let mut losses = vec![Loss::default(); self.division.n_groups() as usize];
        let jobs = self.division.groups().zip(sets.iter_mut().zip(&mut losses)).collect();
        crew.side_by_side(jobs, |(windows, (set, loss)): (Range<u32>, (&mut Gradients<f32>, &mut Loss)), scratch| {
            *loss = self.group(windows, scratch, set)?;
            Ok::<(), E>(())
        })?;
        let (first, others) = sets[..losses.len()].split_first_mut().expect("a step has a group");
        others.iter().for_each(|other| first.add(other));
        Ok(losses.into_iter().fold(Loss::default(), Loss::and))
    }

    /// Puts the gradients of a group in the place of what the set held.
    fn group(&self, windows: Range<u32>, scratch: &mut TrainScratch<f32>, set: &mut Gradients<f32>) -> Result<Loss, E> {
        set.zero();
        let mut loss = Loss::default();
        for index in windows {
            let batch = (self.read)(index)?;
            assert_eq!(batch.ids.len() as u64, self.division.length, "a window of the step's length");
            let example = Example { ids: &batch.ids, labels: &batch.labels, weights: batch.weights.as_deref() };
            let tokens = self.division.tokens();
            let of_window = self.trainee.gradients(&example, tokens, Chunking::Auto, scratch, set);
            loss = loss.and(of_window.expect("what is pretrained is a language model"));
            self.watch.advanced(self.division.length);
        }
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_all_windows_in_order() {
        for windows in [1, 2, 7, 31, 32, 33, 1_024, 1_000_003] {
            let division = Division { windows, length: 8 };
            let groups: Vec<_> = division.groups().collect();
            assert_eq!(groups.len() as u32, division.n_groups());
            assert!(groups.iter().all(|group| !group.is_empty()));
            assert_eq!((groups[0].start, groups[groups.len() - 1].end), (0, windows));
            assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn long_windows_go_one_by_one() {
        let threads = NonZeroUsize::new(4).unwrap();
        let held = |windows, length| {
            let division = Division { windows, length };
            (division.at_a_time(threads), division.gradient_sets(threads))
        };
        assert_eq!(held(100, 1_024), (4, 32));
        assert_eq!(held(3, 1_024), (3, 3));
        assert_eq!(held(1, 1_024), (1, 1));
        assert_eq!(held(8, 131_072), (1, 2));
    }
}
