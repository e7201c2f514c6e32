use std::mem;

use crate::{error::Error, genome::FastaStream};

/// Bases that are asked of the stream at once.
const PIECE: u64 = 1 << 20;

/// The part of a contig that is in memory: the bases of the next window and one more.
pub(super) struct Slide {
    name: String,
    size: u64,
    stride: u64,
    start: u64,
    buffer: Vec<u8>,
    /// Bases before `start` that are yet to be read past; more than 0 only while the buffer is empty.
    n_skipped: u64,
    is_read_up: bool,
    is_done: bool,
}

impl Slide {
    pub(super) fn new(name: String, size: u64, stride: u64) -> Self {
        Self { name, size, stride, start: 0, buffer: Vec::new(), n_skipped: 0, is_read_up: false, is_done: false }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// 0-based start of the next window.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Bases in the next window.
    pub(super) fn n_bases(&self) -> u64 {
        self.size.min(self.buffer.len() as u64)
    }

    /// Reads what the next window needs; false when the contig has no further window.
    pub(super) fn fill(&mut self, stream: &mut FastaStream) -> Result<bool, Error> {
        while !self.is_read_up && self.n_wanted() > 0 {
            let n_wanted = self.n_wanted().min(PIECE) as usize;
            let n = stream.read_bases(n_wanted, &mut self.buffer)?;
            self.is_read_up = n == 0;
            if self.n_skipped > 0 {
                self.n_skipped -= n as u64;
                self.buffer.clear();
            }
        }
        Ok(!self.is_done && !self.buffer.is_empty())
    }

    /// Moves to the next window and gives this one's bases.
    pub(super) fn take_bases(&mut self) -> Vec<u8> {
        if self.is_last() {
            self.is_done = true;
            return mem::take(&mut self.buffer);
        }
        let bases = self.buffer[..self.size as usize].to_vec();
        self.advance();
        bases
    }

    /// Moves to the next window.
    pub(super) fn advance(&mut self) {
        self.is_done = self.is_last();
        let n_held = self.stride.min(self.buffer.len() as u64);
        self.buffer.drain(..n_held as usize);
        self.n_skipped = self.stride - n_held;
        self.start = self.start.saturating_add(self.stride);
    }

    /// Whether the next window reaches the contig's end: no base was found after it.
    fn is_last(&self) -> bool {
        self.buffer.len() as u64 <= self.size
    }

    fn n_wanted(&self) -> u64 {
        if self.is_done {
            0
        } else if self.n_skipped > 0 {
            self.n_skipped
        } else {
            let n_held = self.buffer.len() as u64;
            self.size.saturating_add(1).saturating_sub(n_held)
        }
    }
}
