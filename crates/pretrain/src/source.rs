//! The genomes that are trained on, as one list of contigs.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use longstrand_seq::{
    Contigs, Error, Genome, GenomeOptions, Interval,
    bed::{BedError, BedRecord, read_bed},
    contig::ContigError,
};

use crate::regions::Regions;

/// Several genomes. Their contigs are numbered through, genome after genome, each in its file's order.
pub struct Sources {
    genomes: Vec<Genome>,
    /// The genome of each contig, and the contig's place in it.
    places: Vec<(usize, usize)>,
    /// All contigs by name, where no two have the same.
    named: Result<Contigs, ContigError>,
}

impl Sources {
    /// Opens FASTA and 2bit files.
    ///
    /// # Errors
    ///
    /// - a file cannot be opened, see [`Genome::open`]
    pub fn open<P: AsRef<Path>>(paths: &[P], options: &GenomeOptions) -> Result<Self, SourceError> {
        let open = |path: &P| Genome::open(path.as_ref(), options).map_err(SourceError::Genome);
        Ok(Self::new(paths.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// Takes genomes that are open.
    pub fn new(genomes: Vec<Genome>) -> Self {
        let contigs_of = |(i, genome): (usize, &Genome)| (0..genome.contigs().len()).map(move |contig| (i, contig));
        let places = genomes.iter().enumerate().flat_map(contigs_of).collect();
        let contigs = genomes.iter().flat_map(|genome| genome.contigs().iter().cloned()).collect();
        Self { places, named: Contigs::new(contigs), genomes }
    }

    /// The genomes, in the order given.
    pub fn genomes(&self) -> &[Genome] {
        &self.genomes
    }

    /// The number of contigs, all genomes together.
    pub fn n_contigs(&self) -> usize {
        self.places.len()
    }

    /// The file and the name of a contig.
    ///
    /// # Panics
    ///
    /// When there are not so many contigs.
    pub fn name(&self, contig: usize) -> (&Path, &str) {
        let (genome, contig) = self.places[contig];
        let genome = &self.genomes[genome];
        (genome.path(), &genome.contigs().get(contig).name)
    }

    /// The length of a contig in bases.
    ///
    /// # Panics
    ///
    /// When there are not so many contigs.
    pub fn length(&self, contig: usize) -> u64 {
        let (genome, contig) = self.places[contig];
        self.genomes[genome].contigs().get(contig).length
    }

    /// All bases that the files have.
    pub fn bases(&self) -> Regions {
        let spans = |&(genome, contig): &(usize, usize)| self.genomes[genome].contigs().spans(contig).to_vec();
        Regions::from_sorted(self.places.iter().map(spans).collect())
    }

    /// Finds a contig by name among all genomes.
    ///
    /// # Errors
    ///
    /// - no contig goes by the name, or more than one does
    pub fn resolve(&self, name: &str) -> Result<usize, SourceError> {
        self.named()?.resolve(name).map_err(SourceError::Contig)
    }

    /// Reads a BED file whose lines may lie in any of the genomes.
    ///
    /// # Errors
    ///
    /// - the file cannot be read, or a line names no interval, see [`read_bed`]
    /// - two genomes have a contig of the same name, so that no line can say which is meant
    pub fn read_bed(&self, path: &Path) -> Result<Vec<BedRecord>, SourceError> {
        read_bed(path, self.named()?).map_err(SourceError::Bed)
    }

    /// Reads the bases of a BED file as a set.
    ///
    /// # Errors
    ///
    /// As [`Self::read_bed`].
    pub fn read_regions(&self, path: &Path) -> Result<Regions, SourceError> {
        let records = self.read_bed(path)?;
        Ok(Regions::union(self.n_contigs(), records.into_iter().map(|record| record.interval)))
    }

    /// Replaces `out` by the bases of an interval, in the file's orientation and case.
    ///
    /// # Errors
    ///
    /// - the file does not have these bases or cannot be read
    pub fn read(&mut self, interval: &Interval, out: &mut Vec<u8>) -> Result<(), SourceError> {
        let (genome, contig) = self.places[interval.contig];
        out.clear();
        self.genomes[genome].read(contig, interval.start..interval.end, out).map_err(SourceError::Genome)
    }

    fn named(&self) -> Result<&Contigs, SourceError> {
        self.named.as_ref().map_err(|source| SourceError::SameName {
            genomes: self.genomes.iter().map(|genome| genome.path().into()).collect(),
            source: source.clone(),
        })
    }
}

/// Genomes or what belongs to them cannot be used.
#[derive(Debug)]
pub enum SourceError {
    /// A genome cannot be opened or read.
    Genome(Error),
    /// A BED file cannot be used.
    Bed(BedError),
    /// A name says nothing, or too much.
    Contig(ContigError),
    /// A name is looked up and two genomes have the same one.
    SameName {
        /// The genomes.
        genomes: Vec<PathBuf>,
        /// Which name.
        source: ContigError,
    },
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Genome(error) => error.fmt(f),
            Self::Bed(error) => error.fmt(f),
            Self::Contig(error) => error.fmt(f),
            Self::SameName { genomes, .. } => {
                let genomes: Vec<_> = genomes.iter().map(|path| path.display().to_string()).collect();
                write!(f, "contigs cannot be told by name among {}", genomes.join(", "))
            }
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Genome(error) => error.source(),
            Self::Bed(error) => error.source(),
            Self::Contig(_) => None,
            Self::SameName { source, .. } => Some(source),
        }
    }
}
