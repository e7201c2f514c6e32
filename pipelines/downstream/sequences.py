#!/usr/bin/env python3
"""Labelled sequences as FASTA, whose records are named LABEL_CHROM_START_END.

usage: gzip -dc human_ocr_ensembl.test.tsv.gz | sequences.py > test.fa

`longstrand embed test.fa --window contig` then gives one row a sequence, in whose
column `name` the label stands.
"""

import csv
import sys

for row in csv.DictReader(sys.stdin, delimiter="\t"):
    place = (row["label"], row["chrom"], row["start"], row["end"])
    print(f">{'_'.join(place)}\n{row['sequence']}")
