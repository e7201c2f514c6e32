//! What distribution over the bases a masked language model sees at a site.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use longstrand_model::Scratch;
use longstrand_seq::Strand;

use crate::allele::{Edit, Reason};
use crate::error::ScoreError;
use crate::task::{Bench, Task};
use crate::window;

/// A base of the reference.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Site {
    /// The contig's place in the genome's order.
    pub(crate) contig: usize,
    /// 0-based.
    pub(crate) position: u64,
}

/// How a site is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// Masked, in a window centred on it.
    Masked,
    /// As it is, in the window of the grid in which it is nearest to the middle.
    OnGrid,
}

/// Sites that are read in one window: log p of A, C, G and T, in the forward strand's letters, at each.
pub(crate) struct SiteTask {
    reading: Reading,
    contig: usize,
    window: Range<u64>,
    context: u64,
    sites: Vec<u64>,
    questions: Vec<usize>,
}

impl Reading {
    /// The window that a site is read in.
    pub(crate) fn window(self, site: u64, context: u64, span: &Range<u64>) -> Range<u64> {
        match self {
            Self::Masked => window::centred(site, context, span),
            Self::OnGrid => window::on_grid(site, context, span),
        }
    }

    /// Tasks for sites, which must be sorted, and the spans that they lie in: one for each site if it is masked, else one
    /// for each window that has sites.
    pub(crate) fn tasks(self, sites: &[Site], spans: &[Range<u64>], context: u64) -> Vec<SiteTask> {
        let mut tasks: Vec<SiteTask> = Vec::new();
        for (question, (site, span)) in sites.iter().zip(spans).enumerate() {
            let window = self.window(site.position, context, span);
            match tasks.last_mut().filter(|task| task.shares(site.contig, &window)) {
                Some(task) => {
                    task.sites.push(site.position);
                    task.questions.push(question);
                }
                None => tasks.push(SiteTask {
                    reading: self,
                    contig: site.contig,
                    window,
                    context,
                    sites: vec![site.position],
                    questions: vec![question],
                }),
            }
        }
        tasks
    }
}

impl Task for SiteTask {
    fn questions(&self) -> &[usize] {
        &self.questions
    }

    fn width(&self) -> usize {
        4
    }

    fn bases(&self) -> u64 {
        self.context
    }

    fn describe(&self, strand: Strand, text: &mut dyn fmt::Write) -> fmt::Result {
        write!(text, "{:?} {} {:?} {strand} {:?}", self.reading, self.contig, self.window, self.sites)
    }

    fn run(&self, bench: &Bench<'_>, strand: Strand, scratch: &mut Scratch<f32>) -> Result<Vec<f64>, ScoreError> {
        let vocabulary = bench.predictor.vocabulary();
        let mut ids = bench.reference.read(self.contig, self.window.clone(), strand)?;
        vocabulary.encode_in_place(&mut ids);
        let positions = self.positions(strand);
        if self.reading == Reading::Masked {
            let mask = vocabulary.mask().expect("a masked language model has a mask");
            positions.iter().for_each(|&position| ids[position] = mask);
        }
        pad(&mut ids, self.context, vocabulary.id(b'N'));
        let mut distributions = bench.predictor.distributions(&ids, &positions, scratch, bench.watch)?;
        if strand == Strand::Reverse {
            distributions.reverse();
            // A, C, G, T of one strand are T, G, C, A of the other.
            distributions.iter_mut().for_each(|distribution| distribution.reverse());
        }
        Ok(distributions.into_iter().flatten().collect())
    }
}

impl SiteTask {
    /// Positions that go through the model.
    pub(crate) fn tokens(&self) -> u64 {
        self.context
    }

    /// Whether a site on the contig that is read in the window can be read with these.
    fn shares(&self, contig: usize, window: &Range<u64>) -> bool {
        self.reading == Reading::OnGrid && self.contig == contig && self.window == *window
    }

    /// The places of the sites in the window as the strand reads it, ascending.
    fn positions(&self, strand: Strand) -> Vec<usize> {
        let place = |site: &u64| -> usize {
            let place = match strand {
                Strand::Forward => site - self.window.start,
                Strand::Reverse => self.window.end - 1 - site,
            };
            usize::try_from(place).expect("a window fits in memory")
        };
        match strand {
            Strand::Forward => self.sites.iter().map(place).collect(),
            Strand::Reverse => self.sites.iter().rev().map(place).collect(),
        }
    }
}

/// The sites that edits substitute, each once, in order, and the spans that they lie in.
pub(crate) fn sites_of<'r>(edits: impl Iterator<Item = (&'r Edit, &'r Range<u64>)>) -> (Vec<Site>, Vec<Range<u64>>) {
    let mut spans: BTreeMap<Site, &Range<u64>> = BTreeMap::new();
    for (edit, span) in edits {
        let positions = substituted(edit).into_iter().flatten();
        spans.extend(positions.map(|position| (Site { contig: edit.contig, position }, span)));
    }
    spans.into_iter().map(|(site, span)| (site, span.clone())).unzip()
}

/// The positions that a masked language model is asked about.
pub(crate) fn substituted(edit: &Edit) -> Result<Vec<u64>, Reason> {
    let substitutions = edit.substitutions().ok_or(Reason::NotASubstitution)?;
    substitutions
        .map(|(position, from, to)| match (base(from), base(to)) {
            (None, _) => Err(Reason::AmbiguousReference),
            (_, None) => Err(Reason::AmbiguousAlternate),
            _ => Ok(position),
        })
        .collect()
}

/// The place of a base among A, C, G and T.
pub(crate) fn base(letter: u8) -> Option<usize> {
    b"ACGT".iter().position(|&base| base == letter)
}

/// Fills a window up behind its bases, whichever strand they are read on.
pub(crate) fn pad(ids: &mut Vec<u8>, context: u64, padding: u8) {
    let context = usize::try_from(context).expect("a window fits in memory");
    ids.resize(context.max(ids.len()), padding);
}
