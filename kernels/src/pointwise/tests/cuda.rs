use half::bf16;

use crate::{
    cuda::{
        Buffer, CudaError, Device, Real, View, ViewMut, testing,
        testing::{held, widen},
    },
    pointwise::cuda,
    testing::{Random, nans},
};

const LENGTHS: &[usize] = &[0, 1, 7, 8, 9, 31, 32, 33, 1009, 2048, 2049, 100_003];

/// Elements that lie before the operands, so that they are aligned both, one of them, or neither.
const SHIFTS: &[(usize, usize)] = &[(0, 0), (0, 1), (3, 0), (5, 5)];

/// NaN that lie behind the operands.
const BEYOND: usize = 9;

/// What is done on the device and what on the host.
struct Operation<T: Real, U: Real> {
    on_device: fn(ViewMut<'_, T>, View<'_, U>) -> Result<(), CudaError>,
    on_host: fn(f32, f32) -> f32,
}

/// The elements on the device with NaN around them.
fn upload<T: Real>(device: &Device, x: &[T], shift: usize) -> Buffer<T> {
    let nan = T::from_f32(f32::NAN);
    device.upload(&[&vec![nan; shift], x, &[nan; BEYOND]].concat()).unwrap()
}

impl<T: Real, U: Real> Operation<T, U> {
    fn run(&self, device: &Device, out: &[T], x: &[U], (before_out, before_x): (usize, usize)) -> Vec<T> {
        let (mut out_buffer, x) = (upload(device, out, before_out), upload(device, x, before_x));
        let operand = x.view().slice(before_x..before_x + out.len());
        (self.on_device)(out_buffer.view_mut().slice(before_out..before_out + out.len()), operand).unwrap();
        let host = out_buffer.view().to_vec().unwrap();
        let (before, rest) = host.split_at(before_out);
        let (out, beyond) = rest.split_at(out.len());
        assert!(before.iter().chain(beyond).all(|x| x.to_f32().is_nan()), "written outside");
        out.to_vec()
    }

    fn check(&self, what: &str) {
        let Some(device) = testing::device() else { return };
        for &len in LENGTHS {
            let mut random = Random::new(len as u64);
            let out: Vec<T> = held(&random.vector(len, -2.0, 2.0));
            let x: Vec<U> = held(&random.vector(len, -2.0, 2.0));
            let of = |(out, x): (&T, &U)| T::from_f32((self.on_host)(out.to_f32(), x.to_f32()));
            let expected: Vec<T> = out.iter().zip(&x).map(of).collect();
            for &shifts in SHIFTS {
                let got = self.run(&device, &out, &x, shifts);
                assert!(got == expected, "{what} {} {} {len} {shifts:?}", T::NAME, U::NAME);
            }
        }
    }
}

fn adding<T: Real, U: Real>() -> Operation<T, U> {
    Operation { on_device: cuda::add, on_host: |sum, x| sum + x }
}

fn multiplying<T: Real>() -> Operation<T, T> {
    Operation { on_device: cuda::multiply, on_host: |product, x| product * x }
}

fn converting<T: Real, U: Real>() -> Operation<T, U> {
    Operation { on_device: |to, from| cuda::convert(from, to), on_host: |_, x| x }
}

#[test]
fn every_element_gets_its_partner_added() {
    adding::<f32, f32>().check("add");
    adding::<f32, bf16>().check("add");
    adding::<bf16, f32>().check("add");
    adding::<bf16, bf16>().check("add");
}

#[test]
fn every_element_is_multiplied_by_its_partner() {
    multiplying::<f32>().check("multiply");
    multiplying::<bf16>().check("multiply");
}

#[test]
fn every_element_is_converted() {
    converting::<f32, f32>().check("convert");
    converting::<f32, bf16>().check("convert");
    converting::<bf16, f32>().check("convert");
    converting::<bf16, bf16>().check("convert");
}

#[test]
fn ties_are_rounded_to_even() {
    let Some(device) = testing::device() else { return };
    let step = 2.0_f32.powi(-7);
    let x = [1.0 + 0.5 * step, 1.0 + 1.5 * step, -1.0 - 0.5 * step, f32::MAX, f32::NEG_INFINITY, -0.0];
    let expected = [1.0, 1.0 + 2.0 * step, -1.0, f32::INFINITY, f32::NEG_INFINITY, -0.0];
    // Eight at once, and one by one.
    for x in [&[x, x].concat()[..], &x] {
        let got = converting::<bf16, f32>().run(&device, &vec![bf16::ONE; x.len()], x, (0, 0));
        let bits = |x: f32| x.to_bits();
        let expected: Vec<u32> = expected.into_iter().cycle().take(x.len()).map(bits).collect();
        assert_eq!(got.into_iter().map(|x| bits(x.to_f32())).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_nan_stays_in_its_element() {
    let Some(device) = testing::device() else { return };
    let mut x = vec![1.0_f32; 21];
    x[3] = f32::NAN;
    x[20] = f32::NAN;
    let out = vec![bf16::ONE; 21];
    assert_eq!(nans(&widen(&adding().run(&device, &out, &x, (0, 0)))), [3, 20]);
    assert_eq!(nans(&widen(&converting().run(&device, &out, &x, (0, 0)))), [3, 20]);
    assert_eq!(nans(&multiplying().run(&device, &[1.0; 21], &x, (0, 0))), [3, 20]);
}

#[test]
#[should_panic(expected = "lengths of the operands")]
fn buffers_of_two_lengths_are_refused() {
    let Some(device) = testing::device() else { panic!("lengths of the operands (no device)") };
    let (x, mut product) = (device.zeros::<f32>(1).unwrap(), device.zeros::<f32>(2).unwrap());
    let _ = cuda::multiply(product.view_mut(), x.view());
}
