use std::{
    collections::HashMap,
    error::Error,
    io,
    sync::{Mutex, PoisonError},
};

use noodles_fasta::{
    self as fasta,
    record::{Definition, Sequence},
    repository::Adapter,
};
use noodles_sam as sam;

use crate::genome::Genome;

/// A genome as the reference of a CRAM file: contigs under the names that the CRAM header has.
///
/// The decoder asks for contigs by name and takes what it gets on trust, so that a contig that is missing or of another
/// length is an error here.
pub(super) struct Reference {
    // The decoder wants to share its reference between threads; a genome is for one at a time.
    genome: Option<Mutex<Genome>>,
    lengths: HashMap<Vec<u8>, u64>,
}

impl Reference {
    pub(super) fn new(genome: Option<Genome>, header: &sam::Header) -> Self {
        let contigs = header.reference_sequences().iter();
        Self {
            genome: genome.map(Mutex::new),
            lengths: contigs.map(|(name, map)| (name.to_vec(), map.length().get() as u64)).collect(),
        }
    }

    fn read(&mut self, name: &[u8]) -> io::Result<fasta::Record> {
        let text = String::from_utf8_lossy(name);
        let Some(genome) = &mut self.genome else {
            return Err(invalid(format!(
                "contig `{text}` is stored as differences from a reference: expected a reference, found none"
            )));
        };
        let genome = genome.get_mut().unwrap_or_else(PoisonError::into_inner);
        let contig = genome.contigs().resolve(&text).map_err(invalid)?;
        let found = genome.contigs().get(contig).length;
        let expected = self.lengths.get(name).copied().unwrap_or(found);
        if expected != found {
            return Err(invalid(format!(
                "contig `{text}` of the reference is another one: expected {expected} bases, found {found}"
            )));
        }
        let mut bases = Vec::new();
        genome.read(contig, 0..found, &mut bases).map_err(invalid)?;
        Ok(fasta::Record::new(Definition::new(name, None), Sequence::from(bases)))
    }
}

impl Adapter for Reference {
    fn get(&mut self, name: &[u8]) -> Option<io::Result<fasta::Record>> {
        Some(self.read(name))
    }
}

fn invalid<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
