//! How the positions of a batch lie in buffers on the device.

use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real, TimeRows, TimeRowsMut};
use longstrand_kernels::linear::cuda::{Matrix, MatrixMut};

/// Sequences begin at multiples of this, so that eight positions are read at once.
const VECTOR: usize = 8;

/// Sequences of one length side by side. Position t of sequence q is column `q * stride + t`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    pub(super) sequences: usize,
    /// Positions of a sequence.
    pub(super) len: usize,
    /// Columns from the start of a sequence to the start of the next, a multiple of 8.
    pub(super) stride: usize,
}

impl Layout {
    pub(super) fn new(sequences: usize, len: usize) -> Self {
        Self { sequences, len, stride: len.next_multiple_of(VECTOR) }
    }

    /// The columns of a buffer.
    pub(super) fn columns(&self) -> usize {
        self.sequences * self.stride
    }

    /// The columns that are worked on, of which some between two sequences are no positions.
    pub(super) fn used(&self) -> usize {
        match self.sequences {
            1 => self.len.next_multiple_of(VECTOR),
            _ => self.columns(),
        }
    }

    /// The columns that are positions, in as few pieces as there are: what is summed over positions goes over these.
    pub(super) fn positions(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Self { sequences, len, stride } = *self;
        let pieces = if len == stride { 1 } else { sequences };
        let size = if len == stride { sequences * len } else { len };
        (0..pieces).map(move |i| i * stride..i * stride + size)
    }
}

/// What lies inside a mixer: `[C, columns]`, positions contiguous.
#[derive(Debug)]
pub(super) struct Plane<T: Real> {
    buffer: Buffer<T>,
    channels: usize,
}

impl<T: Real> Plane<T> {
    /// Room for so many channels of so many columns.
    pub(super) fn new(device: &Device, channels: usize, columns: usize) -> Result<Self, CudaError> {
        Ok(Self { buffer: device.buffer(channels * columns)?, channels })
    }

    pub(super) fn rows(&self, layout: Layout) -> TimeRows<'_, T> {
        self.channels(layout, 0..self.channels)
    }

    pub(super) fn rows_mut(&mut self, layout: Layout) -> TimeRowsMut<'_, T> {
        let channels = self.channels;
        self.channels_mut(layout, 0..channels)
    }

    /// Some channels as rows.
    pub(super) fn channels(&self, layout: Layout, channels: Range<usize>) -> TimeRows<'_, T> {
        let Layout { sequences, len, stride } = layout;
        let data = self.buffer.view().slice(elements(layout, &channels));
        TimeRows::by_channels(data, sequences, channels.len(), len, stride)
    }

    pub(super) fn channels_mut(&mut self, layout: Layout, channels: Range<usize>) -> TimeRowsMut<'_, T> {
        let Layout { sequences, len, stride } = layout;
        let data = self.buffer.view_mut().slice(elements(layout, &channels));
        TimeRowsMut::by_channels(data, sequences, channels.len(), len, stride)
    }

    /// Two ranges of channels as rows, the first before the second.
    pub(super) fn two_mut(
        &mut self,
        layout: Layout,
        first: Range<usize>,
        second: Range<usize>,
    ) -> (TimeRowsMut<'_, T>, TimeRowsMut<'_, T>) {
        let Layout { sequences, len, stride } = layout;
        let (low, high) = self.buffer.view_mut().split_at(second.start * layout.columns());
        let rows =
            |data, channels: &Range<usize>| TimeRowsMut::by_channels(data, sequences, channels.len(), len, stride);
        let high = high.slice(..second.len() * layout.columns());
        (rows(low.slice(elements(layout, &first)), &first), rows(high, &second))
    }

    pub(super) fn device(&self) -> &Device {
        self.buffer.device()
    }

    /// Some channels as a matrix `[channels, used columns]`.
    pub(super) fn matrix(&self, layout: Layout, channels: Range<usize>) -> Matrix<'_, T> {
        self.matrix_of(layout, channels, 0..layout.used())
    }

    pub(super) fn matrix_mut(&mut self, layout: Layout, channels: Range<usize>) -> MatrixMut<'_, T> {
        let data = self.buffer.view_mut().slice(elements(layout, &channels));
        MatrixMut::new(data, channels.len(), layout.used(), layout.columns())
    }

    /// Some channels and columns as a matrix.
    pub(super) fn matrix_of(&self, layout: Layout, channels: Range<usize>, columns: Range<usize>) -> Matrix<'_, T> {
        let data = self.buffer.view().slice(elements(layout, &channels)).slice(columns.start..);
        Matrix::new(data, channels.len(), columns.len(), layout.columns())
    }

    /// All channels as a matrix.
    pub(super) fn whole(&self, layout: Layout) -> Matrix<'_, T> {
        self.matrix(layout, 0..self.channels)
    }
}

/// Where some channels lie in a plane.
fn elements(layout: Layout, channels: &Range<usize>) -> Range<usize> {
    channels.start * layout.columns()..channels.end * layout.columns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_in_as_few_pieces_as_there_are() {
        let pieces = |sequences, len| Layout::new(sequences, len).positions().collect::<Vec<_>>();
        assert_eq!(pieces(3, 16), [0..48]);
        assert_eq!(pieces(1, 13), [0..13]);
        assert_eq!(pieces(2, 13), [0..13, 16..29]);
        assert_eq!(Layout::new(2, 13).used(), 32);
        assert_eq!(Layout { sequences: 1, len: 13, stride: 128 }.used(), 16);
    }
}
