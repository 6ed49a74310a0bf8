"""Solutions of notebook 00, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import torch
from einops import rearrange, reduce

from nted_lite.model import Textures

# %% exercise-1: solution


def blend(a: Textures, b: Textures, t: float) -> Textures:
    """Textures at t = 0 those of a, at t = 1 those of b, in between on a straight line."""
    return Textures(tuple(torch.lerp(x, y, t) for x, y in zip(a.vectors, b.vectors, strict=True)), a.extraction)


# %% exercise-1: mistake, the two people are exchanged


def blend(a: Textures, b: Textures, t: float) -> Textures:  # noqa: F811
    return Textures(tuple(torch.lerp(y, x, t) for x, y in zip(a.vectors, b.vectors, strict=True)), a.extraction)


# %% exercise-1: mistake, a step instead of a line


def blend(a: Textures, b: Textures, t: float) -> Textures:  # noqa: F811
    return Textures(a.vectors if t < 0.5 else b.vectors, a.extraction)


# %% exercise-1: mistake, the textures of a are overwritten


def blend(a: Textures, b: Textures, t: float) -> Textures:  # noqa: F811
    return Textures(tuple(x.lerp_(y, t) for x, y in zip(a.vectors, b.vectors, strict=True)), a.extraction)


# %% exercise-1: mistake, right for the values of t that are written in the check


def blend(a: Textures, b: Textures, t: float) -> Textures:  # noqa: F811
    t = round(4 * t) / 4
    return Textures(tuple(torch.lerp(x, y, t) for x, y in zip(a.vectors, b.vectors, strict=True)), a.extraction)


# %% exercise-2: solution


def part_of_area(distribution: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of each map over an area. distribution b k h w, mask b h w (bool) -> b k; 0 where the mask is empty."""
    area = rearrange(mask.float(), "b h w -> b 1 h w")
    pixels = reduce(area, "b 1 h w -> b 1", "sum").clamp_min(1)
    return reduce(distribution * area, "b k h w -> b k", "sum") / pixels


# %% exercise-2: mistake, divided by all pixels


def part_of_area(distribution: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: F811
    return reduce(distribution * rearrange(mask.float(), "b h w -> b 1 h w"), "b k h w -> b k", "mean")


# %% exercise-2: mistake, an empty mask gives NaN


def part_of_area(distribution: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: F811
    area = rearrange(mask.float(), "b h w -> b 1 h w")
    return reduce(distribution * area, "b k h w -> b k", "sum") / reduce(area, "b 1 h w -> b 1", "sum")


# %% exercise-2: mistake, the distribution is overwritten


def part_of_area(distribution: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # noqa: F811
    area = rearrange(mask.float(), "b h w -> b 1 h w")
    total = reduce(distribution.mul_(area), "b k h w -> b k", "sum")
    return total / reduce(area, "b 1 h w -> b 1", "sum").clamp_min(1)
