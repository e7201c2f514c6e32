//! Rows to Parquet with provenance in the footer, and to text and genome tracks, written whole or not at all.
//!
//! A table goes to one file or to a folder of parts ([`Destination`]). Either way the rows are first written as
//! *parts*, each under a temporary name, flushed to the disk and renamed, so that a name that exists is a whole file:
//!
//! ```text
//! out/                          a folder of parts        out.parquet            one file, stitched at the end
//! ├── part-00000.parquet        whole                    .out.parquet.parts/    only while the table is written
//! ├── part-00001.parquet        whole, the last one      ├── part-00000.parquet
//! └── .part-*.tmp               being written            └── .part-*.tmp
//! ```
//!
//! What a killed run leaves behind is therefore a row of whole parts, and a later run goes on behind them
//! ([`Existing::Resume`]). A single file is put together from its parts without decoding them; every run takes that
//! way, resumed or not, and pages are cut on a grid of rows that does not depend on how the caller groups them, so the
//! bytes are the same. The price is that a single file needs its own size again in the same folder until it is done.
//!
//! The footer's key/value metadata begins with the *identity* of the table: the program, the model, the inputs and the
//! options, in the caller's order. A run is resumed only under an equal identity. What is known only at the end
//! follows; `longstrand.complete` says that no row is missing.
//!
//! Tables that are there can be put together as one ([`join_tables`]).
//!
//! Scores also go to tab-separated text ([`TsvWriter`]), and values of every base to bedGraph and bigWig
//! ([`TrackWriter`]). Such a file is written under a temporary name, flushed and renamed; it cannot be resumed.

#![forbid(unsafe_code)]

mod destination;
mod earlier;
mod embedding;
mod encoding;
mod error;
mod folder;
mod footer;
mod frame;
mod joined;
mod lock;
mod options;
mod parts;
mod score;
mod slices;
mod stitch;
mod text_file;
mod track;
mod tsv;
mod whole_file;
mod writer;

pub use destination::Destination;
pub use embedding::{EmbeddingLayout, EmbeddingRow, EmbeddingRows, EmbeddingWriter, Flaws, Precision, Strand};
pub use error::TableError;
pub use footer::{COMPLETE, Metadata};
pub use frame::{Frame, Values};
pub use joined::{WholeTable, join_tables};
pub use options::{Existing, WriteOptions};
pub use score::{ScoreLayout, ScoreRow, ScoreWriter, StrandScores};
pub use text_file::{TextFile, write_text};
pub use track::{TrackError, TrackFlaw, TrackForm, TrackWriter, WrittenTrack};
pub use tsv::TsvWriter;
pub use whole_file::remove_temporaries;
pub use writer::{Opened, Written};
