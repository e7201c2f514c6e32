//! Views of `[L, D]` buffers with a stride.

/// A read-only view of rows: row `t` is `data[t * stride..][..width]`.
#[derive(Debug)]
pub struct Rows<'a, S> {
    data: &'a [S],
    width: usize,
    stride: usize,
}

impl<S> Clone for Rows<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Rows<'_, S> {}

impl<'a, S> Rows<'a, S> {
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
        check(data.len(), stride, first, width);
        Self { data: &data[first.min(data.len())..], width, stride }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len().div_ceil(self.stride)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Columns of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Elements from the start of a row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `t`.
    pub fn row(&self, t: usize) -> &'a [S] {
        &self.data[t * self.stride..][..self.width]
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
    width: usize,
    stride: usize,
}

impl<'a, S> RowsMut<'a, S> {
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
        check(data.len(), stride, first, width);
        let first = first.min(data.len());
        Self { data: &mut data[first..], width, stride }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len().div_ceil(self.stride)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Columns of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Elements from the start of a row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The same view for a shorter time.
    pub fn reborrow(&mut self) -> RowsMut<'_, S> {
        RowsMut { data: self.data, width: self.width, stride: self.stride }
    }

    /// Row `t`.
    pub fn row(&mut self, t: usize) -> &mut [S] {
        &mut self.data[t * self.stride..][..self.width]
    }

    /// The first element of the first row.
    pub fn as_mut_ptr(&mut self) -> *mut S {
        self.data.as_mut_ptr()
    }
}

fn check(len: usize, stride: usize, first: usize, width: usize) {
    assert!(width > 0 && first + width <= stride, "columns {first}+{width} outside a row of {stride}");
    assert_eq!(len % stride, 0, "a buffer of {len} is not a whole number of rows of {stride}");
}
