//! Any bytes as a pickle, and as a whole PyTorch archive.
//!
//! `cargo +nightly fuzz run unpickle`, with the `pytorch_model.bin` of `tests/fixtures` as seeds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use longstrand_model::checkpoint::Checkpoint;
use longstrand_model::checkpoint::torch::unpickle;

const CONFIG: &[u8] = include_bytes!("../../tests/fixtures/ss-mamba/config.json");

fuzz_target!(|bytes: &[u8]| {
    let _ = unpickle(bytes);
    let _ = Checkpoint::from_bytes("fuzz", CONFIG, bytes);
});
