use md5::{Digest, Md5};
use noodles_cram as cram;
use noodles_fasta as fasta;

use super::*;
use crate::error::told;
use crate::genome::{Genome, GenomeOptions};

fn bases(seed: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b"ACGT"[(state >> 60) as usize % 4]
    };
    (0..LENGTH).map(next).collect()
}

/// A reference whose contigs are named as the reads' header does not.
fn write_reference(path: &Path) {
    let mut text = Vec::new();
    for (name, seed) in [("20", 1), ("21", 2)] {
        text.extend_from_slice(format!(">{name}\n").as_bytes());
        text.extend_from_slice(&bases(seed));
        text.push(b'\n');
    }
    fs::write(path, text).unwrap();
}

fn write_cram(path: &Path, records: &[RecordBuf]) {
    let contig = |name: &str, seed| {
        let definition = fasta::record::Definition::new(name, None);
        fasta::Record::new(definition, fasta::record::Sequence::from(bases(seed)))
    };
    let repository = fasta::Repository::new(vec![contig("chr20", 1), contig("chr21", 2)]);
    let header = header();
    let mut writer = cram::io::writer::Builder::default()
        .set_reference_sequence_repository(repository)
        .build_from_path(path)
        .unwrap();
    writer.write_header(&header).unwrap();
    for record in records {
        writer.write_alignment_record(&header, record).unwrap();
    }
    writer.try_finish(&header).unwrap();
}

/// Reads enough for several containers, one of which holds the end of a contig and the start of the next.
fn written() -> Vec<RecordBuf> {
    let mut records = Vec::new();
    for contig in 0..2 {
        for i in 0..15_000 {
            let flags = [0, 0x10, 0x100, 0x4][i % 4];
            let mut record = read(&format!("r{contig}.{i}"), contig, i * 13, flags);
            *record.quality_scores_mut() = vec![30; record.sequence().len()].into();
            records.push(record);
        }
    }
    records
}

/// Indexes a file of `records` by the number of records that the writer puts into a container.
fn write_crai(path: &Path, records: &[RecordBuf]) {
    const CONTAINER: usize = 10_240;
    let mut reader = fs::File::open(path).map(cram::io::Reader::new).unwrap();
    reader.read_header().unwrap();
    let mut container = cram::io::reader::Container::default();
    let mut index = Vec::new();
    for held in records.chunks(CONTAINER) {
        let offset = reader.position().unwrap();
        reader.read_container(&mut container).unwrap();
        for contig in 0..2 {
            let mut here = held.iter().filter(|record| record.reference_sequence_id() == Some(contig));
            if let Some(first) = here.next() {
                let start = first.alignment_start().unwrap();
                let last = here.next_back().unwrap_or(first);
                let end = last.alignment_start().unwrap().get() + 10;
                let span = end - start.get() + 1;
                let slice = cram::crai::Record::new(Some(contig), Some(start), span, offset, 0, 0);
                index.push(slice);
            }
        }
    }
    assert_eq!(reader.read_container(&mut container).unwrap(), 0);
    cram::crai::fs::write(path.with_extension("cram.crai"), &index).unwrap();
}

struct Files {
    folder: TempDir,
    bam: PathBuf,
    cram: PathBuf,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    write_reference(&folder.path().join("genome.fa"));
    let bam = folder.path().join("reads.bam");
    let cram = folder.path().join("reads.cram");
    write_bam(&bam, &written());
    write_cram(&cram, &written());
    Files { folder, bam, cram }
}

fn open_cram(files: &Files) -> Result<ReadFile, ReadError> {
    let path = files.folder.path().join("genome.fa");
    let genome = Genome::open(&path, &GenomeOptions::default()).unwrap();
    ReadFile::new(Input::open(&files.cram).unwrap(), Some(genome))
}

fn run_cram(files: &Files, filter: ReadFilter) -> Vec<Window> {
    let windows = open_cram(files).unwrap().windows(filter).unwrap();
    windows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn cram_gives_the_reads_of_the_bam() {
    let files = files();
    let (expected, _) = run(&files.bam, ReadFilter::default());
    assert_eq!(run_cram(&files, ReadFilter::default()), expected);

    let region = || over(&[(0, 50_000, 60_000), (1, 0, 500)]);
    let (expected, _) = run(&files.bam, region());
    assert_eq!(run_cram(&files, region()), expected);
    write_crai(&files.cram, &written());
    assert_eq!(run_cram(&files, region()), expected);
    let mut one_container = open_cram(&files).unwrap().windows(over(&[(0, 0, 9)])).unwrap();
    assert_eq!(one_container.by_ref().count(), 1);
    assert!(one_container.counts().outside < 10_240);
}

#[test]
fn cram_without_its_reference_is_an_error() {
    let files = files();
    let first_error = |file: ReadFile| {
        let windows = file.windows(ReadFilter::default()).unwrap();
        told(&windows.map(|window| window.err()).find_map(|error| error).unwrap())
    };
    let without = ReadFile::new(Input::open(&files.cram).unwrap(), None).unwrap();
    assert!(first_error(without).contains("expected a reference, found none"));

    fs::write(files.folder.path().join("genome.fa"), ">20\nACGT\n>21\nACGT\n").unwrap();
    let shorter = first_error(open_cram(&files).unwrap());
    assert!(shorter.contains("expected 200000 bases, found 4"), "{shorter}");

    fs::write(files.folder.path().join("genome.fa"), ">7\nACGT\n").unwrap();
    let other = first_error(open_cram(&files).unwrap());
    assert!(other.contains("chr20"), "{other}");
}

#[test]
fn a_reference_of_other_bases_is_refused_and_its_case_does_not_matter() {
    let files = files();
    let path = files.folder.path().join("genome.fa");
    let (expected, _) = run(&files.bam, ReadFilter::default());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.to_lowercase()).unwrap();
    assert_eq!(run_cram(&files, ReadFilter::default()), expected);

    // No read lies there: what slices know of the reference does not tell.
    let mut masked = text.into_bytes();
    masked[LENGTH - 1_000..LENGTH].fill(b'N');
    fs::write(&path, masked).unwrap();
    let error = open_cram(&files).unwrap().windows(ReadFilter::default()).unwrap().find_map(Result::err).unwrap();
    let md5 = |mut sequence: Vec<u8>, masked: std::ops::Range<usize>| {
        sequence[masked].fill(b'N');
        let digest = <Md5 as Digest>::digest(&sequence);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (right, wrong) = (md5(bases(1), 0..0), md5(bases(1), LENGTH - 1_004..LENGTH - 4));
    let message = format!("contig \"chr20\" of the reference is another one: expected the MD5 {right}, found {wrong}");
    assert!(told(&error).ends_with(&message), "{}", told(&error));
}

#[test]
fn truncated_cram_is_an_error() {
    let files = files();
    let bytes = fs::read(&files.cram).unwrap();
    for kept in [bytes.len() - 20, bytes.len() - 38, bytes.len() / 2, 100] {
        fs::write(&files.cram, &bytes[..kept]).unwrap();
        let error = match open_cram(&files) {
            Err(error) => error,
            Ok(file) => {
                let mut windows = file.windows(ReadFilter::default()).unwrap();
                windows.find_map(Result::err).unwrap()
            }
        };
        assert!(matches!(error.kind(), ReadErrorKind::Truncated), "{kept}: {error}");
    }
}
