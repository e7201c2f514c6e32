//! What comes from a device, in memory of the host that is used again.
//!
//! Fresh memory costs more than the copy into it: the system gives it page by page. So a buffer goes back to where it came from
//! when the last who holds rows of it lets go.

use std::sync::{Arc, Mutex, PoisonError};

use longstrand_kernels::Rows;

/// Buffers that are kept for later at most.
const FREE: usize = 4;

/// Buffers that are used again.
#[derive(Clone, Debug, Default)]
pub(super) struct HostMemory(Arc<Mutex<Vec<Vec<f32>>>>);

/// A buffer on loan.
#[derive(Debug)]
pub(super) struct Lent {
    values: Vec<f32>,
    home: HostMemory,
}

/// Rows that follow each other directly, in a buffer that they share with others.
#[derive(Clone, Debug)]
pub struct SharedRows {
    buffer: Arc<Lent>,
    start: usize,
    /// Numbers of all rows.
    len: usize,
    width: usize,
}

impl HostMemory {
    /// A buffer of so many numbers, of any value, or more.
    pub(super) fn lend(&self, len: usize) -> Lent {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values = free.pop().unwrap_or_default();
        drop(free);
        if values.len() < len {
            // What was there is not copied into what is new.
            values.clear();
            values.resize(len, 0.0);
        }
        Lent { values, home: self.clone() }
    }
}

impl Lent {
    /// The first numbers.
    pub(super) fn first(&mut self, len: usize) -> &mut [f32] {
        &mut self.values[..len]
    }

    /// The same, to be read.
    pub(super) fn filled(&self, len: usize) -> &[f32] {
        &self.values[..len]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut free = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < FREE {
            free.push(std::mem::take(&mut self.values));
        }
    }
}

impl SharedRows {
    /// Some of the numbers of a buffer.
    pub(super) fn part(buffer: &Arc<Lent>, start: usize, len: usize, width: usize) -> Self {
        assert!(start + len <= buffer.values.len(), "numbers {start}+{len} of {}", buffer.values.len());
        Self { buffer: buffer.clone(), start, len, width }
    }

    /// Rows of their own.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        let len = values.len();
        let buffer = Arc::new(Lent { values, home: HostMemory::default() });
        Self { buffer, start: 0, len, width }
    }

    /// The rows.
    pub fn rows(&self) -> Rows<'_, f32> {
        Rows::new(&self.buffer.values[self.start..][..self.len], self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_nobody_holds_rows_of_it() {
        let memory = HostMemory::default();
        let mut lent = memory.lend(12);
        lent.first(12).copy_from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        let lent = Arc::new(lent);
        let rows = SharedRows::part(&lent, 4, 6, 3);
        let place = lent.values.as_ptr();
        drop(lent);
        assert_ne!(memory.lend(12).values.as_ptr(), place, "it is held");
        assert_eq!((rows.rows().row(0), rows.rows().row(1)), (&[4.0, 5.0, 6.0][..], &[7.0, 8.0, 9.0][..]));
        drop(rows);
        let again = memory.lend(10);
        assert_eq!((again.values.as_ptr(), again.values.len()), (place, 12));
        assert_eq!(again.filled(2), [0.0, 1.0]);
    }

    #[test]
    fn few_buffers_are_kept() {
        let memory = HostMemory::default();
        drop((0..10).map(|_| memory.lend(1)).collect::<Vec<_>>());
        assert_eq!(memory.0.lock().unwrap().len(), FREE);
    }
}
