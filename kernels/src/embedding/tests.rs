use super::{complement_table, cpu, reference};
use crate::testing::{LENGTHS, Random, nans, widen};

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
