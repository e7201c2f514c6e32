__author__ = "Longstrand contributors"
__copyright__ = "Copyright 2026, Longstrand contributors"
__license__ = "MIT OR Apache-2.0"

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=True, stderr=True)

# Shards are joined only if all were computed on the same kind of device, so that none is left to chance.
gpus = int(snakemake.resources.get("gpu", 0))
device = "all" if gpus > 1 else "cuda" if gpus else "cpu"

bed = snakemake.input.get("bed", "")
if bed:
    bed = f"--bed {bed}"

reference = snakemake.input.get("reference", "")
if reference:
    reference = f"--reference {reference}"

model = snakemake.input.get("model", "")
if model:
    model = f"--model {model}"

shard = snakemake.params.get("shard", "")
if shard:
    shard = f"--shard {shard}"

# What a killed job has finished is kept beside its output; --resume takes it from there, and begins where there is none.
shell(
    "longstrand embed"
    " {snakemake.input.query}"
    " --output {snakemake.output[0]}"
    " --threads {snakemake.threads}"
    " --device {device}"
    " {bed}"
    " {reference}"
    " {model}"
    " {shard}"
    " --resume"
    " {extra}"
    " {log}"
)
