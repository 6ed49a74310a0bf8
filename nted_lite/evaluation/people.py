"""The protocol on synthetic people: which are drawn, every measure of them, and the tables beside the baselines."""


from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, reduce
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.config import ModelConfig
from nted_lite.control import confusion, wear
from nted_lite.evaluation import measures
from nted_lite.evaluation.measures import known, l1, parser_distance, psnr, ssim
from nted_lite.features import PeopleParser
from nted_lite.model import NTED
from nted_lite.people import PARTS, SPLITS, View, pairs, render, sample_people, sample_poses, swap
from nted_lite.people.body import FRAME
from nted_lite.people.shapes import PRIMITIVES
from nted_lite.pose import pose_map

BASELINES = ("copy", "mean image", "part colours")
MEAN_OF = 256  # training pictures in the mean image

Rows = dict[str, dict[str, list[Tensor]]]
"""Row of a table -> measure -> its values, b of each batch"""



def seen_surface(reference: View, target: View) -> Tensor:
    """Which pixels of the target show a point of the body that the reference shows too. -> b h w bool

    Surfaces are cut into patches a pixel wide (at zoom 1). A patch is seen if the reference has a pixel on it or on one
    of the eight around it, of the same primitive. The background is never seen.
    """
    size, row = FRAME / target.parts.shape[-2], 2**13  # metres; more patches than any primitive has in a row

    def patches(view: View) -> tuple[Tensor, Tensor]:
        """Where the person is, and a number for the patch at each of these pixels."""
        person = view.primitive >= 0
        u, v = rearrange((view.surface / size).round().long() + row // 2, "b uv h w -> uv b h w")[:, person]
        return person, ((person.nonzero()[:, 0] * len(PRIMITIVES) + view.primitive[person]) * row + u) * row + v

    (_, known), (person, wanted) = patches(reference), patches(target)
    around = [wanted + du * row + dv for du in (-1, 0, 1) for dv in (-1, 0, 1)]
    seen = torch.zeros_like(person)
    seen[person] = torch.isin(torch.stack(around), known.unique()).any(0)
    return seen


@dataclass(frozen=True)
class Test:
    """Some held-out people: two views, a donor's top, and the truth about wearing it."""

    reference: Tensor
    pose: Tensor
    target: Tensor
    reference_parts: Tensor
    target_parts: Tensor
    donor: Tensor
    """b 3 h w: another person, whose top is taken"""
    swapped: Tensor
    """b 3 h w: the true picture of the target pose in the donor's top"""
    garment: Tensor
    """b h w bool: where either top is, before or after the swap"""
    seen: Tensor
    """b h w bool: where the target shows a surface that the reference shows too"""


def held_out(index: Tensor, model: ModelConfig) -> Test:
    """The test people of these numbers, as a model reads them; the donor of person i is person i + 1 of the split."""
    height = model.height
    seed = SPLITS["test"]
    pair = pairs(seed, index, height)
    donors = sample_people(seed, index + 1)
    donor = render(donors, sample_poses(seed, index + 1, 0), height)
    swapped = render(swap(pair.people, donors, "top"), sample_poses(seed, index, 1), height)
    top = PARTS.index("top")
    target = pair.target
    pose = pose_map(target.keypoints, target.visible, height, fine=model.fine_pose)
    garment = (swapped.parts == top) | (target.parts == top)
    return Test(
        pair.reference.image, pose, target.image, pair.reference.parts, target.parts, donor.image, swapped.image,
        garment, seen_surface(pair.reference, target),
    )  # fmt: skip


def similarity(made: Tensor, test: Test, parser: PeopleParser) -> dict[str, Tensor]:
    """Every measure of a picture against the true target; -> b each"""
    person = test.target_parts != PARTS.index("background")
    return {
        "psnr": psnr(made, test.target),
        "ssim": ssim(made, test.target),
        "person_psnr": psnr(made, test.target, person),
        "person_l1": l1(made, test.target, person),
        "parser_distance": parser_distance(made, test.target, parser),
    }


def swap_error(made: Tensor, test: Test) -> dict[str, Tensor]:
    """L1 to the true picture in the other top, inside the garment and outside it; -> b each"""
    return {"inside": l1(made, test.swapped, test.garment), "outside": l1(made, test.swapped, ~test.garment)}


def seen_error(made: Tensor, test: Test) -> dict[str, Tensor]:
    """L1 on the person, where the reference shows the surface, and where it does not; -> b each, NaN if nowhere"""
    masks = {"seen": test.seen, "unseen": (test.target_parts != PARTS.index("background")) & ~test.seen}
    return {name: known(l1(made, test.target, mask), mask) for name, mask in masks.items()}


@torch.no_grad()
def evaluate_people(model: NTED, parser: PeopleParser, people: int = 1024, batch: int = 64) -> dict:
    """Every measure of a model on held-out synthetic people, beside the baselines. -> a dictionary, as metrics.json

    Raises ValueError for fewer than 2 people.
    """
    if people < 2:
        raise ValueError(f"people is {people}: intervals and Frechet distances need 2 or more")
    height = model.config.height
    training = _training_pictures(height, max(MEAN_OF, people), batch)
    mean_image = training[:MEAN_OF].mean(0, keepdim=True)
    tables: dict[str, Rows] = {name: {} for name in ("similarity", "seen", "swap", "transport", "features")}
    counts: list[Tensor] = []
    for index in tqdm(torch.arange(people).split(batch), desc="evaluating", mininterval=5):
        test = held_out(index, model.config)
        made = model(test.reference, test.pose)
        pictures = {
            "model": made.image, "copy": test.reference, "mean image": mean_image.expand_as(test.target),
            "part colours": part_colours(test),
        }  # fmt: skip
        for name, picture in pictures.items():
            append(tables["similarity"], name, similarity(picture, test, parser))
            append(tables["seen"], name, seen_error(picture, test))
            append(tables["features"], name, {"pooled": measures.pooled_features(picture, parser)})
        worn, _ = wear(model, parser, test.reference, test.donor, test.pose)
        append(tables["swap"], "no swap", swap_error(made.image, test))
        append(tables["swap"], "swap", swap_error(worn.image, test))
        append(tables["swap"], "drawn in it", swap_error(_drawn_in_it(model, index, test), test))
        for number, maps in enumerate(zip(made.extraction, made.distribution, strict=True)):
            append(tables["transport"], f"operation {number}", _transport(*maps, test))
        found = [confusion(d, test.target_parts) for d in made.distribution]
        counts = [a + b for a, b in zip(counts, found, strict=True)] if counts else found
    features = tables.pop("features")
    measured = {name: intervals(rows) for name, rows in tables.items()}
    swapped, kept = (measured["swap"][row] for row in ("swap", "no swap"))
    return {
        "people": people, "split": "test", "seed": SPLITS["test"], "size": [height, model.config.width], **measured,
        "swap_ratio": {side: swapped[side]["mean"] / kept[side]["mean"] for side in ("inside", "outside")},
        "entities": [measures.entity_agreement(c) for c in counts],
        "fd_people": _fd_people(features, training, parser, batch),
    }  # fmt: skip


def _training_pictures(height: int, people: int, batch: int) -> Tensor:
    seed = SPLITS["train"]
    index = torch.arange(people).split(batch)
    return torch.cat([render(sample_people(seed, i), sample_poses(seed, i, 0), height).image for i in index])


def _drawn_in_it(model: NTED, index: Tensor, test: Test) -> Tensor:
    """The model's picture when the reference itself already wears the other top: the best a swap can hope for."""
    seed, height = SPLITS["test"], model.config.height
    dressed = swap(sample_people(seed, index), sample_people(seed, index + 1), "top")
    return model(render(dressed, sample_poses(seed, index, 0), height).image, test.pose).image


def _transport(extraction: Tensor, distribution: Tensor, test: Test) -> dict[str, Tensor]:
    """Transport accuracy of the surface seen in both pictures, and what a flat extraction would reach. -> b each"""
    flat = torch.full_like(extraction, 1 / extraction[0, 0].numel())
    return {
        name: measures.transport_accuracy(maps, distribution, test.reference_parts, test.target_parts, test.seen)
        for name, maps in (("accuracy", extraction), ("by chance", flat))
    }


def _fd_people(features: Rows, training: Tensor, parser: PeopleParser, batch: int) -> dict:
    """Frechet distances to the training pictures, of each row."""
    true = torch.cat([measures.pooled_features(pictures, parser) for pictures in training.split(batch)])
    return {
        "features": f"people parser, {true.shape[1]} channels of its three scales, each averaged over the picture",
        "reference": f"{len(true)} pictures of the training split",
        "rows": {row: measures.frechet(torch.cat(values["pooled"]), true) for row, values in features.items()},
    }


def part_colours(test: Test) -> Tensor:
    """A baseline that knows the target's true parts: each is filled with the reference's mean colour of it. b 3 h w"""
    rest = reduce(test.reference, "b c h w -> b c 1 1", "mean")
    painted = torch.zeros_like(test.target)
    for part in range(len(PARTS)):
        here, there = (rearrange(p == part, "b h w -> b 1 h w") for p in (test.reference_parts, test.target_parts))
        area = reduce(here.float(), "b 1 h w -> b 1 1 1", "sum")
        colour = reduce(test.reference * here, "b c h w -> b c 1 1", "sum") / area.clamp_min(1)
        painted += there * torch.where(area > 0, colour, rest)
    return painted


# --------------------------------------------------------------------------------------------------------------- tables


def interval(values: Tensor, draws: int = 1000) -> dict[str, float]:
    """Mean and its 95 % bootstrap interval; a NaN says that a picture had nothing to measure, and is left out."""
    values = values[~values.isnan()].double().cpu().numpy()
    if not len(values):
        return dict.fromkeys(("mean", "low", "high"), float("nan"))
    means = values[np.random.default_rng(0).integers(len(values), size=(draws, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": values.mean().item(), "low": low.item(), "high": high.item()}


def append(rows: Rows, row: str, values: dict[str, Tensor]) -> None:
    """Add a batch of values to a row of a table."""
    for name, value in values.items():
        rows.setdefault(row, {}).setdefault(name, []).append(value)


def intervals(rows: Rows) -> dict[str, dict[str, dict[str, float]]]:
    """Mean and interval of every cell."""
    return {row: {name: interval(torch.cat(v)) for name, v in columns.items()} for row, columns in rows.items()}


def report(measured: dict) -> str:
    """The tables of `evaluate_people`, as text."""
    size = "x".join(map(str, measured["size"]))
    lines = [f"{measured['people']} held-out pairs at {size}; mean ± half of the 95 % bootstrap interval"]
    for title in ("similarity", "seen", "swap"):
        lines += table(title, measured[title])
    ratio = measured["swap_ratio"]
    lines += [f"{'swap / no swap':16}" + "".join(f"{ratio[side]:>17.3f}" for side in ("inside", "outside"))]
    lines += table("transport", measured["transport"])
    distance = measured["fd_people"]
    lines += ["", f"FD-people, to {distance['reference']}, in features of the {distance['features']}"]
    lines += [f"{row:16}{value:>17.3f}" for row, value in distance["rows"].items()] + [""]
    for number, found in enumerate(measured["entities"]):
        lines.append(f"operation {number}: mean IoU with the true parts {found['matched']:.2f} one to one, "
                     f"{found['grouped']:.2f} grouped; tells {found['information']:.2f} of "
                     f"{found['part_information']:.2f} bits about the part")  # fmt: skip
    return "\n".join(lines)


def table(title: str, rows: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Lines of text: a title and the measures, then a line a row."""
    names = list(next(iter(rows.values())))
    lines = ["", f"{title:16}" + "".join(f"{name:>17}" for name in names)]
    return lines + [f"{row:16}" + "".join(f"{_cell(v[name]):>17}" for name in names) for row, v in rows.items()]


def _cell(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} ± {(value['high'] - value['low']) / 2:.3f}"
