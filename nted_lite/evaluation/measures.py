"""The formulas of every measure: tensors in, numbers out. Add a measure here.

What is measured, on which pictures and next to which baselines, is in `people` and `photos`; the networks whose
features are compared on photographs are in `backbones`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from nted_lite.entities import shrink
from nted_lite.people import PARTS

# ------------------------------------------------------------------------------------------------- pictures to pictures


def psnr(generated: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of each picture, in decibels.

    generated, truth  b 3 h w in -1..1
    mask              b h w, the pixels that count; None: all
    returns           b
    """
    error = ((generated.clamp(-1, 1) - truth) / 2).square()
    return -10 * _mean(error, mask).clamp_min(1e-10).log10()


def l1(generated: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of each picture, for values in -1..1. Arguments and result as in `psnr`."""
    return _mean((generated.clamp(-1, 1) - truth).abs(), mask)


def _mean(error: Tensor, mask: Tensor | None) -> Tensor:
    error = reduce(error, "b c h w -> b h w", "mean")
    if mask is None:
        return reduce(error, "b h w -> b", "mean")
    return reduce(error * mask, "b h w -> b", "sum") / reduce(mask.float(), "b h w -> b", "sum").clamp_min(1)


def nan_where_empty(values: Tensor, mask: Tensor) -> Tensor:
    """Replace the means, b, over masks, b h w, by NaN where the mask is empty. -> b"""
    return torch.where(reduce(mask, "b h w -> b", "max") > 0, values, torch.nan)


def ssim(generated: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each picture. Wang et al. (2004): 11 x 11 Gaussian window, sigma 1.5, borders mirrored.

    generated, truth  b 3 h w in -1..1, h and w above 5
    returns           b, mean over colours and all pixels, as in torchmetrics (scikit-image leaves out 5 pixels at each
                      side); 1 for equal pictures
    """
    a, b = ((picture.clamp(-1, 1) + 1) / 2 for picture in (generated, truth))  # SSIM compares means, so black must be 0
    rows, columns = (_bell(size, a) for size in a.shape[2:])

    def blur(x: Tensor) -> Tensor:
        return einsum(rows, x, columns, "h i, b c h w, w j -> b c i j")

    mean_a, mean_b, square_a, square_b, product = blur(torch.cat([a, b, a * a, b * b, a * b])).chunk(5)
    variance_a, variance_b = square_a - mean_a.square(), square_b - mean_b.square()
    brightness = (2 * mean_a * mean_b + 0.01**2) / (mean_a.square() + mean_b.square() + 0.01**2)
    structure = (2 * (product - mean_a * mean_b) + 0.03**2) / (variance_a + variance_b + 0.03**2)
    return reduce(brightness * structure, "b c h w -> b", "mean")


def _bell(size: int, like: Tensor) -> Tensor:
    """The Gaussian window of `ssim` as a matrix: entry i j is the weight of pixel i in the mean around pixel j.

    Two such matrices blur a picture along its rows and its columns, faster than convolutions of single channels do.
    """
    bell = torch.exp(-torch.arange(-5, 6, device=like.device, dtype=like.dtype).square() / (2 * 1.5**2))
    pixels = torch.eye(size, device=like.device, dtype=like.dtype)
    return F.pad(pixels[None], (5, 5), mode="reflect")[0].unfold(1, len(bell), 1) @ (bell / bell.sum())


def feature_distance(generated: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """L1 between a network's features, averaged over its scales: the counterpart of LPIPS for synthetic people.

    generated, truth  b c h w for each scale
    returns           b
    """
    return torch.stack([reduce((a - b).abs(), "b c h w -> b", "mean") for a, b in zip(generated, truth)]).mean(0)


def lpips(generated: Tensor, truth: Tensor, network: nn.Module) -> Tensor:
    """Learned perceptual distance of each picture; network is a `backbones.lpips`. b 3 h w in -1..1 -> b"""
    return rearrange(network(generated.clamp(-1, 1), truth), "b 1 1 1 -> b")


def high_pass(image: Tensor, mask: Tensor, window: int) -> Tensor:
    """A picture minus its local mean, inside a mask and independent of everything outside it.

    image    b c h w
    mask     b h w, bool
    window   side of the square over which the mean is taken, in pixels; odd
    returns  b c h w: the picture minus the mean of the window's pixels inside the mask; 0 outside the mask
    """
    mask = rearrange(mask.to(image.dtype), "b h w -> b 1 h w")
    count, total = (F.avg_pool2d(x, window, 1, window // 2) for x in (mask, image * mask))
    return (image - total / count.clamp_min(1e-6)) * mask


def pattern_correlation(generated: Tensor, truth: Tensor, garment: Tensor, window: int = 5) -> Tensor:
    """Is a garment's pattern in the right place? The correlation of two high-passed pictures inside the garment.

    generated, truth  b 3 h w in -1..1
    garment           b h w, bool
    window            see `high_pass`
    returns           b in -1..1: 1 for the same pattern at any contrast, 0 for a flat garment or a randomly shifted
                      pattern; NaN if there is no garment

    The local mean is taken inside the garment, so that its outline, which is not part of the pattern, does not count.
    """
    a, b = (high_pass(picture.clamp(-1, 1), garment, window) for picture in (generated, truth))
    shared, power_a, power_b = (reduce(x * y, "b c h w -> b", "sum") for x, y in ((a, b), (a, a), (b, b)))
    return nan_where_empty(shared / (power_a * power_b).sqrt().clamp_min(1e-9), garment)


def error_by_region(generated: Tensor, truth: Tensor, regions: Tensor, n: int) -> Tensor:
    """How much of each picture's mean squared error comes from each region.

    generated, truth  b 3 h w in -1..1
    regions           b h w int64, the region of each pixel, 0 .. n - 1
    returns           b n, for values in 0..1; the sum over n is the mean squared error that PSNR is computed from
    """
    error = reduce(((generated.clamp(-1, 1) - truth) / 2).square(), "b c h w -> b (h w)", "mean")
    sums = error.new_zeros(len(error), n).scatter_add_(1, rearrange(regions, "b h w -> b (h w)"), error)
    return sums / error.shape[1]


# --------------------------------------------------------------------------------------------------- sets of pictures


def pooled(features: Sequence[Tensor]) -> Tensor:
    """A network's features at all scales, each averaged over the picture: b c h w each -> b n"""
    return torch.cat([reduce(f, "b c h w -> b c", "mean") for f in features], dim=1)


def frechet(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two sets of features, each taken as Gaussian: 0 if means and covariances are equal.

    a, b     n d and m d, one row per picture; n and m at least 2 (ValueError otherwise)
    returns  |mean_a - mean_b|^2 + tr(A + B - 2 sqrt(A B)) with the covariances A and B

    If A = X^T X and B = Y^T Y, then tr sqrt(A B) is the sum of the singular values of X Y^T. This avoids the root of a
    matrix, which would be complex for sets smaller than d. The R of a QR decomposition serves as X.
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


# ------------------------------------------------------------------------------------------------------ maps and parts


def entity_agreement(counts: Tensor, names: Sequence[str] = PARTS) -> dict[str, float]:
    """Do textures discover the parts of the body by themselves?

    counts   k p, see `entities.confusion`; p are the parts, or groups of them, see `entities.merge`
    names    names of the p
    returns  "matched": mean IoU over parts after the best one-to-one assignment of textures to parts
             "grouped": mean IoU if every texture joins the part that it covers most; "grouped_NAME": that of one part
             "information": bits that the dominant texture of a pixel tells about its part, out of "part_information"
    """
    overlap, p = counts.double().cpu(), len(names)
    union = overlap.sum(1, keepdim=True) + overlap.sum(0, keepdim=True) - overlap
    iou = (overlap / union.clamp_min(1)).numpy()
    rows, columns = linear_sum_assignment(iou, maximize=True)
    grouped = torch.zeros(p, p, dtype=torch.double).index_add_(0, overlap.argmax(1), overlap)
    union = grouped.sum(1) + grouped.sum(0) - grouped.diagonal()
    each = grouped.diagonal() / union.clamp_min(1)
    parts = {f"grouped_{part}": value for part, value in zip(names, each.tolist(), strict=True)}
    information = {"information": _bits(overlap), "part_information": _bits(overlap.sum(0).diag())}
    return {"matched": iou[rows, columns].sum() / p, "grouped": each.mean().item(), **parts, **information}


def _bits(counts: Tensor) -> float:
    """Mutual information of the rows and columns of a table of counts, in bits; for a diagonal table, the entropy."""
    joint = counts / counts.sum()
    alone = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return (joint * (joint / alone).log2()).nansum().item()


def transport_accuracy(
    extraction: Tensor, distribution: Tensor, reference_parts: Tensor, target_parts: Tensor, where: Tensor
) -> Tensor:
    """Does texture come from the right place? How much of what reaches a position was taken from the same part.

    extraction       b k h w   sums to 1 over h w
    distribution     b k h w   sums to 1 over k
    reference_parts  b H W     ground-truth parts, resized (nearest) to the maps, like the next two
    target_parts     b H W
    where            b H W     the target's positions that count
    returns          b         0..1, the mean over these positions; NaN if there are none

    It sums over all paths from a target position through every k to the reference positions of a part: first the
    probability that a texture was taken from a part, P(part | k), then the mixture of these by the distribution.
    """
    taken = F.one_hot(shrink(reference_parts, extraction), len(PARTS)).to(extraction.dtype)
    taken = einsum(extraction, taken, "b k h w, b h w p -> b k p")
    wanted = F.one_hot(shrink(target_parts, distribution), len(PARTS)).to(extraction.dtype)
    right = einsum(distribution, taken, wanted, "b k h w, b k p, b h w p -> b h w")
    where = shrink(where, distribution)
    return nan_where_empty(_mean(right[:, None], where), where)
