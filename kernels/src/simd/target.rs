//! Where tasks write.

use super::Vector;
use crate::{GradRows, RowsMut, Write};

/// Rows of which each task writes elements that no other touches.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The first element of the first row.
    pub(crate) at: *mut f32,
    /// Elements from the start of a row to the start of the next.
    pub(crate) stride: usize,
    write: Write,
}

// SAFETY: tasks have no element in common; where they are made says so.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    pub(crate) fn rows(mut rows: RowsMut<'_, f32>, write: Write) -> Self {
        Self { at: rows.as_mut_ptr(), stride: rows.stride(), write }
    }

    pub(crate) fn gradient(gradient: GradRows<'_, f32>) -> Self {
        Self::rows(gradient.rows, gradient.write)
    }

    /// The rows from row `t` on.
    pub(crate) fn rows_from(&self, t: usize) -> Self {
        Self { at: self.at.wrapping_add(t * self.stride), ..*self }
    }

    /// Sets or adds `lanes` elements of row `t` from element `d` on.
    #[inline(always)]
    pub(crate) unsafe fn put<V: Vector>(&self, value: V, t: usize, d: usize, lanes: usize) {
        // SAFETY: the caller promises that the row has these elements.
        unsafe {
            let to = self.at.add(t * self.stride + d);
            let value = match self.write {
                Write::Set => value,
                Write::Add => value.add(V::load_first(to, lanes)),
            };
            value.store_first(to, lanes);
        }
    }
}
