//! `longstrand embed` on CRAM, which is written here against a genome that is written here.

use std::{fs, num::NonZero, path::Path};

use longstrand_tests::{synthetic::Family, table::Row, workdir::Workdir};
use noodles_bam as bam;
use noodles_core::Position;
use noodles_cram as cram;
use noodles_fasta as fasta;
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
    header::record::value::{Map, map::ReferenceSequence},
};

const LENGTH: usize = 4000;
const READ: usize = 100;

fn genome() -> Vec<u8> {
    let mut state = 7_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b"ACGT"[(state >> 60) as usize % 4]
    };
    (0..LENGTH).map(next).collect()
}

fn header() -> sam::Header {
    let contig = Map::<ReferenceSequence>::new(NonZero::new(LENGTH).expect("not zero"));
    sam::Header::builder().add_reference_sequence("chr20", contig).build()
}

/// A read that begins at a base of the genome, 0-based: five clipped bases, then the genome's with one changed.
fn read(start: usize, flags: Flags) -> RecordBuf {
    let mut bases = [b"GATTA", &genome()[start..start + READ - 5]].concat();
    bases[50] = if bases[50] == b'A' { b'C' } else { b'A' };
    RecordBuf::builder()
        .set_name(format!("r{start}"))
        .set_flags(flags)
        .set_reference_sequence_id(0)
        .set_alignment_start(Position::try_from(start + 1).expect("a position"))
        .set_mapping_quality(MappingQuality::new(60).expect("a quality"))
        .set_cigar([Op::new(Kind::SoftClip, 5), Op::new(Kind::Match, READ - 5)].into_iter().collect())
        .set_quality_scores(vec![30; READ].into())
        .set_sequence(bases.into())
        .build()
}

fn reads() -> Vec<RecordBuf> {
    let flags = [Flags::empty(), Flags::REVERSE_COMPLEMENTED, Flags::SECONDARY];
    (0..30).map(|i| read(i * 120, flags[i % 3])).collect()
}

fn write_bam(path: &Path) {
    let mut writer = bam::io::writer::Builder.build_from_path(path).expect("a file");
    writer.write_header(&header()).expect("a header");
    for read in reads() {
        writer.write_alignment_record(&header(), &read).expect("a read");
    }
    writer.try_finish().expect("the end of the file");
}

fn write_cram(path: &Path) {
    let definition = fasta::record::Definition::new("chr20", None);
    let contig = fasta::Record::new(definition, fasta::record::Sequence::from(genome()));
    let mut writer = cram::io::writer::Builder::default()
        .set_reference_sequence_repository(fasta::Repository::new(vec![contig]))
        .build_from_path(path)
        .expect("a file");
    writer.write_header(&header()).expect("a header");
    for read in reads() {
        writer.write_alignment_record(&header(), &read).expect("a read");
    }
    writer.try_finish(&header()).expect("the end of the file");
}

#[test]
fn cram_against_its_genome_gives_the_rows_of_the_bam() {
    let workdir = Workdir::new(env!("CARGO_BIN_EXE_longstrand-under-test"), Family::CaduceusPh);
    // The genome calls the contig by another of its names.
    let genome = workdir.write("genome.fa", [b">20\n", &genome()[..], b"\n"].concat());
    let (bam, cram) = (workdir.path("reads.bam"), workdir.path("reads.cram"));
    write_bam(&bam);
    write_cram(&cram);
    let against = format!("--reference {}", genome.display());
    for options in ["", "--region 20:1000-2000", "--exclude-flags REVERSE,SECONDARY", "--shard 2/3"] {
        let expected: Vec<Row> = workdir.rows(&bam, options);
        let found = workdir.rows(&cram, &format!("{against} {options}"));
        assert!(!found.is_empty() && found == expected, "{options}: {} rows", found.len());
    }
    let all = workdir.rows(&cram, &against);
    assert_eq!(all.len(), 20);
    assert!(all.iter().all(|row| row.n_bases == READ as i64 && row.contig == "chr20"));

    workdir.embed(&cram, "out.parquet").fails(1, &["reads.cram", "expected a reference, found none"]);
    let mut other = fs::read(&genome).expect("the genome");
    other.truncate(1000);
    let other = workdir.write("other.fa", other);
    workdir.embed(&cram, "out.parquet").args(&format!("--reference {}", other.display())).fails(1, &["20"]);
}
