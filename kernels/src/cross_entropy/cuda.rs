//! The loss on a GPU: a thread has a row of up to 32 logits, and a warp a wider one.
//!
//! Logits are f32, `[L, V]` with L counting the positions of all sequences, of any V; the gradient is f32 or bf16. A loss is
//! computed in f32 and added in f64, in an order that depends on L and V alone. Labels cannot be looked at from here: one
//! that lies outside the vocabulary, which the caller should have refused, has a loss and a row of gradients of NaN.

use super::Loss;
use crate::cuda::{Buffer, CudaError, Device, Grid, Program, Real, View, ViewMut};

pub(crate) static PROGRAM: Program = Program::new(
    "cross_entropy",
    include_str!("cross_entropy.cu"),
    &[
        "cross_entropy_forward_narrow",
        "cross_entropy_forward_wide",
        "cross_entropy_add",
        "cross_entropy_backward_narrow_f32",
        "cross_entropy_backward_narrow_bf16",
        "cross_entropy_backward_wide_f32",
        "cross_entropy_backward_wide_bf16",
    ],
);

/// The widest row of a thread, as in the kernels.
const NARROW: usize = 32;

/// Threads of a block, as in the kernels.
const THREADS: usize = 256;

/// Rows of a thread, or of a warp, in the forward kernels, as there.
const TURNS: usize = 4;

/// Words of the sums of one or many blocks: Σ w · loss and Σ w, in f64, and how many positions count and are correct.
const WORDS: usize = 4;

/// What should have been said.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// The right token of each position or [`IGNORED`](super::IGNORED), `[L]`.
    pub labels: View<'a, u8>,
    /// How much each position counts, `[L]`; all count 1 without.
    pub weights: Option<View<'a, f32>>,
}

/// Sums on the device that losses are added to.
#[derive(Debug)]
pub struct LossSums {
    words: Buffer<i64>,
}

impl LossSums {
    /// Sums of nothing.
    ///
    /// # Errors
    ///
    /// There is no memory, or the driver refuses.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        Ok(Self { words: device.zeros(WORDS)? })
    }

    /// Makes them sums of nothing again.
    ///
    /// # Errors
    ///
    /// The driver refuses.
    pub fn zero(&mut self) -> Result<(), CudaError> {
        self.words.view_mut().zero()
    }

    /// What was added so far. Waits for the device.
    ///
    /// # Errors
    ///
    /// The driver refuses, or something that was asked for before failed.
    pub fn read(&self) -> Result<Loss, CudaError> {
        let mut words = [0; WORDS];
        self.words.view().read(&mut words)?;
        let [sum, weight, counted, correct] = words.map(i64::cast_unsigned);
        Ok(Loss { sum: f64::from_bits(sum), weight: f64::from_bits(weight), counted, correct })
    }
}

/// See the [module](super). The losses are added to the sums.
///
/// # Errors
///
/// There is no memory for the sums of the blocks, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn forward(
    logits: View<'_, f32>,
    width: usize,
    targets: &Targets<'_>,
    sums: &mut LossSums,
) -> Result<(), CudaError> {
    let rows = check(logits.len(), width, targets);
    let (device, kind) = (logits.device(), Kind::of(width));
    let blocks = rows.div_ceil(TURNS * kind.rows());
    let mut partial = device.buffer::<i64>(blocks * WORDS)?;
    let name = format!("cross_entropy_forward_{}", kind.name());
    let launch = device.launch(&PROGRAM, &name, Grid::line(blocks, THREADS as u32))?;
    let launch = launch.input(logits).input(targets.labels).optional_input(targets.weights);
    let launch = launch.output(partial.view_mut()).value(rows as i64).value(width as i32);
    let launch = launch.value(i32::from(are_aligned(width, logits.is_aligned())));
    // SAFETY: the arguments are the kernel's; there is a row of `width` logits, a label and perhaps a weight for each of the
    // `rows`, and sums for each block.
    unsafe { launch.run() }?;
    let launch = device.launch(&PROGRAM, "cross_entropy_add", Grid::line(1, THREADS as u32))?;
    let launch = launch.input(partial.view()).output(sums.words.view_mut()).value(blocks as i64);
    // SAFETY: the arguments are the kernel's, and there are sums of `blocks` blocks.
    unsafe { launch.run() }
}

/// See the [module](super).
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the lengths do not fit.
pub fn backward<T: Real>(
    logits: View<'_, f32>,
    width: usize,
    targets: &Targets<'_>,
    scale: f64,
    d_logits: ViewMut<'_, T>,
) -> Result<(), CudaError> {
    let rows = check(logits.len(), width, targets);
    assert_eq!(d_logits.len(), logits.len(), "length of the gradient");
    let kind = Kind::of(width);
    let aligned = are_aligned(width, logits.is_aligned() && d_logits.is_aligned());
    let name = format!("cross_entropy_backward_{}_{}", kind.name(), T::NAME);
    let grid = Grid::line(rows.div_ceil(kind.rows()), THREADS as u32);
    let launch = logits.device().launch(&PROGRAM, &name, grid)?;
    let launch = launch.input(logits).input(targets.labels).optional_input(targets.weights).output(d_logits);
    let launch = launch.value(rows as i64).value(width as i32).value(scale as f32).value(i32::from(aligned));
    // SAFETY: the arguments are the kernel's; there is a row of `width` logits and one of gradients, a label and perhaps a
    // weight for each of the `rows`.
    unsafe { launch.run() }
}

/// Who has a row.
#[derive(Clone, Copy)]
enum Kind {
    /// A thread.
    Narrow,
    /// A warp.
    Wide,
}

impl Kind {
    fn of(width: usize) -> Self {
        if width <= NARROW { Self::Narrow } else { Self::Wide }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Narrow => "narrow",
            Self::Wide => "wide",
        }
    }

    /// Rows that a block has at once.
    fn rows(self) -> usize {
        match self {
            Self::Narrow => THREADS,
            Self::Wide => THREADS / 32,
        }
    }
}

/// Whether every row may be read four at once.
fn are_aligned(width: usize, buffers: bool) -> bool {
    buffers && width.is_multiple_of(4)
}

/// Checks all lengths and returns L.
fn check(logits: usize, width: usize, targets: &Targets<'_>) -> usize {
    assert!(width > 0 && i32::try_from(width).is_ok(), "a vocabulary of {width}");
    let rows = targets.labels.len();
    assert_eq!(Some(logits), rows.checked_mul(width), "length of the logits");
    if let Some(weights) = targets.weights {
        assert_eq!(weights.len(), rows, "length of the weights");
    }
    rows
}
