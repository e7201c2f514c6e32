//! What gradients take in memory.

use longstrand_kernels::backend::{Precision, Scalar};

use super::TrainScratch;
use super::kept::Input;
use crate::checkpoint::TensorSpec;
use crate::config::{Config, Directions, Head, MixerConfig};
use crate::encode::Chunking;
use crate::strand;

pub(super) fn chunk_positions<S: Scalar>(
    config: &Config,
    precision: Precision,
    chunking: Chunking,
    length: usize,
) -> usize {
    chunking.positions(length, TrainScratch::<S>::bytes_per_position(config, precision), config.is_causal())
}

/// Bytes that the gradients of one sequence take at their height, by what they are for. What an optimizer keeps is not among
/// them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TrainMemory {
    /// The residual stream and the input of every layer, of every strand: what grows with the length.
    pub streams: u64,
    /// States at the borders of chunks.
    pub states: u64,
    /// Working memory of a chunk.
    pub working_set: u64,
    /// [`Gradients`](super::Gradients).
    pub gradients: u64,
    /// The weights made ready for both ways, [`Trainee`](super::Trainee): at most, as a processor may keep them in bf16.
    pub weights: u64,
}

impl TrainMemory {
    /// What a sequence of `length` positions takes.
    pub fn of<S: Scalar>(config: &Config, precision: Precision, chunking: Chunking, length: usize) -> Self {
        let chunk = chunk_positions::<S>(config, precision, chunking, length);
        let scalar = size_of::<S>() as u64;
        let strands = strand::strands(config.rcps.as_ref()) as u64;
        let input = Input::<S>::element_bytes(precision) as u64;
        let of_element = config.n_layer as u64 * strands * input + (strands + 1) * scalar;
        let states = config.n_layer as u64 * strands * length.div_ceil(chunk) as u64 * branches(config);
        let working_set =
            (chunk * TrainScratch::<S>::bytes_per_position(config, precision)) as u64 + scan_bytes::<S>(config, chunk);
        let (prepared, gradients) = (prepared_values(config), gradient_values(config));
        Self {
            streams: of_element * (length * config.d_model) as u64,
            states: states * state_values(config) * scalar,
            working_set,
            weights: prepared * scalar,
            gradients: gradients * scalar,
        }
    }

    /// Bytes of the scratch, one of which is needed for each sequence that is under way at a time.
    pub fn scratch(&self) -> u64 {
        self.streams + self.states + self.working_set
    }

    /// Bytes with so many scratches and sets of gradients.
    pub fn total(&self, scratches: u64, gradients: u64) -> u64 {
        self.weights + scratches * self.scratch() + gradients * self.gradients
    }
}

/// Elements of all parameters, and of the embedding.
fn parameters(config: &Config) -> (u64, u64) {
    let elements = |spec: &TensorSpec| spec.elements() as u64;
    (TensorSpec::all(config).iter().map(elements).sum(), (config.vocab_size * config.d_model) as u64)
}

/// Values of all gradients: those of parameters, and of what is tied to the embedding.
fn gradient_values(config: &Config) -> u64 {
    let (all, table) = parameters(config);
    let tied_head = matches!(config.head, Head::LanguageModel { tied: true });
    all + table * (u64::from(tied_head) + u64::from(config.rcps.is_some()))
}

/// Values of the weights for both ways: each but the embedding and the small ones twice, and the head's for each strand.
fn prepared_values(config: &Config) -> u64 {
    let (all, table) = parameters(config);
    let strands = strand::strands(config.rcps.as_ref()) as u64;
    2 * all + 3 * strands * table
}

fn branches(config: &Config) -> u64 {
    if config.directions == Directions::Causal { 1 } else { 2 }
}

/// Values of one branch's state.
fn state_values(config: &Config) -> u64 {
    let mixer = &config.mixer;
    let channels = match mixer {
        MixerConfig::Mamba(c) => c.d_inner,
        MixerConfig::Mamba2(c) => c.conv_channels(),
    };
    ((mixer.d_conv() - 1) * channels + mixer.d_state() * mixer.d_inner()) as u64
}

/// What the scan's way back holds while it runs: for Mamba the states at the borders of its blocks and sums over groups of
/// channels; for Mamba-2 the states and their gradients at the borders of a strip of blocks, and B and C of these.
fn scan_bytes<S: Scalar>(config: &Config, chunk: usize) -> u64 {
    const BLOCK: usize = 64;
    const STRIP: usize = 64;
    const GROUP: usize = 32;
    let blocks = chunk.div_ceil(BLOCK);
    let values = match &config.mixer {
        MixerConfig::Mamba(c) => {
            let sums = c.d_inner.div_ceil(GROUP) * chunk.min(8 * BLOCK) * 2 * c.d_state;
            blocks * c.d_state * c.d_inner + sums
        }
        MixerConfig::Mamba2(c) => {
            let state = c.d_state * c.d_inner;
            blocks.min(STRIP) * 2 * (state + c.n_groups * c.d_state * BLOCK) + blocks / STRIP * state
        }
    };
    (values * size_of::<S>()) as u64
}

#[cfg(test)]
mod tests {
    use std::{ops::ControlFlow, path::Path};

    use longstrand_kernels::{Backend, Cpu, Reference, simd::Level};

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::train::{Example, Gradients, Trainee};
    use crate::watch::{Meter, Unwatched};

    /// One of each way to join directions, of each mixer, and of each head.
    const CASES: [&str; 9] = [
        "hf-mamba",
        "hf-mamba2-groups",
        "caduceus-uni",
        "caduceus-ph",
        "caduceus-ph-untied",
        "caduceus-ph-ewmul",
        "caduceus-ph-seqcls",
        "caduceus-ps",
        "caduceus-ps-seqcls",
    ];

    #[test]
    fn what_is_foreseen_is_what_a_sequence_allocates() {
        check(Reference);
        check(Cpu::with_precision(Level::widest(), Precision::Bf16));
    }

    fn check<B: Backend>(backend: B) {
        const LEN: usize = 20;
        let precision = backend.precision();
        for case in CASES {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(case);
            let Checkpoint { config, weights, .. } = Checkpoint::load(folder).unwrap();
            let trainee = Trainee::new(backend.clone(), &config, &weights);
            for chunk in [6, LEN] {
                let chunking = Chunking::Positions(chunk.try_into().unwrap());
                let (mut scratch, mut gradients) = (trainee.scratch(), Gradients::new(&config, &weights));
                let example = Example { ids: &[4; LEN], labels: &[5; LEN], weights: None };
                let mut meter = Meter::new(&Unwatched, 0, 0);
                let found = trainee.gradients(&example, 1.0, chunking, &mut scratch, &mut gradients, &mut meter);
                if found == ControlFlow::Continue(None) {
                    let classified = trainee.classify(&[4; LEN], chunking, &mut scratch).unwrap();
                    let d_logits = vec![1.0; classified.logits().len()];
                    classified.backward(&d_logits, &mut gradients);
                }
                let foreseen = TrainMemory::of::<B::Scalar>(&config, precision, chunking, LEN);
                let expected = foreseen.scratch() - scan_bytes::<B::Scalar>(&config, chunk);
                assert_eq!(scratch.bytes() as u64, expected, "{case} in chunks of {chunk}");
                assert_eq!(gradients.bytes() as u64, foreseen.gradients, "{case}");
            }
        }
    }
}
