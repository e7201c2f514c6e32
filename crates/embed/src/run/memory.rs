//! How much memory a run takes, and how much it may.

use longstrand_model::Scratch;

use super::LONG_WINDOW;
use crate::embedder::Embedder;
use crate::plan::{Job, Plan};

/// Most tokens of a batch for each thread: what a cancelled or killed run may have to compute again.
const TOKENS_PER_THREAD: usize = 1 << 17;

/// The part of the available memory that batches may take.
const PART_OF_MEMORY: u64 = 4;

/// Batches that there are at once: one being read, one waiting, one being computed, one being written.
const BATCHES: u64 = 4;

/// Positions that a pass works on at a time, at most.
const CHUNK: u64 = 16_384;

/// Bytes that the writer holds: a row group of vectors, before and after encoding.
const ROW_GROUP: u64 = 2 << 26;

/// The shortest windows that are reckoned with, in bases: short reads are longer.
const SHORTEST: u64 = 64;

/// Tokens of a batch where the choice is left open.
pub(crate) fn batch_tokens(plan: &Plan, job: &Job) -> usize {
    let most = TOKENS_PER_THREAD * plan.threads().get();
    let Some(available) = job.compute.available_memory else { return most };
    let fitting = available / PART_OF_MEMORY / (BATCHES * bytes_per_token(plan.embedder()));
    usize::try_from(fitting).unwrap_or(usize::MAX).clamp(LONG_WINDOW, most)
}

/// About how many bytes a run over windows of `n_bases` takes, weights aside.
pub(crate) fn estimate(plan: &Plan, n_bases: u64) -> u64 {
    let embedder = plan.embedder();
    let config = embedder.model().config();
    let working = Scratch::<f32>::bytes_per_position(config) as u64;
    let residual = if embedder.model().is_causal() { 0 } else { 4 * embedder.model().width() as u64 };
    let per_window = n_bases.min(CHUNK) * working + n_bases * residual;
    let (at_once, waiting) = match n_bases < LONG_WINDOW as u64 {
        true => (plan.threads().get() as u64, BATCHES * plan.batch_tokens() as u64 * bytes_per_token(embedder)),
        false => (1, 4 * n_bases),
    };
    at_once * per_window + waiting + ROW_GROUP
}

/// Bytes that a token of a batch takes, its rows included.
fn bytes_per_token(embedder: &Embedder) -> u64 {
    const NAMES: u64 = 128;
    let row = NAMES + 4 * embedder.width().get() as u64;
    1 + (embedder.rows(SHORTEST) * row).div_ceil(SHORTEST)
}
