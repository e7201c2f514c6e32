//! One record: a line of VCF.

use std::str;

use super::{
    allele::Allele,
    error::{Place, RecordError, shown},
    extent::{Extents, fits},
    info,
};

/// The columns that every record has.
const FIXED_COLUMNS: usize = 8;
const CONTIG: usize = 0;
const POSITION: usize = 1;
const ID: usize = 2;
const REFERENCE: usize = 3;
const ALTERNATES: usize = 4;
const INFO: usize = 7;

/// A record of a VCF or BCF file, as its line of text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VariantRecord {
    line: Vec<u8>,
    /// One past the last byte of each fixed column.
    ends: [usize; FIXED_COLUMNS],
    position: u64,
    place: Place,
}

impl VariantRecord {
    /// Takes a line without its line end.
    ///
    /// # Errors
    ///
    /// - there are fewer than eight columns
    /// - the contig is empty, or it or the ID is not UTF-8
    /// - POS is not a number
    /// - REF or ALT is empty
    /// - REF ends behind the last position of 63 bits
    pub(super) fn parse(line: Vec<u8>, place: Place) -> Result<Self, RecordError> {
        let ends = column_ends(&line, place)?;
        let mut record = Self { line, ends, position: 0, place };
        record.check_names()?;
        record.position = record.parse_position()?;
        for (column, name) in [(REFERENCE, "bases in REF"), (ALTERNATES, "an allele or \".\" in ALT")] {
            if record.column(column).is_empty() {
                return Err(record.error(name, "an empty column"));
            }
        }
        if !fits(&record.reference_end()) {
            let found = format!("{} bases", record.reference().len());
            return Err(record.error(format!("a REF that ends at position {} at most", i64::MAX), found));
        }
        Ok(record)
    }

    fn check_names(&self) -> Result<(), RecordError> {
        for (column, name) in [(CONTIG, "a contig's name in UTF-8"), (ID, "an ID in UTF-8")] {
            let text = self.column(column);
            if str::from_utf8(text).is_err() || (column == CONTIG && text.is_empty()) {
                return Err(RecordError::new(self.place, name, shown(text)));
            }
        }
        Ok(())
    }

    fn parse_position(&self) -> Result<u64, RecordError> {
        let text = self.column(POSITION);
        let position = str::from_utf8(text).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let position = position.and_then(|digits| digits.parse().ok()).filter(fits);
        position.ok_or_else(|| {
            let error = RecordError::new(self.place, "a 1-based position in POS", shown(text));
            RecordError { locus: Some(self.contig().to_owned()), ..error }
        })
    }

    /// An error of this record.
    pub(super) fn error(&self, expected: impl Into<String>, found: impl Into<String>) -> RecordError {
        let position = String::from_utf8_lossy(self.column(POSITION));
        RecordError::new(self.place, expected, found).at(self.contig(), &position)
    }

    fn column(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] + 1 };
        &self.line[start..self.ends[i]]
    }

    fn text(&self, i: usize) -> &str {
        str::from_utf8(self.column(i)).expect("checked when the record was read")
    }

    /// The whole line, without its line end.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Which record of its file it is, for messages.
    pub fn place(&self) -> Place {
        self.place
    }

    pub(super) fn placed(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The contig's name as the file has it.
    pub fn contig(&self) -> &str {
        self.text(CONTIG)
    }

    /// POS, 1-based; 0 for a telomere, the place before a contig's first base.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The first reference base, 0-based. A record at a telomere (POS 0) gives 0 as well: see [`Self::position`].
    pub fn start(&self) -> u64 {
        self.position.saturating_sub(1)
    }

    /// One past the last reference base, 0-based: of a record with symbolic alleles from INFO END or SVLEN, of any
    /// other from REF.
    pub fn end(&self) -> u64 {
        Extents::of(self).furthest(self)
    }

    /// The last base of REF, 1-based, which is one past it, 0-based.
    pub(super) fn reference_end(&self) -> u64 {
        // POS is 1-based, so that POS - 1 + length is right even at a telomere.
        (self.position.saturating_add(self.reference().len() as u64)).saturating_sub(1)
    }

    /// INFO END (1-based, closed, which is 0-based and half-open) where it is a number that is not before POS.
    pub fn info_end(&self) -> Option<u64> {
        let end = str::from_utf8(self.info("END")?).ok()?.parse().ok()?;
        (end >= self.position && fits(&end)).then_some(end)
    }

    /// INFO SVLEN of each allele and on without end; a single value holds for all alleles.
    pub fn svlens(&self) -> impl Iterator<Item = Option<i64>> {
        let values = self.info("SVLEN").unwrap_or_default();
        let parse = |value: &[u8]| str::from_utf8(value).ok()?.parse::<i64>().ok();
        let is_single = !values.contains(&b',');
        let rest = if is_single { parse(values) } else { None };
        values.split(|&b| b == b',').map(parse).chain(std::iter::repeat(rest))
    }

    /// One past the last base that the record may be looked for at, for an index.
    pub(super) fn reach(&self) -> u64 {
        self.end().max(self.info_end().unwrap_or(0)).max(self.start() + 1)
    }

    /// The number of reference bases from POS on that BCF stores: up to INFO END, or those of REF.
    pub(super) fn span(&self) -> u64 {
        (self.reference_end().max(self.info_end().unwrap_or(0)) + 1).saturating_sub(self.position)
    }

    /// The ID column; `.` where there is none.
    pub fn id(&self) -> &str {
        self.text(ID)
    }

    /// The REF column.
    pub fn reference(&self) -> &[u8] {
        self.column(REFERENCE)
    }

    /// The alternate alleles in their order; one [`Allele::Missing`] where ALT is `.`.
    pub fn alternates(&self) -> impl Iterator<Item = Allele<'_>> {
        self.alternate_texts().map(Allele::parse)
    }

    /// The alternate alleles as they are written.
    pub fn alternate_texts(&self) -> impl Iterator<Item = &[u8]> {
        self.column(ALTERNATES).split(|&b| b == b',')
    }

    /// The value of an INFO key; empty for a flag.
    pub fn info(&self, key: &str) -> Option<&[u8]> {
        info::get(self.column(INFO), key)
    }

    /// Whether an INFO key is there more than once, which VCF forbids.
    pub(super) fn repeats_info(&self, key: &str) -> bool {
        info::is_repeated(self.column(INFO), key)
    }

    /// The record without the INFO fields of these keys.
    pub fn without_info(self, keys: &[String]) -> Self {
        let is_left_out = |field: &[u8]| keys.iter().any(|key| key.as_bytes() == info::split(field).0);
        if !info::fields(self.column(INFO)).any(is_left_out) {
            return self;
        }
        let kept: Vec<&[u8]> = info::fields(self.column(INFO)).filter(|field| !is_left_out(field)).collect();
        let column = if kept.is_empty() { b".".to_vec() } else { kept.join(&b';') };
        let mut line = self.line[..self.ends[INFO - 1] + 1].to_vec();
        line.extend_from_slice(&column);
        let mut ends = self.ends;
        ends[INFO] = line.len();
        line.extend_from_slice(&self.line[self.ends[INFO]..]);
        Self { line, ends, ..self }
    }

    /// Writes the line with INFO fields put behind its own.
    pub(super) fn write_with(&self, added: &[(&str, &str)], line: &mut Vec<u8>) {
        line.extend_from_slice(&self.line[..self.ends[INFO - 1] + 1]);
        info::append(self.column(INFO), added, line);
        line.extend_from_slice(&self.line[self.ends[INFO]..]);
    }
}

fn column_ends(line: &[u8], place: Place) -> Result<[usize; FIXED_COLUMNS], RecordError> {
    let mut ends = [line.len(); FIXED_COLUMNS];
    let mut tabs = memchr::memchr_iter(b'\t', line);
    for (i, end) in ends.iter_mut().enumerate() {
        match tabs.next() {
            Some(tab) => *end = tab,
            None if i + 1 == FIXED_COLUMNS => {}
            None => {
                let found = format!("{} in {}", i + 1, shown(line));
                return Err(RecordError::new(place, format!("at least {FIXED_COLUMNS} columns"), found));
            }
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<VariantRecord, RecordError> {
        VariantRecord::parse(line.as_bytes().to_vec(), Place::Line(7))
    }

    fn record(alternates: &str, info: &str) -> VariantRecord {
        parse(&format!("chr2\t101\trs1\tCA\t{alternates}\t.\tPASS\t{info}\tGT\t0/1")).unwrap()
    }

    #[test]
    fn columns_are_found() {
        let record = record("C,CAA,*", "DB");
        assert_eq!((record.contig(), record.position(), record.start(), record.end()), ("chr2", 101, 100, 102));
        assert_eq!((record.id(), record.reference()), ("rs1", &b"CA"[..]));
        let alternates: Vec<_> = record.alternates().collect();
        assert_eq!(alternates, [Allele::Bases(b"C"), Allele::Bases(b"CAA"), Allele::Overlapping]);
    }

    #[test]
    fn only_info_is_added_to() {
        let mut line = Vec::new();
        record("C", "DP=1.50").write_with(&[("LS", "2,3")], &mut line);
        assert_eq!(line, b"chr2\t101\trs1\tCA\tC\t.\tPASS\tDP=1.50;LS=2,3\tGT\t0/1");
        line.clear();
        parse("1\t1\t.\tA\tC\t.\t.\t.").unwrap().write_with(&[("LS", "2")], &mut line);
        assert_eq!(line, b"1\t1\t.\tA\tC\t.\t.\tLS=2");
    }

    #[test]
    fn fields_are_left_out_by_their_whole_key() {
        let keys = ["LS_A".to_owned(), "LS_B".to_owned()];
        for (info, kept) in [("LS_A=1;DP=3;LS_AB=2;LS_B", "DP=3;LS_AB=2"), ("LS_A=1", "."), ("DP=1.50;;", "DP=1.50;;")]
        {
            let record = record("C", info).without_info(&keys);
            assert_eq!(record.line(), format!("chr2\t101\trs1\tCA\tC\t.\tPASS\t{kept}\tGT\t0/1").as_bytes());
            assert_eq!((record.info("LS_A"), record.info("DP").is_some()), (None, kept.contains("DP")));
        }
    }

    #[test]
    fn ends_are_told_by_end_svlen_or_ref() {
        for (alternates, info, end) in [
            ("C", "END=500", 102),
            ("<DEL>", "END=500", 500),
            ("<DEL>", "SVLEN=-50", 151),
            ("<DUP:TANDEM>", "SVLEN=50", 151),
            ("<CNV>", "SVLEN=50", 151),
            ("<INS>", "SVLEN=50", 102),
            ("<DEL>", "END=500;SVLEN=-50", 500),
            ("<DEL>,<DUP>", "END=500;SVLEN=-50,90", 191),
            ("<DEL>", "END=99", 102),
            ("<DEL>", "END=x", 102),
            ("<DEL>", ".", 102),
            ("<NON_REF>", "END=300", 300),
            ("<DEL>", "SVLEN=-9223372036854775808", 102),
        ] {
            assert_eq!(record(alternates, info).end(), end, "{alternates} {info}");
        }
        assert_eq!(record("<DEL>,<DUP>,<INV>", "SVLEN=-50,x;END=300").end(), 300);
        assert_eq!(record("<DEL>,<DUP>", "SVLEN=70").end(), 171);
        assert_eq!(record("C", "END=500").reach(), 500);
    }

    #[test]
    fn alleles_are_passed_once() {
        const N: usize = 200_000;
        let (alternates, lengths) = (vec!["<DEL>"; N].join(","), vec!["-50"; N].join(","));
        let record = record(&alternates, &format!("SVLEN={lengths}"));
        let started = std::time::Instant::now();
        assert_eq!((record.end(), record.reach()), (151, 151));
        // Looking each of them up anew takes minutes.
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }

    #[test]
    fn a_telomere_lies_before_the_first_base() {
        let record = parse("1\t0\t.\tN\t<DEL>\t.\t.\tEND=5").unwrap();
        assert_eq!((record.position(), record.start(), record.end()), (0, 0, 5));
        let bases = parse("1\t0\t.\tNA\tN\t.\t.\t.").unwrap();
        assert_eq!((bases.start(), bases.end()), (0, 1));
    }

    #[test]
    fn what_is_no_record_is_told() {
        for (line, message) in [
            ("1\t5\t.\tA", "line 7: expected at least 8 columns, found 4 in \"1\\t5\\t.\\tA\""),
            ("1\tx\t.\tA\tC\t.\t.\t.", "line 7: 1: expected a 1-based position in POS, found \"x\""),
            ("1\t+5\t.\tA\tC\t.\t.\t.", "line 7: 1: expected a 1-based position in POS, found \"+5\""),
            ("1\t-5\t.\tA\tC\t.\t.\t.", "line 7: 1: expected a 1-based position in POS, found \"-5\""),
            ("1\t5\t.\t\tC\t.\t.\t.", "line 7: 1:5: expected bases in REF, found an empty column"),
            ("1\t5\t.\tA\t\t.\t.\t.", "line 7: 1:5: expected an allele or \".\" in ALT, found an empty column"),
            ("\t5\t.\tA\tC\t.\t.\t.", "line 7: expected a contig's name in UTF-8, found \"\""),
            (
                "1\t9223372036854775806\t.\tACG\tC\t.\t.\t.",
                "line 7: 1:9223372036854775806: expected a REF that ends at position 9223372036854775807 at most, found 3 bases",
            ),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), message);
        }
        assert!(parse("1\t18446744073709551615\t.\tA\tC\t.\t.\t.").is_err());
        assert!(parse("1\t9223372036854775806\t.\tAC\tC\t.\t.\t.").is_ok());
    }
}
