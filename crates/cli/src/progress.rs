//! Progress on stderr: bases done, bases a second and the time that is left.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::failure::say;

/// Redraws a second.
const REDRAWS: u8 = 4;

/// A line on stderr, where there is a terminal to show it and it is wanted.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
}

impl Progress {
    /// Progress towards a number of bases, or without an end in sight.
    pub fn new(bases: Option<u64>, quiet: bool) -> Self {
        let bar = match quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::with_draw_target(bases, ProgressDrawTarget::stderr_with_hz(REDRAWS)),
        };
        bar.set_style(style(bases.is_some()));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_secs(1));
        }
        Self { bar, quiet }
    }

    /// Bases that an earlier run has done: they count as done, not as fast.
    pub fn skip(&self, bases: u64) {
        self.bar.set_position(self.bar.position() + bases);
        self.bar.reset_eta();
    }

    /// Bases that have just been done.
    pub fn add(&self, bases: u64) {
        self.bar.inc(bases);
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

fn style(has_end: bool) -> ProgressStyle {
    let template = match has_end {
        true => "{wide_bar} {percent:>3}%  {done} of {all}  {rate}  {eta} left",
        false => "{spinner} {done}  {rate}  {elapsed}",
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
        style(false);
        let progress = Progress::new(Some(100), true);
        progress.skip(40);
        progress.add(2);
        assert_eq!(progress.bar.position(), 42);
    }
}
