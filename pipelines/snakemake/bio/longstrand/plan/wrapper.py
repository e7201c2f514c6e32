__author__ = "Longstrand contributors"
__copyright__ = "Copyright 2026, Longstrand contributors"
__license__ = "MIT OR Apache-2.0"

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)

# The device of the jobs that are planned, which have as many GPUs.
gpus = int(snakemake.resources.get("gpu", 0))
device = "all" if gpus > 1 else "cuda" if gpus else "cpu"

if snakemake.input.get("variants", ""):
    command = f"score {snakemake.input.variants} --output plan.vcf.gz"
else:
    command = f"embed {snakemake.input.query} --output plan.parquet"

inputs = " ".join(
    f"--{name} {snakemake.input.get(name)}"
    for name in ("bed", "reference", "model")
    if snakemake.input.get(name)
)

shards = snakemake.params.get("shards", "")
if shards:
    shards = f"--shards {shards}"

shell(
    "longstrand plan --json"
    " {shards}"
    " {command}"
    " --threads {snakemake.threads}"
    " --device {device}"
    " {inputs}"
    " {extra}"
    " > {snakemake.output[0]}"
    " {log}"
)
