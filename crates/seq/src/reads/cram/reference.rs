use std::{
    collections::HashMap,
    error::Error,
    io,
    sync::{Mutex, PoisonError},
};

use md5::{Digest, Md5};
use noodles_fasta::{
    self as fasta,
    record::{Definition, Sequence},
    repository::Adapter,
};
use noodles_sam::{
    self as sam,
    header::record::value::{
        Map,
        map::{
            ReferenceSequence,
            reference_sequence::{Md5Checksum, tag},
        },
    },
};

use crate::genome::Genome;

/// A genome as the reference of a CRAM file: contigs under the names that the CRAM header has.
///
/// The decoder compares with the reference only what slices of a single contig have a checksum of. So a contig that is
/// missing, of another length or of other bases than the header's M5 tells is an error here, when it is asked for.
pub(super) struct Reference {
    // The decoder wants to share its reference between threads; a genome is for one at a time.
    genome: Option<Mutex<Genome>>,
    contigs: HashMap<Vec<u8>, Expected>,
}

/// What the CRAM header says of a contig.
struct Expected {
    /// In bases.
    length: u64,
    /// MD5 of the upper-case bases, in hexadecimal digits; none once it was found to be right.
    md5: Option<String>,
}

impl From<&Map<ReferenceSequence>> for Expected {
    fn from(contig: &Map<ReferenceSequence>) -> Self {
        let md5 = contig.other_fields().get(&tag::MD5_CHECKSUM);
        Self { length: contig.length().get() as u64, md5: md5.map(ToString::to_string) }
    }
}

impl Reference {
    pub(super) fn new(genome: Option<Genome>, header: &sam::Header) -> Self {
        let contigs = header.reference_sequences().iter();
        Self {
            genome: genome.map(Mutex::new),
            contigs: contigs.map(|(name, map)| (name.to_vec(), map.into())).collect(),
        }
    }

    fn read(&mut self, name: &[u8]) -> io::Result<fasta::Record> {
        let text = String::from_utf8_lossy(name);
        let Some(genome) = &mut self.genome else {
            return Err(invalid(format!(
                "contig {text:?} is stored as differences from a reference: expected a reference, found none"
            )));
        };
        let genome = genome.get_mut().unwrap_or_else(PoisonError::into_inner);
        let contig = genome.contigs().resolve(&text).map_err(invalid)?;
        let length = genome.contigs().get(contig).length;
        let mut bases = Vec::new();
        genome.read(contig, 0..length, &mut bases).map_err(invalid)?;
        bases.make_ascii_uppercase();
        if let Some(expected) = self.contigs.get_mut(name) {
            expected.check(&text, &bases)?;
        }
        Ok(fasta::Record::new(Definition::new(name, None), Sequence::from(bases)))
    }
}

impl Expected {
    fn check(&mut self, contig: &str, bases: &[u8]) -> io::Result<()> {
        if self.length != bases.len() as u64 {
            return Err(another(contig, &format!("{} bases", self.length), &bases.len().to_string()));
        }
        let Some(expected) = &self.md5 else { return Ok(()) };
        let found = Md5Checksum::from(<[u8; 16]>::from(Md5::digest(bases))).to_string();
        if !expected.eq_ignore_ascii_case(&found) {
            return Err(another(contig, &format!("the MD5 {expected}"), &found));
        }
        self.md5 = None;
        Ok(())
    }
}

fn another(contig: &str, expected: &str, found: &str) -> io::Error {
    invalid(format!("contig {contig:?} of the reference is another one: expected {expected}, found {found}"))
}

impl Adapter for Reference {
    fn get(&mut self, name: &[u8]) -> Option<io::Result<fasta::Record>> {
        Some(self.read(name))
    }
}

fn invalid<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
