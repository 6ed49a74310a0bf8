"""Appearance control, measured: error and time of a swap by selection alone, and refined by gradient.

    python benchmarks/control.py [--people 256] [--split test] [--out benchmarks/control.json]

Each held-out person wears the top of the next one, in a new pose. The error is L1 to the true rendering of that person
in that top (colours run from -1 to 1), inside the area of either top and outside it, with a 95 % bootstrap interval
over people. `selected` is the paper's rule, `refined` starts from it, and `pure` is the rule that `control.wear` uses
where nothing is refined. `refined / selected` and `selected / pure` are ratios of two such errors over the same
people. The time is processor time on one thread, from photos to picture, for one swap at a time (median) and for swaps
in batches. The choices, such as steps and weights of the refinement, were made with `--split validation`. Notebook 09
plots the result.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from nted_lite.checkpoint import load_model
from nted_lite.control import Refinement, exchange, select, select_pure, wear
from nted_lite.evaluation.held_out import held_out
from nted_lite.evaluation.people import swap_error
from nted_lite.evaluation.tables import Rows, append, intervals, ratios, table
from nted_lite.features import people_parser
from nted_lite.images import write_file
from nted_lite.model import NTED
from nted_lite.weights.hub import shipped

WAYS: dict[str, tuple[Callable, Refinement | None]] = {
    "pure": (select_pure, None), "selected": (select, None), "refined": (select, Refinement()),
}  # fmt: skip
"""Row of the table -> rule and refinement of `control.wear`"""
RATIOS = ("refined", "selected"), ("selected", "pure")
"""Rows that are compared person by person"""


@torch.no_grad()
def measure(model: NTED, parser: nn.Module, people: int, split: str, batch: int) -> dict:
    """The content of the JSON file, except for model, machine and single swaps."""
    rows: Rows = {}
    seconds = dict.fromkeys(WAYS, 0.0)
    for index in tqdm(torch.arange(people).split(batch), desc="swaps", mininterval=5):
        test = held_out(index, model.config, split)
        start = time.process_time()
        textures = [model.extract(image) for image in (test.reference, test.donor)]
        renderings = [model.render(test.pose, t) for t in textures]
        shared = time.process_time() - start
        append(rows, "no swap", swap_error(renderings[0].image, test))
        for way, (choose, refinement) in WAYS.items():
            start = time.process_time()
            worn, _ = exchange(model, parser, textures, renderings, test.pose, "top", choose, refinement)
            seconds[way] += time.process_time() - start + shared
            append(rows, way, swap_error(worn.image, test))
        append(rows, "drawn in it", swap_error(model.render(test.pose, model.extract(test.dressed)).image, test))
    return {
        "people": people, "split": split, "size": [model.config.height, model.config.width], "swap": intervals(rows),
        **{f"{way} / {base}": ratios(rows, way, base) for way, base in RATIOS},
        "seconds": {way: {"in batches": taken / people} for way, taken in seconds.items()}, "batch": batch,
    }  # fmt: skip


def single(model: NTED, parser: nn.Module, way: str, repeats: int = 3) -> float:
    """Processor time of one swap on its own, in seconds: the median over some people."""
    taken = []
    for number in range(repeats):
        test = held_out(torch.tensor([number]), model.config, "validation")
        photos: tuple[Tensor, ...] = (test.reference, test.donor, test.pose)
        start = time.process_time()
        wear(model, parser, *photos, "top", *WAYS[way])
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def main() -> None:
    from step import processor  # beside this file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=256, help="number of swaps")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--batch", type=int, default=16, help="swaps that descend together")
    parser.add_argument("--checkpoint", default=shipped("people-64"), help="folder of the model")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, finder = load_model(args.checkpoint), people_parser()
    model, finder = (network.to(memory_format=torch.channels_last) for network in (model, finder))  # faster
    result = measure(model, finder, args.people, args.split, args.batch)
    for way, seconds in result["seconds"].items():
        seconds["single"] = single(model, finder, way)
        result["seconds"][way] = {name: round(value, 3) for name, value in seconds.items()}
    machine = {"processor": processor(), "system": platform.system(), "threads": 1, "torch": torch.__version__}
    how = vars(Refinement())
    result = {"model": Path(args.checkpoint).name, "machine": machine, "refinement": how, **result}
    write_file(args.out, (json.dumps(result, indent=1) + "\n").encode())
    print("\n".join(table("swap", result["swap"])))
    print(json.dumps({name: result[name] for name in ("refined / selected", "selected / pure", "seconds")}, indent=1))


if __name__ == "__main__":
    main()
