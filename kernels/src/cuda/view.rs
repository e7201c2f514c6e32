//! Parts of buffers.

use std::{
    marker::PhantomData,
    mem,
    ops::{Bound, RangeBounds},
};

use cudarc::driver::result;

use super::{CudaError, Device, Element, copy, device::refused};

/// Consecutive elements of a buffer, to be read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T: Element> {
    device: &'a Device,
    address: u64,
    len: usize,
    element: PhantomData<&'a T>,
}

/// Consecutive elements of a buffer, to be written.
#[derive(Debug)]
pub struct ViewMut<'a, T: Element> {
    device: &'a Device,
    address: u64,
    len: usize,
    element: PhantomData<&'a mut T>,
}

/// Methods that both views have.
macro_rules! view_methods {
    () => {
        pub(super) fn new(device: &'a Device, address: u64, len: usize) -> Self {
            Self { device, address, len, element: PhantomData }
        }

        /// Number of elements.
        pub fn len(&self) -> usize {
            self.len
        }

        /// Whether there are none.
        pub fn is_empty(&self) -> bool {
            self.len == 0
        }

        /// Where they are.
        pub fn device(&self) -> &'a Device {
            self.device
        }

        /// The address of the first one on the device; 0 where there is none.
        pub fn address(&self) -> u64 {
            self.address
        }

        /// Whether the first one is where 16 bytes may be read or written at once.
        pub fn is_aligned(&self) -> bool {
            self.address.is_multiple_of(16)
        }

        /// Address and number of the elements of a range.
        fn part(&self, range: impl RangeBounds<usize>) -> (u64, usize) {
            let start = match range.start_bound() {
                Bound::Included(&start) => start,
                Bound::Excluded(&before) => before + 1,
                Bound::Unbounded => 0,
            };
            let end = match range.end_bound() {
                Bound::Included(&last) => last + 1,
                Bound::Excluded(&end) => end,
                Bound::Unbounded => self.len,
            };
            assert!(start <= end && end <= self.len, "elements {start}..{end} of {}", self.len);
            (self.address + (start * mem::size_of::<T>()) as u64, end - start)
        }
    };
}

impl<'a, T: Element> View<'a, T> {
    view_methods!();

    /// The elements of a range.
    ///
    /// # Panics
    ///
    /// Panics if they are not all there.
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let (address, len) = self.part(range);
        Self { address, len, ..*self }
    }

    /// Copies them to the host, when all that was asked for before is done.
    ///
    /// # Errors
    ///
    /// The driver refuses, or something that was asked for before failed.
    ///
    /// # Panics
    ///
    /// Panics if the lengths differ.
    pub fn read(&self, host: &mut [T]) -> Result<(), CudaError> {
        assert_eq!(host.len(), self.len, "length of the host's buffer");
        copy::to_host(self.device, self.address, host)
    }

    /// A copy of them on the host.
    ///
    /// # Errors
    ///
    /// The driver refuses, or something that was asked for before failed.
    pub fn to_vec(&self) -> Result<Vec<T>, CudaError> {
        let mut host = vec![T::default(); self.len];
        self.read(&mut host)?;
        Ok(host)
    }
}

impl<'a, T: Element> ViewMut<'a, T> {
    view_methods!();

    /// The same view for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_, T> {
        ViewMut { device: self.device, address: self.address, len: self.len, element: PhantomData }
    }

    /// The elements of a range, for as long as the view is.
    ///
    /// # Panics
    ///
    /// Panics if they are not all there.
    pub fn slice(self, range: impl RangeBounds<usize>) -> Self {
        let (address, len) = self.part(range);
        Self { address, len, ..self }
    }

    /// The first `at` elements and the rest.
    ///
    /// # Panics
    ///
    /// Panics if there are fewer.
    pub fn split_at(self, at: usize) -> (Self, Self) {
        let ((first, len), (second, rest)) = (self.part(..at), self.part(at..));
        (Self { address: first, len, ..self }, Self { address: second, len: rest, ..self })
    }

    /// The same elements, to be read.
    pub fn as_view(&self) -> View<'_, T> {
        View { device: self.device, address: self.address, len: self.len, element: PhantomData }
    }

    fn bytes(&self) -> usize {
        self.len * mem::size_of::<T>()
    }

    /// Sets all to zero.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    pub fn zero(&mut self) -> Result<(), CudaError> {
        if self.len == 0 {
            return Ok(());
        }
        self.device.context().bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        // SAFETY: so many bytes are there, and the buffer is on this stream alone.
        unsafe { result::memset_d8_async(self.address, 0, self.bytes(), self.device.stream().cu_stream()) }
            .map_err(refused("cuMemsetD8Async"))
    }

    /// Copies the host's elements to the device. The host's are free when this returns.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if the lengths differ.
    pub fn write(&mut self, host: &[T]) -> Result<(), CudaError> {
        assert_eq!(host.len(), self.len, "length of the host's buffer");
        copy::to_device(self.device, host, self.address)
    }

    /// Copies elements of the same device.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    ///
    /// # Panics
    ///
    /// Panics if the lengths or the devices differ.
    pub fn copy_from(&mut self, source: View<'_, T>) -> Result<(), CudaError> {
        assert_eq!(source.len, self.len, "length of the source");
        assert!(source.device.is_same(self.device), "a copy between devices");
        if self.len == 0 {
            return Ok(());
        }
        self.device.context().bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        // SAFETY: so many bytes are there on both sides, which do not overlap, and all are on this stream.
        unsafe {
            let stream = self.device.stream().cu_stream();
            result::memcpy_dtod_async(self.address, source.address, self.bytes(), stream)
        }
        .map_err(refused("cuMemcpyDtoDAsync"))
    }
}

#[cfg(test)]
mod cuda {
    use crate::cuda::testing;
    use half::bf16;

    #[test]
    fn elements_come_back_as_they_went() {
        let Some(device) = testing::device() else { return };
        // More than both halves of the pinned memory, and no whole number of them.
        for len in [0, 1, 1000, (9 << 20) + 3] {
            let host: Vec<i64> = (0..len as i64).collect();
            assert!(device.upload(&host).unwrap().view().to_vec().unwrap() == host, "{len}");
            let bytes: Vec<u8> = host.iter().map(|&x| x as u8).collect();
            assert!(device.upload(&bytes).unwrap().view().to_vec().unwrap() == bytes, "{len}");
        }
        let halves: Vec<bf16> = (0..77).map(|i| bf16::from_f32(i as f32)).collect();
        assert_eq!(device.upload(&halves).unwrap().view().to_vec().unwrap(), halves);
    }

    #[test]
    fn parts_are_read_written_copied_and_zeroed() {
        let Some(device) = testing::device() else { return };
        let mut buffer = device.upload(&[1_i32, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(buffer.view().slice(2..4).to_vec().unwrap(), [3, 4]);
        assert_eq!(buffer.view().slice(2..).slice(..=1).to_vec().unwrap(), [3, 4]);
        let (mut low, mut high) = buffer.view_mut().split_at(3);
        low.write(&[10, 20, 30]).unwrap();
        high.reborrow().slice(1..3).zero().unwrap();
        high.slice(3..).copy_from(low.as_view().slice(..2)).unwrap();
        assert_eq!(buffer.view().to_vec().unwrap(), [10, 20, 30, 4, 0, 0, 10, 20]);
        assert_eq!(device.zeros::<f32>(100).unwrap().view().to_vec().unwrap(), [0.0; 100]);
    }

    #[test]
    #[should_panic(expected = "elements 3..5 of 4")]
    fn a_part_that_is_not_there_is_refused() {
        let Some(device) = testing::device() else { panic!("elements 3..5 of 4 (no device)") };
        let buffer = device.zeros::<f32>(4).unwrap();
        buffer.view().slice(3..5);
    }

    #[test]
    fn several_threads_share_a_device() {
        let Some(device) = testing::device() else { return };
        std::thread::scope(|scope| {
            for seed in 0..4_i64 {
                let device = device.clone();
                scope.spawn(move || {
                    for round in 0..20 {
                        let host: Vec<i64> = (0..50_000).map(|i| i * seed + round).collect();
                        assert!(device.upload(&host).unwrap().view().to_vec().unwrap() == host);
                    }
                });
            }
        });
    }
}
