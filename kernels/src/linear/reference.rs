//! The product in plain f64 loops.

use crate::{Rows, RowsMut, Write, backend::Precision};

/// A weight and bias in f64.
#[derive(Clone, Debug)]
pub struct PlainMatrix {
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
    n_in: usize,
}

impl PlainMatrix {
    /// Widens a row-major weight `[n_out, n_in]`, rounded as the precision has it, and its bias `[n_out]`.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows or the bias has another length.
    pub fn new(precision: Precision, weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self {
        super::check_weight(weight, n_in, bias);
        let widen = |x: &[f32]| x.iter().map(|&x| x.into()).collect::<Vec<f64>>();
        Self { weight: precision.operands(&widen(weight)), bias: bias.map(widen), n_in }
    }

    /// Widens the transpose, `[n_in, n_out]`, of a row-major weight `[n_out, n_in]`, as [`Self::new`] does.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows.
    pub fn transposed(precision: Precision, weight: &[f32], n_in: usize) -> Self {
        super::check_weight(weight, n_in, None);
        let n_out = weight.len() / n_in;
        let transposed: Vec<f64> = (0..weight.len()).map(|i| weight[i % n_out * n_in + i / n_out].into()).collect();
        Self { weight: precision.operands(&transposed), bias: None, n_in: n_out }
    }
}

/// See the [module](super).
pub fn forward(precision: Precision, matrix: &PlainMatrix, x: Rows<'_, f64>, mut out: RowsMut<'_, f64>, write: Write) {
    super::check(matrix.n_in, matrix.weight.len() / matrix.n_in, &x, &out);
    for t in 0..out.len() {
        let x = precision.operands(x.row(t));
        for (j, out) in out.row(t).iter_mut().enumerate() {
            let row = &matrix.weight[j * matrix.n_in..][..matrix.n_in];
            let mut sum: f64 = row.iter().zip(&x).map(|(w, x)| w * x).sum();
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
pub fn weight_gradient(
    precision: Precision,
    d_out: Rows<'_, f64>,
    x: Rows<'_, f64>,
    d_weight: &mut [f64],
    mut d_bias: Option<&mut [f64]>,
) {
    super::check_gradient(&d_out, &x, d_weight, d_bias.as_deref());
    for t in 0..x.len() {
        let (rounded, x_t) = (precision.operands(d_out.row(t)), precision.operands(x.row(t)));
        for (j, &d_out) in d_out.row(t).iter().enumerate() {
            for (k, &x_k) in x_t.iter().enumerate() {
                d_weight[j * x.width() + k] += rounded[j] * x_k;
            }
            if let Some(d_bias) = &mut d_bias {
                d_bias[j] += d_out;
            }
        }
    }
}
