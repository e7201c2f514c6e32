//! How work is cut into tasks for the threads of the pool. No value depends on it.

/// Elements of a task of an operation that does little with each.
pub(crate) const ELEMENTS: usize = 1 << 16;

/// Below this many multiply-adds a product is not worth sharing between threads.
pub(crate) const SHARED: usize = 1 << 20;

/// Whole rows of `width` elements that make a task.
pub(crate) fn rows(width: usize) -> usize {
    ELEMENTS.div_ceil(width)
}
