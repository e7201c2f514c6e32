#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy", "polars", "scikit-learn"]
# ///
"""A linear probe: what a logistic regression reads from embeddings as they are.

usage: probe.py train.parquet test.parquet

The class of a row is what stands before the first _ of its name (sequences.py).
Prints the accuracy and the area under the ROC curve on the test rows, beside the
accuracy of the majority class and of a probe of the sequences' lengths alone.
"""

import sys

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def read(path):
    table = pl.read_parquet(path)
    labels = table["name"].str.split("_").list.first().to_numpy()
    lengths = table["n_bases"].to_numpy().reshape(-1, 1)
    return table["embedding"].to_numpy().astype(np.float64), lengths, labels


def probe(train, test, train_labels):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(train, train_labels)
    return model.predict(test), model.predict_proba(test)[:, 1]


def main(train_path, test_path):
    train, train_lengths, train_labels = read(train_path)
    test, test_lengths, test_labels = read(test_path)
    predicted, chance = probe(train, test, train_labels)
    positive = sorted(set(train_labels))[1]
    by_length, _ = probe(train_lengths, test_lengths, train_labels)
    _, counts = np.unique(test_labels, return_counts=True)
    print(f"rows                 {len(train)} to train on, {len(test)} to test on")
    print(f"accuracy             {accuracy_score(test_labels, predicted):.3f}")
    print(f"area under ROC       {roc_auc_score(test_labels == positive, chance):.3f}")
    print(f"accuracy by length   {accuracy_score(test_labels, by_length):.3f}")
    print(f"majority class       {counts.max() / counts.sum():.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
