use std::{num::NonZeroU64, str::FromStr};

use super::Targets;
use crate::choice::ParseChoiceError;

/// How long a window is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WindowSize {
    /// This many bases: contigs and regions are tiled, BED intervals get one window centred on each.
    Bases(NonZeroU64),
    /// Each whole contig; regions and BED intervals must then be whole contigs.
    Contig,
    /// Each contig, region or BED interval as it is.
    Interval,
}

/// What becomes of a window that would reach past the end of its contig or region.
///
/// Windows start at every stride from the start of the contig or region until one reaches its end, so that only the
/// last one can be partial. A window centred on a BED interval is shifted to lie inside its contig; it is partial when
/// the contig is shorter than the window. Whatever becomes of partial windows, they are counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Partial {
    /// It is given with the bases there are, and counted.
    #[default]
    Keep,
    /// It is left out and counted.
    Drop,
    /// It is counted and filled up with `N` to the window size, after its last base in the window's own orientation.
    Pad,
}

/// How windows are laid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowOptions {
    /// How long a window is.
    pub size: WindowSize,
    /// Bases from one window's start to the next one's; the size when absent. Only for [`WindowSize::Bases`] over
    /// contigs and regions.
    pub stride: Option<NonZeroU64>,
    /// What becomes of a last window that is shorter than the size.
    pub partial: Partial,
    /// Windows of which a larger fraction than this is none of A, C, G, T are left out and counted; 0 to 1. Padding
    /// does not count.
    pub max_ambiguous: f64,
}

impl WindowOptions {
    /// The window size when none is asked for, in bases.
    pub const DEFAULT_SIZE: NonZeroU64 = NonZeroU64::new(1024).expect("not zero");

    /// The options for `targets` when a size or a stride may not have been given: whole contigs are tiled with 1,024
    /// bases, BED intervals and regions are taken as they are, and a stride alone tiles a region with 1,024 bases.
    pub fn with_defaults(size: Option<WindowSize>, stride: Option<NonZeroU64>, targets: &Targets) -> Self {
        let by_default = match targets {
            Targets::Bed(_) => WindowSize::Interval,
            Targets::Regions(_) if stride.is_none() => WindowSize::Interval,
            Targets::Regions(_) | Targets::Contigs => WindowSize::Bases(Self::DEFAULT_SIZE),
        };
        Self { size: size.unwrap_or(by_default), stride, ..Self::default() }
    }
}

impl Default for WindowOptions {
    /// 1,024 bases side by side, the last one kept, no limit on ambiguous bases.
    fn default() -> Self {
        Self { size: WindowSize::Bases(Self::DEFAULT_SIZE), stride: None, partial: Partial::Keep, max_ambiguous: 1.0 }
    }
}

impl FromStr for WindowSize {
    type Err = ParseChoiceError;

    /// Parses a number of bases or `contig`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "contig" {
            return Ok(Self::Contig);
        }
        text.parse().map(Self::Bases).map_err(|_| ParseChoiceError::new(&["contig", "a number of bases above 0"], text))
    }
}

impl FromStr for Partial {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(Self::Keep),
            "drop" => Ok(Self::Drop),
            "pad" => Ok(Self::Pad),
            _ => Err(ParseChoiceError::new(&["keep", "drop", "pad"], text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse() {
        let size = |text: &str| text.parse::<WindowSize>();
        assert_eq!(size("8"), Ok(WindowSize::Bases(NonZeroU64::new(8).unwrap())));
        assert_eq!(size("contig"), Ok(WindowSize::Contig));
        for bad in ["0", "-1", "1kb", "Contig", ""] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(
            size("0").unwrap_err().to_string(),
            "expected one of contig, a number of bases above 0, found \"0\""
        );
        assert_eq!("pad".parse(), Ok(Partial::Pad));
        assert_eq!(
            "trim".parse::<Partial>().unwrap_err().to_string(),
            "expected one of keep, drop, pad, found \"trim\""
        );
    }

    #[test]
    fn defaults_depend_on_the_targets() {
        let size = |stride, targets| WindowOptions::with_defaults(None, stride, &targets).size;
        let tiles = WindowSize::Bases(WindowOptions::DEFAULT_SIZE);
        let stride = NonZeroU64::new(5);
        assert_eq!(size(None, Targets::Contigs), tiles);
        assert_eq!(size(None, Targets::Regions(vec![])), WindowSize::Interval);
        assert_eq!(size(stride, Targets::Regions(vec![])), tiles);
        assert_eq!(size(None, Targets::Bed(vec![])), WindowSize::Interval);
    }
}
