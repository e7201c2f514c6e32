__author__ = "Longstrand contributors"
__copyright__ = "Copyright 2026, Longstrand contributors"
__license__ = "MIT OR Apache-2.0"

from snakemake.shell import shell

extra = snakemake.params.get("extra", "")
log = snakemake.log_fmt_shell(stdout=True, stderr=True)

# A join is quick, and what an earlier one left behind may be of other parts.
shell(
    "longstrand join"
    " {snakemake.input.parts}"
    " --output {snakemake.output[0]}"
    " --threads {snakemake.threads}"
    " --force"
    " {extra}"
    " {log}"
)
