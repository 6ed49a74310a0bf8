"""The formulas of every measure: add a measure here. Test sets, protocols and tables are in `people` and `photos`."""

import importlib
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from nted_lite.control import shrink
from nted_lite.features import PeopleParser
from nted_lite.people import PARTS
from nted_lite.weights import hub

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
    taken = F.one_hot(shrink(reference_parts, extraction), len(PARTS)).to(extraction.dtype)
    taken = einsum(extraction, taken, "b k h w, b h w p -> b k p")
    wanted = F.one_hot(shrink(target_parts, distribution), len(PARTS)).to(extraction.dtype)
    right = einsum(distribution, taken, wanted, "b k h w, b k p, b h w p -> b h w")
    where = shrink(where, distribution)
    return known(_mean(right[:, None], where), where)


def known(values: Tensor, mask: Tensor) -> Tensor:
    """Means over a mask b h w -> the same, NaN where the mask is empty."""
    return torch.where(reduce(mask, "b h w -> b", "max") > 0, values, torch.nan)


