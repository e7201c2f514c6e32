//! Which bases of a contig a window has.
//!
//! A *span* is a stretch of a contig whose bases the genome has: the whole contig, or a slice of it. A window is shifted
//! to lie inside its span, and is shorter than the context only where the span is.

use std::ops::Range;

use crate::allele::Edit;

/// The window with `site` in its middle: `context / 2` bases before it.
pub(crate) fn centred(site: u64, context: u64, span: &Range<u64>) -> Range<u64> {
    from(site.saturating_sub(context / 2), context, span)
}

/// The window of the grid in which `site` is nearest to the middle, the earlier of two. Windows of the grid
/// start at multiples of `context / 2` of the contig, whatever part of it the genome has; the first one starts with the span and
/// the last one ends with it.
pub(crate) fn on_grid(site: u64, context: u64, span: &Range<u64>) -> Range<u64> {
    let (half, stride) = (context / 2, (context / 2).max(1));
    let distance = |window: &Range<u64>| site.abs_diff(window.start + half);
    let before = site.saturating_sub(half) / stride;
    let candidates = (before..=before + 1).map(|k| from(k * stride, context, span));
    // The last window is off the grid, and may be nearer than the one before it.
    candidates.min_by_key(distance).expect("there are two candidates")
}

/// Where the windows begin in which the reference and the edited sequence are read: `context / 2` bases before the edit, and as
/// much earlier as it takes that both have `context` bases where the span ends. Where the span has not as many bases behind
/// the edit as this adds or leaves out, the shorter sequence begins earlier than the other one.
pub(crate) fn around(edit: &Edit, context: u64, span: &Range<u64>) -> [u64; 2] {
    let half = context - context / 2;
    let behind = span.end - edit.end();
    let held = [&edit.reference, &edit.alternate].map(|allele| half.min(allele.len() as u64));
    let start = |held: u64| edit.start.saturating_sub(context - half.min(held + behind)).max(span.start);
    let [reference, alternate] = held.map(start);
    match held[0].abs_diff(held[1]) <= behind {
        true => [reference.min(alternate); 2],
        false => [reference, alternate],
    }
}

/// The bases of the reference in both windows of an edit.
pub(crate) fn of_edit(edit: &Edit, context: u64, span: &Range<u64>) -> Range<u64> {
    let [reference, alternate] = around(edit, context, span);
    reference.min(alternate)..(reference.max(alternate) + context).min(span.end)
}

/// `context` bases from `start` on, shifted into the span.
fn from(start: u64, context: u64, span: &Range<u64>) -> Range<u64> {
    let last = span.end.saturating_sub(context).max(span.start);
    let start = start.clamp(span.start, last);
    start..(start + context).min(span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_in_the_middle_unless_the_span_ends() {
        assert_eq!(centred(5_000, 1_024, &(0..10_000)), 4_488..5_512);
        assert_eq!(centred(0, 1_024, &(0..10_000)), 0..1_024);
        assert_eq!(centred(9_999, 1_024, &(0..10_000)), 8_976..10_000);
        assert_eq!(centred(150, 1_024, &(100..300)), 100..300);
    }

    #[test]
    fn the_grid_window_is_the_nearest_one() {
        for span in [0_u64..1_000, 7..1_000, 0..100, 3..103, 0..150, 0..64, 5..6] {
            for context in [2_u64, 10, 100] {
                let stride = context / 2;
                let last = span.end.saturating_sub(context).max(span.start);
                let multiples = (0..).step_by(stride as usize).skip_while(|start| *start < span.start);
                let mut starts = vec![span.start];
                starts.extend(multiples.take_while(|start| *start < last));
                starts.push(last);
                let windows: Vec<_> = starts.iter().map(|&start| start..(start + context).min(span.end)).collect();
                for site in span.clone() {
                    let nearest = windows.iter().min_by_key(|window| site.abs_diff(window.start + stride)).unwrap();
                    let found = on_grid(site, context, &span);
                    assert_eq!(&found, nearest, "{site} in {span:?} by {context}");
                    assert!(found.contains(&site));
                }
            }
        }
    }

    #[test]
    fn both_sequences_of_an_edit_fit() {
        let edit = |start, from: usize, to: usize| Edit {
            contig: 0,
            start,
            reference: vec![b'A'; from],
            alternate: vec![b'A'; to],
            is_spelled: true,
        };
        let found = |edit: Edit, span| (around(&edit, 100, &span), of_edit(&edit, 100, &span));
        assert_eq!(found(edit(500, 1, 1), 0..1_000), ([450, 450], 450..550));
        assert_eq!(found(edit(0, 1, 5), 0..1_000), ([0, 0], 0..100));
        assert_eq!(found(edit(995, 1, 5), 0..1_000), ([900, 900], 900..1_000));
        assert_eq!(found(edit(999, 1, 5), 0..1_000), ([900, 904], 900..1_000));
        assert_eq!(found(edit(960, 20, 1), 0..1_000), ([881, 881], 881..981));
        assert_eq!(found(edit(980, 20, 1), 0..1_000), ([900, 881], 881..1_000));
        assert_eq!(found(edit(999, 1, 90), 0..1_000), ([900, 949], 900..1_000));
        assert_eq!(found(edit(10, 5, 1), 0..50), ([0, 0], 0..50));
    }

    #[test]
    fn no_allele_is_cut_that_half_a_window_holds() {
        let (context, span) = (20_u64, 3..60_u64);
        for (start, from, to) in
            span.clone().flat_map(|start| (1..15).flat_map(move |n| (1..15).map(move |m| (start, n, m))))
        {
            let edit =
                Edit { contig: 0, start, reference: vec![b'A'; from], alternate: vec![b'C'; to], is_spelled: true };
            if edit.end() > span.end {
                continue;
            }
            let behind = span.end - edit.end();
            for (begin, allele) in around(&edit, context, &span).into_iter().zip([from, to]) {
                let before = start - begin;
                let held = (context - before).min(allele as u64);
                assert!(begin >= span.start && held >= (allele as u64).min(10), "{start} {from} {to}");
                // As many bases as the context, wherever the sequence has them.
                let length = (before + allele as u64 + behind).min(context);
                assert!(length == context || begin == span.start, "{start} {from} {to}: {length}");
            }
        }
    }
}
