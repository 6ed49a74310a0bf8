"""Pictures of lesson 10: a case of one variant; all variants on one measure; their learning curves; their cost."""

from collections.abc import Mapping, Sequence

import seaborn
import torch
import torch.nn.functional as F
from einops import reduce
from matplotlib.figure import Figure
from torch import Tensor

from nted_lite.plotting.base import DPI, INK, PAPER, PART_COLOURS, painted, part_legend, put, say, sheet

COLD, WARM = PART_COLOURS["top"], PART_COLOURS["shoes"]
SCALE = 2


def taken(extraction: Tensor, groups: Sequence[int]) -> Tensor:
    """Extraction maps as one picture: the colour of the texture that takes most there, pale where little is taken.

    extraction  b k h w, sums to 1 over h w
    groups      k numbers of PARTS, see `texture_parts`
    returns     b 3 h w in -1..1
    """
    total = reduce(extraction, "b k h w -> b 1 h w", "sum")
    strength = (total / torch.quantile(total.flatten(1), 0.9, dim=1).clamp_min(1e-9)[:, None, None, None]).clamp(0, 1)
    colours = painted(extraction / total.clamp_min(1e-9), groups)
    return torch.lerp(torch.full_like(colours, 0.86), colours, strength.sqrt())


def show_case(
    pictures: Mapping[str, Tensor], extraction: Sequence[Tensor], distribution: Sequence[Tensor],
    groups: Sequence[Sequence[int]],
) -> Figure:
    """One person in one pose: pictures on the left, and on the right, column by column, the maps of each operation.

    pictures      title -> 3 h w
    extraction    k h w for each operation; none: the variant transfers nothing by maps
    distribution  k h w for each operation
    groups        for each operation k numbers of PARTS, which give a texture its colour
    """
    height, width = (side * SCALE for side in next(iter(pictures.values())).shape[-2:])
    gap, top, between = 8, 36, 96
    left, right = len(pictures) * (2 * width + gap), max(4, len(groups)) * (width + gap)
    figure, axes = sheet(gap + left + between + right, top + 2 * height + gap + 30)
    for column, (title, image) in enumerate(pictures.items()):
        x = gap + column * (2 * width + gap)
        say(axes, title, x + width, top / 2)
        put(axes, image, x, top, 2 * width, 2 * height + gap)
    start = gap + left + between
    if not groups:
        say(axes, "this variant has no maps", start + right / 2, top + height)
        return figure
    for row, name in enumerate(("taken from\nthe photo", "spread over\nthe pose")):
        say(axes, name, start - 10, top + row * (height + gap) + height / 2, "right")
    for column, (e, d, parts) in enumerate(zip(extraction, distribution, groups, strict=True)):
        x = start + column * (width + gap)
        say(axes, f"{d.shape[-2]} rows, k = {d.shape[0]}", x + width / 2, top / 2, fontsize=7)
        put(axes, taken(e[None], parts)[0], x, top, width, height)
        put(axes, painted(d[None], parts)[0], x, top + height + gap, width, height)
    part_legend(axes, gap, top + 2 * height + gap + 16)
    return figure


def show_ranking(
    values: Mapping[str, Mapping[str, float]], reference: str, margin: float | None, title: str
) -> Figure:
    """Variants from best to worst on one measure, with the interval over people, and the margin that seeds set.

    values     variant -> {mean, low, high}
    reference  the variant that all are compared with: the grey band lies around it
    margin     how far two runs of the same variant may be apart; None: unknown, no band
    """
    ordered = sorted(values, key=lambda name: -values[name]["mean"])
    figure = Figure(figsize=(8.4, 0.9 + 0.27 * len(ordered)), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    if margin is not None:
        centre = values[reference]["mean"]
        axes.axvspan(centre - margin, centre + margin, color="#ececec", linewidth=0, label="margin of chance")
    for name in ordered:
        mean, low, high = (values[name][key] for key in ("mean", "low", "high"))
        colour = COLD if name.removesuffix("-seed-1") == reference else INK
        axes.errorbar(mean, name, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, markersize=5, capsize=2)
        axes.annotate(f"{mean:#.4g}", (high, name), xytext=(5, -3), textcoords="offset points", fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.6 / len(ordered))
    axes.tick_params(left=False)
    axes.set_title(title)
    if margin is not None:
        axes.legend(loc="lower right", frameon=False, fontsize=8)
    return figure


def show_curves(curves: Mapping[str, Mapping], losses: Sequence[str], window: int = 9) -> Figure:
    """Learning curves, one panel a loss: the logged values pale, their running mean strong.

    curves  name -> the content of its curves.json: loss -> {step, value}; a loss may be missing
    losses  which losses
    window  points in the running mean; the first and last points have fewer
    """
    figure = Figure(figsize=(8.8, 2.9), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, len(losses), squeeze=False)[0]
    colours = [seaborn.color_palette("colorblind")[number] for number in (0, 1, 2, 4, 9, 8, 7)]
    for panel, loss in zip(panels, losses, strict=True):
        for number, (name, logged) in enumerate(curves.items()):
            if loss in logged:
                step, value = logged[loss]["step"], torch.tensor(logged[loss]["value"])
                mean = F.avg_pool1d(value[None], window, 1, window // 2, count_include_pad=False)[0]
                colour = colours[number % len(colours)]
                panel.plot(step, value, color=colour, linewidth=0.6, alpha=0.35)
                panel.plot(step, mean, color=colour, linewidth=1.6, label=name, zorder=3 - 0.1 * number)  # first on top
        panel.set(title=loss, xlabel="step", ylim=(0, None))
    handles = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels())}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def show_costs(costs: Mapping[str, Mapping[str, float]], quality: Mapping[str, float], title: str) -> Figure:
    """What each variant computes and holds, and, beside it, what that bought.

    costs    variant -> {"flops", "parameters"} of one picture
    quality  variant -> one measure, for the variants that have been trained
    title    of the measure
    """
    figure = Figure(figsize=(9, 0.9 + 0.24 * len(costs)), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    names = list(costs)
    numbers = {
        "Gflop a picture": [costs[name]["flops"] / 1e9 for name in names],
        "parameters, thousands": [costs[name]["parameters"] / 1e3 for name in names],
    }
    for panel, (label, values) in zip(panels, numbers.items()):
        bars = panel.barh(names, values, color=[COLD if name in quality else "#c8c8c8" for name in names], height=0.7)
        panel.bar_label(bars, fmt="%.2f" if max(values) < 10 else "%.0f", padding=4, fontsize=8, color=INK)
        panel.set(title=label, xlim=(0, 1.25 * max(values)))
        panel.tick_params(left=False)
    panels[2].plot([quality.get(name, float("nan")) for name in names], names, "o", color=COLD)
    for name, value in quality.items():
        panels[2].annotate(f"{value:.2f}", (value, name), (6, -3), textcoords="offset points", fontsize=8)
    panels[2].set(title=title)
    panels[2].margins(x=0.3)
    panels[2].grid(axis="y", color="#eeeeee")
    if len(quality) < len(costs):
        figure.supxlabel("grey: not trained yet", fontsize=8)
    panels[0].invert_yaxis()
    return figure


def show_chance(runs: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """The same thing trained again and again: each run with the interval over its test examples, and all their means.

    runs  name of a run -> {mean, low, high}
    """
    figure = Figure(figsize=(7.4, 0.8 + 0.25 * len(runs)), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    for name, found in runs.items():
        error = [[found["mean"] - found["low"]], [found["high"] - found["mean"]]]
        axes.errorbar(found["mean"], name, xerr=error, fmt="o", color=COLD, markersize=4, capsize=2)
    means = torch.tensor([found["mean"] for found in runs.values()])
    axes.axvspan(means.mean() - means.std(), means.mean() + means.std(), color="#f6e3d7", linewidth=0)
    axes.axvline(means.mean(), color=WARM, linewidth=1)
    axes.invert_yaxis()
    axes.set(title=title)
    axes.tick_params(left=False)
    return figure
