//! The binary that the end-to-end tests start: the same entry point as `longstrand`, built by this package so
//! that Cargo tells the tests where it is.

use std::process::ExitCode;

fn main() -> ExitCode {
    longstrand_cli::main()
}
