//! Files to Markov models.

use std::path::PathBuf;

use longstrand_model::Watch;
use longstrand_seq::{Genome, GenomeOptions, Interval, bed::read_bed, region};

use super::{BaselineError, Counts, Markov, Neighbours, digit};
use crate::regions::Regions;

/// Bases that are read at a time.
const PIECE: u64 = 1 << 22;

/// The bases that are counted.
#[derive(Clone, Debug, Default)]
pub struct CountedOn {
    /// FASTA or 2bit.
    pub path: PathBuf,
    /// How the genome is understood.
    pub genome: GenomeOptions,
    /// Regions (1-based, closed).
    pub regions: Vec<String>,
    /// BED files. Without them and without regions all bases are counted; each base is counted once.
    pub beds: Vec<PathBuf>,
}

impl CountedOn {
    /// Reads the bases once and counts them for all these models. A base's neighbours lie in its own interval.
    ///
    /// # Errors
    ///
    /// - the genome or a BED file cannot be read, or the genome has no such region
    /// - no base is left
    /// - the watch stops the run
    pub fn count(&self, neighbours: &[Neighbours], watch: &dyn Watch) -> Result<Vec<Markov>, BaselineError> {
        let mut genome = Genome::open(&self.path, &self.genome)?;
        if let Some(notice) = genome.notice() {
            watch.note(&notice);
        }
        let mut counts: Vec<Counts> =
            neighbours.iter().map(|each| each.checked().map(Counts::new)).collect::<Result<_, _>>()?;
        let flank = neighbours.iter().map(|each| each.order() as u64).max().unwrap_or(0);
        let mut read = Vec::new();
        for interval in self.intervals(&genome)?.iter() {
            for start in (interval.start..interval.end).step_by(PIECE as usize) {
                if watch.is_cancelled() {
                    return Err(BaselineError::Cancelled);
                }
                let end = (start + PIECE).min(interval.end);
                let around = start.saturating_sub(flank).max(interval.start)..(end + flank).min(interval.end);
                let targets = (start - around.start) as usize..(end - around.start) as usize;
                read.clear();
                genome.read(interval.contig, around, &mut read)?;
                read.iter_mut().for_each(|base| *base = digit(*base));
                counts.iter_mut().for_each(|counts| counts.add(&read, targets.clone()));
            }
        }
        let models: Vec<Markov> = counts.into_iter().map(Counts::finish).collect();
        match models.iter().any(|model| model.n_counted() == 0) {
            true => Err(BaselineError::NoBases { path: self.path.clone() }),
            false => Ok(models),
        }
    }

    fn intervals(&self, genome: &Genome) -> Result<Regions, BaselineError> {
        let contigs = genome.contigs();
        if self.regions.is_empty() && self.beds.is_empty() {
            return Ok(Regions::from_sorted((0..contigs.len()).map(|contig| contigs.spans(contig).to_vec()).collect()));
        }
        let mut intervals: Vec<Interval> = Vec::new();
        for text in &self.regions {
            let interval = region::parse(text, contigs);
            intervals.push(interval.map_err(|error| BaselineError::Region { path: self.path.clone(), error })?);
        }
        for bed in &self.beds {
            intervals.extend(read_bed(bed, contigs)?.into_iter().map(|record| record.interval));
        }
        Ok(Regions::union(contigs.len(), intervals))
    }
}
