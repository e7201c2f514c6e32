//! The end of every contig is held out.

use longstrand_seq::Interval;

use super::{SplitError, Splits};
use crate::{regions::Regions, source::Sources};

/// Cuts every contig (of a sliced reference, every slice) into train, valid and test, in this order, with a gap of `gap`
/// bases around each border.
///
/// A part of nothing has no border and no gap. A part that its gaps swallow is empty.
pub(super) fn divide(
    valid: f64,
    test: f64,
    gap: u64,
    sources: &Sources,
    within: &Regions,
) -> Result<Splits, SplitError> {
    let is_part = |x: f64| (0.0..1.0).contains(&x);
    if !is_part(valid) || !is_part(test) || valid + test >= 1.0 {
        return Err(SplitError::Fractions { valid, test });
    }
    let mut parts = [const { Vec::new() }; 3];
    for span in sources.bases().iter() {
        let length = span.len();
        let borders = [1.0 - valid - test, 1.0 - test].map(|part| (part * length as f64).round() as u64);
        let cuts = cut(length, borders, gap);
        for (intervals, (start, end)) in parts.iter_mut().zip(cuts).filter(|(_, (start, end))| start < end) {
            intervals.push(Interval { contig: span.contig, start: span.start + start, end: span.start + end });
        }
    }
    let of = |intervals: Vec<Interval>| within.intersect(&Regions::union(sources.n_contigs(), intervals));
    Ok(Splits::inside(parts.map(of)))
}

/// Start and end of the three parts of a contig; nothing is left of one whose end is not after its start.
fn cut(length: u64, borders: [u64; 2], gap: u64) -> [(u64, u64); 3] {
    let edges = [0, borders[0], borders[1], length];
    // Borders that coincide part the same two neighbours, and a border at an end parts nothing.
    let is_border = |edge: u64| edge > 0 && edge < length;
    let before = |edge: u64| if is_border(edge) { edge.saturating_sub(gap / 2) } else { edge };
    let after = |edge: u64| if is_border(edge) { edge.saturating_add(gap - gap / 2) } else { edge };
    [0, 1, 2]
        .map(|i| if edges[i] == edges[i + 1] { (edges[i], edges[i]) } else { (after(edges[i]), before(edges[i + 1])) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_the_gap() {
        for length in [0, 1, 10, 99, 100, 1_000, 12_345] {
            for gap in [0, 1, 7, 100] {
                for borders in
                    [[length, length], [length / 2, length], [length / 2, length / 2], [length / 3, length / 2]]
                {
                    let parts: Vec<_> = cut(length, borders, gap).into_iter().filter(|(a, b)| a < b).collect();
                    assert!(parts.iter().all(|&(_, end)| end <= length));
                    for pair in parts.windows(2) {
                        assert!(pair[0].1 + gap <= pair[1].0, "{length} {gap} {borders:?} {parts:?}");
                    }
                }
            }
        }
        assert_eq!(cut(1_000, [900, 950], 11), [(0, 895), (906, 945), (956, 1_000)]);
        assert_eq!(cut(1_000, [1_000, 1_000], 11), [(0, 1_000), (1_000, 1_000), (1_000, 1_000)]);
        assert_eq!(cut(1_000, [900, 1_000], 10), [(0, 895), (905, 1_000), (1_000, 1_000)]);
        assert_eq!(cut(1_000, [900, 900], 10), [(0, 895), (900, 900), (905, 1_000)]);
    }
}
