//! Buffers on the device.

use std::{fmt, marker::PhantomData, mem, sync::Arc};

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use super::{
    CudaError, Device, Element, View, ViewMut,
    device::refused,
    pool::{Block, Source},
};

/// Plain memory of a device, on none but the device itself: managed memory would move to the host unseen.
pub(super) struct DeviceMemory {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
}

impl DeviceMemory {
    pub(super) fn new(context: Arc<CudaContext>, stream: Arc<CudaStream>) -> Self {
        Self { context, stream }
    }
}

impl Source for DeviceMemory {
    type Error = CudaError;

    fn allocate(&self, bytes: u64) -> Result<Option<u64>, CudaError> {
        self.context.bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        let Ok(bytes) = usize::try_from(bytes) else { return Ok(None) };
        // SAFETY: the bytes are owned by the pool, which frees each block once.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(address) => Ok(Some(address)),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(None),
            Err(error) => Err(refused("cuMemAlloc")(error)),
        }
    }

    fn free(&self, blocks: Vec<u64>) {
        if blocks.is_empty() {
            return;
        }
        // Kernels of dropped buffers may still run. What fails here has failed before, and a later call tells it.
        let _ = self.context.bind_to_thread();
        let _ = self.stream.synchronize();
        for block in blocks {
            // SAFETY: the block came from `allocate`, nobody holds it, and nothing is left in the stream.
            let _ = unsafe { result::free_sync(block) };
        }
    }
}

/// `len` elements on a device. Dropped, its memory is kept for the next buffer.
pub struct Buffer<T: Element> {
    device: Device,
    /// `None` for a buffer of nothing.
    block: Option<Block>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub(super) fn new(device: &Device, len: usize) -> Result<Self, CudaError> {
        let bytes = (len as u64).saturating_mul(mem::size_of::<T>() as u64);
        let block = if len == 0 { None } else { Some(device.take(bytes)?) };
        Ok(Self { device: device.clone(), block, len, element: PhantomData })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it is.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All elements, to be read.
    pub fn view(&self) -> View<'_, T> {
        View::new(&self.device, self.address(), self.len)
    }

    /// All elements, to be written.
    pub fn view_mut(&mut self) -> ViewMut<'_, T> {
        ViewMut::new(&self.device, self.address(), self.len)
    }

    fn address(&self) -> u64 {
        self.block.as_ref().map_or(0, |block| block.address)
    }
}

impl<T: Element> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.device.give(block);
        }
    }
}

impl<T: Element> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer<{}>({} on device {})", std::any::type_name::<T>(), self.len, self.device.ordinal())
    }
}
