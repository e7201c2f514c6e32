//! Where tensors come from while a model's form is walked.

use crate::checkpoint::CheckpointError;
use crate::checkpoint::tensors::Tensors;

/// Gives tensors by name and shape.
pub(super) trait Source<S> {
    type Error;

    /// A tensor that is stored.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<S>, Self::Error>;

    /// A name under which some files hold the tensor `original` once more. It is told before the original is asked for.
    fn copy(&mut self, name: &str, original: &str, shape: &[usize]) -> Result<(), Self::Error>;

    /// Ids that are stored but are no parameters.
    fn buffer(&mut self, name: &str, ids: &[i64]) -> Result<(), Self::Error>;
}

/// Files: what is asked for must be there, and repetitions must agree.
impl Source<f32> for Tensors {
    type Error = CheckpointError;

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        self.take(name, shape)
    }

    fn copy(&mut self, name: &str, original: &str, shape: &[usize]) -> Result<(), CheckpointError> {
        self.take_alias(name, original, shape)
    }

    fn buffer(&mut self, name: &str, ids: &[i64]) -> Result<(), CheckpointError> {
        self.take_repeated(name, ids, "complement_map of config.json")
    }
}
