use super::{MAX_KERNEL, Params, cpu, reference};
use crate::{
    Direction, Rows,
    simd::Level,
    testing::{LENGTHS, Random, assert_close, nans, widen},
};

/// `(channels, taps, has a bias)`
const SIZES: &[(usize, usize, bool)] = &[(1, 1, true), (5, 3, false), (16, 4, true), (100, 4, true), (33, 7, false)];
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Reverse];

mod backward;
#[cfg(feature = "cuda")]
mod cuda;

struct Case {
    channels: usize,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    state: Vec<f32>,
}

fn case(len: usize, (channels, kernel, has_bias): (usize, usize, bool)) -> Case {
    let mut random = Random::new((len * 100 + channels) as u64);
    Case {
        channels,
        x: random.vector(len * (channels + 1), -2.0, 2.0),
        weight: random.vector(kernel * channels, -1.0, 1.0),
        bias: has_bias.then(|| random.vector(channels, -1.0, 1.0)),
        state: random.vector((kernel - 1) * channels, -2.0, 2.0),
    }
}

impl Case {
    /// Runs rows `from..to` from `state`, which is left as the kernel leaves it.
    fn run(&self, level: Level, direction: Direction, from: usize, to: usize, state: &mut [f32]) -> Vec<f32> {
        let mut out = vec![0.0; (to - from) * self.channels];
        let stride = self.channels + 1;
        let x = Rows::columns(&self.x[from * stride..to * stride], stride, 1, self.channels);
        let params = Params { weight: &self.weight, bias: self.bias.as_deref() };
        cpu::forward(level, &params, direction, x, state, &mut out);
        out
    }

    fn reference(&self, direction: Direction) -> (Vec<f64>, Vec<f64>) {
        let (x, weight, mut state) = (widen(&self.x), widen(&self.weight), widen(&self.state));
        let bias = self.bias.as_deref().map(widen);
        let x = Rows::columns(&x, self.channels + 1, 1, self.channels);
        let mut out = vec![0.0; x.len() * self.channels];
        let params = Params { weight: &weight, bias: bias.as_deref() };
        reference::forward(&params, direction, x, &mut state, &mut out);
        (out, state)
    }
}

#[test]
fn cpu_equals_reference() {
    for &size in SIZES {
        for &len in LENGTHS {
            let case = case(len, size);
            for direction in DIRECTIONS {
                let (expected, expected_state) = case.reference(direction);
                for level in Level::available() {
                    let what = format!("{level} {size:?} L {len} {direction:?}");
                    let mut state = case.state.clone();
                    let got = case.run(level, direction, 0, len, &mut state);
                    assert_close(&what, &got, &expected, 1e-6);
                    assert_eq!(widen(&state), expected_state, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_cut_anywhere_gives_the_same_bits() {
    for &size in SIZES {
        let case = case(769, size);
        for level in Level::available() {
            for cut in [1, 2, 7, 256, 767, 768] {
                let mut whole_state = case.state.clone();
                let whole = case.run(level, Direction::Forward, 0, 769, &mut whole_state);
                let mut state = case.state.clone();
                let mut parts = case.run(level, Direction::Forward, 0, cut, &mut state);
                parts.extend(case.run(level, Direction::Forward, cut, 769, &mut state));
                assert_eq!((whole, whole_state), (parts, state), "forward, cut at {cut}");

                let mut whole_state = case.state.clone();
                let whole = case.run(level, Direction::Reverse, 0, 769, &mut whole_state);
                let mut state = case.state.clone();
                let tail = case.run(level, Direction::Reverse, cut, 769, &mut state);
                let mut parts = case.run(level, Direction::Reverse, 0, cut, &mut state);
                parts.extend(tail);
                assert_eq!((whole, whole_state), (parts, state), "reverse, cut at {cut}");
            }
        }
    }
}

#[test]
fn a_nan_reaches_what_its_taps_reach() {
    let size = (17, 4, true);
    let (len, channels) = (9, 17);
    for level in Level::available() {
        for (direction, reached) in DIRECTIONS.into_iter().zip([3..7, 0..4]) {
            let mut case = case(len, size);
            case.x[3 * (channels + 1) + 1 + 16] = f32::NAN;
            let mut state = case.state.clone();
            let found = nans(&case.run(level, direction, 0, len, &mut state));
            assert_eq!(found, reached.map(|t| t * channels + 16).collect::<Vec<_>>(), "{level} {direction:?}");
        }
        let mut case = case(len, size);
        case.weight[5] = f32::NAN;
        let found = nans(&case.run(level, Direction::Forward, 0, len, &mut case.state.clone()));
        assert_eq!(found, (0..len).map(|t| t * channels + 5).collect::<Vec<_>>(), "{level}");
    }
}

#[test]
#[should_panic(expected = "17 taps, at most 16 are supported")]
fn more_taps_than_are_supported_are_refused() {
    let weight = [1.0; MAX_KERNEL + 1];
    let params = Params { weight: &weight, bias: None };
    reference::forward(&params, Direction::Forward, Rows::new(&[1.0], 1), &mut [0.0; MAX_KERNEL], &mut [0.0]);
}

#[test]
fn as_many_taps_as_are_supported_are_summed() {
    let size = (3, MAX_KERNEL, true);
    let case = case(33, size);
    for direction in DIRECTIONS {
        let (expected, expected_state) = case.reference(direction);
        for level in Level::available() {
            let mut state = case.state.clone();
            assert_close("out", &case.run(level, direction, 0, 33, &mut state), &expected, 1e-6);
            assert_eq!(widen(&state), expected_state, "state");
        }
    }
}
