//! The sources of windows against each other and against windows cut by hand from the text.

use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::*;
use crate::{
    bed::BedRecord,
    genome::{FastaStream, Genome, GenomeOptions},
    region::Interval,
    strand::reverse_complement,
};

/// Contigs of awkward lengths with soft-masked bases, runs of N and an odd letter.
fn contigs() -> Vec<(&'static str, Vec<u8>)> {
    let mut state = 7_u64;
    let mut bases = |n: usize| -> Vec<u8> {
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b"ACGTacgtNNnR"[(state >> 33) as usize % 12]
        };
        (0..n).map(next).collect()
    };
    let mut long = bases(1_000);
    long[300..420].fill(b'N');
    vec![("a", bases(64)), ("empty", Vec::new()), ("b", bases(1)), ("c", long), ("d", bases(63))]
}

fn fasta() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genome.fa");
    let mut text = Vec::new();
    for (name, bases) in contigs() {
        text.extend_from_slice(format!(">{name} described\n").as_bytes());
        for line in bases.chunks(50) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    }
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn tiled(size: u64, stride: Option<u64>, partial: Partial) -> WindowOptions {
    WindowOptions {
        size: WindowSize::Bases(NonZeroU64::new(size).unwrap()),
        stride: stride.and_then(NonZeroU64::new),
        partial,
        max_ambiguous: 1.0,
    }
}

fn all_options() -> Vec<WindowOptions> {
    let mut all = Vec::new();
    for partial in [Partial::Keep, Partial::Drop, Partial::Pad] {
        for (size, stride) in [
            (1, None),
            (16, None),
            (16, Some(5)),
            (16, Some(40)),
            (63, Some(1)),
            (64, None),
            (5_000, None),
            (5, Some(5_000)),
        ] {
            let options = tiled(size, stride, partial);
            let strict = WindowOptions { max_ambiguous: 0.5, ..options };
            all.extend([options, strict]);
        }
    }
    for size in [WindowSize::Contig, WindowSize::Interval] {
        all.push(WindowOptions { size, ..WindowOptions::default() });
    }
    all
}

fn open(path: &Path) -> Genome {
    Genome::open(path, &GenomeOptions::default()).unwrap()
}

fn from_genome(path: &Path, targets: &Targets, options: &WindowOptions) -> GenomeWindows {
    let genome = open(path);
    let plan = WindowPlan::new(genome.contigs(), targets, options).unwrap();
    GenomeWindows::new(genome, plan, Shard::WHOLE, options.max_ambiguous)
}

fn collect<I: Iterator<Item = Result<Window, SourceError>>>(windows: I) -> Vec<Window> {
    windows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_stream_gives_the_windows_of_the_plan() {
    let (_folder, path) = fasta();
    for options in all_options() {
        let mut planned = from_genome(&path, &Targets::Contigs, &options);
        let stream = FastaStream::open(&path).unwrap();
        let mut streamed = StreamWindows::new(stream, options).unwrap();
        let expected = collect(&mut planned);
        assert_eq!(collect(&mut streamed), expected, "{options:?}");
        assert_eq!(streamed.counts(), planned.counts(), "{options:?}");
        let plan = WindowPlan::new(open(&path).contigs(), &Targets::Contigs, &options).unwrap();
        assert_eq!(plan.n_windows(), planned.counts().produced + planned.counts().dropped_ambiguous);
    }
}

#[test]
fn shards_one_after_another_are_the_whole_run() {
    let (_folder, path) = fasta();
    for options in all_options() {
        let mut all = from_genome(&path, &Targets::Contigs, &options);
        let whole = collect(&mut all);
        let mut joined = Vec::new();
        let mut n_dropped = 0;
        for index in 0..3 {
            let genome = open(&path);
            let plan = WindowPlan::new(genome.contigs(), &Targets::Contigs, &options).unwrap();
            let mut windows = GenomeWindows::new(genome, plan, Shard::new(index, 3).unwrap(), options.max_ambiguous);
            joined.extend(collect(&mut windows));
            n_dropped += windows.counts().dropped_partial;
        }
        assert_eq!(joined, whole, "{options:?}");
        assert_eq!(n_dropped, all.counts().dropped_partial, "{options:?}");
    }
}

#[test]
fn windows_hold_the_bases_of_the_text() {
    let (_folder, path) = fasta();
    let texts = contigs();
    let options = tiled(16, Some(7), Partial::Pad);
    for window in collect(from_genome(&path, &Targets::Contigs, &options)) {
        let (name, text) = texts.iter().find(|(name, _)| *name == window.contig).unwrap();
        let text = &text[window.start as usize..window.end as usize];
        let (own, padding) = window.bases.split_at(text.len());
        assert_eq!(own, text.to_ascii_uppercase());
        assert_eq!(padding.len() as u64, window.n_padded);
        assert!(padding.iter().all(|&b| b == b'N'));
        assert_eq!(window.bases.len(), 16);
        let lower = text.iter().filter(|b| b.is_ascii_lowercase()).count() as u64;
        assert_eq!(window.soft_mask.count(), lower);
        assert_eq!(window.name, format!("{name}:{}-{}", window.start + 1, window.end));
    }
}

#[test]
fn bed_rows_on_the_reverse_strand_are_reverse_complements() {
    let (_folder, path) = fasta();
    let interval = Interval { contig: 3, start: 10, end: 60 };
    let record = |strand| BedRecord { interval, name: Some("peak".into()), score: None, strand };
    let targets = Targets::Bed(vec![record(Strand::Forward), record(Strand::Reverse)]);
    let options = WindowOptions::with_defaults(None, None, &targets);
    let windows = collect(from_genome(&path, &targets, &options));
    let mut expected = contigs()[3].1[10..60].to_ascii_uppercase();
    assert_eq!(windows[0].bases, expected);
    reverse_complement(&mut expected);
    assert_eq!(windows[1].bases, expected);
    assert_eq!(windows[1].strand, Strand::Reverse);
    assert_eq!((windows[1].start, windows[1].end), (10, 60));
    assert!(windows.iter().all(|w| w.name == "peak"));
}

#[test]
fn windows_on_a_contig_shorter_than_them_are_counted() {
    let (_folder, path) = fasta();
    let contigs = contigs();
    let length = contigs[3].1.len() as u64;
    let interval = Interval { contig: 3, start: 10, end: 20 };
    let targets = Targets::Bed(vec![BedRecord { interval, name: None, score: None, strand: Strand::Reverse }]);
    let counts = |partial| {
        let mut windows = from_genome(&path, &targets, &tiled(length + 5, None, partial));
        let bases: u64 = collect(&mut windows).iter().map(|window| window.end - window.start).sum();
        assert_eq!(windows.counts().bases, bases);
        let WindowCounts { produced, padded, kept_partial, dropped_partial, .. } = windows.counts();
        (produced, padded, kept_partial, dropped_partial)
    };
    assert_eq!(counts(Partial::Keep), (1, 0, 1, 0));
    assert_eq!(counts(Partial::Pad), (1, 1, 0, 0));
    assert_eq!(counts(Partial::Drop), (0, 0, 0, 1));
}

#[test]
fn windows_above_the_limit_are_left_out_and_counted() {
    let (_folder, path) = fasta();
    let strict = WindowOptions { max_ambiguous: 0.9, ..tiled(20, None, Partial::Keep) };
    let mut windows = from_genome(&path, &Targets::Contigs, &strict);
    let kept = collect(&mut windows);
    // Six windows lie in the run of N at 300-420 of contig c.
    assert!(!kept.iter().any(|w| w.contig == "c" && (300..420).contains(&w.start)));
    assert!(windows.counts().dropped_ambiguous >= 6);
    assert!(kept.iter().any(|w| w.n_ambiguous > 0));
    let n_bases: u64 = kept.iter().map(|w| w.end - w.start).sum();
    assert_eq!(windows.counts().bases, n_bases);
}

#[test]
fn a_source_ends_after_its_first_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.fa");
    fs::write(&path, ">a\nACGT\n>b\nAC1T\n").unwrap();
    let stream = FastaStream::open(&path).unwrap();
    let windows = StreamWindows::new(stream, tiled(2, None, Partial::Keep)).unwrap();
    let mut source = WindowSource::Stream(windows);
    assert!(source.next().unwrap().is_ok());
    assert!(source.next().unwrap().is_ok());
    let error = source.by_ref().find_map(Result::err).unwrap();
    assert!(error.to_string().contains("bad.fa"), "{error}");
    assert!(source.next().is_none());
}

#[test]
fn a_source_can_be_moved_to_a_reader_thread() {
    fn is_send<T: Send>() {}
    is_send::<WindowSource>();
}
