//! What tests of the GPU ask for, and what is said where it is not there.

use super::{Buffer, CudaError, Device, Nvrtc, Real, TimeRows, TimeRowsMut};

/// Set to 1, tests that find no device fail instead of being skipped.
pub(crate) const REQUIRE_VARIABLE: &str = "LONGSTRAND_REQUIRE_CUDA";

/// Set to 1, tests that find no NVRTC fail instead of being skipped.
const REQUIRE_NVRTC_VARIABLE: &str = "LONGSTRAND_REQUIRE_NVRTC";

/// The first device, or `None` where there is none and none is required.
pub(crate) fn device() -> Option<Device> {
    found(Device::open(0), REQUIRE_VARIABLE)
}

/// NVRTC, or `None` where there is none and none is required.
pub(crate) fn nvrtc() -> Option<Nvrtc> {
    found(Nvrtc::open(None), REQUIRE_NVRTC_VARIABLE)
}

fn found<T>(result: Result<T, CudaError>, variable: &str) -> Option<T> {
    let is_required = std::env::var_os(variable).is_some_and(|value| value == "1");
    match result {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(!is_required, "{variable}=1, but {error}");
            #[allow(clippy::print_stderr, reason = "a test says that it is skipped")]
            {
                eprintln!("skipped: {error}");
            }
            None
        }
    }
}

/// Numbers as a type holds them.
pub(crate) fn held<T: Real>(x: &[f32]) -> Vec<T> {
    x.iter().map(|&x| T::from_f32(x)).collect()
}

/// The same numbers in f64.
pub(crate) fn widen<T: Real>(x: &[T]) -> Vec<f64> {
    x.iter().map(|x| x.to_f32().into()).collect()
}

/// How far a result may be from the truth, relative to the largest magnitude, if in f32 it may be `single` away:
/// bf16 has eight bits, and a sum of two rounded numbers is rounded again.
pub(crate) fn tolerance<T: Real>(single: f64) -> f64 {
    if size_of::<T>() == 2 { 4e-3 } else { single }
}

/// `[B, D, L]` on a device, made of and read as `[B, L, D]`. What lies between rows is NaN and has to stay so.
pub(crate) struct Timed<T: Real> {
    buffer: Buffer<T>,
    batch: usize,
    channels: usize,
    len: usize,
    stride: usize,
}

impl<T: Real> Timed<T> {
    pub(crate) fn upload(device: &Device, x: &[T], batch: usize, channels: usize) -> Self {
        let len = x.len() / (batch * channels);
        let stride = len.next_multiple_of(8) + 8;
        let mut host = vec![T::from_f32(f32::NAN); batch * channels * stride];
        for (i, &x) in x.iter().enumerate() {
            let (row, channel) = (i / channels, i % channels);
            host[(row / len * channels + channel) * stride + row % len] = x;
        }
        Self { buffer: device.upload(&host).unwrap(), batch, channels, len, stride }
    }

    pub(crate) fn rows(&self) -> TimeRows<'_, T> {
        TimeRows::new(self.buffer.view(), self.batch, self.channels, self.len, self.stride)
    }

    pub(crate) fn rows_mut(&mut self) -> TimeRowsMut<'_, T> {
        TimeRowsMut::new(self.buffer.view_mut(), self.batch, self.channels, self.len, self.stride)
    }

    pub(crate) fn download(&self) -> Vec<T> {
        let host = self.buffer.view().to_vec().unwrap();
        for row in host.chunks(self.stride) {
            assert!(row[self.len..].iter().all(|x| x.to_f32().is_nan()), "written between rows");
        }
        let at = |i: usize| {
            let (row, channel) = (i / self.channels, i % self.channels);
            host[(row / self.len * self.channels + channel) * self.stride + row % self.len]
        };
        (0..self.batch * self.len * self.channels).map(at).collect()
    }
}
