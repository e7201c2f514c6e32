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

    /// Widens the transpose, `[n_in, n_out]`, of a row-major weight `[n_out, n_in]`.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows.
    pub fn transposed(weight: &[f32], n_in: usize) -> Self {
        super::check_weight(weight, n_in, None);
        let n_out = weight.len() / n_in;
        let transposed = (0..weight.len()).map(|i| weight[i % n_out * n_in + i / n_out].into()).collect();
        Self { weight: transposed, bias: None, n_in: n_out }
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

/// See the [module](super).
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn weight_gradient(d_out: Rows<'_, f64>, x: Rows<'_, f64>, d_weight: &mut [f64], mut d_bias: Option<&mut [f64]>) {
    super::check_gradient(&d_out, &x, d_weight, d_bias.as_deref());
    for t in 0..x.len() {
        for (j, &d_out) in d_out.row(t).iter().enumerate() {
            for (k, &x_k) in x.row(t).iter().enumerate() {
                d_weight[j * x.width() + k] += d_out * x_k;
            }
            if let Some(d_bias) = &mut d_bias {
                d_bias[j] += d_out;
            }
        }
    }
}
