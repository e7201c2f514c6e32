//! Sources to machine code.

use std::sync::{Mutex, PoisonError};

use super::{Architecture, CudaError, Nvrtc, Program, Resources, resources};

/// What every program may include.
const COMMON: (&str, &str) = ("common.cuh", include_str!("common.cuh"));

/// Held while something is compiled: two compilations at a time find what ptxas says of one in the log of the other.
static COMPILING: Mutex<()> = Mutex::new(());

/// A program, compiled.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Machine code, an ELF file.
    pub cubin: Vec<u8>,
    /// What the compiler says.
    log: String,
}

impl Compiled {
    /// What each kernel of the program takes, in the order of its list.
    ///
    /// # Errors
    ///
    /// A kernel of the list is not in the source, or there is one more.
    pub fn resources(&self, program: &Program, target: Architecture) -> Result<Vec<Resources>, CudaError> {
        let failed = |log| CudaError::Compilation { program: program.name, architecture: target, log };
        let mut found = resources::parse(&self.log);
        let mut ordered = Vec::new();
        for kernel in program.kernels {
            let at = found.iter().position(|resources| resources.kernel == *kernel);
            let at = at.ok_or_else(|| failed(format!("the source has no kernel {kernel}")))?;
            ordered.push(found.swap_remove(at));
        }
        match found.first() {
            Some(more) => Err(failed(format!("the kernel {} is not in the program's list", more.kernel))),
            None => Ok(ordered),
        }
    }
}

/// Everything that the compiler is told besides the source.
pub(super) fn options(program: &Program, target: Architecture) -> Vec<String> {
    let mut options =
        vec![format!("--gpu-architecture={target}"), "--std=c++17".to_string(), "--ptxas-options=-v".to_string()];
    options.extend(program.defines.iter().map(|(name, value)| format!("--define-macro={name}={value}")));
    options.extend(program.options.iter().map(|option| (*option).to_string()));
    options
}

/// The headers of a program, `(name, text)`.
pub(super) fn headers(program: &Program) -> Vec<(&'static str, &'static str)> {
    [COMMON].iter().chain(program.headers).copied().collect()
}

/// Compiles a program for a target, as [`Program::target`] gives it. No GPU is needed.
///
/// # Errors
///
/// * NVRTC does not know the architecture
/// * the source is wrong
pub fn compile(nvrtc: &Nvrtc, program: &Program, target: Architecture) -> Result<Compiled, CudaError> {
    if !nvrtc.supports(target.capability) {
        return Err(CudaError::NvrtcTooOld { version: nvrtc.version(), architecture: target });
    }
    let failed = |log| CudaError::Compilation { program: program.name, architecture: target, log };
    let file = format!("{}.cu", program.name);
    let _compiling = COMPILING.lock().unwrap_or_else(PoisonError::into_inner);
    let (cubin, log) =
        nvrtc.compile(&file, program.source, &headers(program), &options(program, target)).map_err(failed)?;
    Ok(Compiled { cubin, log })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::testing::nvrtc;

    const SOURCE: &str = "#include \"common.cuh\"
extern \"C\" __global__ void scale(bf16* x, float by, i64 len) {
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    if (i < len) store(x, i, load(x, i) * by);
}";

    #[test]
    fn a_source_becomes_machine_code_for_every_architecture() {
        let Some(nvrtc) = nvrtc() else { return };
        for target in Architecture::CHECKED {
            let program = Program::new("scale", SOURCE, &["scale"]);
            let compiled = compile(&nvrtc, &program, target).unwrap();
            assert!(compiled.cubin.starts_with(b"\x7fELF"), "{target}");
            let resources = compiled.resources(&program, target).unwrap();
            assert_eq!(resources.len(), 1);
            assert!(resources[0].registers > 0);
            assert_eq!(resources[0].spill_bytes, 0);
        }
    }

    #[test]
    fn macros_and_headers_reach_the_source() {
        let Some(nvrtc) = nvrtc() else { return };
        let source = "#include \"n.cuh\"\nextern \"C\" __global__ void k(float* x) { __shared__ float s[N]; s[threadIdx.x] = x[0]; __syncthreads(); x[1] = s[threadIdx.x ^ M]; }";
        let program = Program {
            defines: &[("N", "64")],
            headers: &[("n.cuh", "#define M 3\n")],
            ..Program::new("shared", source, &["k"])
        };
        let compiled = compile(&nvrtc, &program, Architecture::sm(90)).unwrap();
        assert_eq!(compiled.resources(&program, Architecture::sm(90)).unwrap()[0].shared_bytes, 256);
    }

    #[test]
    fn a_wrong_source_is_told_with_its_line() {
        let Some(nvrtc) = nvrtc() else { return };
        let fails = |program: &Program| {
            let target = Architecture::sm(90);
            let resources = compile(&nvrtc, program, target).and_then(|compiled| compiled.resources(program, target));
            resources.unwrap_err().to_string()
        };
        let message = fails(&Program::new("wrong", "\nextern \"C\" __global__ void k() { x; }", &["k"]));
        assert!(message.starts_with("cannot compile wrong for sm_90: wrong.cu(2): error: "), "{message}");
        let message = fails(&Program::new("scale", SOURCE, &["scale", "other"]));
        assert_eq!(message, "cannot compile scale for sm_90: the source has no kernel other");
        let message = fails(&Program::new("scale", SOURCE, &[]));
        assert_eq!(message, "cannot compile scale for sm_90: the kernel scale is not in the program's list");
    }

    #[test]
    fn an_unknown_architecture_is_refused() {
        let Some(nvrtc) = nvrtc() else { return };
        let error = compile(&nvrtc, &Program::new("scale", SOURCE, &["scale"]), Architecture::sm(70)).unwrap_err();
        assert!(matches!(error, CudaError::NvrtcTooOld { .. }), "{error}");
    }
}
