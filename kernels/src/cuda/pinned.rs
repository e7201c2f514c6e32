//! Memory of the host that the device copies from and to by itself.

use std::{ffi::c_void, fmt, marker::PhantomData, mem, slice, sync::Arc};

use cudarc::driver::{CudaContext, result, sys};

use super::{CudaError, Device, Element, View, ViewMut, device::refused};

/// Bytes that are not swapped out.
pub(super) struct Pinned {
    address: *mut c_void,
    len: usize,
    context: Arc<CudaContext>,
}

// SAFETY: the memory is the host's, owned by this value alone.
unsafe impl Send for Pinned {}

impl Pinned {
    pub(super) fn new(context: &Arc<CudaContext>, len: usize) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        // SAFETY: the memory is freed once, when this value is dropped. No flags: memory that is made for writing alone
        // is read very slowly.
        let address = unsafe { result::malloc_host(len, 0) }.map_err(refused("cuMemHostAlloc"))?;
        Ok(Self { address, len, context: context.clone() })
    }

    /// The bytes. The device must be done with them.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes were allocated, the caller waited for the device, and any bytes are a `u8`: the driver
        // gives the memory zeroed or with what was in it.
        unsafe { slice::from_raw_parts_mut(self.address.cast(), self.len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: it was allocated by `new`; owners wait for the device before. An error tells of what failed before.
        unsafe {
            let _ = self.context.bind_to_thread();
            let _ = result::free_host(self.address);
        }
    }
}

/// `len` elements of the host's memory in which what a device holds is put away. Copies are made in turn with all else that the
/// device is asked for; nobody waits for them.
pub struct HostBuffer<T: Element> {
    device: Device,
    /// `None` for a buffer of nothing.
    memory: Option<Pinned>,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Element> HostBuffer<T> {
    /// A buffer with any contents. It takes the driver about a third of a second a gigabyte.
    ///
    /// # Errors
    ///
    /// The driver refuses, as it does where the host has not enough memory.
    pub fn new(device: &Device, len: usize) -> Result<Self, CudaError> {
        let bytes = len.saturating_mul(mem::size_of::<T>());
        let memory = if len == 0 { None } else { Some(Pinned::new(device.context(), bytes)?) };
        Ok(Self { device: device.clone(), memory, len, element: PhantomData })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies what a device holds here, when all that was asked for before is done.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if the lengths or the devices differ.
    pub fn put(&mut self, source: View<'_, T>) -> Result<(), CudaError> {
        assert_eq!(source.len(), self.len, "length of the source");
        assert!(source.device().is_same(&self.device), "a copy from another device");
        let Some(memory) = &self.memory else { return Ok(()) };
        self.device.context().bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        // SAFETY: both have so many bytes. The host's are touched by the device alone, in the order of its stream, and outlive the
        // copy: `drop` waits.
        unsafe {
            sys::cuMemcpyDtoHAsync_v2(memory.address, source.address(), memory.len, self.device.stream().cu_stream())
        }
        .result()
        .map_err(refused("cuMemcpyDtoHAsync"))
    }

    /// Copies what is here to the device, when all that was asked for before is done.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if the lengths or the devices differ.
    pub fn take(&self, target: ViewMut<'_, T>) -> Result<(), CudaError> {
        assert_eq!(target.len(), self.len, "length of the target");
        assert!(target.device().is_same(&self.device), "a copy to another device");
        let Some(memory) = &self.memory else { return Ok(()) };
        self.device.context().bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        // SAFETY: as in `put`.
        unsafe {
            sys::cuMemcpyHtoDAsync_v2(target.address(), memory.address, memory.len, self.device.stream().cu_stream())
        }
        .result()
        .map_err(refused("cuMemcpyHtoDAsync"))
    }
}

impl<T: Element> Drop for HostBuffer<T> {
    fn drop(&mut self) {
        // An error tells of what failed before.
        let _ = self.device.synchronize();
    }
}

impl<T: Element> fmt::Debug for HostBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostBuffer<{}>({} for device {})", std::any::type_name::<T>(), self.len, self.device.ordinal())
    }
}

#[cfg(test)]
mod cuda {
    use super::*;
    use crate::cuda::testing;

    #[test]
    fn what_is_put_away_comes_back() {
        let Some(device) = testing::device() else { return };
        let values: Vec<f32> = (0..3_000_001).map(|i| i as f32).collect();
        for len in [0, 1, values.len()] {
            let mut away = HostBuffer::new(&device, len).unwrap();
            let mut buffer = device.upload(&values[..len]).unwrap();
            away.put(buffer.view()).unwrap();
            buffer.view_mut().zero().unwrap();
            away.take(buffer.view_mut()).unwrap();
            assert!(buffer.view().to_vec().unwrap() == values[..len]);
        }
    }

    #[test]
    #[should_panic(expected = "length of the source")]
    fn another_length_is_refused() {
        let Some(device) = testing::device() else { panic!("length of the source (no device)") };
        let buffer = device.zeros::<f32>(3).unwrap();
        let _ = HostBuffer::new(&device, 2).unwrap().put(buffer.view());
    }
}
