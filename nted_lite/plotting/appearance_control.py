"""Figures of lesson 09: which textures make up a garment, what refinement changes, and the swap matrix."""

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib.figure import Figure
from torch import Tensor

from nted_lite.plotting.base import DPI, INK, PAPER, PART_COLOURS, put, say, sheet

SELECTED, LEFT = PART_COLOURS["top"], "#c8c8c8"
"""Colours of textures that a rule selects, and of those that it leaves"""


def show_shares(shares: Sequence[Tensor], thresholds: Sequence[float], names: Sequence[str], axis: str) -> Figure:
    """One number for each texture as a bar, one panel an operation; those above the threshold are selected.

    shares      k each
    thresholds  one for each panel, drawn as a line
    names       titles of the panels
    axis        what the bars measure
    """
    figure = Figure(figsize=(9, 2.6), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, len(shares), squeeze=False, width_ratios=[6 + len(values) for values in shares])[0]
    for panel, values, threshold, name in zip(panels, shares, thresholds, names, strict=True):
        values = values.cpu().numpy()
        panel.bar(range(len(values)), values, color=np.where(values >= threshold, SELECTED, LEFT), width=0.8)
        panel.axhline(threshold, color=PART_COLOURS["shoes"], linewidth=1.2)
        panel.set(title=f"{name}: {(values >= threshold).sum()} of {len(values)}", xlabel="texture")
        panel.set_xticks(range(0, len(values), 4))
    panels[0].set_ylabel(axis)
    return figure


def show_descent(losses: Mapping[str, Sequence[float]], coefficients: Mapping[str, Tensor]) -> Figure:
    """The terms of a refinement over its steps, and the coefficients of one operation at some moments.

    losses        term -> value at each step; drawn relative to its first value
    coefficients  moment -> k
    """
    figure = Figure(figsize=(9, 3.0), dpi=DPI, facecolor=PAPER, layout="constrained")
    curves, panel = figure.subplots(1, 2, width_ratios=[1, 1.5])
    for (name, values), part in zip(losses.items(), ("top", "arms", "bottom")):
        curves.plot(np.array(values) / max(abs(values[0]), 1e-9), color=PART_COLOURS[part], label=name)
    curves.set(title="loss, relative to its start", xlabel="step", ylim=(0, None))
    curves.legend(frameon=False)
    values = np.stack([a.cpu().numpy() for a in coefficients.values()])
    seaborn.heatmap(
        values, ax=panel, cmap="Blues", vmin=min(0, values.min()), vmax=max(1, values.max()), linewidths=0.5,
        yticklabels=list(coefficients), cbar_kws={"label": "coefficient", "ticks": [0, 0.5, 1]},
    )  # fmt: skip
    panel.tick_params(left=False, bottom=False, labelrotation=0)
    panel.set(title="0: the person's own texture, 1: the donor's", xlabel="texture")
    return figure


def show_matrix(people: Tensor, donors: Tensor, generated: Tensor, target: Tensor, scale: int = 0) -> Figure:
    """Everybody in everybody's garment, beside the ground truth.

    people             r 3 h w    one for each row
    donors             n 3 h w    one for each column
    generated, target  r n 3 h w  the person of the row in the garment of the column
    scale              how much a pixel is enlarged; 0 chooses what fits a notebook
    """
    rows, columns, _, height, width = generated.shape
    scale = scale or max(1, round(400 / ((columns + 1) * width)))
    width, height, gap, head = width * scale, height * scale, 4, 22
    block = (columns + 1) * (width + gap) + 16
    figure, axes = sheet(2 * block, head + (rows + 1) * (height + gap) + 12)
    for start, title, pictures in ((0, "generated", generated), (block, "ground truth", target)):
        say(axes, title, start + width + 14 + columns * (width + gap) / 2, head / 2, weight="bold")
        for column in range(columns):
            put(axes, donors[column], start + 14 + (column + 1) * (width + gap), head, width, height)
        for row in range(rows):
            y = head + 8 + (row + 1) * (height + gap)
            put(axes, people[row], start, y, width, height)
            for column in range(columns):
                put(axes, pictures[row, column], start + 14 + (column + 1) * (width + gap), y, width, height)
        say(axes, "person ↓\ngarment →", start + width / 2, head + height / 2, fontsize=8)
    return figure


def show_errors(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """The error of each way to swap, inside the garment and outside it, with 95 % intervals.

    measured  way -> inside, outside -> mean, low, high: the rows of `benchmarks/control.json`
    """
    figure = Figure(figsize=(9, 0.9 + 0.34 * len(measured)), dpi=DPI, facecolor=PAPER, layout="constrained")
    for panel, side in zip(figure.subplots(1, 2, sharey=True), ("inside", "outside"), strict=True):
        values = [[row[side][key] for key in ("mean", "low", "high")] for row in measured.values()]
        means, lows, highs = np.array(values).T
        bars = panel.barh(
            list(measured), means, xerr=[means - lows, highs - means], color=SELECTED, height=0.7, ecolor=INK
        )
        panel.bar_label(bars, fmt="%.3f", padding=6, fontsize=8, color=INK)
        panel.set(title=f"{side} the garment: L1 to the ground truth", xlim=(0, 1.2 * highs.max()))
        panel.tick_params(left=False)
    figure.axes[0].invert_yaxis()
    return figure


def show_areas(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """The error of each way to swap, area by area, with 95 % intervals.

    measured  way -> area -> mean, low, high; at most three ways
    """
    figure = Figure(figsize=(7.6, 2.8), dpi=DPI, facecolor=PAPER, layout="constrained")
    panel = figure.subplots()
    areas = list(next(iter(measured.values())))
    for number, (way, row) in enumerate(measured.items()):
        means, lows, highs = np.array([[row[area][key] for key in ("mean", "low", "high")] for area in areas]).T
        bars = panel.bar(
            np.arange(len(areas)) + 0.28 * number, means, 0.26, yerr=[means - lows, highs - means], label=way,
            color=(LEFT, SELECTED, PART_COLOURS["bottom"])[number], ecolor=INK,
        )  # fmt: skip
        panel.bar_label(bars, fmt="%.2f", padding=3, fontsize=8, color=INK)
    panel.set_xticks(np.arange(len(areas)) + 0.14 * (len(measured) - 1), areas)
    panel.set(ylabel="L1 to the ground truth", ylim=(0, None))
    panel.margins(y=0.12)
    panel.tick_params(bottom=False)
    figure.legend(loc="outside right center", frameon=False)
    return figure
