//! The optimizer's state as named tensors, for checkpoints.

use std::{collections::BTreeMap, fmt};

use super::AdamW;

const MEAN: &str = "exp_avg.";
const SQUARE: &str = "exp_avg_sq.";

impl AdamW {
    /// The moments as named tensors, by PyTorch's names before those of the parameters. With [`AdamW::step`] they are
    /// the whole state.
    pub fn state(&self) -> impl Iterator<Item = (String, &[f32])> {
        self.tensors.iter().flat_map(|tensor| {
            let name = &tensor.name;
            [(format!("{MEAN}{name}"), &tensor.mean[..]), (format!("{SQUARE}{name}"), &tensor.square[..])]
        })
    }

    /// Takes a state that [`Self::state`] gave. On an error it stays as it was.
    ///
    /// # Errors
    ///
    /// - a tensor is missing, is not one of this optimizer, comes twice or has another number of elements
    pub fn restore(
        &mut self,
        step: u64,
        tensors: impl IntoIterator<Item = (String, Vec<f32>)>,
    ) -> Result<(), StateError> {
        let mut found = BTreeMap::new();
        for (name, values) in tensors {
            if let Some(_twice) = found.insert(name.clone(), values) {
                return Err(StateError::Unexpected { name });
            }
        }
        let mut restored = self.tensors.clone();
        for tensor in &mut restored {
            tensor.mean = take(&mut found, format!("{MEAN}{}", tensor.name), tensor.mean.len())?;
            tensor.square = take(&mut found, format!("{SQUARE}{}", tensor.name), tensor.square.len())?;
        }
        if let Some((name, _)) = found.pop_first() {
            return Err(StateError::Unexpected { name });
        }
        self.tensors = restored;
        self.step = step;
        Ok(())
    }
}

fn take(found: &mut BTreeMap<String, Vec<f32>>, name: String, expected: usize) -> Result<Vec<f32>, StateError> {
    match found.remove(&name) {
        None => Err(StateError::Missing { name }),
        Some(values) if values.len() != expected => Err(StateError::Length { name, expected, found: values.len() }),
        Some(values) => Ok(values),
    }
}

/// A state that belongs to another optimizer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StateError {
    /// A tensor is missing.
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor is none of the optimizer's, or comes twice.
    Unexpected {
        /// Its name.
        name: String,
    },
    /// A tensor has another number of elements.
    Length {
        /// Its name.
        name: String,
        /// The optimizer's number of elements.
        expected: usize,
        /// The state's.
        found: usize,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(f, "optimizer state: expected a tensor {name}, found none"),
            Self::Unexpected { name } => {
                write!(f, "optimizer state: the tensor {name} is not one of the model's, or is twice")
            }
            Self::Length { name, expected, found } => {
                write!(f, "optimizer state: tensor {name}: expected {expected} elements, found {found}")
            }
        }
    }
}

impl std::error::Error for StateError {}
