//! Tracks of values of single bases, read back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/bigwig.rs"]
mod bigwig;
mod support;

use std::fs;
use std::io::Read;
use std::path::Path;

use bigwig::{BigWigFile, Record, Total};
use longstrand_table::{Existing, TrackError, TrackForm, TrackWriter, WrittenTrack, remove_temporaries};
use support::{Random, check_with_python, names};

/// A contig, its length, and what is pushed: first base and values.
type Contig = (String, u64, Vec<(u64, Vec<f32>)>);

fn write(path: &Path, form: TrackForm, contigs: &[Contig]) -> WrittenTrack {
    let mut track = TrackWriter::create(path, form, Existing::Refuse).unwrap();
    for (name, length, pieces) in contigs {
        track.begin_contig(name, *length).unwrap();
        pieces.iter().for_each(|(start, values)| track.push(*start, values).unwrap());
    }
    let written = track.finish().unwrap();
    assert_eq!(written.bytes, path.metadata().unwrap().len());
    written
}

/// Contig, position and value of each base in the track, in the order of the contigs.
fn bases(contigs: &[Contig]) -> Vec<(u32, u32, f32)> {
    let mut bases = Vec::new();
    for ((_, _, pieces), contig) in contigs.iter().zip(0..) {
        for (start, values) in pieces {
            bases.extend(values.iter().zip(*start as u32..).map(|(&value, position)| (contig, position, value)));
        }
    }
    bases.retain(|(_, _, value)| value.is_finite());
    bases
}

fn values(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| random.number() as f32).collect()
}

/// A dense contig, one with gaps of every kind, an empty one, and one of a single base; names are not sorted.
fn genome() -> Vec<Contig> {
    let mut random = Random(1);
    let dense = values(&mut random, 1_100_000);
    let dense = dense.chunks(10_007).zip(0..).map(|(piece, i)| (i * 10_007, piece.to_vec())).collect();
    let mut gaps = vec![(5, values(&mut random, 3))];
    let mut at = 100;
    for i in 0..3_000 {
        let mut piece = values(&mut random, 1 + i % 97);
        if i % 7 == 0 {
            let hole = i % 13 % piece.len();
            piece[hole] = [f32::NAN, f32::INFINITY][i % 2];
        }
        let end = at + piece.len() as u64;
        gaps.push((at, piece));
        at = end + random.bits() % 40;
    }
    vec![
        ("chr2".to_string(), 1_100_000, dense),
        ("chr10".to_string(), at + 1_000_000, gaps),
        ("chrM".to_string(), 16_569, vec![]),
        ("chr1".to_string(), 1, vec![(0, vec![-1.5])]),
    ]
}

#[test]
fn a_bigwig_holds_every_base() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bw");
    let (contigs, expected) = (genome(), bases(&genome()));
    let written = write(&path, TrackForm::BigWig, &contigs);
    assert_eq!((written.contigs, written.bases), (4, expected.len() as u64));
    assert_eq!(names(folder.path()), ["out.bw"]);
    let file = BigWigFile::open(&path);
    for ((name, length, _), number) in contigs.iter().zip(0..) {
        assert_eq!(file.contigs[name], (number, *length as u32), "{name}");
    }
    assert_eq!(file.contigs.len(), 4);
    assert!(file.values() == expected, "values differ");
}

/// What a zoom record of these values says, in any order of adding.
fn is_record_of(record: &Record, bases: &[(u32, u32, f32)]) -> bool {
    let sum: f64 = bases.iter().map(|base| f64::from(base.2)).sum();
    let squares: f64 = bases.iter().map(|base| f64::from(base.2).powi(2)).sum();
    let min = bases.iter().map(|base| base.2).fold(f32::INFINITY, f32::min);
    let max = bases.iter().map(|base| base.2).fold(f32::NEG_INFINITY, f32::max);
    (record.contig, record.start, record.end, record.count, record.min, record.max)
        == (bases[0].0, bases[0].1, bases[bases.len() - 1].1 + 1, bases.len() as u32, min, max)
        && (f64::from(record.sum) - sum).abs() <= 1e-6 * squares.max(1.0)
        && (f64::from(record.sum_of_squares) / squares - 1.0).abs() <= 1e-6
}

#[test]
fn zoom_records_sum_up_the_bases_of_their_cells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bw");
    write(&path, TrackForm::BigWig, &genome());
    let (file, bases) = (BigWigFile::open(&path), bases(&genome()));
    let cells: Vec<u32> = file.zooms.iter().map(|zoom| zoom.0).collect();
    assert_eq!(cells, [32, 128, 512, 2_048, 8_192, 32_768, 131_072, 524_288, 2_097_152]);
    for (level, cell) in cells.into_iter().enumerate() {
        let records = file.records(level);
        let mut groups = bases.chunk_by(|a, b| (a.0, a.1 / cell) == (b.0, b.1 / cell));
        for record in &records {
            let group = groups.next().unwrap();
            assert!(is_record_of(record, group), "{record:?} of {:?}", group[0]);
        }
        assert_eq!(groups.next(), None);
    }
}

#[test]
fn the_summary_covers_all_contigs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bw");
    let contigs =
        vec![("b".to_string(), 10, vec![(0, vec![1.0, -3.0])]), ("a".to_string(), 10, vec![(8, vec![0.5, f32::NAN])])];
    write(&path, TrackForm::BigWig, &contigs);
    let expected = Total { count: 3, min: -3.0, max: 1.0, sum: -1.5, sum_of_squares: 10.25 };
    assert_eq!(BigWigFile::open(&path).total(), expected);
}

#[test]
fn many_contigs_make_deep_trees() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bw");
    let contig = |i: u32| (format!("scaffold{i}"), u64::from(i) + 1, vec![(u64::from(i), vec![i as f32])]);
    let contigs: Vec<Contig> = (0..70_000).map(contig).collect();
    write(&path, TrackForm::BigWig, &contigs);
    let file = BigWigFile::open(&path);
    assert!((0..70_000).all(|i| file.contigs[&format!("scaffold{i}")] == (i, i + 1)));
    assert!(file.values() == bases(&contigs));
}

#[test]
fn an_empty_track_is_a_valid_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bw");
    assert_eq!(write(&path, TrackForm::BigWig, &[]).bases, 0);
    let file = BigWigFile::open(&path);
    assert!(file.contigs.is_empty() && file.values().is_empty() && file.zooms.is_empty());
    assert_eq!(file.total(), Total { count: 0, min: 0.0, max: 0.0, sum: 0.0, sum_of_squares: 0.0 });
    let path = folder.path().join("out.bedgraph");
    assert_eq!(write(&path, TrackForm::BedGraph, &[]).bytes, 0);
}

const PY_BIGWIG: &str = "
import pyBigWig, sys, math
bw = pyBigWig.open(sys.argv[1])
assert bw.isBigWig()
for name, length in sorted(bw.chroms().items()):
    values = bw.values(name, 0, length)
    found = [v for v in values if not math.isnan(v)]
    print('contig', name, length, len(found), math.fsum(found), math.fsum(v * (i + 1) for i, v in enumerate(values) if not math.isnan(v)))
step = 262144
for start in range(0, 1100000 - step, 131072):
    for kind in ('mean', 'min', 'max', 'coverage', 'std'):
        exact = bw.stats('chr2', start, start + step, type=kind, exact=True)[0]
        zoomed = bw.stats('chr2', start, start + step, type=kind)[0]
        assert abs(exact - zoomed) < 1e-5, (kind, start, exact, zoomed)
gaps = [bw.stats('chr10', 0, 81920, nBins=20, type='coverage', exact=e) for e in (True, False)]
assert all(abs(a - b) < 1e-6 for a, b in zip(*gaps)), gaps
print('zooms', bw.header()['nLevels'], bw.header()['nBasesCovered'])
";

#[test]
fn py_big_wig_reads_values_and_zooms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bw");
    let contigs = genome();
    write(&path, TrackForm::BigWig, &contigs);
    let Some(said) = check_with_python("pyBigWig", PY_BIGWIG, &[&path]) else {
        return;
    };
    let mut lines = said.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let all = bases(&contigs);
    for number in [3, 1, 0, 2] {
        let (name, length, _) = &contigs[number];
        let bases: Vec<_> = all.iter().filter(|base| base.0 as usize == number).collect();
        let sums = [0.0, 1.0].map(|by_position: f64| {
            bases.iter().map(|base| f64::from(base.2) * f64::from(base.1 + 1).powf(by_position)).sum::<f64>()
        });
        let fields = lines.next().unwrap();
        let expected = ["contig", name, &length.to_string(), &bases.len().to_string()];
        assert_eq!(fields[..4], expected);
        for (found, sum) in fields[4..].iter().zip(sums) {
            let found: f64 = found.parse().unwrap();
            assert!((found - sum).abs() <= 1e-9 * length.pow(2) as f64, "{name}: {found} and {sum}");
        }
    }
    assert_eq!(lines.next().unwrap(), ["zooms", "9", &all.len().to_string()]);
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().unwrap() == "gz" {
        true => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
        false => (&bytes[..]).read_to_string(&mut text).unwrap(),
    };
    text
}

#[test]
fn a_bedgraph_merges_equal_neighbours() {
    let contigs = vec![
        ("b".to_string(), 30, vec![(2, vec![1.0, 1.0]), (4, vec![1.0, 2.0, f32::NAN, 2.0]), (10, vec![2.0])]),
        ("a".to_string(), 30, vec![(0, vec![2.0, 1.000_000_1, 1.000_000_2, 0.0, -0.0])]),
    ];
    let expected = "b\t2\t5\t1\nb\t5\t6\t2\nb\t7\t8\t2\nb\t10\t11\t2\na\t0\t1\t2\na\t1\t3\t1\na\t3\t5\t0\n";
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.bedgraph", "out.bedgraph.gz"] {
        let path = folder.path().join(name);
        let written = write(&path, TrackForm::from_path(&path).unwrap(), &contigs);
        assert_eq!((written.contigs, written.bases), (2, 11));
        assert_eq!(read(&path), expected);
    }
    let path = folder.path().join("stream");
    let mut track = TrackWriter::bed_graph_stream(fs::File::create(&path).unwrap(), "standard output");
    track.begin_contig("b", 30).unwrap();
    track.push(2, &[1.0]).unwrap();
    assert_eq!(track.finish().unwrap().bytes, 8);
    assert_eq!(fs::read_to_string(path).unwrap(), "b\t2\t3\t1\n");
}

#[test]
fn a_bedgraph_holds_every_base_to_six_digits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bedgraph");
    let contigs = genome();
    write(&path, TrackForm::BedGraph, &contigs);
    let mut expected = bases(&contigs).into_iter();
    for line in read(&path).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (from, to): (u32, u32) = (fields[1].parse().unwrap(), fields[2].parse().unwrap());
        let value: f32 = fields[3].parse().unwrap();
        for position in from..to {
            let (contig, at, given) = expected.next().unwrap();
            assert_eq!((contigs[contig as usize].0.as_str(), at), (fields[0], position));
            assert!((value - given).abs() <= 5.1e-6 * given.abs(), "{given} became {value}");
        }
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn a_track_that_is_not_finished_leaves_nothing() {
    for (name, form) in [("out.bw", TrackForm::BigWig), ("out.bedgraph", TrackForm::BedGraph)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut track = TrackWriter::create(&path, form, Existing::Refuse).unwrap();
        track.begin_contig("a", 100_000).unwrap();
        track.push(0, &vec![1.0; 100_000]).unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        assert!(!path.exists());
        remove_temporaries(&path);
        assert_eq!(names(folder.path()), [""; 0]);
        drop(track);
        fs::write(&path, "old").unwrap();
        assert!(TrackWriter::create(&path, form, Existing::Refuse).is_err());
        drop(TrackWriter::create(&path, form, Existing::Replace).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), [name]);
    }
}

#[test]
fn values_that_cannot_be_a_track_are_told_with_contig_and_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bw");
    let mut track = TrackWriter::create(&path, TrackForm::BigWig, Existing::Refuse).unwrap();
    track.begin_contig("chr1", 10).unwrap();
    track.push(3, &[1.0; 4]).unwrap();
    let told = |error: TrackError| error.to_string().replace(path.to_str().unwrap(), "out.bw");
    assert_eq!(
        told(track.push(6, &[1.0]).unwrap_err()),
        "out.bw: chr1: expected values from position 7 (0-based) on, found 6"
    );
    assert_eq!(
        told(track.push(8, &[1.0; 3]).unwrap_err()),
        "out.bw: chr1: expected values of 10 bases, found one of base 11"
    );
    assert_eq!(
        told(track.begin_contig("chr1", 10).unwrap_err()),
        "out.bw: chr1: expected each contig once, found it again"
    );
}
