//! Sums over positions that blocks share.
//!
//! The gradient of a parameter is a sum over all positions. Each block of a kernel writes its own sums, in f32, to a
//! row of a buffer; then the rows are added here in f64 and a fixed order. No two runs differ, as they would if blocks
//! added to one number as they come.

use super::{CudaError, Grid, Program, View, ViewMut};

pub(crate) static PROGRAM: Program = Program::new("sums", include_str!("sums.cu"), &["add_columns"]);

const COLUMNS: usize = 32;
const GROUPS: u32 = 32;

/// Adds the sums of the columns from `first` on of `partial`, rows of `width`, to `total`.
///
/// # Errors
///
/// The kernel cannot be started.
///
/// # Panics
///
/// Panics if the buffer is not a whole number of rows or the columns do not lie inside them.
pub(crate) fn add_columns(
    partial: View<'_, f32>,
    width: usize,
    first: usize,
    total: ViewMut<'_, f32>,
) -> Result<(), CudaError> {
    assert!(partial.len().is_multiple_of(width), "{} sums are not a whole number of rows of {width}", partial.len());
    assert!(first + total.len() <= width, "columns {first}+{} of {width}", total.len());
    let (rows, count) = (partial.len() / width, total.len());
    let blocks = Grid::line(count.div_ceil(COLUMNS), COLUMNS as u32);
    let grid = Grid { threads: [COLUMNS as u32, GROUPS, 1], ..blocks };
    let launch = total.device().launch(&PROGRAM, "add_columns", grid)?;
    let launch = launch.input(partial).output(total);
    let launch = launch.value(rows as i64).value(width as i64).value(first as i64).value(count as i64);
    // SAFETY: the arguments are the kernel's; it reads `rows` rows of `width` and writes `count` totals, checked above.
    unsafe { launch.run() }
}

#[cfg(test)]
mod cuda {
    use super::*;
    use crate::{cuda::testing, testing::Random};

    #[test]
    fn columns_are_added_to_what_was_there() {
        let Some(device) = testing::device() else { return };
        for (rows, width, first, count) in [(0, 3, 0, 3), (1, 1, 0, 1), (33, 70, 5, 65), (5000, 100, 64, 36)] {
            let host = Random::new(rows as u64).vector(rows * width, -1.0, 1.0);
            let partial = device.upload(&host).unwrap();
            let run = || {
                let mut total = device.upload(&vec![0.5; count]).unwrap();
                add_columns(partial.view(), width, first, total.view_mut()).unwrap();
                total.view().to_vec().unwrap()
            };
            let expected =
                (first..first + count).map(|c| 0.5 + (0..rows).map(|i| f64::from(host[i * width + c])).sum::<f64>());
            let got = run();
            for (got, expected) in got.iter().zip(expected) {
                assert!((f64::from(*got) - expected).abs() <= 6e-8 * expected.abs() + 1e-13, "{got} {expected}");
            }
            assert_eq!(got, run(), "two runs");
        }
    }
}
