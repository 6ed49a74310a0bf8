"""The pictures of notebook 07: a training while it runs, the curves of several runs, their maps, and what they cost."""

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from seaborn.utils import relative_luminance
from torch import Tensor

from nted_lite.images import picture
from nted_lite.plotting.base import DPI, INK, PALE, PAPER, PART_COLOURS, contact_sheet, painted, texture_parts

COLOURS = dict(
    zip(
        ("healthy", "no-texture-dropout", "adversary-too-strong", "learning-rate-too-high"),
        ("#0173b2", "#de8f05", "#cc78bc", "#d55e00"),
    )
)
"""A colour for each shipped run, from seaborn's "colorblind" palette"""

PANELS = {
    "psnr": ("PSNR of held-out people, last weights (dB)", "psnr_last"),
    "largest": ("largest texture's share of the person", "largest"),
    "reconstruction": ("attention reconstruction", "loss/reconstruction"),
    "discriminator": ("discriminator's loss", "loss/discriminator"),
}
"""What `show_runs` draws: name -> (title, name of the curve)"""


def smoothed(values: Sequence[float | None], over: int) -> list[float]:
    """Running mean over the last `over` values; a missing value stays missing (NaN)."""
    found, kept = [], []
    for value in values:
        if value is None:
            found.append(float("nan"))
            continue
        kept = [*kept, value][-over:]
        found.append(sum(kept) / len(kept))
    return found


def show_runs(
    runs: Mapping[str, Mapping[str, Sequence]], panels: Sequence[str] = tuple(PANELS), over: int = 3
) -> Figure:
    """The curves of several runs, one panel a quantity.

    runs    name -> curves: "step" and one list for each quantity, None where it was not measured
    panels  names of `PANELS`
    over    points that are averaged
    """
    figure = Figure(figsize=(8.4, 2.5 * -(-len(panels) // 2)), dpi=DPI, facecolor=PAPER, layout="constrained")
    grid = figure.subplots(-(-len(panels) // 2), 2, squeeze=False)
    for axes, panel in zip(grid.flat, panels):
        title, key = PANELS[panel]
        for number, (name, curves) in enumerate(runs.items()):
            if key in curves:
                colour = COLOURS.get(name, f"C{number}")
                line = smoothed(curves[key], over)
                axes.plot(curves["step"], line, color=colour, linewidth=1.5, label=name.replace("-", " "))
        axes.set(title=title, xlabel="step")
        if panel == "largest":
            axes.set_ylim(0, 1.02)
        if panel == "discriminator":
            axes.axhline(2 * torch.log(torch.tensor(2.0)).item(), color=PALE, linewidth=0.8, linestyle=":")
            right = axes.get_yaxis_transform()  # x from 0 to 1 over the panel, y in the loss
            axes.text(0.99, 1.37, "tossing a coin", fontsize=8, ha="right", va="top", transform=right)
    lines = {line.get_label(): line for axes in grid.flat for line in axes.get_lines() if line.get_label()[0] != "_"}
    figure.legend(lines.values(), lines, loc="outside lower center", ncols=len(lines), frameon=False)
    return figure


def show_averages(curves: Mapping[str, Sequence]) -> Figure:
    """PSNR of the last weights and of their average, in one run."""
    figure = Figure(figsize=(6.4, 2.6), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    for key, name, colour in (("psnr_last", "last weights", "#de8f05"), ("psnr", "their average (EMA)", "#0173b2")):
        axes.plot(curves["step"], curves[key], color=colour, linewidth=1.5, label=name)
    axes.set(xlabel="step", ylabel="PSNR of held-out people (dB)")
    axes.legend(frameon=False)
    return figure


def show_schedules(schedules: Mapping[str, Sequence[float]]) -> Figure:
    """Factors on the learning rate, step by step; name -> one number per step."""
    figure = Figure(figsize=(6.4, 2.2), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    for name, values in schedules.items():
        axes.plot(values, linewidth=1.5, label=name)
    axes.set(xlabel="step", ylabel="factor on the learning rate")
    axes.legend(frameon=False)
    return figure


def bytes_to_images(pixels) -> Tensor:
    """Pixels of files, uint8 -> floats in -1..1, of the same shape."""
    return torch.as_tensor(pixels).float() / 127.5 - 1


def show_moments(names: Sequence[str], views: Mapping[str, Mapping], moment: int = -1, people: int = 4) -> Figure:
    """Generated images of several runs, each above its distribution map.

    names   runs, from top to bottom
    views   run -> what its .npz file holds: reference, target (b 3 h w), generated (n b 3 h w), distribution
            (n b k h w), parts (b h w), for n moments
    moment  which of them
    """
    first = views[names[0]]
    rows = {name: bytes_to_images(first[name][:people]) for name in ("reference", "target")}
    for name in names:
        chosen = views[name]
        if len(chosen["generated"]) == 0:
            continue
        label = name.replace("-too-", "\ntoo ").replace("-", " ")
        rows[label] = bytes_to_images(chosen["generated"][moment][:people])
        rows[f"{label}\nmaps"] = map_pictures(chosen, moment)[:people]
    return contact_sheet(rows, scale=3, legend=True)


def map_pictures(views: Mapping, moment: int) -> Tensor:
    """The distribution maps of a moment, each texture in the colour of the part that it paints most. -> b 3 h w

    Where one texture has taken everything, all is the colour of one part.
    """
    maps = torch.as_tensor(views["distribution"][moment]).float() / 255
    return painted(maps, texture_parts(maps, torch.as_tensor(views["parts"]).long()))


def show_live(history: Mapping[str, Sequence[float]], grid: Tensor, maps: Tensor | None = None) -> Figure:
    """A training while it runs: its losses, samples of held-out people, and their maps.

    history  "step", and one list of the same length for each loss (None where a loss was not computed)
    grid     3 h w, -1..1: rows of references, ground truths and generated images, see `training.sample_grid`
    maps     b 3 h w, pictures of the distribution maps of the same people; drawn as a fourth row
    """
    if maps is not None:
        height, width = grid.shape[-2] // 3, grid.shape[-1] // len(maps)
        maps = torch.nn.functional.interpolate(maps.to(grid.device), size=(height, width), mode="nearest")
        grid = torch.cat([grid, rearrange(maps, "b c h w -> c h (b w)")], dim=1)
    figure = Figure(figsize=(8.6, 4.0), dpi=DPI, facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    _losses(left, history)
    right.imshow(picture(grid), interpolation="nearest")
    rows = ("reference", "target", "generated", "maps")[: 3 if maps is None else 4]
    step = grid.shape[-2] / len(rows)
    right.set_yticks([(row + 0.5) * step for row in range(len(rows))], rows)
    right.set_xticks([])
    right.tick_params(length=0)
    for side in right.spines.values():
        side.set_visible(False)
    if maps is not None:
        parts = [Patch(color=colour, label=part) for part, colour in PART_COLOURS.items()]
        figure.legend(handles=parts, loc="outside lower right", ncols=len(parts), fontsize=7, frameon=False,
                      handlelength=1, handletextpad=0.4, columnspacing=0.9)  # fmt: skip
    return figure


def _losses(axes: Axes, history: Mapping[str, Sequence[float]]) -> None:
    """Every loss over the steps, on a logarithmic axis; running means."""
    over = max(1, len(history["step"]) // 40)
    colours = ("C0", "C1", "C2", "C3", INK, PART_COLOURS["hair"], PALE)  # the adversary's losses come last
    losses = [item for item in history.items() if item[0] != "step"]
    for number, (name, values) in enumerate(losses):
        line = "-" if number < 4 else "." if name == "r1" else "--"  # R1: one step in many
        style = {"color": colours[number % len(colours)], "linewidth": 1.3, "label": name}
        axes.plot(history["step"], smoothed(values, over), line, **style)
    axes.set(yscale="log", xlabel="step", title="losses, with their weights")
    if len(history) > 1 and history["step"]:
        axes.legend(frameon=False, fontsize=7, ncols=2)


def show_flops(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """Where the floating-point operations of a training step go: one bar a model, one piece a module.

    shares  model -> module -> operations
    """
    figure = Figure(figsize=(8.4, 0.9 + 0.55 * len(shares)), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    modules = list(next(iter(shares.values())))
    colours = ("#0173b2", "#56b4e9", "#029e73", "#de8f05", "#cc78bc", "#949494")
    for row, parts in enumerate(shares.values()):
        left, total = 0.0, sum(parts.values())
        for module, colour in zip(modules, colours):
            share = parts[module] / total
            axes.barh(row, share, left=left, color=colour, label=module if row == 0 else None)
            if share > 0.05:
                ink = PAPER if relative_luminance(colour) < 0.18 else INK
                axes.text(left + share / 2, row, f"{share:.0%}", ha="center", va="center", fontsize=8, color=ink)
            left += share
    axes.set_yticks(range(len(shares)), [name for name in shares])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)
    figure.legend(loc="outside lower center", ncols=len(modules), frameon=False, fontsize=8)
    return figure
