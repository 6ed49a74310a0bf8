"""Which semantic entity rules a pixel, and how that compares with the true parts of a body.

Nobody tells a model about parts. What its entities found is seen by counting, over many pictures, on which parts each
of them comes out strongest.
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
"""The parts by what they look like: nothing tells a model that a leg is not an arm, and both are skin"""


def confusion(distribution: Tensor, parts: Tensor) -> Tensor:
    """How many pixels of each part each texture rules.

    distribution  b k h w; a pixel belongs to the texture with the largest share
    parts         b H W true labels, resized (nearest) to the map
    returns       k p     counts over the whole batch
    """
    k = distribution.shape[1]
    code = distribution.argmax(1) * len(PARTS) + shrink(parts, distribution)
    return rearrange(torch.bincount(code.flatten(), minlength=k * len(PARTS)), "(k p) -> k p", p=len(PARTS))


def merge(counts: Tensor, groups: Iterable[Iterable[str]] = GROUPS.values()) -> Tensor:
    """The counts of `confusion`, k p, for groups of parts. -> k g"""
    return torch.stack([counts[:, [PARTS.index(part) for part in group]].sum(1) for group in groups], dim=1)


def shrink(labels: Tensor, maps: Tensor) -> Tensor:
    """Labels b H W at the size of maps b k h w (nearest)."""
    return F.interpolate(labels[:, None].float(), size=maps.shape[-2:], mode="nearest")[:, 0].long()
