//! A GPU, its stream, its memory and its programs.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use super::{
    Architecture, Buffer, CudaError, Element, MemoryUse, Nvrtc, Version,
    blas::Blas,
    copy::Staging,
    memory::DeviceMemory,
    module::Modules,
    pool::{Block, Pool, size_of_block},
};

/// The oldest driver: the first that loads code of CUDA 12.
const OLDEST_DRIVER: Version = Version { major: 12, minor: 0 };

/// A GPU. Clones are the same device, with the same stream, memory and programs.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    facts: Facts,
    // In the order in which they have to go: what the driver keeps for us, then the stream, then the context.
    modules: Modules,
    blas: OnceLock<Result<Blas, CudaError>>,
    /// For what goes to the device, and for what comes from it: so nobody who sends waits for a pass to end.
    sending: Mutex<Option<Staging>>,
    fetching: Mutex<Option<Staging>>,
    pool: Pool<DeviceMemory>,
    nvrtc: OnceLock<Result<Nvrtc, CudaError>>,
    stream: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

/// What does not change.
#[derive(Clone, Debug)]
struct Facts {
    ordinal: usize,
    name: String,
    architecture: Architecture,
    total_bytes: u64,
    multiprocessors: u32,
    clock_hz: f64,
    l2_bytes: u64,
    shared_bytes: u32,
    driver: Version,
}

impl Device {
    /// Opens the device of this number, from 0, as `CUDA_VISIBLE_DEVICES` counts them.
    ///
    /// # Errors
    ///
    /// * there is no driver, it is too old, or it refuses
    /// * there is no such device, or it is too old
    pub fn open(ordinal: usize) -> Result<Self, CudaError> {
        let driver = start_driver()?;
        let count = count_started()?;
        if ordinal >= count {
            return Err(CudaError::NoSuchDevice { ordinal, count });
        }
        let context = CudaContext::new(ordinal).map_err(refused("cuDevicePrimaryCtxRetain"))?;
        // SAFETY: cudarc's own slices, which would track events, are not used: buffers are on the one stream alone.
        unsafe { context.disable_event_tracking() };
        let facts = Facts::of(&context, driver).map_err(refused("cuDeviceGetAttribute"))?;
        if facts.architecture < Architecture::OLDEST {
            let (name, found) = (facts.name, facts.architecture);
            return Err(CudaError::DeviceTooOld { name, found, oldest: Architecture::OLDEST });
        }
        let stream = context.new_stream().map_err(refused("cuStreamCreate"))?;
        let pool = Pool::new(DeviceMemory::new(context.clone(), stream.clone()));
        Ok(Self(Arc::new(Inner {
            facts,
            modules: Modules::new(context.clone()),
            blas: OnceLock::new(),
            sending: Mutex::default(),
            fetching: Mutex::default(),
            pool,
            nvrtc: OnceLock::new(),
            stream,
            context,
        })))
    }

    /// How many devices there are.
    ///
    /// # Errors
    ///
    /// There is no driver, it is too old, or it refuses.
    pub fn count() -> Result<usize, CudaError> {
        start_driver()?;
        count_started()
    }

    /// Its number, from 0.
    pub fn ordinal(&self) -> usize {
        self.0.facts.ordinal
    }

    /// What the maker calls it.
    pub fn name(&self) -> &str {
        &self.0.facts.name
    }

    /// What it runs.
    pub fn architecture(&self) -> Architecture {
        self.0.facts.architecture
    }

    /// Bytes of its memory.
    pub fn total_bytes(&self) -> u64 {
        self.0.facts.total_bytes
    }

    /// How many multiprocessors it has.
    pub fn multiprocessors(&self) -> u32 {
        self.0.facts.multiprocessors
    }

    /// The highest clock of a multiprocessor, in Hz.
    pub fn clock_hz(&self) -> f64 {
        self.0.facts.clock_hz
    }

    /// Bytes of the cache that all multiprocessors share.
    pub fn l2_bytes(&self) -> u64 {
        self.0.facts.l2_bytes
    }

    /// The most bytes of shared memory that a block may ask for.
    pub fn shared_bytes(&self) -> u32 {
        self.0.facts.shared_bytes
    }

    /// The version of CUDA that the driver knows.
    pub fn driver_version(&self) -> Version {
        self.0.facts.driver
    }

    /// The compiler for this device, opened when it is first asked for.
    ///
    /// # Errors
    ///
    /// There is no NVRTC that the driver can load code of.
    pub fn nvrtc(&self) -> Result<&Nvrtc, CudaError> {
        let opened = self.0.nvrtc.get_or_init(|| Nvrtc::open(Some(self.driver_version())));
        opened.as_ref().map_err(CudaError::clone)
    }

    /// Bytes that are free on the device for anybody.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    pub fn free_bytes(&self) -> Result<u64, CudaError> {
        let (free, _) = self.0.context.mem_get_info().map_err(refused("cuMemGetInfo"))?;
        Ok(free as u64)
    }

    /// What buffers of this device hold, and what is kept for later ones.
    pub fn memory(&self) -> MemoryUse {
        self.0.pool.memory()
    }

    /// Counts [`MemoryUse::peak`] from now on.
    pub fn reset_peak(&self) {
        self.0.pool.reset_peak();
    }

    /// Gives the memory that is kept for later back to the device, for other processes.
    pub fn trim(&self) {
        self.0.pool.trim();
    }

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    ///
    /// Something that was asked for failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.0.stream.synchronize().map_err(refused("cuStreamSynchronize"))
    }

    /// Bytes of a device's memory that a buffer of so many takes.
    pub fn bytes_of_buffer(bytes: u64) -> u64 {
        size_of_block(bytes)
    }

    /// A buffer of `len` elements with any contents.
    ///
    /// # Errors
    ///
    /// There is not enough memory, or the driver refuses.
    pub fn buffer<T: Element>(&self, len: usize) -> Result<Buffer<T>, CudaError> {
        Buffer::new(self, len)
    }

    /// A buffer of `len` zeros.
    ///
    /// # Errors
    ///
    /// There is not enough memory, or the driver refuses.
    pub fn zeros<T: Element>(&self, len: usize) -> Result<Buffer<T>, CudaError> {
        let mut buffer = self.buffer(len)?;
        buffer.view_mut().zero()?;
        Ok(buffer)
    }

    /// A buffer of the host's elements.
    ///
    /// # Errors
    ///
    /// There is not enough memory, or the driver refuses.
    pub fn upload<T: Element>(&self, host: &[T]) -> Result<Buffer<T>, CudaError> {
        let mut buffer = self.buffer(host.len())?;
        buffer.view_mut().write(host)?;
        Ok(buffer)
    }

    /// The one stream.
    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.0.stream
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        &self.0.context
    }

    pub(super) fn modules(&self) -> &Modules {
        &self.0.modules
    }

    /// cuBLASLt for this device, opened when it is first asked for.
    pub(crate) fn blas(&self) -> Result<&Blas, CudaError> {
        self.0.blas.get_or_init(|| Blas::new(self)).as_ref().map_err(CudaError::clone)
    }

    /// Does something with the pinned memory for what goes to the device.
    pub(super) fn sending<R>(&self, work: impl FnOnce(&mut Staging) -> Result<R, CudaError>) -> Result<R, CudaError> {
        self.with_staging(&self.0.sending, work)
    }

    /// As [`Self::sending`], for what comes from it.
    pub(super) fn fetching<R>(&self, work: impl FnOnce(&mut Staging) -> Result<R, CudaError>) -> Result<R, CudaError> {
        self.with_staging(&self.0.fetching, work)
    }

    /// The memory is made when it is first asked for.
    fn with_staging<R>(
        &self,
        staging: &Mutex<Option<Staging>>,
        work: impl FnOnce(&mut Staging) -> Result<R, CudaError>,
    ) -> Result<R, CudaError> {
        // A thread that panicked has left nothing behind that matters: every use begins by waiting for the last one.
        let mut staging = staging.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &mut *staging {
            Some(staging) => work(staging),
            None => work(staging.insert(Staging::new(&self.0.context)?)),
        }
    }

    pub(super) fn take(&self, bytes: u64) -> Result<Block, CudaError> {
        match self.0.pool.take(bytes)? {
            Some(block) => Ok(block),
            None => {
                let in_use = self.memory().in_use;
                Err(CudaError::OutOfMemory { asked: bytes, free: self.free_bytes()?, in_use })
            }
        }
    }

    pub(super) fn give(&self, block: Block) {
        self.0.pool.give(block);
    }

    /// Whether two handles are of one stream and one memory.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.0.facts).finish()
    }
}

impl Facts {
    fn of(context: &Arc<CudaContext>, driver: Version) -> Result<Self, DriverError> {
        use sys::CUdevice_attribute as Attribute;
        let (major, minor) = context.compute_capability()?;
        let attribute = |attribute| context.attribute(attribute).map(|value| value.max(0) as u32);
        Ok(Self {
            ordinal: context.ordinal(),
            name: context.name()?,
            architecture: Architecture::sm((10 * major + minor).max(0) as u32),
            total_bytes: context.total_mem()? as u64,
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            // The driver tells it in kHz.
            clock_hz: 1e3 * f64::from(attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?),
            l2_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.into(),
            shared_bytes: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            driver,
        })
    }
}

/// Makes the driver ready and says what it knows.
fn start_driver() -> Result<Version, CudaError> {
    // SAFETY: it only tries to open the library. cudarc panics in every other call where there is none.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    let mut number = 0;
    // SAFETY: the number is there to be written; this call needs no start.
    unsafe { sys::cuDriverGetVersion(&mut number) }.result().map_err(refused("cuDriverGetVersion"))?;
    let found = Version::of_number(number);
    if found < OLDEST_DRIVER {
        return Err(CudaError::DriverTooOld { found, oldest: OLDEST_DRIVER });
    }
    match result::init() {
        Ok(()) | Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(found),
        // What a toolkit has for linkers, where there is no driver.
        Err(DriverError(sys::CUresult::CUDA_ERROR_STUB_LIBRARY)) => Err(CudaError::NoDriver),
        Err(error) => Err(refused("cuInit")(error)),
    }
}

fn count_started() -> Result<usize, CudaError> {
    match result::device::get_count() {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        // What the driver says when it started without any device.
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE | sys::CUresult::CUDA_ERROR_NOT_INITIALIZED)) => Ok(0),
        Err(error) => Err(refused("cuDeviceGetCount")(error)),
    }
}

/// The error of a call that the driver refuses.
pub(super) fn refused(call: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| {
        let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
        CudaError::Driver { call, name: name.unwrap_or_else(|_| format!("error {}", error.0 as u32)) }
    }
}

#[cfg(test)]
mod cuda {
    use super::*;
    use crate::cuda::testing;

    #[test]
    fn a_device_says_what_it_is() {
        let Some(device) = testing::device() else { return };
        assert!(Device::count().unwrap() > 0);
        assert!(!device.name().is_empty());
        assert!(device.multiprocessors() > 0 && device.l2_bytes() > 0);
        assert!(device.shared_bytes() >= 48 << 10);
        assert!(device.free_bytes().unwrap() <= device.total_bytes());
        assert!(device.driver_version() >= OLDEST_DRIVER);
        assert!(device.nvrtc().unwrap().version().major <= device.driver_version().major);
        device.synchronize().unwrap();
    }

    #[test]
    fn a_device_that_is_not_there_is_refused() {
        if testing::device().is_none() {
            return;
        }
        let count = Device::count().unwrap();
        let error = Device::open(count + 3).unwrap_err();
        assert_eq!(error, CudaError::NoSuchDevice { ordinal: count + 3, count });
    }

    #[test]
    fn memory_is_counted_and_used_again() {
        let Some(device) = testing::device() else { return };
        let first = device.buffer::<f32>(1 << 20).unwrap();
        assert_eq!(device.memory(), MemoryUse { in_use: 4 << 20, peak: 4 << 20, cached: 0 });
        drop(first);
        assert_eq!(device.memory().cached, 4 << 20);
        let second = device.buffer::<u8>(4 << 20).unwrap();
        assert_eq!(device.memory(), MemoryUse { in_use: 4 << 20, peak: 4 << 20, cached: 0 });
        drop(second);
        device.trim();
        assert_eq!(device.memory(), MemoryUse { in_use: 0, peak: 4 << 20, cached: 0 });
    }

    #[test]
    fn more_than_there_is_is_refused_with_numbers() {
        let Some(device) = testing::device() else { return };
        let kept = device.buffer::<u8>(1 << 20).unwrap();
        drop(device.buffer::<u8>(32 << 20).unwrap());
        let asked = 2 * device.total_bytes();
        match device.buffer::<u8>(asked as usize).unwrap_err() {
            CudaError::OutOfMemory { asked: said, free, in_use } => {
                assert_eq!((said, in_use), (asked, 1 << 20));
                assert!(free > 0 && free < device.total_bytes());
            }
            error => panic!("{error}"),
        }
        assert_eq!(device.memory().cached, 0, "unused blocks were given back first");
        drop(kept);
        device.buffer::<u8>(1 << 20).unwrap();
    }
}
