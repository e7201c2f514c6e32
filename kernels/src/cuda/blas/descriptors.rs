//! Problems in the library's words.

use std::mem;

use cudarc::cublaslt::{
    result::{self, CublasError},
    sys::{
        self, cublasLtMatmulAlgoConfigAttributes_t as Config, cublasLtMatmulDescAttributes_t as Attribute,
        cublasLtMatmulPreferenceAttributes_t as Preference, cublasLtReductionScheme_t as Reduction,
    },
};

use super::{Layout, NOT_SUPPORTED, Number, Order, Problem, failed};
use crate::cuda::CudaError;

/// How many algorithms are asked for.
const CANDIDATES: usize = 8;

/// A problem as the library takes it.
pub(super) struct Descriptors {
    pub(super) operation: Operation,
    pub(super) a: MatrixLayout,
    pub(super) b: MatrixLayout,
    pub(super) out: MatrixLayout,
}

impl Descriptors {
    pub(super) fn new(problem: &Problem) -> Result<Self, CudaError> {
        let Problem { operands, result, rows, columns, inner, a, b, out, .. } = *problem;
        Ok(Self {
            operation: Operation::new(problem).map_err(failed("cublasLtMatmulDescCreate"))?,
            a: MatrixLayout::new(operands, rows, inner, a)?,
            b: MatrixLayout::new(operands, inner, columns, b)?,
            out: MatrixLayout::new(result, rows, columns, out)?,
        })
    }

    /// The bytes of workspace that an algorithm needs for this problem, or `None` where it cannot do it.
    pub(super) fn workspace_of(
        &self,
        handle: sys::cublasLtHandle_t,
        algorithm: &sys::cublasLtMatmulAlgo_t,
    ) -> Option<usize> {
        let mut found = empty_result();
        // SAFETY: all that is passed is alive, and what is found is there to be written.
        let status = unsafe {
            sys::cublasLtMatmulAlgoCheck(
                handle,
                self.operation.0,
                self.b.0,
                self.a.0,
                self.out.0,
                self.out.0,
                algorithm,
                &raw mut found,
            )
        };
        (status.result().is_ok() && found.state.result().is_ok()).then_some(found.workspaceSize)
    }

    /// The library's algorithms for this problem, the best first.
    pub(super) fn candidates(
        &self,
        handle: sys::cublasLtHandle_t,
        problem: &Problem,
        order: Order,
        workspace: usize,
    ) -> Result<Vec<sys::cublasLtMatmulHeuristicResult_t>, CudaError> {
        let wishes = Wishes::new(problem, order, workspace).map_err(failed("cublasLtMatmulPreferenceCreate"))?;
        let mut found = [empty_result(); CANDIDATES];
        let mut count = 0;
        // SAFETY: all that is passed is alive, and there is room for so many candidates.
        let status = unsafe {
            sys::cublasLtMatmulAlgoGetHeuristic(
                handle,
                self.operation.0,
                self.b.0,
                self.a.0,
                self.out.0,
                self.out.0,
                wishes.0,
                CANDIDATES as i32,
                found.as_mut_ptr(),
                &raw mut count,
            )
        };
        match status.result() {
            Ok(()) => {}
            Err(NOT_SUPPORTED) => return Ok(Vec::new()),
            Err(error) => return Err(failed("cublasLtMatmulAlgoGetHeuristic")(error)),
        }
        let is_fit = |candidate: &&sys::cublasLtMatmulHeuristicResult_t| {
            candidate.state.result().is_ok() && candidate.workspaceSize <= workspace && keeps(&candidate.algo, order)
        };
        Ok(found[..count.clamp(0, CANDIDATES as i32) as usize].iter().filter(is_fit).copied().collect())
    }
}

/// Whether an algorithm sums in this order.
fn keeps(algorithm: &sys::cublasLtMatmulAlgo_t, order: Order) -> bool {
    let parts = configuration::<i32>(algorithm, Config::CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
    let scheme = configuration::<u32>(algorithm, Config::CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
    let (Some(parts), Some(scheme)) = (parts, scheme) else { return false };
    let is_whole = scheme == Reduction::CUBLASLT_REDUCTION_SCHEME_NONE as u32 && (0..=1).contains(&parts);
    is_whole || (order == Order::Parts && scheme == Reduction::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32)
}

/// One number of an algorithm's configuration.
fn configuration<N: Copy + Default>(algorithm: &sys::cublasLtMatmulAlgo_t, attribute: Config) -> Option<N> {
    let (mut value, mut written) = (N::default(), 0);
    // SAFETY: the value has as many bytes as are said.
    let status = unsafe {
        sys::cublasLtMatmulAlgoConfigGetAttribute(
            algorithm,
            attribute,
            (&raw mut value).cast(),
            size_of::<N>(),
            &raw mut written,
        )
    };
    (status.result().is_ok() && written == size_of::<N>()).then_some(value)
}

fn empty_result() -> sys::cublasLtMatmulHeuristicResult_t {
    // SAFETY: zeros are numbers, and as a status success.
    unsafe { mem::zeroed() }
}

/// The library's descriptor of what is computed.
pub(super) struct Operation(pub(super) sys::cublasLtMatmulDesc_t);

impl Operation {
    fn new(problem: &Problem) -> Result<Self, CublasError> {
        use sys::cublasComputeType_t::{CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32};
        let compute = if problem.is_tf32 { CUBLAS_COMPUTE_32F_FAST_TF32 } else { CUBLAS_COMPUTE_32F };
        let operation = Self(result::create_matmul_desc(compute, sys::cudaDataType::CUDA_R_32F)?);
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, i32::from(problem.b.is_transposed))?;
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSB, i32::from(problem.a.is_transposed))?;
        Ok(operation)
    }

    /// Sets an attribute of 32 bits.
    fn set(&self, attribute: Attribute, value: i32) -> Result<(), CublasError> {
        // SAFETY: the descriptor is alive, and the value has as many bytes as are said.
        unsafe { result::set_matmul_desc_attribute(self.0, attribute, (&raw const value).cast(), size_of::<i32>()) }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this one's. What fails here harms nobody.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// The library's descriptor of a matrix.
pub(super) struct MatrixLayout(pub(super) sys::cublasLtMatrixLayout_t);

impl MatrixLayout {
    fn new(number: Number, rows: usize, columns: usize, layout: Layout) -> Result<Self, CudaError> {
        let (rows, columns) = if layout.is_transposed { (columns, rows) } else { (rows, columns) };
        let made = result::create_matrix_layout(number.of_library(), columns as u64, rows as u64, layout.stride as i64);
        made.map(Self).map_err(failed("cublasLtMatrixLayoutCreate"))
    }
}

impl Drop for MatrixLayout {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this one's. What fails here harms nobody.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// What an algorithm has to keep to.
struct Wishes(sys::cublasLtMatmulPreference_t);

impl Wishes {
    fn new(problem: &Problem, order: Order, workspace: usize) -> Result<Self, CublasError> {
        let wishes = Self(result::create_matmul_pref()?);
        let scheme = match order {
            Order::Whole => Reduction::CUBLASLT_REDUCTION_SCHEME_NONE,
            Order::Parts => Reduction::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE,
        };
        wishes.set(Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace)?;
        wishes.set(Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, scheme as u32)?;
        wishes.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, problem.b.alignment)?;
        wishes.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, problem.a.alignment)?;
        wishes.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, problem.out.alignment)?;
        wishes.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, problem.out.alignment)?;
        Ok(wishes)
    }

    fn set<N: Copy>(&self, attribute: Preference, value: N) -> Result<(), CublasError> {
        // SAFETY: the preferences are alive, and the value has as many bytes as are said.
        unsafe { result::set_matmul_pref_attribute(self.0, attribute, (&raw const value).cast(), size_of::<N>()) }
    }
}

impl Drop for Wishes {
    fn drop(&mut self) {
        // SAFETY: the preferences are this one's. What fails here harms nobody.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}
