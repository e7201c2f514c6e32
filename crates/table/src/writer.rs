//! A table on its way to its destination.

use std::fs;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::file::properties::WriterProperties;

use crate::destination::{Destination, part_path};
use crate::earlier::{finished_file, refuse_parts};
use crate::encoding;
use crate::error::TableError;
use crate::folder::PartsFolder;
use crate::footer::{Metadata, ROWS_PER_GROUP, ROWS_PER_PART, tail};
use crate::options::{Existing, RowCounts};
use crate::parts::{self, Found, OpenPart};
use crate::slices::Slices;
use crate::stitch::stitch;

/// A table that is there, whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    /// Rows of the table.
    pub rows: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// Files that it consists of.
    pub files: u64,
}

/// An output that is ready to be written, or needs no writing.
#[derive(Debug)]
pub enum Opened<W> {
    /// Rows can be written.
    Writing(W),
    /// An earlier run under the same identity has written all of it.
    Complete(Written),
}

/// Writes record batches as parts and, for a single file, stitches them.
#[derive(Debug)]
pub(crate) struct TableWriter {
    destination: Destination,
    schema: SchemaRef,
    properties: WriterProperties,
    counts: RowCounts,
    existing: Existing,
    /// Whether old parts are to be removed before the first new one gets its name.
    replaces_parts: bool,
    part: Option<OpenPart>,
    sealed: Found,
    rows_before: u64,
    // Dropped last: its folder can only go when the open part is gone.
    folder: PartsFolder,
}

impl TableWriter {
    pub(crate) fn open(
        destination: &Destination,
        schema: SchemaRef,
        counts: RowCounts,
        existing: Existing,
        mut identity: Metadata,
    ) -> Result<Opened<Self>, TableError> {
        identity.push((ROWS_PER_GROUP.into(), counts.per_group.to_string()));
        if let Destination::Folder(_) = destination {
            identity.push((ROWS_PER_PART.into(), counts.per_part.to_string()));
        }
        destination.parent()?;
        if let Some(written) = finished_file(destination, existing, &schema, &identity)? {
            return Ok(Opened::Complete(written));
        }
        refuse_parts(destination, existing)?;
        let properties = encoding::properties(&schema, &identity, counts.per_group)
            .map_err(TableError::parquet("write", destination.path()))?;
        let folder = PartsFolder::take(destination)?;
        let sealed = match existing {
            Existing::Resume => parts::find(folder.path(), &schema, &identity, counts.per_part)?,
            Existing::Refuse | Existing::Replace => Found::default(),
        };
        let writer = Self {
            destination: destination.clone(),
            schema,
            properties,
            counts,
            existing,
            replaces_parts: existing == Existing::Replace,
            part: None,
            rows_before: sealed.rows,
            sealed,
            folder,
        };
        match writer.sealed.complete {
            true => writer.conclude().map(Opened::Complete),
            false => Ok(Opened::Writing(writer)),
        }
    }

    pub(crate) fn rows_before(&self) -> u64 {
        self.rows_before
    }

    pub(crate) fn write(&mut self, mut batch: RecordBatch) -> Result<(), TableError> {
        while batch.num_rows() > 0 {
            if self.part.as_ref().is_some_and(|part| part.rows() == self.counts.per_part) {
                self.seal_part(&Metadata::new())?;
            }
            let per_part = self.counts.per_part;
            let part = self.open_part()?;
            let room = usize::try_from(per_part - part.rows()).unwrap_or(usize::MAX);
            let rows = batch.num_rows().min(room);
            part.write(batch.slice(0, rows))?;
            batch = batch.slice(rows, batch.num_rows() - rows);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self, end: Metadata) -> Result<Written, TableError> {
        self.open_part()?;
        self.seal_part(&tail(end))?;
        self.conclude()
    }

    /// The part being written, which is begun if there is none.
    fn open_part(&mut self) -> Result<&mut OpenPart, TableError> {
        let part = match self.part.take() {
            Some(part) => part,
            None => OpenPart::create(
                self.folder.path(),
                self.sealed.parts,
                self.sealed.rows,
                Slices::new(self.schema.clone(), self.counts.per_slice),
                self.schema.clone(),
                self.properties.clone(),
                self.existing,
            )?,
        };
        Ok(self.part.insert(part))
    }

    fn seal_part(&mut self, tail: &Metadata) -> Result<(), TableError> {
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        if std::mem::take(&mut self.replaces_parts) {
            parts::remove(self.folder.path())?;
        }
        let rows = part.rows();
        part.seal(tail)?;
        self.sealed.parts += 1;
        self.sealed.rows += rows;
        Ok(())
    }

    /// Turns the sealed parts, which are all there are, into the output.
    fn conclude(self) -> Result<Written, TableError> {
        let Destination::File(path) = &self.destination else {
            return written_parts(self.folder.path(), &self.sealed);
        };
        let (schema, properties) = (self.schema.clone(), self.properties.clone());
        let bytes = stitch(self.folder.path(), self.sealed.parts, path, schema, properties, self.existing)?;
        parts::remove(self.folder.path())?;
        Ok(Written { rows: self.sealed.rows, bytes, files: 1 })
    }
}

fn written_parts(folder: &Path, sealed: &Found) -> Result<Written, TableError> {
    let mut bytes = 0;
    for index in 0..sealed.parts {
        let path = part_path(folder, index);
        bytes += fs::metadata(&path).map_err(TableError::io("read", &path))?.len();
    }
    Ok(Written { rows: sealed.rows, bytes, files: sealed.parts })
}
