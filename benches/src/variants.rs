//! What scores of variants cost, on human chromosome 20.

pub(crate) mod masked;
pub(crate) mod prefix;

mod crew;
pub(crate) mod sequence;
mod work;
