#!/usr/bin/env python3
"""A probe for each pooling, layer and strand of the tables that `pooling` makes, as JSON.

usage: probes.py FOLDER

The training table is dealt into three parts without a sequence in common. Each probe is
fitted to each part and measured on the whole test table, so that the three figures tell
how much the choice of the training sequences does.
"""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import polars as pl
from probe import probe
from sklearn.metrics import accuracy_score, roc_auc_score

PARTS = 3


def read(path, layer):
    table = pl.read_parquet(path).filter(pl.col("layer") == layer)
    labels = table["name"].str.split("_").list.first().to_numpy()
    return table["embedding"].to_numpy().astype(np.float64), labels


def strands(both):
    """What `--strand forward`, `average` and `concat` write, of the last."""
    forward, reverse = np.split(both, 2, axis=1)
    return {"forward": forward, "average": (forward + reverse) / 2, "concat": both}


def measure(train, test):
    (vectors, labels), (test_vectors, test_labels) = train, test
    positive = sorted(set(labels))[1]
    measures = []
    for part in range(PARTS):
        predicted, chance = probe(vectors[part::PARTS], test_vectors, labels[part::PARTS])
        measures.append((accuracy_score(test_labels, predicted), roc_auc_score(test_labels == positive, chance)))
    return [[round(value, 4) for value in column] for column in zip(*measures)]


def rows(folder):
    for pool in ("mean", "max", "center:64", "last"):
        for layer in ("0", "1", "2", "3", "4", "last"):
            train, train_labels = read(folder / f"train.{pool}.parquet", layer)
            test, test_labels = read(folder / f"test.{pool}.parquet", layer)
            for strand, vectors in strands(train).items():
                accuracy, auroc = measure((vectors, train_labels), (strands(test)[strand], test_labels))
                sizes = {"train": [len(train_labels[part::PARTS]) for part in range(PARTS)], "test": len(test_labels)}
                yield {"pool": pool, "layer": layer, "strand": strand, "accuracy": accuracy, "auroc": auroc, **sizes}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    record = {
        "model": "longstrand-ph-d256-l4-grch37",
        "task": "data/human_ocr_ensembl",
        "machine": platform.machine(),
        "rows": list(rows(Path(sys.argv[1]))),
    }
    json.dump(record, sys.stdout, indent=1)
