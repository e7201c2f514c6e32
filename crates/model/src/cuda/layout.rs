//! How the positions of a batch lie in buffers on the device.

use std::ops::Range;

use longstrand_kernels::cuda::{Buffer, CudaError, Device, Real, TimeRows, TimeRowsMut, ViewMut};
use longstrand_kernels::linear::cuda::{Matrix, MatrixMut};
use longstrand_kernels::{Direction, pointwise};

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

/// Sequences of all strands that are worked on together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    pub(super) layout: Layout,
    /// Of each strand, whose sequences lie side by side, whether the layer meets it backwards in time.
    pub(super) backwards: &'a [bool],
}

/// A stretch as one direction of a layer walks it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    pub(super) stretch: Stretch<'a>,
    /// The direction on a strand that is not met backwards.
    pub(super) direction: Direction,
}

impl Walk<'_> {
    pub(super) fn layout(&self) -> Layout {
        self.stretch.layout
    }

    /// Each strand's sequences, and which way they are walked.
    pub(super) fn strands(&self) -> impl Iterator<Item = (Range<usize>, Direction)> {
        let Self { stretch: Stretch { layout, backwards }, direction } = *self;
        let count = layout.sequences / backwards.len();
        let ways = backwards.iter().map(move |&backwards| on(direction, backwards));
        ways.enumerate().map(move |(i, way)| (i * count..(i + 1) * count, way))
    }
}

/// A direction on a strand that may be met backwards.
pub(super) fn on(direction: Direction, backwards: bool) -> Direction {
    if backwards { direction.opposite() } else { direction }
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

    /// Ranges of channels as rows, in ascending order.
    pub(super) fn parts_mut<const N: usize>(
        &mut self,
        layout: Layout,
        channels: [Range<usize>; N],
    ) -> [TimeRowsMut<'_, T>; N] {
        let Layout { sequences, len, stride } = layout;
        let places = channels.each_ref().map(|channels| elements(layout, channels));
        let mut parts = parts(self.buffer.view_mut(), places.each_ref()).into_iter();
        channels.map(|channels| {
            let part = parts.next().expect("a part of each range");
            TimeRowsMut::by_channels(part, sequences, channels.len(), len, stride)
        })
    }

    /// Adds to some channels all those of another plane.
    pub(super) fn add(&mut self, layout: Layout, channels: Range<usize>, other: &Self) -> Result<(), CudaError> {
        let sum = self.buffer.view_mut().slice(elements(layout, &channels));
        pointwise::cuda::add(sum, other.buffer.view().slice(elements(layout, &(0..other.channels))))
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

/// Disjoint parts of a buffer, in ascending order.
pub(super) fn parts<'a, T: Real, const N: usize>(
    whole: ViewMut<'a, T>,
    places: [&Range<usize>; N],
) -> [ViewMut<'a, T>; N] {
    let (mut rest, mut start) = (Some(whole), 0);
    places.map(|place| {
        let (_, from) = rest.take().expect("it is put back").split_at(place.start - start);
        let (part, after) = from.split_at(place.len());
        (rest, start) = (Some(after), place.end);
        part
    })
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
        let pieces = |sequences, len| {
            let pieces = Layout::new(sequences, len).positions();
            pieces.map(|piece| (piece.start, piece.end)).collect::<Vec<_>>()
        };
        for (sequences, len, expected) in [(3, 16, &[(0, 48)][..]), (1, 13, &[(0, 13)]), (2, 13, &[(0, 13), (16, 29)])]
        {
            assert_eq!(pieces(sequences, len), expected, "{sequences} of {len}");
        }
        assert_eq!(Layout::new(2, 13).used(), 32);
        assert_eq!(Layout { sequences: 1, len: 13, stride: 128 }.used(), 16);
    }
}
