"""How good a model is: on any pictures, and on synthetic people, who know the truth about themselves."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from tqdm.auto import tqdm

from nted_lite.control import wear
from nted_lite.features import PeopleParser
from nted_lite.model import NTED
from nted_lite.people import PARTS, SPLITS, pairs, render, sample_people, sample_poses, swap
from nted_lite.pose import pose_map

BASELINES = ("copy", "mean image", "part colours")


def psnr(made: Tensor, true: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of each picture, in decibels.

    made, true  b 3 h w in -1..1
    mask        b h w, the pixels that count (all, if None)
    returns     b
    """
    error = ((made.clamp(-1, 1) - true) / 2).square()
    return -10 * _mean(error, mask).clamp_min(1e-10).log10()


def l1(made: Tensor, true: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of each picture, in the units of -1..1. Arguments as `psnr`."""
    return _mean((made.clamp(-1, 1) - true).abs(), mask)


def _mean(error: Tensor, mask: Tensor | None) -> Tensor:
    error = reduce(error, "b c h w -> b h w", "mean")
    if mask is None:
        return reduce(error, "b h w -> b", "mean")
    return reduce(error * mask, "b h w -> b", "sum") / reduce(mask.float(), "b h w -> b", "sum").clamp_min(1)


def ssim(made: Tensor, true: Tensor) -> Tensor:
    """Structural similarity of each picture (11 x 11 Gaussian window, sigma 1.5). b 3 h w in -1..1 -> b"""
    made, true = ((picture.clamp(-1, 1) + 1) / 2 for picture in (made, true))  # it compares means, so black must be 0
    return structural_similarity_index_measure(made, true, data_range=1.0, reduction="none")


def parser_distance(made: Tensor, true: Tensor, parser: PeopleParser) -> Tensor:
    """L1 between the people parser's features, mean over its scales: what LPIPS is on photographs. -> b"""
    both = zip(parser(made.clamp(-1, 1)), parser(true), strict=True)
    return torch.stack([reduce((a - b).abs(), "b c h w -> b", "mean") for a, b in both]).mean(0)


def confusion(distribution: Tensor, parts: Tensor) -> Tensor:
    """How many pixels of each part each texture rules.

    distribution  b k h w; a pixel belongs to the texture with the largest share
    parts         b H W true labels, resized (nearest) to the map
    returns       k p     counts over the whole batch
    """
    k = distribution.shape[1]
    small = F.interpolate(parts[:, None].float(), size=distribution.shape[-2:], mode="nearest")[:, 0].long()
    code = distribution.argmax(1) * len(PARTS) + small
    return rearrange(torch.bincount(code.flatten(), minlength=k * len(PARTS)), "(k p) -> k p", p=len(PARTS))


def entity_agreement(counts: Tensor) -> dict[str, float]:
    """Do textures find the parts of a body by themselves?

    counts   k p, see `confusion`
    returns  mean IoU over parts after the best one-to-one assignment of textures to parts ("matched"), the same when
             every texture joins the part that it covers most ("grouped"), and of each part when grouped
    """
    overlap = counts.double()
    union = overlap.sum(1, keepdim=True) + overlap.sum(0, keepdim=True) - overlap
    iou = (overlap / union.clamp_min(1)).numpy()
    rows, columns = linear_sum_assignment(iou, maximize=True)
    grouped = torch.zeros(len(PARTS), len(PARTS), dtype=torch.double).index_add_(0, overlap.argmax(1), overlap)
    union = grouped.sum(1) + grouped.sum(0) - grouped.diagonal()
    each = grouped.diagonal() / union.clamp_min(1)
    parts = {f"grouped_{part}": value for part, value in zip(PARTS, each.tolist(), strict=True)}
    return {"matched": iou[rows, columns].sum() / len(PARTS), "grouped": each.mean().item(), **parts}


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


def held_out(index: Tensor, height: int = 64) -> Test:
    """The test people of these numbers; the donor of person i is person i + 1 of the same split."""
    seed = SPLITS["test"]
    pair = pairs(seed, index, height)
    donors = sample_people(seed, index + 1)
    donor = render(donors, sample_poses(seed, index + 1, 0), height)
    swapped = render(swap(pair.people, donors, "top"), sample_poses(seed, index, 1), height)
    top = PARTS.index("top")
    target = pair.target
    return Test(
        pair.reference.image, pose_map(target.keypoints, target.visible, height), target.image, pair.reference.parts,
        target.parts, donor.image, swapped.image, (swapped.parts == top) | (target.parts == top),
    )  # fmt: skip


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


def interval(values: Tensor, draws: int = 1000) -> dict[str, float]:
    """Mean and its 95 % bootstrap interval."""
    values = values.double().numpy()
    means = values[np.random.default_rng(0).integers(len(values), size=(draws, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": values.mean().item(), "low": low.item(), "high": high.item()}


@torch.no_grad()
def evaluate_people(model: NTED, parser: PeopleParser, people: int = 1024, batch: int = 64) -> dict:
    """Every measure of a model on held-out synthetic people, beside the baselines. -> a dictionary, as metrics.json"""
    height = model.config.height
    numbers = torch.arange(people)
    mean_image = _mean_image(height)
    rows: dict[str, dict[str, list[Tensor]]] = {}
    counts: list[Tensor] = []
    for index in tqdm(numbers.split(batch), desc="evaluating", mininterval=5):
        test = held_out(index, height)
        made = model(test.reference, test.pose)
        pictures = {
            "model": made.image, "copy": test.reference, "mean image": mean_image.expand_as(test.target),
            "part colours": part_colours(test),
        }  # fmt: skip
        for name, picture in pictures.items():
            _append(rows, name, similarity(picture, test, parser))
        worn, _ = wear(model, parser, test.reference, test.donor, test.pose)
        _append(rows, "no swap", swap_error(made.image, test))
        _append(rows, "swap", swap_error(worn.image, test))
        _append(rows, "drawn in it", swap_error(_drawn_in_it(model, index, test), test))
        found = [confusion(d, test.target_parts) for d in made.distribution]
        counts = [a + b for a, b in zip(counts, found, strict=True)] if counts else found
    measured = {
        row: {name: interval(torch.cat(values)) for name, values in columns.items()} for row, columns in rows.items()
    }
    ratio = {side: measured["swap"][side]["mean"] / measured["no swap"][side]["mean"] for side in ("inside", "outside")}
    return {
        "people": people, "split": "test", "seed": SPLITS["test"], "size": [height, model.config.width],
        "similarity": {row: measured[row] for row in ("model", *BASELINES)},
        "swap": {row: measured[row] for row in ("no swap", "swap", "drawn in it")}, "swap_ratio": ratio,
        "entities": [entity_agreement(c) for c in counts],
    }  # fmt: skip


def _mean_image(height: int, people: int = 256) -> Tensor:
    index = torch.arange(people)
    seed = SPLITS["train"]
    return render(sample_people(seed, index), sample_poses(seed, index, 0), height).image.mean(0, keepdim=True)


def _drawn_in_it(model: NTED, index: Tensor, test: Test) -> Tensor:
    """The model's picture when the reference itself already wears the other top: the best a swap can hope for."""
    seed, height = SPLITS["test"], model.config.height
    dressed = swap(sample_people(seed, index), sample_people(seed, index + 1), "top")
    return model(render(dressed, sample_poses(seed, index, 0), height).image, test.pose).image


def _append(rows: dict, row: str, values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        rows.setdefault(row, {}).setdefault(name, []).append(value)


def report(measured: dict) -> str:
    """The tables of `evaluate_people`, as text."""
    size = "x".join(map(str, measured["size"]))
    lines = [f"{measured['people']} held-out pairs at {size}; mean ± half of the 95 % bootstrap interval"]
    for kind in ("similarity", "swap"):
        rows = measured[kind]
        names = list(next(iter(rows.values())))
        lines += ["", f"{kind:16}" + "".join(f"{name:>17}" for name in names)]
        for row, values in rows.items():
            lines.append(f"{row:16}" + "".join(f"{_cell(values[name]):>17}" for name in names))
    ratio = measured["swap_ratio"]
    lines += [f"{'swap / no swap':16}" + "".join(f"{ratio[side]:>17.3f}" for side in ("inside", "outside")), ""]
    for number, found in enumerate(measured["entities"]):
        lines.append(f"operation {number}: mean IoU with the true parts {found['matched']:.2f} one to one, "
                     f"{found['grouped']:.2f} grouped")  # fmt: skip
    return "\n".join(lines)


def _cell(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} ± {(value['high'] - value['low']) / 2:.3f}"
