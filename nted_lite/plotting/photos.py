"""Figures of lesson 11: what misread key points lead to, the window of a photo, and what the presets cost."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from nted_lite.images import open_picture, read_image
from nted_lite.model import NTED
from nted_lite.people import Pair
from nted_lite.plotting.base import DPI, INK, PALE, PAPER, PART_COLOURS, contact_sheet, put, say, sheet, stick_figures
from nted_lite.pose import COLOURS, LIMBS


@torch.no_grad()
def readings(model: NTED, pair: Pair, number: int) -> Figure:
    """One person in one pose, whose key points are read in four ways.

    They are: with the 40 white columns of the published frame, right, as pixels of a smaller picture, x for y.
    """
    keypoints = pair.target.keypoints[number]
    white = keypoints.new_tensor([40 * model.config.height / 256, 0])
    ways = {"1": keypoints + white, "2": keypoints, "3": keypoints * 0.4, "4": keypoints.flip(-1)}
    visible = pair.target.visible[[number] * len(ways)]
    pose = model.pose_map(torch.stack([*ways.values()]), visible)
    photo = pair.reference.image[[number] * len(ways)]
    rows = {"photo": photo, "as read": stick_figures(pose), "generated": model(photo, pose).image}
    return contact_sheet(rows, list(ways), scale=3)


def show_framing(path: Path, keypoints: Tensor, rows: int = 128) -> Figure:
    """A photo with its key points and the window that a model sees, and that window.

    keypoints  18 3   x, y in the photo's pixels and the confidence; 0 is missing
    rows       of what the model sees
    """
    image = open_picture(path)
    seen, framing = read_image(path, rows, rows * 11 // 16)
    pixels = torch.from_numpy(np.array(image)).movedim(-1, 0) / 127.5 - 1
    height, gap, top = 360, 30, 26
    scale = height / image.height
    width, small = image.width * scale, height * 11 / 16
    figure, axes = sheet(width + gap + small + 20, height + top + 10)
    put(axes, pixels, 10, top, width, height)
    put(axes, seen, 10 + width + gap, top, small, height)
    corner = 10 + framing.left * scale, top + framing.top * scale
    axes.add_patch(Rectangle(corner, framing.width * scale, framing.height * scale, fill=False, edgecolor=PAPER,
                             linewidth=2.5))  # fmt: skip
    axes.add_patch(Rectangle(corner, framing.width * scale, framing.height * scale, fill=False, edgecolor=INK,
                             linewidth=1, linestyle="--"))  # fmt: skip
    places = keypoints[:, :2] * scale + torch.tensor([10, top])
    there = (keypoints[:, 2] > 0).tolist()
    for (a, b), colour in zip(LIMBS, COLOURS):
        if there[a] and there[b]:
            axes.plot(*places[[a, b]].T.tolist(), color=[level / 255 for level in reversed(colour)], linewidth=3)
    for (x, y), known in zip(places.tolist(), there):
        if known:
            axes.plot(x, y, "o", markersize=6, markerfacecolor=PAPER, markeredgecolor=INK)
    say(axes, f"{image.width} × {image.height}, and the window", 10 + width / 2, top / 2)
    say(axes, f"what a model of {rows} rows sees", 10 + width + gap + small / 2, top / 2)
    return figure


def show_costs(found: Mapping[str, tuple[int, int, int]]) -> Figure:
    """What models cost, on logarithmic axes. name -> (parameters, FLOPs and bytes of one image)"""
    figure = Figure(figsize=(9.6, 1.9), dpi=DPI, facecolor=PAPER, layout="constrained")
    titles = ("parameters (millions)", "FLOPs forward (billions)", "kept for backward (MiB)")
    panels = figure.subplots(1, 3, sharey=True)
    for panel, title, unit, values in zip(panels, titles, (1e6, 1e9, 2**20), zip(*found.values())):
        panel.plot([value / unit for value in values], list(found), "o", color=PART_COLOURS["top"])
        for row, value in enumerate(values):
            label = f"{value / unit:,.0f}" if value >= 100 * unit else f"{value / unit:.2g}"
            panel.annotate(label, (value / unit, row), (8, 0), textcoords="offset points", va="center", fontsize=8)
        panel.set(xscale="log", title=title, xlim=(0.5 * min(values) / unit, 5 * max(values) / unit))
        panel.grid(axis="y", linestyle=":", color=PALE)
    panels[0].set_ylim(len(found) - 0.5, -0.5)
    return figure
