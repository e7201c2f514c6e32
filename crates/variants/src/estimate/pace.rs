//! How fast alleles go.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use longstrand_model::estimate::{Pace, deadline};
use longstrand_model::{Crew, Lanes, Scratch, Unwatched, Watch};

use super::work::bench;
use crate::anchored;
use crate::edits::{self, Measure, edits_of};
use crate::error::ScoreError;
use crate::options::{Anchor, Score};
use crate::predictor::Predictor;
use crate::resolve::Resolved;
use crate::scorer::Scorer;
use crate::share::Share;
use crate::sites::{Reading, sites_of};
use crate::task::{Bench, Task};

/// Bases of the longest window that the pace is taken of, unless two chunks are longer.
const LONGEST_TRIAL: u64 = 1 << 15;

/// Counts the positions that go through the model until a moment comes. A causal model stops then in the midst of a pass; the
/// passes of others, which tell only in the end what they did from the start, are done.
struct Trial {
    ends: Instant,
    breaks: bool,
    tokens: AtomicU64,
}

impl Watch for Trial {
    fn advanced(&self, bases: u64) {
        self.tokens.fetch_add(bases, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.breaks && self.is_over()
    }
}

impl Trial {
    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }
}

/// How fast the model goes over the first of these alleles, by the first score on the first strand; none where no allele can be
/// scored.
pub(super) fn of(scorer: &mut Scorer, alleles: &[Resolved]) -> Result<Option<Pace>, ScoreError> {
    let score = scorer.options().scores[0];
    let alleles = || alleles.iter().flatten().map(|(edit, span)| (edit, span));
    let length = window(scorer);
    match score {
        Score::Masked | Score::Wildtype => {
            let reading = if score == Score::Masked { Reading::Masked } else { Reading::OnGrid };
            let (sites, spans) = sites_of(alleles());
            of_tasks(scorer, &reading.tasks(&sites, &spans, length), length)
        }
        Score::Likelihood if scorer.options().anchor != Anchor::Window => {
            let ((edits, spans), trails) = (edits_of(alleles()), Mutex::default());
            let (strand, share) = (scorer.options().strands.each()[0], Share::new(&Unwatched, 0, 0, None));
            let tasks = anchored::tasks(&edits, &spans, &bench(scorer, &share), strand, &trails);
            of_tasks(scorer, &tasks, length)
        }
        Score::Likelihood | Score::Embedding => {
            let measure = if score == Score::Likelihood { Measure::Likelihood } else { Measure::Embedding };
            let (edits, spans) = edits_of(alleles());
            of_tasks(scorer, &edits::tasks(&edits, &spans, length, measure), length)
        }
    }
}

/// Bases of a window that shows how long a base takes in one of the context.
fn window(scorer: &Scorer) -> u64 {
    let (predictor, context) = (&scorer.predictor, scorer.options().context.get());
    match predictor.is_filled_by(usize::try_from(context).unwrap_or(usize::MAX)) {
        // A bidirectional model takes longer for a base where there is more than one chunk.
        true => context.min(LONGEST_TRIAL.max(2 * predictor.chunk() as u64)),
        false => context,
    }
}

/// How many passes over so many bases are under way at a time, of so many.
pub(super) fn lanes(predictor: &Predictor, crew: &Crew<Scratch<f32>>, bases: usize, passes: u64) -> u64 {
    match predictor.lanes(bases, usize::try_from(passes).unwrap_or(usize::MAX), crew.threads()) {
        Lanes::Together => 1,
        Lanes::SideBySide(lanes) => lanes.get() as u64,
    }
}

/// How fast tasks go whose windows have so many bases. As many are done as there is time for, by the threads of a run, after a
/// few that start these.
fn of_tasks<T: Task>(scorer: &mut Scorer, tasks: &[T], length: u64) -> Result<Option<Pace>, ScoreError> {
    let Scorer { predictor, reference, options, crew, .. } = scorer;
    let share = Share::new(&Unwatched, 0, 0, None);
    let bench = Bench { predictor, reference, options, watch: &Unwatched, share: &share };
    let positions = tasks.iter().map(|task| task.positions(&bench)).max().unwrap_or(0);
    let lanes = predictor.lanes(positions, tasks.len(), crew.threads());
    let strand = options.strands.each()[0];
    let mut timed = |tasks: &[T]| {
        let trial = Trial { ends: deadline(), breaks: predictor.is_causal(), tokens: AtomicU64::new(0) };
        let bench = Bench { watch: &trial, ..bench };
        let began = Instant::now();
        crew.run(lanes, tasks.iter().collect(), |task: &T, scratch: &mut Scratch<f32>| match trial.is_over() {
            true => Ok(()),
            false => match task.run(&bench, strand, scratch) {
                Ok(_) | Err(ScoreError::Cancelled) => Ok(()),
                Err(error) => Err(error),
            },
        })?;
        Ok::<_, ScoreError>(Pace { tokens: trial.tokens.into_inner(), length, seconds: began.elapsed().as_secs_f64() })
    };
    if let Lanes::SideBySide(lanes) = lanes {
        timed(&tasks[..lanes.get().min(tasks.len())])?;
    }
    Ok(Some(timed(tasks)?).filter(|pace| pace.tokens > 0))
}
