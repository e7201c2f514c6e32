//! Progress on stderr: what is done, how fast, and the time that is left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::failure::say;

/// Redraws a second.
const REDRAWS: u8 = 4;

/// Time between two lines where there is no terminal to draw on.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// How far a run is: a line that is drawn anew on a terminal, a line now and then in a log.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    log: Option<Log>,
    quiet: bool,
    measure: Measure,
    began: Instant,
    /// Bases done by this run.
    bases: AtomicU64,
    /// What an earlier run has done.
    skipped: AtomicU64,
    /// How the run does.
    standing: Mutex<String>,
}

/// What a run is measured in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Measure {
    Bases,
    /// What the run counts, such as records; the bases are shown as a rate alone.
    Counted(&'static str),
}

/// Lines now and then.
#[derive(Debug)]
struct Log {
    /// When the next line is due.
    due: Mutex<Instant>,
}

impl Progress {
    /// Progress towards a number of bases, or without an end in sight.
    pub fn new(bases: Option<u64>, quiet: bool) -> Self {
        Self::measured(Measure::Bases, bases, quiet)
    }

    /// Progress in what a run counts, such as `records`; how many there will be is told by [`Self::count`].
    pub fn counting(unit: &'static str, quiet: bool) -> Self {
        Self::measured(Measure::Counted(unit), None, quiet)
    }

    fn measured(measure: Measure, all: Option<u64>, quiet: bool) -> Self {
        let target = match quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(REDRAWS),
        };
        let bar = ProgressBar::with_draw_target(all, target);
        bar.set_style(style(measure, all.is_some()));
        let log = (bar.is_hidden() && !quiet).then(Log::new);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_secs(1));
        }
        Self {
            bar,
            log,
            quiet,
            measure,
            began: Instant::now(),
            bases: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            standing: Mutex::default(),
        }
    }

    /// How much of the inputs has been read to take their digests, before the run begins.
    pub fn digest(&self, bytes: u64, total: u64) {
        let percent = percent(bytes, total);
        self.bar.set_message(if bytes < total { format!("  inputs checked: {percent}%") } else { String::new() });
        if self.log.as_ref().is_some_and(Log::is_due) {
            say(&format!("inputs checked: {percent}%"));
        }
    }

    /// Bases, or what the run counts, that an earlier run has done: they count as done, not as fast.
    pub fn skip(&self, done: u64) {
        self.skipped.fetch_add(done, Ordering::Relaxed);
        self.bar.set_position(self.bar.position() + done);
        self.bar.reset_eta();
    }

    /// Bases that have just been done.
    pub fn add(&self, bases: u64) {
        self.bases.fetch_add(bases, Ordering::Relaxed);
        match self.measure {
            Measure::Bases => self.bar.inc(bases),
            Measure::Counted(_) => {
                self.bar.set_message(format!("  {}/s{}", format_bases(self.rate()), self.standing()))
            }
        }
        if self.log.as_ref().is_some_and(Log::is_due) {
            say(&self.line());
        }
    }

    /// How the run does, beside how far it is.
    pub fn stands(&self, words: &str) {
        words.clone_into(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn standing(&self) -> String {
        let words = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() { String::new() } else { format!("  {words}") }
    }

    /// How many of what the run counts are done, and how many there will be where that is known.
    pub fn count(&self, done: u64, all: Option<u64>) {
        if let Some(all) = all.filter(|&all| self.bar.length() != Some(all)) {
            self.bar.set_length(all);
            self.bar.set_style(style(self.measure, true));
        }
        self.bar.set_position(done);
    }

    /// Bases a second.
    fn rate(&self) -> f64 {
        self.bases.load(Ordering::Relaxed) as f64 / self.seconds()
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64().max(1e-9)
    }

    /// A line of a log.
    fn line(&self) -> String {
        let (done, all) = (self.bar.position(), self.bar.length());
        let line = match self.measure {
            Measure::Bases => line(done, all, self.rate()),
            Measure::Counted(unit) => {
                let own = done.saturating_sub(self.skipped.load(Ordering::Relaxed));
                let each = self.seconds() / own as f64;
                counted_line(done, all, unit, self.rate(), (own > 0).then_some(each))
            }
        };
        line + &self.standing().replacen("  ", ", ", 1)
    }

    /// Prints a warning above the line.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.bar.suspend(|| say(&format!("warning: {}", message.as_ref())));
    }

    /// Prints a note above the line, unless the run is to be quiet.
    pub fn note(&self, message: impl AsRef<str>) {
        if !self.quiet {
            self.bar.suspend(|| say(message.as_ref()));
        }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Log {
    fn new() -> Self {
        Self { due: Mutex::new(Instant::now() + BETWEEN_LINES) }
    }

    /// Whether a line is due; then the next one is due later.
    fn is_due(&self) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = now >= *due;
        if is_due {
            *due = now + BETWEEN_LINES;
        }
        is_due
    }
}

/// A line of a log: `rate` is in bases a second.
fn line(done: u64, all: Option<u64>, rate: f64) -> String {
    let (shown, rate_shown) = (format_bases(done as f64), format_bases(rate));
    let Some(all) = all else { return format!("{shown} done, {rate_shown}/s") };
    let left = all.saturating_sub(done) as f64 / rate.max(1e-9);
    let (percent, all) = (percent(done, all), format_bases(all as f64));
    format!("{shown} of {all} done ({percent}%), {rate_shown}/s, about {} left", format_seconds(left))
}

/// A line of a log of what is counted: `rate` is in bases a second, `each` the seconds that one takes.
fn counted_line(done: u64, all: Option<u64>, unit: &str, rate: f64, each: Option<f64>) -> String {
    let rate = format_bases(rate);
    let Some(all) = all else { return format!("{done} {unit} done, {rate}/s") };
    let left = each.map_or(String::new(), |each| {
        format!(", about {} left", format_seconds(all.saturating_sub(done) as f64 * each))
    });
    format!("{done} of {all} {unit} done ({}%), {rate}/s{left}", percent(done, all))
}

fn percent(part: u64, all: u64) -> u64 {
    (u128::from(part) * 100 / u128::from(all.max(1))) as u64
}

/// A span of time in the largest unit of which there are two.
fn format_seconds(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3600.0),
    }
}

fn style(measure: Measure, has_end: bool) -> ProgressStyle {
    let unit = match measure {
        Measure::Bases => "",
        Measure::Counted(unit) => unit,
    };
    let template = match (measure, has_end) {
        (Measure::Bases, true) => "{wide_bar} {percent:>3}%  {done} of {all}  {rate}  {left}{msg}",
        (Measure::Bases, false) => "{spinner} {done}  {rate}  {elapsed}{msg}",
        (Measure::Counted(_), true) => "{wide_bar} {percent:>3}%  {pos} of {len} {unit}  {left}{msg}",
        (Measure::Counted(_), false) => "{spinner} {pos} {unit}  {elapsed}{msg}",
    };
    let bases = |bases: f64| -> String { format_bases(bases) };
    ProgressStyle::with_template(template)
        .expect("the templates above are well formed")
        .with_key("done", move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = to.write_str(&bases(state.pos() as f64));
        })
        .with_key("all", move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = to.write_str(&bases(state.len().unwrap_or(0) as f64));
        })
        .with_key("left", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            // Nothing tells before the first step is done.
            if state.pos() > 0 {
                let _ = write!(to, "{:#} left", HumanDuration(state.eta()));
            }
        })
        .with_key("unit", move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = to.write_str(unit);
        })
        .with_key("rate", move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = write!(to, "{}/s", bases(state.per_sec()));
        })
}

/// A number of bases in b, kb, Mb or Gb.
pub fn format_bases(bases: f64) -> String {
    let unit = match bases {
        1e9.. => (1e9, "Gb"),
        1e6.. => (1e6, "Mb"),
        1e3.. => (1e3, "kb"),
        _ => return format!("{bases:.0} b"),
    };
    format!("{:.1} {}", bases / unit.0, unit.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_shown_in_the_largest_unit_that_fits() {
        let shown = [0.0, 999.0, 1_000.0, 63_025_520.0, 3.1e9].map(format_bases);
        assert_eq!(shown, ["0 b", "999 b", "1.0 kb", "63.0 Mb", "3.1 Gb"]);
    }

    #[test]
    fn both_styles_are_well_formed_and_skipped_bases_count_as_done() {
        style(Measure::Bases, false);
        let progress = Progress::new(Some(100), true);
        progress.skip(40);
        progress.add(2);
        assert_eq!(progress.bar.position(), 42);
    }

    #[test]
    fn a_log_says_how_far_and_how_fast() {
        assert_eq!(
            line(12_300_000, Some(63_000_000), 100_000.0),
            "12.3 Mb of 63.0 Mb done (19%), 100.0 kb/s, about 8 min left"
        );
        assert_eq!(line(500, None, 20.0), "500 b done, 20 b/s");
        assert_eq!([59.6, 3000.0, 7300.0].map(format_seconds), ["60 s", "50 min", "2 h"]);
    }

    #[test]
    fn what_is_counted_is_shown_with_its_unit() {
        let progress = Progress::counting("records", true);
        progress.add(1_000);
        progress.count(50, None);
        assert!(progress.line().starts_with("50 records done, "), "{}", progress.line());
        progress.count(100, Some(400));
        assert_eq!((progress.bar.position(), progress.bar.length()), (100, Some(400)));
        assert_eq!(
            counted_line(100, Some(400), "records", 2_000.0, Some(0.6)),
            "100 of 400 records done (25%), 2.0 kb/s, about 3 min left"
        );
        assert_eq!(counted_line(0, Some(400), "records", 0.0, None), "0 of 400 records done (0%), 0 b/s");
    }

    #[test]
    fn a_line_is_due_once_an_interval() {
        let log = Log::new();
        assert!(!log.is_due());
        *log.due.lock().unwrap() = Instant::now();
        assert!(log.is_due());
        assert!(!log.is_due());
    }
}
