//! What this machine offers.

pub mod cuda;
pub mod memory;
pub mod standard_output;
