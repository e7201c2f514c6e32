//! The selective scan on a GPU, against the exponentials that it needs.
//!
//! Floor: one exponential an element forward and two backward, at the rate of the special function units: 16 a clock and
//! multiprocessor, at the highest clock that the driver names.

use std::{cell::RefCell, time::Instant};

use anyhow::Context;
use half::bf16;
use longstrand_kernels::{
    Direction, Write,
    cuda::{Buffer, Device, Real, TimeRows, TimeRowsMut, padded_stride},
    selective_scan::cuda as scan,
};

use super::device_row;
use crate::report::{Report, median};

/// Sequences, channels, states, positions.
const CASES: &[(usize, usize, usize, usize)] = &[
    (1, 512, 16, 4_096),
    (1, 512, 16, 131_072),
    (1, 512, 16, 1 << 20),
    (8, 512, 16, 131_072),
    (16, 512, 16, 8_192),
    (128, 512, 16, 1_024),
    (1, 1_536, 16, 131_072),
    (1, 384, 8, 1_000_003),
];

const ROUNDS: usize = 7;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let device = Device::open(0).context("the benchmark of GPU kernels needs a GPU")?;
    let rate = 16.0 * f64::from(device.multiprocessors()) * device.clock_hz();
    device_row(report, &device, &[("G exponentials/s at most", rate / 1e9)])?;
    for &case in CASES {
        measure::<bf16>(report, &device, rate, case)?;
        measure::<f32>(report, &device, rate, case)?;
    }
    Ok(())
}

fn measure<T: Real>(
    report: &mut Report,
    device: &Device,
    rate: f64,
    case: (usize, usize, usize, usize),
) -> anyhow::Result<()> {
    let (batch, channels, states, len) = case;
    let scan = Scan::<T>::new(device, case)?;
    let elements = (batch * channels * states * len) as f64;
    let mut row = |pass: &str, exponentials: f64, seconds: f64| {
        report.row(
            &format!("scan {} B {batch} D {channels} N {states} L {len}, {pass}", T::NAME),
            &[("ms", seconds * 1e3), ("of the exp rate", exponentials * elements / seconds / rate)],
        );
    };
    row("forward, gated", 1.0, seconds(device, || scan.forward(true, None))?);
    row("forward, leaving borders", 1.0, seconds(device, || scan.forward(false, Some(&scan.borders)))?);
    row("backward", 2.0, seconds(device, || scan.backward())?);
    Ok(())
}

/// The median time of one call, each round long enough for what starts and ends it not to count.
fn seconds(device: &Device, work: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let round = |calls: u32| -> anyhow::Result<f64> {
        device.synchronize()?;
        let start = Instant::now();
        (0..calls).try_for_each(|_| work())?;
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64() / f64::from(calls))
    };
    round(1)?;
    let calls = (5e-3 / round(2)?).clamp(1.0, 50.0) as u32;
    Ok(median((0..ROUNDS).map(|_| round(calls)).collect::<anyhow::Result<_>>()?))
}

/// Everything on the device.
struct Scan<T: Real> {
    sizes: (usize, usize, usize, usize),
    /// u, Δ, z or the gradient of q, and y or the gradients of u and Δ: `[B, D, L]`.
    wide: [Buffer<T>; 3],
    outputs: [RefCell<Buffer<T>>; 2],
    /// B, C: `[B, N, L]`, and their gradients.
    narrow: [Buffer<T>; 2],
    d_narrow: [RefCell<Buffer<T>>; 2],
    a: Buffer<f32>,
    d: Buffer<f32>,
    bias: Buffer<f32>,
    d_params: [RefCell<Buffer<f32>>; 3],
    state: RefCell<Buffer<f32>>,
    borders: RefCell<Buffer<f32>>,
}

impl<T: Real> Scan<T> {
    fn new(device: &Device, sizes: (usize, usize, usize, usize)) -> anyhow::Result<Self> {
        let (batch, channels, states, len) = sizes;
        let stride = padded_stride(len);
        let numbers = |rows: usize, from: f32, to: f32| -> anyhow::Result<Buffer<T>> {
            let span = to - from;
            let at = |i: usize| T::from_f32(from + span * ((i * 7919) % 1999) as f32 / 1999.0);
            Ok(device.upload(&(0..rows * stride).map(at).collect::<Vec<_>>())?)
        };
        let (wide, narrow) = (batch * channels, batch * states);
        let a: Vec<f32> = (0..states * channels).map(|i| -0.5 - (i / channels) as f32).collect();
        Ok(Self {
            sizes,
            wide: [numbers(wide, -1.0, 1.0)?, numbers(wide, -2.0, 1.0)?, numbers(wide, -2.0, 2.0)?],
            outputs: [device.zeros(wide * stride)?.into(), device.zeros(wide * stride)?.into()],
            narrow: [numbers(narrow, -1.0, 1.0)?, numbers(narrow, -1.0, 1.0)?],
            d_narrow: [device.zeros(narrow * stride)?.into(), device.zeros(narrow * stride)?.into()],
            a: device.upload(&a)?,
            d: device.upload(&vec![1.0; channels])?,
            bias: device.upload(&vec![-3.0; channels])?,
            d_params: [
                device.zeros(states * channels)?.into(),
                device.zeros(channels)?.into(),
                device.zeros(channels)?.into(),
            ],
            state: device.zeros(batch * states * channels)?.into(),
            borders: device.zeros(scan::borders_len(batch, len, states, channels))?.into(),
        })
    }

    fn wide_rows<'a>(&self, buffer: &'a Buffer<T>) -> TimeRows<'a, T> {
        let (batch, channels, _, len) = self.sizes;
        TimeRows::new(buffer.view(), batch, channels, len, padded_stride(len))
    }

    fn narrow_rows<'a>(&self, buffer: &'a Buffer<T>) -> TimeRows<'a, T> {
        let (batch, _, states, len) = self.sizes;
        TimeRows::new(buffer.view(), batch, states, len, padded_stride(len))
    }

    fn wide_rows_mut<'a>(&self, buffer: &'a mut Buffer<T>) -> TimeRowsMut<'a, T> {
        let (batch, channels, _, len) = self.sizes;
        TimeRowsMut::new(buffer.view_mut(), batch, channels, len, padded_stride(len))
    }

    fn narrow_rows_mut<'a>(&self, buffer: &'a mut Buffer<T>) -> TimeRowsMut<'a, T> {
        let (batch, _, states, len) = self.sizes;
        TimeRowsMut::new(buffer.view_mut(), batch, states, len, padded_stride(len))
    }

    fn params(&self) -> scan::Params<'_> {
        scan::Params { a: self.a.view(), d: self.d.view(), delta_bias: self.bias.view() }
    }

    fn inputs(&self) -> scan::Inputs<'_, T> {
        let [u, delta, _] = &self.wide;
        scan::Inputs { u: self.wide_rows(u), delta: self.wide_rows(delta), b: self.narrow_rows(&self.narrow[0]) }
    }

    fn forward(&self, gated: bool, borders: Option<&RefCell<Buffer<f32>>>) -> anyhow::Result<()> {
        let (mut y, mut state) = (self.outputs[0].borrow_mut(), self.state.borrow_mut());
        let mut borders = borders.map(|borders| borders.borrow_mut());
        let output = scan::Output {
            c: self.narrow_rows(&self.narrow[1]),
            z: gated.then(|| self.wide_rows(&self.wide[2])),
            y: self.wide_rows_mut(&mut y),
            write: Write::Set,
        };
        let borders = borders.as_mut().map(|borders| borders.view_mut());
        let (params, inputs) = (self.params(), self.inputs());
        Ok(scan::forward(&params, Direction::Forward, &inputs, state.view_mut(), Some(output), borders)?)
    }

    fn backward(&self) -> anyhow::Result<()> {
        let [mut d_u, mut d_delta] = self.outputs.each_ref().map(|x| x.borrow_mut());
        let [mut d_b, mut d_c] = self.d_narrow.each_ref().map(|x| x.borrow_mut());
        let [mut d_a, mut d_d, mut d_bias] = self.d_params.each_ref().map(|x| x.borrow_mut());
        let (mut d_state, borders) = (self.state.borrow_mut(), self.borders.borrow());
        let readout = scan::Readout { c: self.narrow_rows(&self.narrow[1]), d_q: self.wide_rows(&self.wide[2]) };
        let d_inputs = scan::GradInputs {
            d_u: (self.wide_rows_mut(&mut d_u), Write::Set),
            d_delta: (self.wide_rows_mut(&mut d_delta), Write::Set),
            d_b: (self.narrow_rows_mut(&mut d_b), Write::Set),
            d_c: (self.narrow_rows_mut(&mut d_c), Write::Set),
        };
        let d_params = scan::GradParams { d_a: d_a.view_mut(), d_d: d_d.view_mut(), d_delta_bias: d_bias.view_mut() };
        let (params, inputs, d_state) = (self.params(), self.inputs(), d_state.view_mut());
        let direction = Direction::Forward;
        Ok(scan::backward(&params, direction, &inputs, borders.view(), &readout, d_state, d_inputs, d_params)?)
    }
}
