//! The header: lines that start with `##`, then the line of column names.

mod meta;

use std::{collections::HashSet, fmt, io::BufRead};

use super::{error::shown, lines::read_line};

pub(super) use meta::MetaLine;

const COLUMNS: &[u8] = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO";

/// A contig that a header declares.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderContig {
    /// The name.
    pub name: String,
    /// The length in bases, where it is told and is not 0.
    pub length: Option<u64>,
}

impl HeaderContig {
    /// Whether a header can declare a contig of this name (VCF 4.3, 1.4.7).
    ///
    /// ```
    /// use longstrand_seq::variant::HeaderContig;
    ///
    /// assert!(HeaderContig::is_name("HLA-A*01:01:01:01"));
    /// assert!(!HeaderContig::is_name("a,b<c>"));
    /// ```
    pub fn is_name(name: &str) -> bool {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&*+./:;=?@^_|~-".contains(&b);
        !name.is_empty() && name.bytes().all(is_part) && !name.starts_with(['*', '='])
    }
}

/// The header of a VCF or BCF file, line by line as it stands there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VariantHeader {
    meta: Vec<Vec<u8>>,
    columns: Vec<u8>,
    contigs: Vec<HeaderContig>,
}

impl VariantHeader {
    pub(super) fn new(meta: Vec<Vec<u8>>, columns: Vec<u8>) -> Self {
        let contigs = list_contigs(&meta);
        Self { meta, columns, contigs }
    }

    /// The lines that start with `##`, without line ends.
    pub fn meta_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.meta.iter().map(Vec::as_slice)
    }

    /// The line of column names, without its line end.
    pub(super) fn columns(&self) -> &[u8] {
        &self.columns
    }

    /// The number of samples.
    pub(super) fn sample_count(&self) -> usize {
        const BEFORE_SAMPLES: usize = 9;
        (memchr::memchr_iter(b'\t', &self.columns).count() + 1).saturating_sub(BEFORE_SAMPLES)
    }

    /// The declared contigs in their order; of two of the same name the first.
    pub fn contigs(&self) -> &[HeaderContig] {
        &self.contigs
    }

    /// The header with lines (`##INFO=<ID=…>`, `##name=value`, without line ends) put before the column names.
    ///
    /// A line that declares the same ID under the same key gives way; of all others none is touched.
    pub fn with_lines<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        let lines: Vec<&str> = lines.into_iter().collect();
        let identities: HashSet<_> = lines.iter().filter_map(|line| MetaLine::parse(line)?.identity()).collect();
        let is_kept = |line: &&Vec<u8>| {
            let text = String::from_utf8_lossy(line);
            let identity = MetaLine::parse(&text).and_then(|line| line.identity());
            identity.is_none_or(|identity| !identities.contains(&identity))
        };
        let kept = self.meta.iter().filter(is_kept).cloned();
        let meta = kept.chain(lines.iter().map(|line| line.as_bytes().to_vec()));
        Self::new(meta.collect(), self.columns.clone())
    }

    /// The first of these INFO keys that the header declares without saying that they come from `source`.
    pub fn foreign_info<'a>(&self, keys: &'a [String], source: &str) -> Option<&'a str> {
        let is_foreign = |key: &str, line: &[u8]| {
            let text = String::from_utf8_lossy(line);
            let meta = MetaLine::parse(&text).filter(|meta| meta.key == "INFO" && meta.get("ID") == Some(key));
            meta.is_some_and(|meta| meta.get("Source") != Some(source))
        };
        keys.iter().map(String::as_str).find(|key| self.meta.iter().any(|line| is_foreign(key, line)))
    }

    /// The fields of the last structured line of a kind (`##KEY=<…>`): names and values without quotes.
    pub fn last_fields(&self, key: &str) -> Option<Vec<(String, String)>> {
        let fields = |line: &Vec<u8>| {
            let text = String::from_utf8_lossy(line);
            let meta = MetaLine::parse(&text).filter(|meta| meta.key == key)?;
            Some(meta.pairs().map(|(name, value)| (name.to_owned(), value)).collect())
        };
        self.meta.iter().rev().find_map(fields)
    }

    /// The header without the declarations of these INFO keys.
    pub fn without_info(&self, keys: &[String]) -> Self {
        let is_left_out = |line: &[u8]| {
            let text = String::from_utf8_lossy(line);
            let identity = MetaLine::parse(&text).and_then(|line| line.identity());
            identity.is_some_and(|(kind, id)| kind == "INFO" && keys.contains(&id))
        };
        let meta = self.meta.iter().filter(|line| !is_left_out(line)).cloned();
        Self::new(meta.collect(), self.columns.clone())
    }

    /// The header with those of its structured lines changed that `change` gives something for.
    pub(super) fn map_lines(&self, change: impl Fn(&MetaLine<'_>) -> Option<String>) -> Self {
        let meta = self.meta.iter().map(|line| {
            let text = String::from_utf8_lossy(line);
            let changed = MetaLine::parse(&text).and_then(|meta| change(&meta));
            changed.map_or_else(|| line.clone(), String::into_bytes)
        });
        Self::new(meta.collect(), self.columns.clone())
    }

    /// The header with contigs declared that it does not declare yet.
    pub fn with_contigs<'a>(&self, contigs: impl IntoIterator<Item = (&'a str, Option<u64>)>) -> Self {
        let mut known: HashSet<&str> = self.contigs.iter().map(|contig| contig.name.as_str()).collect();
        let mut meta = self.meta.clone();
        for (name, length) in contigs {
            if known.insert(name) {
                let length = length.map(|length| format!(",length={length}")).unwrap_or_default();
                meta.push(format!("##contig=<ID={name}{length}>").into_bytes());
            }
        }
        Self::new(meta, self.columns.clone())
    }

    /// The header as text, a line feed behind every line.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in self.meta_lines().chain([self.columns()]) {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        bytes
    }
}

fn list_contigs(meta: &[Vec<u8>]) -> Vec<HeaderContig> {
    let mut seen = HashSet::new();
    let mut contigs = Vec::new();
    for line in meta.iter().filter(|line| line.starts_with(b"##contig=")) {
        let text = String::from_utf8_lossy(line);
        let Some(line) = MetaLine::parse(&text) else { continue };
        let Some(name) = line.get("ID") else { continue };
        if seen.insert(name.to_owned()) {
            let length = line.get("length").and_then(|length| length.parse().ok()).filter(|&length| length > 0);
            contigs.push(HeaderContig { name: name.to_owned(), length });
        }
    }
    contigs
}

/// Why a header cannot be read.
#[derive(Debug)]
pub(super) enum ReadHeaderError {
    Io(std::io::Error),
    Header(HeaderError),
}

/// Reads a header. Returns it with the number of its lines.
pub(super) fn read(reader: &mut impl BufRead) -> Result<(VariantHeader, u64), ReadHeaderError> {
    let mut meta = Vec::new();
    let mut n_bytes = 0;
    for number in 1.. {
        let mut line = Vec::new();
        let is_line = read_line(reader, &mut line).map_err(ReadHeaderError::Io)?;
        n_bytes += line.len() as u64;
        if let Some(expected) = missing(&line, number, n_bytes) {
            let found = if is_line { shown(&line) } else { "the end of the file".into() };
            return Err(ReadHeaderError::Header(HeaderError { line: number, expected, found }));
        }
        if line.starts_with(b"##") {
            meta.push(line);
        } else {
            return Ok((VariantHeader::new(meta, line), number));
        }
    }
    unreachable!("no file has so many lines")
}

/// What a header's line lacks.
fn missing(line: &[u8], number: u64, n_bytes: u64) -> Option<&'static str> {
    let is_columns = line.strip_prefix(COLUMNS).is_some_and(|rest| matches!(rest, [] | [b'\t', ..]));
    if number == 1 && !line.starts_with(b"##fileformat=VCF") {
        Some("\"##fileformat=VCFv4.x\"")
    } else if n_bytes > super::lines::LONGEST {
        Some("a header of at most 268435456 bytes")
    } else if !line.starts_with(b"##") && !is_columns {
        Some("a line that starts with \"##\", or the column names \"#CHROM\", \"POS\", … \"INFO\" with tabs between")
    } else {
        None
    }
}

/// A header is no header of VCF.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderError {
    /// The line, 1-based.
    pub line: u64,
    /// What should be there.
    pub expected: &'static str,
    /// What is there.
    pub found: String,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the header: expected {}, found {}", self.line, self.expected, self.found)
    }
}

impl std::error::Error for HeaderError {}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "##fileformat=VCFv4.2\n\
        ##INFO=<ID=LS,Number=1,Type=Integer,Description=\"a, b\">\n\
        ##FORMAT=<ID=LS,Number=1,Type=Integer,Description=\"c\">\n\
        ##contig=<ID=20,length=63025520>\n\
        ##contig=<ID=chrUn>\n\
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tNA1\tNA2\n";

    fn header(text: &str) -> Result<VariantHeader, String> {
        match read(&mut text.as_bytes()) {
            Ok((header, _)) => Ok(header),
            Err(ReadHeaderError::Header(error)) => Err(error.to_string()),
            Err(ReadHeaderError::Io(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_header_is_kept_line_by_line() {
        let crlf = TEXT.replace('\n', "\r\n");
        for text in [TEXT, &crlf] {
            let header = header(text).unwrap();
            assert_eq!(header.to_bytes(), TEXT.as_bytes());
            assert_eq!(header.sample_count(), 2);
            let contigs: Vec<_> = header.contigs().iter().map(|c| (c.name.as_str(), c.length)).collect();
            assert_eq!(contigs, [("20", Some(63_025_520)), ("chrUn", None)]);
        }
    }

    #[test]
    fn lines_replace_their_like_and_contigs_are_added_once() {
        let new = "##INFO=<ID=LS,Number=A,Type=Float,Description=\"d\">";
        let header = header(TEXT).unwrap().with_lines([new, "##LScommand=x"]);
        let header = header.with_contigs([("20", Some(1)), ("21", None), ("22", Some(5)), ("21", Some(6))]);
        let lines: Vec<_> = header.meta_lines().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let expected = [
            "##fileformat=VCFv4.2",
            "##FORMAT=<ID=LS,Number=1,Type=Integer,Description=\"c\">",
            "##contig=<ID=20,length=63025520>",
            "##contig=<ID=chrUn>",
            new,
            "##LScommand=x",
            "##contig=<ID=21>",
            "##contig=<ID=22,length=5>",
        ];
        assert_eq!(lines, expected);
        assert_eq!(header.contigs().len(), 4);
    }

    #[test]
    fn names_of_contigs_are_those_that_vcf_allows() {
        for name in ["chr1", "HLA-A*01:01:01:01", "gi|1|ref|NC_1.1|", "#1", "a=b"] {
            assert!(HeaderContig::is_name(name), "{name}");
        }
        for name in ["", "*", "=a", "a,b<c>", "a b", "a\"", "(a)", "{a}", "a\\", "\u{e9}"] {
            assert!(!HeaderContig::is_name(name), "{name}");
        }
    }

    #[test]
    fn declarations_of_another_source_are_found() {
        let keys = ["LA".to_owned(), "LS".to_owned()];
        assert_eq!(header(TEXT).unwrap().foreign_info(&keys, "us"), Some("LS"));
        let ours = TEXT.replace("Description=\"a, b\"", "Description=\"a, b\",Source=\"us\"");
        assert_eq!(header(&ours).unwrap().foreign_info(&keys, "us"), None);
        assert_eq!(header(TEXT).unwrap().foreign_info(&keys[..1], "us"), None);
    }

    #[test]
    fn declarations_of_info_alone_are_left_out() {
        let header = header(TEXT).unwrap().without_info(&["LS".to_owned(), "20".to_owned()]);
        let expected = TEXT.replace("##INFO=<ID=LS,Number=1,Type=Integer,Description=\"a, b\">\n", "");
        assert_eq!(header.to_bytes(), expected.as_bytes());
    }

    #[test]
    fn what_is_no_header_is_told() {
        let columns =
            "a line that starts with \"##\", or the column names \"#CHROM\", \"POS\", … \"INFO\" with tabs between";
        for (text, message) in [
            ("", "line 1 of the header: expected \"##fileformat=VCFv4.x\", found the end of the file".to_owned()),
            (
                &TEXT[TEXT.find('\n').unwrap() + 1..],
                "line 1 of the header: expected \"##fileformat=VCFv4.x\", found \"##INFO=<ID=LS,Number=1,Type=Integer,Desc\"…".into(),
            ),
            (
                "##fileformat=VCFv4.2\n20\t1\n",
                format!("line 2 of the header: expected {columns}, found \"20\\t1\""),
            ),
            (
                "##fileformat=VCFv4.2\n#CHROM POS ID REF ALT QUAL FILTER INFO\n",
                format!("line 2 of the header: expected {columns}, found \"#CHROM POS ID REF ALT QUAL FILTER INFO\""),
            ),
            ("##fileformat=VCFv4.2\n", format!("line 2 of the header: expected {columns}, found the end of the file")),
        ] {
            assert_eq!(header(text).unwrap_err(), message);
        }
    }
}
