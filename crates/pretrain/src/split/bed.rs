//! A table says which rows are for what.

use std::path::Path;

use longstrand_seq::bed::BedRecord;

use super::{Area, Reading, Split, SplitError, Splits};
use crate::{regions::Regions, source::Sources};

pub(super) fn divide(path: &Path, reading: Reading, sources: &Sources, within: &Regions) -> Result<Splits, SplitError> {
    let mut rows = [const { Vec::new() }; 3];
    for (i, record) in sources.read_bed(path)?.into_iter().enumerate() {
        let name = record.name.as_deref();
        let split: Split = name.and_then(|name| name.parse().ok()).ok_or_else(|| SplitError::row(path, i, name))?;
        rows[split as usize].push(record);
    }
    match reading {
        Reading::LeakFree => Ok(leak_free(rows, sources, within)),
        Reading::Compatible => Ok(compatible(rows, within)),
    }
}

fn leak_free(rows: [Vec<BedRecord>; 3], sources: &Sources, within: &Regions) -> Splits {
    let claimed = rows.map(|rows| Regions::union(sources.n_contigs(), rows.iter().map(|row| row.interval)));
    let own = |i: usize| {
        let others = (0..3).filter(|&j| j != i);
        others.fold(within.intersect(&claimed[i]), |own, j| own.subtract(&claimed[j]))
    };
    Splits::inside([0, 1, 2].map(own))
}

fn compatible(rows: [Vec<BedRecord>; 3], within: &Regions) -> Splits {
    let area = |rows: Vec<BedRecord>| Area::Rows {
        rows: rows.iter().map(|row| (row.interval.contig, row.interval.start)).collect(),
        within: within.clone(),
    };
    let [train, valid, test] = rows.map(area);
    Splits { train, valid, test }
}
