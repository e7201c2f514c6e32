//! Selective state-space kernels for DNA language models: contracts, f64 references and SIMD implementations.
