//! Whether a window fits into memory.

use longstrand_model::Excess;

use crate::error::ScoreError;
use crate::predictor::Predictor;

/// Refuses a context whose windows, of `bases` at most, take more than the memory that is available, where that is known.
///
/// # Errors
///
/// - [`ScoreError::Usage`]
pub(crate) fn check(predictor: &Predictor, context: u64, bases: u64, available: Option<u64>) -> Result<(), ScoreError> {
    let Err(Excess { needed, available, longest, memory }) = predictor.check_window(bases, available) else {
        return Ok(());
    };
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let fitting = longest / 2 * 2;
    Err(ScoreError::Usage(format!(
        "--context {context}: a window of {bases} bases takes about {:.1} GiB of {memory}, and {:.1} are available: expected \
         at most {fitting} bases",
        gib(needed),
        gib(available)
    )))
}
