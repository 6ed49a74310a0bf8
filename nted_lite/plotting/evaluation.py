"""Pictures of lesson 08: pictures with their scores, maps, clouds of points, intervals, and a scoreboard."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import seaborn
import torch
from einops import rearrange
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from nted_lite.images import picture
from nted_lite.plotting.base import DPI, INK, PALE, PAPER, PART_COLOURS, put, say, sheet

COLD, WARM, LEAF, SAND = (PART_COLOURS[part] for part in ("top", "shoes", "bottom", "arms"))
REGION_COLOURS = {
    "silhouette": "#cc78bc", "edges": WARM, "patterned cloth": COLD, "plain cloth": "#56b4e9", "rest": "#d9d9d9",
}  # fmt: skip
"""Colours of the regions in which errors are counted, in the order of `nted_lite.evaluation.held_out.REGIONS`"""


def _paper(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout="constrained")


# ------------------------------------------------------------------------------------------------ pictures and scores


def show_candidates(
    pictures: Mapping[str, Tensor], scores: Mapping[str, Mapping[str, float]], truth: str = "ground truth"
) -> Figure:
    """Pictures side by side, and below each what every measure says about it; the best value is bold.

    pictures  name -> 3 h w, -1..1
    scores    measure -> name of a picture -> value; a measure whose name ends in "↓" is better when small
    truth     the picture that the others are compared with; it gets no scores
    """
    tallest = max(image.shape[-2] for image in pictures.values())
    scale = max(1, round(210 / tallest))
    height, width = tallest * scale, max(110, *(image.shape[-1] * scale for image in pictures.values()))
    gap, top = 10, 24
    margin = 20 + 7 * max(map(len, scores), default=0)
    figure, axes = sheet(margin + len(pictures) * (width + gap), top + height + 12 + 19 * len(scores))
    for column, (name, image) in enumerate(pictures.items()):
        x, own = margin + column * (width + gap), image.shape[-1] * scale
        say(axes, name, x + width / 2, top / 2)
        put(axes, image, x + (width - own) / 2, top, own, image.shape[-2] * scale)
    for row, (measure, values) in enumerate(scores.items()):
        y = top + height + 16 + 19 * row
        say(axes, measure, margin - 10, y, "right")
        best = (min if measure.endswith("↓") else max)(values.values())
        for column, name in enumerate(pictures):
            if name != truth and name in values:
                weight = "bold" if values[name] == best and len(values) > 1 else "normal"
                x = margin + column * (width + gap) + width / 2
                say(axes, f"{values[name]:#.3g}", x, y, fontweight=weight)
    return figure


def heat(values: Tensor, low: float, high: float, colours: str = "viridis") -> Tensor:
    """Numbers as colours. b h w -> b 3 h w in -1..1; low gets the first colour of the map, high the last"""
    scaled = ((values - low) / (high - low)).clamp(0, 1).cpu().numpy()
    rgb = torch.from_numpy(matplotlib.colormaps[colours](scaled)[..., :3]).float()
    return rearrange(rgb, "b h w c -> b c h w") * 2 - 1


def show_maps(
    pictures: Mapping[str, Tensor], maps: Mapping[str, Tensor], low: float, high: float, label: str,
    colours: str = "viridis",
) -> Figure:  # fmt: skip
    """Pictures, then maps of numbers, with a bar that says which colour is which number.

    pictures  name -> 3 h w, -1..1
    maps      name -> h w
    low, high numbers at the ends of the bar
    label     what the numbers are
    """
    coloured = {name: heat(values[None], low, high, colours)[0] for name, values in maps.items()}
    everything = {**pictures, **coloured}
    tallest = max(image.shape[-2] for image in everything.values())
    height, gap, top = max(1, round(256 / tallest)) * tallest, 10, 24
    widths = [round(height * image.shape[-1] / image.shape[-2]) for image in everything.values()]
    figure, axes = sheet(sum(widths) + gap * (len(widths) + 1) + 90, top + height + gap)
    x = gap
    for (name, image), width in zip(everything.items(), widths):
        say(axes, name, x + width / 2, top / 2)
        put(axes, image, x, top, width, height)
        x += width + gap
    bar = heat(torch.linspace(high, low, 64)[None, :, None], low, high, colours)[0]
    put(axes, bar, x, top, 14, height)
    for share in (0, 0.5, 1):
        say(axes, f"{low + share * (high - low):g}", x + 20, top + (1 - share) * (height - 12) + 6, "left", fontsize=8)
    say(axes, label, x + 62, top + height / 2, rotation=90, fontsize=8)
    return figure


def region_pictures(regions: Tensor) -> Tensor:
    """Numbers of regions in the colours of REGION_COLOURS. b h w -> b 3 h w in -1..1"""
    palette = torch.tensor([to_rgb(colour) for colour in REGION_COLOURS.values()], device=regions.device)
    return rearrange(palette[regions], "b h w c -> b c h w") * 2 - 1


def show_regions(
    person: Tensor, regions: Tensor, error: Mapping[str, Mapping[str, float]], area: Mapping[str, float]
) -> Figure:
    """Where the squared error is: a person, the regions of that picture, and each region's share of the error.

    person   3 h w, -1..1
    regions  h w int64, in the order of REGION_COLOURS
    error    region -> mean, low and high of its share of the squared error
    area     region -> its share of all pixels
    """
    figure = _paper(8.6, 3.1)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 3.4))
    for axes, title, image in ((left, "a person", person), (middle, "its regions", region_pictures(regions[None])[0])):
        axes.imshow(picture(image), interpolation="nearest")
        axes.axis("off")
        axes.set_title(title)
    places, areas = np.arange(len(error)), list(area.values())
    means, lows, highs = (np.array([value[key] for value in error.values()]) for key in ("mean", "low", "high"))
    colours, reach = [REGION_COLOURS[name] for name in error], [means - lows, highs - means]
    bars = right.barh(places - 0.19, means, 0.36, color=colours, xerr=reach, ecolor=INK)
    right.bar_label(bars, labels=[f"{mean:.0%} of the error" for mean in means], padding=8, fontsize=8)
    bars = right.barh(places + 0.19, areas, 0.3, color=PAPER, edgecolor=PALE, hatch="////")
    right.bar_label(bars, labels=[f"{share:.0%} of the pixels" for share in areas], padding=8, fontsize=8)
    right.set(yticks=places, yticklabels=list(error), xticks=[], xlim=(0, 1.3 * max(*highs, *areas)))
    right.invert_yaxis()
    right.spines["bottom"].set_visible(False)
    right.tick_params(left=False)
    return figure


# -------------------------------------------------------------------------------------------------- sets of pictures


def _ellipse(points: Tensor, colour: str, deviations: float = 2.0) -> Ellipse:
    """The ellipse of a cloud, n 2: its axes are the eigenvectors of the covariance, its half axes the deviations."""
    variances, directions = torch.linalg.eigh(torch.cov(points.T))
    width, height = (2 * deviations * variances.sqrt()).tolist()
    angle = torch.rad2deg(torch.atan2(directions[1, 0], directions[0, 0])).item()
    return Ellipse(points.mean(0).tolist(), width, height, angle=angle, fill=False, edgecolor=colour, linewidth=2)


def show_clouds(clouds: Mapping[str, tuple[Tensor, Tensor, str]]) -> Figure:
    """Two clouds of points in each panel, their ellipses (two standard deviations), and how the points are moved.

    clouds  title -> (points a, the points of b that they are moved to: n 2 each, a line below the panel)
    """
    figure = _paper(3.1 * len(clouds), 3.4)
    panels = figure.subplots(1, len(clouds), squeeze=False)[0]
    edges = {title: torch.stack(torch.cat([a, b]).aminmax(dim=0)) for title, (a, b, _) in clouds.items()}
    reach = 0.55 * max((high - low).max() for low, high in edges.values())  # one scale for all panels
    for panel, (title, (a, b, line)) in zip(panels, clouds.items()):
        for start, end in zip(a[:60].tolist(), b[:60].tolist()):  # sixty arrows are enough to see
            panel.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#bbbbbb", "linewidth": 0.7})
        for points, colour in ((a, COLD), (b, WARM)):
            panel.plot(*points[:60].T, ".", color=colour, markersize=3)
            panel.add_patch(_ellipse(points, colour))
            panel.plot(*points.mean(0), "+", color=colour, markersize=9, markeredgewidth=2)
        (x, y), side = edges[title].mean(0).tolist(), reach.item()
        panel.set(title=title, xlabel=line, xticks=[], yticks=[], aspect="equal")
        panel.set(xlim=(x - side, x + side), ylim=(y - 0.8 * side, y + 0.8 * side))
        panel.spines[["left", "bottom"]].set_visible(False)
    labels = (("cloud a", COLD), ("cloud b", WARM))
    handles = [matplotlib.lines.Line2D([], [], color=colour, label=label) for label, colour in labels]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def show_bias(sizes: Sequence[int], distances: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Frechet distances over the number of pictures: the mean of several draws, and their range.

    sizes      numbers of pictures
    distances  name -> the distances of several draws for each size; shorter, if a set has fewer pictures
    """
    figure = _paper(6.4, 3.2)
    axes = figure.subplots()
    for (name, draws), colour in zip(distances.items(), (LEAF, COLD, WARM)):
        x = [size for size, values in zip(sizes, draws) for _ in values]
        y = [value for values in draws for value in values]
        seaborn.lineplot(x=x, y=y, ax=axes, color=colour, marker="o", errorbar=("pi", 100), label=name)
    axes.set(xscale="log", xlabel="number of pictures", ylabel="Frechet distance", ylim=(0, None))
    axes.set_xticks(list(sizes), [str(size) for size in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


# ---------------------------------------------------------------------------------------------------------- matrices


def show_matrix(
    values: Tensor, rows: Sequence[str], columns: Sequence[str], across: str = "", down: str = "", digits: int = 2,
    high: float | None = None,
) -> Figure:  # fmt: skip
    """A table of numbers, n d, in colours: darker is more. NaN stays empty.

    across, down  what the columns and the rows are
    high          the number that gets the darkest colour; None: the largest
    """
    column = max(0.66, 0.1 * max(map(len, columns)))
    figure = _paper(0.5 + 0.09 * max(map(len, rows)) + column * len(columns), 0.6 + 0.34 * len(rows))
    axes = figure.subplots()
    seaborn.heatmap(
        values.cpu().numpy(), ax=axes, cmap="Blues", vmin=0, vmax=high, annot=True, fmt=f".{digits}f", cbar=False,
        xticklabels=list(columns), yticklabels=list(rows), linewidths=1, annot_kws={"fontsize": 8},
    )  # fmt: skip
    axes.set(xlabel=across, ylabel=down)
    axes.tick_params(length=0)
    axes.tick_params(labelrotation=0)
    return figure


# --------------------------------------------------------------------------------------------------------- intervals


def show_bootstrap(scores: Tensor, means: Tensor, low: float, high: float, unit: str) -> Figure:
    """What people scored, and where the mean of people drawn again and again lies.

    scores     n, one for each person
    means      one for each draw
    low, high  the interval
    unit       name of the axis
    """
    figure = _paper(8.2, 2.8)
    left, right = figure.subplots(1, 2)
    bars = {"edgecolor": PAPER, "alpha": 1, "zorder": 2}
    seaborn.histplot(x=scores.cpu().numpy(), ax=left, color=PALE, bins=20, **bars)
    left.set(title=f"the scores of {len(scores)} people", xlabel=unit, ylabel="people")
    seaborn.histplot(x=means.cpu().numpy(), ax=right, color=COLD, bins=30, **bars)
    right.set(title=f"the means of {len(means)} draws", xlabel=unit, ylabel="draws")
    for axes in (left, right):
        axes.axvspan(low, high, color=SAND, alpha=0.35, linewidth=0, zorder=1, label="95 % interval")
        axes.axvline(scores.mean().item(), color=INK, linewidth=1.2, zorder=3, label="mean of all")
        axes.yaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def show_paired(
    a: Tensor, b: Tensor, names: tuple[str, str], intervals: Mapping[str, Mapping[str, float]], unit: str
) -> Figure:
    """Two models on the same people: a point for each person, and the intervals of what is compared.

    a, b       n, the scores of the two
    names      of the two
    intervals  name -> mean, low and high, all differences
    """
    figure = _paper(8.2, 3.0)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    left.plot(a.cpu(), b.cpu(), ".", color=COLD, markersize=4)
    ends = min(a.min(), b.min()).item(), max(a.max(), b.max()).item()
    left.plot(ends, ends, color=PALE, linewidth=1, linestyle=":")
    left.set(xlabel=f"{names[0]}, {unit}", ylabel=f"{names[1]}, {unit}", aspect="equal", title="each person")
    for place, value in enumerate(intervals.values()):
        right.plot([value["low"], value["high"]], [place] * 2, color=COLD, linewidth=5, solid_capstyle="butt")
        right.plot(value["mean"], place, "o", color=INK, markersize=6)
    right.axvline(0, color=PALE, linewidth=1, linestyle=":")
    right.set(yticks=range(len(intervals)), yticklabels=list(intervals), ylim=(len(intervals) - 0.5, -0.5))
    right.set(xlabel=f"{names[1]} minus {names[0]}, {unit}", title="the difference, and its 95 % interval")
    right.tick_params(left=False)
    return figure


def show_scoreboard(rows: Mapping[str, Mapping[str, Mapping[str, float] | None]], marked: Sequence[str] = ()) -> Figure:
    """One line for each model, one panel for each measure; the bar is the 95 % interval.

    rows    name -> measure -> mean, low and high; None: not measured
    marked  names drawn in grey, such as baselines
    """
    measures = list(next(iter(rows.values())))
    figure = _paper(1.6 + 1.75 * len(measures), 0.9 + 0.27 * len(rows))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures):
        for place, (name, values) in enumerate(rows.items()):
            value, colour = values[measure], PALE if name in marked else COLD
            panel.axhline(place, color="#e8e8e8", linewidth=0.8, zorder=0)
            if value is not None:
                panel.plot([value["low"], value["high"]], [place] * 2, color=colour, linewidth=5, solid_capstyle="butt")
                panel.plot(value["mean"], place, "o", color=PALE if name in marked else INK, markersize=4)
        panel.set(title=measure, yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.5))
        panel.tick_params(left=False, labelsize=8)
        panel.title.set_fontsize(9)
        panel.margins(x=0.12)
    return figure
