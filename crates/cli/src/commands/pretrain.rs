//! `longstrand pretrain`: a model from the user's own genomes.

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use anyhow::Context;
use longstrand_model::Processor;
use longstrand_pretrain::collectives::{World, join};
use longstrand_pretrain::config::{ConfigFile, Flag, PRESETS, Settings, resolve};
use longstrand_pretrain::train::{Plan, Pretraining, TrainError, Trained};
use longstrand_table::Existing;
use toml::Value;

use crate::args::device::Precision;
use crate::args::number::{above_zero, size};
use crate::args::{Device, ExistingArgs, GeneralOptions};
use crate::commands::plan;
use crate::failure::{Usage, say, write_stdout};
use crate::interrupt::{Interrupt, Interrupted};
use crate::machine::memory::{Memory, format_memory};
use crate::machine::processor::{Chosen, Purpose};
use crate::progress::{Progress, format_bases};
use crate::shown::Shown;

/// Options of `longstrand pretrain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  longstrand pretrain --genome yeast.fa.gz --preset tiny -o run/
  longstrand pretrain --genome a.fa.gz --genome b.2bit --preset caduceus-ph-1k --valid-contigs chr20 -o run/ --dry-run
  longstrand pretrain --genome hg38.fa.gz --config run.toml --lr 2e-3 --set model.d_model=128 -o run/
  longstrand pretrain -o run/ --resume
  torchrun --no-python --nproc-per-node 4 longstrand pretrain --genome hg38.fa.gz --preset caduceus-ph-1k -@ 8 -o run/
  MASTER_ADDR=node1 MASTER_PORT=29500 mpirun -x MASTER_ADDR -x MASTER_PORT -n 4 sh -c \\
    'RANK=$OMPI_COMM_WORLD_RANK WORLD_SIZE=$OMPI_COMM_WORLD_SIZE LOCAL_WORLD_SIZE=$OMPI_COMM_WORLD_LOCAL_SIZE \\
     exec longstrand pretrain --config run.toml -@ 8 -o run/'

The folder holds config.toml, metrics.jsonl, checkpoints/ and, at the end, model/, which every --model takes, and report.html.
A run that was stopped in whatever way goes on with --resume and ends with the same bits; flags beside it change that run's
settings, of which --keep, --save-every and run.spike may differ.
Processes with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in their environment share each step's windows; only rank 0 needs
the folder and writes. LOCAL_WORLD_SIZE of them share a machine's memory and threads.")]
pub struct Options {
    /// Where the run goes: a folder
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    #[command(flatten)]
    existing: ExistingArgs,
    /// Go on from this checkpoint, such as step-0000100, in the place of the newest; later ones are removed
    #[arg(long, value_name = "CHECKPOINT", requires = "resume")]
    from: Option<String>,
    /// Print the settings and what the run would do and take, and stop
    #[arg(long)]
    dry_run: bool,
    /// Where to compute: auto (a GPU where there is one that can be used), cpu, cuda or cuda:N; of several, as cuda:0,1 or all,
    /// each rank of a machine takes its own
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
    #[command(flatten)]
    settings: SettingArgs,
}

/// Settings: a preset, changed by a file, changed by flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings (a preset, changed by a file, changed by flags)")]
struct SettingArgs {
    /// A recipe by name
    #[arg(long, value_name = "NAME", value_parser = PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>())]
    preset: Option<String>,
    /// Settings in TOML; those of a run are its config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A genome: FASTA (plain, gzip, bgzip) or 2bit [repeatable]
    #[arg(long = "genome", value_name = "FILE")]
    genomes: Vec<PathBuf>,
    /// Only the bases of a BED file
    #[arg(long, value_name = "FILE")]
    include: Option<PathBuf>,
    /// Not the bases of a BED file
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
    /// What is held out: rows of a BED file whose fourth column is train, valid or test
    #[arg(long, value_name = "FILE", conflicts_with_all = ["valid_contigs", "test_contigs"])]
    split: Option<PathBuf>,
    /// What is held out for validation: contigs, with commas [default: 5 % of each contig; none beside --test-contigs]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    valid_contigs: Vec<String>,
    /// What is held out for a test: contigs, with commas [default: 5 % of each contig; none beside --valid-contigs]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    test_contigs: Vec<String>,
    /// Bases of a window
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    length: Option<NonZeroU64>,
    /// Bases of a step, all windows together; a multiple of the window
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    batch_tokens: Option<NonZeroU64>,
    /// Processes that own each window together, every one a stretch of it [default: 1]
    #[arg(long, value_name = "N", value_parser = above_zero::<NonZeroU64>, allow_negative_numbers = true)]
    context_ranks: Option<NonZeroU64>,
    /// Steps, each an update of the weights
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    steps: Option<NonZeroU64>,
    /// What initial weights, windows and masks depend on
    #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// The largest learning rate
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Steps between checkpoints
    #[arg(long, value_name = "N", value_parser = above_zero::<NonZeroU64>, allow_negative_numbers = true)]
    save_every: Option<NonZeroU64>,
    /// Checkpoints that are kept, beside that of the best validation
    #[arg(long, value_name = "N", value_parser = above_zero::<NonZeroU64>, allow_negative_numbers = true)]
    keep: Option<NonZeroU64>,
    /// Steps between validations; 0 for none
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    validate_every: Option<u64>,
    /// Any other setting, as model.n_layer=8, run.precision=bf16 or objective.random_ids=bases [repeatable]
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, Value)>,
}

/// Trains a model.
///
/// # Errors
///
/// - Settings that are out of range or do not go together; a genome or BED file that cannot be read.
/// - The folder holds a run, or one that was begun otherwise; a checkpoint is broken or cannot be written.
/// - A step takes more memory than there is; the loss is no number or jumps.
/// - The environment makes no rank of this process; another rank is gone or was started otherwise.
/// - Ctrl-C.
pub fn run(options: Options, general: &GeneralOptions) -> anyhow::Result<()> {
    let world = World::from_environment()?;
    match options.dry_run {
        true => dry_run(&options.job(&world, general)?, &world),
        false => train(options, &world, general),
    }
}

/// Prints what a run would do, once.
fn dry_run(job: &Pretraining, world: &World) -> anyhow::Result<()> {
    let (settings, plan) = job.plan(world.size).map_err(|error| told(error, world))?;
    if world.rank == 0 {
        write_stdout(format!("{}\n{}", settings.to_toml()?, describe(&plan, &job.processor)).as_bytes())?;
    }
    Ok(plan.check()?)
}

/// What a run is going to take, at a rate in tokens a second or the one that is measured.
pub(super) fn estimate(options: &Options, general: &GeneralOptions, rate: Option<f64>) -> anyhow::Result<plan::Run> {
    let world = World::from_environment()?;
    let job = Pretraining { available_memory: None, ..options.job(&world, general)? };
    let device = match &job.processor {
        Processor::Cpu(level) => format!("CPU ({level})"),
        #[cfg(feature = "cuda")]
        Processor::Cuda(gpus) => gpus.first().name().to_owned(),
    };
    let (_, estimate) = job.estimate(world.size, rate).map_err(|error| told(error, &world))?;
    let (threads, is_told) = (job.threads, world.rank > 0);
    Ok(plan::Run { command: "pretrain", device, threads, shard: None, opening: 0.0, estimate, is_told })
}

fn train(options: Options, world: &World, general: &GeneralOptions) -> anyhow::Result<()> {
    // Before anything that may fail on one rank alone, so that the others hear of it. A signal ends who waits here.
    let quiet = general.quiet || world.rank > 0;
    if world.size > 1 && !quiet {
        say(&format!("waiting for {} more ranks", world.size - 1));
    }
    let mut ranks = join(world)?;
    let job = options.job(world, general)?;
    let interrupt = Interrupt::listen(quiet)?;
    let progress = Progress::counting("steps", quiet);
    let result = job.run(ranks.as_mut(), &Shown { progress: &progress, interrupt: &interrupt });
    progress.finish();
    let trained = result.map_err(|error| told(error, world))?;
    if !quiet {
        say(&summary(&trained));
    }
    Ok(())
}

impl Options {
    fn job(&self, world: &World, general: &GeneralOptions) -> anyhow::Result<Pretraining> {
        let available = Memory::detect().map(|memory| memory.available);
        let settings = self.settings.resolve(self.of_run().as_deref())?;
        let chosen = self.processor(settings.as_ref(), world)?;
        if world.rank == 0 {
            chosen.tell(general);
        }
        // What ranks of one machine are not given to each, they share.
        let shared = || NonZeroUsize::new(general.threads().get() / world.local_size).unwrap_or(NonZeroUsize::MIN);
        Ok(Pretraining {
            settings,
            folder: self.output.clone(),
            existing: self.existing.existing(),
            from: self.from.clone(),
            threads: general.threads.unwrap_or_else(shared),
            processor: chosen.processor,
            available_memory: available.map(|bytes| bytes / world.local_size as u64),
        })
    }

    /// Opens what this rank computes on. The precision is a setting.
    fn processor(&self, settings: Option<&Settings>, world: &World) -> anyhow::Result<Chosen> {
        let of_run = match (settings, self.of_run()) {
            (None, Some(path)) => {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                Some(resolve(None, Some(ConfigFile { path: &path, text: &text }), &[])?)
            }
            _ => None,
        };
        let config = settings.or(of_run.as_ref()).map(Settings::model_config).transpose()?;
        let model = (config.as_ref(), Purpose::Training);
        Chosen::of_rank(&self.device, Precision::F32, model, world.local_rank)
    }

    /// The settings of the run that is to go on, if there is one.
    fn of_run(&self) -> Option<PathBuf> {
        let path = self.output.join("config.toml");
        (self.existing.existing() == Existing::Resume && path.is_file()).then_some(path)
    }
}

impl SettingArgs {
    /// The settings; none where nothing is said of them, so that a run goes on with its own. Flags alone change those of the
    /// run that goes on.
    fn resolve(&self, of_run: Option<&Path>) -> anyhow::Result<Option<Settings>> {
        let flags = self.flags()?;
        if flags.is_empty() && self.preset.is_none() && self.config.is_none() {
            return Ok(None);
        }
        let of_run = of_run.filter(|_| self.preset.is_none());
        let config = self.config.as_deref().or(of_run);
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let text = config.map(read).transpose()?.unwrap_or_default();
        let file = config.map(|path| ConfigFile { path, text: &text });
        Ok(Some(resolve(self.preset.as_deref(), file, &flags)?))
    }

    /// The flags under the names that files have for them.
    fn flags(&self) -> Result<Vec<Flag>, Usage> {
        let mut flags = Vec::new();
        let genomes: Vec<Value> = self.genomes.iter().map(|path| text_of(path)).collect::<Result<_, _>>()?;
        flags.extend((!genomes.is_empty()).then(|| Flag::new("data.genomes", genomes)));
        let beds = [("data.include", &self.include), ("data.exclude", &self.exclude), ("data.split.bed", &self.split)];
        for (key, path) in beds {
            flags.extend(path.as_ref().map(|path| Ok(Flag::new(key, text_of(path)?))).transpose()?);
        }
        let by_contig = !self.valid_contigs.is_empty() || !self.test_contigs.is_empty();
        flags.extend(self.split.is_some().then(|| Flag::new("data.split.kind", "bed")));
        flags.extend(by_contig.then(|| Flag::new("data.split.kind", "contigs")));
        for (key, names) in
            [("data.split.valid_contigs", &self.valid_contigs), ("data.split.test_contigs", &self.test_contigs)]
        {
            flags.extend((!names.is_empty()).then(|| Flag::new(key, names.clone())));
        }
        let numbers = [
            ("data.length", self.length.map(NonZeroU64::get)),
            ("run.tokens", self.batch_tokens.map(NonZeroU64::get)),
            ("run.context_ranks", self.context_ranks.map(NonZeroU64::get)),
            ("run.steps", self.steps.map(NonZeroU64::get)),
            ("run.seed", self.seed),
            ("run.save_every", self.save_every.map(NonZeroU64::get)),
            ("run.keep", self.keep.map(NonZeroU64::get)),
            ("validation.every", self.validate_every),
        ];
        for (key, number) in numbers {
            flags.extend(number.map(|number| Ok(Flag::new(key, integer(key, number)?))).transpose()?);
        }
        flags.extend(self.lr.map(|rate| Flag::new("schedule.peak", rate)));
        flags.extend(self.set.iter().map(|(key, value)| Flag::new(key, value.clone())));
        Ok(flags)
    }
}

fn text_of(path: &Path) -> Result<Value, Usage> {
    let text = path.to_str().ok_or_else(|| Usage(format!("{}: expected a name in UTF-8", path.display())))?;
    Ok(Value::from(text))
}

fn integer(key: &str, number: u64) -> Result<i64, Usage> {
    i64::try_from(number).map_err(|_| Usage(format!("setting {key}: expected at most {}, found {number}", i64::MAX)))
}

/// Reads `KEY=VALUE`; a value that is none of TOML is a text.
fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as model.n_layer=8")?;
    let parsed = format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    Ok((key.trim().into(), parsed.unwrap_or_else(|| value.into())))
}

/// An error with the exit code that goes with it.
fn told(error: TrainError, world: &World) -> anyhow::Error {
    match error {
        TrainError::Cancelled { resumable } => Interrupted { resumable, is_told: world.rank > 0 }.into(),
        TrainError::Usage(message) => Usage(message).into(),
        error => error.into(),
    }
}

/// What a run has done, in a line.
fn summary(trained: &Trained) -> String {
    let Trained { steps, began_at, bases, seconds, loss, validation, model, report } = trained;
    let (model, report) = (model.display(), report.display());
    let rate = format_bases(*bases as f64 / seconds.max(1e-9));
    let loss = loss.map_or(String::new(), |loss| format!(", loss {loss:.4}"));
    let held_out = validation.and_then(|validation| validation.loss);
    let held_out = held_out.map_or(String::new(), |loss| format!(", {loss:.4} on held-out bases"));
    if steps == began_at {
        return format!("the run is complete already: {steps} steps{loss}{held_out}, {model}, {report}");
    }
    let bases = format_bases(*bases as f64);
    let resumed = if *began_at > 0 { format!(" ({} of them now)", steps - began_at) } else { String::new() };
    format!("{steps} steps{resumed}, {bases}, {seconds:.1} s, {rate}/s{loss}{held_out}, {model}, {report}")
}

/// What would be done, in a table.
fn describe(plan: &Plan, processor: &Processor) -> String {
    let (data, on_host) = (&plan.data, matches!(processor, Processor::Cpu(_)));
    let mut rows = vec![
        ("contigs", data.contigs.to_string()),
        ("bases", data.bases.to_string()),
        ("parameters", plan.parameters.to_string()),
    ];
    rows.extend(data.splits.iter().map(|(split, size)| ("split", format!("{split}: {size}"))));
    rows.extend(data.pools.iter().map(|pool| {
        let skipped = match pool.skipped_contigs {
            0 => String::new(),
            skipped => format!("; {skipped} contigs have none (too short or held out)"),
        };
        ("windows", format!("{} of {} bases in {} bases{skipped}", pool.n_windows, pool.length, pool.bases))
    }));
    rows.extend(plan.divisions.iter().map(|(from_step, division)| {
        let at_a_time = division.largest_share(plan.ranks).at_a_time(plan.threads);
        let by = match (plan.ranks, plan.context) {
            (1, _) => String::new(),
            (ranks, 1) => format!(" on each of {ranks} ranks"),
            (ranks, context) => format!(
                " on each {context} of {ranks} ranks, a stretch of {} bases on each",
                division.longest_stretch()
            ),
        };
        // On a GPU as many as its memory takes.
        let together = if on_host { format!(", {at_a_time} at a time{by}") } else { by };
        let how = format!("{} windows of {} bases{together}", division.windows, division.length);
        ("a step", if *from_step == 0 { how } else { format!("from step {from_step} on: {how}") })
    }));
    let memory = &plan.memory;
    if plan.ranks > 1 {
        rows.push(("ranks", format!("{}; what follows is for each", plan.ranks)));
    }
    rows.extend([
        ("threads", plan.threads.to_string()),
        ("device", if on_host { "CPU" } else { "GPU; memory is the host's" }.into()),
        ("memory", format!("about {}", format_memory(memory.total()))),
        ("", format!("{} weights and optimizer", format_memory(memory.state))),
        ("", format!("{} windows under way", format_memory(memory.windows))),
        ("", format!("{} gradients", format_memory(memory.gradients))),
        ("", format!("{} weights made ready, validation or checkpoint", format_memory(memory.passing))),
    ]);
    if plan.ranks > 1 {
        rows.push(("", format!("{} sums over the ranks", format_memory(memory.sums))));
    }
    rows.extend([("available", plan.available_memory.map_or("not known".into(), format_memory))]);
    rows.iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_setting_may_be_given() {
        assert_eq!(setting("model.n_layer=8"), Ok(("model.n_layer".into(), Value::Integer(8))));
        assert_eq!(setting("schedule.peak = 1e-3"), Ok(("schedule.peak".into(), Value::Float(1e-3))));
        assert_eq!(setting("objective.random_ids=bases"), Ok(("objective.random_ids".into(), "bases".into())));
        assert_eq!(setting("data.genomes=[\"a.fa\"]"), Ok(("data.genomes".into(), vec!["a.fa"].into())));
        assert!(setting("model.n_layer").is_err());
    }
}
