//! Where scores go.

use longstrand_model::Watch;
use longstrand_seq::variant::{Extents, NoIndex, VariantHeader, VariantRecord, VariantWriter};
use longstrand_table::{Existing, ScoreRow};

use super::Job;
use super::counts::Counts;
use crate::allele::VariantType;
use crate::annotate::{self, Annotation, Header};
use crate::error::ScoreError;
use crate::provenance::Identity;
use crate::scorer::{Scored, Scorer};
use crate::tables::Tables;
use crate::targets::replacing;
use crate::warning::{MOST_ALLELES, Warning};

/// The outputs that were asked for, open.
pub(super) struct Sinks {
    annotation: Annotation,
    variants: Option<VariantWriter>,
    tables: Tables,
    /// The first record written that has more alleles than bcftools reads.
    many_alleles: Option<String>,
}

impl Sinks {
    pub(super) fn open(
        job: &Job,
        scorer: &Scorer,
        header: &VariantHeader,
        undeclared: &[String],
        identity: &Identity,
    ) -> Result<Self, ScoreError> {
        let annotation = Annotation::new(scorer.columns(), &job.prefix);
        let variants = match &job.outputs.variants {
            None => None,
            Some((to, format)) => {
                let header = annotate::with_contigs(header, undeclared, scorer.reference().contigs())
                    .map_err(|name| ScoreError::ContigName { path: job.variants.clone(), name })?;
                let (prefix, options, command) = (&job.prefix, scorer.options(), &*job.command);
                let model = &*scorer.model().name;
                let header = annotation.header(&header, &Header { prefix, model, options, identity, command });
                Some(VariantWriter::create(to, *format, &header, job.existing != Existing::Refuse)?)
            }
        };
        let (parquet, tsv) = (job.outputs.parquet.as_ref(), job.outputs.tsv.as_deref());
        let tables = Tables::open(parquet, tsv, &scorer.layout(), replacing(job.existing), identity)?;
        Ok(Self { annotation, variants, tables, many_alleles: None })
    }

    /// Finds records that cannot be written, before anything is computed of them.
    pub(super) fn check(&mut self, records: &[VariantRecord]) -> Result<(), ScoreError> {
        let Some(writer) = &mut self.variants else { return Ok(()) };
        records.iter().try_for_each(|record| writer.check(record)).map_err(ScoreError::from)
    }

    /// A record and its alleles.
    pub(super) fn write(&mut self, record: &VariantRecord, alleles: &[Scored]) -> Result<(), ScoreError> {
        if let Some(writer) = &mut self.variants {
            let fields = self.annotation.info(record, alleles);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
            writer.write(record, &fields)?;
            if self.many_alleles.is_none() && alleles.len() >= MOST_ALLELES {
                self.many_alleles = Some(format!("{}:{}", record.contig(), record.position()));
            }
        }
        if self.tables.is_empty() {
            return Ok(());
        }
        let reference = String::from_utf8_lossy(record.reference());
        let extents = Extents::of(record);
        let alternates = record.alternates().zip(record.alternate_texts()).enumerate();
        for (scored, (i, (allele, text))) in alleles.iter().zip(alternates) {
            let alternate = String::from_utf8_lossy(text);
            self.tables.write(&ScoreRow {
                contig: record.contig(),
                position: record.position(),
                end: extents.end(i, allele).ok(),
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

    /// Gives the outputs their names, those first that tell their run.
    pub(super) fn finish(mut self, counts: &Counts, watch: &dyn Watch) -> Result<(), ScoreError> {
        self.tables.finish_parquet(counts)?;
        if let Some(locus) = self.many_alleles {
            watch.warn(&Warning::ManyAlleles { locus }.to_string());
        }
        if let Some(writer) = self.variants {
            match writer.finish()?.index {
                Ok(_) | Err(NoIndex::Stdout | NoIndex::PlainText) => {}
                Err(why) => watch.warn(&Warning::NoIndex(why.to_string()).to_string()),
            }
        }
        Ok(self.tables.finish_text()?)
    }
}
