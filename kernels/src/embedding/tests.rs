use super::{add_complement, complement_table, cpu, reference};
use crate::testing::{LENGTHS, Random, assert_close, central_differences, dot, nans, widen};

#[cfg(feature = "cuda")]
mod cuda;

const WIDTHS: &[usize] = &[1, 3, 16, 17, 100];

fn ids(len: usize, vocabulary: usize) -> Vec<u8> {
    let mut random = Random::new(len as u64);
    (0..len).map(|_| random.below(vocabulary) as u8).collect()
}

#[test]
fn both_implementations_copy_the_rows() {
    for &width in WIDTHS {
        let table = Random::new(width as u64).vector(12 * width, -1.0, 1.0);
        for &len in LENGTHS {
            let ids = ids(len, 12);
            let expected: Vec<f32> =
                ids.iter().flat_map(|&id| &table[usize::from(id) * width..][..width]).copied().collect();
            let mut got = vec![0.0; len * width];
            cpu::forward(&table, &ids, &mut got);
            assert_eq!(got, expected);
            let mut wide = vec![0.0; len * width];
            reference::forward(&widen(&table), &ids, &mut wide);
            assert_eq!(wide, widen(&expected));
        }
    }
}

#[test]
fn no_ids_give_no_rows() {
    cpu::forward(&[1.0, 2.0], &[], &mut []);
    reference::forward(&[1.0, 2.0], &[], &mut []);
}

#[test]
#[should_panic(expected = "id 12 at position 2 lies outside a vocabulary of 12")]
fn an_id_outside_the_table_is_refused() {
    cpu::forward(&[0.0; 24], &[0, 11, 12], &mut [0.0; 6]);
}

#[test]
fn embedding_with_the_complement_table_is_embedding_the_complement() {
    let map = [0, 1, 5, 4, 3, 2];
    let table = Random::new(1).vector(6 * 5, -1.0, 1.0);
    let ids = ids(40, 6);
    let complements: Vec<u8> = ids.iter().map(|&id| map[usize::from(id)]).collect();
    let (mut got, mut expected) = (vec![0.0; 200], vec![0.0; 200]);
    cpu::forward(&complement_table(&table, 5, &map), &ids, &mut got);
    cpu::forward(&table, &complements, &mut expected);
    assert_eq!(got, expected);
}

#[test]
#[should_panic(expected = "the complement 9 of token 1 lies outside a vocabulary of 2")]
fn a_complement_outside_the_vocabulary_is_refused() {
    complement_table(&[0.0; 4], 2, &[0, 9]);
}

#[test]
fn a_nan_is_copied() {
    let mut out = [0.0; 6];
    cpu::forward(&[1.0, f32::NAN, 2.0, 3.0], &[1, 0, 1], &mut out);
    assert_eq!(nans(&out), [3]);
}

fn run_backward(ids: &[u8], d_out: &[f32], before: &[f32]) -> Vec<f32> {
    let mut d_table = before.to_vec();
    cpu::backward(ids, d_out, &mut d_table);
    d_table
}

#[test]
fn backward_adds_each_row_to_that_of_its_token() {
    for &width in WIDTHS {
        let before = Random::new(width as u64).vector(12 * width, -1.0, 1.0);
        for &len in LENGTHS {
            let (ids, d_out) = (ids(len, 11), Random::new(3).vector(len * width, -1.0, 1.0));
            let mut expected = widen(&before);
            reference::backward(&ids, &widen(&d_out), &mut expected);
            let got = run_backward(&ids, &d_out, &before);
            assert_close(&format!("D {width} L {len}"), &got, &expected, 1e-6);
            assert_eq!(got[11 * width..], before[11 * width..], "a token that is nowhere");
        }
    }
}

#[test]
fn reference_gradients_are_those_of_central_differences() {
    let (width, ids) = (3, ids(9, 4));
    let (table, d_out) = (widen(&Random::new(1).vector(4 * width, -1.0, 1.0)), Random::new(2).vector(27, -1.0, 1.0));
    let mut d_table = vec![0.0; table.len()];
    reference::backward(&ids, &widen(&d_out), &mut d_table);
    let expected = central_differences(&table, |table| {
        let mut out = vec![0.0; 27];
        reference::forward(table, &ids, &mut out);
        dot(&widen(&d_out), &out)
    });
    assert_close("table", &d_table, &expected, 1e-9);
}

#[test]
fn backward_does_not_depend_on_threads() {
    let (ids, d_out) = (ids(20_000, 12), Random::new(4).vector(20_000 * 50, -1.0, 1.0));
    let [one, three, again] = [1, 3, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run_backward(&ids, &d_out, &[0.5; 12 * 50]))
    });
    assert!(one == three && three == again);
}

#[test]
fn the_gradient_of_a_complement_table_goes_back_to_the_rows_it_came_from() {
    let (width, map) = (5, [0, 1, 5, 4, 3, 2]);
    let ids = ids(40, 6);
    let complements: Vec<u8> = ids.iter().map(|&id| map[usize::from(id)]).collect();
    let d_out = Random::new(6).vector(40 * width, -1.0, 1.0);
    let d_complement = run_backward(&ids, &d_out, &[0.0; 30]);
    let mut got = vec![1.0; 30];
    add_complement(&d_complement, width, &map, &mut got);
    assert_close("complement", &got, &widen(&run_backward(&complements, &d_out, &[1.0; 30])), 1e-6);
}

#[test]
fn a_nan_reaches_its_token() {
    let mut d_out = [1.0; 6];
    d_out[3] = f32::NAN;
    assert_eq!(nans(&run_backward(&[2, 1, 2], &d_out, &[0.0; 6])), [3]);
}
