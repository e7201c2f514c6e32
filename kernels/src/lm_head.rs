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
//!
//! # Backward
//!
//! A product for each strand ([`crate::linear`]), and `W[comp]` is rows of W ([`crate::embedding`]):
//!
//! ```text
//! d_hidden[t]  = Wᵀ · d_logits[t]            set or added, and likewise
//! d_reverse[t] = W[comp]ᵀ · d_logits[t]
//! d_W[v]       += Σ_t d_logits[t, v] · hidden[t]
//! d_W[comp[v]] += Σ_t d_logits[t, v] · reverse[t]
//! ```
//!
//! Saved are `hidden` and `reverse`.

use crate::{
    Backend, Rows, RowsMut, Write,
    embedding::{add_complement, complement_table},
};

const MISSING: &str = "an equivariant head needs the hidden states of both strands";
const NEEDLESS: &str = "a head of one strand got the hidden states of two";

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
            (Some(_), None) => panic!("{MISSING}"),
            (None, Some(_)) => panic!("{NEEDLESS}"),
        }
    }
}

/// Weights of a head, ready for the way back.
#[derive(Debug)]
pub struct LmHeadBackward<B: Backend> {
    forward: B::Matrix,
    /// The complement table, and each token's complement
    reverse: Option<(B::Matrix, Vec<u8>)>,
    vocabulary: usize,
}

/// One strand's hidden states, `[L, D]`, and where their gradient goes, `[L, D]`.
#[derive(Debug)]
pub struct Strand<'a, S> {
    /// What forward was given.
    pub hidden: Rows<'a, S>,
    /// Its gradient.
    pub d_hidden: RowsMut<'a, S>,
}

impl<B: Backend> LmHeadBackward<B> {
    /// Takes what [`LmHead::new`] does.
    ///
    /// # Panics
    ///
    /// Panics if the weight is not a whole number of rows of `width`, or the map is not one of its rows to its rows.
    pub fn new(backend: &B, weight: &[f32], width: usize, complement_map: Option<&[u8]>) -> Self {
        let forward = backend.transposed_matrix(weight, width);
        let reverse = complement_map.map(|map| {
            let complement = complement_table(weight, width, map);
            (backend.transposed_matrix(&complement, width), map.to_vec())
        });
        Self { forward, reverse, vocabulary: weight.len() / width }
    }

    /// Sets or adds to the gradients of the hidden states, and adds to that of the weight, `[V, D]`.
    ///
    /// # Panics
    ///
    /// Panics if the shapes do not fit, or `reverse` is missing or given without need.
    pub fn backward(
        &self,
        backend: &B,
        forward: Strand<'_, B::Scalar>,
        reverse: Option<Strand<'_, B::Scalar>>,
        d_logits: &[B::Scalar],
        write: Write,
        d_weight: &mut [B::Scalar],
    ) {
        let d_logits = Rows::new(d_logits, self.vocabulary);
        let width = forward.hidden.width();
        backend.linear(&self.forward, d_logits, forward.d_hidden, write);
        backend.weight_gradient(d_logits, forward.hidden, d_weight, None);
        match (&self.reverse, reverse) {
            (Some((matrix, complement_map)), Some(strand)) => {
                backend.linear(matrix, d_logits, strand.d_hidden, write);
                let mut d_complement = vec![B::Scalar::default(); d_weight.len()];
                backend.weight_gradient(d_logits, strand.hidden, &mut d_complement, None);
                add_complement(&d_complement, width, complement_map, d_weight);
            }
            (None, None) => {}
            (Some(_), None) => panic!("{MISSING}"),
            (None, Some(_)) => panic!("{NEEDLESS}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cpu, Reference,
        simd::Level,
        testing::{Random, assert_close, central_differences, widen},
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

    struct Gradients<S> {
        d_hidden: Vec<S>,
        d_reverse: Vec<S>,
        d_weight: Vec<S>,
    }

    /// Runs backward on buffers that held `before`.
    fn backward<B: Backend>(
        backend: &B,
        [hidden, reverse, d_logits]: [&[B::Scalar]; 3],
        write: Write,
        before: B::Scalar,
    ) -> Gradients<B::Scalar> {
        let head = LmHeadBackward::new(backend, &inputs().0, WIDTH, Some(&COMPLEMENT));
        let filled = |n: usize| vec![before; n];
        let mut gradients =
            Gradients { d_hidden: filled(LEN * WIDTH), d_reverse: filled(LEN * WIDTH), d_weight: filled(6 * WIDTH) };
        let forward =
            Strand { hidden: Rows::new(hidden, WIDTH), d_hidden: RowsMut::new(&mut gradients.d_hidden, WIDTH) };
        let reverse =
            Strand { hidden: Rows::new(reverse, WIDTH), d_hidden: RowsMut::new(&mut gradients.d_reverse, WIDTH) };
        head.backward(backend, forward, Some(reverse), d_logits, write, &mut gradients.d_weight);
        gradients
    }

    #[test]
    fn gradients_are_those_of_central_differences_and_the_same_on_the_cpu() {
        let (weight, hidden, reverse) = inputs();
        let d_logits = Random::new(9).vector(LEN * 6, -1.0, 1.0);
        let (wide, wide_hidden, wide_reverse) = (widen(&weight), widen(&hidden), widen(&reverse));
        let wide_d_logits = widen(&d_logits);
        let row = |x: &[f64], i: usize| x[i * WIDTH..][..WIDTH].to_vec();
        let loss = |weight: &[f64], hidden: &[f64], reverse: &[f64]| -> f64 {
            let logit = |t: usize, v: usize| {
                let here = crate::testing::dot(&row(weight, v), &row(hidden, t));
                here + crate::testing::dot(&row(weight, COMPLEMENT[v].into()), &row(reverse, t))
            };
            (0..LEN * 6).map(|i| wide_d_logits[i] * logit(i / 6, i % 6)).sum()
        };
        let given = [&wide_hidden[..], &wide_reverse, &wide_d_logits];
        let set = backward(&Reference, given, Write::Set, 0.0);
        let differences = central_differences(&wide_hidden, |hidden| loss(&wide, hidden, &wide_reverse));
        assert_close("hidden", &set.d_hidden, &differences, 1e-7);
        let differences = central_differences(&wide_reverse, |reverse| loss(&wide, &wide_hidden, reverse));
        assert_close("reverse", &set.d_reverse, &differences, 1e-7);
        let differences = central_differences(&wide, |weight| loss(weight, &wide_hidden, &wide_reverse));
        assert_close("weight", &set.d_weight, &differences, 1e-7);
        for write in [Write::Set, Write::Add] {
            let expected = backward(&Reference, given, write, 2.0);
            for level in Level::available() {
                let got = backward(&Cpu::new(level), [&hidden, &reverse, &d_logits], write, 2.0);
                assert_close(&format!("{level} hidden"), &got.d_hidden, &expected.d_hidden, 2e-6);
                assert_close(&format!("{level} reverse"), &got.d_reverse, &expected.d_reverse, 2e-6);
                assert_close(&format!("{level} weight"), &got.d_weight, &expected.d_weight, 2e-6);
            }
        }
    }
}
