#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["duckdb", "polars", "pyarrow"]
# ///
"""Scores of variants joined with what an assay says of them, in DuckDB.

usage: scores.py scores.parquet assay.tsv.gz wildtype

The assay has the columns of data/findlay2018_brca1_sge.tsv.gz.
Prints the number and the mean score of the variants of each class.
"""

import sys

import duckdb


def by_class(scores, assay, column):
    return duckdb.sql(f"""
        select func_class, count(*) as variants, round(avg({column}), 4) as mean
        from '{scores}' as s join read_csv('{assay}', delim = '\t') as a
        on s.pos = a.pos_hg19 and s.ref = a.ref and s.alt = a.alt
        group by func_class order by func_class
    """)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    print(by_class(*sys.argv[1:]))
