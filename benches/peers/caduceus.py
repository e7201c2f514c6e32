#!/usr/bin/env python3
"""The reference code of Caduceus and Mamba (mamba-ssm), timed on the cells of `longstrand-benches cuda-models`.

usage: caduceus.py --code FOLDER > caduceus.json

FOLDER is a checkout of Caduceus' repository. README.md beside this file says what has to be installed.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import timing
from timing import Row

WIDTH = 256
VOCABULARY = 16
STATES = {"d_state": 16, "d_conv": 4, "expand": 2, "dt_rank": "auto", "conv_bias": True, "bias": False}

# Family, layers, sequences, positions, as in benches/src/cuda/models.rs.
CASES = [
    ("CaduceusPh", 4, 128, 1_024),
    ("CaduceusPs", 4, 128, 1_024),
    ("CaduceusPh", 16, 1, 131_072),
    ("CaduceusPs", 16, 1, 131_072),
    ("CaduceusPh", 16, 1, 1 << 20),
    ("CaduceusPs", 16, 1, 1 << 20),
    ("Mamba", 16, 1, 131_072),
]


def missing(code: Path | None) -> list[str]:
    """What keeps the reference from running here."""
    lacks = [name for name in ("mamba_ssm", "causal_conv1d", "transformers") if importlib.util.find_spec(name) is None]
    if code is None or not (code / "caduceus" / "modeling_caduceus.py").is_file():
        lacks.append("--code with caduceus/modeling_caduceus.py in it")
    if not torch.cuda.is_available():
        lacks.append("an NVIDIA GPU that torch can use")
    return lacks


def new_mamba(layers: int) -> nn.Module:
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel

    config = MambaConfig(
        d_model=WIDTH, n_layer=layers, vocab_size=VOCABULARY, ssm_cfg=STATES, pad_vocab_size_multiple=8
    )
    return MambaLMHeadModel(config, device="cuda")


def new_caduceus(layers: int, rcps: bool) -> nn.Module:
    from caduceus.configuration_caduceus import CaduceusConfig
    from caduceus.modeling_caduceus import CaduceusForMaskedLM

    complements = {token: 17 - token if 7 <= token <= 10 else token for token in range(VOCABULARY)}
    config = CaduceusConfig(
        d_model=WIDTH,
        n_layer=layers,
        vocab_size=VOCABULARY,
        ssm_cfg=STATES,
        rcps=rcps,
        complement_map=complements if rcps else None,
    )
    return CaduceusForMaskedLM(config).cuda()


def new_model(family: str, layers: int) -> nn.Module:
    """A model with random weights in f32."""
    torch.manual_seed(1)
    return new_mamba(layers) if family == "Mamba" else new_caduceus(layers, rcps=family == "CaduceusPs")


def forward_cell(case: tuple[str, int, int, int], seconds: float) -> Row:
    """A pass in bf16 weights with logits at all positions."""
    family, layers, batch, length = case
    model = new_model(family, layers).to(torch.bfloat16).eval()
    ids = timing.random_bases(batch, length)
    host = torch.empty(batch, length, VOCABULARY, pin_memory=True)
    with torch.inference_mode():
        return timing.timed(
            lambda: ids.to("cuda", non_blocking=True),
            lambda given: model(given).logits,
            lambda logits: host.copy_(logits.float(), non_blocking=True),
            seconds,
        )


def loss_of(logits: Tensor, ids: Tensor, causal: bool) -> Tensor:
    """Mean cross-entropy of each id, or of each next one."""
    if causal:
        logits, ids = logits[:, :-1], ids[:, 1:]
    return F.cross_entropy(logits.float().flatten(0, 1), ids.flatten())


def gradients_cell(case: tuple[str, int, int, int], seconds: float) -> Row:
    """Loss and all gradients, f32 weights under bf16 autocast as the reference trains."""
    family, layers, batch, length = case
    model = new_model(family, layers).train()
    ids = timing.random_bases(batch, length)
    weights = list(model.parameters())
    host = [torch.empty(weight.shape, pin_memory=True) for weight in weights]

    def gradients(given: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cuda", torch.bfloat16):
            loss = loss_of(model(given).logits, given, causal=family == "Mamba")
        return torch.autograd.grad(loss, weights)

    def take(found: tuple[Tensor, ...]) -> None:
        for to, gradient in zip(host, found, strict=True):
            to.copy_(gradient, non_blocking=True)

    return timing.timed(lambda: ids.to("cuda", non_blocking=True), gradients, take, seconds)


def rows_of(case: tuple[str, int, int, int], seconds: float) -> list[Row]:
    family, layers, batch, length = case
    of_model = f"{family} d {WIDTH}, {layers} layers, B {batch} L {length}"
    facts = {"family": family, "layers": layers, "batch": batch, "length": length}
    tokens = batch * length
    return [
        timing.attempt(f"forward {of_model}", tokens, facts, lambda: forward_cell(case, seconds)),
        timing.attempt(f"gradients {of_model}", tokens, facts, lambda: gradients_cell(case, seconds)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=Path, help="a checkout of Caduceus' repository")
    parser.add_argument("--seconds", type=float, default=10.0, help="limit of warm-ups and rounds of one cell")
    options = parser.parse_args()
    lacks = missing(options.code)
    if lacks:
        sys.exit(f"caduceus.py: missing: {', '.join(lacks)}")
    # Last, so that this file is not taken for the package of the same name.
    sys.path = [str(options.code.resolve()), *sys.path[1:], sys.path[0]]
    rows = [row for case in CASES for row in rows_of(case, options.seconds)]
    timing.report("caduceus reference", {"d_model": WIDTH}, rows)


if __name__ == "__main__":
    main()
