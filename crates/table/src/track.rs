//! Values of every base, for genome browsers.

mod bed_graph;
mod bigwig;
mod contigs;
mod decimal;
mod error;
mod form;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::TableError;
use crate::options::Existing;
use crate::text_file::TextFile;
use bed_graph::BedGraph;
use bigwig::BigWig;
use contigs::Contigs;

pub use error::{TrackError, TrackFlaw};
pub use form::TrackForm;

/// A track that is there, whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrittenTrack {
    /// Contigs that were begun.
    pub contigs: u64,
    /// Bases that have a value.
    pub bases: u64,
    /// Size of the file, or bytes sent to a stream.
    pub bytes: u64,
}

/// Writes a track of values of single bases, contig after contig. The file takes its name when it is whole.
///
/// A base that gets no value, or one that is not finite, is not in the track.
///
/// A bedGraph has a line for each run of equal values: contig, start, end (0-based, half-open), value. Values are
/// rounded to 6 significant digits, and runs are formed of the rounded values. A bigWig holds each value as it is, and 10
/// zoom levels of 32, 128, … 8,388,608 bases, less those that would not make the track smaller. Its memory grows by 32
/// bytes for each 4,096 bases; until it is finished it takes its size again in the same folder.
///
/// ```
/// use longstrand_table::{Existing, TrackForm, TrackWriter};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("surprisal.bedgraph");
/// let mut track = TrackWriter::create(&path, TrackForm::BedGraph, Existing::Refuse)?;
/// track.begin_contig("chr20", 1_000)?;
/// track.push(10, &[0.5, 0.5, 1.25])?;
/// assert_eq!(track.finish()?.bases, 3);
/// assert_eq!(std::fs::read_to_string(&path)?, "chr20\t10\t12\t0.5\nchr20\t12\t13\t1.25\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TrackWriter {
    /// The path, or what a stream is called in messages.
    name: PathBuf,
    contigs: Contigs,
    sink: Sink,
    bases: u64,
}

#[derive(Debug)]
enum Sink {
    BedGraph(Box<BedGraph>),
    BigWig(Box<BigWig>),
}

impl TrackWriter {
    /// Begins a file. A bedGraph is bgzip if its name ends in `.gz`.
    ///
    /// A file cannot be resumed: what stands there gives way under [`Existing::Replace`] alone.
    ///
    /// # Errors
    ///
    /// - The file exists and is not to be replaced, or is a folder, a pipe, a device or a socket.
    /// - The folder is missing or cannot be written to.
    pub fn create(path: &Path, form: TrackForm, existing: Existing) -> Result<Self, TrackError> {
        let sink = match form {
            TrackForm::BedGraph => Sink::BedGraph(Box::new(BedGraph::new(TextFile::create(path, existing)?))),
            TrackForm::BigWig => Sink::BigWig(Box::new(BigWig::create(path, existing)?)),
        };
        Ok(Self { name: path.to_path_buf(), contigs: Contigs::default(), sink, bases: 0 })
    }

    /// Begins a bedGraph on a stream, which messages call `name`, as in "standard output".
    pub fn bed_graph_stream(stream: impl Write + Send + 'static, name: &str) -> Self {
        let sink = Sink::BedGraph(Box::new(BedGraph::new(TextFile::stream(stream, name))));
        Self { name: name.into(), contigs: Contigs::default(), sink, bases: 0 }
    }

    /// Begins a contig of `length` bases. Contigs come in any order.
    ///
    /// # Errors
    ///
    /// - The contig was begun before.
    /// - The contig is longer than 4,294,967,295 bases, the most that a bigWig can hold.
    /// - The track cannot be written.
    pub fn begin_contig(&mut self, name: &str, length: u64) -> Result<(), TrackError> {
        self.contigs.begin(name, length).map_err(|flaw| flaw.of(&self.name))?;
        match &mut self.sink {
            Sink::BedGraph(track) => track.begin_contig(name),
            Sink::BigWig(track) => track.begin_contig(name, length as u32),
        }
        .map_err(TrackError::from)
    }

    /// Appends the values of consecutive bases of the contig that was begun last. `start` is the first base, 0-based,
    /// at or behind the end of what was pushed before.
    ///
    /// # Errors
    ///
    /// - The bases begin before the end of those pushed before, or end behind the contig.
    /// - The track cannot be written.
    ///
    /// # Panics
    ///
    /// If no contig was begun.
    pub fn push(&mut self, start: u64, values: &[f32]) -> Result<(), TrackError> {
        self.contigs.advance(start, values.len()).map_err(|flaw| flaw.of(&self.name))?;
        let mut at = start;
        for run in values.split(|value| !value.is_finite()) {
            self.sink.push(at, run)?;
            self.bases += run.len() as u64;
            at += run.len() as u64 + 1;
        }
        Ok(())
    }

    /// Writes what is left and gives a file its name.
    ///
    /// # Errors
    ///
    /// When the track cannot be written.
    pub fn finish(self) -> Result<WrittenTrack, TrackError> {
        let bytes = match self.sink {
            Sink::BedGraph(track) => track.finish()?,
            Sink::BigWig(track) => track.finish()?,
        };
        Ok(WrittenTrack { contigs: self.contigs.count(), bases: self.bases, bytes })
    }
}

impl Sink {
    /// Appends finite values of consecutive bases that lie inside the contig.
    fn push(&mut self, start: u64, values: &[f32]) -> Result<(), TableError> {
        match self {
            Self::BedGraph(track) => track.push(start, values),
            Self::BigWig(track) => track.push(start as u32, values),
        }
    }
}
