//! Steps on a GPU beside the rooms' references at L = 1.

#[cfg(feature = "cuda")]
mod weights;

/// Tests that need a GPU.
#[cfg(feature = "cuda")]
mod cuda {
    use half::bf16;

    use super::weights::{MAMBA, MAMBA2, Sizes, Truth, Weights};
    use crate::{
        cuda::{Device, Real, testing},
        step::{
            BASES, Choice,
            cuda::{NOT_FINITE, Stepper},
        },
        testing::{Random, assert_close},
    };

    const EVERY_BASE: Choice = Choice { temperature: 1.0, top_k: 4 };

    /// One sequence alone, few, a tile with one more, and more than a warp's lanes.
    const SEQUENCES: [usize; 5] = [1, 2, 5, 9, 33];

    fn sizes() -> impl Iterator<Item = Sizes> {
        MAMBA.into_iter().chain(MAMBA2)
    }

    /// A stepper whose sequences begin from states of their own: the n-th has the same whatever others there are.
    fn stepper<'a, T: Real>(weights: &'a Weights<T>, choice: Choice, which: &[usize], block: usize) -> Stepper<'a, T> {
        let mut stepper = Stepper::new(weights.model(), choice, which.len(), block).unwrap();
        for layer in 0..weights.layers() {
            let state = |of: fn(&Truth) -> Vec<Vec<f32>>| -> Vec<f32> {
                which.iter().flat_map(|&n| of(&weights.truth(n))[layer].clone()).collect()
            };
            let [mut conv, mut scan] = stepper.state_mut(layer);
            conv.write(&state(Truth::conv)).unwrap();
            scan.write(&state(Truth::scan)).unwrap();
        }
        stepper
    }

    /// Logits and the states of all layers.
    fn found<T: Real>(stepper: &Stepper<'_, T>, layers: usize) -> Vec<Vec<f32>> {
        let states = (0..layers).flat_map(|layer| stepper.state(layer).map(|state| state.to_vec().unwrap()));
        [stepper.logits().to_vec().unwrap()].into_iter().chain(states).collect()
    }

    fn ids(count: usize, step: usize) -> Vec<u8> {
        (0..count).map(|n| ((n * 5 + step * 3 + n * step) % 6) as u8).collect()
    }

    fn steps_equal_the_reference<T: Real>() {
        let Some(device) = testing::device() else { return };
        for sizes in sizes() {
            let weights = Weights::<T>::new(&device, sizes);
            for count in SEQUENCES {
                let which: Vec<usize> = (0..count).collect();
                let mut stepper = stepper(&weights, EVERY_BASE, &which, 1);
                let mut truths: Vec<Truth> = which.iter().map(|&n| weights.truth(n)).collect();
                for step in 0..3 {
                    let ids = ids(count, step);
                    stepper.feed(&ids).unwrap();
                    truths.iter_mut().zip(&ids).for_each(|(truth, &id)| weights.step(truth, id));
                    let what = format!("{} {sizes:?} S {count} step {step}", T::NAME);
                    let all = |of: &dyn Fn(&Truth) -> Vec<f64>| -> Vec<f64> { truths.iter().flat_map(of).collect() };
                    let found = found(&stepper, weights.layers());
                    for layer in 0..weights.layers() {
                        let conv = all(&|truth| truth.conv_of(layer));
                        if !conv.is_empty() {
                            assert_close(&format!("{what}: convolution {layer}"), &found[1 + 2 * layer], &conv, 2e-5);
                        }
                        let scan = all(&|truth| truth.scan_of(layer));
                        assert_close(&format!("{what}: scan {layer}"), &found[2 + 2 * layer], &scan, 2e-5);
                    }
                    assert_close(&format!("{what}: logits"), &found[0], &all(&|truth| truth.logits.to_vec()), 2e-5);
                }
            }
        }
    }

    #[test]
    fn steps_in_f32_equal_the_reference() {
        steps_equal_the_reference::<f32>();
    }

    #[test]
    fn steps_in_bf16_equal_the_reference() {
        steps_equal_the_reference::<bf16>();
    }

    /// Enough sequences for the kernels that have several rows a warp.
    const MANY: usize = 321;

    fn bits_are_a_sequence_s_own<T: Real>() {
        let Some(device) = testing::device() else { return };
        for sizes in sizes() {
            let weights = Weights::<T>::new(&device, sizes);
            let run = |which: &[usize]| {
                let mut stepper = stepper(&weights, EVERY_BASE, which, 1);
                for step in 0..3 {
                    let all = ids(MANY, step);
                    stepper.feed(&which.iter().map(|&n| all[n]).collect::<Vec<_>>()).unwrap();
                }
                found(&stepper, weights.layers())
            };
            let together = run(&(0..MANY).collect::<Vec<_>>());
            for which in [vec![0], vec![320], vec![7, 3, 131], (20..30).collect()] {
                for (i, (found, all)) in run(&which).iter().zip(&together).enumerate() {
                    let size = all.len() / MANY;
                    for (place, &n) in which.iter().enumerate() {
                        let (own, among) = (&found[place * size..][..size], &all[n * size..][..size]);
                        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                        let what = if i == 0 { "logits" } else { "state" };
                        let differing = bits(own).iter().zip(&bits(among)).filter(|(x, y)| x != y).count();
                        assert!(
                            differing == 0,
                            "{} {sizes:?}: {differing} of {size} bits of {what} {i} of sequence {n} among {which:?}",
                            T::NAME
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_sequence_has_the_same_bits_whatever_others_there_are() {
        bits_are_a_sequence_s_own::<f32>();
        bits_are_a_sequence_s_own::<bf16>();
    }

    /// Logits of which some are equal, some zeros of either sign, and some far apart.
    fn logits(count: usize) -> Vec<[f32; BASES]> {
        let mut random = Random::new(9);
        let few = [0.0, -0.0, 1.0, 1.0, -3.5, f32::MIN_POSITIVE, -1e-40, 80.0];
        let mut draw = |i: usize| match i % 3 {
            0 => random.uniform(-4.0, 4.0),
            1 => few[random.below(few.len())],
            _ => random.uniform(-1.0, 1.0) * 1e30,
        };
        (0..count).map(|i| [0; BASES].map(|_| draw(i))).collect()
    }

    fn units(count: usize) -> Vec<f64> {
        let mut random = Random::new(10);
        let ends = [0.0, 1.0 - f64::EPSILON / 2.0, 0.5, 0.25];
        (0..count).map(|i| if i % 5 == 0 { ends[i / 5 % 4] } else { random.uniform(0.0, 1.0).into() }).collect()
    }

    fn chosen(device: &Device, choice: Choice, logits: &[[f32; BASES]], units: &[f64]) -> Vec<u8> {
        let weights = Weights::<f32>::new(device, MAMBA[0]);
        let mut stepper = Stepper::new(weights.model(), choice, logits.len(), 1).unwrap();
        stepper.logits_mut().write(logits.as_flattened()).unwrap();
        stepper.begin(units).unwrap();
        let mut chosen = vec![77; logits.len()];
        stepper.finish(&mut chosen).unwrap();
        chosen
    }

    #[test]
    fn bases_are_chosen_as_on_the_cpu() {
        let Some(device) = testing::device() else { return };
        let (logits, units) = (logits(3001), units(3001));
        for temperature in [0.0, 1.0, 0.3, 7.0, 1e-300] {
            for top_k in 1..=4 {
                let choice = Choice { temperature, top_k };
                let found = chosen(&device, choice, &logits, &units);
                for (i, &found) in found.iter().enumerate() {
                    let expected = choice.choose(logits[i], units[i]).map(|base| base as u8);
                    assert_eq!(Some(found), expected, "{choice:?}, sequence {i}: {:?} at {}", logits[i], units[i]);
                }
            }
        }
    }

    #[test]
    fn logits_that_are_not_finite_are_told() {
        let Some(device) = testing::device() else { return };
        let mut logits = vec![[0.5, 1.0, -2.0, 0.0]; 9];
        (logits[1][0], logits[4][3], logits[8][2]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        let expected = [1, NOT_FINITE, 1, 1, NOT_FINITE, 1, 1, 1, NOT_FINITE];
        assert_eq!(chosen(&device, Choice { temperature: 0.0, top_k: 4 }, &logits, &[0.5; 9]), expected);
    }

    /// Draws blocks of these numbers of steps, and returns the bases and what is there then.
    fn drawn<T: Real>(weights: &Weights<T>, which: &[usize], blocks: &[usize]) -> (Vec<u8>, Vec<Vec<f32>>) {
        let units = units(which.len() * blocks.iter().sum::<usize>());
        let (mut rest, mut all) = (&units[..], Vec::new());
        let mut stepper = stepper(weights, EVERY_BASE, which, *blocks.iter().max().unwrap());
        for steps in blocks {
            let (block, after) = rest.split_at(steps * which.len());
            stepper.begin(block).unwrap();
            let mut chosen = vec![77; block.len()];
            stepper.finish(&mut chosen).unwrap();
            all.extend(chosen);
            rest = after;
        }
        (all, found(&stepper, weights.layers()))
    }

    #[test]
    fn a_graph_does_what_its_launches_do() {
        let Some(device) = testing::device() else { return };
        for sizes in [MAMBA[1], MAMBA[2], MAMBA2[0]] {
            let weights = Weights::<bf16>::new(&device, sizes);
            let which: Vec<usize> = (0..7).collect();
            let (bases, end) = drawn(&weights, &which, &[40]);
            let mut stepper = stepper(&weights, EVERY_BASE, &which, 40);
            stepper.units.view_mut().write(&units(40 * 7)).unwrap();
            for _ in 0..40 {
                stepper.draw_by_launches().unwrap();
            }
            let mut chosen = vec![77; bases.len()];
            stepper.finish(&mut chosen).unwrap();
            assert_eq!(chosen, bases, "{sizes:?}");
            assert!(found(&stepper, weights.layers()) == end, "{sizes:?}: states or logits");
            assert!(bases.iter().all(|&base| base < 4), "{sizes:?}: {bases:?}");
            assert!((0..4).all(|base| bases.contains(&base)), "{sizes:?}: {bases:?}");
        }
    }

    #[test]
    fn blocks_go_on_from_each_other() {
        let Some(device) = testing::device() else { return };
        let weights = Weights::<f32>::new(&device, MAMBA[1]);
        let whole = drawn(&weights, &[0, 1, 2], &[40]);
        for blocks in [&[1, 39][..], &[17, 1, 22], &[20, 20]] {
            assert!(drawn(&weights, &[0, 1, 2], blocks) == whole, "{blocks:?}");
        }
    }

    #[test]
    fn what_is_drawn_is_what_is_fed() {
        let Some(device) = testing::device() else { return };
        for sizes in sizes() {
            let weights = Weights::<bf16>::new(&device, sizes);
            let which = [4, 0, 9];
            let (bases, end) = drawn(&weights, &which, &[12]);
            let mut fed = stepper(&weights, EVERY_BASE, &which, 1);
            for bases in bases.chunks(3) {
                let ids: Vec<u8> = bases.iter().map(|&base| weights.bases()[usize::from(base)]).collect();
                fed.feed(&ids).unwrap();
            }
            assert!(found(&fed, weights.layers()) == end, "{sizes:?}");
        }
    }

    #[test]
    #[should_panic(expected = "an id for each sequence")]
    fn an_id_for_each_sequence_is_needed() {
        let Some(device) = testing::device() else { panic!("an id for each sequence (no device)") };
        let weights = Weights::<f32>::new(&device, MAMBA[0]);
        let _ = Stepper::new(weights.model(), EVERY_BASE, 2, 1).unwrap().feed(&[1]);
    }
}
