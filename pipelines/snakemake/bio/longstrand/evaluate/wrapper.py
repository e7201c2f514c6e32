__author__ = "Longstrand contributors"
__copyright__ = "Copyright 2026, Longstrand contributors"
__license__ = "MIT OR Apache-2.0"

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=False, stderr=True)

gpus = int(snakemake.resources.get("gpu", 0))
device = "all" if gpus > 1 else "cuda" if gpus else "cpu"

bed = snakemake.input.get("bed", "")
if bed:
    bed = f"--bed {bed}"

model = snakemake.input.get("model", "")
if model:
    model = f"--model {model}"

outputs = " ".join(
    f"--{name} {snakemake.output.get(name)}"
    for name in ("json", "parquet")
    if snakemake.output.get(name)
)

shell(
    "longstrand evaluate"
    " {snakemake.input.genome}"
    " --threads {snakemake.threads}"
    " --device {device}"
    " {bed}"
    " {model}"
    " {outputs}"
    " {extra}"
    " > {snakemake.output.table}"
    " {log}"
)
