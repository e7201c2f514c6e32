//! Launches that are recorded once and started together.
//!
//! To start a kernel costs the host a few microseconds; to start a graph of many costs hardly more than one.

use std::fmt;

use cudarc::driver::{CudaGraph, sys};

use super::{CudaError, Device, device::refused};

/// What was asked for while it was recorded.
pub(crate) struct Graph(CudaGraph);

impl Device {
    /// Records what `work` asks the device for, instead of doing it. It may start kernels that were started before, and set
    /// and copy on the device; it may not wait, read, or ask for memory.
    ///
    /// # Errors
    ///
    /// What `work` says, or that the driver refuses.
    ///
    /// # Safety
    ///
    /// Nobody else asks the device for anything meanwhile: it would be recorded, too, and be done again with buffers that may be
    /// gone. `work` does not panic.
    pub(crate) unsafe fn record(&self, work: impl FnOnce() -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream().begin_capture(mode).map_err(refused("cuStreamBeginCapture"))?;
        let done = work();
        // The stream is in use again only when the recording has ended, however that was.
        let graph = self.stream().end_capture(sys::CUgraphInstantiate_flags(0)).map_err(refused("cuStreamEndCapture"));
        done?;
        graph?.map(Graph).ok_or(CudaError::Driver { call: "cuStreamEndCapture", name: "no graph".into() })
    }
}

impl Graph {
    /// Does what was recorded, after all that was asked for before.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Safety
    ///
    /// The buffers that were used when it was recorded are still there, and nobody else has a claim to what is written.
    pub(crate) unsafe fn launch(&self) -> Result<(), CudaError> {
        self.0.launch().map_err(refused("cuGraphLaunch"))
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Graph")
    }
}

#[cfg(test)]
mod cuda {
    use super::*;
    use crate::{cuda::testing, pointwise};

    #[test]
    fn what_is_recorded_is_done_when_it_is_launched() {
        let Some(device) = testing::device() else { return };
        let (x, mut sum) = (device.upload(&[1.0_f32, 2.0]).unwrap(), device.zeros::<f32>(2).unwrap());
        pointwise::cuda::add(sum.view_mut(), x.view()).unwrap();
        let twice = || {
            pointwise::cuda::add(sum.view_mut(), x.view())?;
            pointwise::cuda::add(sum.view_mut(), x.view())
        };
        // SAFETY: nobody else has the device, and both buffers stay.
        let graph = unsafe { device.record(twice) }.unwrap();
        assert_eq!(sum.view().to_vec().unwrap(), [1.0, 2.0], "it is only recorded");
        for _ in 0..3 {
            // SAFETY: both buffers are there.
            unsafe { graph.launch() }.unwrap();
        }
        assert_eq!(sum.view().to_vec().unwrap(), [7.0, 14.0]);
    }

    #[test]
    fn a_recording_that_fails_leaves_the_device_as_it_was() {
        let Some(device) = testing::device() else { return };
        let refusal = CudaError::Unsupported { what: "this" };
        // SAFETY: nobody else has the device.
        let refused = unsafe { device.record(|| Err(refusal.clone())) };
        assert_eq!(refused.err(), Some(refusal));
        assert_eq!(device.upload(&[5_i32]).unwrap().view().to_vec().unwrap(), [5]);
    }
}
