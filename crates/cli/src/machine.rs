//! What this machine offers.

pub mod cuda;
pub mod memory;
pub mod processor;
pub mod standard_output;
