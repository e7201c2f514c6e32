__author__ = "Longstrand contributors"
__copyright__ = "Copyright 2026, Longstrand contributors"
__license__ = "MIT OR Apache-2.0"

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=True, stderr=True)

device = "cuda" if int(snakemake.resources.get("gpu", 0)) else "cpu"

genomes = snakemake.input.genomes
if isinstance(genomes, str):
    genomes = [genomes]
genomes = " ".join(f"--genome {genome}" for genome in genomes)

config = snakemake.input.get("config", "")
if config:
    config = f"--config {config}"

split = snakemake.input.get("split", "")
if split:
    split = f"--split {split}"

shell(
    "longstrand pretrain"
    " {genomes}"
    " --output {snakemake.output[0]}"
    " --threads {snakemake.threads}"
    " --device {device}"
    " {config}"
    " {split}"
    " {extra}"
    " {log}"
)
