"""Which semantic entity dominates a pixel, and how that compares with the ground-truth parts of the body.

A model is never told about parts. To see what its entities have found, count over many pictures on which parts each of
them is strongest.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from nted_lite.people import PARTS

GROUPS = {
    "background": ("background",), "hair": ("hair",), "skin": ("face", "arms", "legs"), "top": ("top",),
    "bottom": ("bottom",), "shoes": ("shoes",),
}  # fmt: skip
"""The parts grouped by appearance: arms and legs are both skin, and nothing tells a model that they differ"""


def confusion(distribution: Tensor, parts: Tensor) -> Tensor:
    """Count the pixels of each part that each texture dominates.

    distribution  b k h w  a pixel belongs to the texture with the largest share
    parts         b H W    ground-truth labels, resized (nearest) to the map
    returns       k p      counts over the whole batch
    """
    k = distribution.shape[1]
    code = distribution.argmax(1) * len(PARTS) + shrink(parts, distribution)
    return rearrange(torch.bincount(code.flatten(), minlength=k * len(PARTS)), "(k p) -> k p", p=len(PARTS))


def merge(counts: Tensor, groups: Iterable[Iterable[str]] = GROUPS.values()) -> Tensor:
    """Add up the counts of `confusion`, k p or b k p, over groups of parts. -> k g or b k g"""
    return torch.stack([counts[..., [PARTS.index(part) for part in group]].sum(-1) for group in groups], dim=-1)


def shrink(labels: Tensor, maps: Tensor) -> Tensor:
    """Resize labels, b H W, to the size of maps, b k h w (nearest). -> b h w, int64"""
    return F.interpolate(labels[:, None].float(), size=maps.shape[-2:], mode="nearest")[:, 0].long()
