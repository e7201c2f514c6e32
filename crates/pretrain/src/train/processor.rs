//! What a model learns on.

use std::fmt;

#[cfg(feature = "cuda")]
use longstrand_kernels::cuda::Device;
use longstrand_kernels::{Backend, Cpu, backend::Precision};
use longstrand_model::{Engine, EngineError, Processor, checkpoint::Checkpoint};
#[cfg(feature = "cuda")]
use longstrand_model::{Gpus, cuda::Arithmetic};

/// What a model learns on, and in which precision.
#[derive(Clone, Debug)]
pub enum TrainingProcessor {
    /// The CPU.
    Cpu(Cpu),
    /// A GPU.
    #[cfg(feature = "cuda")]
    Cuda {
        /// Which one.
        device: Device,
        /// How it computes.
        arithmetic: Arithmetic,
    },
}

impl TrainingProcessor {
    /// A processor in the precision of a run; of several GPUs the first.
    pub fn new(processor: &Processor, precision: Precision) -> Self {
        match processor {
            Processor::Cpu(level) => Self::Cpu(Cpu::with_precision(*level, precision)),
            #[cfg(feature = "cuda")]
            Processor::Cuda(gpus) => Self::Cuda {
                device: gpus.first().clone(),
                arithmetic: match precision {
                    Precision::Full => gpus.arithmetic(),
                    Precision::Bf16 => Arithmetic::Bf16,
                },
            },
        }
    }

    /// What is rounded.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(cpu) => cpu.precision(),
            #[cfg(feature = "cuda")]
            Self::Cuda { arithmetic: Arithmetic::Bf16, .. } => Precision::Bf16,
            #[cfg(feature = "cuda")]
            Self::Cuda { .. } => Precision::Full,
        }
    }

    /// Whether the streams of a step's windows are held in the memory of the host.
    pub fn is_host(&self) -> bool {
        matches!(self, Self::Cpu(_))
    }

    /// A model for passes without gradients, that computes as the model learns.
    ///
    /// # Errors
    ///
    /// A device has no room for the weights.
    pub(super) fn engine(&self, checkpoint: &Checkpoint) -> Result<Engine, EngineError> {
        match self {
            Self::Cpu(cpu) => Ok(Engine::cpu(*cpu, checkpoint)),
            #[cfg(feature = "cuda")]
            Self::Cuda { device, arithmetic } => {
                Engine::new(&Processor::Cuda(Gpus::new(vec![device.clone()], *arithmetic)), checkpoint)
            }
        }
    }
}

impl From<Cpu> for TrainingProcessor {
    fn from(cpu: Cpu) -> Self {
        Self::Cpu(cpu)
    }
}

/// What decides the last bits, beside the precision.
impl fmt::Display for TrainingProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => write!(f, "{} instructions", cpu.level()),
            #[cfg(feature = "cuda")]
            Self::Cuda { device, arithmetic: Arithmetic::Tf32 } => write!(f, "CUDA {} and TF32", device.architecture()),
            #[cfg(feature = "cuda")]
            Self::Cuda { device, .. } => write!(f, "CUDA {}", device.architecture()),
        }
    }
}
