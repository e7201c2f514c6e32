//! Points of a chart: smoothed, and no more than there are pixels for.

/// Step and value.
pub(super) type Point = (f64, f64);

/// Stretches of a line, of each of which the lowest and the highest point are drawn.
const STRETCHES: usize = 600;

/// Parts of a run that a point of a smoothed line stands for.
const PARTS: usize = 25;

/// Points that a smoothed line of so many remembers.
pub(super) fn span(points: usize) -> usize {
    (points / PARTS).max(1)
}

/// An exponential mean over about `span` points, each weighed by α (1 − α)ᵃᵍᵉ with α = 2 / (span + 1), of those there are.
pub(super) fn smoothed(points: &[Point], span: usize) -> Vec<Point> {
    let keep = 1.0 - 2.0 / (span as f64 + 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let smooth = |&(step, value): &Point| {
        sum = keep * sum + (1.0 - keep) * value;
        weight = keep * weight + (1.0 - keep);
        (step, sum / weight)
    };
    points.iter().map(smooth).collect()
}

/// A line that looks the same with fewer points.
pub(super) fn thinned(points: &[Point]) -> Vec<Point> {
    if points.len() <= 2 * STRETCHES {
        return points.to_vec();
    }
    let mut thinned = Vec::with_capacity(2 * STRETCHES);
    for stretch in points.chunks(points.len().div_ceil(STRETCHES)) {
        let by_value = |a: &&Point, b: &&Point| f64::total_cmp(&a.1, &b.1);
        let ends = [stretch.iter().min_by(by_value), stretch.iter().max_by(by_value)];
        let mut ends: Vec<Point> = ends.into_iter().flatten().copied().collect();
        ends.sort_by(|a, b| f64::total_cmp(&a.0, &b.0));
        ends.dedup();
        thinned.extend(ends);
    }
    thinned
}

/// The values that all but a hundredth of a series lie between, so that a few wild ones do not flatten it.
pub(super) fn bulk(points: &[Point]) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = points.iter().map(|&(_, value)| value).collect();
    values.sort_by(f64::total_cmp);
    let outside = values.len() / 200;
    Some((*values.get(outside)?, values[values.len() - 1 - outside]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_the_points_there_are() {
        let points = [(1.0, 4.0), (2.0, 1.0), (3.0, 1.0)];
        assert_eq!(smoothed(&points, 1), points);
        // α = 1/2: (4/4 + 1/2) / (3/4), then (4/8 + 1/4 + 1/2) / (7/8).
        let expected = [4.0, 2.0, 10.0 / 7.0];
        for ((_, found), expected) in smoothed(&points, 3).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let flat: Vec<Point> = (0..500).map(|step| (f64::from(step), 0.3)).collect();
        assert!(smoothed(&flat, span(500)).iter().all(|(_, value)| (value - 0.3).abs() < 1e-12));
    }

    #[test]
    fn thin_lines_keep_their_peaks_and_their_order() {
        let mut points: Vec<Point> = (0..100_000).map(|step| (f64::from(step), f64::from(step % 7))).collect();
        points[54_321].1 = 99.0;
        let thin = thinned(&points);
        assert!(thin.len() <= 2 * STRETCHES && thin.contains(&(54_321.0, 99.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thinned(&points[..900]), points[..900]);
        assert_eq!(bulk(&points), Some((0.0, 6.0)));
        assert_eq!(bulk(&[(1.0, 2.0)]), Some((2.0, 2.0)));
        assert_eq!(bulk(&[]), None);
    }
}
