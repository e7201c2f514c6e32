//! How long chunks are, and what a pass in chunks takes.

use std::num::NonZeroUsize;

use longstrand_kernels::{Backend, TILE};

use crate::model::Model;
use crate::scratch::Scratch;

/// Working memory that a chunk may take when the choice is left open, in bytes.
const WORKING_SET: usize = 256 << 20;

/// Positions of a chunk of a causal model when the choice is left open: enough to keep threads busy, few enough to
/// stay in cache.
const CAUSAL_CHUNK: usize = 8 * TILE;

/// The most positions of a chunk of a bidirectional model when the choice is left open.
const BIDIRECTIONAL_CHUNK: usize = 64 * TILE;

/// Copies of a long window's bases that a run holds: one being read, one being computed, and its reverse complement.
pub(crate) const WINDOW_COPIES: u64 = 3;

/// The longest window that is reckoned with: what is asked for may be a slip, and is not to overflow.
pub(crate) const LONGEST_WINDOW: u64 = 1 << 40;

/// How many positions are worked on at a time. The choice changes memory and speed, and no result: multiples of
/// [`TILE`] give the same bits, other sizes the same up to rounding.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Chunking {
    /// From the model's widths, at most about 256 MiB of working memory.
    #[default]
    Auto,
    /// This many positions.
    Positions(NonZeroUsize),
    /// All at once.
    Whole,
}

impl Chunking {
    /// Positions of a chunk of a sequence of `length`, each of which takes so many bytes to work on.
    pub(crate) fn positions(self, length: usize, bytes_per_position: usize, is_causal: bool) -> usize {
        let positions = match self {
            Self::Whole => length,
            Self::Positions(positions) => positions.get(),
            Self::Auto if is_causal => CAUSAL_CHUNK,
            Self::Auto => (WORKING_SET / bytes_per_position / TILE * TILE).clamp(TILE, BIDIRECTIONAL_CHUNK),
        };
        positions.min(length).max(1)
    }
}

impl<B: Backend> Model<B> {
    /// Positions that a pass over `length` positions works on at a time: at most `length`, and at least 1.
    pub fn chunk_positions(&self, chunking: Chunking, length: usize) -> usize {
        chunking.positions(length, Scratch::<B::Scalar>::bytes_per_position(self.config()), self.is_causal())
    }

    /// Bytes that a pass over `length` positions takes at its height, beside the weights and what its observer keeps:
    /// the scratch of a chunk, and of a causal model the state, of a bidirectional one the residual stream of every
    /// strand and a state for each chunk.
    pub fn pass_bytes(&self, chunking: Chunking, length: usize) -> u64 {
        let chunk = self.chunk_positions(chunking, length);
        let scratch = chunk.saturating_mul(Scratch::<B::Scalar>::bytes_per_position(self.config()));
        let carried = if self.is_causal() {
            self.layers.iter().flat_map(|layer| layer.state_bytes()).sum()
        } else {
            // Of the two branches of a layer, one goes against the sweep; layers come one after the other.
            let opposing = self.layers.iter().filter_map(|layer| layer.state_bytes().nth(1)).max().unwrap_or(0);
            let streams = length.saturating_mul(self.width() * size_of::<B::Scalar>());
            streams.saturating_add(length.div_ceil(chunk).saturating_mul(opposing))
        };
        scratch.saturating_add(carried) as u64
    }

    /// About how many bytes a run takes, weights aside, that works on one window of `length` bases at a time.
    pub fn window_bytes(&self, chunking: Chunking, length: u64) -> u64 {
        let length = length.min(LONGEST_WINDOW);
        self.pass_bytes(chunking, length as usize).saturating_add(WINDOW_COPIES.saturating_mul(length))
    }

    /// Bases of the longest window that takes at most so many [`window_bytes`](Self::window_bytes).
    pub fn longest_window(&self, chunking: Chunking, bytes: u64) -> u64 {
        longest(bytes, |length| self.window_bytes(chunking, length))
    }
}

/// The greatest length, of those that are reckoned with, that takes at most `bytes` by a measure that rises with it.
pub(crate) fn longest(bytes: u64, measure: impl Fn(u64) -> u64) -> u64 {
    let (mut fits, mut exceeds) = (0, LONGEST_WINDOW);
    while exceeds - fits > 1 {
        let middle = fits + (exceeds - fits) / 2;
        match measure(middle) <= bytes {
            true => fits = middle,
            false => exceeds = middle,
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use longstrand_kernels::Reference;

    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn a_chunk_is_no_longer_than_what_there_is() {
        let model = Model::new(Reference, &Checkpoint::builtin().unwrap());
        let four = Chunking::Positions(4.try_into().unwrap());
        assert_eq!(model.chunk_positions(four, 10), 4);
        assert_eq!(model.chunk_positions(four, 3), 3);
        assert_eq!(model.chunk_positions(Chunking::Whole, 10), 10);
        assert_eq!(model.chunk_positions(Chunking::Whole, 0), 1);
        let auto = model.chunk_positions(Chunking::Auto, 1 << 30);
        assert!(auto.is_multiple_of(TILE) && (TILE..=BIDIRECTIONAL_CHUNK).contains(&auto), "{auto}");
    }

    #[test]
    fn a_bidirectional_pass_keeps_a_stream_and_a_state_for_each_chunk() {
        let model = Model::new(Reference, &Checkpoint::builtin().unwrap());
        let config = model.config();
        let bytes = |positions: usize, length| {
            model.pass_bytes(Chunking::Positions(positions.try_into().unwrap()), length) as usize
        };
        let scratch = Scratch::<f64>::bytes_per_position(config);
        let mixer = &config.mixer;
        let state = (mixer.d_conv() - 1 + mixer.d_state()) * mixer.d_inner() * size_of::<f64>();
        let stream = config.d_model * size_of::<f64>();
        assert_eq!(bytes(256, 1000), 256 * scratch + 1000 * stream + 4 * state);
        assert_eq!(bytes(4096, 1000), 1000 * scratch + 1000 * stream + state);
    }

    #[test]
    fn the_longest_window_is_the_last_that_fits() {
        let model = Model::new(Reference, &Checkpoint::builtin().unwrap());
        for bytes in [1 << 28, 1 << 34, 12_345_678_901] {
            let longest = model.longest_window(Chunking::Auto, bytes);
            assert!(model.window_bytes(Chunking::Auto, longest) <= bytes);
            assert!(model.window_bytes(Chunking::Auto, longest + 1) > bytes, "{longest} bases in {bytes} bytes");
        }
        assert!(model.window_bytes(Chunking::Auto, u64::MAX) > 1 << 40);
    }
}
