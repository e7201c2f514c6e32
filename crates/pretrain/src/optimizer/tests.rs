use super::*;
use crate::random::{Draws, Purpose};

const OPTIONS: AdamWOptions = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
const SHAPES: [(&str, &[usize]); 3] = [("a.weight", &[200, 201]), ("a.bias", &[7]), ("A_log", &[3, 4])];

fn values(seed: u64, tensor: usize) -> Vec<f32> {
    let draws = Draws::new(seed, Purpose::Initial, 0, tensor as u32);
    (0..SHAPES[tensor].1.iter().product::<usize>() as u64).map(|i| draws.unit(i) as f32 - 0.5).collect()
}

fn tensors(seed: u64) -> Vec<Vec<f32>> {
    (0..SHAPES.len()).map(|tensor| values(seed, tensor)).collect()
}

fn slices(tensors: &[Vec<f32>]) -> Vec<&[f32]> {
    tensors.iter().map(Vec::as_slice).collect()
}

fn run(optimizer: &mut AdamW, parameters: &mut [Vec<f32>], steps: std::ops::Range<u64>) {
    for step in steps {
        let gradients = tensors(100 + step);
        let mut parameters: Vec<&mut [f32]> = parameters.iter_mut().map(Vec::as_mut_slice).collect();
        optimizer.update(1e-2 / (1.0 + step as f64), 0.5, &mut parameters, &slices(&gradients));
    }
}

/// The formulas, in f64.
fn expected(steps: u64) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = tensors(1).into_iter().map(|t| t.into_iter().map(f64::from).collect()).collect();
    for (tensor, parameters) in all.iter_mut().enumerate() {
        let decay = if tensor == 0 { 0.1 } else { 0.0 };
        for (i, p) in parameters.iter_mut().enumerate() {
            let (mut m, mut v) = (0.0, 0.0);
            for step in 0..steps {
                let rate = 1e-2 / (1.0 + step as f64);
                let g =
                    f64::from(Draws::new(100 + step, Purpose::Initial, 0, tensor as u32).unit(i as u64) as f32 - 0.5)
                        * 0.5;
                *p -= rate * decay * *p;
                m = 0.9 * m + 0.1 * g;
                v = 0.95 * v + 0.05 * g * g;
                let (m_hat, v_hat) =
                    (m / (1.0 - 0.9_f64.powi(step as i32 + 1)), v / (1.0 - 0.95_f64.powi(step as i32 + 1)));
                *p -= rate * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
    }
    all
}

#[test]
fn updates_are_the_formulas() {
    let mut optimizer = AdamW::new(OPTIONS, SHAPES);
    let mut parameters = tensors(1);
    run(&mut optimizer, &mut parameters, 0..6);
    for (found, expected) in parameters.iter().flatten().zip(expected(6).iter().flatten()) {
        assert!((f64::from(*found) - expected).abs() < 3e-7, "{found} {expected}");
    }
    let decaying: Vec<bool> = optimizer.tensors().map(|(_, decays)| decays).collect();
    assert_eq!(decaying, [true, false, false]);
    assert_eq!((optimizer.step(), optimizer.bytes()), (6, 8 * (40_200 + 7 + 12)));
}

#[test]
fn a_restored_state_goes_on_bit_for_bit() {
    let mut whole = AdamW::new(OPTIONS, SHAPES);
    let mut parameters = tensors(1);
    run(&mut whole, &mut parameters, 0..3);
    let state: Vec<(String, Vec<f32>)> = whole.state().map(|(name, values)| (name, values.to_vec())).collect();
    let mut resumed = AdamW::new(OPTIONS, SHAPES);
    resumed.restore(3, state.clone()).unwrap();
    let mut copy = parameters.clone();
    run(&mut whole, &mut parameters, 3..6);
    run(&mut resumed, &mut copy, 3..6);
    assert_eq!(parameters, copy);
    assert_eq!(whole, resumed);

    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["exp_avg.a.weight", "exp_avg_sq.a.weight"]);
    let error = |state: Vec<(String, Vec<f32>)>| resumed.clone().restore(3, state).unwrap_err().to_string();
    assert_eq!(error(state[1..].to_vec()), "optimizer state: expected a tensor exp_avg.a.weight, found none");
    let mut more = state.clone();
    more.push(("step".into(), vec![1.0]));
    assert!(error(more).contains("the tensor step is not"));
    let mut shorter = state.clone();
    shorter[2].1.pop();
    assert_eq!(error(shorter), "optimizer state: tensor exp_avg.a.bias: expected 7 elements, found 6");
    let twice: Vec<_> = state.iter().chain(&state[..1]).cloned().collect();
    assert!(error(twice).contains("or is twice"));
}

#[test]
fn threads_change_no_bit() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut parameters = tensors(1);
        pool.install(|| run(&mut AdamW::new(OPTIONS, SHAPES), &mut parameters, 0..2));
        parameters
    };
    assert_eq!(with(1), with(3));
}
