"""Figures of lesson 02: which positions a texture averages, and the colour that results."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from nted_lite.plotting.base import PALE, PART_COLOURS, put, say, sheet, spotlight
from nted_lite.texture import gather

PLAIN = PART_COLOURS["top"]


def effective_positions(maps: Tensor) -> Tensor:
    """How many positions contribute to an average: the exponential of the entropy of its weights.

    maps     ... h w, not negative; normalised to sum 1 first
    returns  ...      1 if one position has all the weight, h * w if all have the same
    """
    weights = rearrange(maps, "... h w -> ... (h w)")
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return torch.special.entr(weights).sum(dim=-1).exp()


def average_colours(images: Tensor, maps: Tensor) -> Tensor:
    """The pictures' own colours, averaged with maps as weights. b 3 H W in -1..1, b k h w -> b k 3

    A map that sums to 1 gives a colour in -1..1; one that sums to more gives a colour that is too bright.
    """
    small = F.interpolate(images, size=maps.shape[-2:], mode="area")
    return gather((small + 1) / 2, maps) * 2 - 1


def tint(images: Tensor, maps: Tensor, colour: str = PLAIN) -> Tensor:
    """Pale grey pictures, coloured where their map is large. b 3 H W in -1..1, b h w -> b 3 H W

    The map's largest weight gets the full colour; the square root of the weights is drawn, to make small ones visible.
    """
    ghost = 0.7 + 0.25 * reduce(images, "b c h w -> b 1 h w", "mean")
    ink = rearrange(torch.tensor(to_rgb(colour), device=images.device) * 2 - 1, "c -> c 1 1")
    weight = rearrange(_lights(maps), "b h w -> b 1 h w")
    return torch.lerp(ghost, ink, F.interpolate(weight, size=images.shape[-2:], mode="nearest"))


def _lights(maps: Tensor) -> Tensor:
    """Scale maps, ... h w, to 0..1: the square root of each weight relative to the largest one."""
    return (maps / reduce(maps, "... h w -> ... 1 1", "max").clamp_min(1e-12)).sqrt()


def show_averages(
    images: Tensor, maps: Mapping[str, Tensor], colours: Sequence[str] = (), columns: Sequence[str] = ()
) -> Figure:
    """Where each filter looks in each picture; below, the mean colour and the number of positions in the average.

    images   b 3 h w in -1..1
    maps     name -> b h w, one row each
    colours  a colour for each row, such as PART_COLOURS if the rows are parts; blue if empty
    columns  a title for each picture
    """
    height, width = (side * max(1, round(88 / images.shape[-1])) for side in images.shape[-2:])
    gap, margin, block = 6, 24 + 6.6 * max(len(line) for name in maps for line in name.split("\n")), height + 34
    top = 22 if columns else gap
    figure, axes = sheet(margin + len(images) * (width + gap), top + height + gap + len(maps) * block)
    for column, image in enumerate(images):
        put(axes, image, margin + column * (width + gap), top, width, height)
    for column, title in enumerate(columns):
        say(axes, title, margin + column * (width + gap) + width / 2, top - 7, down="baseline")
    rows = zip(maps.items(), colours or [PLAIN] * len(maps), strict=True)
    for row, ((name, weights), colour) in enumerate(rows):
        y = top + height + gap + row * block
        say(axes, name, margin - 10, y + height / 2, "right")
        swatches = average_colours(images, rearrange(weights, "b h w -> b 1 h w"))
        for column, (image, swatch) in enumerate(zip(tint(images, weights, colour), swatches, strict=True)):
            x, count = margin + column * (width + gap), effective_positions(weights[column]).item()
            put(axes, image, x, y, width, height)
            put(axes, rearrange(swatch, "1 c -> c 1 1"), x, y + height + 2, width, 12)
            axes.add_patch(Rectangle((x, y + height + 2), width, 12, fill=False, edgecolor=PALE, linewidth=0.5))
            say(axes, f"{count:.0f} px", x + width / 2, y + height + 22, fontsize=7.5)
    return figure


def show_texture(image: Tensor, weights: Tensor, title: str = "", colour: str = PLAIN) -> Figure:
    """One filter, one texture: the picture, the filter's map, the pixels that it lights up, and their mean colour.

    image    3 h w in -1..1
    weights  h w, sums to 1
    """
    scale, gap, top = max(1, round(132 / image.shape[-1])), 34, 44
    height, width = (side * scale for side in image.shape[-2:])
    figure, axes = sheet(4 * width + 3 * gap + 12, top + height + 28)
    swatch = average_colours(image[None], weights[None, None])[0, 0]
    pictures = {
        "picture": image,
        "× map": tint(image[None], weights[None], colour)[0],
        "= what counts": spotlight(image, _lights(weights)[None])[0],
        "added up": repeat(swatch, "c -> c 1 1"),
    }
    say(axes, title, 6, 12, "left", fontsize=10)
    for column, (name, part) in enumerate(pictures.items()):
        x = 6 + column * (width + gap)
        say(axes, name, x + width / 2, top - 7, down="baseline")
        put(axes, part, x, top, width, height)
    count = effective_positions(weights).item()
    say(axes, f"{count:.0f} of {weights.numel()} positions", 6 + 1.5 * width + gap, top + height + 14, fontsize=8)
    return figure
