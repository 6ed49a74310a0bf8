"""Is the larger model better than enlarged pictures of the smaller one? Both are measured at the larger size.

    python benchmarks/sizes.py [--people 256] [--split test] [--out benchmarks/sizes.json]

The smaller model's pictures are enlarged by bicubic interpolation. Measures, with 95 % bootstrap intervals over people,
are those of `nted-lite evaluate`; `large / enlarged` compares the two person by person. The Frechet distance is to the
ground truth of the same people, in the features of the people parser. "swap, stricter" asks more of a texture before it
is exchanged (`STRICTER`): less of the garment follows, and less changes elsewhere.
"""

import argparse
import json
from collections import defaultdict
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from nted_lite.checkpoint import load_model
from nted_lite.control import exchange, select_pure
from nted_lite.evaluation.held_out import held_out
from nted_lite.evaluation.measures import feature_distance, frechet, pooled
from nted_lite.evaluation.people import pattern_match, similarity, swap_error
from nted_lite.evaluation.tables import Rows, append, intervals, ratios, table
from nted_lite.features import people_parser
from nted_lite.images import write_file
from nted_lite.model import NTED
from nted_lite.weights.hub import shipped

LARGE, SMALL = "large", "enlarged"
STRICTER = 0.6  # the purity that `select_pure` asks for there; its own is 0.5


@torch.no_grad()
def measure(large: NTED, small: NTED, parser: nn.Module, people: int, split: str, batch: int = 32) -> dict:
    """The content of the JSON file, except for the names of the models."""
    tables: dict[str, Rows] = defaultdict(dict)
    size = large.config.height, large.config.width
    for index in tqdm(torch.arange(people).split(batch), desc="people", mininterval=5):
        test = held_out(index, large.config, split)
        truth = parser(test.target)
        for row, model in ((LARGE, large), (SMALL, small)):
            own = held_out(index, model.config, split)
            textures = [model.extract(image) for image in (own.reference, own.donor)]
            renderings = [model.render(own.pose, each) for each in textures]
            made = _enlarge(renderings[0].image, size)
            features = parser(made.clamp(-1, 1))
            distance = {"parser_distance": feature_distance(features, truth)}
            append(tables["similarity"], row, similarity(made, test) | distance)
            append(tables["patterns"], row, pattern_match(made, test))
            for title, choose in (("swap", None), ("swap, stricter", partial(select_pure, purity=STRICTER))):
                worn, _ = exchange(model, parser, textures, renderings, own.pose, choose=choose)
                append(tables[title], row, swap_error(_enlarge(worn.image, size), test))
            append(tables["features"], row, {"pooled": pooled(features)})
        append(tables["features"], "truth", {"pooled": pooled(truth)})
    seen = {row: torch.cat(values["pooled"]) for row, values in tables.pop("features").items()}
    return {
        "people": people, "split": split, "size": list(size),
        **{name: intervals(rows) for name, rows in tables.items()},
        f"{LARGE} / {SMALL}": {title: ratios(rows, LARGE, SMALL) for title, rows in tables.items()},
        "frechet": {row: frechet(seen[row], seen["truth"]) for row in (LARGE, SMALL)},
    }  # fmt: skip


def _enlarge(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """b 3 h w -> b 3 H W; a picture that has that size already stays as it is."""
    return image if image.shape[2:] == size else F.interpolate(image, size, mode="bicubic", align_corners=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=256)
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--large", default=shipped("people-128"), help="folder of the larger model")
    parser.add_argument("--small", default=shipped("people-64"), help="folder of the smaller model")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    models = load_model(args.large), load_model(args.small)
    result = measure(*models, people_parser(), args.people, args.split)
    named = {"models": [Path(folder).name for folder in (args.large, args.small)]} | result
    write_file(args.out, (json.dumps(named, indent=1) + "\n").encode())
    for title in result[f"{LARGE} / {SMALL}"]:
        print("\n".join(table(title, result[title])))
    for title, rows in result[f"{LARGE} / {SMALL}"].items():
        print("\n".join(table(f"{LARGE} / {SMALL}", {title: rows})))
    print("\nFrechet distance", json.dumps(result["frechet"]))


if __name__ == "__main__":
    main()
