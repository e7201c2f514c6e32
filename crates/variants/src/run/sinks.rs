//! Where scores go.

use std::fs;
use std::io;
use std::path::Path;

use longstrand_model::Watch;
use longstrand_seq::variant::{NoIndex, VariantHeader, VariantOutput, VariantReader, VariantRecord, VariantWriter};
use longstrand_table::{Existing, ScoreLayout, ScoreRow, ScoreWriter, TableError, TsvWriter, WriteOptions};

use super::Job;
use super::counts::Counts;
use crate::allele::VariantType;
use crate::annotate;
use crate::error::ScoreError;
use crate::options::Column;
use crate::provenance::Identity;
use crate::scorer::{Scored, Scorer};
use crate::warning::Warning;

/// Something to be written, unless it is there already.
pub(super) enum Opened<T> {
    Writing(T),
    Complete,
}

/// The outputs that were asked for, open.
pub(super) struct Sinks {
    columns: Vec<&'static Column>,
    variants: Option<VariantWriter>,
    parquet: Option<ScoreWriter>,
    tsv: Option<TsvWriter>,
}

impl Sinks {
    pub(super) fn open(
        job: &Job,
        scorer: &Scorer,
        header: &VariantHeader,
        records: &[VariantRecord],
        model: &str,
        identity: &Identity,
    ) -> Result<Self, ScoreError> {
        let columns: Vec<&Column> = scorer.columns().collect();
        let layout = ScoreLayout::new(columns.iter().map(|column| column.name));
        let variants = match &job.outputs.variants {
            None => None,
            Some((to, format)) => {
                let header = annotate::with_contigs(header, records, scorer.reference().contigs());
                let options = scorer.options();
                let header = annotate::header(&header, &columns, model, options, &identity.line(), &job.command);
                Some(VariantWriter::create(to, *format, &header, job.existing != Existing::Refuse)?)
            }
        };
        let parquet = match &job.outputs.parquet {
            None => None,
            Some(destination) => {
                let options = WriteOptions { existing: replacing(job.existing), ..WriteOptions::default() };
                match ScoreWriter::open(destination, &layout, &options, identity.metadata())? {
                    longstrand_table::Opened::Writing(writer) => Some(writer),
                    longstrand_table::Opened::Complete(_) => None,
                }
            }
        };
        let tsv = match &job.outputs.tsv {
            None => None,
            Some(path) if path.as_os_str() == "-" => {
                Some(TsvWriter::stream(io::stdout(), "the standard output", &layout)?)
            }
            Some(path) => Some(TsvWriter::create(path, &layout, replacing(job.existing))?),
        };
        Ok(Self { columns, variants, parquet, tsv })
    }

    /// A record and its alleles.
    pub(super) fn write(&mut self, record: &VariantRecord, alleles: &[Scored]) -> Result<(), ScoreError> {
        if let Some(writer) = &mut self.variants {
            let fields = annotate::info(record, &self.columns, alleles);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
            writer.write(record, &fields)?;
        }
        if self.parquet.is_none() && self.tsv.is_none() {
            return Ok(());
        }
        let reference = String::from_utf8_lossy(record.reference());
        let alternates = record.alternates().zip(record.alternate_texts());
        for (scored, (allele, text)) in alleles.iter().zip(alternates) {
            let alternate = String::from_utf8_lossy(text);
            self.write_row(&ScoreRow {
                contig: record.contig(),
                position: record.position(),
                reference: &reference,
                alternate: &alternate,
                id: Some(record.id()).filter(|id| *id != "."),
                variant_type: VariantType::of(record.reference(), &allele).name(),
                values: &scored.values,
                n_ambiguous: scored.n_ambiguous,
                window: scored.window.clone(),
                reason: scored.reason.as_deref(),
            })?;
        }
        Ok(())
    }

    fn write_row(&mut self, row: &ScoreRow<'_>) -> Result<(), TableError> {
        if let Some(writer) = &mut self.parquet {
            writer.write(row)?;
        }
        if let Some(writer) = &mut self.tsv {
            writer.write(row)?;
        }
        Ok(())
    }

    /// Gives the outputs their names. The variants' file comes last: when it is there, all are.
    pub(super) fn finish(self, counts: &Counts, watch: &dyn Watch) -> Result<(), ScoreError> {
        if let Some(writer) = self.tsv {
            writer.finish()?;
        }
        if let Some(writer) = self.parquet {
            writer.finish(counts.metadata())?;
        }
        let Some(writer) = self.variants else { return Ok(()) };
        match writer.finish()?.index {
            Ok(_) | Err(NoIndex::Stdout | NoIndex::PlainText) => {}
            Err(why) => watch.warn(&Warning::NoIndex(why.to_string()).to_string()),
        }
        Ok(())
    }
}

/// A run that is resumed writes its outputs anew, from the journal.
fn replacing(existing: Existing) -> Existing {
    match existing {
        Existing::Refuse => Existing::Refuse,
        Existing::Resume | Existing::Replace => Existing::Replace,
    }
}

/// Refuses outputs that exist, unless they are to be replaced or the journal of the run that is resumed is there.
pub(super) fn refuse_existing(job: &Job, has_journal: bool) -> Result<(), ScoreError> {
    let may_replace = match job.existing {
        Existing::Replace => true,
        Existing::Resume => has_journal,
        Existing::Refuse => false,
    };
    let standing = |path: &&Path| !may_replace && fs::symlink_metadata(path).is_ok();
    match job.outputs.files().into_iter().find(standing) {
        Some(path) => Err(ScoreError::Exists { path: path.into() }),
        None => Ok(()),
    }
}

/// Whether an earlier run of this identity has written all outputs. Neither a stream nor a text tells of its run: with
/// the one nothing is complete, and the other counts beside a file that does tell.
pub(super) fn is_complete(job: &Job, scorer: &Scorer, identity: &Identity) -> Result<bool, ScoreError> {
    let outputs = &job.outputs;
    if outputs.has_stream() || !outputs.files().iter().all(|path| path.exists()) {
        return Ok(false);
    }
    if let Some((VariantOutput::File(path), _)) = &outputs.variants
        && !annotate::is_of(VariantReader::open(path, &[])?.header(), &identity.line())
    {
        return Ok(false);
    }
    let Some(destination) = &outputs.parquet else { return Ok(outputs.variants.is_some()) };
    let layout = ScoreLayout::new(scorer.columns().map(|column| column.name));
    let options = WriteOptions { existing: Existing::Resume, ..WriteOptions::default() };
    let opened = ScoreWriter::open(destination, &layout, &options, identity.metadata())?;
    Ok(matches!(opened, longstrand_table::Opened::Complete(_)))
}
