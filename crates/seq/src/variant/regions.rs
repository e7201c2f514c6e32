//! Which records regions ask for.

use std::{collections::HashMap, ops::Range};

use super::{HeaderContig, VariantRecord};
use crate::{
    contig::{Contig, Contigs},
    region::{self, RegionError},
};

/// Intervals of contigs, by the names of the file.
#[derive(Debug, Default)]
pub(super) struct Regions {
    /// 0-based, half-open, ascending, apart from each other.
    by_contig: HashMap<String, Vec<Range<u64>>>,
}

impl Regions {
    /// Reads region strings (1-based, closed). Contigs are those of the header and those that only the index names.
    pub(super) fn parse(texts: &[String], declared: &[HeaderContig], indexed: &[String]) -> Result<Self, RegionError> {
        let contigs = known_contigs(declared, indexed)?;
        let mut regions = Self::default();
        for text in texts {
            let interval = region::parse(text, &contigs)?;
            let contig = contigs.get(interval.contig);
            // A telomere lies behind a contig's last base: up to the end means all there is.
            let end = if interval.end == contig.length { UNKNOWN_LENGTH } else { interval.end };
            regions.by_contig.entry(contig.name.clone()).or_default().push(interval.start..end);
        }
        regions.by_contig.values_mut().for_each(join);
        Ok(regions)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[Range<u64>])> {
        self.by_contig.iter().map(|(contig, intervals)| (contig.as_str(), intervals.as_slice()))
    }

    /// Whether a record reaches into one of the intervals.
    pub(super) fn hold(&self, record: &VariantRecord) -> bool {
        let Some(intervals) = self.by_contig.get(record.contig()) else { return false };
        let (start, end) = (record.start(), record.end().max(record.start() + 1));
        let at = intervals.partition_point(|interval| interval.end <= start);
        intervals.get(at).is_some_and(|interval| interval.start < end)
    }
}

const UNKNOWN_LENGTH: u64 = 1 << 62;

fn known_contigs(declared: &[HeaderContig], indexed: &[String]) -> Result<Contigs, RegionError> {
    let mut contigs: Vec<Contig> = Vec::new();
    let named = declared.iter().map(|contig| (&contig.name, contig.length));
    let mut seen = std::collections::HashSet::new();
    for (name, length) in named.chain(indexed.iter().map(|name| (name, None))) {
        if seen.insert(name) {
            contigs.push(Contig { name: name.clone(), length: length.unwrap_or(UNKNOWN_LENGTH) });
        }
    }
    Contigs::new(contigs).map_err(|source| RegionError::Contig { text: String::new(), source })
}

fn join(intervals: &mut Vec<Range<u64>>) {
    intervals.sort_unstable_by_key(|interval| interval.start);
    intervals.dedup_by(|next, last| {
        let touch = next.start <= last.end;
        if touch {
            last.end = last.end.max(next.end);
        }
        touch
    });
}

#[cfg(test)]
mod tests {
    use super::{super::Place, *};

    fn record(contig: &str, position: u64, rest: &str) -> VariantRecord {
        let line = format!("{contig}\t{position}\t.\tA\t{rest}");
        VariantRecord::parse(line.into_bytes(), Place::Line(1)).unwrap()
    }

    #[test]
    fn records_that_reach_in_are_held() {
        let declared = [HeaderContig { name: "chr20".into(), length: Some(1_000) }];
        let texts = ["20:101-200", "chr20:150-300", "7:50"].map(String::from);
        let regions = Regions::parse(&texts, &declared, &["chr20".into(), "7".into()]).unwrap();
        for (contig, position, rest, is_held) in [
            ("chr20", 100, "C\t.\t.\t.", false),
            ("chr20", 101, "C\t.\t.\t.", true),
            ("chr20", 300, "C\t.\t.\t.", true),
            ("chr20", 301, "C\t.\t.\t.", false),
            ("chr20", 90, "<DEL>\t.\t.\tEND=101", true),
            ("chr20", 90, "<DEL>\t.\t.\tEND=100", false),
            ("7", 1 << 40, "C\t.\t.\t.", true),
            ("20", 150, "C\t.\t.\t.", false),
        ] {
            assert_eq!(regions.hold(&record(contig, position, rest)), is_held, "{contig}:{position} {rest}");
        }
        assert!(Regions::parse(&["8".into()], &declared, &[]).is_err());
        let whole = Regions::parse(&["20".into()], &declared, &[]).unwrap();
        assert!(whole.hold(&record("chr20", 0, "C\t.\t.\t.")) && whole.hold(&record("chr20", 1_001, "C\t.\t.\t.")));
    }
}
