use std::{
    fs,
    path::{Path, PathBuf},
};

use longstrand_seq::{GenomeOptions, strand::reverse_complement};

use super::*;
use crate::{
    regions::Regions,
    split::{Reading, Split, SplitRule, Splits},
};

/// A genome of contigs with some N, lower case and short contigs.
fn write_genome(folder: &Path) -> PathBuf {
    let draws = Draws::new(11, Purpose::Initial, 0, 0);
    let mut text = String::new();
    for (name, length) in [("long", 30_000_u64), ("short", 90), ("middle", 4_000)] {
        let base = |i| {
            let letter = b"ACGT"[below(join(draws.block(i)[0], 7), 4) as usize];
            match i {
                2_000..6_000 => 'N',
                10_000..12_000 => letter.to_ascii_lowercase().into(),
                _ => letter.into(),
            }
        };
        text += &format!(">{name}\n{}\n", (0..length).map(base).collect::<String>());
    }
    let path = folder.join("genome.fa");
    fs::write(&path, text).unwrap();
    path
}

fn open(path: &Path) -> Sources {
    Sources::open(&[path], &GenomeOptions::default()).unwrap()
}

const BOTH_STRANDS: SampleOptions = SampleOptions { seed: 5, reverse_complement: 0.5, max_ambiguous: 0.1 };

fn sampler(sources: &Sources, length: u64, options: SampleOptions) -> Sampler {
    let area = Area::Inside(sources.bases());
    Sampler::training(&area, sources, &Lengths::constant(length), options).unwrap()
}

#[test]
fn the_order_of_calls_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_genome(folder.path());
    let mut sources = open(&path);
    let one = sampler(&sources, 100, BOTH_STRANDS);
    let mut bases = Vec::new();
    let mut drawn = Vec::new();
    for step in 0..20 {
        for index in 0..8 {
            let sampled = one.read(&mut sources, step, index, &mut bases).unwrap();
            drawn.push(((step, index), sampled, bases.clone()));
        }
    }
    let mut sources = open(&path);
    let other = sampler(&sources, 100, BOTH_STRANDS);
    for ((step, index), sampled, expected) in drawn.iter().rev() {
        assert_eq!(&other.read(&mut sources, *step, *index, &mut bases).unwrap(), sampled);
        assert_eq!(&bases, expected);
    }
    assert!(drawn.iter().any(|(_, sampled, _)| sampled.rejected > 0));
    assert!(drawn.iter().all(|(.., bases)| bases.iter().filter(|&&base| base == b'N').count() <= 10));
    let distinct: std::collections::HashSet<u64> = drawn.iter().map(|(_, s, _)| s.place.interval.start).collect();
    assert!(distinct.len() > 150);
}

#[test]
fn bases_are_those_of_the_place_and_strand() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = open(&write_genome(folder.path()));
    let sampler = sampler(&sources, 500, SampleOptions { max_ambiguous: 1.0, ..BOTH_STRANDS });
    let (mut bases, mut expected) = (Vec::new(), Vec::new());
    let mut n_reverse = 0;
    for index in 0..400 {
        let Sampled { place, .. } = sampler.read(&mut sources, 3, index, &mut bases).unwrap();
        sources.read(&place.interval, &mut expected).unwrap();
        if place.strand == Strand::Reverse {
            n_reverse += 1;
            reverse_complement(&mut expected);
        }
        assert_eq!(bases, expected);
    }
    assert!((140..260).contains(&n_reverse), "{n_reverse}");
}

#[test]
fn every_start_is_as_likely() {
    let folder = tempfile::tempdir().unwrap();
    let sources = open(&write_genome(folder.path()));
    let interval = |contig, start, end| Interval { contig, start, end };
    let regions =
        Regions::union(3, [interval(0, 100, 160), interval(0, 500, 549), interval(1, 0, 55), interval(2, 0, 50)]);
    let sampler =
        Sampler::training(&Area::Inside(regions.clone()), &sources, &Lengths::constant(50), BOTH_STRANDS).unwrap();
    let summary = sampler.pools().next().unwrap().summary();
    assert_eq!((summary.n_windows, summary.intervals, summary.bases), (11 + 6 + 1, 3, 165));
    assert_eq!((summary.skipped_contigs, summary.skipped_intervals, summary.skipped_bases), (0, 1, 49));
    let mut counts = BTreeMap::<_, u32>::new();
    let n = 18_000;
    for index in 0..n {
        let place = sampler.place(0, index, 0).unwrap();
        assert!(regions.holds(&place.interval));
        *counts.entry((place.interval.contig, place.interval.start)).or_default() += 1;
    }
    assert_eq!(counts.len(), 18);
    let expected = f64::from(n) / 18.0;
    let chi_square: f64 = counts.values().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
    assert!(chi_square < 45.0, "{counts:?}");
}

#[test]
fn windows_lie_inside_their_splits() {
    let folder = tempfile::tempdir().unwrap();
    let sources = open(&write_genome(folder.path()));
    let rule = SplitRule::Fraction { valid: 0.1, test: 0.1, gap: 64 };
    let splits = Splits::new(&rule, &sources, &sources.bases()).unwrap();
    let mut seen: Vec<(Split, Interval)> = Vec::new();
    for split in Split::ALL {
        let area = splits.get(split);
        let Area::Inside(regions) = area else { panic!("regions") };
        let sampler = Sampler::training(area, &sources, &Lengths::constant(128), BOTH_STRANDS).unwrap();
        for index in 0..300 {
            let place = sampler.place(0, index, 0).unwrap();
            assert!(regions.holds(&place.interval));
            seen.push((split, place.interval));
        }
    }
    for (split, a) in &seen {
        for (_, b) in seen.iter().filter(|(other, b)| other != split && a.contig == b.contig) {
            assert!(a.end + 64 <= b.start || b.end + 64 <= a.start, "{a:?} {b:?}");
        }
    }
}

#[test]
fn the_compatible_reading_cuts_rows_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let sources = open(&write_genome(folder.path()));
    let bed = folder.path().join("split.bed");
    fs::write(&bed, "long\t1000\t1100\ttrain\nmiddle\t0\t100\tvalid\nshort\t0\t50\ttrain\n").unwrap();
    let splits =
        |reading| Splits::new(&SplitRule::Bed { path: bed.clone(), reading }, &sources, &sources.bases()).unwrap();
    let pool = Pool::new(splits(Reading::Compatible).get(Split::Train), &sources, 1_024).unwrap();
    assert_eq!(pool.len(), 1_024);
    let starts: Vec<u64> = (0..1_024).map(|i| pool.get(i).unwrap().start).collect();
    assert_eq!(starts[..3], [1_000, 2_024, 3_048]);
    assert_eq!(starts[27..31], [1_000 + 27 * 1_024, 30_000 - 1_024, 30_000 - 1_024, 30_000 - 1_024]);
    let summary = pool.summary();
    assert_eq!((summary.intervals, summary.skipped_intervals, summary.skipped_contigs), (1, 1, 2));

    assert!(Pool::new(splits(Reading::Compatible).get(Split::Train), &sources, 0).is_err());
    let error = Pool::new(splits(Reading::Compatible).get(Split::Train), &sources, 1_000).unwrap_err();
    assert!(error.to_string().ends_with("expected a window length that divides it, found 1000"), "{error}");
    let error = Pool::new(splits(Reading::LeakFree).get(Split::Train), &sources, 1_024).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected intervals of at least 1024 bases to draw windows from, found 150 bases in shorter ones"
    );
}

#[test]
fn rows_keep_to_what_is_included() {
    let folder = tempfile::tempdir().unwrap();
    let sources = open(&write_genome(folder.path()));
    let within = Regions::union(3, [Interval { contig: 0, start: 4_000, end: 9_000 }]);
    let area = Area::Rows { rows: vec![(0, 0)], within: within.clone() };
    let sampler = Sampler::training(&area, &sources, &Lengths::constant(1_024), BOTH_STRANDS).unwrap();
    let places: Vec<Place> = (0..5_000).filter_map(|index| sampler.place(0, index, 0)).collect();
    assert!(!places.is_empty() && places.iter().all(|place| within.holds(&place.interval)));
}

#[test]
fn the_length_follows_the_schedule_and_validation_has_its_own_windows() {
    let folder = tempfile::tempdir().unwrap();
    let sources = open(&write_genome(folder.path()));
    let area = Area::Inside(sources.bases());
    let stages = vec![Stage { from_step: 0, length: 64 }, Stage { from_step: 3, length: 256 }];
    let sampler = Sampler::training(&area, &sources, &Lengths::new(stages).unwrap(), BOTH_STRANDS).unwrap();
    assert_eq!(sampler.place(2, 0, 0).unwrap().interval.len(), 64);
    assert_eq!(sampler.place(3, 0, 0).unwrap().interval.len(), 256);
    let lengths: Vec<u64> = sampler.pools().map(Pool::length).collect();
    assert_eq!(lengths, [64, 256]);

    let fixed = Sampler::fixed(&area, &sources, 256, BOTH_STRANDS).unwrap();
    assert_ne!(fixed.place(0, 0, 0).unwrap().interval, sampler.place(3, 0, 0).unwrap().interval);
    assert!((0..100).all(|index| fixed.place(0, index, 0).unwrap().strand == Strand::Forward));
    assert_ne!(fixed.mask_draws(0, 0), sampler.mask_draws(0, 0));
}

#[test]
fn a_genome_of_n_is_an_error_and_no_endless_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.fa");
    fs::write(&path, format!(">a\n{}\n", "N".repeat(500))).unwrap();
    let mut sources = open(&path);
    let error = sampler(&sources, 100, BOTH_STRANDS).read(&mut sources, 4, 2, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("step 4, window 2: 1000 windows of 100 bases were tried"), "{error}");
}
