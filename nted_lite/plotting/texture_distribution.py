"""Figures of lesson 03: pixels as mixtures, where a pixel looks, and what attention costs."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from einops import repeat
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from nted_lite.plotting.base import DPI, INK, PALE, PAPER, PART_COLOURS, arrow, lit, put, say, sheet, spotlight
from nted_lite.texture import scatter

# Full attention, PyTorch's fused version, and NTED's two attentions have these colours in every figure.
WAY_COLOURS = {"full": PART_COLOURS["shoes"], "fused": PART_COLOURS["arms"], "nted": PART_COLOURS["top"]}
WAY_NAMES = {"full": "full attention", "fused": "full, fused (PyTorch)", "nted": "two attentions, k = 16"}


def palette(colours: Tensor, height: int = 64, width: int = 44, columns: int = 4) -> Tensor:
    """Colours as squares, in rows of `columns`, which must divide k. b k 3 -> b 3 height width (about)"""
    rows = colours.shape[1] // columns
    return repeat(colours, "b (p q) c -> b c (p h) (q w)", q=columns, h=height // rows, w=width // columns)


def fit_exponent(positions: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a straight line through the logarithms: values grow like positions to the power of this."""
    return float(np.polyfit(np.log(positions), np.log(values), 1)[0])


# ------------------------------------------------------------------------------------------------- pixels as mixtures


def show_mixture(image: Tensor, distribution: Tensor, colours: Tensor, pixels: Sequence[tuple[int, int]]) -> Figure:
    """Some pixels taken apart: the share of each texture in them, and the colour that results.

    image         3 H W    the target picture, -1..1
    distribution  k h w    sums to 1 over k
    colours       k 3      the mean colour of each texture, -1..1
    pixels        positions (row, column) of the map
    """
    height, width, bar, left = 256, 176, 420, 240
    figure, axes = sheet(left + bar + 120, height + 30)
    put(axes, image, 10, 24, width, height)
    say(axes, "target", 10 + width / 2, 12)
    say(axes, "shares of the textures (in their mean colours)", left + bar / 2, 12)
    say(axes, "mixture", left + bar + 55, 12)
    step, (h, w) = height / len(pixels), distribution.shape[-2:]
    for number, (row, column) in enumerate(pixels):
        y = 24 + step * number + step / 2
        _mark(axes, (10 + column * width / w, 24 + row * height / h), (width / w, height / h), str(number))
        say(axes, str(number), left - 16, y, weight="bold")
        _bar(axes, distribution[:, row, column], colours, (left, y - 14, bar, 28))
        put(axes, _flat(distribution[:, row, column] @ colours), left + bar + 30, y - 14, 50, 28)
    return figure


def _bar(axes: Axes, shares: Tensor, colours: Tensor, box: tuple[float, float, float, float]) -> None:
    x, y, width, height = box
    for texture in shares.argsort(descending=True).tolist():
        part = shares[texture].item() * width
        put(axes, _flat(colours[texture]), x, y, part, height)
        axes.add_patch(Rectangle((x, y), part, height, fill=False, edgecolor=PAPER, linewidth=1))
        if part > 28:
            say(axes, str(texture), x + part / 2, y + height + 9, fontsize=8)
        x += part


def _flat(colour: Tensor) -> Tensor:
    return repeat(colour, "c -> c 1 1")


def _mark(axes: Axes, corner: tuple[float, float], size: tuple[float, float], text: str = "") -> None:
    """A frame around one position of a map, with its number beside it."""
    for colour, width in ((PAPER, 4), (INK, 1.5)):
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=width))
    if text:
        box = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}
        say(axes, text, corner[0] + size[0] + 9, corner[1] - 5, fontsize=8, weight="bold", bbox=box)


def show_choice(
    reference: Tensor, target: Tensor, extraction: Tensor, distribution: Tensor, colours: Tensor, texture: int
) -> Figure:
    """One person painted with the colours of k textures, and one of the textures lit in both pictures.

    reference, target         3 H W    -1..1
    extraction, distribution  k h w    sum to 1 over h w, and over k
    colours                   k 3      -1..1
    """
    pictures = {
        "reference": reference,
        f"texture {texture} is taken here": lit(reference, extraction[[texture]])[0],
        "painted": scatter(colours[None], distribution[None])[0],
        f"texture {texture} goes here": spotlight(target, distribution[texture][None])[0],
        "target": target,
    }
    height, width, gap = 192, 132, 22
    figure, axes = sheet(len(pictures) * (width + gap), height + 28)
    for place, (name, image) in enumerate(pictures.items()):
        x = gap / 2 + place * (width + gap)
        say(axes, name, x + width / 2, 12, fontsize=8)
        put(axes, image, x, 24, width, height)
    return figure


# ------------------------------------------------------------------------------------------------ where a pixel looks


def show_glance(reference: Tensor, target: Tensor, weights: Tensor, pixels: Sequence[tuple[int, int]]) -> Figure:
    """Where target pixels look: the reference lit by their rows of the attention matrix.

    reference, target  3 H W      -1..1
    weights            n h w      one row of the matrix for each pixel, as a map over the reference
    pixels             n positions (row, column) of the target's map
    """
    height, width, gap = 192, 132, 40
    figure, axes = sheet(15 + len(pixels) * (2 * width + gap + 20), height + 28)
    h, w = weights.shape[-2:]
    for number, (row, column) in enumerate(pixels):
        x = 15 + number * (2 * width + gap + 20)
        put(axes, target, x, 24, width, height)
        put(axes, lit(reference, weights[[number]])[0], x + width + gap, 24, width, height)
        say(axes, "target pixel", x + width / 2, 12)
        say(axes, "looks here", x + 1.5 * width + gap, 12)
        _mark(axes, (x + column * width / w, 24 + row * height / h), (width / w, height / h))
        arrow(axes, (x + width + 6, 24 + height / 2), (x + width + gap - 6, 24 + height / 2))
    return figure


def show_matrices(matrices: Mapping[str, Tensor]) -> Figure:
    """A low-rank and a full attention matrix, m n each (rows: target positions), and their singular values."""
    matrices = {name: matrix.cpu() for name, matrix in matrices.items()}
    figure = Figure(figsize=(8.4, 3.2), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, len(matrices) + 1, width_ratios=[1] * len(matrices) + [1.35])
    for panel, (name, matrix) in zip(panels, matrices.items()):
        panel.imshow((matrix / torch.quantile(matrix.flatten(), 0.995)).clamp(max=1).numpy(), cmap="Greys")
        panel.set(title=name, xlabel="reference position", ylabel="target position", xticks=[], yticks=[])
    curves = panels[-1]
    for (name, matrix), way in zip(matrices.items(), ("nted", "full")):
        values = torch.linalg.svdvals(matrix.double())
        relative = (values / values[0]).clamp_min(1e-17).numpy()
        curves.semilogy(range(1, len(values) + 1), relative, color=WAY_COLOURS[way], label=name)
    curves.set(title="singular values", xlabel="number", ylabel="relative to the first", ylim=(1e-18, 3))
    curves.legend(frameon=False, loc=(0.3, 0.4))
    return figure


# ------------------------------------------------------------------------------------------------------ cost and depth


def show_cost(measured: Mapping) -> Figure:
    """Time and memory over the number of positions, both axes logarithmic, with fitted exponents.

    measured  what `benchmarks/attention.py` writes; the line is fitted to the sizes from 32 rows on
    """
    figure = Figure(figsize=(8.4, 3.6), dpi=DPI, facecolor=PAPER, layout="constrained")
    units = {"seconds": ("time (ms)", 1e3), "bytes": ("peak memory (MiB)", 2**-20)}
    positions = np.array([h * w for h, w in measured["sizes"]])
    for panel, (key, (title, unit)) in zip(figure.subplots(1, 2), units.items()):
        for way, numbers in measured["ways"].items():
            values, colour = np.array(numbers[key]) * unit, WAY_COLOURS[way]
            exponent = fit_exponent(positions[1:], values[1:])
            label = f"{WAY_NAMES[way]}: $m^{{{exponent:.2f}}}$"
            panel.loglog(positions, values, "o-", color=colour, markersize=4, label=label)
        panel.set(title=title, xlabel="positions m = h w")
        panel.set_xticks(positions, [f"{h}×{w}" for h, w in measured["sizes"]], rotation=45, fontsize=8)
        panel.minorticks_off()
        panel.legend(frameon=False, fontsize=8, loc="upper left")
        panel.set_ylim(top=panel.get_ylim()[1] * 8)
    return figure


def show_growth(curves: Mapping[str, Sequence[float]]) -> Figure:
    """The magnitude of the features, layer by layer, as their mean square. curves  name -> one value per layer"""
    figure = Figure(figsize=(6.4, 2.8), dpi=DPI, facecolor=PAPER, layout="constrained")
    panel = figure.subplots()
    for (name, values), colour in zip(curves.items(), (PART_COLOURS[part] for part in ("shoes", "top", "arms"))):
        panel.plot(values, "o-", color=colour, markersize=4, label=name)
    panel.axhline(1, color=PALE, linewidth=0.8, zorder=0)
    panel.set(xlabel="layer", ylabel="mean square")
    panel.legend(frameon=False)
    return figure
