//! The language-model head: hidden states to logits.
//!
//! ```text
//! logits[t] = W · hidden[t]                            one strand
//! logits[t] = W · hidden[t] + W[comp] · reverse[t]     reverse-complement equivariant (Schiff et al. 2024, §4)
//! ```
//!
//! | buffer | shape |
//! |---|---|
//! | W | `[V, D]`: the embedding table where the two are tied |
//! | `hidden` | `[L, D]` |
//! | `reverse` | `[L, D]`: the reverse-complement strand's hidden states at the same positions, in that strand's own channel order |
//! | `logits` | `[L, V]` |

use crate::{Backend, Rows, RowsMut, Write, embedding::complement_table};

/// Weights of a head, ready for use.
#[derive(Debug)]
pub struct LmHead<B: Backend> {
    forward: B::Matrix,
    reverse: Option<B::Matrix>,
    vocabulary: usize,
}

impl<B: Backend> LmHead<B> {
    /// Makes a head from a weight `[V, D]` and, for an equivariant model, each token's complement, `[V]`.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows of `width`, or the map is not one of its rows to its rows.
    pub fn new(backend: &B, weight: &[f32], width: usize, complement_map: Option<&[u8]>) -> Self {
        let forward = backend.matrix(weight, width, None);
        let reverse = complement_map.map(|map| backend.matrix(&complement_table(weight, width, map), width, None));
        Self { forward, reverse, vocabulary: weight.len() / width }
    }

    /// Number of logits of a position.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Computes the logits of all rows; `reverse` is given exactly when the head has a complement map.
    ///
    /// # Panics
    ///
    /// Panics if the shapes do not fit, or `reverse` is missing or given without need.
    pub fn forward(
        &self,
        backend: &B,
        hidden: Rows<'_, B::Scalar>,
        reverse: Option<Rows<'_, B::Scalar>>,
        logits: &mut [B::Scalar],
    ) {
        backend.linear(&self.forward, hidden, RowsMut::new(logits, self.vocabulary), Write::Set);
        match (&self.reverse, reverse) {
            (Some(matrix), Some(hidden)) => {
                backend.linear(matrix, hidden, RowsMut::new(logits, self.vocabulary), Write::Add);
            }
            (None, None) => {}
            (Some(_), None) => panic!("an equivariant head needs the hidden states of both strands"),
            (None, Some(_)) => panic!("a head of one strand got the hidden states of two"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu, Reference,
        simd::Level,
        testing::{Random, assert_close, widen},
    };

    const LEN: usize = 37;
    const WIDTH: usize = 24;
    const COMPLEMENT: [u8; 6] = [0, 1, 5, 4, 3, 2];

    fn inputs() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let mut random = Random::new(5);
        let mut vector = |rows: usize| random.vector(rows * WIDTH, -1.0, 1.0);
        (vector(6), vector(LEN), vector(LEN))
    }

    fn dot(x: &[f32], y: &[f32]) -> f64 {
        x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    }

    #[test]
    fn logits_are_products_with_the_table_and_its_complement() {
        let (weight, hidden, reverse) = inputs();
        let row = |v: usize| &weight[v * WIDTH..][..WIDTH];
        let mut expected = Vec::new();
        for t in 0..LEN {
            let (h, r) = (&hidden[t * WIDTH..][..WIDTH], &reverse[t * WIDTH..][..WIDTH]);
            expected.extend((0..6).map(|v| dot(row(v), h) + dot(row(COMPLEMENT[v].into()), r)));
        }
        let (wide_hidden, wide_reverse) = (widen(&hidden), widen(&reverse));
        let head = LmHead::new(&Reference, &weight, WIDTH, Some(&COMPLEMENT));
        let mut logits = vec![0.0; LEN * head.vocabulary()];
        let rows = Some(Rows::new(&wide_reverse, WIDTH));
        head.forward(&Reference, Rows::new(&wide_hidden, WIDTH), rows, &mut logits);
        assert_close("reference", &logits, &expected, 1e-14);
        for level in Level::available() {
            let backend = Cpu::new(level);
            let head = LmHead::new(&backend, &weight, WIDTH, Some(&COMPLEMENT));
            let mut logits = vec![0.0; LEN * head.vocabulary()];
            head.forward(&backend, Rows::new(&hidden, WIDTH), Some(Rows::new(&reverse, WIDTH)), &mut logits);
            assert_close(&level.to_string(), &logits, &expected, 2e-6);
        }
    }

    #[test]
    fn without_a_map_one_strand_is_enough() {
        let (weight, hidden, _) = inputs();
        let backend = Cpu::new(Level::widest());
        let head = LmHead::new(&backend, &weight, WIDTH, None);
        let mut logits = vec![f32::NAN; LEN * 6];
        head.forward(&backend, Rows::new(&hidden, WIDTH), None, &mut logits);
        let expected: Vec<f64> =
            (0..LEN * 6).map(|i| dot(&weight[i % 6 * WIDTH..][..WIDTH], &hidden[i / 6 * WIDTH..][..WIDTH])).collect();
        assert_close("one strand", &logits, &expected, 2e-6);
    }

    #[test]
    #[should_panic(expected = "both strands")]
    fn an_equivariant_head_refuses_one_strand() {
        let (weight, hidden, _) = inputs();
        let backend = Cpu::new(Level::widest());
        let head = LmHead::new(&backend, &weight, WIDTH, Some(&COMPLEMENT));
        head.forward(&backend, Rows::new(&hidden, WIDTH), None, &mut [0.0; LEN * 6]);
    }
}
