#!/usr/bin/env python3
"""Turns the table of Findlay et al. 2018 (Nature 562, 217) into a VCF, sorted, one record a variant.

usage: brca1_vcf.py findlay2018_brca1_sge.tsv > findlay2018_brca1.vcf

INFO has the function class (FUNC, INT or LOF), the function score and the consequence. Positions are those of GRCh37.
"""

import csv
import sys

HEADER = """##fileformat=VCFv4.3
##reference=GRCh37
##contig=<ID=17,length=81195210,assembly=GRCh37>
##INFO=<ID=CLASS,Number=1,Type=String,Description="Function class of Findlay et al. 2018: FUNC, INT or LOF">
##INFO=<ID=FUNCTION,Number=1,Type=Float,Description="Function score of Findlay et al. 2018">
##INFO=<ID=CONSEQUENCE,Number=1,Type=String,Description="Consequence, as Findlay et al. 2018 name it">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO"""


def record(row):
    consequence = row["consequence"].replace(" ", "_").replace(";", ",")
    info = f"CLASS={row['func_class']};FUNCTION={float(row['function_score']):.6g};CONSEQUENCE={consequence}"
    return (row["chrom"], int(row["pos_hg19"]), row["ref"], row["alt"], info)


def main(path):
    with open(path, newline="") as table:
        records = sorted(record(row) for row in csv.DictReader(table, delimiter="\t"))
    print(HEADER)
    for chrom, pos, ref, alt, info in records:
        print(chrom, pos, ".", ref, alt, ".", ".", info, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1])
