//! Tells the program what it is built for, which cargo says to build scripts alone.

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=LONGSTRAND_TARGET={}", std::env::var("TARGET").expect("cargo sets TARGET"));
}
