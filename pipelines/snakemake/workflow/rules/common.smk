import json
import os

# Shards of one run must use the same vector instructions; on unequal machines, those that all of them have.
# Each job reads this file on its own machine.
if config["simd"]:
    os.environ.update(LONGSTRAND_SIMD=config["simd"])


VARIANTS = config["variants"]
INDEX = {"vcf.gz": "tbi", "bcf": "csi"}[VARIANTS]


wildcard_constraints:
    sample="[^/]+",
    shard=r"\d+",


def shards(pattern):
    """The names of all shards, for the sample of the rule that asks."""
    total = config["shards"]
    return expand(pattern, shard=range(1, total + 1), total=total, allow_missing=True)


def optional(files):
    """Those of named input files that are given."""
    return {name: file for name, file in files.items() if file}


def embed_input(wildcards):
    sample = config["embeddings"][wildcards.sample]
    return {"query": sample["input"]} | optional(
        {
            "bed": sample["bed"],
            "reference": sample["cram_reference"],
            "model": config["model"],
        }
    )


def score_input(wildcards):
    sample = config["scores"][wildcards.sample]
    return {
        "variants": sample["variants"],
        "reference": sample["reference"],
    } | optional({"model": config["model"]})


def planned(plan):
    """What a shard asks for, which is known when it has been planned."""
    with open(plan) as file:
        return json.load(file)["request"]


def memory(wildcards, input, attempt):
    # Where no system says what a process holds, memory is not known.
    megabytes = config["mem_mb"] or max(512, planned(input.plan)["memory_mb"] or 12000)
    return megabytes * attempt


def runtime(wildcards, input, attempt):
    minutes = config["runtime"] or max(10, planned(input.plan)["minutes"])
    return minutes * attempt
