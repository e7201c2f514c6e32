#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["matplotlib", "numpy", "polars"]
# ///
"""The first two principal components of embeddings, as a picture.

usage: pca.py embeddings.parquet genome.fa.gz -o pca.svg [--bed intervals.bed]

Each window is a point, coloured by its fraction of G and C, or with --bed by the
fraction of its bases that the intervals cover: genes, peaks, repeats. How far each
component goes along with the colour is printed.
"""

import argparse
import gzip

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

# The same picture has the same bytes.
plt.rcParams["svg.hashsalt"] = "longstrand"


def read_fasta(path):
    """Sequences by the names of their records."""
    with gzip.open(path, "rt") if path.endswith("gz") else open(path) as lines:
        records = "".join(lines).split(">")[1:]
    parts = (record.partition("\n") for record in records)
    return {name.split()[0]: body.replace("\n", "").upper() for name, _, body in parts}


def gc(table, genome):
    """The fraction of G and C of each window."""
    windows = table.select("contig", "start", "end").iter_rows()
    sequences = (genome[contig][start:end] for contig, start, end in windows)
    return np.array([(s.count("G") + s.count("C")) / len(s) for s in sequences])


def covered(table, genome, bed):
    """The fraction of each window that the intervals of a BED file cover."""
    marks = {name: np.zeros(len(bases), bool) for name, bases in genome.items()}
    with open(bed) as lines:
        for line in lines:
            contig, start, end = line.split("\t")[:3]
            marks[contig][int(start) : int(end)] = True
    windows = table.select("contig", "start", "end").iter_rows()
    return np.array([marks[contig][start:end].mean() for contig, start, end in windows])


def components(vectors):
    """The first two principal components, and the share of the variance of each."""
    centred = vectors - vectors.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * values[:2], (values**2 / (values**2).sum())[:2]


def draw(points, shares, colour, label, path):
    figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
    dots = axes.scatter(*points.T, c=colour, s=6, cmap="viridis", linewidths=0)
    axes.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"component 2 ({shares[1]:.0%})")
    figure.colorbar(dots, label=label)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings")
    parser.add_argument("genome")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--bed")
    options = parser.parse_args()

    table = pl.read_parquet(options.embeddings)
    genome = read_fasta(options.genome)
    if options.bed:
        colour, label = covered(table, genome, options.bed), "fraction covered"
    else:
        colour, label = gc(table, genome), "fraction of G and C"
    points, shares = components(table["embedding"].to_numpy().astype(np.float64))
    draw(points, shares, colour, label, options.output)
    for number, component in enumerate(points.T, start=1):
        correlation = abs(np.corrcoef(component, colour)[0, 1])
        print(f"component {number} and {label}: |r| = {correlation:.3f}")


if __name__ == "__main__":
    main()
