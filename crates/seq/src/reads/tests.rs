//! Files of reads that are written here, and a real one.

use std::{
    fs, io,
    num::NonZero,
    path::{Path, PathBuf},
};

use noodles_bam as bam;
use noodles_core::Position;
use noodles_sam::{
    self as sam,
    alignment::{
        RecordBuf,
        io::Write as _,
        record::{
            Flags, MappingQuality,
            cigar::{Op, op::Kind},
        },
    },
    header::record::value::{
        Map,
        map::{
            self, ReferenceSequence,
            header::{sort_order, tag},
        },
    },
};
use tempfile::TempDir;

use super::{source::Source, *};
use crate::{
    bed::parse_bed,
    input::{Input, InputKind},
    region::{self, Interval},
    strand::Strand,
    window::{Shard, Window},
};

const LENGTH: usize = 200_000;

fn header() -> sam::Header {
    let contig = || Map::<ReferenceSequence>::new(const { NonZero::new(LENGTH).unwrap() });
    let sorted = Map::<map::Header>::builder().insert(tag::SORT_ORDER, sort_order::COORDINATE).build().unwrap();
    sam::Header::builder()
        .set_header(sorted)
        .add_reference_sequence("chr20", contig())
        .add_reference_sequence("chr21", contig())
        .build()
}

/// A read of 8 aligned bases after 2 clipped ones, with 3 deleted from the reference: 10 bases over a span of 11.
fn read(name: &str, contig: usize, start: usize, flags: u16) -> RecordBuf {
    let cigar = [
        Op::new(Kind::HardClip, 5),
        Op::new(Kind::SoftClip, 2),
        Op::new(Kind::Match, 4),
        Op::new(Kind::Deletion, 3),
        Op::new(Kind::Match, 4),
    ];
    RecordBuf::builder()
        .set_name(name)
        .set_flags(Flags::from(flags))
        .set_reference_sequence_id(contig)
        .set_alignment_start(Position::try_from(start + 1).unwrap())
        .set_mapping_quality(MappingQuality::new(30).unwrap())
        .set_cigar(cigar.into_iter().collect())
        .set_sequence(b"TTACGTNCCA".to_vec().into())
        .build()
}

fn unmapped(name: &str) -> RecordBuf {
    RecordBuf::builder().set_name(name).set_flags(Flags::UNMAPPED).set_sequence(b"GATTACA".to_vec().into()).build()
}

/// Many reads on both contigs, every kind that is skipped among them, and some unmapped ones.
fn records() -> Vec<RecordBuf> {
    let mut records = Vec::new();
    for contig in 0..2 {
        for i in 0..2_000 {
            let flags = match i % 10 {
                1 => 0x10,
                2 => 0x100,
                3 => 0x800,
                4 => 0x400,
                5 => 0x1 | 0x40,
                6 => 0x1 | 0x80 | 0x10,
                7 => 0x4,
                _ => 0,
            };
            let mut record = read(&format!("r{contig}.{i}"), contig, i * 97, flags);
            if i % 10 == 7 {
                *record.cigar_mut() = Vec::new().into();
            }
            if i % 10 == 8 {
                *record.mapping_quality_mut() = MappingQuality::new(3);
            }
            if i % 10 == 9 {
                *record.sequence_mut() = Vec::new().into();
            }
            records.push(record);
        }
    }
    records.extend((0..7).map(|i| unmapped(&format!("u{i}"))));
    records
}

fn write_bam(path: &Path, records: &[RecordBuf]) {
    let header = header();
    let mut writer = bam::io::writer::Builder.build_from_path(path).unwrap();
    writer.write_header(&header).unwrap();
    for record in records {
        writer.write_alignment_record(&header, record).unwrap();
    }
    writer.try_finish().unwrap();
}

fn bam_file(records: &[RecordBuf]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reads.bam");
    write_bam(&path, records);
    (folder, path)
}

fn write_index(path: &Path) {
    let bam::Index::Bai(index) = bam::fs::index(path).unwrap() else {
        panic!("expected a .bai");
    };
    bam::bai::fs::write(path.with_extension("bam.bai"), &index).unwrap();
}

fn open(path: &Path) -> Result<ReadFile, ReadError> {
    ReadFile::new(Input::open(path).unwrap(), None)
}

fn run(path: &Path, filter: ReadFilter) -> (Vec<Window>, ReadCounts) {
    let mut windows = open(path).unwrap().windows(filter).unwrap();
    let all = windows.by_ref().collect::<Result<_, _>>().unwrap();
    (all, windows.counts())
}

fn over(intervals: &[(usize, u64, u64)]) -> ReadFilter {
    let intervals = intervals.iter().map(|&(contig, start, end)| Interval { contig, start, end });
    ReadFilter { intervals: Some(intervals.collect()), ..ReadFilter::default() }
}

#[test]
fn reads_are_as_they_were_sequenced() {
    let records = [read("f", 0, 100, 0), read("r", 1, 200, 0x10 | 0x1 | 0x80), unmapped("u")];
    let (_folder, path) = bam_file(&records);
    let (windows, counts) = run(&path, ReadFilter::default());
    let seen: Vec<_> = windows.iter().map(|w| (w.name.as_str(), w.contig.as_str(), w.start, w.end, w.strand)).collect();
    let expected = [
        ("f", "chr20", 100, 111, Strand::Forward),
        ("r/2", "chr21", 200, 211, Strand::Reverse),
        ("u", "*", 0, 0, Strand::Forward),
    ];
    assert_eq!(seen, expected);
    assert_eq!(windows[0].bases, b"TTACGTNCCA");
    assert_eq!(windows[1].bases, b"TGGNACGTAA");
    assert_eq!(windows[2].bases, b"GATTACA");
    assert_eq!(windows[0].n_ambiguous, 1);
    assert_eq!((counts.produced, counts.bases, counts.ambiguous_bases), (3, 27, 2));
}

#[test]
fn what_is_skipped_is_counted_under_its_reason() {
    let (_folder, path) = bam_file(&records());
    let filter = ReadFilter {
        excluded_flags: ReadFilter::NOT_PRIMARY | 0x400,
        min_mapping_quality: 20,
        ..ReadFilter::default()
    };
    let (windows, counts) = run(&path, filter);
    let expected = ReadCounts {
        // Unmapped reads have no mapping quality to speak of: 255 passes.
        produced: 2_000 + 7,
        bases: 2_000 * 10 + 7 * 7,
        ambiguous_bases: 2_000,
        secondary: 400,
        supplementary: 400,
        other_flags: 400,
        low_mapping_quality: 400,
        no_sequence: 400,
        ..ReadCounts::default()
    };
    assert_eq!(counts, expected);
    assert!(windows.iter().enumerate().all(|(i, w)| w.index == i as u64));

    let required = ReadFilter { required_flags: 0x1, excluded_flags: 0, ..ReadFilter::default() };
    let (paired, counts) = run(&path, required);
    assert_eq!(paired.len(), 800);
    assert!(paired.iter().all(|w| w.name.ends_with("/1") || w.name.ends_with("/2")));
    assert_eq!(counts.other_flags, 4_007 - 800);

    let clean = ReadFilter { max_ambiguous: 0.05, ..ReadFilter::default() };
    assert_eq!(run(&path, clean).0.len(), 7);
}

#[test]
fn an_index_changes_nothing_but_the_reading() {
    let (_folder, path) = bam_file(&records());
    let wanted = [
        over(&[(0, 9_700, 19_400)]),
        over(&[(0, 0, LENGTH as u64), (1, 5, 6)]),
        over(&[(1, 50_000, 50_010), (0, 110_000, 160_000), (0, 120_000, 120_001), (1, 0, 98)]),
        over(&[(0, 199_999, 200_000)]),
        over(&[]),
    ];
    let scanned: Vec<_> = wanted.iter().map(|filter| run(&path, filter.clone())).collect();
    write_index(&path);
    for (filter, (expected, full)) in wanted.into_iter().zip(scanned) {
        let (windows, counts) = run(&path, filter.clone());
        assert_eq!(windows, expected, "{filter:?}");
        assert_eq!(counts.produced, full.produced);
        assert_eq!(counts.secondary, full.secondary);
        assert!(counts.outside < full.outside);
    }
}

#[test]
fn overlaps_are_counted_by_the_alignments_span() {
    let (_folder, path) = bam_file(&[read("a", 0, 100, 0)]);
    for (start, end, n) in [(0, 100, 0), (0, 101, 1), (110, 111, 1), (111, 200, 0)] {
        assert_eq!(run(&path, over(&[(0, start, end)])).0.len(), n, "{start}-{end}");
    }
}

#[test]
fn an_index_older_than_its_file_is_not_used() {
    let (_folder, path) = bam_file(&records()[..10]);
    write_index(&path);
    let index = path.with_extension("bam.bai");
    let old = fs::metadata(&index).unwrap().modified().unwrap() - std::time::Duration::from_secs(60);
    fs::File::options().write(true).open(&index).unwrap().set_modified(old).unwrap();
    write_bam(&path, &records());
    let (windows, _) = run(&path, over(&[(1, 0, LENGTH as u64)]));
    assert_eq!(windows.len(), 1_400);
}

#[test]
fn a_damaged_index_is_an_error_that_names_it() {
    let (_folder, path) = bam_file(&records());
    write_index(&path);
    let index = path.with_extension("bam.bai");
    let bytes = fs::read(&index).unwrap();
    let mut counts = bytes.clone();
    counts[8..12].copy_from_slice(&i32::MAX.to_le_bytes());
    let whole_file = over(&[(0, 0, LENGTH as u64)]);
    for damaged in [&counts[..], &bytes[..bytes.len() / 2], b""] {
        fs::write(&index, damaged).unwrap();
        let error = open(&path).unwrap().windows(whole_file.clone()).err().unwrap();
        let expected = "reads.bam.bai: damaged index; remove it or make it again with samtools index";
        assert!(error.to_string().ends_with(expected), "{error}");
    }
    fs::remove_file(&index).unwrap();
    let csi = path.with_extension("bam.csi");
    fs::write(&csi, &bytes).unwrap();
    let error = open(&path).unwrap().windows(whole_file).err().unwrap();
    assert!(matches!(error.kind(), ReadErrorKind::DamagedIndex), "{error}");
}

#[test]
fn a_record_of_an_absurd_size_is_refused() {
    let (_folder, path) = bam_file(&[]);
    let mut writer = noodles_bgzf::io::Writer::new(fs::File::create(&path).unwrap());
    bam::io::Writer::from(&mut writer).write_header(&header()).unwrap();
    io::Write::write_all(&mut writer, &[0xff; 40]).unwrap();
    writer.finish().unwrap();
    let error = open(&path).unwrap().windows(ReadFilter::default()).unwrap().find_map(Result::err).unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "expected a record of at most 268435456 bytes, found 4294967295");
}

#[test]
fn shards_one_after_another_are_the_whole_run() {
    let (_folder, path) = bam_file(&records());
    let filter = ReadFilter::default;
    let (whole, counts) = run(&path, filter());
    let windows = || open(&path).unwrap().windows(filter()).unwrap();
    let totals = windows().totals().unwrap();
    assert_eq!((totals.reads, totals.bases), (counts.produced, counts.bases));
    for count in [1, 3, 7] {
        let mut joined = Vec::new();
        let mut skipped = 0;
        for index in 0..count {
            let shard = Shard::new(index, count).unwrap();
            let mut mine = windows().with_shard(shard, totals);
            joined.extend(mine.by_ref().map(Result::unwrap));
            skipped += mine.counts().secondary;
        }
        assert_eq!(joined, whole);
        assert_eq!(skipped, counts.secondary);
    }
}

#[test]
fn truncated_files_are_errors() {
    let (_folder, path) = bam_file(&records());
    let bytes = fs::read(&path).unwrap();
    let n = bytes.len();
    for kept in [n - 1, n - 28, n - 29, n / 2, 2_000] {
        fs::write(&path, &bytes[..kept]).unwrap();
        let error = open(&path).err().unwrap();
        assert!(matches!(error.kind(), ReadErrorKind::Truncated), "{kept}: {error}");
        assert!(error.to_string().contains("reads.bam: the file is truncated"));
    }
}

fn open_stream(bytes: &[u8]) -> Result<ReadFile, ReadError> {
    let source = Source::stream(Box::new(io::Cursor::new(bytes.to_vec())));
    ReadFile::from_source("-".into(), InputKind::Bam, source, None)
}

#[test]
fn streams_are_read_once_and_must_be_whole() {
    let (_folder, path) = bam_file(&records());
    let (expected, _) = run(&path, over(&[(0, 5_000, 9_000)]));
    let bytes = fs::read(&path).unwrap();
    let n = bytes.len();
    let streamed = open_stream(&bytes).unwrap().windows(over(&[(0, 5_000, 9_000)])).unwrap();
    assert_eq!(streamed.collect::<Result<Vec<_>, _>>().unwrap(), expected);
    for kept in [n - 1, n - 28, n - 29, n / 2] {
        let file = open_stream(&bytes[..kept]).unwrap();
        let error = file.windows(ReadFilter::default()).unwrap().find_map(Result::err).unwrap();
        assert!(matches!(error.kind(), ReadErrorKind::Truncated), "{kept}: {error}");
    }
    let windows = open_stream(&bytes).unwrap().windows(ReadFilter::default());
    let error = windows.unwrap().totals().unwrap_err();
    assert!(matches!(error.kind(), ReadErrorKind::Stream));
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genome.fa");
    fs::write(&path, ">a\nACGT\n").unwrap();
    let error = open(&path).err().unwrap();
    assert!(error.to_string().ends_with("genome.fa: expected BAM or CRAM, found FASTA"));
}

/// Short reads of NA12878 from google/nucleus (Apache-2.0).
#[test]
fn a_real_file_with_a_region_and_a_bed_under_another_name() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/NA12878_small.bam"));
    let file = open(path).unwrap();
    let region = region::parse("20:9,999,900-10,002,000", file.contigs()).unwrap();
    let bed = b"20\t9999899\t10001000\n20\t10000500\t10002000\n".as_slice();
    let bed = parse_bed(bed, Path::new("in.bed"), file.contigs()).unwrap();
    let filter = |intervals| ReadFilter { intervals: Some(intervals), ..ReadFilter::default() };
    let (all, _) = run(path, ReadFilter::default());
    let (in_region, counts) = run(path, filter(vec![region]));
    let (in_bed, _) = run(path, filter(bed.iter().map(|record| record.interval).collect()));
    assert_eq!(all.len(), 973);
    // Eight are unmapped reads beside their aligned mates.
    assert_eq!((counts.produced, counts.unmapped), (973, 0));
    let n_unmapped = in_region.iter().filter(|w| w.contig == "*").count();
    assert_eq!(n_unmapped, 8);
    assert_eq!(in_bed, in_region);
    assert!(in_region.iter().all(|w| matches!(w.contig.as_str(), "chr20" | "*") && w.name.contains('/')));
    assert!(in_region.iter().any(|w| w.strand == Strand::Reverse));
}

/// The numbers are those of `samtools view -c -F 0x900` over the same intervals.
#[test]
fn reads_of_a_real_file_are_cut_out_by_regions_and_beds() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/NA12878_small.bam"));
    let contigs = open(path).unwrap().contigs().clone();
    let (all, _) = run(path, ReadFilter::default());
    let check = |intervals: Vec<Interval>, n: usize| {
        let filter = ReadFilter { intervals: Some(intervals.clone()), ..ReadFilter::default() };
        let (cut, counts) = run(path, filter);
        assert_eq!(cut.len(), n);
        assert_eq!((counts.produced, counts.outside), (n as u64, (all.len() - n) as u64));
        let names: Vec<_> = cut.iter().map(|window| &window.name).collect();
        assert!(all.iter().map(|window| &window.name).filter(|name| names.contains(name)).eq(names.iter().copied()));
        let overlaps = |w: &Window| intervals.iter().any(|i| w.start < i.end && i.start < w.end);
        assert!(cut.iter().filter(|window| window.contig != "*").all(overlaps));
    };
    for (region, n) in [
        ("20:10,000,501-10,001,000", 296),
        ("chr20:10,000,600-10,000,600", 45),
        ("NC_000020.10:10,001,990-10,002,500", 5),
    ] {
        check(vec![region::parse(region, &contigs).unwrap()], n);
    }
    let bed = b"20\t9999899\t10000200\n20\t10001000\t10001500\n".as_slice();
    let bed = parse_bed(bed, Path::new("in.bed"), &contigs).unwrap();
    check(bed.iter().map(|record| record.interval).collect(), 435);
}

#[cfg(feature = "cram")]
mod cram;
