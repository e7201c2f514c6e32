//! What is compiled: sources of the rooms.

use super::{Architecture, sums};
use crate::{
    causal_conv1d, cross_entropy, embedding, gated_norm, linear, norm, pointwise, pool, selective_scan, silu_gate, ssd,
    step,
};

/// A CUDA source and how it is compiled. Every room with kernels has one or several as statics, and names them in
/// [`programs`].
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name, alone in the binary; letters, digits, `_` and `-`.
    pub name: &'static str,
    /// The text, by `include_str!`. It includes `common.cuh` and [`headers`](Self::headers) and nothing else.
    pub source: &'static str,
    /// Names and texts of further headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// Names and values of macros.
    pub defines: &'static [(&'static str, &'static str)],
    /// Further options of NVRTC.
    pub options: &'static [&'static str],
    /// Its kernels, all `extern "C"`.
    pub kernels: &'static [&'static str],
    /// Where it can run.
    pub targets: Targets,
}

/// Where a program can run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Targets {
    /// On every card.
    Every,
    /// On the cards of one generation, with instructions that others do not have (as `sm_90a`).
    Only(Architecture),
}

impl Program {
    /// A program without headers, macros or options that runs everywhere.
    pub const fn new(name: &'static str, source: &'static str, kernels: &'static [&'static str]) -> Self {
        Self { name, source, headers: &[], defines: &[], options: &[], kernels, targets: Targets::Every }
    }

    /// What it is compiled for on a card of this architecture, or `None` where it cannot run.
    pub fn target(&self, card: Architecture) -> Option<Architecture> {
        match self.targets {
            Targets::Every => Some(card),
            Targets::Only(only) => (only.capability == card.capability).then_some(only),
        }
    }
}

/// Every program of this version.
pub fn programs() -> Vec<&'static Program> {
    vec![
        &causal_conv1d::cuda::PROGRAM,
        &cross_entropy::cuda::PROGRAM,
        &embedding::cuda::PROGRAM,
        &gated_norm::cuda::PROGRAM,
        &linear::cuda::PROGRAM,
        &norm::cuda::PROGRAM,
        &pointwise::cuda::PROGRAM,
        &pool::cuda::PROGRAM,
        &selective_scan::cuda::FORWARD_F32,
        &selective_scan::cuda::FORWARD_BF16,
        &selective_scan::cuda::ADJOINT_F32,
        &selective_scan::cuda::ADJOINT_BF16,
        &selective_scan::cuda::BACKWARD_F32,
        &selective_scan::cuda::BACKWARD_BF16,
        &silu_gate::cuda::PROGRAM,
        &ssd::cuda::PROGRAM_F32,
        &ssd::cuda::PROGRAM_BF16,
        &ssd::cuda::BACKWARD_F32,
        &ssd::cuda::BACKWARD_BF16,
        &step::cuda::PROGRAM,
        &sums::PROGRAM,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_their_own_and_fit_for_files() {
        let mut seen = HashSet::new();
        for program in programs() {
            let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            assert!(!program.name.is_empty() && program.name.chars().all(is_fit), "{}", program.name);
            assert!(seen.insert(program.name), "two programs are called {}", program.name);
        }
    }

    #[test]
    fn every_kernel_is_in_its_source() {
        for program in programs() {
            assert!(!program.kernels.is_empty(), "{} has no kernels", program.name);
            let kernels: HashSet<_> = program.kernels.iter().collect();
            assert_eq!(kernels.len(), program.kernels.len(), "{} names a kernel twice", program.name);
        }
    }

    #[test]
    fn a_program_of_one_generation_runs_there_alone() {
        let targets = Targets::Only(Architecture::sm_specific(90));
        let program = Program { targets, ..Program::new("p", "", &["k"]) };
        assert_eq!(program.target(Architecture::sm(90)), Some(Architecture::sm_specific(90)));
        assert_eq!(program.target(Architecture::sm(100)), None);
        assert_eq!(Program::new("p", "", &["k"]).target(Architecture::sm(89)), Some(Architecture::sm(89)));
    }
}
