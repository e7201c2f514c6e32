//! Buffers of more than 2^31 elements: their last rows are what the kernels make of these rows alone.

mod cuda {
    use half::bf16;

    use crate::{
        Direction, Write, causal_conv1d,
        cuda::{Buffer, Device, Real, TimeRows, TimeRowsMut, testing},
        embedding,
        linear::cuda::{Matrix, MatrixMut, Positions, SinglePrecision, product},
        norm, pointwise, selective_scan,
        testing::Random,
    };

    /// Channels and positions of mixers, and their states and taps.
    const CHANNELS: usize = 512;
    const LEN: usize = (1 << 22) + 8;
    const STATES: usize = 4;
    const TAPS: usize = 4;

    /// Channels that are computed again, alone: as many as a block of the scan's way back has at a time, since the order of its
    /// sums depends on a channel's place among them.
    const PART: usize = 16;

    /// Width and number of rows outside mixers, and how many are computed again.
    const WIDTH: usize = 256;
    const ROWS: usize = (1 << 23) + 24;
    const LAST_ROWS: usize = 64;

    /// Memory that the largest of the tests takes.
    const NEEDED: u64 = 40 << 30;

    /// The device, if it has room.
    fn device() -> Option<Device> {
        let device = testing::device()?;
        let is_large = device.free_bytes().unwrap() >= NEEDED;
        #[allow(clippy::print_stderr, reason = "a test says that it is skipped")]
        if !is_large {
            eprintln!("skipped: a GPU with less than 40 GiB of free memory");
        }
        is_large.then_some(device)
    }

    /// Numbers that repeat after a length that is no multiple of a row's.
    fn numbers<T: Real>(device: &Device, len: usize, seed: u64) -> Buffer<T> {
        let period = (1 << 24) - 3;
        let block: Vec<T> = Random::new(seed).vector(period, -1.0, 1.0).into_iter().map(T::from_f32).collect();
        let block = device.upload(&block).unwrap();
        let mut all = device.buffer(len).unwrap();
        for start in (0..len).step_by(period) {
            let count = period.min(len - start);
            all.view_mut().slice(start..start + count).copy_from(block.view().slice(..count)).unwrap();
        }
        all
    }

    fn plane(device: &Device, seed: u64) -> Buffer<bf16> {
        numbers(device, CHANNELS * LEN, seed)
    }

    fn rows<T: Real>(plane: &Buffer<T>, channels: usize) -> TimeRows<'_, T> {
        TimeRows::new(plane.view(), 1, channels, LEN, LEN)
    }

    fn rows_mut<T: Real>(plane: &mut Buffer<T>, channels: usize) -> TimeRowsMut<'_, T> {
        TimeRowsMut::new(plane.view_mut(), 1, channels, LEN, LEN)
    }

    /// The last channels of a plane.
    fn last(plane: &Buffer<bf16>) -> Vec<bf16> {
        plane.view().slice((CHANNELS - PART) * LEN..).to_vec().unwrap()
    }

    fn assert_same<T: PartialEq>(found: &[T], expected: &[T], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
        assert_eq!(differs, None, "{what}: the first element that differs");
    }

    #[test]
    fn the_convolution_reaches_the_last_channels() {
        let Some(device) = device() else { return };
        let x = plane(&device, 1);
        let (weight, bias) = (numbers::<f32>(&device, TAPS * CHANNELS, 2), numbers::<f32>(&device, CHANNELS, 3));
        let mut out = device.buffer::<bf16>(CHANNELS * LEN).unwrap();
        let mut state = device.zeros::<f32>(CHANNELS * (TAPS - 1)).unwrap();
        let params = causal_conv1d::cuda::Params { weight: weight.view(), bias: Some(bias.view()) };
        let (of_out, of_state) = (rows_mut(&mut out, CHANNELS), state.view_mut());
        causal_conv1d::cuda::forward(&params, Direction::Reverse, rows(&x, CHANNELS), of_state, of_out).unwrap();

        let weight = device.upload(&last_columns(&weight, TAPS)).unwrap();
        let params =
            causal_conv1d::cuda::Params { weight: weight.view(), bias: Some(bias.view().slice(CHANNELS - PART..)) };
        let mut alone = device.buffer::<bf16>(PART * LEN).unwrap();
        let mut state = device.zeros::<f32>(PART * (TAPS - 1)).unwrap();
        let (x, of_alone) = (rows(&x, CHANNELS).part(CHANNELS - PART, PART), rows_mut(&mut alone, PART));
        causal_conv1d::cuda::forward(&params, Direction::Reverse, x, state.view_mut(), of_alone).unwrap();
        assert_same(&last(&out), &alone.view().to_vec().unwrap(), "out");
    }

    /// The last columns of `[count, CHANNELS]`.
    fn last_columns(x: &Buffer<f32>, count: usize) -> Vec<f32> {
        let x = x.view().to_vec().unwrap();
        (0..count).flat_map(|i| x[(i + 1) * CHANNELS - PART..(i + 1) * CHANNELS].to_vec()).collect()
    }

    /// What a scan leaves on its ways forward and back.
    struct Scanned {
        y: Buffer<bf16>,
        d_u: Buffer<bf16>,
        d_delta: Buffer<bf16>,
        d_a: Buffer<f32>,
    }

    /// Scans channels of `u`, `delta` and `d_q`, with parameters `[STATES, channels]`.
    fn scan(
        device: &Device,
        [u, delta, d_q]: [TimeRows<'_, bf16>; 3],
        [b, c]: [&Buffer<bf16>; 2],
        [a, d, bias]: [&Buffer<f32>; 3],
    ) -> Scanned {
        let channels = u.channels();
        let params = selective_scan::cuda::Params { a: a.view(), d: d.view(), delta_bias: bias.view() };
        let inputs = selective_scan::cuda::Inputs { u, delta, b: rows(b, STATES) };
        let mut y = device.buffer::<bf16>(channels * LEN).unwrap();
        let mut state = device.zeros::<f32>(STATES * channels).unwrap();
        let size = selective_scan::cuda::borders_len(1, LEN, STATES, channels);
        let mut borders = device.buffer::<f32>(size).unwrap();
        let of_y = rows_mut(&mut y, channels);
        let output = selective_scan::cuda::Output { c: rows(c, STATES), z: None, y: of_y, write: Write::Set };
        let (of_state, of_borders) = (state.view_mut(), Some(borders.view_mut()));
        selective_scan::cuda::forward(&params, Direction::Forward, &inputs, of_state, Some(output), of_borders)
            .unwrap();
        let plane = |channels: usize| device.buffer::<bf16>(channels * LEN).unwrap();
        let (mut d_u, mut d_delta, mut d_b, mut d_c) = (plane(channels), plane(channels), plane(STATES), plane(STATES));
        let [mut d_a, mut d_d, mut d_bias] =
            [STATES * channels, channels, channels].map(|len| device.zeros::<f32>(len).unwrap());
        let mut d_state = device.zeros::<f32>(STATES * channels).unwrap();
        let readout = selective_scan::cuda::Readout { c: rows(c, STATES), d_q };
        let d_inputs = selective_scan::cuda::GradInputs {
            d_u: (rows_mut(&mut d_u, channels), Write::Set),
            d_delta: (rows_mut(&mut d_delta, channels), Write::Set),
            d_b: (rows_mut(&mut d_b, STATES), Write::Set),
            d_c: (rows_mut(&mut d_c, STATES), Write::Set),
        };
        let d_params = selective_scan::cuda::GradParams {
            d_a: d_a.view_mut(),
            d_d: d_d.view_mut(),
            d_delta_bias: d_bias.view_mut(),
        };
        let (forward, at, of_state) = (Direction::Forward, borders.view(), d_state.view_mut());
        selective_scan::cuda::backward(&params, forward, &inputs, at, &readout, of_state, d_inputs, d_params).unwrap();
        Scanned { y, d_u, d_delta, d_a }
    }

    #[test]
    fn the_scan_and_its_gradients_reach_the_last_channels() {
        let Some(device) = device() else { return };
        let [u, delta, d_q] = [1, 2, 3].map(|seed| plane(&device, seed));
        let [b, c] = [4, 5].map(|seed| numbers::<bf16>(&device, STATES * LEN, seed));
        let decay = Random::new(6).vector(STATES * CHANNELS, -8.0, -0.1);
        let [a, d, bias] =
            [decay, Random::new(7).vector(CHANNELS, -1.0, 1.0), Random::new(8).vector(CHANNELS, -3.0, 0.0)]
                .map(|x| device.upload(&x).unwrap());
        let all = [&u, &delta, &d_q];
        let whole = scan(&device, all.map(|x| rows(x, CHANNELS)), [&b, &c], [&a, &d, &bias]);
        let [a, d, bias] =
            [(&a, STATES), (&d, 1), (&bias, 1)].map(|(x, count)| device.upload(&last_columns(x, count)).unwrap());
        let parts = all.map(|x| rows(x, CHANNELS).part(CHANNELS - PART, PART));
        let alone = scan(&device, parts, [&b, &c], [&a, &d, &bias]);
        for (what, whole, alone) in
            [("y", &whole.y, &alone.y), ("d_u", &whole.d_u, &alone.d_u), ("d_delta", &whole.d_delta, &alone.d_delta)]
        {
            assert_same(&last(whole), &alone.view().to_vec().unwrap(), what);
        }
        assert_same(&last_columns(&whole.d_a, STATES), &alone.d_a.view().to_vec().unwrap(), "d_a");
    }

    #[test]
    fn rows_outside_mixers_are_reached_to_the_last() {
        let Some(device) = device() else { return };
        let tail = (ROWS - LAST_ROWS) * WIDTH..;
        let ids: Vec<u8> = (0..ROWS).map(|i| (i * i % 16) as u8).collect();
        let (table, weight) = (numbers::<f32>(&device, 16 * WIDTH, 1), numbers::<f32>(&device, WIDTH, 2));
        let ids = device.upload(&ids).unwrap();
        let mut stream = device.buffer::<f32>(ROWS * WIDTH).unwrap();
        embedding::cuda::forward(table.view(), ids.view(), stream.view_mut()).unwrap();
        let mut alone = device.buffer::<f32>(LAST_ROWS * WIDTH).unwrap();
        let last_ids = ids.view().slice(ROWS - LAST_ROWS..);
        embedding::cuda::forward(table.view(), last_ids, alone.view_mut()).unwrap();
        let of = |x: &Buffer<f32>| x.view().slice(tail.clone()).to_vec().unwrap();
        assert_same(&of(&stream), &alone.view().to_vec().unwrap(), "embedding");

        let x = numbers::<bf16>(&device, ROWS * WIDTH, 3);
        pointwise::cuda::add(stream.view_mut(), x.view()).unwrap();
        pointwise::cuda::add(alone.view_mut(), x.view().slice(tail.clone())).unwrap();
        assert_same(&of(&stream), &alone.view().to_vec().unwrap(), "sum");

        let params = norm::cuda::Params { kind: norm::Kind::Rms, epsilon: 1e-5, weight: weight.view(), bias: None };
        let (mut normed, mut normed_alone) = (x, device.buffer::<bf16>(LAST_ROWS * WIDTH).unwrap());
        norm::cuda::forward(&params, norm::cuda::Input::Stream(stream.view()), normed.view_mut()).unwrap();
        norm::cuda::forward(&params, norm::cuda::Input::Stream(alone.view()), normed_alone.view_mut()).unwrap();
        let found = normed.view().slice(tail.clone()).to_vec().unwrap();
        assert_same(&found, &normed_alone.view().to_vec().unwrap(), "norm");

        let matrix = numbers::<bf16>(&device, WIDTH * WIDTH, 4);
        let multiply = |x: &Buffer<bf16>, rows: usize, out: &mut Buffer<f32>| {
            let (x, by) = (Matrix::new(x.view(), rows, WIDTH, WIDTH), Matrix::new(matrix.view(), WIDTH, WIDTH, WIDTH));
            let out = MatrixMut::new(out.view_mut(), rows, WIDTH, WIDTH);
            product(x, by, out, Write::Set, Positions::Rows, SinglePrecision::Full).unwrap();
        };
        multiply(&normed, ROWS, &mut stream);
        multiply(&normed_alone, LAST_ROWS, &mut alone);
        assert_same(&of(&stream), &alone.view().to_vec().unwrap(), "product");
    }
}
