//! What the algorithm of a product on a GPU is chosen for; no GPU is needed to try that.

use crate::{
    cuda::blas::{Layout, Number, Problem},
    linear::cuda::{NOMINAL, Positions, nominal},
};

/// A product as a mixer has it, with `len` positions, in time-contiguous rows of `b` and `out` or channel-contiguous ones.
fn problem(positions: Positions, len: usize, stride: usize) -> Problem {
    let layout = |stride, is_transposed| Layout { stride, alignment: 16, is_transposed };
    let sizes = Problem {
        operands: Number::Bf16,
        result: Number::Bf16,
        is_tf32: false,
        rows: 512,
        columns: 512,
        inner: 256,
        a: layout(256, false),
        b: layout(512, false),
        out: layout(512, false),
    };
    match positions {
        // The transpose of time-contiguous rows by a weight.
        Positions::Rows => Problem { rows: len, a: layout(stride, true), ..sizes },
        // A weight by time-contiguous rows.
        Positions::Columns => Problem { columns: len, b: layout(stride, false), out: layout(stride, false), ..sizes },
        Positions::Inner => Problem { inner: len, a: layout(stride, false), b: layout(stride, true), ..sizes },
    }
}

#[test]
fn the_algorithm_is_chosen_for_the_same_whatever_the_number_of_positions() {
    for positions in [Positions::Rows, Positions::Columns] {
        let nominals = [(1, 8), (7, 8), (1000, 1000), (1000, 1008), (1 << 20, 1 << 20)];
        let nominals = nominals.map(|(len, stride)| nominal(problem(positions, len, stride), positions).unwrap());
        assert!(nominals.iter().all(|nominal| *nominal == nominals[0]), "{nominals:?}");
    }
}

#[test]
fn the_nominal_problem_has_as_many_positions_and_fits_their_stride() {
    let rows = nominal(problem(Positions::Rows, 5, 8), Positions::Rows).unwrap();
    assert_eq!((rows.rows, rows.columns, rows.inner), (NOMINAL, 512, 256));
    assert_eq!((rows.a.stride, rows.b.stride, rows.out.stride), (NOMINAL, 512, 512));
    let columns = nominal(problem(Positions::Columns, 5, 8), Positions::Columns).unwrap();
    assert_eq!((columns.rows, columns.columns, columns.inner), (512, NOMINAL, 256));
    assert_eq!((columns.a.stride, columns.b.stride, columns.out.stride), (256, NOMINAL, NOMINAL));
}

#[test]
fn rows_that_are_less_aligned_are_so_in_the_nominal_problem() {
    for (stride, expected) in [(8, 0), (12, 4), (1002, 2), (1001, 1)] {
        let nominal = nominal(problem(Positions::Columns, 5, stride), Positions::Columns).unwrap();
        assert_eq!((nominal.b.stride, nominal.out.stride), (NOMINAL + expected, NOMINAL + expected), "{stride}");
    }
}

#[test]
fn sums_over_positions_are_for_their_own_number() {
    assert_eq!(nominal(problem(Positions::Inner, 1000, 1000), Positions::Inner), None);
}
