//! Time-contiguous buffers, `[B, D, L]`: what the operations inside a mixer read and write.
//!
//! They lie sequence after sequence, or channel after channel (`[D, B, L]`): then all positions of a batch are one matrix
//! with a row for each channel, and a product with a weight is one product however many sequences there are.
//!
//! Outside, in the residual stream, channels are contiguous (`[B, L, D]`), as the norms want it. A matrix product reads
//! and writes either order, so nothing is ever transposed.

use super::{Argument, Device, Element, Grid, Launch, View, ViewMut};

/// Rows begin where so many elements may be read or written at once.
const VECTOR: usize = 8;

/// Elements from the start of a row to the start of the next: whole lines of 128 bytes for any type.
pub fn padded_stride(len: usize) -> usize {
    len.next_multiple_of(64)
}

/// Where rows lie: element `(b, d, t)` is `data[b * batch_stride + d * stride + t]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Shape {
    batch: usize,
    channels: usize,
    len: usize,
    stride: usize,
    batch_stride: usize,
}

impl Shape {
    fn new(elements: usize, aligned: bool, batch: usize, channels: usize, len: usize, stride: usize) -> Self {
        assert!(stride.is_multiple_of(VECTOR), "a stride of {stride} is not a multiple of {VECTOR}");
        assert!(len <= stride, "rows of {len} with a stride of {stride}");
        assert_eq!(Some(elements), batch.checked_mul(channels).and_then(|rows| rows.checked_mul(stride)), "elements");
        assert!(aligned, "rows that do not begin at a multiple of 16 bytes");
        Self { batch, channels, len, stride, batch_stride: channels * stride }
    }

    /// Of rows that lie channel after channel.
    fn by_channels(self) -> Self {
        Self { stride: self.batch * self.stride, batch_stride: self.stride, ..self }
    }

    /// The first element of sequences `first..`.
    fn sequences(self, first: usize, count: usize) -> (Self, usize) {
        assert!(first + count <= self.batch, "sequences {first}+{count} of {}", self.batch);
        (Self { batch: count, ..self }, first * self.batch_stride)
    }

    /// The first element of channels `first..` of the first batch.
    fn channels(self, first: usize, count: usize) -> (Self, usize) {
        assert!(first + count <= self.channels, "channels {first}+{count} of {}", self.channels);
        (Self { channels: count, ..self }, first * self.stride)
    }

    fn strides(self) -> Strides {
        Strides { row: self.stride as i64, batch: self.batch_stride as i64 }
    }

    fn positions(self, first: usize, len: usize) -> (Self, usize) {
        assert!(first.is_multiple_of(VECTOR), "a part that begins at {first} is not aligned");
        assert!(first + len <= self.len, "positions {first}+{len} of {}", self.len);
        (Self { len, ..self }, first)
    }
}

/// `Strides` of `common.cuh`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Strides {
    row: i64,
    batch: i64,
}

// SAFETY: the struct is the one of `common.cuh`, without padding.
unsafe impl Argument for Strides {}

/// Positions that a block of a kernel over pieces of rows has at most: eight for each thread.
const PIECE: usize = VECTOR * THREADS;

/// Threads of such a block at most.
const THREADS: usize = 256;

/// How rows are cut into pieces, one a block; `piece` of `common.cuh` is the other side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pieces {
    /// Pieces of a row.
    pub(crate) segments: usize,
    /// A block for each piece, in the order batch, channel, segment.
    pub(crate) grid: Grid,
}

impl Pieces {
    pub(crate) fn new([batch, channels, len]: [usize; 3]) -> Self {
        let segments = len.div_ceil(PIECE);
        let threads = len.div_ceil(VECTOR).next_multiple_of(32).clamp(32, THREADS) as u32;
        Self { segments, grid: Grid::line(batch * channels * segments, threads) }
    }
}

impl<'a> Launch<'a> {
    /// Passes rows that are only read: their address and their `Strides`.
    pub fn rows<T: Element>(self, rows: TimeRows<'a, T>) -> Self {
        let strides = rows.shape.strides();
        self.input(rows.data).value(strides)
    }

    /// Passes rows that are only read, or an address and `Strides` of 0 for what is not there.
    pub fn optional_rows<T: Element>(self, rows: Option<TimeRows<'a, T>>) -> Self {
        match rows {
            Some(rows) => self.rows(rows),
            None => self.value(0_u64).value(Strides { row: 0, batch: 0 }),
        }
    }

    /// Passes rows that are written: their address and their `Strides`.
    pub fn rows_mut<T: Element>(self, rows: TimeRowsMut<'a, T>) -> Self {
        let strides = rows.shape.strides();
        self.output(rows.data).value(strides)
    }
}

/// Rows to be read, `[B, D, L]`.
#[derive(Clone, Copy, Debug)]
pub struct TimeRows<'a, T: Element> {
    data: View<'a, T>,
    shape: Shape,
}

/// Rows to be written, `[B, D, L]`. What lies between the end of a row and the next is never written.
#[derive(Debug)]
pub struct TimeRowsMut<'a, T: Element> {
    data: ViewMut<'a, T>,
    shape: Shape,
}

/// Methods that both views have.
macro_rules! rows_methods {
    ($view:ident) => {
        /// Views a buffer of `batch * channels` rows of `stride` elements, of which the first `len` belong to it.
        ///
        /// # Panics
        ///
        /// Panics if the buffer has another length, or the stride is no multiple of 8, or the rows are not aligned to
        /// 16 bytes.
        pub fn new(data: $view<'a, T>, batch: usize, channels: usize, len: usize, stride: usize) -> Self {
            let shape = Shape::new(data.len(), data.is_aligned(), batch, channels, len, stride);
            Self { data, shape }
        }

        /// As [`new`](Self::new) of a buffer `[D, B, L]`: `stride` elements lie between the starts of two sequences, and
        /// `batch * stride` between those of two channels.
        ///
        /// # Panics
        ///
        /// As `new`.
        pub fn by_channels(data: $view<'a, T>, batch: usize, channels: usize, len: usize, stride: usize) -> Self {
            let shape = Shape::new(data.len(), data.is_aligned(), batch, channels, len, stride).by_channels();
            Self { data, shape }
        }

        /// `count` sequences, from sequence `first` on.
        ///
        /// # Panics
        ///
        /// Panics if they are not all there.
        pub fn sequences(self, first: usize, count: usize) -> Self {
            let (shape, start) = self.shape.sequences(first, count);
            let start = start.min(self.data.len());
            Self { data: self.data.slice(start..), shape }
        }

        /// Sequences of the batch.
        pub fn batch(&self) -> usize {
            self.shape.batch
        }

        /// Channels of a sequence.
        pub fn channels(&self) -> usize {
            self.shape.channels
        }

        /// Positions of a sequence.
        pub fn len(&self) -> usize {
            self.shape.len
        }

        /// Whether there is nothing.
        pub fn is_empty(&self) -> bool {
            self.shape.batch * self.shape.channels * self.shape.len == 0
        }

        /// `[B, D, L]`
        pub fn shape(&self) -> [usize; 3] {
            [self.shape.batch, self.shape.channels, self.shape.len]
        }

        /// Elements from the start of a row to the start of the next.
        pub fn stride(&self) -> usize {
            self.shape.stride
        }

        /// Elements from the start of a sequence to the start of the next.
        pub fn batch_stride(&self) -> usize {
            self.shape.batch_stride
        }

        /// Where they are.
        pub fn device(&self) -> &'a Device {
            self.data.device()
        }

        /// `count` channels of every sequence, from channel `first` on.
        ///
        /// # Panics
        ///
        /// Panics if they are not all there.
        pub fn part(self, first: usize, count: usize) -> Self {
            let (shape, start) = self.shape.channels(first, count);
            Self { data: self.data.slice(start..), shape }
        }

        /// `len` positions of every row, from position `first` on, a multiple of 8.
        ///
        /// # Panics
        ///
        /// Panics if they are not all there.
        pub fn positions(self, first: usize, len: usize) -> Self {
            let (shape, start) = self.shape.positions(first, len);
            let start = start.min(self.data.len());
            Self { data: self.data.slice(start..), shape }
        }
    };
}

impl<'a, T: Element> TimeRows<'a, T> {
    rows_methods!(View);

    /// The elements from the first one on.
    pub fn data(&self) -> View<'a, T> {
        self.data
    }
}

impl<'a, T: Element> TimeRowsMut<'a, T> {
    rows_methods!(ViewMut);

    /// The elements from the first one on.
    pub fn data(&mut self) -> ViewMut<'_, T> {
        self.data.reborrow()
    }

    /// The same rows for a shorter time.
    pub fn reborrow(&mut self) -> TimeRowsMut<'_, T> {
        TimeRowsMut { data: self.data.reborrow(), shape: self.shape }
    }

    /// The same rows, to be read.
    pub fn as_rows(&self) -> TimeRows<'_, T> {
        TimeRows { data: self.data.as_view(), shape: self.shape }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_whole_lines() {
        assert_eq!([0, 1, 64, 65].map(padded_stride), [0, 64, 64, 128]);
    }

    #[test]
    fn parts_keep_the_strides() {
        let whole = Shape::new(2 * 6 * 72, true, 2, 6, 70, 72);
        let (part, start) = whole.channels(4, 2);
        assert_eq!((start, part), (4 * 72, Shape { channels: 2, ..whole }));
        let (part, start) = whole.positions(64, 6);
        assert_eq!((start, part), (64, Shape { len: 6, ..whole }));
        assert_eq!(part.batch_stride, 6 * 72);
    }

    #[test]
    fn pieces_cover_all_positions() {
        for (len, segments, threads) in [
            (0, 0, 32),
            (1, 1, 32),
            (256, 1, 32),
            (257, 1, 64),
            (2048, 1, 256),
            (2049, 2, 256),
            (1 << 40, 1 << 29, 256),
        ] {
            assert_eq!(Pieces::new([1, 2, len]), Pieces { segments, grid: Grid::line(2 * segments, threads) });
        }
    }

    #[test]
    #[should_panic(expected = "a stride of 70 is not a multiple of 8")]
    fn a_stride_that_breaks_vectors_is_refused() {
        Shape::new(70, true, 1, 1, 70, 70);
    }

    #[test]
    #[should_panic(expected = "channels 5+2 of 6")]
    fn channels_that_are_not_there_are_refused() {
        Shape::new(6 * 8, true, 1, 6, 8, 8).channels(5, 2);
    }

    #[test]
    #[should_panic(expected = "elements")]
    fn a_shape_that_wraps_is_refused() {
        Shape::new(0, true, 1 << 32, 1 << 32, 8, 8);
    }
}
