//! The `longstrand` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    longstrand_cli::main()
}
