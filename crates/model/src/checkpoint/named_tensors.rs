//! Any named tensors in a safetensors file, such as an optimizer's state.

use super::layout::{NamedTensor, TensorSpec};
use super::save::SaveError;
use super::tensors::Tensors;
use super::{CheckpointError, safetensors_file};

/// The bytes of a safetensors file with these tensors in f32.
///
/// # Errors
///
/// Two have the same name, or one has not the elements of its shape.
pub fn tensors_to_safetensors(tensors: &[NamedTensor<'_, f32>]) -> Result<Vec<u8>, SaveError> {
    safetensors_file::serialize(tensors, &[]).map_err(SaveError::Safetensors)
}

/// The tensors of a safetensors file in the order of their names, widened to f32; `origin` names the file in errors.
///
/// # Errors
///
/// The bytes are not a whole safetensors file, or a tensor is not of finite floats.
pub fn tensors_from_safetensors(origin: &str, bytes: Vec<u8>) -> Result<Vec<(TensorSpec, Vec<f32>)>, CheckpointError> {
    let length = bytes.len();
    let entries = safetensors_file::entries(&bytes).map_err(|source| CheckpointError::Safetensors {
        origin: origin.into(),
        length,
        source,
    })?;
    let mut tensors = Tensors::new(origin.into());
    tensors.add(origin.into(), bytes, entries)?;
    let names: Vec<String> = tensors.names().map(str::to_owned).collect();
    let take = |name: String| {
        let shape = tensors.shape(&name).unwrap_or_default().to_vec();
        let values = tensors.take(&name, &shape)?;
        Ok((TensorSpec { name, shape }, values))
    };
    names.into_iter().map(take).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_bit_for_bit() {
        let spec = |name: &str, shape: &[usize]| TensorSpec { name: name.into(), shape: shape.into() };
        let tensors = [
            NamedTensor { spec: spec("exp_avg.b", &[2, 2]), values: &[1.5e-42, -0.0, 3.0, f32::MAX][..] },
            NamedTensor { spec: spec("exp_avg.a", &[1]), values: &[0.1] },
        ];
        let bytes = tensors_to_safetensors(&tensors).unwrap();
        let back = tensors_from_safetensors("state", bytes.clone()).unwrap();
        assert_eq!(
            back.iter().map(|(spec, _)| spec.clone()).collect::<Vec<_>>(),
            [spec("exp_avg.a", &[1]), spec("exp_avg.b", &[2, 2])]
        );
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back[1].1), bits(tensors[0].values));
        let message = tensors_from_safetensors("state", bytes[..bytes.len() - 1].to_vec()).unwrap_err().to_string();
        assert!(message.starts_with("state"), "{message}");
    }
}
