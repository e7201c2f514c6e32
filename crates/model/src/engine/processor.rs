//! What computes.

#[cfg(feature = "cuda")]
use longstrand_kernels::cuda::Device;
use longstrand_kernels::simd::Level;

#[cfg(feature = "cuda")]
use super::EngineError;
#[cfg(feature = "cuda")]
use crate::checkpoint::Weights;
#[cfg(feature = "cuda")]
use crate::config::Config;
#[cfg(feature = "cuda")]
use crate::cuda::{self, Arithmetic, CudaModel};

/// What computes, and how.
#[derive(Clone, Debug)]
pub enum Processor {
    /// The CPU, with these vector instructions, in f32.
    Cpu(Level),
    /// GPUs.
    #[cfg(feature = "cuda")]
    Cuda(Gpus),
}

/// GPUs of one kind of architecture or several, and how they compute.
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub struct Gpus {
    devices: Vec<Device>,
    arithmetic: Arithmetic,
}

impl Processor {
    /// What decides the last bits, for what outputs say of their origin: keys and values.
    pub fn provenance(&self) -> Vec<(String, String)> {
        match self {
            Self::Cpu(level) => vec![("longstrand.simd".into(), level.without_bf16().to_string())],
            #[cfg(feature = "cuda")]
            Self::Cuda(gpus) => vec![
                ("longstrand.device".into(), format!("cuda {}", gpus.architectures())),
                ("longstrand.precision".into(), gpus.precision().into()),
            ],
        }
    }
}

impl From<Level> for Processor {
    fn from(level: Level) -> Self {
        Self::Cpu(level)
    }
}

#[cfg(feature = "cuda")]
impl Gpus {
    /// # Panics
    ///
    /// Panics if there is no device.
    pub fn new(devices: Vec<Device>, arithmetic: Arithmetic) -> Self {
        assert!(!devices.is_empty(), "expected a device");
        Self { devices, arithmetic }
    }

    /// The precision, as `--precision` names it.
    pub fn precision(&self) -> &'static str {
        match self.arithmetic {
            Arithmetic::Single => "f32",
            Arithmetic::Tf32 => "tf32",
            Arithmetic::Bf16 => "bf16",
        }
    }

    /// How many devices there are.
    pub fn count(&self) -> usize {
        self.devices.len()
    }

    /// The first device.
    pub fn first(&self) -> &Device {
        &self.devices[0]
    }

    /// How they compute.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Whether a model is computed on a GPU without being asked for one: there is code for it.
    pub fn compute(config: &Config) -> bool {
        cuda::check(config).is_ok()
    }

    /// Whether a model is trained on a GPU without being asked for one.
    pub fn train(config: &Config) -> bool {
        cuda::check_training(config).is_ok()
    }

    /// What the devices run, each once.
    fn architectures(&self) -> String {
        let mut names: Vec<String> = self.devices.iter().map(|device| device.architecture().to_string()).collect();
        names.sort();
        names.dedup();
        names.join(" ")
    }

    /// A model on each device.
    pub(super) fn models(&self, config: &Config, weights: &Weights) -> Result<Vec<CudaModel>, EngineError> {
        let model = |device: &Device| {
            let model = CudaModel::of_weights(device.clone(), self.arithmetic, config.clone(), weights);
            model.map_err(|error| EngineError::of(device, &error))
        };
        self.devices.iter().map(model).collect()
    }
}
