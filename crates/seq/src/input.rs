//! What kind of file an input is, told from its content.

mod bgzf_end;
mod gzip;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

pub(crate) use bgzf_end::{BGZF_END, Tail, has_bgzf_end, without_end};
pub(crate) use gzip::{decompress, decompress_any};

use crate::error::Error;

/// How a text file is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// Not at all.
    None,
    /// One or more gzip members: only readable from the start.
    Gzip,
    /// Blocks of gzip, as bgzip writes them: readable from any block.
    Bgzip,
}

/// A kind of input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputKind {
    /// FASTA text.
    Fasta(Compression),
    /// UCSC 2bit.
    TwoBit,
    /// Aligned reads, BAM.
    Bam,
    /// Aligned reads, CRAM.
    Cram,
}

impl InputKind {
    /// Whether the file holds reads rather than a genome.
    pub fn is_reads(self) -> bool {
        matches!(self, Self::Bam | Self::Cram)
    }
}

impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fasta(Compression::None) => "FASTA",
            Self::Fasta(Compression::Gzip) => "gzip FASTA",
            Self::Fasta(Compression::Bgzip) => "bgzip FASTA",
            Self::TwoBit => "2bit",
            Self::Bam => "BAM",
            Self::Cram => "CRAM",
        })
    }
}

/// An opened input whose kind is known and of which nothing is lost: standard input can be looked at too.
pub struct Input {
    path: PathBuf,
    kind: InputKind,
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
}

impl Input {
    /// Opens a file, or standard input for `-`, and looks at its first bytes.
    ///
    /// Text that is nothing else counts as FASTA, and so does a file with no bytes: reading it tells what is wrong.
    ///
    /// # Errors
    ///
    /// - the file cannot be opened or read
    /// - its content is neither FASTA, 2bit, BAM nor CRAM
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io_error = |source| Error::Io { path: path.into(), source };
        let mut rest: Box<dyn Read + Send> =
            if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(io_error)?) };
        let head = read_head(&mut rest).map_err(io_error)?;
        let kind = sniff(&head).map_err(|error| error.with_path(path))?;
        Ok(Self { path: path.into(), kind, head, rest })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file is.
    pub fn kind(&self) -> InputKind {
        self.kind
    }

    /// Whether it can be read only once and from its start, as standard input and pipes can.
    pub fn is_stream(&self) -> bool {
        is_stream(&self.path)
    }

    /// All bytes of the file from its start, as they are stored.
    pub fn into_reader(self) -> Box<dyn Read + Send> {
        Box::new(io::Cursor::new(self.head).chain(self.rest))
    }
}

/// Whether a path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a path stands for something that can be read only once and from its start.
pub fn is_stream(path: &Path) -> bool {
    is_stdin(path) || !path.is_file()
}

fn read_head(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    const HEAD: u64 = 1 << 16;
    let mut head = Vec::new();
    reader.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// Why a file's kind cannot be told.
#[derive(Debug)]
enum SniffError {
    /// It is of another kind.
    Other(&'static str),
    /// It is compressed and ends before its first byte.
    Truncated(io::Error),
}

impl SniffError {
    fn with_path(self, path: &Path) -> Error {
        let path = path.to_path_buf();
        match self {
            Self::Truncated(source) => Error::Truncated { path, source },
            Self::Other(found) => InputError { path, expected: "FASTA, 2bit, BAM or CRAM", found: found.into() }.into(),
        }
    }
}

/// Tells the kind, or what else the content looks like.
fn sniff(head: &[u8]) -> Result<InputKind, SniffError> {
    let compression = gzip::compression(head);
    if compression == Compression::None {
        return sniff_plain(head, compression).map_err(SniffError::Other);
    }
    let mut inside = Vec::new();
    match GzDecoder::new(head).take(4096).read_to_end(&mut inside) {
        Err(error) if inside.is_empty() && error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(SniffError::Truncated(error))
        }
        // Damage further on is told when it is reached; the bytes before it are enough here.
        _ => sniff_plain(&inside, compression).map_err(SniffError::Other),
    }
}

fn sniff_plain(head: &[u8], compression: Compression) -> Result<InputKind, &'static str> {
    let is_plain = compression == Compression::None;
    match head {
        [b'B', b'A', b'M', 1, ..] if !is_plain => Ok(InputKind::Bam),
        [b'B', b'C', b'F', ..] if !is_plain => Err("BCF"),
        [b'C', b'R', b'A', b'M', ..] if is_plain => Ok(InputKind::Cram),
        [0x1a, 0x41, 0x27, 0x43, ..] | [0x43, 0x27, 0x41, 0x1a, ..] if is_plain => Ok(InputKind::TwoBit),
        [0x1a, 0x41, 0x27, 0x43, ..] | [0x43, 0x27, 0x41, 0x1a, ..] => Err("compressed 2bit"),
        _ => sniff_text(head).map(|()| InputKind::Fasta(compression)),
    }
}

fn sniff_text(head: &[u8]) -> Result<(), &'static str> {
    const SAM: [&[u8]; 5] = [b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t", b"@CO\t"];
    let text = head.trim_ascii_start();
    if SAM.iter().any(|line| text.starts_with(line)) {
        Err("SAM")
    } else if text.starts_with(b"@") {
        Err("FASTQ")
    } else if text.starts_with(b"##fileformat=VCF") {
        Err("VCF")
    } else if head.contains(&0) {
        Err("binary data")
    } else {
        Ok(())
    }
}

/// A file is of another kind than is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InputError {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// The kinds that would do.
    pub expected: &'static str,
    /// What the file is.
    pub found: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}{}", self.path.display(), self.expected, self.found, remedy(&self.found))
    }
}

/// What to do about a file of another kind, to follow the message; nothing where nothing helps.
fn remedy(found: &str) -> &'static str {
    match found {
        "SAM" => "; samtools view -b makes BAM of it",
        "FASTQ" => "; samtools import makes BAM of it",
        "compressed 2bit" => "; decompress it first",
        _ => "",
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bgzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = noodles_bgzf::io::Writer::new(Vec::new());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn kinds_are_told_from_content() {
        for (head, kind) in [
            (b">1\nACGT\n".to_vec(), InputKind::Fasta(Compression::None)),
            (gzip(b">1\nACGT\n"), InputKind::Fasta(Compression::Gzip)),
            (bgzip(b">1\nACGT\n"), InputKind::Fasta(Compression::Bgzip)),
            (bgzip(b"BAM\x01\0\0\0\0"), InputKind::Bam),
            (b"CRAM\x03\0".to_vec(), InputKind::Cram),
            (0x1a41_2743_u32.to_le_bytes().to_vec(), InputKind::TwoBit),
            (0x1a41_2743_u32.to_be_bytes().to_vec(), InputKind::TwoBit),
            (Vec::new(), InputKind::Fasta(Compression::None)),
        ] {
            assert_eq!(sniff(&head).unwrap(), kind);
        }
    }

    #[test]
    fn other_formats_are_named() {
        for (head, found) in [
            (b"@r1\nACGT\n+\nIIII\n".to_vec(), "FASTQ"),
            (gzip(b"@r1\nACGT\n+\nIIII\n"), "FASTQ"),
            (b"@HD\tVN:1.6\n".to_vec(), "SAM"),
            (bgzip(b"##fileformat=VCFv4.3\n"), "VCF"),
            (bgzip(b"BCF\x02\x02"), "BCF"),
            (b"\x7fELF\0\0".to_vec(), "binary data"),
        ] {
            assert!(matches!(sniff(&head), Err(SniffError::Other(text)) if text == found), "{found}");
        }
    }

    #[test]
    fn a_compressed_file_without_a_byte_is_truncated() {
        for bytes in [gzip(b">1\nACGT\n"), bgzip(b"BAM\x01\0\0\0\0")] {
            assert!(matches!(sniff(&bytes[..8]), Err(SniffError::Truncated(_))));
        }
    }

    #[test]
    fn nothing_is_lost_by_looking() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = [b">1\n".as_slice(), &[b'A'; 100_000]].concat();
        file.write_all(&text).unwrap();
        let input = Input::open(file.path()).unwrap();
        assert_eq!(input.kind(), InputKind::Fasta(Compression::None));
        let mut read = Vec::new();
        input.into_reader().read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Input::open(Path::new("no/such.fa")).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read no/such.fa");
    }
}
