"""Figures of lesson 05: stamps and checkerboards, a picture as a sum, what each operation changes."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from nted_lite.layers import blur_kernel, upsample
from nted_lite.plotting.base import put, say, sheet

BLUE = torch.tensor([-0.3, 0.3, 0.7])  # pale enough to read numbers on


def show_grids(grids: Mapping[str, Tensor]) -> Figure:
    """Small tables of numbers, h w, side by side, with cells of equal size; larger numbers have darker cells."""
    cell, gap, top = 27, 28, 40
    rows, columns = (max(grid.shape[axis] for grid in grids.values()) for axis in (0, 1))
    width = sum(grid.shape[1] * cell for grid in grids.values()) + gap * (len(grids) + 1)
    figure, axes = sheet(width, top + rows * cell + 10)
    high, x = max(float(grid.max()) for grid in grids.values()), gap
    for name, grid in grids.items():
        say(axes, name, x + grid.shape[1] * cell / 2, 24, down="baseline")
        picture = 1 - grid / high * (1 - BLUE[:, None, None])
        y = top + (rows - grid.shape[0]) * cell / 2
        put(axes, picture, x, y, grid.shape[1] * cell, grid.shape[0] * cell)
        for row, line in enumerate(grid.tolist()):
            for column, value in enumerate(line):
                say(axes, f"{value:.3g}", x + (column + 0.5) * cell, y + (row + 0.5) * cell, fontsize=7)
        x += grid.shape[1] * cell + gap
    return figure


def show_sums(pictures: Sequence[Tensor], added: Sequence[Tensor], people: int = 2) -> Figure:
    """How a picture grows: one row for each scale except the first, one block for each of the first few people.

    pictures  b 3 h w each, coarse to fine: the picture so far
    added     b 3 h w each: what each scale adds to the enlarged previous one; middle grey is zero
    """
    width, height, sign, margin, top = 110, 160, 22, 84, 40
    block = 3 * (width + sign)
    figure, axes = sheet(margin + people * block, top + len(added[1:]) * (height + 8))
    for row, (before, addition, after) in enumerate(zip(pictures[:-1], added[1:], pictures[1:], strict=True)):
        y = top + row * (height + 8)
        say(axes, " × ".join(map(str, after.shape[-2:])), margin - 12, y + height / 2, "right")
        enlarged = upsample(before, blur_kernel(gain=4.0))
        for person in range(people):
            for place, images in enumerate((enlarged, addition, after)):
                x = margin + person * block + place * (width + sign)
                put(axes, images[person], x, y, width, height)
                say(axes, "+= "[place], x + width + sign / 2, y + height / 2, fontsize=14)
    for person in range(people):
        for place, title in enumerate(("so far, enlarged", "added here", "so far")):
            x = margin + person * block + place * (width + sign) + width / 2
            say(axes, title, x, top - 12, down="baseline")
    return figure


def show_changes(donor: Tensor, before: Tensor, after: Mapping[str, Tensor]) -> Figure:
    """The effect of each of several changes on a picture, and below it the difference (middle grey: none).

    donor, before  3 h w   where the changes come from, and the picture without any change
    after          name of a change -> 3 h w
    """
    width, height, gap, top = 110, 160, 6, 34
    figure, axes = sheet(gap + (2 + len(after)) * (width + gap), top + 2 * (height + gap))
    for column, (name, image) in enumerate({"donor": donor, "own textures": before, **after}.items()):
        x = gap + column * (width + gap)
        say(axes, name, x + width / 2, top / 2)
        put(axes, image, x, top, width, height)
        if column > 1:
            put(axes, image - before, x, top + height + gap, width, height)
    say(axes, "change", 2 * (width + gap) - 6, top + 1.5 * height + gap, "right")
    return figure
