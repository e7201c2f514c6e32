//! The product in plain f64 loops.

use crate::{Rows, RowsMut, Write};

/// A weight and bias in f64.
#[derive(Clone, Debug)]
pub struct PlainMatrix {
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
    n_in: usize,
}

impl PlainMatrix {
    /// Widens a row-major weight `[n_out, n_in]` and its bias `[n_out]`.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows or the bias has another length.
    pub fn new(weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self {
        super::check_weight(weight, n_in, bias);
        let widen = |x: &[f32]| x.iter().map(|&x| x.into()).collect();
        Self { weight: widen(weight), bias: bias.map(widen), n_in }
    }
}

/// See the [module](super).
pub fn forward(matrix: &PlainMatrix, x: Rows<'_, f64>, mut out: RowsMut<'_, f64>, write: Write) {
    super::check(matrix.n_in, matrix.weight.len() / matrix.n_in, &x, &out);
    for t in 0..out.len() {
        for (j, out) in out.row(t).iter_mut().enumerate() {
            let row = &matrix.weight[j * matrix.n_in..][..matrix.n_in];
            let mut sum: f64 = row.iter().zip(x.row(t)).map(|(w, x)| w * x).sum();
            if let Some(bias) = &matrix.bias {
                sum += bias[j];
            }
            match write {
                Write::Set => *out = sum,
                Write::Add => *out += sum,
            }
        }
    }
}
