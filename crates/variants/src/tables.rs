//! A row for each allele, in Parquet and in text.

use std::io;
use std::path::Path;

use longstrand_table::{
    Destination, Existing, Opened, ScoreLayout, ScoreRow, ScoreWriter, TableError, TsvWriter, WriteOptions,
};

use crate::provenance::Identity;
use crate::run::Counts;

/// The tables that were asked for, open.
pub(crate) struct Tables {
    parquet: Option<ScoreWriter>,
    tsv: Option<TsvWriter>,
}

impl Tables {
    /// Begins the tables; `-` is the standard output.
    ///
    /// # Errors
    ///
    /// - a table exists and is not to be replaced, or cannot be written.
    pub(crate) fn open(
        parquet: Option<&Destination>,
        tsv: Option<&Path>,
        layout: &ScoreLayout,
        existing: Existing,
        identity: &Identity,
    ) -> Result<Self, TableError> {
        let parquet = parquet.map(|destination| {
            let options = WriteOptions { existing, ..WriteOptions::default() };
            match ScoreWriter::open(destination, layout, &options, identity.metadata())? {
                Opened::Writing(writer) => Ok(writer),
                Opened::Complete(_) => unreachable!("only a table that is resumed can be complete"),
            }
        });
        let tsv = tsv.map(|path| match path.as_os_str() == "-" {
            true => TsvWriter::stream(io::stdout(), "the standard output", layout),
            false => TsvWriter::create(path, layout, existing),
        });
        Ok(Self { parquet: parquet.transpose()?, tsv: tsv.transpose()? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parquet.is_none() && self.tsv.is_none()
    }

    pub(crate) fn write(&mut self, row: &ScoreRow<'_>) -> Result<(), TableError> {
        if let Some(writer) = &mut self.parquet {
            writer.write(row)?;
        }
        if let Some(writer) = &mut self.tsv {
            writer.write(row)?;
        }
        Ok(())
    }

    /// Gives the Parquet table its name. As it tells its run and a text does not, it comes before that: where the text
    /// is there and a run was stopped, an output that tells stands beside it.
    pub(crate) fn finish_parquet(&mut self, counts: &Counts) -> Result<(), TableError> {
        self.parquet.take().map_or(Ok(()), |writer| writer.finish(counts.metadata()).map(drop))
    }

    /// Gives the text its name.
    pub(crate) fn finish_text(self) -> Result<(), TableError> {
        self.tsv.map_or(Ok(()), |writer| writer.finish().map(drop))
    }
}
