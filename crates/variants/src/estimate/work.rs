//! What is to be computed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use longstrand_model::Unwatched;

use crate::allele::Edit;
use crate::anchored;
use crate::edits::{self, EditTask, Measure, edits_of};
use crate::options::{Anchor, Score};
use crate::run::Group;
use crate::scorer::Scorer;
use crate::share::Share;
use crate::sites::{Reading, SiteTask, sites_of};
use crate::task::Bench;
use crate::trails::TrailKey;

/// What is to be computed, in all.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) records: u64,
    pub(super) alleles: u64,
    /// Pieces of work, on each strand.
    pub(super) tasks: u64,
    /// Positions that go through the model.
    pub(super) tokens: u64,
    /// Passes whose states are kept.
    pub(super) trails: u64,
    /// Where each pass along the genome has been.
    kept: HashMap<TrailKey, u64>,
}

impl Work {
    /// Adds what a group of records takes.
    pub(super) fn add(&mut self, group: &Group, scorer: &Scorer) {
        let options = scorer.options();
        let (context, strands) = (options.context.get(), options.strands.each().len() as u64);
        self.records += group.records.len() as u64;
        self.alleles += group.alleles.len() as u64;
        let edits = || group.alleles.iter().flatten().map(|(edit, span)| (edit, span));
        for &score in &options.scores {
            match score {
                Score::Masked | Score::Wildtype => {
                    let reading = if score == Score::Masked { Reading::Masked } else { Reading::OnGrid };
                    let (sites, spans) = sites_of(edits());
                    self.count(reading.tasks(&sites, &spans, context).iter().map(SiteTask::tokens), strands);
                }
                Score::Likelihood if options.anchor != Anchor::Window => self.anchored(edits(), scorer),
                Score::Likelihood | Score::Embedding => {
                    let measure = if score == Score::Likelihood { Measure::Likelihood } else { Measure::Embedding };
                    let (edits, spans) = edits_of(edits());
                    self.count(edits::tasks(&edits, &spans, context, measure).iter().map(EditTask::tokens), strands);
                }
            }
        }
    }

    fn anchored<'r>(&mut self, edits: impl Iterator<Item = (&'r Edit, &'r Range<u64>)>, scorer: &Scorer) {
        let share = Share::new(&Unwatched, 0, 0, None);
        let bench = bench(scorer, &share);
        let (edits, spans) = edits_of(edits);
        for &strand in scorer.options().strands.each() {
            let trails = Mutex::default();
            let tasks = anchored::tasks(&edits, &spans, &bench, strand, &trails);
            let tokens: Vec<u64> = tasks.iter().map(|task| task.tokens(&mut self.kept)).collect();
            self.trails += tokens.len() as u64;
            self.count(tokens.into_iter(), 1);
        }
    }

    fn count(&mut self, tokens: impl Iterator<Item = u64>, strands: u64) {
        for of_task in tokens {
            self.tasks += strands;
            self.tokens += strands * of_task;
        }
    }
}

/// What tasks of a scorer work with.
pub(super) fn bench<'a>(scorer: &'a Scorer, share: &'a Share<'a>) -> Bench<'a> {
    let Scorer { predictor, reference, options, .. } = scorer;
    Bench { predictor, reference, options, watch: share.watch(), share }
}
