//! What this machine offers.

pub mod cache;
pub mod cuda;
pub mod memory;
pub mod standard_output;
