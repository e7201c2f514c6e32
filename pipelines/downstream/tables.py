#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["duckdb", "numpy", "polars", "pyarrow"]
# ///
"""A table of embeddings in DuckDB and in polars.

usage: tables.py embeddings.parquet

DuckDB says how many rows and bases each contig has, and which windows are nearest to
the first one. Polars gives the vectors to numpy, which must agree on the nearest.
"""

import sys

import duckdb
import numpy as np
import polars as pl

NEAREST = 5


def contigs(path):
    return duckdb.sql(f"""
        select contig, count(*) as windows, sum(n_bases)::bigint as bases
        from '{path}' group by contig order by min(start), contig
    """)


def nearest_in_duckdb(path):
    """Names of the windows nearest to the first, by the cosine."""
    rows = duckdb.sql(f"""
        with first as (select embedding from '{path}' limit 1)
        select t.name, list_cosine_similarity(t.embedding, first.embedding) as cosine
        from '{path}' as t, first order by cosine desc, name limit {NEAREST}
    """)
    return [name for name, _ in rows.fetchall()]


def nearest_in_polars(path):
    table = pl.read_parquet(path)
    vectors = table["embedding"].to_numpy().astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    table = table.with_columns(cosine=pl.Series(unit @ unit[0]))
    ranked = table.sort(["cosine", "name"], descending=[True, False])
    return ranked["name"].head(NEAREST).to_list()


def main(path):
    print(contigs(path))
    by_duckdb, by_polars = nearest_in_duckdb(path), nearest_in_polars(path)
    print("nearest to the first window:", *by_duckdb)
    if by_duckdb != by_polars:
        sys.exit(f"polars says otherwise: {' '.join(by_polars)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
