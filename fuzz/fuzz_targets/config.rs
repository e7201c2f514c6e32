//! Any bytes as a `config.json`.
//!
//! `cargo +nightly fuzz run config`, with the `config.json` of `tests/fixtures` as seeds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use longstrand_model::config::Config;

fuzz_target!(|bytes: &[u8]| {
    let _ = Config::parse(bytes);
});
