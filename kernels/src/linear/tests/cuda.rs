use half::bf16;

use crate::{
    Rows, RowsMut, Write,
    backend::Precision,
    cuda::{
        Buffer, Device, Real, testing,
        testing::{held, tolerance, widen},
    },
    linear::{
        cuda::{self, Matrix, MatrixMut, Positions, SinglePrecision},
        reference::{self, PlainMatrix},
    },
    testing::{Random, assert_close, assert_sums_close},
};

const TRANSPOSES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// How rows are laid out: without a gap, with one that keeps the next row aligned, and with one that does not.
const STRIDES: [fn(usize) -> usize; 3] = [|columns| columns, padded, |columns| columns + 3];

fn padded(columns: usize) -> usize {
    columns.next_multiple_of(8) + 8
}

/// A matrix on the device with NaN between its rows.
struct Stored<T: Real> {
    buffer: Buffer<T>,
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<T: Real> Stored<T> {
    fn upload(device: &Device, values: &[T], columns: usize, stride: fn(usize) -> usize) -> Self {
        let (rows, stride) = (values.len() / columns, stride(columns));
        let mut host = vec![T::from_f32(f32::NAN); rows * stride];
        for (row, values) in host.chunks_mut(stride).zip(values.chunks(columns)) {
            row[..columns].copy_from_slice(values);
        }
        Self { buffer: device.upload(&host).unwrap(), rows, columns, stride }
    }

    fn matrix(&self) -> Matrix<'_, T> {
        Matrix::new(self.buffer.view(), self.rows, self.columns, self.stride)
    }

    /// The matrix, if its transpose is stored.
    fn operand(&self, is_transposed: bool) -> Matrix<'_, T> {
        if is_transposed { self.matrix().transposed() } else { self.matrix() }
    }

    fn matrix_mut(&mut self) -> MatrixMut<'_, T> {
        MatrixMut::new(self.buffer.view_mut(), self.rows, self.columns, self.stride)
    }

    fn download(&self) -> Vec<T> {
        let host = self.buffer.view().to_vec().unwrap();
        let gaps = host.chunks(self.stride).flat_map(|row| &row[self.columns..]);
        assert!(gaps.into_iter().all(|x| x.to_f32().is_nan()), "written between rows");
        host.chunks(self.stride).flat_map(|row| row[..self.columns].to_vec()).collect()
    }
}

fn transpose<T: Copy>(x: &[T], columns: usize) -> Vec<T> {
    (0..columns).flat_map(|c| x.iter().skip(c).step_by(columns).copied()).collect()
}

#[derive(Clone)]
struct Case<T, O> {
    /// M, N and K.
    sizes: [usize; 3],
    a: Vec<T>,
    b: Vec<T>,
    out: Vec<O>,
    /// Whether a and b are stored as their transposes.
    transposes: (bool, bool),
    stride: fn(usize) -> usize,
    positions: Positions,
    single: SinglePrecision,
}

impl<T: Real, O: Real> Case<T, O> {
    fn new([rows, columns, inner]: [usize; 3], positions: Positions) -> Self {
        let mut random = Random::new((rows * 1000 + columns * 100 + inner) as u64);
        Self {
            sizes: [rows, columns, inner],
            a: held(&random.vector(rows * inner, -1.0, 1.0)),
            b: held(&random.vector(inner * columns, -1.0, 1.0)),
            out: held(&random.vector(rows * columns, -1.0, 1.0)),
            transposes: (false, false),
            stride: padded,
            positions,
            single: SinglePrecision::Full,
        }
    }

    fn run(&self, device: &Device, write: Write) -> Vec<O> {
        let [_, columns, inner] = self.sizes;
        let upload = |values: &[T], columns, is_transposed| match is_transposed {
            true => Stored::upload(device, &transpose(values, columns), values.len() / columns, self.stride),
            false => Stored::upload(device, values, columns, self.stride),
        };
        let (a, b) = (upload(&self.a, inner, self.transposes.0), upload(&self.b, columns, self.transposes.1));
        // What is replaced may be anything.
        let nans = vec![O::from_f32(f32::NAN); self.out.len()];
        let before = if write == Write::Set { &nans } else { &self.out };
        let mut out = Stored::upload(device, before, columns, self.stride);
        let (a, b) = (a.operand(self.transposes.0), b.operand(self.transposes.1));
        cuda::product(a, b, out.matrix_mut(), write, self.positions, self.single).unwrap();
        out.download()
    }

    fn run_reference(&self, write: Write) -> Vec<f64> {
        let [_, columns, inner] = self.sizes;
        let weight: Vec<f32> = transpose(&self.b, columns).iter().map(|x| x.to_f32()).collect();
        let matrix = PlainMatrix::new(Precision::Full, &weight, inner, None);
        let (a, mut out) = (widen(&self.a), widen(&self.out));
        reference::forward(Precision::Full, &matrix, Rows::new(&a, inner), RowsMut::new(&mut out, columns), write);
        out
    }

    /// The same with `count` positions from `first` on.
    fn part(&self, first: usize, count: usize) -> Self {
        let [rows, columns, inner] = self.sizes;
        match self.positions {
            Positions::Rows => Self {
                sizes: [count, columns, inner],
                a: self.a[first * inner..][..count * inner].to_vec(),
                out: part_of_rows(&self.out, columns, first, count),
                ..self.clone()
            },
            Positions::Columns => Self {
                sizes: [rows, count, inner],
                b: part_of_columns(&self.b, columns, first, count),
                out: part_of_columns(&self.out, columns, first, count),
                ..self.clone()
            },
            Positions::Inner => panic!("a sum of some positions is another"),
        }
    }

    /// Those of a result's elements that [`Self::part`] has.
    fn part_of(&self, out: &[O], first: usize, count: usize) -> Vec<O> {
        match self.positions {
            Positions::Rows => part_of_rows(out, self.sizes[1], first, count),
            _ => part_of_columns(out, self.sizes[1], first, count),
        }
    }
}

fn part_of_rows<T: Copy>(x: &[T], columns: usize, first: usize, count: usize) -> Vec<T> {
    x[first * columns..][..count * columns].to_vec()
}

fn part_of_columns<T: Copy>(x: &[T], columns: usize, first: usize, count: usize) -> Vec<T> {
    x.chunks(columns).flat_map(|row| &row[first..first + count]).copied().collect()
}

fn product_equals_reference<T: Real, O: Real>() {
    let Some(device) = testing::device() else { return };
    let odd = [1, 7, 33].map(|m| [1, 7, 33].map(|n| [1, 7, 33].map(|k| [m, n, k])));
    let sizes = odd.into_iter().flatten().flatten().chain([[100, 48, 256], [64, 300, 1000]]);
    for size in sizes {
        for positions in [Positions::Rows, Positions::Columns, Positions::Inner] {
            for transposes in TRANSPOSES {
                for stride in STRIDES {
                    let case = Case::<T, O> { transposes, stride, ..Case::new(size, positions) };
                    for write in [Write::Set, Write::Add] {
                        let what = format!("{} {} {size:?} {positions:?} {transposes:?}", T::NAME, O::NAME);
                        let what = format!("{what} stride {} of 7 {write:?}", stride(7));
                        let got = widen(&case.run(&device, write));
                        let bound = tolerance::<O>(4e-6);
                        assert_sums_close(&what, &got, &case.run_reference(write), size[2], bound);
                    }
                }
            }
        }
    }
}

#[test]
fn product_in_f32_equals_the_reference() {
    product_equals_reference::<f32, f32>();
}

#[test]
fn product_in_bf16_equals_the_reference() {
    product_equals_reference::<bf16, bf16>();
}

#[test]
fn product_of_bf16_in_f32_equals_the_reference() {
    product_equals_reference::<bf16, f32>();
}

/// Each operand is off by 2⁻¹¹ of itself at most, or by twice that where it is cut.
#[test]
fn product_in_tf32_is_as_close_as_its_operands() {
    let Some(device) = testing::device() else { return };
    for size in [[33, 7, 33], [100, 48, 256]] {
        let case = Case::<f32, f32> { single: SinglePrecision::Tf32, ..Case::new(size, Positions::Rows) };
        let got = case.run(&device, Write::Set);
        assert_sums_close(&format!("{size:?}"), &got, &case.run_reference(Write::Set), size[2], 2e-3);
    }
}

/// Of whole vectors: what is not aligned goes other ways.
fn bits_do_not_depend_on_the_number_of_positions<T: Real, O: Real>(single: SinglePrecision) {
    let Some(device) = testing::device() else { return };
    let len = 1008;
    for (outputs, inner) in [(512, 256), (33, 48), (16, 1536), (1024, 512)] {
        for positions in [Positions::Rows, Positions::Columns] {
            let size = if positions == Positions::Rows { [len, outputs, inner] } else { [outputs, len, inner] };
            for transposes in TRANSPOSES {
                let case = Case::<T, O> { transposes, single, ..Case::new(size, positions) };
                for write in [Write::Set, Write::Add] {
                    let whole = case.run(&device, write);
                    for (first, count) in [(0, 8), (520, 8), (1000, 8), (8, 16), (128, 64), (256, 496), (0, 1000)] {
                        let got = case.part(first, count).run(&device, write);
                        let what = format!("{} {} {size:?} {positions:?} {transposes:?}", T::NAME, O::NAME);
                        let expected = case.part_of(&whole, first, count);
                        assert!(got == expected, "{what} {single:?} {write:?}: {count} positions from {first}");
                    }
                }
            }
        }
    }
}

#[test]
fn bits_in_f32_do_not_depend_on_the_number_of_positions() {
    bits_do_not_depend_on_the_number_of_positions::<f32, f32>(SinglePrecision::Full);
}

#[test]
fn bits_in_tf32_do_not_depend_on_the_number_of_positions() {
    bits_do_not_depend_on_the_number_of_positions::<f32, f32>(SinglePrecision::Tf32);
}

#[test]
fn bits_in_bf16_do_not_depend_on_the_number_of_positions() {
    bits_do_not_depend_on_the_number_of_positions::<bf16, bf16>(SinglePrecision::Full);
    bits_do_not_depend_on_the_number_of_positions::<bf16, f32>(SinglePrecision::Full);
}

#[test]
fn two_runs_are_the_same_bits() {
    let Some(device) = testing::device() else { return };
    for (size, positions) in [([20_000, 64, 512], Positions::Rows), ([64, 48, 20_000], Positions::Inner)] {
        let case = Case::<bf16, f32>::new(size, positions);
        assert!(case.run(&device, Write::Add) == case.run(&device, Write::Add), "{size:?}");
        let case = Case::<f32, f32>::new(size, positions);
        assert!(case.run(&device, Write::Add) == case.run(&device, Write::Add), "{size:?}");
        // Another handle of the library, with no plans.
        let other = testing::device().unwrap();
        assert!(case.run(&device, Write::Set) == case.run(&other, Write::Set), "{size:?}");
    }
}

#[test]
fn more_sizes_than_plans_are_kept_for() {
    let Some(device) = testing::device() else { return };
    let (weight, x) = (device.upload(&[1.0_f32; 64]).unwrap(), device.upload(&vec![1.0_f32; 5000 * 8]).unwrap());
    let mut out = device.zeros::<f32>(5000 * 8).unwrap();
    let weight = Matrix::new(weight.view(), 8, 8, 8);
    for rows in (1..=5000).chain([1]) {
        let (x, out) = (Matrix::new(x.view(), rows, 8, 8), MatrixMut::new(out.view_mut(), rows, 8, 8));
        cuda::product(x, weight, out, Write::Add, Positions::Rows, SinglePrecision::Full).unwrap();
    }
    let out = out.view().to_vec().unwrap();
    assert_eq!((out[0], out[8], out[4999 * 8]), (5001.0 * 8.0, 4999.0 * 8.0, 8.0));
}

#[test]
fn products_of_nothing_are_zeros() {
    let Some(device) = testing::device() else { return };
    let nothing = device.zeros::<f32>(0).unwrap();
    let mut out = Stored::upload(&device, &[1.0_f32; 15], 5, padded);
    let (a, b) = (Matrix::new(nothing.view(), 3, 0, 0), Matrix::new(nothing.view(), 0, 5, 5));
    let full = SinglePrecision::Full;
    cuda::product(a, b, out.matrix_mut(), Write::Add, Positions::Inner, full).unwrap();
    assert_eq!(out.download(), [1.0; 15]);
    cuda::product(a, b, out.matrix_mut(), Write::Set, Positions::Inner, full).unwrap();
    assert_eq!(out.download(), [0.0; 15]);
    let mut whole = device.upload(&[1.0_f32; 15]).unwrap();
    let dense = MatrixMut::new(whole.view_mut(), 3, 5, 5);
    cuda::product(a, b, dense, Write::Set, Positions::Rows, full).unwrap();
    assert_eq!(whole.view().to_vec().unwrap(), [0.0; 15]);

    let mut none = device.zeros::<f32>(0).unwrap();
    let (x, weight) = (Matrix::new(nothing.view(), 0, 5, 5), Matrix::new(whole.view(), 5, 3, 3));
    cuda::product(x, weight, MatrixMut::new(none.view_mut(), 0, 3, 3), Write::Set, Positions::Rows, full).unwrap();
}

#[test]
#[should_panic(expected = "3 rows of 5 with a stride of 5 are 15 elements, found 14")]
fn rows_that_are_not_there_are_refused() {
    let Some(device) = testing::device() else {
        panic!("3 rows of 5 with a stride of 5 are 15 elements, found 14 (no device)")
    };
    Matrix::new(device.zeros::<f32>(14).unwrap().view(), 3, 5, 5);
}

/// Rows, columns: around a vector, a block's columns and rows, and a segment.
const BIASED: [(usize, usize); 8] =
    [(1, 1), (7, 33), (33, 7), (513, 31), (1500, 256), (12, 4096), (5, 9000), (3, 4097)];

fn bias_equals_reference<O: Real>() {
    let Some(device) = testing::device() else { return };
    for (rows, columns) in BIASED {
        for stride in STRIDES {
            let mut random = Random::new((rows * 1000 + columns) as u64);
            let x = held::<O>(&random.vector(rows * columns, -1.0, 1.0));
            let of_columns = random.vector(columns, -1.0, 1.0);
            let of_rows = random.vector(rows, -1.0, 1.0);
            let mut out = Stored::upload(&device, &x, columns, stride);
            cuda::add_bias_to_columns(device.upload(&of_columns).unwrap().view(), out.matrix_mut()).unwrap();
            let sum = |i: usize, bias: f32| O::from_f32(x[i].to_f32() + bias);
            let expected: Vec<O> = (0..x.len()).map(|i| sum(i, of_columns[i % columns])).collect();
            assert!(out.download() == expected, "{} {rows} x {columns}", O::NAME);

            let mut out = Stored::upload(&device, &x, columns, stride);
            cuda::add_bias_to_rows(device.upload(&of_rows).unwrap().view(), out.matrix_mut()).unwrap();
            let expected: Vec<O> = (0..x.len()).map(|i| sum(i, of_rows[i / columns])).collect();
            assert!(out.download() == expected, "{} {rows} x {columns}", O::NAME);
        }
    }
}

#[test]
fn biases_are_added_to_columns_and_rows() {
    bias_equals_reference::<f32>();
    bias_equals_reference::<bf16>();
}

fn bias_gradient_equals_reference<O: Real>() {
    let Some(device) = testing::device() else { return };
    for (rows, columns) in BIASED {
        for stride in STRIDES {
            let mut random = Random::new((rows * 1000 + columns) as u64);
            let d_out = held::<O>(&random.vector(rows * columns, -1.0, 1.0));
            let before = [random.vector(columns, -1.0, 1.0), random.vector(rows, -1.0, 1.0)];
            let stored = Stored::upload(&device, &d_out, columns, stride);
            let run = |is_transposed: bool| {
                let [mut of_columns, mut of_rows] = before.each_ref().map(|before| device.upload(before).unwrap());
                let matrix = stored.matrix();
                match is_transposed {
                    false => {
                        cuda::bias_gradient_of_columns(matrix, of_columns.view_mut()).unwrap();
                        cuda::bias_gradient_of_rows(matrix, of_rows.view_mut()).unwrap();
                    }
                    true => {
                        cuda::bias_gradient_of_rows(matrix.transposed(), of_columns.view_mut()).unwrap();
                        cuda::bias_gradient_of_columns(matrix.transposed(), of_rows.view_mut()).unwrap();
                    }
                }
                [of_columns, of_rows].map(|total| total.view().to_vec().unwrap())
            };
            let mut expected = before.each_ref().map(|before| crate::testing::widen(before));
            for (i, x) in widen(&d_out).into_iter().enumerate() {
                expected[0][i % columns] += x;
                expected[1][i / columns] += x;
            }
            let what = format!("{} {rows} x {columns}", O::NAME);
            let got = run(false);
            assert_close(&format!("{what} columns"), &got[0], &expected[0], 4e-6);
            assert_close(&format!("{what} rows"), &got[1], &expected[1], 4e-6);
            assert_eq!(got, run(false), "{what}: two runs");
            assert_eq!(got, run(true), "{what}: as the transpose");
        }
    }
}

#[test]
fn bias_gradients_are_sums_over_the_other_dimension() {
    bias_gradient_equals_reference::<f32>();
    bias_gradient_equals_reference::<bf16>();
}

#[test]
fn a_bias_gradient_of_no_positions_changes_nothing() {
    let Some(device) = testing::device() else { return };
    let nothing = device.zeros::<f32>(0).unwrap();
    let mut total = device.upload(&[1.0_f32, 2.0]).unwrap();
    cuda::bias_gradient_of_columns(Matrix::new(nothing.view(), 0, 2, 2), total.view_mut()).unwrap();
    cuda::bias_gradient_of_rows(Matrix::new(nothing.view(), 2, 0, 0), total.view_mut()).unwrap();
    assert_eq!(total.view().to_vec().unwrap(), [1.0, 2.0]);
}
