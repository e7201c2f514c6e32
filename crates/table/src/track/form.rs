//! The file formats of a track.

use std::path::Path;

/// The file format of a track.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TrackForm {
    /// Text: a line for each run of equal values.
    BedGraph,
    /// Binary, indexed, with zoom levels.
    BigWig,
}

impl TrackForm {
    /// The format that a path is named after, in any case of letters: `.bw` and `.bigwig` are bigWig; `.bedgraph`, `.bdg`
    /// and `.bg`, with `.gz` behind them or not, are bedGraph.
    ///
    /// ```
    /// use longstrand_table::TrackForm;
    ///
    /// assert_eq!(TrackForm::from_path("out/entropy.bigWig"), Some(TrackForm::BigWig));
    /// assert_eq!(TrackForm::from_path("entropy.bedGraph.gz"), Some(TrackForm::BedGraph));
    /// assert_eq!(TrackForm::from_path("entropy.wig"), None);
    /// ```
    pub fn from_path(path: impl AsRef<Path>) -> Option<Self> {
        let name = path.as_ref().file_name()?.to_str()?.to_ascii_lowercase();
        let ends_in = |name: &str, endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        let unzipped = name.strip_suffix(".gz").unwrap_or(&name);
        if ends_in(&name, &[".bw", ".bigwig"]) {
            return Some(Self::BigWig);
        }
        ends_in(unzipped, &[".bedgraph", ".bdg", ".bg"]).then_some(Self::BedGraph)
    }
}
