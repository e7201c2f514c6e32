//! What `--device` and `--precision` come to on this machine.

use longstrand_kernels::simd::Level;
use longstrand_model::Processor;
use longstrand_model::config::Config;

use crate::args::{Device, GeneralOptions, device::Precision};
use crate::failure::{Usage, say};

/// What computes.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// For libraries.
    pub processor: Processor,
    /// For a user.
    pub shown: String,
    /// What is worth telling: a GPU is used that nobody asked for, or one that is there cannot be used.
    note: Option<String>,
}

/// What a model is opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Passes without gradients.
    Passes,
    /// Gradients.
    Training,
}

impl Chosen {
    /// Opens a device to compute a model on.
    ///
    /// # Errors
    ///
    /// - A GPU that is asked for cannot be used, or `LONGSTRAND_SIMD` names vector instructions that are not there.
    /// - The CPU does not compute in the precision.
    pub fn of(device: &Device, precision: Precision, model: &Config) -> anyhow::Result<Self> {
        match device {
            Device::Cuda(numbers) => gpu::open(numbers, precision).map_err(|problem| problem.of(device)),
            Device::EveryCuda => {
                let opened = gpu::all().and_then(|numbers| gpu::open(&numbers, precision));
                opened.map_err(|problem| problem.of(device))
            }
            Device::Cpu | Device::Auto => Self::of_rank(device, precision, (Some(model), Purpose::Passes), 0),
        }
    }

    /// As [`Self::of`] for one of several processes on a machine, which share its GPUs; nothing may be known of the model.
    ///
    /// # Errors
    ///
    /// As `of`.
    pub fn of_rank(
        device: &Device,
        precision: Precision,
        (model, purpose): (Option<&Config>, Purpose),
        local_rank: usize,
    ) -> anyhow::Result<Self> {
        let own = |numbers: Vec<usize>| gpu::open(&[numbers[local_rank % numbers.len()]], precision);
        match device {
            Device::Cpu => Self::cpu(precision, None),
            Device::Auto => match gpu::all().and_then(own).and_then(|gpus| gpu::able(gpus, model, purpose)) {
                Ok(gpus) => Ok(Self { note: Some(format!("computing on {}", gpus.shown)), ..gpus }),
                Err(gpu::Problem { reason, is_there }) => {
                    let chosen = Self::cpu(precision, Some(&reason))?;
                    let note = is_there.then(|| format!("computing on the CPU: {reason}"));
                    Ok(Self { note, ..chosen })
                }
            },
            Device::Cuda(numbers) => own(numbers.clone()).map_err(|problem| problem.of(device)),
            Device::EveryCuda => gpu::all().and_then(own).map_err(|problem| problem.of(device)),
        }
    }

    /// The CPU, and why no GPU was taken where one would have been.
    fn cpu(precision: Precision, why: Option<&str>) -> anyhow::Result<Self> {
        if precision != Precision::F32 {
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            return Err(Usage(format!("--precision {precision} is of GPUs: expected f32 on the CPU{why}")).into());
        }
        let level = Level::detect()?;
        Ok(Self { processor: level.into(), shown: format!("CPU ({level}), f32"), note: None })
    }

    /// Says what is used, unless the user is to be left alone.
    pub fn tell(&self, general: &GeneralOptions) {
        if let Some(note) = self.note.as_ref().filter(|_| !general.quiet) {
            say(note);
        }
    }
}

#[cfg(feature = "cuda")]
mod gpu {
    use longstrand_kernels::cuda::{CudaError, Device as Gpu, require_cublaslt};
    use longstrand_model::{Gpus, Processor, cuda::Arithmetic};

    use super::{Chosen, Config, Device, Precision, Purpose};

    /// Why GPUs are not used.
    pub(super) struct Problem {
        pub(super) reason: String,
        /// Whether there is a GPU all the same.
        pub(super) is_there: bool,
    }

    impl Problem {
        fn new(error: &CudaError) -> Self {
            let is_there = !matches!(error, CudaError::NoDriver | CudaError::NoSuchDevice { .. });
            Self { reason: error.to_string(), is_there }
        }

        /// The error of a device that was asked for.
        pub(super) fn of(self, device: &Device) -> anyhow::Error {
            anyhow::anyhow!("--device {device}: {}", self.reason)
        }
    }

    /// The numbers of all GPUs.
    pub(super) fn all() -> Result<Vec<usize>, Problem> {
        match Gpu::count().map_err(|error| Problem::new(&error))? {
            0 => Err(Problem::new(&CudaError::NoSuchDevice { ordinal: 0, count: 0 })),
            count => Ok((0..count).collect()),
        }
    }

    /// Opens GPUs and the libraries that they need.
    pub(super) fn open(numbers: &[usize], precision: Precision) -> Result<Chosen, Problem> {
        let opened = numbers.iter().map(|&number| ready(number)).collect::<Result<Vec<Gpu>, CudaError>>();
        let devices = opened.map_err(|error| Problem::new(&error))?;
        let arithmetic = match precision {
            Precision::F32 => Arithmetic::Single,
            Precision::Tf32 => Arithmetic::Tf32,
            Precision::Bf16 => Arithmetic::Bf16,
        };
        let names: Vec<String> =
            devices.iter().map(|device| format!("{} (cuda:{})", device.name(), device.ordinal())).collect();
        let shown = format!("{}, {precision}", names.join(", "));
        Ok(Chosen { processor: Processor::Cuda(Gpus::new(devices, arithmetic)), shown, note: None })
    }

    /// The same, if the model is one that is computed on a GPU without being asked for.
    pub(super) fn able(gpus: Chosen, model: Option<&Config>, purpose: Purpose) -> Result<Chosen, Problem> {
        let is_able = match purpose {
            Purpose::Passes => Gpus::compute,
            Purpose::Training => Gpus::train,
        };
        match model.is_none_or(is_able) {
            true => Ok(gpus),
            false => {
                let reason = "there is no code for this model on a GPU, or none that was tested on one".into();
                Err(Problem { reason, is_there: true })
            }
        }
    }

    fn ready(number: usize) -> Result<Gpu, CudaError> {
        let device = Gpu::open(number)?;
        device.nvrtc()?;
        require_cublaslt()?;
        Ok(device)
    }
}

#[cfg(not(feature = "cuda"))]
mod gpu {
    use super::{Chosen, Config, Device, Precision, Purpose};

    /// Why GPUs are not used.
    pub(super) struct Problem {
        pub(super) reason: String,
        pub(super) is_there: bool,
    }

    impl Problem {
        /// The error of a device that was asked for.
        pub(super) fn of(self, device: &Device) -> anyhow::Error {
            anyhow::anyhow!("--device {device}: {}", self.reason)
        }
    }

    pub(super) fn all() -> Result<Vec<usize>, Problem> {
        Err(Problem { reason: "this program was built without CUDA".into(), is_there: false })
    }

    pub(super) fn able(gpus: Chosen, _: Option<&Config>, _: Purpose) -> Result<Chosen, Problem> {
        Ok(gpus)
    }

    pub(super) fn open(_: &[usize], _: Precision) -> Result<Chosen, Problem> {
        Err(Problem { reason: "this program was built without CUDA".into(), is_there: false })
    }
}

#[cfg(test)]
mod tests {
    use longstrand_model::checkpoint::Checkpoint;

    use super::*;

    #[test]
    fn the_cpu_computes_in_f32_alone() {
        let model = Checkpoint::builtin().unwrap().config;
        assert!(Chosen::of(&Device::Cpu, Precision::F32, &model).unwrap().shown.starts_with("CPU ("));
        let refused = Chosen::of(&Device::Cpu, Precision::Tf32, &model).unwrap_err();
        assert_eq!(refused.to_string(), "--precision tf32 is of GPUs: expected f32 on the CPU");
        assert!(refused.is::<Usage>());
    }
}
