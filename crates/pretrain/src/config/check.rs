//! From settings to what they mean, with every value in its range.

use longstrand_model::config::Config;
use longstrand_seq::Vocabulary;

use super::{ConfigError, ObjectiveKind, ScheduleKind, Settings, SplitKind};
use crate::{
    objective::{Masking, Objective, Preparation},
    optimizer::AdamWOptions,
    sample::{Lengths, SampleOptions},
    schedule::{Form, Schedule, Warmup},
    split::{ROW, Reading, SplitRule},
};

impl Settings {
    /// Whether all values are in range and go together.
    ///
    /// # Errors
    ///
    /// - one is not, or they do not; the message names the setting
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_run()?;
        self.check_data()?;
        self.check_optimizer()?;
        self.model_config()?;
        self.preparation()?;
        self.schedule()?;
        self.split_rule()?;
        self.check_objective()
    }

    /// The model's configuration.
    ///
    /// # Errors
    ///
    /// - a size is out of range
    pub fn model_config(&self) -> Result<Config, ConfigError> {
        self.model.config(self.lengths()?.longest())
    }

    /// The length of windows at every step, whole batches of which make the tokens of a step.
    ///
    /// # Errors
    ///
    /// - the lengths are no schedule, or one does not divide the tokens of a step
    pub fn lengths(&self) -> Result<Lengths, ConfigError> {
        let data = &self.data;
        let error = |key, error: crate::sample::LengthError| ConfigError::Flag {
            key: String::from(key),
            message: error.to_string(),
        };
        let lengths = match data.stages.as_slice() {
            [] if data.length == 0 => return Err(ConfigError::value("data.length", "at least 1 base", 0)),
            [] => Lengths::constant(data.length),
            stages => Lengths::new(stages.to_vec()).map_err(|e| error("data.stages", e))?,
        };
        lengths.check(self.run.tokens).map_err(|e| error("run.tokens", e))?;
        Ok(lengths)
    }

    /// How training windows are drawn.
    pub fn sampling(&self) -> SampleOptions {
        SampleOptions {
            seed: self.run.seed,
            reverse_complement: self.data.reverse_complement,
            max_ambiguous: self.data.max_ambiguous,
        }
    }

    /// How validation windows are drawn.
    pub fn validation_sampling(&self) -> SampleOptions {
        SampleOptions { seed: self.validation.seed, reverse_complement: 0.0, ..self.sampling() }
    }

    /// The length of validation windows.
    ///
    /// # Errors
    ///
    /// As [`Self::lengths`].
    pub fn validation_length(&self) -> Result<u64, ConfigError> {
        Ok(self.validation.length.unwrap_or(self.lengths()?.longest()))
    }

    /// What is learned.
    pub fn objective(&self) -> Objective {
        let objective = &self.objective;
        match objective.kind {
            ObjectiveKind::Causal => Objective::Causal,
            ObjectiveKind::Masked => Objective::Masked(Masking {
                select: objective.select,
                mask: objective.mask,
                random: objective.random,
                random_ids: objective.random_ids,
            }),
        }
    }

    /// What makes windows into what is learned.
    ///
    /// # Errors
    ///
    /// - a fraction or weight is out of range
    pub fn preparation(&self) -> Result<Preparation, ConfigError> {
        Preparation::new(self.objective(), Vocabulary::caduceus(), self.objective.soft_mask_weight)
            .map_err(|error| ConfigError::Flag { key: "objective".into(), message: error.to_string() })
    }

    /// The learning rate.
    ///
    /// # Errors
    ///
    /// - a rate or a part is out of range, or warm-up and decay are longer than the run
    pub fn schedule(&self) -> Result<Schedule, ConfigError> {
        let settings = &self.schedule;
        let steps = self.run.steps;
        for (key, rate) in
            [("schedule.start", settings.start), ("schedule.peak", settings.peak), ("schedule.final", settings.last)]
        {
            at_least_0(key, rate)?;
        }
        fraction("schedule.warmup", settings.warmup)?;
        fraction("schedule.decay", settings.decay)?;
        let part = |part: f64| (part * steps as f64).round() as u64;
        let warmup = settings.warmup_steps.unwrap_or(part(settings.warmup));
        let decay = if settings.kind == ScheduleKind::Wsd { part(settings.decay) } else { 0 };
        if warmup.saturating_add(decay) > steps {
            let expected = format!("a warm-up and decay of at most run.steps, {steps}, together");
            return Err(ConfigError::value("schedule", expected, format!("{warmup} and {decay}")));
        }
        let form = match settings.kind {
            ScheduleKind::Constant => Form::Constant,
            ScheduleKind::Cosine => Form::Cosine { steps, last: settings.last },
            ScheduleKind::Wsd => Form::WarmupStableDecay { steps, decay, last: settings.last },
        };
        let warmup = Warmup { start: settings.start, steps: warmup, first: settings.first_step };
        Ok(Schedule { warmup, peak: settings.peak, form })
    }

    /// How bases are divided.
    ///
    /// # Errors
    ///
    /// - what the kind of split needs is missing
    /// - the compatible reading has windows whose length does not divide a row
    pub fn split_rule(&self) -> Result<SplitRule, ConfigError> {
        let split = &self.data.split;
        match split.kind {
            SplitKind::Fraction => Ok(SplitRule::Fraction { valid: split.valid, test: split.test, gap: split.gap }),
            SplitKind::Contigs if split.valid_contigs.is_empty() && split.test_contigs.is_empty() => {
                Err(ConfigError::value("data.split.valid_contigs", "names of contigs, or test_contigs", "none"))
            }
            SplitKind::Contigs => {
                Ok(SplitRule::Contigs { valid: split.valid_contigs.clone(), test: split.test_contigs.clone() })
            }
            SplitKind::Bed => {
                self.check_rows()?;
                let missing = || ConfigError::value("data.split.bed", "a BED file", "none");
                Ok(SplitRule::Bed { path: split.bed.clone().ok_or_else(missing)?, reading: split.reading })
            }
        }
    }

    /// What AdamW does.
    pub fn optimizer(&self) -> AdamWOptions {
        let optimizer = &self.optimizer;
        AdamWOptions {
            beta1: optimizer.beta1,
            beta2: optimizer.beta2,
            epsilon: optimizer.epsilon,
            weight_decay: optimizer.weight_decay,
        }
    }

    fn check_rows(&self) -> Result<(), ConfigError> {
        let lengths = self.lengths()?;
        let uneven = lengths.stages().iter().find(|stage| !ROW.is_multiple_of(stage.length));
        match uneven.filter(|_| self.data.split.reading == Reading::Compatible) {
            Some(stage) => {
                let expected = format!("a divisor of {ROW} for the compatible reading of a split");
                Err(ConfigError::value("data.length", expected, stage.length))
            }
            None => Ok(()),
        }
    }

    fn check_run(&self) -> Result<(), ConfigError> {
        let run = &self.run;
        for (key, found) in [
            ("run.steps", run.steps),
            ("run.context_ranks", run.context_ranks),
            ("run.save_every", run.save_every),
            ("run.keep", run.keep),
        ] {
            if found == 0 {
                return Err(ConfigError::value(key, "at least 1", found));
            }
        }
        at_least_0("run.spike", run.spike)?;
        if self.validation.every > 0 && self.validation.windows == 0 {
            return Err(ConfigError::value("validation.windows", "at least 1, or validation.every = 0", 0));
        }
        if self.validation.length == Some(0) {
            return Err(ConfigError::value("validation.length", "at least 1 base", 0));
        }
        self.lengths().map(drop)
    }

    fn check_data(&self) -> Result<(), ConfigError> {
        fraction("data.reverse_complement", self.data.reverse_complement)?;
        fraction("data.max_ambiguous", self.data.max_ambiguous)?;
        let split = &self.data.split;
        fraction("data.split.valid", split.valid)?;
        fraction("data.split.test", split.test)?;
        if split.valid + split.test >= 1.0 {
            let found = format!("{} and {}", split.valid, split.test);
            return Err(ConfigError::value("data.split", "valid and test together below 1", found));
        }
        Ok(())
    }

    fn check_optimizer(&self) -> Result<(), ConfigError> {
        let optimizer = &self.optimizer;
        for (key, beta) in [("optimizer.beta1", optimizer.beta1), ("optimizer.beta2", optimizer.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return Err(ConfigError::value(key, "a number from 0 to below 1", beta));
            }
        }
        at_least_0("optimizer.weight_decay", optimizer.weight_decay)?;
        for (key, found) in [("optimizer.epsilon", optimizer.epsilon), ("optimizer.clip", optimizer.clip)] {
            // The optimizer computes in f32, where it may be nothing.
            if found.is_nan() || found as f32 <= 0.0 {
                return Err(ConfigError::value(key, "a number above 0", found));
            }
        }
        Ok(())
    }

    fn check_objective(&self) -> Result<(), ConfigError> {
        let (expected, found) = match (self.model.family.is_causal(), self.objective.kind) {
            (true, ObjectiveKind::Masked) => ("\"causal\" for a model that runs left to right", "\"masked\""),
            (false, ObjectiveKind::Causal) => ("\"masked\" for a model that runs both ways", "\"causal\""),
            (true, ObjectiveKind::Causal) if self.lengths()?.shortest() < 2 => {
                return Err(ConfigError::value("data.length", "at least 2 bases, so that one has a next one", 1));
            }
            (false, ObjectiveKind::Masked) if self.objective.select <= 0.0 => {
                let select = self.objective.select;
                return Err(ConfigError::value("objective.select", "a number above 0", select));
            }
            _ => return Ok(()),
        };
        Err(ConfigError::value("objective.kind", expected, found))
    }
}

fn fraction(key: &str, found: f64) -> Result<(), ConfigError> {
    if (0.0..=1.0).contains(&found) { Ok(()) } else { Err(ConfigError::value(key, "a number from 0 to 1", found)) }
}

fn at_least_0(key: &str, found: f64) -> Result<(), ConfigError> {
    let is_good = found >= 0.0 && found.is_finite();
    if is_good { Ok(()) } else { Err(ConfigError::value(key, "a number of at least 0", found)) }
}
