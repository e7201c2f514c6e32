//! Matrix products on a GPU, by cuBLASLt, and biases.
//!
//! A [`Matrix`] is row-major with a stride, and may be read as its transpose, so that both layouts of a mixer's buffers are
//! operands as they are.

use crate::{
    Write,
    cuda::{
        CudaError, Grid, Program, Real, View, ViewMut,
        blas::{Layout, Number, Problem},
        sums,
    },
};

pub(crate) static PROGRAM: Program = Program::new(
    "linear",
    include_str!("bias.cu"),
    &[
        "add_bias_to_columns_f32",
        "add_bias_to_columns_bf16",
        "add_bias_to_rows_f32",
        "add_bias_to_rows_bf16",
        "bias_gradient_of_columns_f32",
        "bias_gradient_of_columns_bf16",
        "bias_gradient_of_rows_f32",
        "bias_gradient_of_rows_bf16",
    ],
);

/// Threads of a block that adds a bias, and numbers of each of them, as in the kernel.
const THREADS: usize = 256;
const VECTOR: usize = 8;

/// Rows and columns that a block of [`bias_gradient_of_columns`] sums, and threads of a column, as in the kernel.
const BLOCK_ROWS: usize = 512;
const BLOCK_COLUMNS: usize = 32;
const GROUPS: u32 = 8;

/// Columns that a block of [`bias_gradient_of_rows`] sums, as in the kernel.
const SEGMENT: usize = 4096;

/// How many positions the algorithm of a product is chosen for, whatever their number is.
pub(super) const NOMINAL: usize = 1 << 16;

/// The most positions of one call of the library, which counts them in 32 bits.
const MOST: usize = 1 << 30;

/// A row-major matrix to be read, or the transpose of one.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T: Real> {
    data: View<'a, T>,
    /// As stored.
    rows: usize,
    columns: usize,
    stride: usize,
    is_transposed: bool,
}

/// A row-major matrix to be written.
#[derive(Debug)]
pub struct MatrixMut<'a, T: Real> {
    data: ViewMut<'a, T>,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// The matrix whose element (r, c) is `data[r * stride + c]`.
    ///
    /// # Panics
    ///
    /// Panics if the rows overlap or are not all there.
    pub fn new(data: View<'a, T>, rows: usize, columns: usize, stride: usize) -> Self {
        check_elements(data.len(), rows, columns, stride);
        Self { data, rows, columns, stride, is_transposed: false }
    }

    /// The same elements with rows for columns.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { is_transposed: !self.is_transposed, ..self }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        if self.is_transposed { self.columns } else { self.rows }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        if self.is_transposed { self.rows } else { self.columns }
    }

    fn layout(&self) -> Layout {
        layout(self.data.address(), self.columns, self.stride, self.is_transposed)
    }

    /// The address of row `first`.
    fn row(&self, first: usize) -> u64 {
        let step = if self.is_transposed { 1 } else { self.stride };
        self.data.address() + (first * step * size_of::<T>()) as u64
    }

    /// The address of column `first`.
    fn column(&self, first: usize) -> u64 {
        self.transposed().row(first)
    }
}

impl<'a, T: Real> MatrixMut<'a, T> {
    /// The matrix whose element (r, c) is `data[r * stride + c]`.
    ///
    /// # Panics
    ///
    /// Panics if the rows overlap or are not all there.
    pub fn new(data: ViewMut<'a, T>, rows: usize, columns: usize, stride: usize) -> Self {
        check_elements(data.len(), rows, columns, stride);
        Self { data, rows, columns, stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The same matrix for a shorter time.
    pub fn reborrow(&mut self) -> MatrixMut<'_, T> {
        MatrixMut { data: self.data.reborrow(), ..*self }
    }

    /// The same elements, to be read.
    pub fn as_matrix(&self) -> Matrix<'_, T> {
        Matrix::new(self.data.as_view(), self.rows, self.columns, self.stride)
    }

    fn zero(mut self) -> Result<(), CudaError> {
        if self.stride == self.columns {
            return self.data.slice(..self.rows * self.columns).zero();
        }
        for r in 0..self.rows {
            self.data.reborrow().slice(r * self.stride..r * self.stride + self.columns).zero()?;
        }
        Ok(())
    }
}

/// Which dimension of `out[M, N] = a[M, K] · b[K, N]` counts positions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Positions {
    /// M: a row of `out` has the same bits however many there are.
    Rows,
    /// N: a column of `out` has the same bits however many there are.
    Columns,
    /// K: positions are summed over.
    Inner,
}

/// How f32 operands are multiplied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SinglePrecision {
    /// As they are.
    #[default]
    Full,
    /// Rounded to TF32, that is 11 bits.
    Tf32,
}

/// `out = a · b`, or added to it; see the [module](super). Operands are f32 or bf16; of f32, so is the result.
///
/// # Errors
///
/// There is no cuBLASLt, it refuses, or there is no memory for partial sums.
///
/// # Panics
///
/// Panics if the sizes do not fit, the matrices are not on one device, or for a bf16 result of f32 operands.
pub fn product<T: Real, O: Real>(
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    out: MatrixMut<'_, O>,
    write: Write,
    positions: Positions,
    single: SinglePrecision,
) -> Result<(), CudaError> {
    let (rows, columns, inner) = (out.rows(), out.columns(), a.columns());
    assert_eq!(a.rows(), rows, "rows of a");
    assert_eq!(b.rows(), inner, "rows of b");
    assert_eq!(b.columns(), columns, "columns of b");
    assert!(size_of::<O>() >= size_of::<T>(), "a product of {} in {}", T::NAME, O::NAME);
    let device = out.data.device();
    assert!(a.data.device().is_same(device) && b.data.device().is_same(device), "a product between devices");
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    if inner == 0 {
        return if write == Write::Set { out.zero() } else { Ok(()) };
    }
    let whole = Problem {
        operands: Number::of::<T>(),
        result: Number::of::<O>(),
        is_tf32: single == SinglePrecision::Tf32 && Number::of::<T>() == Number::F32,
        rows,
        columns,
        inner,
        a: a.layout(),
        b: b.layout(),
        out: layout(out.data.address(), columns, out.stride, false),
    };
    product_in_pieces(whole, a, b, out, write, positions)
}

/// As many calls of the library as the number of positions needs.
fn product_in_pieces<T: Real, O: Real>(
    whole: Problem,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    out: MatrixMut<'_, O>,
    write: Write,
    positions: Positions,
) -> Result<(), CudaError> {
    let (device, out) = (out.data.device(), out.as_matrix());
    let count = match positions {
        Positions::Rows => whole.rows,
        Positions::Columns => whole.columns,
        Positions::Inner => whole.inner,
    };
    for first in (0..count).step_by(MOST) {
        let problem = with_positions(whole, positions, MOST.min(count - first));
        let [a, b, out] = match positions {
            Positions::Rows => [a.row(first), b.row(0), out.row(first)],
            Positions::Columns => [a.row(0), b.column(first), out.column(first)],
            Positions::Inner => [a.column(first), b.row(first), out.row(0)],
        };
        let adds = write == Write::Add || (positions == Positions::Inner && first > 0);
        // SAFETY: the matrices have the sizes and strides that the problem says, as was checked when they were made.
        unsafe { device.blas()?.multiply(device, problem, nominal(problem, positions), [a, b, out], adds) }?;
    }
    Ok(())
}

/// The same problem with another number of positions.
fn with_positions(problem: Problem, positions: Positions, count: usize) -> Problem {
    match positions {
        Positions::Rows => Problem { rows: count, ..problem },
        Positions::Columns => Problem { columns: count, ..problem },
        Positions::Inner => Problem { inner: count, ..problem },
    }
}

/// What the algorithm is chosen for: nothing of it depends on the number of positions, not even strides that do.
pub(super) fn nominal(problem: Problem, positions: Positions) -> Option<Problem> {
    let mut nominal = with_positions(problem, positions, NOMINAL);
    match positions {
        Positions::Rows if problem.a.is_transposed => nominal.a.stride = nominal_stride(problem.a, problem.operands),
        Positions::Rows => {}
        Positions::Columns => {
            nominal.out.stride = nominal_stride(problem.out, problem.result);
            if !problem.b.is_transposed {
                nominal.b.stride = nominal_stride(problem.b, problem.operands);
            }
        }
        Positions::Inner => return None,
    }
    Some(nominal)
}

/// The stride of the nominal number of positions whose rows are aligned as those of the layout.
fn nominal_stride(layout: Layout, number: Number) -> usize {
    let aligned = 16 / number.bytes();
    if layout.stride.is_multiple_of(aligned) { NOMINAL } else { NOMINAL + (1 << layout.stride.trailing_zeros()) }
}

/// A stride that the library takes, also where there is one row alone, and the alignment that matters to it.
fn layout(address: u64, columns: usize, stride: usize, is_transposed: bool) -> Layout {
    let alignment = 1 << address.trailing_zeros().min(4);
    Layout { stride: stride.max(columns), alignment, is_transposed }
}

/// `out[r, c] += bias[c]`
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if there is not one bias for each column.
pub fn add_bias_to_columns<O: Real>(bias: View<'_, f32>, out: MatrixMut<'_, O>) -> Result<(), CudaError> {
    assert_eq!(bias.len(), out.columns(), "length of the bias");
    add_bias(&format!("add_bias_to_columns_{}", O::NAME), bias, out)
}

/// `out[r, c] += bias[r]`
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if there is not one bias for each row.
pub fn add_bias_to_rows<O: Real>(bias: View<'_, f32>, out: MatrixMut<'_, O>) -> Result<(), CudaError> {
    assert_eq!(bias.len(), out.rows(), "length of the bias");
    add_bias(&format!("add_bias_to_rows_{}", O::NAME), bias, out)
}

fn add_bias<O: Real>(kernel: &str, bias: View<'_, f32>, out: MatrixMut<'_, O>) -> Result<(), CudaError> {
    let (rows, columns, stride) = (out.rows, out.columns, out.stride);
    let aligned = is_aligned(&out.as_matrix());
    let vectors = rows * columns.div_ceil(VECTOR);
    let launch = out.data.device().launch(&PROGRAM, kernel, Grid::line(vectors.div_ceil(THREADS), THREADS as u32))?;
    let launch = launch.input(bias).output(out.data).value(rows as i64).value(columns as i64).value(stride as i64);
    let launch = launch.value(i32::from(aligned));
    // SAFETY: the arguments are the kernel's; `out` has so many rows with this stride, the bias one number for each row or
    // column, as the kernel's name says.
    unsafe { launch.run() }
}

/// The gradient of [`add_bias_to_columns`]: `d_bias[c] += Σ_r d_out[r, c]`, in a fixed order.
///
/// # Errors
///
/// There is no memory for the sums, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if there is not one bias for each column.
pub fn bias_gradient_of_columns<O: Real>(d_out: Matrix<'_, O>, d_bias: ViewMut<'_, f32>) -> Result<(), CudaError> {
    assert_eq!(d_bias.len(), d_out.columns(), "length of the bias's gradient");
    if d_out.is_transposed { add_row_sums(d_out, d_bias) } else { add_column_sums(d_out, d_bias) }
}

/// The gradient of [`add_bias_to_rows`]: `d_bias[r] += Σ_c d_out[r, c]`, in a fixed order.
///
/// # Errors
///
/// There is no memory for the sums, or a kernel cannot be started.
///
/// # Panics
///
/// Panics if there is not one bias for each row.
pub fn bias_gradient_of_rows<O: Real>(d_out: Matrix<'_, O>, d_bias: ViewMut<'_, f32>) -> Result<(), CudaError> {
    assert_eq!(d_bias.len(), d_out.rows(), "length of the bias's gradient");
    if d_out.is_transposed { add_column_sums(d_out, d_bias) } else { add_row_sums(d_out, d_bias) }
}

/// Adds the sums of the columns as they are stored.
fn add_column_sums<O: Real>(d_out: Matrix<'_, O>, total: ViewMut<'_, f32>) -> Result<(), CudaError> {
    let parts = d_out.rows.div_ceil(BLOCK_ROWS);
    let blocks = Grid::line(parts * d_out.columns.div_ceil(BLOCK_COLUMNS), BLOCK_COLUMNS as u32);
    let grid = Grid { threads: [BLOCK_COLUMNS as u32, GROUPS, 1], ..blocks };
    add_sums("bias_gradient_of_columns", grid, parts, d_out, total)
}

/// Adds the sums of the rows as they are stored.
fn add_row_sums<O: Real>(d_out: Matrix<'_, O>, total: ViewMut<'_, f32>) -> Result<(), CudaError> {
    let parts = d_out.columns.div_ceil(SEGMENT);
    add_sums("bias_gradient_of_rows", Grid::line(parts * d_out.rows, THREADS as u32), parts, d_out, total)
}

/// Sums `parts` parts of each row or column, and then these.
fn add_sums<O: Real>(
    kernel: &str,
    grid: Grid,
    parts: usize,
    d_out: Matrix<'_, O>,
    total: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    if total.is_empty() {
        return Ok(());
    }
    let (device, width) = (total.device(), total.len());
    let mut partial = device.buffer::<f32>(parts * width)?;
    let name = format!("{kernel}_{}", O::NAME);
    let launch = device.launch(&PROGRAM, &name, grid)?;
    let launch = launch.input(d_out.data).output(partial.view_mut());
    let launch = launch.value(d_out.rows as i64).value(d_out.columns as i64).value(d_out.stride as i64);
    let launch = launch.value(i32::from(is_aligned(&d_out)));
    // SAFETY: the arguments are the kernel's; `d_out` has so many rows with this stride, `partial` a number for each block
    // and each of its columns or rows.
    unsafe { launch.run() }?;
    sums::add_columns(partial.view(), width, 0, total)
}

/// Whether eight numbers may be read at once, wherever a row's vectors begin.
fn is_aligned<O: Real>(matrix: &Matrix<'_, O>) -> bool {
    matrix.data.is_aligned() && (matrix.stride * size_of::<O>()).is_multiple_of(16)
}

fn check_elements(len: usize, rows: usize, columns: usize, stride: usize) {
    assert!(rows <= 1 || stride >= columns, "a stride of {stride} between rows of {columns}");
    let needed = if rows == 0 { 0 } else { (rows - 1) * stride + columns };
    assert!(needed <= len, "{rows} rows of {columns} with a stride of {stride} are {needed} elements, found {len}");
}
