//! Numerical fixtures: folders with inputs and the outputs of reference code.
//!
//! `LONGSTRAND_FIXTURES` names another folder of the same form.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use longstrand_kernels::closeness::assert_close;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The folder of fixtures.
pub fn root() -> PathBuf {
    match std::env::var_os("LONGSTRAND_FIXTURES") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
    }
}

/// The folders of all model cases: those with a configuration and expected logits.
pub fn model_cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(root())
        .expect("the folder of fixtures")
        .map(|entry| entry.expect("an entry of the folder of fixtures").path())
        .filter(|path| path.join("config.json").exists())
        .filter(|path| !Expected::read(path).lengths().is_empty())
        .collect();
    cases.sort();
    cases
}

/// The name of a case.
pub fn name(case: &Path) -> String {
    case.file_name().expect("a case has a name").to_string_lossy().into_owned()
}

/// The tensors of an `expected.safetensors`.
pub struct Expected {
    bytes: Vec<u8>,
}

impl Expected {
    /// Reads the file of a case.
    pub fn read(case: &Path) -> Self {
        Self { bytes: fs::read(case.join("expected.safetensors")).expect("expected.safetensors") }
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("a safetensors file")
    }

    /// A tensor's values, widened, and its shape; `None` if there is none of the name.
    pub fn get(&self, name: &str) -> Option<(Vec<f64>, Vec<usize>)> {
        let tensors = self.tensors();
        let view = tensors.tensor(name).ok()?;
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(array(b)))).collect(),
            Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(array(b))).collect(),
            Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(array(b)) as f64).collect(),
            dtype => panic!("{name} has the unexpected type {dtype:?}"),
        };
        Some((values, view.shape().to_vec()))
    }

    /// A tensor that the case must have.
    pub fn require(&self, name: &str) -> (Vec<f64>, Vec<usize>) {
        self.get(name).unwrap_or_else(|| panic!("no tensor {name}"))
    }

    /// A tensor in f32, which must hold its values exactly.
    pub fn require_f32(&self, name: &str) -> Vec<f32> {
        self.require(name).0.into_iter().map(|x| x as f32).collect()
    }

    /// Token ids, by sequence.
    pub fn ids(&self, name: &str) -> Vec<Vec<u8>> {
        let (ids, shape) = self.require(name);
        ids.chunks_exact(shape[1]).map(|row| row.iter().map(|&id| id as u8).collect()).collect()
    }

    /// The lengths L for which there are inputs, in ascending order.
    pub fn lengths(&self) -> Vec<usize> {
        let tensors = self.tensors();
        let mut lengths: Vec<usize> = tensors
            .names()
            .into_iter()
            .filter_map(|name| name.strip_suffix(".input_ids")?.strip_prefix('L')?.parse().ok())
            .collect();
        lengths.sort_unstable();
        lengths
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("chunks are of this size")
}

/// A number of a case's `tolerance.json`, or of the folder's `tolerances.json` where the case has none.
pub fn tolerance(case: &Path, keys: &[&str]) -> Option<f64> {
    let own = read_json(&case.join("tolerance.json"));
    let all = read_json(&root().join("tolerances.json"));
    [own, all.as_ref().and_then(|all| all.get(name(case)).cloned())]
        .into_iter()
        .flatten()
        .find_map(|value| keys.iter().try_fold(&value, |value, key| value.get(key))?.as_f64())
}

/// A JSON file, if there is one.
pub fn read_json(path: &Path) -> Option<Value> {
    Some(serde_json::from_slice(&fs::read(path).ok()?).expect("a JSON file"))
}
