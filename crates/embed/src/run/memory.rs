//! How much memory a run takes, and how much it may.

use longstrand_model::{Crew, Lanes, Scratch};

use crate::embedder::Embedder;
use crate::plan::{Job, Plan};

/// Most tokens of a batch for each thread: what a cancelled or killed run may have to compute again.
const TOKENS_PER_THREAD: usize = 1 << 17;

/// Windows of a batch for each lane at least, where there are more lanes than threads: enough that no lane waits long for
/// the others.
const WINDOWS_PER_LANE: usize = 32;

/// The part of the available memory that batches may take.
const PART_OF_MEMORY: u64 = 4;

/// Batches that there are at once: one being read, one being computed, one being written.
const BATCHES: u64 = 3;

/// Copies of a row group's vectors that the writer holds: before and after encoding.
const GROUP_COPIES: u64 = 2;

/// The windows that are reckoned with where their length is not known, in bases: short reads are longer.
const SHORTEST: u64 = 64;

/// Bytes of a window beside its bases, and of a row beside its vector: names, coordinates and counts.
const WINDOW_BYTES: u64 = 256;
pub(crate) const ROW_BYTES: u64 = 128;

/// Tokens of a batch where the choice is left open.
pub(crate) fn batch_tokens(plan: &Plan, job: &Job) -> usize {
    let n_bases = plan.mean_window().unwrap_or(SHORTEST);
    let filling = lanes(plan, n_bases).saturating_mul(WINDOWS_PER_LANE).saturating_mul(n_bases as usize);
    let most = (TOKENS_PER_THREAD * plan.threads().get()).max(filling);
    let Some(available) = job.compute.available_memory else { return most };
    let fitting = available / PART_OF_MEMORY / (BATCHES * bytes_per_token(plan.embedder(), n_bases));
    usize::try_from(fitting).unwrap_or(usize::MAX).clamp(Crew::<Scratch<f32>>::LONG, most)
}

/// About how many bytes a run takes whose longest window is of `n_bases`, weights aside, by what they are for.
pub(crate) fn parts(plan: &Plan, n_bases: u64) -> [(&'static str, u64); 3] {
    let embedder = plan.embedder();
    let (passes, waiting) = match embedder.is_filled_by(embedder.tokens(n_bases as usize)) {
        false => {
            let per_token = bytes_per_token(embedder, plan.mean_window().unwrap_or(SHORTEST));
            let all = plan.planned().map_or(u64::MAX, |planned| planned.bases);
            // One batch may be all there is, and then its rows take the place of its windows.
            let waiting = (BATCHES * plan.batch_tokens() as u64).min(all).saturating_mul(per_token);
            ((lanes(plan, n_bases) as u64).saturating_mul(embedder.pass_bytes(n_bases)), waiting)
        }
        true => (embedder.window_bytes(n_bases), 0),
    };
    [("windows", passes), ("batches", waiting), ("output", plan.group_bytes().saturating_mul(GROUP_COPIES))]
}

/// All of it.
pub(crate) fn estimate(plan: &Plan, n_bases: u64) -> u64 {
    parts(plan, n_bases).into_iter().fold(0, |sum, (_, bytes)| sum.saturating_add(bytes))
}

/// Windows of `n_bases` that are computed side by side.
pub(crate) fn lanes(plan: &Plan, n_bases: u64) -> usize {
    let embedder = plan.embedder();
    let windows = plan.planned().map_or(usize::MAX, |planned| usize::try_from(planned.windows).unwrap_or(usize::MAX));
    match embedder.lanes(embedder.tokens(n_bases as usize), windows, plan.threads()) {
        Lanes::Together => 1,
        Lanes::SideBySide(lanes) => lanes.get(),
    }
}

/// Bytes that a token of a batch of windows of `n_bases` takes, its rows included.
fn bytes_per_token(embedder: &Embedder, n_bases: u64) -> u64 {
    let row = ROW_BYTES + 4 * embedder.width().get() as u64;
    1 + (WINDOW_BYTES + embedder.rows(n_bases) * row).div_ceil(n_bases.max(1))
}
