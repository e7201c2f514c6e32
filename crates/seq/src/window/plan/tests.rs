use std::num::NonZeroU64;

use super::*;
use crate::contig::Contig;

fn contigs(lengths: &[u64]) -> Contigs {
    let named = lengths.iter().enumerate().map(|(i, &length)| Contig { name: format!("c{i}"), length });
    Contigs::new(named.collect()).unwrap()
}

fn options(size: u64, stride: Option<u64>, partial: Partial) -> WindowOptions {
    WindowOptions {
        size: WindowSize::Bases(NonZeroU64::new(size).unwrap()),
        stride: stride.and_then(NonZeroU64::new),
        partial,
        max_ambiguous: 1.0,
    }
}

fn bed(contig: usize, start: u64, end: u64) -> BedRecord {
    BedRecord { interval: Interval { contig, start, end }, name: None, score: None, strand: Strand::Reverse }
}

fn all(plan: &WindowPlan) -> Vec<PlannedWindow> {
    (0..).map_while(|k| plan.get(k)).collect()
}

fn spans(plan: &WindowPlan) -> Vec<(usize, u64, u64, u64)> {
    let span = |w: &PlannedWindow| (w.contig, w.start, w.end, w.n_padded);
    all(plan).iter().map(span).collect()
}

#[test]
fn contigs_are_tiled_in_file_order() {
    let contigs = contigs(&[10, 0, 3, 4]);
    let plan = |partial| WindowPlan::new(&contigs, &Targets::Contigs, &options(4, None, partial)).unwrap();
    let keep = plan(Partial::Keep);
    let expected = vec![(0, 0, 4, 0), (0, 4, 8, 0), (0, 8, 10, 0), (2, 0, 3, 0), (3, 0, 4, 0)];
    assert_eq!(spans(&keep), expected);
    assert_eq!((keep.n_windows(), keep.total_bases()), (5, 17));
    let drop = plan(Partial::Drop);
    assert_eq!(spans(&drop), [(0, 0, 4, 0), (0, 4, 8, 0), (3, 0, 4, 0)]);
    assert_eq!(drop.n_dropped_partial(Shard::WHOLE), 2);
    let pad = plan(Partial::Pad);
    assert_eq!(spans(&pad)[2..4], [(0, 8, 10, 2), (2, 0, 3, 1)]);
    assert_eq!(pad.total_bases(), 17);
}

#[test]
fn ordinals_and_offsets_run_through() {
    let plan =
        WindowPlan::new(&contigs(&[10, 0, 3, 41]), &Targets::Contigs, &options(7, Some(3), Partial::Keep)).unwrap();
    let mut offset = 0;
    for (k, window) in all(&plan).iter().enumerate() {
        assert_eq!(window.index, k as u64);
        assert_eq!(plan.offset(k as u64), offset);
        offset += window.end - window.start;
    }
    assert_eq!(plan.offset(plan.n_windows()), offset);
    assert_eq!(plan.get(plan.n_windows()), None);
}

#[test]
fn shards_are_the_run_in_order_and_follow_the_formula() {
    let contigs = contigs(&[10, 0, 3, 41, 1, 100]);
    for (size, stride) in [(1, None), (7, None), (7, Some(3)), (3, Some(8)), (1000, None)] {
        let options = options(size, stride, Partial::Keep);
        let plan = WindowPlan::new(&contigs, &Targets::Contigs, &options).unwrap();
        for count in [1, 2, 3, 7, 50, 1000] {
            let mut next = 0;
            for index in 0..count {
                let shard = Shard::new(index, count).unwrap();
                let range = plan.shard(shard);
                assert_eq!(range.start, next);
                next = range.end;
                for k in range {
                    assert_eq!(shard.of(plan.offset(k), plan.total_bases()), index);
                }
            }
            assert_eq!(next, plan.n_windows());
        }
    }
}

#[test]
fn each_window_that_was_left_out_counts_in_one_shard() {
    for lengths in [&[10, 0, 3, 41, 1, 100, 2][..], &[2, 2, 2, 4], &[1, 2]] {
        let contigs = contigs(lengths);
        let plan = WindowPlan::new(&contigs, &Targets::Contigs, &options(4, None, Partial::Drop)).unwrap();
        let n_partial = lengths.iter().filter(|&&length| length % 4 > 0).count() as u64;
        for count in [1, 2, 3, 7, 50] {
            let shards = (0..count).map(|index| Shard::new(index, count).unwrap());
            let of_each: Vec<_> = shards.map(|shard| plan.n_dropped_partial(shard)).collect();
            assert_eq!(of_each.iter().sum::<u64>(), n_partial, "{lengths:?} by {count}: {of_each:?}");
        }
    }
}

#[test]
fn regions_are_tiled_or_taken_whole() {
    let contigs = contigs(&[100]);
    let region = Interval { contig: 0, start: 20, end: 29 };
    let targets = Targets::Regions(vec![region]);
    let tiled = WindowPlan::new(&contigs, &targets, &options(4, None, Partial::Keep)).unwrap();
    assert_eq!(spans(&tiled), [(0, 20, 24, 0), (0, 24, 28, 0), (0, 28, 29, 0)]);
    let defaults = WindowOptions::with_defaults(None, None, &targets);
    let whole = WindowPlan::new(&contigs, &targets, &defaults).unwrap();
    assert_eq!(spans(&whole), [(0, 20, 29, 0)]);
}

#[test]
fn windows_are_centred_on_bed_intervals_and_shifted_inside() {
    let contigs = contigs(&[100, 6]);
    let records = vec![bed(0, 50, 52), bed(0, 50, 53), bed(0, 0, 2), bed(0, 99, 100), bed(0, 10, 90), bed(1, 2, 3)];
    let targets = Targets::Bed(records);
    let plan = |partial| WindowPlan::new(&contigs, &targets, &options(8, None, partial)).unwrap();
    let expected = [(0, 47, 55, 0), (0, 47, 55, 0), (0, 0, 8, 0), (0, 92, 100, 0), (0, 46, 54, 0), (1, 0, 6, 2)];
    assert_eq!(spans(&plan(Partial::Pad)), expected);
    assert!(all(&plan(Partial::Pad)).iter().all(|w| w.strand == Strand::Reverse));
    let drop = plan(Partial::Drop);
    assert_eq!((drop.n_windows(), drop.n_dropped_partial(Shard::WHOLE)), (5, 1));
}

#[test]
fn whole_contigs() {
    let contigs = contigs(&[10, 0, 3]);
    let options = WindowOptions { size: WindowSize::Contig, ..WindowOptions::default() };
    let plan = WindowPlan::new(&contigs, &Targets::Contigs, &options).unwrap();
    assert_eq!(spans(&plan), [(0, 0, 10, 0), (2, 0, 3, 0)]);
    assert_eq!(plan.get(1).unwrap().display_name("c2"), "c2");
    let part = Targets::Bed(vec![bed(0, 0, 9)]);
    let error = WindowPlan::new(&contigs, &part, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a window of a whole contig was asked for: expected 0-10 of contig \"c0\", found 0-9 (0-based, half-open)"
    );
}

#[test]
fn slices_are_tiled_and_bound_centred_windows() {
    let contig = Contig { name: "17".into(), length: 40 };
    let contigs = Contigs::with_spans(vec![contig], vec![vec![10..20, 31..40]], vec![false]).unwrap();
    let plan = |targets| WindowPlan::new(&contigs, &targets, &options(6, None, Partial::Keep)).unwrap();
    let tiled = plan(Targets::Contigs);
    let expected = [(0, 10, 16, 0), (0, 16, 20, 0), (0, 31, 37, 0), (0, 37, 40, 0)];
    assert_eq!(spans(&tiled), expected);
    let centred = plan(Targets::Bed(vec![bed(0, 10, 12), bed(0, 39, 40)]));
    assert_eq!(spans(&centred), [(0, 10, 16, 0), (0, 34, 40, 0)]);
}

#[test]
fn what_cannot_be_laid() {
    let contigs = contigs(&[10]);
    let strided = options(4, Some(2), Partial::Keep);
    let on_bed = WindowPlan::new(&contigs, &Targets::Bed(vec![bed(0, 1, 2)]), &strided);
    assert_eq!(on_bed.unwrap_err(), PlanError::Stride);
    let limit = WindowOptions { max_ambiguous: 1.5, ..WindowOptions::default() };
    let too_high = WindowPlan::new(&contigs, &Targets::Contigs, &limit);
    assert_eq!(too_high.unwrap_err(), PlanError::Limit(1.5));
    let padded = |partial| WindowPlan::new(&contigs, &Targets::Contigs, &options(u64::MAX, None, partial));
    assert!(matches!(padded(Partial::Pad), Err(PlanError::Padding { size: u64::MAX, .. })));
    assert_eq!(padded(Partial::Keep).unwrap().n_windows(), 1);
}
