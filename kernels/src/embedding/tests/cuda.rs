use half::bf16;

use super::{LENGTHS, Random, WIDTHS, assert_close, ids, reference};
use crate::{
    cuda::{
        Device, Real, testing,
        testing::{held, widen},
    },
    embedding::cuda,
};

fn forward<R: Real>(device: &Device, table: &[f32], ids: &[u8], width: usize) -> Vec<R> {
    let (table, ids) = (device.upload(table).unwrap(), device.upload(ids).unwrap());
    let mut out = device.zeros::<R>(ids.len() * width).unwrap();
    cuda::forward(table.view(), ids.view(), out.view_mut()).unwrap();
    out.view().to_vec().unwrap()
}

fn backward<R: Real>(device: &Device, ids: &[u8], d_out: &[R], before: &[f32]) -> Vec<f32> {
    let (ids, d_out) = (device.upload(ids).unwrap(), device.upload(d_out).unwrap());
    let mut d_table = device.upload(before).unwrap();
    cuda::backward(ids.view(), d_out.view(), d_table.view_mut()).unwrap();
    d_table.view().to_vec().unwrap()
}

fn forward_copies_rows<R: Real>() {
    let Some(device) = testing::device() else { return };
    for &width in WIDTHS.iter().chain(&[256, 1000]) {
        let table = Random::new(width as u64).vector(12 * width, -1.0, 1.0);
        for &len in LENGTHS {
            let ids = ids(len, 12);
            let expected: Vec<f32> =
                ids.iter().flat_map(|&id| &table[usize::from(id) * width..][..width]).copied().collect();
            assert!(forward::<R>(&device, &table, &ids, width) == held::<R>(&expected), "D {width} L {len}");
        }
    }
}

fn backward_equals_reference<R: Real>() {
    let Some(device) = testing::device() else { return };
    for (vocabulary, widths) in [(12, &[1, 3, 17, 100, 256][..]), (65, &[100]), (256, &[70])] {
        for &width in widths {
            let before = Random::new(width as u64).vector(vocabulary * width, -1.0, 1.0);
            for &len in LENGTHS.iter().chain(&[5000]) {
                let ids = ids(len, vocabulary - 1);
                let d_out: Vec<R> = held(&Random::new(3).vector(len * width, -1.0, 1.0));
                let mut expected = crate::testing::widen(&before);
                reference::backward(&ids, &widen(&d_out), &mut expected);
                let got = backward(&device, &ids, &d_out, &before);
                // The sums are f32 whatever the type of the gradient.
                assert_close(&format!("{} D {width} L {len}", R::NAME), &got, &expected, 1e-6);
                let last = (vocabulary - 1) * width;
                assert_eq!(got[last..], before[last..], "a token that is nowhere");
                assert!(got == backward(&device, &ids, &d_out, &before), "two runs");
            }
        }
    }
}

#[test]
fn forward_in_f32_copies_the_rows() {
    forward_copies_rows::<f32>();
}

#[test]
fn forward_in_bf16_copies_the_rows() {
    forward_copies_rows::<bf16>();
}

#[test]
fn backward_in_f32_equals_the_reference() {
    backward_equals_reference::<f32>();
}

#[test]
fn backward_in_bf16_equals_the_reference() {
    backward_equals_reference::<bf16>();
}

#[test]
fn an_id_outside_the_table_has_a_row_of_nan_and_no_gradient() {
    let Some(device) = testing::device() else { return };
    let out = forward::<f32>(&device, &[1.0, 2.0, 3.0, 4.0], &[1, 2, 0, 255], 2);
    assert_eq!((&out[..2], &out[4..6]), (&[3.0, 4.0][..], &[1.0, 2.0][..]));
    assert!(out[2..4].iter().chain(&out[6..]).all(|x| x.is_nan()));
    let got = backward(&device, &[1, 2, 0, 255], &[1.0_f32; 8], &[0.0; 4]);
    assert_eq!(got, [1.0; 4]);
}

#[test]
fn no_ids_do_nothing() {
    let Some(device) = testing::device() else { return };
    assert!(forward::<f32>(&device, &[1.0], &[], 1).is_empty());
    assert_eq!(backward::<f32>(&device, &[], &[], &[1.0, 2.0]), [1.0, 2.0]);
}
