//! The genome that alleles are scored against.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use longstrand_seq::strand::reverse_complement;
use longstrand_seq::{Contigs, Error, Genome, Strand};

/// Bases whose ambiguous ones are counted together.
const BLOCK: u64 = 1 << 20;

/// A genome that several threads read.
pub(crate) struct Reference {
    genome: Mutex<Genome>,
    contigs: Contigs,
    /// Ambiguous bases by contig and block.
    ambiguous: Mutex<HashMap<(usize, u64), u64>>,
}

impl Reference {
    pub(crate) fn new(genome: Genome) -> Self {
        Self { contigs: genome.contigs().clone(), genome: Mutex::new(genome), ambiguous: Mutex::default() }
    }

    pub(crate) fn contigs(&self) -> &Contigs {
        &self.contigs
    }

    /// The span of a contig (0-based, half-open) that has these bases.
    pub(crate) fn span(&self, contig: usize, range: &Range<u64>) -> Option<Range<u64>> {
        let holds = |span: &&Range<u64>| span.contains(&range.start) && range.end <= span.end;
        self.contigs.spans(contig).iter().find(holds).cloned()
    }

    /// Bases of the longest span of all.
    pub(crate) fn longest_span(&self) -> u64 {
        let spans = (0..self.contigs.len()).flat_map(|contig| self.contigs.spans(contig));
        spans.map(|span| span.end - span.start).max().unwrap_or(0)
    }

    /// How many bases of an interval are none of A, C, G, T. Whole blocks are counted once.
    pub(crate) fn count_ambiguous(&self, contig: usize, range: &Range<u64>) -> Result<u64, Error> {
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        blocks.map(|block| self.count_in_block(contig, block, range)).sum()
    }

    fn count_in_block(&self, contig: usize, block: u64, range: &Range<u64>) -> Result<u64, Error> {
        let whole = block * BLOCK..(block + 1) * BLOCK;
        let part = whole.start.max(range.start)..whole.end.min(range.end);
        let count = || -> Result<u64, Error> { Ok(ambiguous(&self.read(contig, part.clone(), Strand::Forward)?)) };
        if part != whole {
            return count();
        }
        let known = self.ambiguous.lock().unwrap_or_else(PoisonError::into_inner).get(&(contig, block)).copied();
        match known {
            Some(known) => Ok(known),
            None => {
                let counted = count()?;
                self.ambiguous.lock().unwrap_or_else(PoisonError::into_inner).insert((contig, block), counted);
                Ok(counted)
            }
        }
    }

    /// The bases of an interval as they are read on a strand, in the file's case.
    pub(crate) fn read(&self, contig: usize, range: Range<u64>, strand: Strand) -> Result<Vec<u8>, Error> {
        let mut bases = Vec::new();
        self.genome.lock().unwrap_or_else(PoisonError::into_inner).read(contig, range, &mut bases)?;
        if strand == Strand::Reverse {
            reverse_complement(&mut bases);
        }
        Ok(bases)
    }
}

fn ambiguous(bases: &[u8]) -> u64 {
    let is_base = |base: &u8| matches!(base.to_ascii_uppercase(), b'A' | b'C' | b'G' | b'T');
    bases.iter().filter(|base| !is_base(base)).count() as u64
}
