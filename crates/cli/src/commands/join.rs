//! `longstrand join`: what the shards of a run wrote, to what the run would have written.

mod part;
mod tables;
mod variants;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use longstrand_seq::input::is_stream;
use longstrand_seq::variant::{VariantFormat, VariantOutput};
use longstrand_table::{Destination, Existing};
use longstrand_variants::same_file::{is_one_of, is_within};

use crate::args::output::table_path;
use crate::args::{ExistingArgs, GeneralOptions};
use crate::failure::{Usage, say};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::shown::Shown;

/// Options of `longstrand join`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand join part_*.parquet -o genome.parquet         tables of embed or score
  longstrand join parts_1/ parts_2/ parts_3/ -o genome/    folders of parts
  longstrand join part_*.vcf.gz -o scored.vcf.gz           variants, with an index
  longstrand join part_*.bcf -o scored.bcf --force")]
pub struct Options {
    /// What every run of --shard 1/n to n/n wrote, in any order: Parquet (files, or folders of parts), VCF or BCF
    #[arg(required = true, value_name = "PART")]
    parts: Vec<PathBuf>,
    /// Where to write: *.parquet (or *.pq) or a folder of parts; of variants *.vcf, *.vcf.gz or *.bcf, with an index beside it
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    #[command(flatten)]
    existing: ExistingArgs,
}

/// Where the parts go.
#[derive(Clone, Debug)]
enum Output {
    Table(Destination),
    Variants(VariantOutput, VariantFormat),
}

/// Joins the parts.
///
/// # Errors
///
/// - A part is missing or doubled, cannot be read, is cut off or is of another run.
/// - The output exists, is one of the parts, or cannot be written.
/// - Ctrl-C.
pub fn run(options: &Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let existing = options.existing.existing();
    let output = options.output()?;
    options.check_places()?;
    let interrupt = Interrupt::listen(general.quiet)?;
    interrupt.before_exit({
        let output = output.clone();
        move || output.remove_temporaries()
    });
    let started = Instant::now();
    let (joined, unit) = match &output {
        Output::Table(destination) => {
            let progress = Progress::counting("rows", general.quiet);
            let shown = Shown { progress: &progress, interrupt: &interrupt };
            let joined = tables::join(&options.parts, destination, existing, &shown);
            progress.finish();
            (joined?, "rows")
        }
        Output::Variants(to, format) => {
            let progress = Progress::counting("records", general.quiet);
            let shown = Shown { progress: &progress, interrupt: &interrupt };
            let joined = variants::join(&options.parts, to, *format, existing == Existing::Replace, &shown);
            progress.finish();
            (joined?, "records")
        }
    };
    if !general.quiet {
        let (parts, seconds) = (options.parts.len(), started.elapsed().as_secs_f64());
        say(&format!("{joined} {unit} of {parts} parts, {seconds:.1} s, {}", options.output.display()));
    }
    Ok(())
}

impl Options {
    /// The output, which is of the parts' kind.
    fn output(&self) -> anyhow::Result<Output> {
        if !is_table_of_all(&self.parts)? {
            let format = VariantFormat::from_path(&self.output).ok_or_else(|| {
                let found = self.output.display();
                Usage(format!("-o: expected a name that ends in .vcf, .vcf.gz, .vcf.bgz or .bcf, found {found}"))
            })?;
            if self.existing.existing() == Existing::Resume {
                return Err(Usage("--resume goes on with Parquet alone; --force replaces VCF and BCF".into()).into());
            }
            return Ok(Output::Variants(VariantOutput::File(self.output.clone()), format));
        }
        let path = table_path(self.output.clone()).map_err(|expected| Usage(format!("-o: {expected}")))?;
        Ok(Output::Table(Destination::from_path(path)))
    }

    /// An error if writing the output could touch a part.
    fn check_places(&self) -> anyhow::Result<()> {
        let output = &*self.output;
        let touches = |part: &Path| is_one_of(part, [output]) || is_within(part, output) || is_within(output, part);
        match self.parts.iter().find(|part| touches(part)) {
            Some(part) => {
                bail!("expected an output apart from the parts, found {} and {}", output.display(), part.display())
            }
            None => Ok(()),
        }
    }
}

impl Output {
    fn remove_temporaries(&self) {
        match self {
            Self::Table(destination) => destination.remove_temporaries(),
            Self::Variants(output, _) => output.remove_temporaries(),
        }
    }
}

/// Whether the parts are tables; an error unless all or none are.
fn is_table_of_all(parts: &[PathBuf]) -> anyhow::Result<bool> {
    let first = is_table(&parts[0])?;
    let kind = |is_table| if is_table { "Parquet" } else { "a file that is not Parquet" };
    for part in &parts[1..] {
        let found = is_table(part)?;
        let (expected, other) = (kind(first), parts[0].display());
        ensure!(found == first, "{}: expected {expected} as {other} is, found {}", part.display(), kind(found));
    }
    Ok(first)
}

/// Whether a part is Parquet: a folder, or a file that begins as one does.
fn is_table(part: &Path) -> anyhow::Result<bool> {
    const MAGIC: &[u8] = b"PAR1";
    if part.is_dir() {
        return Ok(true);
    }
    let file = File::open(part).with_context(|| format!("cannot open {}", part.display()))?;
    ensure!(!is_stream(part), "{}: expected a file or a folder, found a stream", part.display());
    let mut head = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut head).with_context(|| format!("cannot read {}", part.display()))?;
    Ok(head == MAGIC)
}
