//! What an earlier run has left under the output's name.

use std::fs;

use arrow_schema::SchemaRef;
use longstrand_seq::whole_file::Whose;

use crate::destination::{Destination, part_indices};
use crate::error::TableError;
use crate::footer::{Footer, Metadata};
use crate::options::Existing;
use crate::parts;
use crate::writer::Written;

/// What stands under a single file's name, if it is the table to be written; an error if it stands in the way.
pub(crate) fn finished_file(
    destination: &Destination,
    existing: Existing,
    schema: &SchemaRef,
    identity: &Metadata,
) -> Result<Option<Written>, TableError> {
    let (Destination::File(path), Some(there)) = (destination, destination.standing()?) else {
        return Ok(None);
    };
    match existing {
        Existing::Replace if !there.is_dir() => Ok(None),
        Existing::Resume if path.is_file() => {
            let there = fs::metadata(path).map_err(TableError::io("read", path))?;
            let footer = Footer::read(path)?;
            footer.check_origin(schema, identity)?;
            remove_leftovers(destination)?;
            Ok(Some(Written { rows: footer.rows(), bytes: there.len(), files: 1 }))
        }
        _ if path.is_dir() => Err(TableError::NotRegular(path.clone())),
        _ => Err(TableError::Exists(path.clone())),
    }
}

/// Removes the parts of a run that was killed after its file had got its name.
fn remove_leftovers(destination: &Destination) -> Result<(), TableError> {
    parts::remove(&destination.parts_folder())?;
    destination.remove_parts_being_written(Whose::Nobodys);
    destination.remove_temporaries();
    Ok(())
}

/// An error if parts stand in the way and nothing was said about them.
pub(crate) fn refuse_parts(destination: &Destination, existing: Existing) -> Result<(), TableError> {
    let parts = destination.parts_folder();
    if existing != Existing::Refuse || part_indices(&parts)?.is_empty() {
        return Ok(());
    }
    Err(match destination {
        Destination::Folder(path) => TableError::Exists(path.clone()),
        Destination::File(path) => TableError::Unfinished { path: path.clone(), parts },
    })
}
