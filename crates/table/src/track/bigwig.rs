//! The bigWig format, version 4 (Kent et al. 2010, Bioinformatics 26:2204, with its supplement).
//!
//! ```text
//!   64 bytes   header                 offsets of what follows
//!   24 each    zoom headers           bases a record, offsets of its records and its index
//!   40         summary of the track
//!   …          contigs                B+ tree, name → number and length
//!    8         number of blocks
//!   …          blocks of values       each deflated on its own
//!   …          index of the blocks    R tree, extent → offset
//!   …          for each zoom level    number of records (4 bytes), blocks of records, index
//!    4         the magic number again
//! ```
//!
//! All numbers are little-endian. The contigs must stand before the values, since browsers read all that is before them
//! at once, but are known only at the end: values and zoom records are therefore deflated into files without a name in
//! the same folder, and copied behind the rest when the track is finished.
//!
//! Contigs are numbered as they come. The tree is what sorts their names; readers take the numbers from it.

mod blocks;
mod contig_tree;
mod index;
mod layout;
mod packed_tree;
mod summary;
mod values;
mod zoom;

use std::io;
use std::path::{Path, PathBuf};

use longstrand_seq::whole_file::folder;

use crate::error::TableError;
use crate::options::Existing;
use crate::whole_file::{self, NewFile};
use contig_tree::Contig;
use values::Values;
use zoom::Zoom;

#[derive(Debug)]
pub(super) struct BigWig {
    path: PathBuf,
    file: NewFile,
    contigs: Vec<Contig>,
    values: Values,
    zoom: Zoom,
}

impl BigWig {
    pub(super) fn create(path: &Path, existing: Existing) -> Result<Self, TableError> {
        let file = whole_file::create(path, existing)?;
        let folder = folder(path);
        let in_folder = |error| TableError::io("create a file in", folder)(error);
        let values = Values::create(folder).map_err(in_folder)?;
        let zoom = Zoom::create(folder).map_err(in_folder)?;
        Ok(Self { path: path.to_path_buf(), file, contigs: Vec::new(), values, zoom })
    }

    pub(super) fn begin_contig(&mut self, name: &str, length: u32) -> Result<(), TableError> {
        self.end_contig().map_err(TableError::io("write", &self.path))?;
        let number = self.contigs.len() as u32;
        self.values.begin_contig(number);
        self.zoom.begin_contig(number);
        self.contigs.push(Contig { name: name.to_string(), number, length });
        Ok(())
    }

    /// Appends finite values of consecutive bases from `start` on, 0-based.
    pub(super) fn push(&mut self, start: u32, values: &[f32]) -> Result<(), TableError> {
        let written = self.values.push(start, values).and_then(|()| self.zoom.push(start, values));
        written.map_err(TableError::io("write", &self.path))
    }

    fn end_contig(&mut self) -> io::Result<()> {
        self.values.end_block()?;
        self.zoom.end_contig()
    }

    /// Puts the file together and gives it its name. Returns its size in bytes.
    pub(super) fn finish(mut self) -> Result<u64, TableError> {
        let to = self.file.handle()?;
        self.end_contig()
            .and_then(|()| layout::write(to, self.contigs, self.values.into_blocks(), self.zoom))
            .map_err(TableError::io("write", &self.path))?;
        self.file.seal()
    }
}
