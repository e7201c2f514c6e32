//! How far a step is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use longstrand_model::Watch;

/// Time after which a step is long.
const LONG: Duration = Duration::from_secs(1);

/// Tells a watch of the bases of a step, one hundredth after another, and of a long step how many of these are done.
pub(super) struct Within<'a> {
    watch: &'a dyn Watch,
    step: u64,
    tokens: u64,
    standing: String,
    began: Instant,
    done: AtomicU64,
}

impl<'a> Within<'a> {
    /// Within a step of so many tokens; `standing` are the words before.
    pub(super) fn new(watch: &'a dyn Watch, step: u64, tokens: u64, standing: String) -> Self {
        Self { watch, step, tokens, standing, began: Instant::now(), done: AtomicU64::new(0) }
    }
}

impl Watch for Within<'_> {
    fn advanced(&self, bases: u64) {
        let tokens = u128::from(self.tokens.max(1));
        let percent = |done: u64| u128::from(done) * 100 / tokens;
        let up_to = |percent: u128| (tokens * percent / 100) as u64;
        let before = self.done.fetch_add(bases, Ordering::Relaxed);
        let (before, now) = (percent(before), percent(before + bases));
        if now == before {
            return;
        }
        if now < 100 && self.began.elapsed() >= LONG {
            self.watch.stands(&format!("{}{now}% of step {}", self.standing, self.step));
        }
        self.watch.advanced(up_to(now) - up_to(before));
    }

    fn is_cancelled(&self) -> bool {
        self.watch.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<(Vec<String>, u64)>);

    impl Watch for Heard {
        fn stands(&self, words: &str) {
            self.0.lock().unwrap().0.push(words.into());
        }

        fn advanced(&self, bases: u64) {
            self.0.lock().unwrap().1 += bases;
        }
    }

    #[test]
    fn a_step_is_told_in_hundredths_and_a_long_one_in_words_too() {
        let heard = Heard::default();
        let within = |began| Within { began, ..Within::new(&heard, 7, 1_000, "loss 1.2000, ".into()) };
        let long = within(Instant::now() - LONG);
        [4, 4, 4, 500, 488].into_iter().for_each(|bases| long.advanced(bases));
        within(Instant::now() + LONG).advanced(609);
        let (words, bases) = heard.0.into_inner().unwrap();
        assert_eq!(words, ["loss 1.2000, 1% of step 7", "loss 1.2000, 51% of step 7"]);
        assert_eq!(bases, 1_600);
    }
}
