"""How good a model is: measures of any pictures, and of synthetic people, who know the truth about themselves.

The test sets and the tables that are made with these measures are in `evaluation`.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from nted_lite import hub
from nted_lite.features import PeopleParser
from nted_lite.people import PARTS, SPLITS, View, pairs, render, sample_people, sample_poses, swap
from nted_lite.people.body import FRAME
from nted_lite.people.shapes import PRIMITIVES
from nted_lite.pose import pose_map

BACKBONES = {
    "LPIPS": ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"),
    "FID": (
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d",
    ),
}
"""Weights of the two networks that compare photographs, and how their sha256 begins"""


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


def pooled_features(image: Tensor, parser: PeopleParser) -> Tensor:
    """The people parser's features, each averaged over the picture, of all scales. b 3 h w in -1..1 -> b n"""
    return torch.cat([reduce(f, "b c h w -> b c", "mean") for f in parser(image.clamp(-1, 1))], dim=1)


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two sets of features, each taken for a Gaussian: 0 if means and covariances are equal.

    a, b     n d and m d, one row a picture; n and m at least 2 (ValueError otherwise)
    returns  |mean_a - mean_b|^2 + tr(A + B - 2 sqrt(A B)) with the covariances A and B

    If A = X^T X and B = Y^T Y, then tr sqrt(A B) is the sum of the singular values of X Y^T: no root of a matrix, which
    would be complex for sets smaller than d. The R of a QR decomposition serves as X.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a Frechet distance needs 2 pictures or more on either side, not {len(a)} and {len(b)}")
    means = [x.double().mean(0) for x in (a, b)]
    x, y = (
        torch.linalg.qr((x.double() - mean) / (len(x) - 1) ** 0.5, mode="r").R
        for x, mean in zip((a, b), means, strict=True)
    )
    shared = torch.linalg.svdvals(x @ y.T).sum()
    return ((means[0] - means[1]).square().sum() + x.square().sum() + y.square().sum() - 2 * shared).item()


def backbone(measure: str) -> Path:
    """The weights that "LPIPS" or "FID" needs, in torch hub's cache; downloaded if they are not there.

    Raises ValueError, in one line, if the extra `eval` is not installed, or the file is damaged or cannot be had.
    """
    for library in ("torchvision", "torch_fidelity"):
        try:
            importlib.import_module(library)
        except (ImportError, RuntimeError) as error:  # RuntimeError: a build for another torch
            raise ValueError(f'{measure}: {library}: {error}; pip install "nted-lite[eval]"') from error
    return hub.weights(*BACKBONES[measure])


def lpips_network() -> nn.Module:
    """LPIPS on AlexNet (1801.03924), through torchmetrics. Raises ValueError as `backbone`."""
    backbone("LPIPS")
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity("alex").net


def lpips(made: Tensor, true: Tensor, network: nn.Module) -> Tensor:
    """Learned perceptual distance of each picture; network is an `lpips_network`. b 3 h w in -1..1 -> b"""
    return rearrange(network(made.clamp(-1, 1), true), "b 1 1 1 -> b")


def inception_distance() -> nn.Module:
    """FID (1706.08500) through torchmetrics: `update(pictures, real=...)`, then `compute()`.

    Its pictures are b 3 h w *uint8*: from floats it would truncate where a picture file rounds. Raises ValueError as
    `backbone`.
    """
    backbone("FID")
    from torchmetrics.image.fid import FrechetInceptionDistance

    return FrechetInceptionDistance(feature=2048, antialias=True)


def confusion(distribution: Tensor, parts: Tensor) -> Tensor:
    """How many pixels of each part each texture rules.

    distribution  b k h w; a pixel belongs to the texture with the largest share
    parts         b H W true labels, resized (nearest) to the map
    returns       k p     counts over the whole batch
    """
    k = distribution.shape[1]
    code = distribution.argmax(1) * len(PARTS) + _shrink(parts, distribution)
    return rearrange(torch.bincount(code.flatten(), minlength=k * len(PARTS)), "(k p) -> k p", p=len(PARTS))


def _shrink(labels: Tensor, maps: Tensor) -> Tensor:
    """Labels b H W at the size of maps b k h w (nearest)."""
    return F.interpolate(labels[:, None].float(), size=maps.shape[-2:], mode="nearest")[:, 0].long()


def entity_agreement(counts: Tensor) -> dict[str, float]:
    """Do textures find the parts of a body by themselves?

    counts   k p, see `confusion`
    returns  mean IoU over parts after the best one-to-one assignment of textures to parts ("matched"), the same when
             every texture joins the part that it covers most ("grouped"), and of each part when grouped;
             "information": how many bits the ruling texture of a pixel tells about its part, of "part_information" bits
             that there are to know
    """
    overlap = counts.double()
    union = overlap.sum(1, keepdim=True) + overlap.sum(0, keepdim=True) - overlap
    iou = (overlap / union.clamp_min(1)).numpy()
    rows, columns = linear_sum_assignment(iou, maximize=True)
    grouped = torch.zeros(len(PARTS), len(PARTS), dtype=torch.double).index_add_(0, overlap.argmax(1), overlap)
    union = grouped.sum(1) + grouped.sum(0) - grouped.diagonal()
    each = grouped.diagonal() / union.clamp_min(1)
    parts = {f"grouped_{part}": value for part, value in zip(PARTS, each.tolist(), strict=True)}
    information = {"information": _bits(overlap), "part_information": _bits(overlap.sum(0).diag())}
    return {"matched": iou[rows, columns].sum() / len(PARTS), "grouped": each.mean().item(), **parts, **information}


def _bits(counts: Tensor) -> float:
    """Mutual information of the rows and the columns of a table of counts; of a diagonal one, its entropy."""
    joint = counts / counts.sum()
    alone = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return (joint * (joint / alone).log2()).nansum().item()


def transport_accuracy(
    extraction: Tensor, distribution: Tensor, reference_parts: Tensor, target_parts: Tensor, where: Tensor
) -> Tensor:
    """Does texture come from the right place? The share of what reaches a position that was taken from its own part.

    extraction       b k h w   sums to 1 over h w
    distribution     b k h w   sums to 1 over k
    reference_parts  b H W     true parts, resized (nearest) to the maps; so are the next two
    target_parts     b H W
    where            b H W     the target's positions that count
    returns          b         0..1, the mean over these positions; NaN where there are none

    From target position to reference position by way of every k, summed over the positions of a part: first the part
    that each texture was taken from, P(part | k), then a mixture of these by the distribution.
    """
    taken = F.one_hot(_shrink(reference_parts, extraction), len(PARTS)).to(extraction.dtype)
    taken = einsum(extraction, taken, "b k h w, b h w p -> b k p")
    wanted = F.one_hot(_shrink(target_parts, distribution), len(PARTS)).to(extraction.dtype)
    right = einsum(distribution, taken, wanted, "b k h w, b k p, b h w p -> b h w")
    where = _shrink(where, distribution)
    return _known(_mean(right[:, None], where), where)


def _known(values: Tensor, mask: Tensor) -> Tensor:
    """Means over a mask b h w -> the same, NaN where the mask is empty."""
    return torch.where(reduce(mask, "b h w -> b", "max") > 0, values, torch.nan)


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
        seen_surface(pair.reference, target),
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
    return {name: _known(l1(made, test.target, mask), mask) for name, mask in masks.items()}
