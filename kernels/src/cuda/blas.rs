//! Matrix products by cuBLASLt.
//!
//! What the library needs to know of a product, its descriptors and the algorithm, is made once and kept as a plan, so that
//! a product that was done before asks nothing.
//!
//! The library takes matrices by columns. A row-major matrix is its transpose by columns, so `out = a · b` is asked for as
//! `outᵀ = bᵀ · aᵀ`: the library's A is our `b`, its B our `a`, and a matrix is transposed there if it is here.

use std::{
    collections::HashMap,
    ffi::c_void,
    mem,
    sync::{Mutex, PoisonError},
};

use cudarc::cublaslt::{
    result::{self, CublasError},
    sys::{
        self, cublasLtMatmulAlgoConfigAttributes_t as Config, cublasLtMatmulDescAttributes_t as Attribute,
        cublasLtMatmulPreferenceAttributes_t as Preference, cublasLtReductionScheme_t as Reduction,
    },
};

use super::{Architecture, CudaError, Device, Real, device::refused, library::require_cublaslt};

/// How many algorithms are asked for.
const CANDIDATES: usize = 8;

/// Where so many plans are kept, all are dropped: sizes may be without number.
const MOST_PLANS: usize = 4096;

/// What the library may take for partial sums: what its makers recommend.
const WORKSPACE: usize = 32 << 20;
const WORKSPACE_BEFORE_HOPPER: usize = 4 << 20;

/// The type of a matrix's elements.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Number {
    F32,
    Bf16,
}

impl Number {
    pub(crate) fn of<T: Real>() -> Self {
        if size_of::<T>() == 2 { Self::Bf16 } else { Self::F32 }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    fn of_library(self) -> sys::cudaDataType {
        match self {
            Self::F32 => sys::cudaDataType::CUDA_R_32F,
            Self::Bf16 => sys::cudaDataType::CUDA_R_16BF,
        }
    }
}

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Layout {
    /// Elements from one stored row to the next, no fewer than a row has.
    pub(crate) stride: usize,
    /// A power of two that divides the address.
    pub(crate) alignment: u32,
    /// Whether stored rows are columns of the matrix.
    pub(crate) is_transposed: bool,
}

/// A product `out[rows, columns] = a[rows, inner] · b[inner, columns]`, whatever the numbers are. None of the sizes is 0.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Problem {
    pub(crate) operands: Number,
    pub(crate) result: Number,
    /// Whether f32 operands are rounded to TF32.
    pub(crate) is_tf32: bool,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
    pub(crate) a: Layout,
    pub(crate) b: Layout,
    /// Not transposed.
    pub(crate) out: Layout,
}

/// How an element's terms are summed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    /// In one chain, so that there is no room for partial sums.
    Whole,
    /// Perhaps in parts, which are then added in f32 and a fixed order.
    Parts,
}

/// The library on one device.
pub(crate) struct Blas {
    handle: sys::cublasLtHandle_t,
    state: Mutex<State>,
}

// SAFETY: the library's handle may be used by any thread, and what is in the state by one at a time.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

#[derive(Default)]
struct State {
    plans: HashMap<(Problem, Option<Problem>), Plan>,
    /// Algorithms for nominal problems, the best first.
    algorithms: HashMap<Problem, Vec<sys::cublasLtMatmulAlgo_t>>,
}

/// All that a call of the library takes besides addresses.
struct Plan {
    descriptors: Descriptors,
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: usize,
}

impl Blas {
    pub(super) fn new(device: &Device) -> Result<Self, CudaError> {
        require_cublaslt()?;
        device.context().bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        let handle = result::create_handle().map_err(failed("cublasLtCreate"))?;
        Ok(Self { handle, state: Mutex::default() })
    }

    /// Does a product, or adds it to `out`. Where there is a nominal problem, the algorithm is one for that and sums each
    /// element in one chain; so all problems with the same nominal one are summed in the same way.
    ///
    /// # Safety
    ///
    /// At the addresses of a, b and out are matrices of the device as the problem says, and `out` overlaps neither other.
    pub(crate) unsafe fn multiply(
        &self,
        device: &Device,
        problem: Problem,
        nominal: Option<Problem>,
        [a, b, out]: [u64; 3],
        adds: bool,
    ) -> Result<(), CudaError> {
        device.context().bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        // What a thread that panicked left behind is whole: plans are put there when they are made.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = state.plan(self.handle, device.architecture(), problem, nominal)?;
        // The next buffer that gets this memory is used later in the stream.
        let workspace = device.buffer::<u8>(plan.workspace)?;
        let (alpha, beta) = (1.0_f32, if adds { 1.0_f32 } else { 0.0 });
        let layouts = &plan.descriptors;
        // SAFETY: the descriptors are the problem's, and the caller vouches for the matrices; alpha and beta are f32 on the
        // host, as the descriptor says; there are as many bytes of workspace as the algorithm was checked to need.
        unsafe {
            result::matmul(
                self.handle,
                layouts.operation.0,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                b as *const c_void,
                layouts.b.0,
                a as *const c_void,
                layouts.a.0,
                out as *const c_void,
                layouts.out.0,
                out as *mut c_void,
                layouts.out.0,
                &raw const plan.algorithm,
                workspace.view().address() as *mut c_void,
                plan.workspace,
                device.stream().cu_stream().cast(),
            )
        }
        .map_err(failed("cublasLtMatmul"))
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: the handle is this one's, and nothing uses it any more. What fails here harms nobody.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl State {
    fn plan(
        &mut self,
        handle: sys::cublasLtHandle_t,
        card: Architecture,
        problem: Problem,
        nominal: Option<Problem>,
    ) -> Result<&Plan, CudaError> {
        let key = (problem, nominal);
        if !self.plans.contains_key(&key) {
            let plan = self.new_plan(handle, card, problem, nominal)?;
            if self.plans.len() >= MOST_PLANS {
                self.plans.clear();
            }
            self.plans.insert(key, plan);
        }
        Ok(&self.plans[&key])
    }

    fn new_plan(
        &mut self,
        handle: sys::cublasLtHandle_t,
        card: Architecture,
        problem: Problem,
        nominal: Option<Problem>,
    ) -> Result<Plan, CudaError> {
        let descriptors = Descriptors::new(&problem).map_err(failed("cublasLtMatrixLayoutCreate"))?;
        if let Some(nominal) = nominal {
            let is_fit =
                |algorithm: &&sys::cublasLtMatmulAlgo_t| descriptors.workspace_of(handle, algorithm) == Some(0);
            let algorithm = self.nominal_algorithms(handle, nominal)?.iter().find(is_fit).copied();
            if let Some(algorithm) = algorithm {
                return Ok(Plan { descriptors, algorithm, workspace: 0 });
            }
        }
        let (order, workspace) = match nominal {
            Some(_) => (Order::Whole, 0),
            None if card < Architecture::sm(90) => (Order::Parts, WORKSPACE_BEFORE_HOPPER),
            None => (Order::Parts, WORKSPACE),
        };
        let candidates = descriptors.candidates(handle, &problem, order, workspace)?;
        let nothing = || failed("cublasLtMatmulAlgoGetHeuristic")(NOT_SUPPORTED);
        let best = candidates.first().ok_or_else(nothing)?;
        Ok(Plan { descriptors, algorithm: best.algo, workspace: best.workspaceSize })
    }

    fn nominal_algorithms(
        &mut self,
        handle: sys::cublasLtHandle_t,
        nominal: Problem,
    ) -> Result<&[sys::cublasLtMatmulAlgo_t], CudaError> {
        if !self.algorithms.contains_key(&nominal) {
            let descriptors = Descriptors::new(&nominal).map_err(failed("cublasLtMatrixLayoutCreate"))?;
            let candidates = descriptors.candidates(handle, &nominal, Order::Whole, 0)?;
            self.algorithms.insert(nominal, candidates.iter().map(|candidate| candidate.algo).collect());
        }
        Ok(&self.algorithms[&nominal])
    }
}

/// What the library says where it has no algorithm.
const NOT_SUPPORTED: CublasError = CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED);

/// A problem as the library takes it.
struct Descriptors {
    operation: Operation,
    a: MatrixLayout,
    b: MatrixLayout,
    out: MatrixLayout,
}

impl Descriptors {
    fn new(problem: &Problem) -> Result<Self, CublasError> {
        let Problem { operands, result, rows, columns, inner, a, b, out, .. } = *problem;
        Ok(Self {
            operation: Operation::new(problem)?,
            a: MatrixLayout::new(operands, rows, inner, a)?,
            b: MatrixLayout::new(operands, inner, columns, b)?,
            out: MatrixLayout::new(result, rows, columns, out)?,
        })
    }

    /// The bytes of workspace that an algorithm needs for this problem, or `None` where it cannot do it.
    fn workspace_of(&self, handle: sys::cublasLtHandle_t, algorithm: &sys::cublasLtMatmulAlgo_t) -> Option<usize> {
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
    fn candidates(
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
struct Operation(sys::cublasLtMatmulDesc_t);

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
struct MatrixLayout(sys::cublasLtMatrixLayout_t);

impl MatrixLayout {
    fn new(number: Number, rows: usize, columns: usize, layout: Layout) -> Result<Self, CublasError> {
        let (rows, columns) = if layout.is_transposed { (columns, rows) } else { (rows, columns) };
        let layout =
            result::create_matrix_layout(number.of_library(), columns as u64, rows as u64, layout.stride as i64)?;
        Ok(Self(layout))
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

/// The error of a call that the library refuses.
fn failed(call: &'static str) -> impl Fn(CublasError) -> CudaError {
    move |CublasError(status)| CudaError::CublasLt { call, name: format!("{status:?}") }
}
