//! Memory that is kept for whoever asks next.
//!
//! Asking the driver for memory and giving it back makes it wait for the device. Blocks come in sizes, so that one that
//! was given back fits the next that is asked for: powers of two up to 1 MiB, and eight steps from each to the next
//! above it, so that no more than an eighth is wasted.

use std::{collections::HashMap, mem, sync::Mutex};

/// The smallest block; all begin at multiples of it.
const SMALLEST: u64 = 512;

/// From here on a size is one of eight between powers of two.
const LARGE: u64 = 1 << 20;

/// The device's memory as the pool has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MemoryUse {
    /// Bytes of the blocks that buffers hold.
    pub in_use: u64,
    /// The most that `in_use` has been.
    pub peak: u64,
    /// Bytes of the blocks that are kept for later.
    pub cached: u64,
}

/// Where blocks come from.
pub(super) trait Source {
    /// Why there is none.
    type Error;

    /// A new block, or `None` if there is no room for it.
    fn allocate(&self, bytes: u64) -> Result<Option<u64>, Self::Error>;

    /// Gives blocks back. Nothing may use them any more.
    fn free(&self, blocks: Vec<u64>);
}

/// Memory that a buffer holds.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Block {
    /// Its address on the device.
    pub(super) address: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Addresses of unused blocks, by size.
    unused: HashMap<u64, Vec<u64>>,
    memory: MemoryUse,
}

/// Blocks of one device.
#[derive(Debug)]
pub(super) struct Pool<S: Source> {
    source: S,
    state: Mutex<State>,
}

impl<S: Source> Pool<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, state: Mutex::default() }
    }

    /// A block of at least so many bytes, or `None` if there is no room for it even without the unused blocks.
    pub(super) fn take(&self, bytes: u64) -> Result<Option<Block>, S::Error> {
        let bytes = size_of_block(bytes);
        let mut state = self.lock();
        let address = match state.take(bytes) {
            Some(address) => Some(address),
            None => match self.source.allocate(bytes)? {
                Some(address) => Some(address),
                None => {
                    self.source.free(state.take_all());
                    self.source.allocate(bytes)?
                }
            },
        };
        let Some(address) = address else { return Ok(None) };
        state.memory.in_use += bytes;
        state.memory.peak = state.memory.peak.max(state.memory.in_use);
        Ok(Some(Block { address, bytes }))
    }

    /// Keeps a block for later.
    pub(super) fn give(&self, block: Block) {
        let mut state = self.lock();
        state.memory.in_use -= block.bytes;
        state.memory.cached += block.bytes;
        state.unused.entry(block.bytes).or_default().push(block.address);
    }

    /// Gives all unused blocks back.
    pub(super) fn trim(&self) {
        let unused = self.lock().take_all();
        self.source.free(unused);
    }

    pub(super) fn memory(&self) -> MemoryUse {
        self.lock().memory
    }

    /// Counts the peak from now on.
    pub(super) fn reset_peak(&self) {
        let mut state = self.lock();
        state.memory.peak = state.memory.in_use;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it counts blocks")
    }
}

impl<S: Source> Drop for Pool<S> {
    fn drop(&mut self) {
        self.trim();
    }
}

impl State {
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let address = self.unused.get_mut(&bytes)?.pop()?;
        self.memory.cached -= bytes;
        Some(address)
    }

    fn take_all(&mut self) -> Vec<u64> {
        self.memory.cached = 0;
        mem::take(&mut self.unused).into_values().flatten().collect()
    }
}

/// The size of the block for so many bytes; too large for any device where there is no such size.
pub(super) fn size_of_block(bytes: u64) -> u64 {
    let bytes = bytes.max(SMALLEST);
    if bytes <= LARGE {
        return bytes.next_power_of_two();
    }
    let step = 1 << (bytes.ilog2() - 3);
    bytes.checked_next_multiple_of(step).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// Room for so many bytes.
    struct Arena {
        room: Cell<u64>,
        next: Cell<u64>,
        sizes: RefCell<HashMap<u64, u64>>,
    }

    impl Arena {
        fn new(room: u64) -> Self {
            Self { room: room.into(), next: 4096.into(), sizes: RefCell::default() }
        }
    }

    impl Source for &Arena {
        type Error = ();

        fn allocate(&self, bytes: u64) -> Result<Option<u64>, ()> {
            if bytes > self.room.get() {
                return Ok(None);
            }
            self.room.set(self.room.get() - bytes);
            let address = self.next.replace(self.next.get() + bytes);
            self.sizes.borrow_mut().insert(address, bytes);
            Ok(Some(address))
        }

        fn free(&self, blocks: Vec<u64>) {
            for block in blocks {
                let bytes = self.sizes.borrow_mut().remove(&block).expect("a block is freed once");
                self.room.set(self.room.get() + bytes);
            }
        }
    }

    #[test]
    fn no_more_than_an_eighth_of_a_large_block_is_wasted() {
        for bytes in [0, 1, 512, 513, LARGE - 1, LARGE, LARGE + 1, 3_000_000, 1 << 31, (1 << 40) + 12_345] {
            let block = size_of_block(bytes);
            assert!(block >= bytes && block.is_multiple_of(SMALLEST), "{bytes}: {block}");
            assert!(bytes <= LARGE || block - bytes <= bytes / 8, "{bytes}: {block}");
            assert_eq!(size_of_block(block), block);
        }
        assert_eq!(size_of_block(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_block_given_back_is_taken_again() {
        let arena = Arena::new(1 << 20);
        let pool = Pool::new(&arena);
        let first = pool.take(1000).unwrap().unwrap();
        let address = first.address;
        assert_eq!(pool.memory(), MemoryUse { in_use: 1024, peak: 1024, cached: 0 });
        pool.give(first);
        assert_eq!(pool.memory(), MemoryUse { in_use: 0, peak: 1024, cached: 1024 });
        let again = pool.take(600).unwrap().unwrap();
        assert_eq!(again.address, address);
        let other = pool.take(600).unwrap().unwrap();
        assert_ne!(other.address, address);
        assert_eq!(pool.memory(), MemoryUse { in_use: 2048, peak: 2048, cached: 0 });
        pool.give(again);
        pool.reset_peak();
        assert_eq!(pool.memory(), MemoryUse { in_use: 1024, peak: 1024, cached: 1024 });
        pool.trim();
        assert_eq!(pool.memory().cached, 0);
        assert_eq!(arena.room.get(), (1 << 20) - 1024);
        pool.give(other);
        drop(pool);
        assert_eq!(arena.room.get(), 1 << 20, "a pool gives all back in the end");
    }

    #[test]
    fn unused_blocks_make_room_before_there_is_none() {
        let arena = Arena::new(4096);
        let pool = Pool::new(&arena);
        let blocks: Vec<_> = (0..4).map(|_| pool.take(1024).unwrap().unwrap()).collect();
        assert_eq!(pool.take(1024), Ok(None));
        let mut blocks = blocks.into_iter();
        pool.give(blocks.next().unwrap());
        pool.give(blocks.next().unwrap());
        let large = pool.take(2048).unwrap().unwrap();
        assert_eq!(pool.memory(), MemoryUse { in_use: 4096, peak: 4096, cached: 0 });
        assert_eq!(pool.take(1), Ok(None));
        assert_eq!(pool.memory().in_use, 4096, "what was refused is not counted");
        pool.give(large);
        assert!(pool.take(1).unwrap().is_some());
    }
}
