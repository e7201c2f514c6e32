//! Programs on a device: compiled or read from the cache, and loaded, once.

use std::{
    collections::HashMap,
    ffi::{CString, c_int},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use cudarc::driver::{CudaContext, result, sys};

use super::{CudaError, Device, Program, cache, compile, device::refused};

/// Shared memory that a launch may ask for without raising the kernel's limit.
const UNRAISED: u32 = 48 << 10;

/// The programs that a device has loaded.
pub(super) struct Modules {
    context: Arc<CudaContext>,
    folder: Option<PathBuf>,
    loaded: RwLock<HashMap<&'static str, Arc<Module>>>,
    /// Held by the thread that loads, so that no two load the same.
    loading: Mutex<()>,
}

/// A program on a device.
pub(super) struct Module {
    context: Arc<CudaContext>,
    handle: sys::CUmodule,
    functions: HashMap<&'static str, Function>,
}

/// A kernel on a device.
pub(super) struct Function {
    pub(super) handle: sys::CUfunction,
    /// The most bytes of shared memory that a launch may ask for by now.
    limit: AtomicU32,
}

// SAFETY: handles of modules and kernels may be used by any thread to which the context is bound.
unsafe impl Send for Module {}
// SAFETY: as above; nothing changes but the limit.
unsafe impl Sync for Module {}

impl Modules {
    pub(super) fn new(context: Arc<CudaContext>) -> Self {
        Self { context, folder: cache::folder(), loaded: RwLock::default(), loading: Mutex::default() }
    }

    /// The program, loaded.
    pub(super) fn get(&self, device: &Device, program: &'static Program) -> Result<Arc<Module>, CudaError> {
        if let Some(module) = self.find(program) {
            return Ok(module);
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = self.find(program) {
            return Ok(module);
        }
        let cubin = self.cubin(device, program)?;
        let module = Arc::new(Module::load(&self.context, program, &cubin)?);
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(program.name, module.clone());
        Ok(module)
    }

    fn find(&self, program: &Program) -> Option<Arc<Module>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(program.name).cloned()
    }

    fn cubin(&self, device: &Device, program: &Program) -> Result<Vec<u8>, CudaError> {
        let (nvrtc, card) = (device.nvrtc()?, device.architecture());
        let target = program.target(card).unwrap_or_else(|| panic!("{} is not for {card}", program.name));
        let path = self.folder.as_ref().map(|folder| cache::path(folder, nvrtc, program, target));
        if let Some(cubin) = path.as_deref().and_then(cache::read) {
            return Ok(cubin);
        }
        let cubin = compile(nvrtc, program, target)?.cubin;
        if let Some(path) = path {
            // A folder that cannot be written costs the time to compile again, and nothing else.
            let _ = cache::write(&path, &cubin);
        }
        Ok(cubin)
    }
}

impl Module {
    fn load(context: &Arc<CudaContext>, program: &Program, cubin: &[u8]) -> Result<Self, CudaError> {
        context.bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        // SAFETY: the bytes are machine code as NVRTC made it, an ELF file that says its own length.
        let handle =
            unsafe { result::module::load_data(cubin.as_ptr().cast()) }.map_err(refused("cuModuleLoadData"))?;
        let mut module = Self { context: context.clone(), handle, functions: HashMap::new() };
        for kernel in program.kernels {
            let name = CString::new(*kernel).expect("a kernel's name has no NUL");
            // SAFETY: the module was loaded just now.
            let handle = unsafe { result::module::get_function(handle, name) };
            let handle = handle.map_err(refused("cuModuleGetFunction"))?;
            let limit = UNRAISED.saturating_sub(own_shared_bytes(handle)?);
            module.functions.insert(kernel, Function { handle, limit: AtomicU32::new(limit) });
        }
        Ok(module)
    }

    /// A kernel of the program.
    pub(super) fn function(&self, program: &Program, kernel: &str) -> &Function {
        self.functions.get(kernel).unwrap_or_else(|| panic!("{} has no kernel {kernel}", program.name))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: nobody has its kernels any more; the driver waits for those that run. An error tells of what failed
        // before.
        unsafe {
            let _ = self.context.bind_to_thread();
            let _ = result::module::unload(self.handle);
        }
    }
}

/// Shared memory that a block of a kernel has whatever the launch asks for.
fn own_shared_bytes(kernel: sys::CUfunction) -> Result<u32, CudaError> {
    let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
    // SAFETY: the kernel is loaded.
    let bytes = unsafe { result::function::get_function_attribute(kernel, attribute) };
    bytes.map(|bytes| bytes.max(0) as u32).map_err(refused("cuFuncGetAttribute"))
}

impl Function {
    /// Lets a launch ask for so many bytes of shared memory.
    pub(super) fn raise(&self, bytes: u32) -> Result<(), CudaError> {
        if bytes <= self.limit.load(Ordering::Relaxed) {
            return Ok(());
        }
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the kernel is loaded.
        unsafe { result::function::set_function_attribute(self.handle, attribute, bytes as c_int) }
            .map_err(refused("cuFuncSetAttribute"))?;
        self.limit.fetch_max(bytes, Ordering::Relaxed);
        Ok(())
    }
}
