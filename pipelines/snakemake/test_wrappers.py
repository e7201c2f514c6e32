"""Runs the example rules of the wrappers, as the community's repository does: pytest test_wrappers.py

Longstrand and Snakemake are taken from PATH.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.fixture
def run(tmp_path):
    def run_rules(wrapper, *targets):
        (tmp_path / "master").symlink_to(ROOT)
        test = tmp_path / "test"
        shutil.copytree(ROOT / wrapper / "test", test)
        command = ["snakemake", "--cores", "1", "--show-failed-logs"]
        command += ["--wrapper-prefix", f"file://{tmp_path}/", *targets]
        subprocess.run(command, cwd=test, check=True)
        return test

    return run_rules


def test_longstrand_embed(run):
    run("bio/longstrand/embed", "embeddings/yeast.parquet")


def test_longstrand_embed_shard(run):
    run(
        "bio/longstrand/embed",
        "shards/yeast.1_of_2.parquet",
        "shards/yeast.2_of_2.parquet",
    )


def test_longstrand_plan(run):
    plans = ["plans/yeast.embed.json", "plans/brca1.score.json"]
    test = run("bio/longstrand/plan", *plans)
    for plan in plans:
        request = json.loads((test / plan).read_text())["request"]
        assert request["memory_mb"] > 0 and request["minutes"] > 0


def test_longstrand_score(run):
    test = run("bio/longstrand/score", "scores/brca1.vcf.gz")
    assert (test / "scores/brca1.parquet").exists()


def test_longstrand_score_shard(run):
    run("bio/longstrand/score", "shards/brca1.2_of_2.bcf")


def test_longstrand_join(run):
    run("bio/longstrand/join", "joined/yeast.parquet")


def test_longstrand_pretrain(run):
    test = run("bio/longstrand/pretrain", "runs/yeast")
    assert (test / "runs/yeast/model/model.safetensors").exists()


def test_longstrand_evaluate(run):
    test = run("bio/longstrand/evaluate", "measures/yeast.txt")
    assert "perplexity" in (test / "measures/yeast.txt").read_text()
