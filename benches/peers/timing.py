"""Times work on a GPU, and prints what was found: a table on standard error, one JSON object on standard output."""

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

ROUNDS = 5
WARM_UPS = 2

Row = dict[str, Any]

COLUMNS = {
    "tokens_per_s": "k tokens/s",
    "ms": "ms",
    "ms_with_copies": "ms with copies",
    "peak_gb": "peak GB",
    "cache_gb": "cache GB",
}


def machine() -> Row:
    """What the figures are of."""
    return {
        "device": torch.cuda.get_device_name(),
        "device_gb": torch.cuda.get_device_properties(0).total_memory / 1e9,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def random_bases(batch: int, length: int) -> torch.Tensor:
    """Pseudo-random ids of A, C, G and T in a Caduceus vocabulary, `[B, L]`, in pinned host memory."""
    ids = torch.randint(7, 11, (batch, length), generator=torch.Generator().manual_seed(1))
    return ids.pin_memory()


def rounds_within(seconds: float, one_round: Callable[[], Any]) -> int:
    """Warms up, and says how many rounds of `ROUNDS` then fit in a limit of `seconds`; never less than one."""
    start = time.perf_counter()
    warm_ups = 0
    while warm_ups < WARM_UPS and (warm_ups == 0 or time.perf_counter() - start < seconds / 4):
        begun = time.perf_counter()
        one_round()
        torch.cuda.synchronize()
        warm_ups += 1
    left = seconds - (time.perf_counter() - start)
    return max(1, min(ROUNDS, int(left / (time.perf_counter() - begun))))


def timed(bring: Callable[[], Any], work: Callable[[Any], Any], take: Callable[[Any], Any], seconds: float) -> Row:
    """The median time of `work` in milliseconds, and that of `bring`, `work` and `take` together.

    `bring` copies the input to the device and `take` the result to the host, in the work's stream. `seconds` limits
    the warm-ups and rounds; compilation belongs before the call.
    """

    def one_round() -> tuple[float, float]:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        events[0].record()
        given = bring()
        events[1].record()
        result = work(given)
        events[2].record()
        take(result)
        events[3].record()
        torch.cuda.synchronize()
        return events[1].elapsed_time(events[2]), events[0].elapsed_time(events[3])

    rounds = rounds_within(seconds, one_round)
    torch.cuda.reset_peak_memory_stats()
    times = [one_round() for _ in range(rounds)]
    alone, whole = (median(column) for column in zip(*times, strict=True))
    return {"ms": alone, "ms_with_copies": whole, "rounds": rounds, "peak_gb": torch.cuda.max_memory_allocated() / 1e9}


def attempt(name: str, tokens: int, facts: Row, cell: Callable[[], Row]) -> Row:
    """A row of one cell: what is known of it, its figures and tokens a second, or why there are none."""
    torch.cuda.empty_cache()
    row = {"name": name, **facts}
    try:
        row |= cell()
    except torch.cuda.OutOfMemoryError:
        row["skipped"] = "out of GPU memory"
    except Exception as error:  # a peer's failure is a finding
        text = str(error).strip() or "no message"
        row["failed"] = f"{type(error).__name__}: {text.splitlines()[0]}"
    if "ms" in row:
        row["tokens_per_s"] = tokens / row["ms"] * 1e3
    show(row)
    return row


def show(row: Row) -> None:
    """Prints a row for readers."""
    scaled = {**row, "tokens_per_s": row.get("tokens_per_s", 0) / 1e3}
    figures = [f"{scaled[key]:.4g} {label}" for key, label in COLUMNS.items() if key in row]
    notes = [f"{key}: {row[key]}" for key in ("skipped", "failed", "extrapolated") if key in row]
    print(f"{row['name']:<46}", " · ".join(figures + notes), file=sys.stderr)


def report(benchmark: str, parameters: Row, rows: list[Row]) -> None:
    """Prints the JSON object."""
    print(json.dumps({"benchmark": benchmark, **machine(), "parameters": parameters, "rows": rows}, indent=2))
