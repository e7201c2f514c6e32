#!/usr/bin/env python3
"""How well scores tell LOF from FUNC in a scored VCF of Findlay et al. 2018.

usage: bcftools view scored.vcf.gz | auroc.py        (or a plain VCF on standard input)

Prints, for each LS_ field, the area under the ROC curve with LOF as the positive class: the chance that a random LOF
variant scores lower than a random FUNC one for log-likelihood ratios, higher for distances, ties counting one half.
"""

import sys

# Fields of which a larger value says a larger change.
DISTANCES = {"LS_EMBEDDING_COSINE", "LS_EMBEDDING_L2"}

# Fields that are no scores.
OTHERS = {"LS_N_AMBIGUOUS", "LS_REASON"}


def read(lines):
    """For each record its class and its scores by field."""
    for line in lines:
        if not line.startswith("#"):
            info = dict(field.split("=", 1) for field in line.rstrip("\n").split("\t")[7].split(";") if "=" in field)
            scores = {key: value for key, value in info.items() if key.startswith("LS_") and key not in OTHERS}
            yield info["CLASS"], scores


def auroc(positive, negative):
    """Mann-Whitney U over the number of pairs, by midranks."""
    values = sorted([(value, 1) for value in positive] + [(value, 0) for value in negative])
    ranks, i = 0.0, 0
    while i < len(values):
        j = i
        while j < len(values) and values[j][0] == values[i][0]:
            j += 1
        ranks += sum(label for _, label in values[i:j]) * (i + 1 + j) / 2
        i = j
    n = len(positive)
    return (ranks - n * (n + 1) / 2) / (n * len(negative))


def main():
    classes = {"LOF": {}, "FUNC": {}}
    for name, scores in read(sys.stdin):
        for key, value in scores.items():
            if name in classes and value != ".":
                classes[name].setdefault(key, []).append(float(value))
    for key in sorted(classes["LOF"]):
        lof, func = classes["LOF"][key], classes["FUNC"][key]
        area = auroc(lof, func)
        print(key, len(lof), len(func), f"{area if key in DISTANCES else 1 - area:.3f}", sep="\t")


if __name__ == "__main__":
    main()
