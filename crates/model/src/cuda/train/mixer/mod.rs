//! The way back of a direction of a layer between the projections.

mod convolution;
mod mamba;
mod mamba2;

use longstrand_kernels::Write;
use longstrand_kernels::cuda::{CudaError, Real};

use super::sums::Sums;
use super::trail::Trace;
use super::workspace::{Adjoints, CoreAdjoints};
use crate::cuda::arithmetics::Arithmetics;
use crate::cuda::layout::{Layout, Plane, Walk};
use crate::cuda::mixer::{BranchState, Core};

/// A branch on its way back.
pub(super) struct Retrace<'a> {
    pub(super) walk: Walk<'a>,
    /// Which of the traces is the branch's.
    pub(super) trace: usize,
    /// The state that forward entered with.
    pub(super) entering: &'a BranchState,
    /// In: the gradient of the state that forward left with. Out: that of `entering`.
    pub(super) d_state: &'a mut BranchState,
    /// The layer and the branch, to whose gradients is added.
    pub(super) place: (usize, usize),
}

impl Retrace<'_> {
    /// Whether gradients that branches have together are set or added to.
    fn write(&self) -> Write {
        if self.trace == 0 { Write::Set } else { Write::Add }
    }
}

/// What the input projection gave, and the gradient of it.
struct Projected<'a, T: Real> {
    values: &'a Plane<T>,
    gradient: &'a mut Plane<T>,
}

/// The way back of what branches do to the sum of their outputs; y becomes what the output projection read.
pub(super) fn gate_backward<T: Real>(
    how: Arithmetics,
    layout: Layout,
    work: &mut Adjoints<T>,
) -> Result<(), CudaError> {
    match &mut work.core {
        CoreAdjoints::Mamba(adjoints) => {
            adjoints.gate(&how.mixer, layout, &mut work.trail, &work.d_y, &mut work.d_projected)
        }
        CoreAdjoints::Mamba2(_) => Ok(()),
    }
}

/// From the gradient of a branch's output to those of what the input projection gave, which are set or added to.
pub(super) fn backward<T: Real>(
    (core, how): (&Core<T>, Arithmetics),
    work: &mut Adjoints<T>,
    retrace: Retrace<'_>,
    sums: &mut Sums,
) -> Result<(), CudaError> {
    let Adjoints { trail, d_projected, d_y, core: adjoints, .. } = work;
    let projected = Projected { values: &trail.projected, gradient: d_projected };
    match (core, &trail.traces[retrace.trace], adjoints) {
        (Core::Mamba(core), Trace::Mamba(trace), CoreAdjoints::Mamba(adjoints)) => {
            adjoints.run((core, how), trace, projected, retrace, sums)
        }
        (Core::Mamba2(core), Trace::Mamba2(trace), CoreAdjoints::Mamba2(adjoints)) => {
            adjoints.run(core, (trace, d_y), projected, retrace, sums)
        }
        _ => unreachable!("buffers follow the weights"),
    }
}
