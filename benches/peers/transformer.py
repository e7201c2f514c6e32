#!/usr/bin/env python3
"""The Transformer that Mamba is compared with: how fast it passes over DNA and generates it on one GPU.

usage: transformer.py [--what forward generate] [--modes eager compiled] > transformer.json
       transformer.py --check [--device cpu]

A causal language model with RoPE, RMS norm before each part, SwiGLU and flash attention, in bf16, of as many parameters
as a causal Mamba of the same width with 16 layers. README.md beside it says what is timed.

B is sequences, L positions, D the width, H heads, E their width, F the width of SwiGLU.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

import timing
from timing import Row

VOCABULARY = 16
WIDTH = 256
HEAD = 64
HEADS = WIDTH // HEAD
# Near the usual 8/3 of the width; 9 layers then have the parameters of 16 Mamba layers within 0.01%.
INNER = 672
MAMBA_LAYERS = 16
EPSILON = 1e-5

LENGTHS = [1 << power for power in range(10, 19)]
TOKENS_A_PASS = 131_072
EXTRAPOLATED_LENGTH = 1 << 20
BATCHES = [1, 8, 32, 128]
PROMPTS = [2_048, 8_192, 16_384, 32_768, 131_072]
GENERATED = 64
# The share of free memory that a cache may take.
CACHE_SHARE = 0.95

MODES = ["eager", "compiled"]
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def mamba_parameters(width: int, layers: int, states: int = 16, taps: int = 4) -> int:
    """Parameters of a causal Mamba with tied embedding."""
    inner, rank = 2 * width, width // 16
    projections = 2 * inner * width + (rank + 2 * states) * inner + inner * rank + inner + width * inner
    convolution = inner * taps + inner
    return layers * (projections + convolution + inner * states + inner + width) + VOCABULARY * width + width


def transformer_parameters(layers: int) -> int:
    """Parameters of the Transformer, with tied embedding."""
    return layers * (4 * WIDTH * WIDTH + 3 * INNER * WIDTH + 2 * WIDTH) + VOCABULARY * WIDTH + WIDTH


def nearest_layers(parameters: int) -> int:
    """The number of layers that comes nearest to a number of parameters."""
    return min(range(1, 65), key=lambda layers: abs(transformer_parameters(layers) - parameters))


LAYERS = nearest_layers(mamba_parameters(WIDTH, MAMBA_LAYERS))


class Layer(NamedTuple):
    """Weights of one layer, `[out, in]`."""

    attention_norm: Tensor  # [D]
    qkv: Tensor  # [3D, D]
    out: Tensor  # [D, D]
    swiglu_norm: Tensor  # [D]
    gate_up: Tensor  # [2F, D]
    down: Tensor  # [D, F]


class Model(NamedTuple):
    """Weights; the embedding is the head."""

    embedding: Tensor  # [V, D]
    layers: list[Layer]
    norm: Tensor  # [D]


class Rotation(NamedTuple):
    """RoPE's factors of consecutive positions."""

    cos: Tensor  # [L, E]
    sin: Tensor  # [L, E]

    def at(self, start: int, end: int) -> "Rotation":
        """The factors of positions `start..end`, 0-based and half-open."""
        return Rotation(self.cos[start:end], self.sin[start:end])


class Heads(NamedTuple):
    """What attention takes, each `[B, L, H, E]`."""

    query: Tensor
    key: Tensor
    value: Tensor


# Keys and values of each layer, each [B, positions, H, E].
Cache = list[tuple[Tensor, Tensor]]
# Takes the layer's number and what it projects; returns [B, L, H, E].
Attention = Callable[[int, Heads], Tensor]


def new_model(device: str, dtype: torch.dtype) -> Model:
    """A model with random weights; the same one each time."""
    generator = torch.Generator().manual_seed(1)

    def linear(n_out: int, n_in: int) -> Tensor:
        return (torch.randn(n_out, n_in, generator=generator) * n_in**-0.5).to(device, dtype)

    def ones() -> Tensor:
        return torch.ones(WIDTH, device=device, dtype=dtype)

    def layer() -> Layer:
        return Layer(
            ones(),
            linear(3 * WIDTH, WIDTH),
            linear(WIDTH, WIDTH),
            ones(),
            linear(2 * INNER, WIDTH),
            linear(WIDTH, INNER),
        )

    model = Model(linear(VOCABULARY, WIDTH), [layer() for _ in range(LAYERS)], ones())
    tensors = [model.embedding, model.norm, *(weight for layer in model.layers for weight in layer)]
    assert sum(tensor.numel() for tensor in tensors) == transformer_parameters(LAYERS)
    return model


def new_rotation(length: int, device: str, dtype: torch.dtype) -> Rotation:
    """The factors of positions `0..length`, reckoned in f64."""
    rates = 10_000.0 ** (-torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), rates).repeat(1, 2)
    return Rotation(angles.cos().to(device, dtype), angles.sin().to(device, dtype))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """RoPE of `[B, L, H, E]`."""
    low, high = x.chunk(2, dim=-1)
    return x * rotation.cos[:, None] + torch.cat((-high, low), dim=-1) * rotation.sin[:, None]


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (WIDTH,), weight, EPSILON)


def enter(x: Tensor, layer: Layer, rotation: Rotation) -> Heads:
    """A layer up to its attention."""
    query, key, value = F.linear(norm(x, layer.attention_norm), layer.qkv).unflatten(-1, (3, HEADS, HEAD)).unbind(-3)
    return Heads(rotate(query, rotation), rotate(key, rotation), value)


def leave(x: Tensor, attended: Tensor, layer: Layer) -> Tensor:
    """A layer from its attention on."""
    x = x + F.linear(attended.flatten(-2), layer.out)
    gate, up = F.linear(norm(x, layer.swiglu_norm), layer.gate_up).chunk(2, dim=-1)
    return x + F.linear(F.silu(gate) * up, layer.down)


def first(ids: Tensor, embedding: Tensor, layer: Layer, rotation: Rotation) -> tuple[Tensor, Heads]:
    """From ids to the first attention."""
    x = F.embedding(ids, embedding)
    return x, enter(x, layer, rotation)


def between(x: Tensor, attended: Tensor, layer: Layer, following: Layer, rotation: Rotation) -> tuple[Tensor, Heads]:
    """From one layer's attention to the next one's."""
    x = leave(x, attended, layer)
    return x, enter(x, following, rotation)


def last(x: Tensor, attended: Tensor, layer: Layer, final_norm: Tensor, embedding: Tensor) -> Tensor:
    """From the last attention to logits."""
    return F.linear(norm(leave(x, attended, layer), final_norm), embedding)


class Parts(NamedTuple):
    """All that is not attention, in the pieces between one attention and the next."""

    first: Callable[..., tuple[Tensor, Heads]]
    between: Callable[..., tuple[Tensor, Heads]]
    last: Callable[..., Tensor]


def parts(mode: str) -> Parts:
    """The pieces as they are, or compiled for fixed shapes; what was compiled before is forgotten."""
    if mode == "eager":
        return Parts(first, between, last)
    torch.compiler.reset()
    return Parts(*(torch.compile(part, dynamic=False, fullgraph=True) for part in (first, between, last)))


def logits_of(model: Model, run: Parts, ids: Tensor, rotation: Rotation, attention: Attention) -> Tensor:
    """Logits `[B, L, V]` of ids `[B, L]`."""
    x, heads = run.first(ids, model.embedding, model.layers[0], rotation)
    for index, (layer, following) in enumerate(pairwise(model.layers)):
        x, heads = run.between(x, attention(index, heads), layer, following, rotation)
    return run.last(x, attention(LAYERS - 1, heads), model.layers[-1], model.norm, model.embedding)


def attend(heads: Heads, causal: bool) -> Tensor:
    """Attention over `[B, L, H, E]`; not causal, each query sees all keys."""
    query, key, value = (x.transpose(1, 2) for x in heads)
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal).transpose(1, 2)


def causal(_: int, heads: Heads) -> Tensor:
    """Attention of a whole sequence."""
    return attend(heads, causal=True)


def filling(cache: Cache) -> Attention:
    """Attention of a whole prompt that leaves its keys and values in the cache."""

    def attention(index: int, heads: Heads) -> Tensor:
        keys, values = cache[index]
        keys[:, : heads.key.shape[1]] = heads.key
        values[:, : heads.key.shape[1]] = heads.value
        return attend(heads, causal=True)

    return attention


def reading(cache: Cache, position: int) -> Attention:
    """Attention of the one token at a 0-based position, over it and all before it."""

    def attention(index: int, heads: Heads) -> Tensor:
        keys, values = cache[index]
        keys[:, position : position + 1] = heads.key
        values[:, position : position + 1] = heads.value
        return attend(Heads(heads.query, keys[:, : position + 1], values[:, : position + 1]), causal=False)

    return attention


def new_cache(batch: int, positions: int, device: str, dtype: torch.dtype) -> Cache:
    """A cache of random numbers."""
    shape = (batch, positions, HEADS, HEAD)
    return [tuple(torch.empty(shape, device=device, dtype=dtype).normal_() for _ in range(2)) for _ in range(LAYERS)]


def cache_bytes(batch: int, positions: int) -> int:
    """Bytes of a cache in bf16."""
    return 2 * LAYERS * batch * positions * WIDTH * 2


def decode(
    model: Model, run: Parts, cache: Cache, token: Tensor, rotation: Rotation, prompt: int, count: int
) -> tuple[Tensor, Tensor]:
    """Draws `count` tokens greedily, the first from the logits of `token`, which is the one at position `prompt`.

    Returns tokens `[B, count]` and the logits that they were drawn from, `[B, count, V]`.
    """
    tokens, logits = [], []
    for position in range(prompt, prompt + count):
        logits.append(logits_of(model, run, token, rotation.at(position, position + 1), reading(cache, position)))
        token = logits[-1].argmax(dim=-1)
        tokens.append(token)
    return torch.cat(tokens, dim=1), torch.cat(logits, dim=1)


def captured(work: Callable[[], tuple[Tensor, Tensor]]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, Tensor]]:
    """A CUDA graph of the work, which must have run before, and the tensors that its replay fills."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    return graph, results


def forward_row(model: Model, mode: str, length: int, rotation: Rotation, seconds: float) -> Row:
    """A pass with logits at all positions; with copies, from ids on the host to f32 logits there."""
    batch = batch_of(length)
    ids = timing.random_bases(batch, length)
    logits = torch.empty(batch, length, VOCABULARY, pin_memory=True)
    factors = rotation.at(0, length)

    def cell() -> Row:
        run = parts(mode)
        logits_of(model, run, ids.cuda(), factors, causal)
        return timing.timed(
            lambda: ids.to("cuda", non_blocking=True),
            lambda given: logits_of(model, run, given, factors, causal),
            lambda result: logits.copy_(result.float(), non_blocking=True),
            seconds,
        )

    facts = {"length": length, "batch": batch}
    return timing.attempt(f"forward {mode} L {length} B {batch}", batch * length, facts, cell)


def batch_of(length: int) -> int:
    """Sequences of a length that a pass has."""
    return max(1, TOKENS_A_PASS // length)


def extrapolated(name: str, rows: list[Row], length: int) -> Row | None:
    """What a sequence of `length` would take by time = a L + b L², through the two longest that were measured."""
    measured = sorted((row for row in rows if "ms" in row), key=lambda row: row["length"])
    if len(measured) < 2 or measured[-1]["length"] >= length:
        return None
    (l1, t1), (l2, t2) = ((row["length"], row["ms"] / row["batch"]) for row in measured[-2:])
    b = (t2 / l2 - t1 / l1) / (l2 - l1)
    ms = (t1 / l1 - b * l1) * length + b * length**2
    row = {"name": name, "length": length, "batch": 1, "ms": ms, "tokens_per_s": length / ms * 1e3}
    return {**row, "extrapolated": f"not run; a L + b L² through L {l1} and {l2}"}


def forward_rows(model: Model, options: argparse.Namespace) -> list[Row]:
    rotation = new_rotation(max(options.lengths), "cuda", torch.bfloat16)
    rows = []
    for mode in options.modes:
        of_mode = [forward_row(model, mode, length, rotation, options.seconds) for length in options.lengths]
        beyond = extrapolated(f"forward {mode} L {EXTRAPOLATED_LENGTH} B 1", of_mode, EXTRAPOLATED_LENGTH)
        if beyond:
            timing.show(beyond)
            of_mode.append(beyond)
        rows += of_mode
    return rows


def generate_row(
    model: Model, mode: str, run: Parts, batch: int, prompt: int, rotation: Rotation, seconds: float
) -> Row:
    """Decoding after a prompt whose keys and values are there; all tokens of all sequences are one replayed graph."""
    size = cache_bytes(batch, prompt + GENERATED)
    token = torch.full((batch, 1), 7, device="cuda")

    def cell() -> Row:
        free = torch.cuda.mem_get_info()[0]
        if size > CACHE_SHARE * free:
            return {"skipped": f"the cache takes {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"}
        cache = new_cache(batch, prompt + GENERATED, "cuda", torch.bfloat16)
        decode(model, run, cache, token, rotation, prompt, 2)
        torch.cuda.synchronize()
        graph, (tokens, _) = captured(lambda: decode(model, run, cache, token, rotation, prompt, GENERATED))
        host = torch.empty(batch, GENERATED, dtype=torch.long, pin_memory=True)
        return timing.timed(
            lambda: None,
            lambda _: graph.replay(),
            lambda _: host.copy_(tokens, non_blocking=True),
            seconds,
        )

    facts = {"batch": batch, "prompt": prompt, "cache_gb": size / 1e9}
    return timing.attempt(f"generate {mode} B {batch} prompt {prompt} +{GENERATED}", batch * GENERATED, facts, cell)


def generate_rows(model: Model, options: argparse.Namespace) -> list[Row]:
    rotation = new_rotation(max(options.prompts) + GENERATED, "cuda", torch.bfloat16)
    rows = []
    for mode in options.modes:
        for batch in options.batches:
            run = parts(mode)
            rows += [
                generate_row(model, mode, run, batch, prompt, rotation, options.seconds) for prompt in options.prompts
            ]
    return rows


def check_mode(model: Model, mode: str, device: str, dtype: torch.dtype) -> tuple[float, bool]:
    """How far logits of decoding are from those of one pass over the same tokens, and whether that is near enough.

    The distance is the largest difference over the largest logit.
    """
    batch, prompt, count = 3, 30, 20
    rotation = new_rotation(prompt + count, device, dtype)
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, VOCABULARY, (batch, prompt + 1), generator=generator).to(device)
    run, cache = parts(mode), new_cache(batch, prompt + count, device, dtype)
    logits_of(model, run, ids[:, :prompt], rotation.at(0, prompt), filling(cache))
    start = ids[:, prompt:].contiguous()
    tokens, logits = decode(model, run, cache, start, rotation, prompt, count)
    if device == "cuda":
        graph, (tokens, logits) = captured(lambda: decode(model, run, cache, start, rotation, prompt, count))
        graph.replay()
    sequence = torch.cat((ids, tokens), dim=1)[:, :-1]
    expected = logits_of(model, parts("eager"), sequence, rotation, causal)[:, prompt:]
    distance = ((logits - expected).abs().max() / expected.abs().max()).item()
    return distance, distance <= (1e-5 if dtype == torch.float32 else 0.04)


def check(device: str) -> bool:
    """Whether decoding agrees with whole passes, in f32 on a CPU, in bf16 and from graphs on a GPU."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model = new_model(device, dtype)
    good = True
    for mode in MODES if device == "cuda" else ["eager"]:
        distance, near = check_mode(model, mode, device, dtype)
        verdict = "ok" if near else "TOO FAR"
        print(f"{verdict}: {mode}, {device}, {dtype}: decoding is {distance:.1e} from whole passes", file=sys.stderr)
        good &= near
    return good


def backend(device: str, attention: str) -> AbstractContextManager[None]:
    """Allows one kernel of attention on a GPU, any on a CPU."""
    return sdpa_kernel(BACKENDS[attention]) if device == "cuda" else nullcontext()


def parameters() -> Row:
    """The two models' sizes."""
    transformer, mamba = transformer_parameters(LAYERS), mamba_parameters(WIDTH, MAMBA_LAYERS)
    print(
        f"Transformer: {LAYERS} layers, {transformer} parameters; Mamba: {MAMBA_LAYERS} layers, {mamba}",
        file=sys.stderr,
    )
    return {"transformer": transformer, "transformer_layers": LAYERS, "mamba": mamba, "mamba_layers": MAMBA_LAYERS}


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=["forward", "generate"], default=["forward", "generate"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="how all but attention is run")
    parser.add_argument("--lengths", nargs="+", type=positive, default=LENGTHS, help="positions of forward")
    parser.add_argument("--batches", nargs="+", type=positive, default=BATCHES, help="sequences of generate")
    parser.add_argument(
        "--prompts", nargs="+", type=positive, default=PROMPTS, help="positions before what is generated"
    )
    parser.add_argument("--attention", choices=list(BACKENDS), default="flash", help="the kernel of attention")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="limit of warm-ups and rounds of one cell, without compilation"
    )
    parser.add_argument("--check", action="store_true", help="only compare decoding with whole passes")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu with --check only")
    options = parser.parse_args()
    if options.device == "cpu" and not options.check:
        parser.error("only --check runs on a CPU")
    return options


@torch.inference_mode()
def main() -> int:
    options = arguments()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("transformer.py: expected an NVIDIA GPU that torch can use, found none")
    sizes = parameters()
    with backend(options.device, options.attention):
        if options.check:
            return 0 if check(options.device) else 1
        model = new_model("cuda", torch.bfloat16)
        rows = forward_rows(model, options) if "forward" in options.what else []
        rows += generate_rows(model, options) if "generate" in options.what else []
    timing.report("transformer", {**sizes, "attention": options.attention}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
