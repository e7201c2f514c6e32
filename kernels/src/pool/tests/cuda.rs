use std::ops::Range;

use crate::{
    cuda::{Device, testing},
    pool::{
        Reduction, add_rows,
        cuda::{PIECE, Span, forward},
        max_rows,
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
