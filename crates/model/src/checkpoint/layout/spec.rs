//! The tensors of a model by name, without a file.

use std::convert::Infallible;

use super::source::Source;
use super::{Names, weights};
use crate::checkpoint::Weights;
use crate::config::Config;

/// A tensor's published name and its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its full name in a file.
    pub name: String,
    /// Its shape in a file; the values are row-major.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Every tensor that a checkpoint of `config` stores, a tied one once, in the order of [`Weights::tensors`].
    ///
    /// ```
    /// use longstrand_model::checkpoint::TensorSpec;
    /// use longstrand_model::config::Config;
    ///
    /// let text = br#"{"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 16}"#;
    /// let specs = TensorSpec::all(&Config::parse(text)?);
    /// assert_eq!(specs[0].name, "backbone.embeddings.weight");
    /// assert_eq!(specs[0].shape, [16, 64]);
    /// # Ok::<(), longstrand_model::config::ConfigError>(())
    /// ```
    pub fn all(config: &Config) -> Vec<Self> {
        contents(config).tensors
    }
}

/// A tensor and what it is called.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor<'a, S> {
    /// Name and shape.
    pub spec: TensorSpec,
    /// Row-major.
    pub values: &'a [S],
}

/// A tensor that may be changed, and what it is called.
#[derive(Debug, PartialEq)]
pub struct NamedTensorMut<'a, S> {
    /// Name and shape.
    pub spec: TensorSpec,
    /// Row-major.
    pub values: &'a mut [S],
}

impl<S> Weights<S> {
    /// Makes the weights of a model of `config`, each tensor by what `of` says, which must be of its length.
    pub fn build(config: &Config, of: impl FnMut(&TensorSpec) -> Vec<S>) -> Self {
        let Ok(weights) = weights(&mut Made { of }, config, &Names::of(config));
        weights
    }

    /// Every tensor with its name, in the order of [`Weights::tensors`].
    ///
    /// # Panics
    ///
    /// If the weights do not have the form of a model of `config`.
    pub fn named(&self, config: &Config) -> Vec<NamedTensor<'_, S>> {
        self.named_checked(config).unwrap_or_else(|misfit| panic!("{misfit}"))
    }

    /// As [`Weights::named`], or what does not fit the config.
    pub(in crate::checkpoint) fn named_checked(&self, config: &Config) -> Result<Vec<NamedTensor<'_, S>>, String> {
        let (specs, tensors) = (TensorSpec::all(config), self.tensors());
        check_fit(&specs, tensors.iter().map(|values| values.len()))?;
        Ok(specs.into_iter().zip(tensors).map(|(spec, values)| NamedTensor { spec, values }).collect())
    }

    /// As [`Weights::named`], to be changed.
    ///
    /// # Panics
    ///
    /// If the weights do not have the form of a model of `config`.
    pub fn named_mut(&mut self, config: &Config) -> Vec<NamedTensorMut<'_, S>> {
        let (specs, tensors) = (TensorSpec::all(config), self.tensors_mut());
        check_fit(&specs, tensors.iter().map(|values| values.len())).unwrap_or_else(|misfit| panic!("{misfit}"));
        specs.into_iter().zip(tensors).map(|(spec, values)| NamedTensorMut { spec, values }).collect()
    }
}

fn check_fit(specs: &[TensorSpec], lengths: impl ExactSizeIterator<Item = usize>) -> Result<(), String> {
    if specs.len() != lengths.len() {
        return Err(format!("expected {} tensors, found {}", specs.len(), lengths.len()));
    }
    match specs.iter().zip(lengths).find(|(spec, length)| spec.elements() != *length) {
        None => Ok(()),
        Some((TensorSpec { name, shape }, found)) => {
            Err(format!("tensor \"{name}\": expected the elements of {shape:?}, found {found}"))
        }
    }
}

/// What a weight file holds.
#[derive(Default)]
pub(in crate::checkpoint) struct Contents {
    pub(in crate::checkpoint) tensors: Vec<TensorSpec>,
    /// Names and ids.
    pub(in crate::checkpoint) buffers: Vec<(String, Vec<i64>)>,
}

/// What the weight file of a model of `config` holds.
pub(in crate::checkpoint) fn contents(config: &Config) -> Contents {
    let mut contents = Contents::default();
    let Ok(Weights::<()> { .. }) = weights(&mut contents, config, &Names::of(config));
    contents
}

/// Notes what is asked for.
impl Source<()> for Contents {
    type Error = Infallible;

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<()>, Infallible> {
        self.tensors.push(TensorSpec { name: name.into(), shape: shape.into() });
        Ok(Vec::new())
    }

    fn copy(&mut self, _: &str, _: &str, _: &[usize]) -> Result<(), Infallible> {
        Ok(())
    }

    fn buffer(&mut self, name: &str, ids: &[i64]) -> Result<(), Infallible> {
        self.buffers.push((name.into(), ids.into()));
        Ok(())
    }
}

/// Makes what is asked for.
struct Made<F> {
    of: F,
}

impl<S, F: FnMut(&TensorSpec) -> Vec<S>> Source<S> for Made<F> {
    type Error = Infallible;

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<S>, Infallible> {
        Ok((self.of)(&TensorSpec { name: name.into(), shape: shape.into() }))
    }

    fn copy(&mut self, _: &str, _: &str, _: &[usize]) -> Result<(), Infallible> {
        Ok(())
    }

    fn buffer(&mut self, _: &str, _: &[i64]) -> Result<(), Infallible> {
        Ok(())
    }
}
