//! Benchmarks of the Longstrand workspace, with dated records.
