//! How kernels are started.

use std::{ffi::c_void, marker::PhantomData, mem, ptr, sync::Arc};

use cudarc::driver::sys;

use super::{
    Architecture, CudaError, Device, Element, Program, Version, View, ViewMut, device::refused, module::Module,
};

/// What a kernel needs to begin before the one before it has ended, in a graph too.
const OVERLAPPING: (Architecture, Version) = (Architecture::sm(90), Version { major: 12, minor: 4 });

/// How many threads run a kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Grid {
    /// Blocks along x, y and z: up to 2³¹ - 1, and 65,535 along the others.
    pub blocks: [u32; 3],
    /// Threads of a block along x, y and z.
    pub threads: [u32; 3],
    /// Bytes of shared memory that a block gets besides its own.
    pub shared_bytes: u32,
}

impl Grid {
    /// `blocks` blocks of `threads` threads in a line.
    ///
    /// # Panics
    ///
    /// Panics if there are more blocks than a line may have.
    pub fn line(blocks: usize, threads: u32) -> Self {
        let blocks = i32::try_from(blocks).unwrap_or_else(|_| panic!("{blocks} blocks in a line"));
        Self { blocks: [blocks as u32, 1, 1], threads: [threads, 1, 1], shared_bytes: 0 }
    }

    /// The same with shared memory.
    pub fn shared(self, bytes: u32) -> Self {
        Self { shared_bytes: bytes, ..self }
    }
}

/// What a kernel may take by value.
///
/// # Safety
///
/// The layout is that of the kernel's parameter, and there is no padding; a struct is `repr(C)`.
pub unsafe trait Argument: Copy {}

macro_rules! arguments {
    ($($number:ty),+) => {$(
        // SAFETY: numbers are the same on both sides.
        unsafe impl Argument for $number {}
    )+};
}

arguments!(i32, u32, i64, u64, f32);

/// A kernel with its arguments, in the order of its parameters, about to be started.
///
/// ```ignore
/// let launch = device.launch(&PROGRAM, "norm_forward_f32", Grid::line(rows.div_ceil(8), 256))?;
/// let launch = launch.input(x).output(out).value(rows as i64);
/// // SAFETY: …
/// unsafe { launch.run() }?;
/// ```
pub struct Launch<'a> {
    device: Device,
    module: Arc<Module>,
    program: &'static Program,
    kernel: &'a str,
    grid: Grid,
    /// Whether it may begin before the kernel before it has ended.
    is_overlapped: bool,
    /// The arguments, each from a whole word on.
    words: Vec<u64>,
    /// The first word of each.
    starts: Vec<usize>,
    /// The buffers are there until the launch.
    buffers: PhantomData<&'a ()>,
}

impl Device {
    /// Begins to start a kernel. The program is compiled and loaded if it was not yet.
    ///
    /// # Errors
    ///
    /// * there is no NVRTC, or it does not know the card
    /// * the program cannot be compiled or loaded
    ///
    /// # Panics
    ///
    /// Panics if the program has no such kernel or is not for this card.
    pub fn launch<'a>(&self, program: &'static Program, kernel: &'a str, grid: Grid) -> Result<Launch<'a>, CudaError> {
        let module = self.modules().get(self, program)?;
        let (words, starts) = (Vec::with_capacity(32), Vec::with_capacity(32));
        let device = self.clone();
        Ok(Launch { device, module, program, kernel, grid, is_overlapped: false, words, starts, buffers: PhantomData })
    }
}

impl<'a> Launch<'a> {
    /// Passes the address of elements that are only read.
    pub fn input<T: Element>(mut self, view: View<'a, T>) -> Self {
        self.check(view.device());
        self.push(&[view.address()]);
        self
    }

    /// Passes the address of elements that are written.
    pub fn output<T: Element>(mut self, view: ViewMut<'a, T>) -> Self {
        self.check(view.device());
        self.push(&[view.address()]);
        self
    }

    /// Passes an address, or 0 for what is not there.
    pub fn optional_input<T: Element>(self, view: Option<View<'a, T>>) -> Self {
        match view {
            Some(view) => self.input(view),
            None => self.value(0_u64),
        }
    }

    /// Passes an address, or 0 for what is not there.
    pub fn optional_output<T: Element>(self, view: Option<ViewMut<'a, T>>) -> Self {
        match view {
            Some(view) => self.output(view),
            None => self.value(0_u64),
        }
    }

    /// Passes a value.
    pub fn value<A: Argument>(mut self, value: A) -> Self {
        let mut words = vec![0; mem::size_of::<A>().div_ceil(8)];
        // SAFETY: the words have room for the value, which has no padding.
        unsafe { ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), words.as_mut_ptr().cast(), size_of::<A>()) };
        self.push(&words);
        self
    }

    /// Lets the kernel begin before the one before it has ended, where card and driver can: it calls `await_previous` of
    /// `common.cuh` before it reads or writes anything.
    pub fn overlapped(self) -> Self {
        let (card, driver) = OVERLAPPING;
        let can = self.device.architecture() >= card && self.device.driver_version() >= driver;
        Self { is_overlapped: can, ..self }
    }

    fn push(&mut self, words: &[u64]) {
        self.starts.push(self.words.len());
        self.words.extend_from_slice(words);
    }

    fn check(&self, device: &Device) {
        assert!(device.is_same(&self.device), "an argument of {} is on another device", self.kernel);
    }

    /// Starts the kernel, after all that was asked for before. Nothing is started for a grid of no blocks. What goes
    /// wrong on the device is told by a later call.
    ///
    /// # Errors
    ///
    /// The driver refuses, as when there is no room for the shared memory.
    ///
    /// # Safety
    ///
    /// * The arguments are those of the kernel's parameters, in number, order and type.
    /// * For every thread of the grid, the kernel reads inside the elements of its arguments, and writes inside those
    ///   that were passed as outputs.
    /// * No two arguments overlap if one of them is written, unless the kernel says that it may.
    /// * If it is [`overlapped`](Self::overlapped), it waits for the kernel before it.
    /// * The kernel ends.
    pub unsafe fn run(mut self) -> Result<(), CudaError> {
        if self.grid.blocks.contains(&0) {
            return Ok(());
        }
        self.device.context().bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        let function = self.module.function(self.program, self.kernel);
        function.raise(self.grid.shared_bytes)?;
        let words = self.words.as_mut_ptr();
        // SAFETY: every start lies inside the words.
        let mut pointers: Vec<*mut c_void> = self.starts.iter().map(|&at| unsafe { words.add(at).cast() }).collect();
        let Grid { blocks, threads, shared_bytes } = self.grid;
        let mut overlap = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let config = sys::CUlaunchConfig {
            gridDimX: blocks[0],
            gridDimY: blocks[1],
            gridDimZ: blocks[2],
            blockDimX: threads[0],
            blockDimY: threads[1],
            blockDimZ: threads[2],
            sharedMemBytes: shared_bytes,
            hStream: self.device.stream().cu_stream(),
            attrs: &raw mut overlap,
            numAttrs: u32::from(self.is_overlapped),
        };
        // SAFETY: the kernel is loaded, the configuration and what it points to live until the call returns, and the caller
        // answers for what the kernel does with its arguments.
        unsafe { sys::cuLaunchKernelEx(&raw const config, function.handle, pointers.as_mut_ptr(), ptr::null_mut()) }
            .result()
            .map_err(refused("cuLaunchKernelEx"))
    }
}

#[cfg(test)]
mod cuda {
    use super::*;
    use crate::cuda::testing;

    static PROGRAM: Program = Program::new(
        "launch_test",
        "#include \"common.cuh\"
struct Pair { float by; int plus; };
extern \"C\" __global__ void scale(const float* x, float* out, const float* none, Pair pair, i64 len) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i < len && !none) out[i] = x[i] * pair.by + pair.plus;
}
extern \"C\" __global__ void turn(float* x) {
    extern __shared__ float turned[];
    for (int i = threadIdx.x; i < 24000; i += blockDim.x) turned[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < 24000; i += blockDim.x) x[i] = turned[23999 - i];
}",
        &["scale", "turn"],
    );

    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Pair {
        by: f32,
        plus: i32,
    }

    // SAFETY: the struct is the program's.
    unsafe impl Argument for Pair {}

    #[test]
    fn arguments_arrive_in_order() {
        let Some(device) = testing::device() else { return };
        let host: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let (x, mut out) = (device.upload(&host).unwrap(), device.zeros::<f32>(1000).unwrap());
        let launch = device.launch(&PROGRAM, "scale", Grid::line(4, 256)).unwrap();
        let launch = launch.input(x.view()).output(out.view_mut()).optional_input::<f32>(None);
        let launch = launch.value(Pair { by: 2.0, plus: 1 }).value(1000_i64);
        // SAFETY: the arguments are the kernel's, and both buffers have 1000 elements.
        unsafe { launch.run() }.unwrap();
        let expected: Vec<f32> = host.iter().map(|x| 2.0 * x + 1.0).collect();
        assert_eq!(out.view().to_vec().unwrap(), expected);
    }

    #[test]
    fn a_block_gets_more_than_48_kib_of_shared_memory() {
        let Some(device) = testing::device() else { return };
        let host: Vec<f32> = (0..24_000).map(|i| i as f32).collect();
        let mut x = device.upload(&host).unwrap();
        let launch = device.launch(&PROGRAM, "turn", Grid::line(1, 512).shared(96_000)).unwrap();
        // SAFETY: the one argument has 24,000 elements, and so has the shared memory.
        unsafe { launch.output(x.view_mut()).run() }.unwrap();
        assert_eq!(x.view().to_vec().unwrap(), host.into_iter().rev().collect::<Vec<_>>());
        let launch = device.launch(&PROGRAM, "turn", Grid::line(1, 512).shared(1 << 30)).unwrap();
        // SAFETY: it is refused.
        let error = unsafe { launch.output(x.view_mut()).run() }.unwrap_err();
        assert_eq!(error.to_string(), "cuFuncSetAttribute: CUDA_ERROR_INVALID_VALUE");
    }

    #[test]
    fn no_blocks_start_nothing() {
        let Some(device) = testing::device() else { return };
        let launch = device.launch(&PROGRAM, "turn", Grid::line(0, 32)).unwrap();
        // SAFETY: nothing is started.
        unsafe { launch.run() }.unwrap();
        device.synchronize().unwrap();
    }

    #[test]
    #[should_panic(expected = "launch_test has no kernel other")]
    fn a_kernel_that_is_not_there_is_refused() {
        let Some(device) = testing::device() else { panic!("launch_test has no kernel other (no device)") };
        let launch = device.launch(&PROGRAM, "other", Grid::line(1, 1)).unwrap();
        // SAFETY: it is refused.
        let _ = unsafe { launch.run() };
    }

    #[test]
    fn a_freed_buffer_is_overwritten_only_after_its_kernels() {
        let Some(device) = testing::device() else { return };
        let host = vec![1.0_f32; 1 << 20];
        let mut outs = Vec::new();
        for _ in 0..20 {
            let x = device.upload(&host).unwrap();
            let mut out = device.buffer::<f32>(1 << 20).unwrap();
            let launch = device.launch(&PROGRAM, "scale", Grid::line(1 << 12, 256)).unwrap();
            let launch = launch.input(x.view()).output(out.view_mut()).optional_input::<f32>(None);
            // SAFETY: the arguments are the kernel's, and both buffers have 2^20 elements.
            unsafe { launch.value(Pair { by: 3.0, plus: 0 }).value(1_i64 << 20).run() }.unwrap();
            drop(x);
            device.zeros::<f32>(1 << 20).unwrap();
            outs.push(out);
        }
        assert!(outs.iter().all(|out| out.view().to_vec().unwrap().iter().all(|&x| x == 3.0)));
    }
}
