//! The genomes of a training, divided.

use std::fmt;

use longstrand_seq::GenomeOptions;

use crate::{
    batch::Batches,
    config::{ConfigError, Settings},
    regions::Regions,
    sample::{PoolSummary, SampleError, Sampler},
    source::{SourceError, Sources},
    split::{Area, Split, SplitError, Splits},
};

/// Open genomes, what of them may be used, and for what.
pub struct Data {
    /// The genomes.
    pub sources: Sources,
    /// The bases that may be used: those included, less those excluded.
    pub within: Regions,
    /// What they are for.
    pub splits: Splits,
}

/// What there is to train on, for the plan of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSummary {
    /// Contigs, all genomes together.
    pub contigs: u64,
    /// Bases that may be used.
    pub bases: u64,
    /// For each split its bases, or its rows in the compatible reading.
    pub splits: Vec<(Split, u64)>,
    /// The windows of the training, for each length.
    pub pools: Vec<PoolSummary>,
}

impl Data {
    /// Opens the genomes and BED files that settings name.
    ///
    /// # Errors
    ///
    /// - there is no genome, or one cannot be opened
    /// - a BED file cannot be used
    /// - the bases cannot be divided as asked
    pub fn open(settings: &Settings) -> Result<Self, DataError> {
        let data = &settings.data;
        if data.genomes.is_empty() {
            return Err(DataError::NoGenome);
        }
        let options = GenomeOptions { sliced_reference: data.sliced_reference };
        let sources = Sources::open(&data.genomes, &options)?;
        let mut within = sources.bases();
        if let Some(include) = &data.include {
            within = within.intersect(&sources.read_regions(include)?);
        }
        if let Some(exclude) = &data.exclude {
            within = within.subtract(&sources.read_regions(exclude)?);
        }
        let splits = Splits::new(&settings.split_rule()?, &sources, &within)?;
        Ok(Self { sources, within, splits })
    }

    /// The batches of training steps.
    ///
    /// # Errors
    ///
    /// - no window of one of the lengths lies in the training split
    pub fn training(&self, settings: &Settings) -> Result<Batches, DataError> {
        let area = self.splits.get(Split::Train);
        let sampler = Sampler::training(area, &self.sources, &settings.lengths()?, settings.sampling());
        let sampler = sampler.map_err(|source| DataError::Sample { split: Split::Train, source })?;
        Ok(Batches::new(sampler, settings.preparation()?))
    }

    /// The windows of a split that are the same at every validation: those of step 0, `validation.windows` of them.
    ///
    /// # Errors
    ///
    /// - no window lies in the split
    pub fn fixed(&self, split: Split, settings: &Settings) -> Result<Batches, DataError> {
        let length = settings.validation_length()?;
        let sampler = Sampler::fixed(self.splits.get(split), &self.sources, length, settings.validation_sampling());
        let sampler = sampler.map_err(|source| DataError::Sample { split, source })?;
        Ok(Batches::new(sampler, settings.preparation()?))
    }

    /// What there is, and what `training` draws from.
    pub fn summary(&self, training: &Batches) -> DataSummary {
        let size = |split| match self.splits.get(split) {
            Area::Inside(regions) => regions.n_bases(),
            Area::Rows { rows, .. } => rows.len() as u64,
        };
        DataSummary {
            contigs: self.sources.n_contigs() as u64,
            bases: self.within.n_bases(),
            splits: Split::ALL.map(|split| (split, size(split))).to_vec(),
            pools: training.sampler().pools().map(|pool| pool.summary()).collect(),
        }
    }
}

/// There is nothing to train on, or it cannot be read.
#[derive(Debug)]
pub enum DataError {
    /// No genome is named.
    NoGenome,
    /// Settings cannot be used.
    Config(ConfigError),
    /// A genome or a BED file cannot be used.
    Source(SourceError),
    /// The bases cannot be divided.
    Split(SplitError),
    /// No windows can be drawn from a split.
    Sample {
        /// The split.
        split: Split,
        /// Why.
        source: SampleError,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGenome => f.write_str("setting data.genomes: expected at least one genome, found none"),
            Self::Config(error) => error.fmt(f),
            Self::Source(error) => error.fmt(f),
            Self::Split(error) => error.fmt(f),
            Self::Sample { split, source } => write!(f, "split {split}: {source}"),
        }
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoGenome | Self::Config(_) => None,
            Self::Source(error) => error.source(),
            Self::Split(error) => error.source(),
            Self::Sample { source, .. } => source.source(),
        }
    }
}

impl From<ConfigError> for DataError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<SourceError> for DataError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<SplitError> for DataError {
    fn from(error: SplitError) -> Self {
        Self::Split(error)
    }
}
