//! NVRTC, NVIDIA's compiler as a library. It needs no GPU.
//!
//! cudarc opens the first NVRTC that the loader knows and panics where a function is missing; here the user's own
//! folders come first, and what is missing is an error.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr::null_mut,
};

use libloading::Library;

use super::{
    CudaError, Version,
    library::{self, Opened},
};

/// An `nvrtcProgram`.
type Handle = *mut c_void;
/// An `nvrtcResult`; 0 is success.
type Status = c_int;
type SizeOf = unsafe extern "C" fn(Handle, *mut usize) -> Status;
type WriteInto = unsafe extern "C" fn(Handle, *mut c_char) -> Status;
type Strings = *const *const c_char;

/// NVRTC, opened.
#[derive(Debug)]
pub struct Nvrtc {
    version: Version,
    supported: Vec<u32>,
    create: unsafe extern "C" fn(*mut Handle, *const c_char, *const c_char, c_int, Strings, Strings) -> Status,
    destroy: unsafe extern "C" fn(*mut Handle) -> Status,
    compile: unsafe extern "C" fn(Handle, c_int, Strings) -> Status,
    log_size: SizeOf,
    log: WriteInto,
    cubin_size: SizeOf,
    cubin: WriteInto,
    message: unsafe extern "C" fn(Status) -> *const c_char,
    /// Keeps the functions where they are.
    _opened: Opened,
}

impl Nvrtc {
    /// Opens the newest NVRTC that is found, but none of a CUDA that is newer than the driver's: it would make code
    /// that the driver does not take.
    ///
    /// # Errors
    ///
    /// * there is none
    /// * it lacks a function
    pub fn open(driver: Option<Version>) -> Result<Self, CudaError> {
        let names = library::names("nvrtc", driver.map(|driver| driver.major));
        let builtins = if cfg!(windows) { "nvrtc-builtins" } else { "libnvrtc-builtins.so" };
        let found = library::open(&names, Some(builtins)).map_err(unusable)?;
        Self::of(found.ok_or(CudaError::NoNvrtc { newest: driver })?)
    }

    fn of(opened: Opened) -> Result<Self, CudaError> {
        let library = &opened.library;
        // SAFETY: the names and types are those of nvrtc.h, the same in CUDA 12 and 13.
        unsafe {
            Ok(Self {
                version: version(library)?,
                supported: supported(library)?,
                create: symbol(library, "nvrtcCreateProgram")?,
                destroy: symbol(library, "nvrtcDestroyProgram")?,
                compile: symbol(library, "nvrtcCompileProgram")?,
                log_size: symbol(library, "nvrtcGetProgramLogSize")?,
                log: symbol(library, "nvrtcGetProgramLog")?,
                cubin_size: symbol(library, "nvrtcGetCUBINSize")?,
                cubin: symbol(library, "nvrtcGetCUBIN")?,
                message: symbol(library, "nvrtcGetErrorString")?,
                _opened: opened,
            })
        }
    }

    /// Its version, that of the CUDA it belongs to.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it makes code for cards of this capability, ten times over: 90 for 9.0.
    pub fn supports(&self, capability: u32) -> bool {
        self.supported.contains(&capability)
    }

    /// Compiles a source with its headers, `(name, text)`, and returns the machine code and the log.
    ///
    /// # Errors
    ///
    /// What NVRTC has to say about the source.
    pub(super) fn compile(
        &self,
        name: &str,
        source: &str,
        headers: &[(&str, &str)],
        options: &[String],
    ) -> Result<(Vec<u8>, String), String> {
        let (name, source) = (c_string(name), c_string(source));
        let header_names: Vec<CString> = headers.iter().map(|(name, _)| c_string(name)).collect();
        let header_texts: Vec<CString> = headers.iter().map(|(_, text)| c_string(text)).collect();
        let options: Vec<CString> = options.iter().map(|option| c_string(option)).collect();
        let (header_names, header_texts, options) =
            (pointers(&header_names), pointers(&header_texts), pointers(&options));
        let mut handle = null_mut();
        // SAFETY: all strings end in a NUL and outlive the call, and there are as many pointers as is said.
        self.check(unsafe {
            let count = header_names.len() as c_int;
            (self.create)(
                &mut handle,
                source.as_ptr(),
                name.as_ptr(),
                count,
                header_texts.as_ptr(),
                header_names.as_ptr(),
            )
        })?;
        let mut program = Owned { nvrtc: self, handle };
        // SAFETY: the program was made just now; as many options as is said outlive the call.
        let status = unsafe { (self.compile)(program.handle, options.len() as c_int, options.as_ptr()) };
        let log = program.read(self.log_size, self.log)?;
        let log = String::from_utf8_lossy(&log).trim_end_matches('\0').to_string();
        if let Err(message) = self.check(status) {
            return Err(if log.is_empty() { message } else { log });
        }
        Ok((program.read(self.cubin_size, self.cubin)?, log))
    }

    fn check(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the function returns a constant string for any number.
        let message = unsafe { CStr::from_ptr((self.message)(status)) };
        Err(message.to_string_lossy().into_owned())
    }
}

/// A program that is destroyed in the end.
struct Owned<'a> {
    nvrtc: &'a Nvrtc,
    handle: Handle,
}

impl Owned<'_> {
    fn read(&mut self, size: SizeOf, written: WriteInto) -> Result<Vec<u8>, String> {
        let mut bytes = 0;
        // SAFETY: the program is there until it is dropped.
        self.nvrtc.check(unsafe { size(self.handle, &mut bytes) })?;
        let mut buffer = vec![0; bytes];
        // SAFETY: the buffer is as long as was said just now.
        self.nvrtc.check(unsafe { written(self.handle, buffer.as_mut_ptr().cast()) })?;
        Ok(buffer)
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: it was created and is destroyed once.
        unsafe { (self.nvrtc.destroy)(&mut self.handle) };
    }
}

/// A function of the library.
///
/// # Safety
///
/// `F` is the function's type.
unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> Result<F, CudaError> {
    // SAFETY: the caller knows the type.
    unsafe { library.get::<F>(name) }.map(|symbol| *symbol).map_err(|error| unusable(error.to_string()))
}

/// # Safety
///
/// The library is NVRTC.
unsafe fn version(library: &Library) -> Result<Version, CudaError> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the type is that of nvrtc.h, and both places are there to be written.
    unsafe {
        let version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status = symbol(library, "nvrtcVersion")?;
        version(&mut major, &mut minor);
    }
    Ok(Version { major, minor })
}

/// # Safety
///
/// The library is NVRTC.
unsafe fn supported(library: &Library) -> Result<Vec<u32>, CudaError> {
    let mut count: c_int = 0;
    // SAFETY: the types are those of nvrtc.h, and as many numbers are written as were counted.
    let architectures = unsafe {
        let counted: unsafe extern "C" fn(*mut c_int) -> Status = symbol(library, "nvrtcGetNumSupportedArchs")?;
        let listed: unsafe extern "C" fn(*mut c_int) -> Status = symbol(library, "nvrtcGetSupportedArchs")?;
        counted(&mut count);
        let mut architectures: Vec<c_int> = vec![0; count.max(0) as usize];
        listed(architectures.as_mut_ptr());
        architectures
    };
    Ok(architectures.into_iter().map(|capability| capability as u32).collect())
}

fn unusable(reason: String) -> CudaError {
    CudaError::Library { name: "NVRTC", reason }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("sources, names and options of ours have no NUL")
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).collect()
}
