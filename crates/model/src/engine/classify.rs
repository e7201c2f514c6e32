//! Classes of whole sequences.

use std::ops::ControlFlow;

use super::{Engine, Kind};
use crate::encode::Chunking;
use crate::scratch::Scratch;
#[cfg(feature = "cuda")]
use crate::{
    config::ClassifierPooling,
    output::Tap,
    pooling::{Pooling, VectorObserver},
};

impl Engine {
    /// As [`Model::classify`](crate::Model::classify). It breaks where a device has failed: see [`failure`](Self::failure).
    ///
    /// On a GPU hidden states are pooled before they leave it. A model with RCPS that pools by the first or the last
    /// position is passed twice, as its halves keep different ones.
    ///
    /// # Panics
    ///
    /// Panics if `ids` is empty or an id is not in the vocabulary.
    pub fn classify(
        &self,
        ids: &[u8],
        chunking: Chunking,
        scratch: &mut Scratch<f32>,
    ) -> ControlFlow<(), Option<Vec<f32>>> {
        match &self.0 {
            Kind::Cpu(model) => ControlFlow::Continue(model.classify(ids, chunking, scratch)),
            #[cfg(feature = "cuda")]
            Kind::Cuda(_, None) => ControlFlow::Continue(None),
            #[cfg(feature = "cuda")]
            Kind::Cuda(_, Some(score)) => {
                assert!(!ids.is_empty(), "an empty sequence has no class");
                let halves = self.halves(score.pooling, ids, scratch)?;
                ControlFlow::Continue(Some(score.logits(&halves).into_iter().map(|logit| logit as f32).collect()))
            }
        }
    }

    /// The pooled halves, `[D]` each, each in its own orientation; one of a model without RCPS.
    #[cfg(feature = "cuda")]
    fn halves(
        &self,
        pooling: ClassifierPooling,
        ids: &[u8],
        scratch: &mut Scratch<f32>,
    ) -> ControlFlow<(), Vec<Vec<f64>>> {
        let d = self.config().d_model;
        let [first, second] = [false, true].map(|is_turned| pooling.of_span(is_turned, ids.len()));
        let both = self.vector(ids, &first, scratch)?;
        let mut halves = vec![both[..d].to_vec()];
        if self.width() > d {
            let both = if second == first { both } else { self.vector(ids, &second, scratch)? };
            halves.push(both[d..].iter().rev().copied().collect());
        }
        ControlFlow::Continue(halves)
    }

    /// The one vector of a pooling, `[width]`.
    #[cfg(feature = "cuda")]
    fn vector(&self, ids: &[u8], pooling: &Pooling, scratch: &mut Scratch<f32>) -> ControlFlow<(), Vec<f64>> {
        let mut vector = Vector::default();
        self.pool(ids, Chunking::Auto, &[Tap::Last], pooling, scratch, &mut vector)?;
        ControlFlow::Continue(vector.0)
    }
}

/// Keeps the vector of a pass.
#[cfg(feature = "cuda")]
#[derive(Default)]
struct Vector(Vec<f64>);

#[cfg(feature = "cuda")]
impl VectorObserver for Vector {
    fn vectors(&mut self, _: Tap, _: usize, rows: longstrand_kernels::Rows<'_, f32>) {
        self.0.extend(rows.row(0).iter().map(|&x| f64::from(x)));
    }

    fn advanced(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
