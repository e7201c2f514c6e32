use std::ops::Range;

use crate::{
    cuda::{Device, testing},
    pool::{
        Reduction, add_rows,
        cuda::{Maxima, PIECE, Share, Span, forward, max_backward, mean_backward},
        max_rows, max_rows_backward, mean_rows_backward,
    },
    testing::Random,
};

/// Rows of one sequence and the spans that are pooled, handed over in calls that end at these positions.
struct Case<'a> {
    width: usize,
    rows: &'a [f32],
    spans: &'a [Range<usize>],
    ends: &'a [usize],
}

impl Case<'_> {
    fn on(&self, device: &Device, reduction: Reduction) -> Vec<f32> {
        let width = self.width;
        let mut open = device.upload(&vec![f64::NAN; width]).unwrap();
        let mut out = device.upload(&vec![f32::NAN; self.spans.len() * width]).unwrap();
        let mut start = 0;
        for &end in self.ends {
            let rows = device.upload(&self.rows[start * width..end * width]).unwrap();
            let met = self.spans.iter().enumerate().filter(|(_, span)| span.start < end && span.end > start);
            let spans: Vec<Span> = met
                .map(|(i, span)| Span {
                    rows: span.start.max(start) - start..span.end.min(end) - start,
                    position: span.start.max(start) as u64,
                    begins: span.start >= start,
                    open: 0,
                    ends: (span.end <= end).then_some((i, span.len() as u64)),
                })
                .collect();
            forward(reduction, width, rows.view(), &spans, open.view_mut(), out.view_mut()).unwrap();
            start = end;
        }
        out.view().to_vec().unwrap()
    }

    fn expected(&self, reduction: Reduction) -> Vec<f64> {
        let of_span = |span: &Range<usize>| {
            let rows = &self.rows[span.start * self.width..span.end * self.width];
            match reduction {
                Reduction::Mean => {
                    let mut sum = vec![0.0; self.width];
                    add_rows(rows, &mut sum);
                    sum.iter().map(|sum| sum / span.len() as f64).collect()
                }
                Reduction::Max => {
                    let mut max = vec![f64::NEG_INFINITY; self.width];
                    max_rows(rows, &mut max);
                    max
                }
            }
        };
        self.spans.iter().flat_map(|span| -> Vec<f64> { of_span(span) }).collect()
    }
}

#[test]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one span is meant")]
fn spans_have_the_reference_s_vectors_however_calls_cut_them() {
    let Some(device) = testing::device() else { return };
    for width in [1, 3, 128, 300] {
        let rows = Random::new(width as u64).vector(1000 * width, -3.0, 1.0);
        let bins: Vec<Range<usize>> = (0..1000).step_by(100).map(|start| start..start + 100).collect();
        for spans in [&[0..1000][..], &[999..1000], &[250..770], &bins] {
            for reduction in [Reduction::Mean, Reduction::Max] {
                let of = |ends: &[usize]| Case { width, rows: &rows, spans, ends }.on(&device, reduction);
                let whole = of(&[1000]);
                let expected = Case { width, rows: &rows, spans, ends: &[] }.expected(reduction);
                for (found, expected) in whole.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() <= 1e-7 * expected.abs(), "{found} {expected}");
                }
                for ends in [&[PIECE, 1000][..], &[2 * PIECE, 3 * PIECE, 12 * PIECE, 1000]] {
                    assert_eq!(whole, of(ends), "{width} {spans:?} {reduction:?} {ends:?}");
                }
            }
        }
    }
}

#[test]
fn a_nan_is_in_the_vectors_of_its_spans() {
    let Some(device) = testing::device() else { return };
    let mut rows = vec![1.0; 200];
    rows[70] = f32::NAN;
    for reduction in [Reduction::Mean, Reduction::Max] {
        let case = Case { width: 1, rows: &rows, spans: &[0..70, 70..140, 140..200], ends: &[64, 128, 200] };
        let found = case.on(&device, reduction);
        assert_eq!((found[0], found[2]), (1.0, 1.0), "{reduction:?}");
        assert!(found[1].is_nan(), "{reduction:?}");
    }
}

#[test]
#[should_panic(expected = "rows 3..5 of 4")]
fn rows_that_are_not_there_are_refused() {
    let Some(device) = testing::device() else { panic!("rows 3..5 of 4 (no device)") };
    let rows = device.upload(&[0.0; 4]).unwrap();
    let (mut open, mut out) = (device.zeros::<f64>(1).unwrap(), device.zeros::<f32>(1).unwrap());
    let span = Span { rows: 3..5, position: 0, begins: true, open: 0, ends: None };
    let _ = forward(Reduction::Mean, 1, rows.view(), &[span], open.view_mut(), out.view_mut());
}

/// Gradients of rows by the vectors of spans, on top of what is there: handed over in calls that end at these positions.
struct Back<'a> {
    width: usize,
    rows: &'a [f32],
    spans: &'a [Range<usize>],
    /// `[spans, D]`
    d_vectors: &'a [f64],
    /// `[rows, D]`
    before: &'a [f32],
}

impl Back<'_> {
    fn part(&self, span: &Range<usize>) -> Range<usize> {
        span.start * self.width..span.end * self.width
    }

    /// What pooling gave of a span, if it was by maxima.
    fn maxima(&self, span: &Range<usize>) -> Vec<f64> {
        let mut max = vec![f64::NEG_INFINITY; self.width];
        max_rows(&self.rows[self.part(span)], &mut max);
        max
    }

    fn expected(&self, reduction: Reduction) -> Vec<f32> {
        let mut d_rows = self.before.to_vec();
        for (span, d_vector) in self.spans.iter().zip(self.d_vectors.chunks_exact(self.width)) {
            let (part, mut d_vector) = (self.part(span), d_vector.to_vec());
            let d_rows = &mut d_rows[part.clone()];
            match reduction {
                Reduction::Mean => mean_rows_backward(&d_vector, span.len(), d_rows),
                Reduction::Max => max_rows_backward(&self.rows[part], &self.maxima(span), &mut d_vector, d_rows),
            }
        }
        d_rows
    }

    fn on(&self, device: &Device, reduction: Reduction, ends: &[usize]) -> Vec<f32> {
        let vectors: Vec<f32> = self.spans.iter().flat_map(|span| self.maxima(span)).map(|max| max as f32).collect();
        let (vectors, mut d_vectors) = (device.upload(&vectors).unwrap(), device.upload(self.d_vectors).unwrap());
        let (mut found, mut start) = (Vec::new(), 0);
        for &end in ends {
            let rows = device.upload(&self.rows[self.part(&(start..end))]).unwrap();
            let mut d_rows = device.upload(&self.before[self.part(&(start..end))]).unwrap();
            let met = self.spans.iter().enumerate().filter(|(_, span)| span.start < end && span.end > start);
            let shares: Vec<Share> = met
                .map(|(vector, span)| Share {
                    rows: span.start.max(start) - start..span.end.min(end) - start,
                    vector,
                    positions: span.len() as u64,
                })
                .collect();
            match reduction {
                Reduction::Mean => mean_backward(self.width, &shares, d_vectors.view(), d_rows.view_mut()),
                Reduction::Max => {
                    let maxima = Maxima { rows: rows.view(), vectors: vectors.view() };
                    max_backward(self.width, maxima, &shares, d_vectors.view_mut(), d_rows.view_mut())
                }
            }
            .unwrap();
            found.extend(d_rows.view().to_vec().unwrap());
            start = end;
        }
        if reduction == Reduction::Max {
            assert!(d_vectors.view().to_vec().unwrap().iter().all(|&d| d == 0.0), "every gradient has been given");
        }
        found
    }

    /// Whole and cut it is the reference's, bit for bit: each number is one f64 operation away from what is given.
    fn check(&self, device: &Device, what: &str) {
        for reduction in [Reduction::Mean, Reduction::Max] {
            let expected = self.expected(reduction);
            let rows = self.before.len() / self.width;
            for ends in [&[rows][..], &[1, rows], &[PIECE - 1, PIECE, 7 * PIECE + 5, rows]] {
                let found = self.on(device, reduction, ends);
                let wrong = (0..found.len()).find(|&i| found[i] != expected[i]);
                assert_eq!(found.len(), expected.len(), "{what} {reduction:?} {ends:?}");
                if let Some(i) = wrong {
                    let (row, channel) = (i / self.width, i % self.width);
                    let pair = (found[i], expected[i]);
                    panic!("{what} {reduction:?} {ends:?}: row {row}, channel {channel}: {pair:?}");
                }
            }
        }
    }
}

#[test]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one span is meant")]
fn gradients_of_rows_are_the_reference_s_however_calls_cut_them() {
    let Some(device) = testing::device() else { return };
    for width in [1, 3, 128, 300] {
        let mut random = Random::new(width as u64);
        // So few values that most maxima are several rows'.
        let rows: Vec<f32> = random.vector(1000 * width, -3.0, 1.0).iter().map(|x| (2.0 * x).round()).collect();
        let before = random.vector(1000 * width, -1.0, 1.0);
        let bins: Vec<Range<usize>> = (0..1000).step_by(100).map(|start| start..start + 100).collect();
        for spans in [&[0..1000][..], &[0..1], &[999..1000], &[250..770], &bins] {
            let d_vectors: Vec<f64> =
                random.vector(spans.len() * width, -2.0, 2.0).iter().map(|&d| f64::from(d)).collect();
            let back = Back { width, rows: &rows, spans, d_vectors: &d_vectors, before: &before };
            back.check(&device, &format!("{width} channels, {spans:?}"));
        }
    }
}

#[test]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one span is meant")]
fn the_gradient_of_a_nan_goes_to_the_first() {
    let Some(device) = testing::device() else { return };
    let mut rows = vec![1.0; 1000];
    (rows[130], rows[700]) = (f32::NAN, f32::NAN);
    let back = Back { width: 1, rows: &rows, spans: &[0..1000], d_vectors: &[5.0], before: &[0.0; 1000] };
    let found = back.on(&device, Reduction::Max, &[64, 1000]);
    // Rows before it equal no maximum, as that is NaN.
    assert_eq!((0..1000).filter(|&i| found[i] != 0.0).collect::<Vec<_>>(), [130]);
    assert_eq!(found[130], 5.0);
    assert_eq!(found, back.expected(Reduction::Max));
}
