#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["matplotlib", "numpy", "pyBigWig"]
# ///
"""A picture of a bigWig track that longstrand track wrote.

usage: track.py surprisal.bw I:1,001-3,000 -o track.svg

The region is 1-based and closed. The line is the mean of 25 bases about each one.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np
import pyBigWig

# The same picture has the same bytes.
plt.rcParams["svg.hashsalt"] = "longstrand"

SMOOTH = 25


def parse_region(text):
    """Contig, start and end of a region, 0-based and half-open."""
    contig, _, places = text.rpartition(":")
    start, end = (int(place.replace(",", "")) for place in places.split("-"))
    return contig, start - 1, end


def smooth(values):
    """The mean of the values about each one that are there."""
    window = np.ones(SMOOTH)
    there = np.isfinite(values)
    sums = np.convolve(np.where(there, values, 0), window, "same")
    counts = np.convolve(there, window, "same")
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def draw(contig, start, values, path):
    figure, axes = plt.subplots(figsize=(9, 2.5), layout="constrained")
    positions = np.arange(start + 1, start + 1 + len(values))
    axes.fill_between(positions, values, step="mid", alpha=0.3, linewidth=0)
    axes.plot(positions, smooth(values), linewidth=1)
    axes.set(xlabel=f"bases of {contig}", ylabel="surprisal, bits", ylim=(0, None))
    axes.margins(x=0)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("track")
    parser.add_argument("region")
    parser.add_argument("-o", "--output", required=True)
    options = parser.parse_args()

    contig, start, end = parse_region(options.region)
    with pyBigWig.open(options.track) as track:
        values = np.array(track.values(contig, start, end))
    draw(contig, start, values, options.output)
    print(f"{np.isfinite(values).sum()} bases, mean {np.nanmean(values):.3f} bits")


if __name__ == "__main__":
    main()
