//! Which contigs a track has, and how far the last one is filled.

use std::collections::HashSet;

use super::error::TrackFlaw;

#[derive(Debug, Default)]
pub(super) struct Contigs {
    seen: HashSet<String>,
    open: Option<Open>,
}

/// The contig that was begun last.
#[derive(Debug)]
struct Open {
    name: String,
    length: u64,
    /// End of the bases so far, 0-based, half-open.
    end: u64,
}

impl Contigs {
    pub(super) fn count(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) fn begin(&mut self, name: &str, length: u64) -> Result<(), TrackFlaw> {
        let contig = name.to_string();
        if length > u64::from(u32::MAX) {
            return Err(TrackFlaw::TooLong { contig, length });
        }
        if !self.seen.insert(contig.clone()) {
            return Err(TrackFlaw::Twice { contig });
        }
        self.open = Some(Open { name: contig, length, end: 0 });
        Ok(())
    }

    /// Takes note of `count` bases from `start` on.
    pub(super) fn advance(&mut self, start: u64, count: usize) -> Result<(), TrackFlaw> {
        let open = self.open.as_mut().expect("a contig is begun before values are pushed");
        let (contig, length) = (|| open.name.clone(), open.length);
        if start < open.end {
            return Err(TrackFlaw::Backwards { contig: contig(), expected: open.end, found: start });
        }
        match start.saturating_add(count as u64) {
            end if end > length => Err(TrackFlaw::Outside { contig: contig(), length, end }),
            end => {
                open.end = end;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contig_is_filled_once_and_forwards() {
        let mut contigs = Contigs::default();
        contigs.begin("b", 10).unwrap();
        contigs.begin("a", 10).unwrap();
        contigs.advance(2, 3).unwrap();
        contigs.advance(5, 5).unwrap();
        let backwards = contigs.advance(9, 1).unwrap_err();
        assert_eq!(backwards, TrackFlaw::Backwards { contig: "a".into(), expected: 10, found: 9 });
        assert_eq!(contigs.advance(10, 1).unwrap_err(), TrackFlaw::Outside { contig: "a".into(), length: 10, end: 11 });
        contigs.advance(10, 0).unwrap();
        assert_eq!(contigs.begin("b", 10).unwrap_err(), TrackFlaw::Twice { contig: "b".into() });
        let length = 1 << 32;
        assert_eq!(contigs.begin("c", length).unwrap_err(), TrackFlaw::TooLong { contig: "c".into(), length });
        assert_eq!(contigs.count(), 2);
    }
}
