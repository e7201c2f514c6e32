mod slide;

use self::slide::Slide;
use super::{
    Partial, PlanError, SourceError, Targets, Window, WindowCounts, WindowOptions, WindowPlan, WindowSize,
    cut::{cut, is_too_ambiguous},
    plan::PlannedWindow,
};
use crate::{contig::Contigs, error::Error, genome::FastaStream, strand::Strand};

/// The windows of whole contigs, cut from a FASTA stream whose contig lengths are not known beforehand.
///
/// They equal those of a [`WindowPlan`] over the same file with [`Targets::Contigs`]. A buffer slides along each
/// contig: it holds a window and one base more, which tells whether the window is the last one.
pub struct StreamWindows {
    stream: FastaStream,
    options: WindowOptions,
    contig: Option<Slide>,
    n_contigs: usize,
    next_index: u64,
    counts: WindowCounts,
    is_finished: bool,
}

impl StreamWindows {
    /// Tiles every contig of `stream` as `options` say.
    ///
    /// # Errors
    ///
    /// As [`WindowPlan::new`] over contigs.
    pub fn new(stream: FastaStream, options: WindowOptions) -> Result<Self, PlanError> {
        WindowPlan::new(&Contigs::default(), &Targets::Contigs, &options)?;
        Ok(Self {
            stream,
            options,
            contig: None,
            n_contigs: 0,
            next_index: 0,
            counts: WindowCounts::default(),
            is_finished: false,
        })
    }

    /// What was given and left out so far.
    pub fn counts(&self) -> WindowCounts {
        self.counts
    }

    fn next_window(&mut self) -> Result<Option<Window>, Error> {
        loop {
            let Some(mut slide) = self.contig.take() else {
                match self.stream.next_contig()? {
                    Some(name) => self.contig = Some(self.enter(name)),
                    None => return Ok(None),
                }
                continue;
            };
            if !slide.fill(&mut self.stream)? {
                self.n_contigs += 1;
                continue;
            }
            let window = self.take(&mut slide);
            self.contig = Some(slide);
            if window.is_some() {
                return Ok(window);
            }
        }
    }

    fn enter(&self, name: String) -> Slide {
        match self.options.size {
            WindowSize::Bases(size) => {
                let stride = self.options.stride.unwrap_or(size);
                Slide::new(name, size.get(), stride.get())
            }
            WindowSize::Contig | WindowSize::Interval => Slide::new(name, u64::MAX, u64::MAX),
        }
    }

    /// The window at the slide's front, and the slide one stride on; none when the window is left out.
    fn take(&mut self, slide: &mut Slide) -> Option<Window> {
        let n_missing = match self.options.size {
            WindowSize::Bases(size) => size.get() - slide.n_bases(),
            WindowSize::Contig | WindowSize::Interval => 0,
        };
        if n_missing > 0 && self.options.partial == Partial::Drop {
            self.counts.dropped_partial += 1;
            slide.advance();
            return None;
        }
        let index = self.next_index;
        self.next_index += 1;
        let planned = PlannedWindow {
            index,
            contig: self.n_contigs,
            start: slide.start(),
            end: slide.start() + slide.n_bases(),
            strand: Strand::Forward,
            n_padded: if self.options.partial == Partial::Pad { n_missing } else { 0 },
            is_partial: n_missing > 0,
            name: None,
            is_whole_contig: self.options.size == WindowSize::Contig,
        };
        let bases = slide.take_bases();
        self.weigh(cut(&planned, slide.name(), bases), planned.is_partial)
    }

    fn weigh(&mut self, window: Window, is_partial: bool) -> Option<Window> {
        if is_too_ambiguous(&window, self.options.max_ambiguous) {
            self.counts.dropped_ambiguous += 1;
            return None;
        }
        self.counts.add(&window, is_partial);
        Some(window)
    }
}

impl Iterator for StreamWindows {
    type Item = Result<Window, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        let next = self.next_window().map_err(SourceError::from).transpose();
        self.is_finished = !matches!(next, Some(Ok(_)));
        next
    }
}
