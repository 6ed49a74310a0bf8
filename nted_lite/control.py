"""Appearance control: dress one person in somebody else's garment by exchanging neural textures.

NTED (2204.06160), section 3.4. The model was never told about parts of the body, so the textures of a garment are found
by where the renderer puts them: those that lie on the garment are taken from the second person.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from nted_lite.features import PeopleParser
from nted_lite.model import NTED, Rendering, Textures
from nted_lite.people import PARTS

Maps = Sequence[Sequence[Tensor]]
"""Distribution maps, b k h w, of several pictures, each with one map per operation"""


def select(distributions: Maps, masks: Sequence[Tensor], threshold: float = 3.0) -> list[Tensor]:
    """Which textures make up an area of interest, by the paper's rule: those that paint a large share of the area.

    distributions  for each picture (such as reference and garment), b k h w per operation
    masks          for each picture, b H W, bool: its area of interest
    threshold      a texture is chosen if its mean share of the area is at least `threshold / k` in any of the pictures
    returns        b k per operation: 1 if the texture is chosen, else 0
    """
    largest = _largest(_mean_over, distributions, masks)
    return [(share >= threshold / share.shape[1]).float() for share in largest]


def select_pure(distributions: Maps, masks: Sequence[Tensor], purity: float = 0.5) -> list[Tensor]:
    """Which textures make up an area of interest: those that paint little else. Arguments and result as in `select`.

    purity  a texture is chosen if at least this share of what it paints lies in the area, in any of the pictures;
            0.5 was chosen on the validation split of the synthetic people

    A departure from the paper that changes less outside the area: a texture that paints much of a shirt *and* much of
    the arms passes the paper's rule, but not this one.
    """
    return [(pure >= purity).float() for pure in _largest(inside, distributions, masks)]


def _largest(measure: Callable, distributions: Maps, masks: Sequence[Tensor]) -> list[Tensor]:
    """A measure of (map, mask) for each operation, the maximum over the pictures. -> b k per operation"""
    each = [[measure(d, mask) for d in operations] for operations, mask in zip(distributions, masks, strict=True)]
    return [torch.stack(values).amax(0) for values in zip(*each, strict=True)]


def _covered(distribution: Tensor, mask: Tensor) -> Tensor:
    """How much of each of the map's positions a mask, b H W, covers, 0..1. -> b 1 h w"""
    mask = rearrange(mask.float(), "b h w -> b 1 h w")
    return F.interpolate(mask, size=distribution.shape[-2:], mode="area")


def _mean_over(distribution: Tensor, mask: Tensor) -> Tensor:
    """Mean of a map b k h w over a mask b H W -> b k; 0 where the mask is empty."""
    area = _covered(distribution, mask)
    return reduce(distribution * area, "b k h w -> b k", "sum") / reduce(area, "b 1 h w -> b 1", "sum").clamp_min(1e-6)


def inside(distribution: Tensor, mask: Tensor) -> Tensor:
    """The share of a map b k h w that lies inside a mask b H W -> b k"""
    inside = reduce(distribution * _covered(distribution, mask), "b k h w -> b k", "sum")
    return inside / reduce(distribution, "b k h w -> b k", "sum").clamp_min(1e-6)


def fuse(reference: Textures, garment: Textures, coefficients: Sequence[Tensor]) -> Textures:
    """Move from the reference's textures towards the garment's: `T_r + a (T_g - T_r)`.

    coefficients  a, b k (or k) per operation: 0 keeps the reference's texture, 1 takes the garment's
    """
    vectors = tuple(
        torch.lerp(r, g, a[..., None]) for r, g, a in zip(reference.vectors, garment.vectors, coefficients, strict=True)
    )
    return Textures(vectors, reference.extraction)


def area_of(parser: PeopleParser, image: Tensor, part: str) -> Tensor:
    """Where the people parser sees a part. image b 3 h w -> b h w bool"""
    return parser.parse(image.clamp(-1, 1)).parts.argmax(dim=1) == PARTS.index(part)


@torch.no_grad()
def wear(
    model: NTED, parser: PeopleParser, reference: Tensor, garment: Tensor, pose: Tensor, part: str = "top",
    choose: Callable = select_pure,
) -> tuple[Rendering, list[Tensor]]:  # fmt: skip
    """The reference person in a pose, wearing somebody else's garment.

    reference  b 3 h w   -1..1, the person
    garment    b 3 h w   -1..1, the person whose garment to take
    pose       b 20 h w  0..1, see `NTED.pose_map`
    part       one of PARTS: the garment
    choose     `select_pure` or `select`: decides which textures make up the garment
    returns    the rendering, and the coefficients, b k per operation, that were chosen for it
    """
    textures = [model.extract(image) for image in (reference, garment)]
    renderings = [model.render(pose, t) for t in textures]
    return exchange(model, parser, textures, renderings, pose, part, choose)


@torch.no_grad()
def exchange(
    model: NTED, parser: PeopleParser, textures: Sequence[Textures], renderings: Sequence[Rendering], pose: Tensor,
    part: str = "top", choose: Callable = select_pure,
) -> tuple[Rendering, list[Tensor]]:  # fmt: skip
    """The second half of `wear`, once both people's textures are extracted and rendered in the pose.

    A variant of the model without maps cannot choose textures, so nothing is changed.
    """
    if not renderings[0].distribution:
        return renderings[0], []
    masks = [area_of(parser, rendering.image, part) for rendering in renderings]
    coefficients = choose([rendering.distribution for rendering in renderings], masks)
    return model.render(pose, fuse(*textures, coefficients)), coefficients
