//! Which windows or reads were chosen, defaults filled in.

use longstrand_seq::reads::ReadFilter;
use longstrand_seq::window::{Partial, Targets, WindowOptions, WindowSize};
use longstrand_seq::{Contigs, Interval};
use serde_json::{Map, Value, json};

/// What was chosen, by the user or by default: two command lines that choose the same are one run. What does not apply is
/// absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Selection {
    /// As `contig:start-end`, 1-based and closed, under the file's own names.
    regions: Vec<String>,
    window: Option<WindowSize>,
    stride: Option<u64>,
    partial: Option<Partial>,
    min_mapping_quality: Option<u8>,
    required_flags: Option<u16>,
    excluded_flags: Option<u16>,
}

impl Selection {
    /// Windows over all contigs of a stream.
    pub(crate) fn of_stream(options: &WindowOptions) -> Self {
        Self::of_windows(options, &Targets::Contigs, &Contigs::default())
    }

    pub(crate) fn of_windows(options: &WindowOptions, targets: &Targets, contigs: &Contigs) -> Self {
        let regions = match targets {
            Targets::Regions(regions) => names(regions, contigs),
            Targets::Contigs | Targets::Bed(_) => Vec::new(),
        };
        let windows = Self { regions, window: Some(options.size), ..Self::default() };
        let WindowSize::Bases(size) = options.size else { return windows };
        let stride = match targets {
            Targets::Bed(_) => None,
            Targets::Contigs | Targets::Regions(_) => Some(options.stride.unwrap_or(size).get()),
        };
        Self { stride, partial: Some(options.partial), ..windows }
    }

    /// Reads that overlap `regions`, or all of them, and pass the filter.
    pub(crate) fn of_reads(filter: &ReadFilter, regions: &[Interval], contigs: &Contigs) -> Self {
        Self {
            regions: names(regions, contigs),
            min_mapping_quality: Some(filter.min_mapping_quality),
            required_flags: Some(filter.required_flags),
            excluded_flags: Some(filter.excluded_flags),
            ..Self::default()
        }
    }

    /// Every choice by the name of its option.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let choices = [
            ("regions", json!(self.regions)),
            ("window", json!(self.window.map(window))),
            ("stride", json!(self.stride)),
            ("last", json!(self.partial.map(partial))),
            ("min_mapq", json!(self.min_mapping_quality)),
            ("require_flags", json!(self.required_flags)),
            ("exclude_flags", json!(self.excluded_flags)),
        ];
        choices.into_iter().map(|(name, choice)| (name.into(), choice)).collect()
    }
}

fn names(regions: &[Interval], contigs: &Contigs) -> Vec<String> {
    let name = |region: &Interval| format!("{}:{}-{}", contigs.get(region.contig).name, region.start + 1, region.end);
    regions.iter().map(name).collect()
}

fn window(size: WindowSize) -> Value {
    match size {
        WindowSize::Bases(bases) => json!(bases),
        WindowSize::Contig => json!("contig"),
        WindowSize::Interval => json!("interval"),
    }
}

fn partial(partial: Partial) -> &'static str {
    match partial {
        Partial::Keep => "keep",
        Partial::Drop => "drop",
        Partial::Pad => "pad",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(size: Option<&str>, stride: Option<u64>, targets: &Targets) -> Selection {
        let size = size.map(|size| size.parse().unwrap());
        let stride = stride.map(|stride| stride.try_into().unwrap());
        Selection::of_windows(&WindowOptions::with_defaults(size, stride, targets), targets, &Contigs::default())
    }

    #[test]
    fn a_default_and_the_same_choice_are_one() {
        let contigs = Targets::Contigs;
        let default = windows(None, None, &contigs);
        assert_eq!(default, windows(Some("1024"), None, &contigs));
        assert_eq!(default, windows(None, Some(1024), &contigs));
        assert_eq!(default.json()["stride"], json!(1024));
        assert_ne!(default, windows(Some("1024"), Some(512), &contigs));
        assert_ne!(default, windows(Some("contig"), None, &contigs));
    }

    #[test]
    fn what_does_not_apply_is_absent() {
        let bed = Targets::Bed(Vec::new());
        assert_eq!(windows(None, None, &bed).json()["last"], Value::Null);
        let centred = windows(Some("8"), None, &bed).json();
        assert_eq!(
            (&centred["window"], &centred["stride"], &centred["last"]),
            (&json!(8), &Value::Null, &json!("keep"))
        );
    }
}
