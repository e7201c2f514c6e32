//! Matrix products by cuBLASLt.
//!
//! What the library needs to know of a product, its descriptors and the algorithm, is made once and kept as a plan, so that
//! a product that was done before asks nothing.
//!
//! The library takes matrices by columns. A row-major matrix is its transpose by columns, so `out = a · b` is asked for as
//! `outᵀ = bᵀ · aᵀ`: the library's A is our `b`, its B our `a`, and a matrix is transposed there if it is here.

mod descriptors;

use std::{
    collections::{HashMap, hash_map::Entry},
    ffi::c_void,
    sync::{Arc, Mutex, PoisonError},
};

use cudarc::{
    cublaslt::{
        result::{self, CublasError},
        sys,
    },
    driver::CudaContext,
};

use super::{Architecture, CudaError, Device, Real, device::refused, library::require_cublaslt};
use descriptors::Descriptors;

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
    context: Arc<CudaContext>,
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
        let context = device.context().clone();
        context.bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
        let handle = result::create_handle().map_err(failed("cublasLtCreate"))?;
        Ok(Self { handle, context, state: Mutex::default() })
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
        self.context.bind_to_thread().map_err(refused("cuCtxSetCurrent"))?;
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
        let _ = self.context.bind_to_thread();
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
        let descriptors = Descriptors::new(&problem)?;
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
        let best = candidates.first().ok_or_else(|| failed("cublasLtMatmulAlgoGetHeuristic")(NOT_SUPPORTED))?;
        Ok(Plan { descriptors, algorithm: best.algo, workspace: best.workspaceSize })
    }

    fn nominal_algorithms(
        &mut self,
        handle: sys::cublasLtHandle_t,
        nominal: Problem,
    ) -> Result<&[sys::cublasLtMatmulAlgo_t], CudaError> {
        match self.algorithms.entry(nominal) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let candidates = Descriptors::new(&nominal)?.candidates(handle, &nominal, Order::Whole, 0)?;
                Ok(place.insert(candidates.iter().map(|candidate| candidate.algo).collect()))
            }
        }
    }
}

/// What the library says where it has no algorithm.
const NOT_SUPPORTED: CublasError = CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED);

/// The error of a call that the library refuses.
fn failed(call: &'static str) -> impl Fn(CublasError) -> CudaError {
    move |CublasError(status)| CudaError::CublasLt { call, name: format!("{status:?}") }
}
