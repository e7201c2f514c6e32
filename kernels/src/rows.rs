//! Views of `[L, D]` buffers with a stride.

use std::ops::{Add, Range};

use rayon::prelude::*;

use crate::Write;

/// Where the rows of a view lie in its data, which begins with the first element of the first row.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    width: usize,
    stride: usize,
}

impl Shape {
    /// The rows of `width` columns, from column `first` on, in a buffer of `len` elements.
    fn new(len: usize, stride: usize, first: usize, width: usize) -> Self {
        assert!(
            width > 0 && first.checked_add(width).is_some_and(|end| end <= stride),
            "columns {first}+{width} outside a row of {stride}"
        );
        assert_eq!(len % stride, 0, "a buffer of {len} is not a whole number of rows of {stride}");
        Self { rows: len / stride, width, stride }
    }

    fn row(self, t: usize) -> Range<usize> {
        assert!(t < self.rows, "row {t} of {}", self.rows);
        // An existing row has a start inside the data: nothing wraps.
        let start = t * self.stride;
        start..start + self.width
    }
}

/// Methods that both views have.
macro_rules! shape_methods {
    () => {
        /// Number of rows.
        pub fn len(&self) -> usize {
            self.shape.rows
        }

        /// Whether there are no rows.
        pub fn is_empty(&self) -> bool {
            self.shape.rows == 0
        }

        /// Columns of a row.
        pub fn width(&self) -> usize {
            self.shape.width
        }

        /// Elements from the start of a row to the start of the next.
        pub fn stride(&self) -> usize {
            self.shape.stride
        }
    };
}

/// A read-only view of rows: row `t` is `data[t * stride..][..width]`.
#[derive(Debug)]
pub struct Rows<'a, S> {
    data: &'a [S],
    shape: Shape,
}

impl<S> Clone for Rows<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Rows<'_, S> {}

impl<'a, S> Rows<'a, S> {
    shape_methods!();

    /// Views a buffer whose rows are `width` wide and follow each other directly.
    ///
    /// # Panics
    ///
    /// Panics if the buffer is not a whole number of rows.
    pub fn new(data: &'a [S], width: usize) -> Self {
        Self::columns(data, width, 0, width)
    }

    /// Views `width` columns, from column `first` on, of a buffer whose rows are `stride` wide.
    ///
    /// # Panics
    ///
    /// Panics if the buffer is not a whole number of rows or the columns do not lie inside them.
    pub fn columns(data: &'a [S], stride: usize, first: usize, width: usize) -> Self {
        let shape = Shape::new(data.len(), stride, first, width);
        Self { data: &data[first.min(data.len())..], shape }
    }

    /// Row `t`.
    ///
    /// # Panics
    ///
    /// Panics if there are no more than `t` rows.
    pub fn row(&self, t: usize) -> &'a [S] {
        &self.data[self.shape.row(t)]
    }

    /// The first element of the first row.
    pub fn as_ptr(&self) -> *const S {
        self.data.as_ptr()
    }
}

/// A view of rows that can be written: row `t` is `data[t * stride..][..width]`.
#[derive(Debug)]
pub struct RowsMut<'a, S> {
    data: &'a mut [S],
    shape: Shape,
}

impl<'a, S> RowsMut<'a, S> {
    shape_methods!();

    /// Views a buffer whose rows are `width` wide and follow each other directly.
    ///
    /// # Panics
    ///
    /// Panics if the buffer is not a whole number of rows.
    pub fn new(data: &'a mut [S], width: usize) -> Self {
        Self::columns(data, width, 0, width)
    }

    /// Views `width` columns, from column `first` on, of a buffer whose rows are `stride` wide.
    ///
    /// # Panics
    ///
    /// Panics if the buffer is not a whole number of rows or the columns do not lie inside them.
    pub fn columns(data: &'a mut [S], stride: usize, first: usize, width: usize) -> Self {
        let shape = Shape::new(data.len(), stride, first, width);
        let first = first.min(data.len());
        Self { data: &mut data[first..], shape }
    }

    /// The same view for a shorter time.
    pub fn reborrow(&mut self) -> RowsMut<'_, S> {
        RowsMut { data: self.data, shape: self.shape }
    }

    /// Row `t`.
    ///
    /// # Panics
    ///
    /// Panics if there are no more than `t` rows.
    pub fn row(&mut self, t: usize) -> &mut [S] {
        &mut self.data[self.shape.row(t)]
    }

    /// Pieces of `rows` rows for the threads of the pool, from the first on; the last may have fewer.
    pub(crate) fn par_blocks(self, rows: usize) -> impl IndexedParallelIterator<Item = RowsMut<'a, S>>
    where
        S: Send,
    {
        let Shape { width, stride, .. } = self.shape;
        self.data.par_chunks_mut(rows * stride).map(move |data| {
            // The last row of a piece may end where its columns do.
            let rows = (data.len() + stride - width) / stride;
            RowsMut { data, shape: Shape { rows, width, stride } }
        })
    }

    /// The first element of the first row.
    pub fn as_mut_ptr(&mut self) -> *mut S {
        self.data.as_mut_ptr()
    }
}

/// Where the gradient of an activation goes: rows, and whether they are set or added to.
#[derive(Debug)]
pub struct GradRows<'a, S> {
    /// The rows.
    pub rows: RowsMut<'a, S>,
    /// What becomes of their former values.
    pub write: Write,
}

impl<'a, S> GradRows<'a, S> {
    /// Replaces what is in `rows`.
    pub fn set(rows: RowsMut<'a, S>) -> Self {
        Self { rows, write: Write::Set }
    }

    /// Adds to what is in `rows`.
    pub fn add(rows: RowsMut<'a, S>) -> Self {
        Self { rows, write: Write::Add }
    }

    /// Number of rows and columns of a row.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.rows.len(), self.rows.width())
    }

    /// Sets element `i` of row `t` to `value`, or adds it.
    pub(crate) fn put(&mut self, t: usize, i: usize, value: S)
    where
        S: Copy + Add<Output = S>,
    {
        let element = &mut self.rows.row(t)[i];
        *element = match self.write {
            Write::Set => value,
            Write::Add => *element + value,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_is_set_or_added() {
        let mut data = [1.0, 2.0, 3.0, 4.0];
        GradRows::set(RowsMut::columns(&mut data, 2, 1, 1)).put(1, 0, 7.0);
        GradRows::add(RowsMut::columns(&mut data, 2, 1, 1)).put(0, 0, 7.0);
        assert_eq!(data, [1.0, 9.0, 3.0, 7.0]);
    }

    #[test]
    fn pieces_have_all_rows_in_order() {
        for (stride, first, width) in [(4, 1, 2), (4, 0, 4), (4, 2, 2), (3, 0, 1)] {
            for len in [0, 1, 2, 5, 6] {
                let mut data = vec![0; len * stride];
                let whole = RowsMut::columns(&mut data, stride, first, width);
                whole.par_blocks(2).enumerate().for_each(|(i, mut block)| {
                    for t in 0..block.len() {
                        block.row(t).fill(1 + 2 * i + t);
                    }
                });
                let found: Vec<_> = data.chunks(stride).map(|row| row[first..][..width].to_vec()).collect();
                assert_eq!(found, (1..=len).map(|t| vec![t; width]).collect::<Vec<_>>());
                assert_eq!(data.iter().filter(|&&x| x > 0).count(), len * width);
            }
        }
    }

    #[test]
    fn rows_are_the_columns_asked_for() {
        let mut data: Vec<usize> = (0..12).collect();
        let rows = Rows::columns(&data, 4, 1, 2);
        assert_eq!((rows.len(), rows.width(), rows.stride()), (3, 2, 4));
        assert_eq!([rows.row(0), rows.row(1), rows.row(2)], [[1, 2], [5, 6], [9, 10]]);
        let mut rows = RowsMut::columns(&mut data, 4, 2, 2);
        rows.reborrow().row(2).fill(0);
        assert_eq!(data, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]);
    }

    #[test]
    fn a_buffer_of_nothing_has_no_rows() {
        let rows = Rows::<f32>::columns(&[], 4, 1, 2);
        assert!(rows.is_empty());
        assert_eq!(rows.len(), 0);
    }

    #[test]
    #[should_panic(expected = "columns 18446744073709551615+2 outside a row of 4")]
    #[cfg(target_pointer_width = "64")]
    fn columns_whose_end_wraps_are_refused() {
        Rows::columns(&[0.0; 8], 4, usize::MAX, 2);
    }

    #[test]
    #[should_panic(expected = "row 9223372036854775808 of 2")]
    #[cfg(target_pointer_width = "64")]
    fn a_row_whose_start_wraps_is_refused() {
        Rows::new(&[0.0; 8], 4).row(1 << 63);
    }

    #[test]
    #[should_panic(expected = "a buffer of 7 is not a whole number of rows of 4")]
    fn a_part_of_a_row_is_refused() {
        RowsMut::new(&mut [0.0; 7], 4);
    }
}
