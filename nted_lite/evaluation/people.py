"""The protocol on synthetic people: all measures of a model, in tables with the baselines."""

from collections import defaultdict
from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.control import exchange
from nted_lite.entities import GROUPS, confusion, merge
from nted_lite.evaluation import measures
from nted_lite.evaluation.held_out import REGIONS, Test, held_out, part_colours
from nted_lite.evaluation.measures import feature_distance, l1, nan_where_empty, psnr, ssim
from nted_lite.evaluation.tables import Rows, append, interval, interval_of_sum, intervals, shares, table
from nted_lite.features import PeopleParser
from nted_lite.model import NTED, Rendering, Textures
from nted_lite.people import PARTS, SPLITS, render, sample_people, sample_poses

BASELINES = ("copy", "mean image", "part colours")
MEAN_OF = 256  # training pictures in the mean image
TITLES = {
    "similarity": "similarity", "seen": "L1 where", "patterns": "patterns", "error": "share of error", "swap": "swap",
    "transport": "transport",
}  # fmt: skip
"""The tables in metrics.json -> their titles in the report"""


def similarity(generated: Tensor, test: Test) -> dict[str, Tensor]:
    """Measures against the ground truth that need no network. -> b each"""
    person = test.target_parts != PARTS.index("background")
    return {
        "psnr": psnr(generated, test.target),
        "ssim": ssim(generated, test.target),
        "person_psnr": psnr(generated, test.target, person),
        "person_l1": l1(generated, test.target, person),
    }


def seen_error(generated: Tensor, test: Test) -> dict[str, Tensor]:
    """L1 on the person, where the reference shows the surface and where it does not. -> b each, NaN if nowhere"""
    masks = {"seen": test.seen, "unseen": (test.target_parts != PARTS.index("background")) & ~test.seen}
    return {name: nan_where_empty(l1(generated, test.target, mask), mask) for name, mask in masks.items()}


def pattern_match(generated: Tensor, test: Test) -> dict[str, Tensor]:
    """Pattern correlation of every garment in `Test.patterned`, one value each; the window is 5 pixels at 64 rows."""
    window, found = 2 * (generated.shape[2] // 32) + 1, {}
    for kind, masks in test.patterned.items():
        who, garment = masks.flatten(2).any(2).nonzero(as_tuple=True)
        found[kind] = measures.pattern_correlation(generated[who], test.target[who], masks[who, garment], window)
    return found


def region_error(generated: Tensor, test: Test) -> dict[str, Tensor]:
    """What each of REGIONS contributes to the mean squared error of a picture. -> b each"""
    return _named(measures.error_by_region(generated, test.target, test.regions, len(REGIONS)))


def region_area(test: Test) -> dict[str, Tensor]:
    """The fraction of pixels in each of REGIONS. -> b each"""
    return _named(reduce(F.one_hot(test.regions, len(REGIONS)).float(), "b h w n -> b n", "mean"))


def _named(values: Tensor) -> dict[str, Tensor]:
    return dict(zip(REGIONS, values.unbind(1), strict=True))


def swap_error(generated: Tensor, test: Test) -> dict[str, Tensor]:
    """L1 to the ground truth in the other top, inside the garment and outside it. -> b each"""
    masks = {"inside": test.garment, "outside": ~test.garment}
    return {name: l1(generated, test.swapped, mask) for name, mask in masks.items()}


def transport(extraction: Tensor, distribution: Tensor, test: Test) -> dict[str, Tensor]:
    """Transport accuracy on the surface seen in both pictures, and that of a flat extraction map. -> b each"""
    flat = torch.full_like(extraction, 1 / extraction[0, 0].numel())
    return {
        name: measures.transport_accuracy(maps, distribution, test.reference_parts, test.target_parts, test.seen)
        for name, maps in (("accuracy", extraction), ("by chance", flat))
    }


# ------------------------------------------------------------------------------------------------------------- protocol


@torch.inference_mode()
def evaluate_people(
    model: NTED, parser: PeopleParser, people: int = 1024, split: str = "test", batch: int = 32
) -> dict:
    """All measures of a model on held-out synthetic people, next to the baselines.

    people   how many: numbers 0, 1, 2 ... of the split
    split    "test", or "validation", the one for making choices
    batch    people at a time, which affects only the speed
    returns  the content of metrics.json

    Raises ValueError for fewer than 2 people, and for a model that draws values that are not finite.
    """
    if people < 2:
        raise ValueError(f"people is {people}: intervals and Frechet distances need 2 or more")
    device = next(model.parameters()).device
    model, parser = (network.to(device, memory_format=torch.channels_last) for network in (model, parser))  # faster
    training, mean_image = _training_set(parser, model.config.height, max(MEAN_OF, people), device)
    tables: dict[str, Rows] = defaultdict(dict)
    counts: list[list[Tensor]] = []
    for index in tqdm(torch.arange(people, device=device).split(batch), desc="evaluating", mininterval=5):
        test = held_out(index, model.config, split)
        textures, generated, worn, dressed = _generate(model, parser, test)
        if not all(drawn.image.isfinite().all() for drawn in (generated, worn, dressed)):  # a mean would leave them out
            raise ValueError(f"this model draws values that are not finite, at people {index[0]} to {index[-1]}")
        pictures = {
            "model": generated.image, "copy": test.reference, "mean image": mean_image.expand_as(test.target),
            "part colours": part_colours(test),
        }  # fmt: skip
        _compare(tables, pictures, test, parser)
        append(tables["error"], "the area", region_area(test))
        for name, rendering in (("no swap", generated), ("swap", worn), ("drawn in it", dressed)):
            append(tables["swap"], name, swap_error(rendering.image, test))
        for number, maps in enumerate(zip(textures.extraction, generated.distribution, strict=True)):
            append(tables["transport"], f"operation {number}", transport(*maps, test))
        counts.append([_each_confusion(d, test.target_parts) for d in generated.distribution])
    about = {"people": people, "split": split, "seed": SPLITS[split], "size": [model.config.height, model.config.width]}
    return about | _summary(tables, [torch.cat(batches) for batches in zip(*counts, strict=True)], training)


@lru_cache(maxsize=2)
def _training_set(
    parser: PeopleParser, height: int, people: int, device: torch.device, batch: int = 32
) -> tuple[Tensor, Tensor]:
    """Pooled features of training pictures, n d, and the mean of the first MEAN_OF pictures, 1 3 h w."""
    seed, features, total = SPLITS["train"], [], 0
    for index in torch.arange(people, device=device).split(batch):
        image = render(sample_people(seed, index), sample_poses(seed, index, 0), height).image
        features.append(measures.pooled(parser(image)))
        total = total + reduce(image[index < MEAN_OF], "b c h w -> c h w", "sum")
    return torch.cat(features), total[None] / MEAN_OF


def _generate(model: NTED, parser: PeopleParser, test: Test) -> tuple[Textures, Rendering, Rendering, Rendering]:
    """The reference's textures, and three pictures in the target pose.

    These show the reference person; the same person in the donor's top, by exchanging textures; and the same again,
    from a photo that already shows that top, which is the best that an exchange can hope for.
    """
    textures = [model.extract(image) for image in (test.reference, test.donor)]
    renderings = [model.render(test.pose, t) for t in textures]
    worn, _ = exchange(model, parser, textures, renderings, test.pose)
    return textures[0], renderings[0], worn, model.render(test.pose, model.extract(test.dressed))


def _compare(tables: dict[str, Rows], pictures: dict[str, Tensor], test: Test, parser: PeopleParser) -> None:
    """Add all measures of the pictures against the target to the tables, one row for each picture."""
    truth = parser(test.target)
    for row, picture in pictures.items():
        features = parser(picture.clamp(-1, 1))
        distance = {"parser_distance": feature_distance(features, truth)}
        append(tables["similarity"], row, similarity(picture, test) | distance)
        append(tables["seen"], row, seen_error(picture, test))
        append(tables["patterns"], row, pattern_match(picture, test))
        append(tables["error"], row, region_error(picture, test))
        append(tables["features"], row, {"pooled": measures.pooled(features)})


def _each_confusion(distribution: Tensor, parts: Tensor) -> Tensor:
    """`entities.confusion` of each person. b k h w, b H W -> b k p"""
    return torch.stack([confusion(*one) for one in zip(distribution.split(1), parts.split(1), strict=True)]).cpu()


def _agreement(counts: Tensor, names: tuple[str, ...]) -> dict:
    """Entity agreement over all people, b k p, and "interval", the bootstrap interval of its "grouped"."""
    def grouped(counts: Tensor) -> float:
        return measures.entity_agreement(counts, names)["grouped"]

    return measures.entity_agreement(counts.sum(0), names) | {"interval": interval_of_sum(grouped, counts)}


def _summary(tables: dict[str, Rows], counts: list[Tensor], training: Tensor) -> dict:
    """The content of metrics.json."""
    found = {name: (shares if name == "error" else intervals)(tables[name]) for name in TITLES}
    kept, swapped = found["swap"]["no swap"], found["swap"]["swap"]
    worn, bound = ({side: torch.cat(v) for side, v in tables["swap"][row].items()} for row in ("swap", "drawn in it"))
    n, d = training.shape
    distances = {
        row: measures.frechet(torch.cat(values["pooled"]), training) for row, values in tables["features"].items()
    }
    return found | {
        "swap_ratio": {side: swapped[side]["mean"] / kept[side]["mean"] for side in kept},
        "swap_of_bound": {side: interval(worn[side], of=bound[side]) for side in worn},
        "entities": [_agreement(c, PARTS) for c in counts],
        "groups": [_agreement(merge(c), tuple(GROUPS)) for c in counts],
        "fd_people": {
            "features": f"people parser, {d} channels of its three scales, each averaged over the picture",
            "dimensions": d,
            "reference": f"{n} pictures of the training split",
            "rows": distances,
        },
    }


def report(measured: dict) -> str:
    """The tables of `evaluate_people`, as text."""
    size, split = "x".join(map(str, measured["size"])), measured["split"]
    lines = [f"{measured['people']} pairs of the {split} split at {size}; mean ± half of the 95 % bootstrap interval"]
    for name, title in TITLES.items():
        lines += table(title, measured[name]) if measured[name] else []  # empty for a variant without maps
        if name == "swap":
            ratio = measured["swap_ratio"]
            lines += [f"{'swap / no swap':16}" + "".join(f"{ratio[side]:>17.3f}" for side in ("inside", "outside"))]
    distance = measured["fd_people"]
    lines += ["", f"FD-people, to {distance['reference']}, in features of the {distance['features']}"]
    lines += [f"{row:16}{value:>17.3f}" for row, value in distance["rows"].items()]
    if measured["people"] < distance["dimensions"]:
        lines += [f"warning: {measured['people']} pictures are too few for a Frechet distance in so many dimensions"]
    return "\n".join([*lines, *_entities(measured)])


def _entities(measured: dict) -> list[str]:
    """How well each operation's entities agree with the eight parts and six groups: mean IoU, and bits of information.
    """
    titles = ("8, one to one", "8, grouped", "6, one to one", "6, grouped", "bits known")
    lines = ["", f"{'entities':16}" + "".join(f"{title:>17}" for title in titles)]
    for number, (parts, groups) in enumerate(zip(measured["entities"], measured["groups"], strict=True)):
        values = [f"{found[name]:>17.3f}" for found in (parts, groups) for name in ("matched", "grouped")]
        known = f"{parts['information']:.2f} of {parts['part_information']:.2f}"
        lines.append(f"{f'operation {number}':16}" + "".join(values) + f"{known:>17}")
    return lines if measured["entities"] else []
