#!/usr/bin/env python3
"""Gives some records of a VCF another REF, to see what a program makes of it; the same ones for the same seed.

usage: alter_ref.py calls.vcf[.gz] [rows [seed]] > altered.vcf

Records are drawn from those whose REF and ALT are spelled out in A, C, G and T. The first base of REF is exchanged for one
that no allele of the record begins with; the positions of the altered records go to stderr.
"""

import gzip
import random
import sys

BASES = frozenset("ACGT")


def is_spelled_out(line):
    fields = line.split("\t")
    if line.startswith("#") or not BASES.issuperset(fields[3] + fields[4].replace(",", "")):
        return False
    return taken(fields) != BASES


def taken(fields):
    """The first bases of all alleles."""
    return {allele[0] for allele in [fields[3], *fields[4].split(",")]}


def altered(line, rng):
    fields = line.split("\t")
    fields[3] = rng.choice(sorted(BASES - taken(fields))) + fields[3][1:]
    print(fields[0], fields[1], sep="\t", file=sys.stderr)
    return "\t".join(fields)


def main(path, rows=20, seed=1):
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        lines = list(file)
    rng = random.Random(int(seed))
    eligible = [i for i, line in enumerate(lines) if is_spelled_out(line)]
    for i in sorted(rng.sample(eligible, int(rows))):
        lines[i] = altered(lines[i], rng)
    sys.stdout.writelines(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
