"""Figures of lesson 01: the ground truth of a person, how much of it a reference shows, and distances to limbs."""

from collections.abc import Mapping, Sequence

import matplotlib
import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from nted_lite.people import View
from nted_lite.plotting.base import (
    DPI,
    INK,
    PALE,
    PAPER,
    PART_COLOURS,
    contact_sheet,
    part_pictures,
    picture,
    put,
    say,
    sheet,
    stick_figures,
)
from nted_lite.pose import COLOURS, JOINTS, LIMBS, pose_map

UNSEEN = "#cc78bc"  # from the same palette as the parts, but not used by any part
CHECKS = ("#ffffff", "#0173b2")
BAND = 4  # pixels between two lines of equal distance
SIDES = {
    "right arm": (0, 2, 3), "left arm": (1, 4, 5), "right leg": (6, 7, 8), "left leg": (9, 10, 11),
    "head": (12, 13, 14, 15, 16),
}  # fmt: skip
"""The limbs by what a reader calls them; right and left are the person's own"""


# ------------------------------------------------------------------------------------------------ tensors to pictures


def heat(values: Tensor) -> Tensor:
    """Numbers as colours: small ones dark, infinite ones white. ... h w -> ... 3 h w in -1..1"""
    values = values.detach().float().cpu()
    known = values.isfinite()
    low, high = (float(end) for end in values[known].aminmax()) if known.any() else (0.0, 1.0)
    colours = matplotlib.colormaps["viridis"]((values.where(known, low) - low).numpy() / max(high - low, 1e-9))
    colours = torch.from_numpy(colours[..., :3]).float().where(known[..., None], 1.0)
    return rearrange(colours, "... h w c -> ... c h w") * 2 - 1


def checkered(view: View, period: float = 0.12) -> Tensor:
    """People in a checked cloth that follows the surface coordinates. period  in metres  ->  b 3 h w in -1..1"""
    u, v = ((view.surface / period).floor().long() % 2).unbind(1)
    cloth = torch.tensor([to_rgb(colour) for colour in CHECKS], device=u.device)[(u + v) % 2]
    cloth = cloth.where((view.primitive >= 0)[..., None], torch.tensor(to_rgb(PART_COLOURS["background"])).to(cloth))
    return rearrange(cloth, "b h w c -> b c h w") * 2 - 1


def marked(image: Tensor, mask: Tensor, colour: str = UNSEEN) -> Tensor:
    """Pictures, b 3 h w in -1..1, with the pixels of a mask, b h w, in one colour."""
    paint = torch.tensor(to_rgb(colour), device=image.device)[:, None, None] * 2 - 1
    return torch.where(mask[:, None], paint, image)


def bands(distance: Tensor) -> Tensor:
    """Distances in pixels as stripes BAND pixels wide, to show equal distances. ... h w -> ... 3 h w in -1..1"""
    pictures = heat(-distance.where(distance < 1000, torch.inf))
    odd = (distance / BAND).floor() % 2 == 1
    return torch.where(odd[..., None, :, :], 0.55 * (pictures + 1) - 1, pictures)


# ------------------------------------------------------------------------------------------------------------ figures


def show_truth(view: View, number: int = 0, scale: int = 0) -> Figure:
    """One picture and its ground truth: key points, parts, surface, depth."""
    one = view[number].to("cpu")
    height, width = one.image.shape[2:]
    scale = scale or max(1, round(140 / width))
    names = ("picture", "key points", "parts", "a checked cloth", "depth")
    faded = 0.35 * one.image + 0.65
    pictures = torch.cat([one.image, faded, part_pictures(one.parts), checkered(one), heat(-one.depth)])
    gap, top = 8, 22
    figure, axes = sheet(len(names) * (width * scale + gap) + gap, top + height * scale + gap)
    for place, (name, image) in enumerate(zip(names, pictures, strict=True)):
        x = gap + place * (width * scale + gap)
        say(axes, name, x + width * scale / 2, top / 2)
        put(axes, image, x, top, width * scale, height * scale)
    _skeleton(axes, one, 2 * gap + width * scale, top, scale)
    return figure


def _skeleton(axes: Axes, one: View, left: float, top: float, scale: int) -> None:
    """Draw the limbs whose joints are both visible; visible joints as dots, hidden ones inside the picture as rings."""
    height, width = one.image.shape[2:]
    frame = torch.tensor([width, height])
    inside = ((one.keypoints[0] > -0.5) & (one.keypoints[0] < frame - 0.5)).all(-1)
    points = (one.keypoints[0] + 0.5) * scale + torch.tensor([left, top])  # whole numbers are pixel centres
    for (a, b), colour in zip(LIMBS, COLOURS):
        if one.visible[0, a] and one.visible[0, b]:
            x, y = points[[a, b]].T.tolist()
            axes.plot(x, y, color=_rgb(colour), linewidth=2.2, solid_capstyle="round")
    for joint, ((x, y), colour) in enumerate(zip(points.tolist(), COLOURS, strict=True)):
        if inside[joint]:
            face = _rgb(colour) if one.visible[0, joint] else PAPER
            axes.plot(x, y, "o", markersize=4, markerfacecolor=face, markeredgecolor=INK, markeredgewidth=0.6)


def _rgb(colour: Sequence[int]) -> tuple[float, ...]:
    return tuple(level / 255 for level in reversed(colour))  # COLOURS lists blue first


def show_limbs(views: View) -> Figure:
    """The stick figure's colours: pictures of people beside their figures, and names in the limbs' colours."""
    b, _, height, width = views.image.shape
    scale, gap, top = max(1, round(140 / width)), 8, 22
    figure, axes = sheet(b * (2 * width * scale + 4 * gap) + 120, top + height * scale + gap)
    figures = stick_figures(pose_map(views.keypoints, views.visible, height, width)).cpu()
    for number, (image, lines) in enumerate(zip(views.image, figures, strict=True)):
        x = gap + number * (2 * width * scale + 4 * gap)
        put(axes, image, x, top, width * scale, height * scale)
        put(axes, lines, x + width * scale + gap, top, width * scale, height * scale)
    x, y = b * (2 * width * scale + 4 * gap) + gap, top + 30
    for name, limbs in SIDES.items():
        for place, limb in enumerate(limbs):
            axes.add_patch(Rectangle((x + 15 * place, y - 6), 15, 12, color=_rgb(COLOURS[limb]), linewidth=0))
        say(axes, name, x, y - 16, "left", fontsize=8)
        y += 42
    return figure


def show_channels(pose: Tensor) -> Figure:
    """All 20 channels of a pose map, each with its name, and a bar for the values of channels 3-19. pose 20 h w"""
    figure = Figure(figsize=(9, 5.2), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(2, 9).flatten()
    panels[0].imshow(picture(stick_figures(pose[None])[0]), interpolation="nearest")
    panels[0].set_title("0–2\nstick figure", fontsize=7)
    for number, (channel, (a, b), panel) in enumerate(zip(pose[3:].cpu(), LIMBS, panels[1:], strict=True), start=3):
        drawn = panel.imshow(channel.numpy(), cmap="viridis", vmin=0, vmax=pose[3:].max().item())
        panel.set_title(f"{number}\n{JOINTS[a]} –\n{JOINTS[b]}", fontsize=7)
    for panel in panels:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, color=PALE)
    figure.colorbar(drawn, ax=panels.tolist(), location="bottom", shrink=0.4, aspect=40, label="value of the channel")
    return figure


def show_seen(reference: View, target: View, seen: Tensor) -> Figure:
    """Pairs of views, and below them the targets with all that the reference does not show in one colour.

    seen  b h w, bool: where the target shows a surface that the reference shows, too

    The title of each column is the share of the target's person that the reference does not show.
    """
    person = target.primitive >= 0
    unseen = person & ~seen
    shares = unseen.float().sum((1, 2)) / person.float().sum((1, 2)).clamp_min(1)
    rows = {
        "reference": reference.image, "target": target.image, "never\nshown": marked(target.image, unseen)
    }  # fmt: skip
    return contact_sheet(rows, [f"{100 * share:.0f} %" for share in shares.tolist()])


def show_turning(degrees: Sequence[float], images: Tensor, shares: Tensor) -> Figure:
    """How much of a person is new after a turn.

    degrees  n          how far people turned
    images   n 3 h w    one of them at each angle
    shares   n b        share of each person that was not visible before the turn, 0..1
    """
    width, below, strip = 7.6, 2.3, 0.86 / len(degrees)  # inches, inches, share of the width
    above = 0.95 * strip * width * images.shape[2] / images.shape[3]
    figure = Figure(figsize=(width, above + below), dpi=DPI, facecolor=PAPER, layout="none")
    top = below / (above + below)
    for place, image in enumerate(images):
        box = figure.add_axes((0.1 + place * strip, top, strip, 1 - top))
        box.imshow(picture(image), interpolation="nearest")
        box.axis("off")
    axes = figure.add_axes((0.1, 0.22 * top, 0.86, 0.72 * top))
    axes.plot(degrees, 100 * shares.cpu().numpy(), color="#d0d0d0", linewidth=1)
    axes.plot(degrees, 100 * shares.mean(1).cpu().numpy(), "o-", color=UNSEEN, linewidth=2)
    half = (degrees[-1] - degrees[0]) / (len(degrees) - 1) / 2
    axes.set(xlabel="turned by (degrees)", ylabel="never shown (%)", xticks=list(degrees), ylim=(0, None))
    axes.set_xlim(degrees[0] - half, degrees[-1] + half)  # each point stands below its picture
    return figure


def show_numbers(grids: Mapping[str, Tensor]) -> Figure:
    """Small tables of numbers, h w, side by side, with darker colours for larger numbers; 1000 and above is a dot."""
    figure = Figure(figsize=(9, 2.0), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, len(grids), squeeze=False)[0]
    top = max(float(grid[grid < 1000].max()) for grid in grids.values())
    for panel, (name, grid) in zip(panels, grids.items(), strict=True):
        colours = matplotlib.colormaps["viridis_r"].with_extremes(over=PAPER)
        panel.imshow(grid.numpy(), cmap=colours, vmin=0, vmax=1.6 * top, alpha=0.6)
        panel.spines[:].set(visible=True, color=PALE)
        for (row, column), value in zip(torch.cartesian_prod(*map(torch.arange, grid.shape)).tolist(), grid.flatten()):
            panel.text(column, row, f"{value:.0f}" if value < 1000 else "·", ha="center", va="center", color=INK)
        panel.set_title(name, fontsize=9)
        panel.set(xticks=[], yticks=[])
    return figure


def show_limb(pose: Tensor, limb: int) -> Figure:
    """A pose map's stick figure, and one of its distance channels with lines of equal distance. pose 20 h w"""
    figure = Figure(figsize=(4.6, 3.5), dpi=DPI, facecolor=PAPER, layout="constrained")
    lines, channel = figure.subplots(1, 2)
    lines.imshow(picture(stick_figures(pose[None])[0]), interpolation="nearest")
    lines.set_title("channels 0–2", fontsize=9)
    levels = (255 * pose[3 + limb]).cpu().numpy()
    channel.imshow(levels, cmap="viridis_r", vmin=0, vmax=144, interpolation="nearest")
    if levels.min() < levels.max():
        channel.contour(levels, levels=range(5, 255, 10), colors=PAPER, linewidths=0.7)
    names = " – ".join(JOINTS[joint] for joint in LIMBS[limb])
    channel.set_title(f"channel {3 + limb}: {names}", fontsize=9)
    for panel in (lines, channel):
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, color=PALE)
    return figure
