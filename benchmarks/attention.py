"""Time and memory of full attention, compared with NTED's two attentions, from 16 x 11 to 128 x 88 positions.

    python benchmarks/attention.py [--repeats 9] [--out build/attention.json]

All ways start from the same features (one picture, c = 64) and have the same kind of result, c numbers at each target
position. `full` is scaled dot-product attention, written plainly. `fused` is PyTorch's version, which computes the same
numbers piece by piece. `nted` goes through k = 16 textures, with 1 x 1 filters. Learnt projections are left out.

For each way and size it writes two numbers: the processor time of a forward pass on one thread, which other programs
hardly affect, as the median of several runs; and the peak memory that the pass allocates, according to PyTorch's
profiler. Notebook 03 plots them.
"""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from nted_lite.texture import distribute, extract

ROWS = (16, 32, 48, 64, 96, 128)
CHANNELS, TEXTURES = 64, 16
Way = Callable[[Tensor, Tensor], Tensor]


def full(target: Tensor, reference: Tensor) -> Tensor:
    """Every target position compares itself with every reference position. b c h w twice -> b c h w"""
    queries, keys = (rearrange(features, "b c h w -> b c (h w)") for features in (target, reference))
    scores = einsum(queries, keys, "b c m, b c n -> b m n") / math.sqrt(CHANNELS)
    mixture = einsum(scores.softmax(dim=-1), keys, "b m n, b c n -> b c m")
    return rearrange(mixture, "b c (h w) -> b c h w", h=target.shape[2])


def fused(target: Tensor, reference: Tensor) -> Tensor:
    """The same, without ever holding all scores at once. b c h w twice -> b c h w"""
    queries, keys = (rearrange(features, "b c h w -> b 1 (h w) c").contiguous() for features in (target, reference))
    mixture = F.scaled_dot_product_attention(queries, keys, keys)
    return rearrange(mixture, "b 1 (h w) c -> b c h w", h=target.shape[2])


def nted(extractors: Tensor, distributors: Tensor) -> Way:
    """The two attentions with these filters, k c each."""

    def both(target: Tensor, reference: Tensor) -> Tensor:
        textures, _ = extract(reference, einsum(extractors, reference, "k c, b c h w -> b k h w"))
        return distribute(textures, einsum(distributors, target, "k c, b c h w -> b k h w"))[0]

    return both


def seconds(way: Way, target: Tensor, reference: Tensor, repeats: int) -> float:
    """Processor time of one call: median over the repeats, each long enough for the clock."""
    start = time.process_time()
    way(target, reference)
    runs = max(1, round(0.05 / (time.process_time() - start)))
    found = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(runs):
            way(target, reference)
        found.append((time.process_time() - start) / runs)
    return statistics.median(found)


def peak_bytes(way: Way, target: Tensor, reference: Tensor) -> int:
    """The most that one call holds at once, its result included, its inputs not."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        way(target, reference)
    # The profiler adds up what each operation keeps; the peak needs each single allocation and release, in order.
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@torch.no_grad()
def measure(rows: tuple[int, ...], repeats: int) -> dict:
    """The content of the JSON file, except for the machine."""
    torch.manual_seed(0)
    ways = {"full": full, "fused": fused, "nted": nted(*torch.randn(2, TEXTURES, CHANNELS) / math.sqrt(CHANNELS))}
    found = {name: {"seconds": [], "bytes": []} for name in ways}
    for h in rows:
        target, reference = torch.randn(2, 1, CHANNELS, h, h * 11 // 16)
        torch.testing.assert_close(full(target, reference), fused(target, reference), atol=1e-4, rtol=1e-3)
        for name, way in ways.items():
            found[name]["seconds"].append(float(f"{seconds(way, target, reference, repeats):.3g}"))
            found[name]["bytes"].append(peak_bytes(way, target, reference))
    sizes = [[h, h * 11 // 16] for h in rows]
    return {"channels": CHANNELS, "textures": TEXTURES, "repeats": repeats, "sizes": sizes, "ways": found}


def main() -> None:
    from step import processor  # beside this file; it needs the training's libraries, the measurement does not

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="number of runs for the median")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    machine = {"processor": processor(), "system": platform.system(), "threads": 1}
    result = {"machine": machine | {"torch": torch.__version__}, **measure(ROWS, args.repeats)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, numbers in result["ways"].items():
        for (h, w), time_, size in zip(result["sizes"], numbers["seconds"], numbers["bytes"], strict=True):
            print(f"{name:>5} {h:>4} x {w:<3} {1e3 * time_:10.3f} ms {size / 2**20:10.2f} MiB")


if __name__ == "__main__":
    main()
