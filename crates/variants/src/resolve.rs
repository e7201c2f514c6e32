//! From a record to the edits of the reference that it tells.

use std::cell::Cell;
use std::ops::Range;

use longstrand_seq::Strand;
use longstrand_seq::contig::ContigError;
use longstrand_seq::strand::reverse_complement;
use longstrand_seq::variant::{Allele, Extents, VariantRecord};

use crate::allele::{Edit, Reason};
use crate::error::ScoreError;
use crate::options::{RefMismatch, Score, ScoreOptions};
use crate::reference::Reference;

/// Bases that the edits of one record may have together.
const BASES_OF_RECORD: usize = 256 << 20;

/// The span of the reference that an edit lies in, and the edit; or why there is none.
pub(crate) type Resolved = Result<(Edit, Range<u64>), Reason>;

/// What the rest of a record is held to.
struct Locus {
    contig: usize,
    span: Range<u64>,
    /// REF as the record has it, upper case.
    told: Vec<u8>,
    /// The bases that stand there: the genome's, or REF's where the genome has a code for several, or where REF differs and
    /// is to be taken at its word.
    reference: Vec<u8>,
}

/// Each alternate allele of a record as an edit. A record without one gives a single [`Reason::NoAlternate`].
///
/// # Errors
///
/// - the reference cannot be read, or has two contigs that the record's may mean;
/// - with [`RefMismatch::Error`], REF is not what the reference has, or the reference does not have the position. A nucleotide
///   code that stands for several bases agrees with each of them. Nothing is asked of a record whose alleles have no score
///   wherever they lie.
pub(crate) fn resolve(
    record: &VariantRecord,
    path: &std::path::Path,
    reference: &Reference,
    options: &ScoreOptions,
) -> Result<Vec<Resolved>, ScoreError> {
    Checked { record, path, reference, options, room: Cell::new(BASES_OF_RECORD) }.alleles()
}

impl Checked<'_> {
    fn alleles(&self) -> Result<Vec<Resolved>, ScoreError> {
        let record = self.record;
        if record.alternates().all(|allele| never_scored(&allele).is_some()) {
            return Ok(record.alternates().filter_map(|allele| never_scored(&allele)).map(Err).collect());
        }
        let locus = self.locus()?;
        let extents = Extents::of(record);
        let alleles = record.alternates().enumerate();
        alleles.map(|(i, allele)| self.allele(locus.as_ref().map_err(|reason| *reason), &extents, i, allele)).collect()
    }
}

/// Why an allele has no score wherever it lies.
fn never_scored(allele: &Allele<'_>) -> Option<Reason> {
    match allele {
        Allele::Missing => Some(Reason::NoAlternate),
        Allele::Overlapping => Some(Reason::OverlappingDeletion),
        Allele::Unspecified => Some(Reason::Unspecified),
        Allele::Breakend => Some(Reason::Breakend),
        Allele::Symbolic(_) => Some(Reason::Symbolic),
        Allele::Unknown(_) => Some(Reason::InvalidBases),
        Allele::Bases(_) | Allele::Deletion | Allele::Duplication | Allele::Inversion => None,
    }
}

struct Checked<'a> {
    record: &'a VariantRecord,
    path: &'a std::path::Path,
    reference: &'a Reference,
    options: &'a ScoreOptions,
    /// Bases that further edits may have.
    room: Cell<usize>,
}

impl Checked<'_> {
    fn locus(&self) -> Result<Result<Locus, Reason>, ScoreError> {
        let Self { record, reference, .. } = self;
        let bases = record.reference().to_ascii_uppercase();
        if !bases.iter().all(|&base| possible_bases(base) != 0) {
            return Ok(Err(Reason::InvalidBases));
        }
        let contig = match reference.contigs().resolve(record.contig()) {
            Ok(contig) => contig,
            Err(error @ ContigError::Ambiguous { .. }) => {
                return Err(self.not_in_reference(error.to_string()));
            }
            Err(error) => return self.outside(|| self.unknown(&error)),
        };
        let range = record.start()..record.start() + bases.len() as u64;
        let span = match reference.span(contig, &range) {
            Some(span) if record.position() > 0 => span,
            _ => return self.outside(|| found_instead(reference, contig)),
        };
        let found = reference.read(contig, range, Strand::Forward)?.to_ascii_uppercase();
        let differs = |(a, b): (&u8, &u8)| possible_bases(*a) & possible_bases(*b) == 0;
        match bases.iter().zip(&found).position(differs) {
            Some(first) if self.options.ref_mismatch == RefMismatch::Error => Err(self.mismatch(first, &found)),
            Some(_) if self.options.ref_mismatch == RefMismatch::Skip => Ok(Err(Reason::ReferenceMismatch)),
            Some(_) => Ok(Ok(Locus { contig, span, told: bases.clone(), reference: bases })),
            None => {
                let definite =
                    |(&told, &found): (&u8, &u8)| if possible_bases(found).is_power_of_two() { found } else { told };
                let reference = bases.iter().zip(&found).map(definite).collect();
                Ok(Ok(Locus { contig, span, told: bases, reference }))
            }
        }
    }

    fn allele(
        &self,
        locus: Result<&Locus, Reason>,
        extents: &Extents,
        i: usize,
        allele: Allele<'_>,
    ) -> Result<Resolved, ScoreError> {
        if let Some(reason) = never_scored(&allele) {
            return Ok(Err(reason));
        }
        let locus = match locus {
            Ok(locus) => locus,
            Err(reason) => return Ok(Err(reason)),
        };
        match allele {
            Allele::Bases(bases) => Ok(self.sequence(locus, bases)),
            _ => match extents.end(i, allele) {
                Ok(end) => self.structure(locus, end, allele),
                Err(why) => Ok(Err(why.into())),
            },
        }
    }

    /// An allele that is spelled out. What it shares with REF at its ends is the reference, whatever codes it is told in.
    fn sequence(&self, locus: &Locus, bases: &[u8]) -> Resolved {
        let Locus { told, reference, .. } = locus;
        let mut alternate = bases.to_ascii_uppercase();
        if !alternate.iter().all(|&base| possible_bases(base) != 0) {
            return Err(Reason::InvalidBases);
        }
        let prefix = told.iter().zip(&alternate).take_while(|(a, b)| a == b).count();
        alternate[..prefix].copy_from_slice(&reference[..prefix]);
        let rest = told.len().min(alternate.len()) - prefix;
        let suffix = told.iter().rev().zip(alternate.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
        let from = alternate.len() - suffix;
        alternate[from..].copy_from_slice(&reference[reference.len() - suffix..]);
        self.edit(locus, reference, &alternate, true)
    }

    /// A symbolic allele: of the bases behind POS up to its end, which are left out, doubled or turned round.
    fn structure(&self, locus: &Locus, end: u64, allele: Allele<'_>) -> Result<Resolved, ScoreError> {
        let record = self.record;
        if end > locus.span.end {
            return self.beyond(locus, end);
        }
        if end - record.start() > self.options.context.get() {
            return Ok(Err(Reason::LongerThanContext));
        }
        if allele != Allele::Inversion && !self.takes_any_length() {
            return Ok(Err(Reason::NotASubstitution));
        }
        let reference = self.reference.read(locus.contig, record.start()..end, Strand::Forward)?.to_ascii_uppercase();
        let (before, inside) = reference.split_at(1);
        let alternate = match allele {
            Allele::Duplication => [before, inside, inside].concat(),
            Allele::Inversion => {
                let mut inside = inside.to_vec();
                reverse_complement(&mut inside);
                [before, &inside].concat()
            }
            _ => before.to_vec(),
        };
        Ok(self.edit(locus, &reference, &alternate, false))
    }

    /// The edit without what both sequences end and begin with, one base apart: however a record spells an allele, it is
    /// the same edit.
    fn edit(&self, locus: &Locus, reference: &[u8], alternate: &[u8], is_spelled: bool) -> Resolved {
        if reference == alternate {
            return Err(Reason::SameAsReference);
        }
        let shorter = reference.len().min(alternate.len()) - 1;
        let ends = reference.iter().rev().zip(alternate.iter().rev());
        let suffix = ends.take(shorter).take_while(|(a, b)| a == b).count();
        let starts = reference.iter().zip(alternate);
        let prefix = starts.take(shorter - suffix).take_while(|(a, b)| a == b).count();
        let reference = &reference[prefix..reference.len() - suffix];
        let alternate = &alternate[prefix..alternate.len() - suffix];
        if reference.len().max(alternate.len()) as u64 > self.options.context.get() {
            return Err(Reason::LongerThanContext);
        }
        if !self.takes_any_length() && (!is_spelled || reference.len() != alternate.len()) {
            return Err(Reason::NotASubstitution);
        }
        let room = self.room.get().checked_sub(reference.len() + alternate.len());
        self.room.set(room.ok_or(Reason::TooManyBases)?);
        let start = self.record.start() + prefix as u64;
        let (reference, alternate) = (reference.to_vec(), alternate.to_vec());
        Ok((Edit { contig: locus.contig, start, reference, alternate, is_spelled }, locus.span.clone()))
    }

    /// Whether a score is asked for that takes more than substitutions: for others the bases of an edit are not held.
    fn takes_any_length(&self) -> bool {
        self.options.scores.iter().any(|score| matches!(score, Score::Likelihood | Score::Embedding))
    }

    /// A symbolic allele that ends where the reference has no bases.
    fn beyond(&self, locus: &Locus, end: u64) -> Result<Resolved, ScoreError> {
        if self.options.ref_mismatch != RefMismatch::Error {
            return Ok(Err(Reason::NotInReference));
        }
        Err(ScoreError::EndBeyondReference {
            path: self.path.into(),
            record: self.record.place(),
            contig: self.record.contig().into(),
            position: self.record.position(),
            length: locus.span.end,
            end,
        })
    }

    /// A record that the reference does not reach: an error, unless mismatches are to be skipped or ignored.
    fn outside<T>(&self, found: impl FnOnce() -> String) -> Result<Result<T, Reason>, ScoreError> {
        match self.options.ref_mismatch {
            RefMismatch::Error => Err(self.not_in_reference(found())),
            RefMismatch::Skip | RefMismatch::Ignore => Ok(Err(Reason::NotInReference)),
        }
    }

    fn not_in_reference(&self, found: String) -> ScoreError {
        ScoreError::NotInReference {
            path: self.path.into(),
            record: self.record.place(),
            contig: self.record.contig().into(),
            position: self.record.position(),
            found,
        }
    }

    /// An unknown contig; of one that the file has a slice of, what was forgotten.
    fn unknown(&self, error: &ContigError) -> String {
        let is_slice = |name: &str| name.rsplit_once(':').is_some_and(|(contig, _)| contig == self.record.contig());
        match self.reference.contigs().iter().any(|contig| is_slice(&contig.name)) {
            true => format!("{error}; with --sliced-reference that record is a slice of the contig"),
            false => error.to_string(),
        }
    }

    fn mismatch(&self, first: usize, expected: &[u8]) -> ScoreError {
        ScoreError::ReferenceMismatch {
            path: self.path.into(),
            record: self.record.place(),
            contig: self.record.contig().into(),
            position: self.record.position() + first as u64,
            expected: shown(expected),
            found: shown(self.record.reference()),
        }
    }
}

fn found_instead(reference: &Reference, contig: usize) -> String {
    let spans = reference.contigs().spans(contig);
    let spans: Vec<String> = spans.iter().map(|span| format!("{}-{}", span.start + 1, span.end)).collect();
    format!("the reference has {}:{}", reference.contigs().get(contig).name, spans.join(", "))
}

/// Bases, shortened to what a message can hold.
fn shown(bases: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(&bases[..bases.len().min(LONGEST)]).into_owned();
    if bases.len() > LONGEST { format!("{text}… ({} bases)", bases.len()) } else { text }
}

/// The bases that a nucleotide code stands for, as bits of A, C, G and T; 0 for a letter that is no code.
fn possible_bases(code: u8) -> u8 {
    let (a, c, g, t) = (1, 2, 4, 8);
    match code {
        b'A' => a,
        b'C' => c,
        b'G' => g,
        b'T' | b'U' => t,
        b'R' => a | g,
        b'Y' => c | t,
        b'K' => g | t,
        b'M' => a | c,
        b'S' => c | g,
        b'W' => a | t,
        b'B' => c | g | t,
        b'D' => a | g | t,
        b'H' => a | c | t,
        b'V' => a | c | g,
        b'N' => a | c | g | t,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use longstrand_seq::variant::VariantReader;
    use longstrand_seq::{Genome, GenomeOptions};

    use super::*;

    /// What becomes of the alleles of a record on a contig of 100 bases, of which so many may be held.
    fn resolved(alternates: &str, info: &str, scores: &[Score], room: usize) -> Vec<Result<usize, Reason>> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("genome.fa"), format!(">1\n{}\n", "ACGTTGCATC".repeat(10))).unwrap();
        let header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";
        std::fs::write(path("in.vcf"), format!("{header}1\t11\t.\tACG\t{alternates}\t.\t.\t{info}\n")).unwrap();
        let reference = Reference::new(Genome::open(&path("genome.fa"), &GenomeOptions::default()).unwrap());
        let record = VariantReader::open(&path("in.vcf"), &[]).unwrap().read().unwrap().unwrap();
        let options = ScoreOptions { scores: scores.to_vec(), ..ScoreOptions::default() };
        let checked = Checked {
            record: &record,
            path: &path("in.vcf"),
            reference: &reference,
            options: &options,
            room: Cell::new(room),
        };
        let bases = |(edit, _): (Edit, Range<u64>)| edit.reference.len() + edit.alternate.len();
        checked.alleles().unwrap().into_iter().map(|resolved| resolved.map(bases)).collect()
    }

    #[test]
    fn only_bases_that_a_score_takes_are_held() {
        let (alternates, info) = ("<DEL>,<DUP>,<INV>,A,TCG,<INV>", "SVLEN=60,60,60,.,.,80");
        let found = resolved(alternates, info, &[Score::Masked, Score::Wildtype], usize::MAX);
        let not = Err(Reason::NotASubstitution);
        assert_eq!(found, [not, not, not, not, Ok(2), not]);
        let found = resolved(alternates, info, &[Score::Masked, Score::Embedding], usize::MAX);
        assert_eq!(found.iter().filter(|resolved| resolved.is_ok()).count(), 6, "{found:?}");
    }

    #[test]
    fn the_bases_of_a_record_are_bounded() {
        let (alternates, info) = (vec!["<DEL>"; 50].join(","), vec!["-60"; 50].join(","));
        let found = resolved(&alternates, &format!("SVLEN={info}"), &[Score::Embedding], 200);
        assert_eq!(found[..3], [Ok(62); 3]);
        assert!(found[3..].iter().all(|resolved| *resolved == Err(Reason::TooManyBases)), "{found:?}");
    }

    #[test]
    fn codes_agree_with_their_complements_bases() {
        for code in *b"ACGTRYKMSWBDHVN" {
            let mut complement = [code];
            reverse_complement(&mut complement);
            // Complementing turns the four bits round.
            assert_eq!(possible_bases(complement[0]), possible_bases(code).reverse_bits() >> 4, "{}", char::from(code));
        }
        assert_eq!(possible_bases(b'*'), 0);
    }
}
