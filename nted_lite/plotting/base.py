"""Pictures of people, poses, maps and textures: one call, one figure.

Every public `show_...` returns a matplotlib Figure that belongs to nobody: a notebook shows it by naming it last in a
cell, a script saves it with `figure.savefig`. Small pictures are enlarged without smoothing, so every pixel that a
model made can be seen.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce, repeat
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from nted_lite.entities import GROUPS, confusion
from nted_lite.images import picture
from nted_lite.people import PARTS
from nted_lite.pose import JOINTS, LIMBS, stick_figures
from nted_lite.texture import gather

# From seaborn's "colorblind" palette; skin (face, arms, legs) is warm, cloth is cool.
PART_COLOURS = {
    "background": "#949494", "hair": "#ca9161", "face": "#fbafe4", "arms": "#de8f05",
    "top": "#0173b2", "bottom": "#029e73", "legs": "#ece133", "shoes": "#d55e00",
}  # fmt: skip
INK, PALE, PAPER = "#333333", "#888888", "#ffffff"
DPI = 100


def style() -> None:
    """Set up the figures of a notebook: PNG, uncropped, calm colours. Call it once, in the set-up cell."""
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("png", bbox_inches=None, pil_kwargs={"compress_level": 9})
    matplotlib.rcParams.update({
        "figure.dpi": DPI, "figure.constrained_layout.use": True, "font.size": 9, "text.color": INK,
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": PALE, "axes.labelcolor": INK,
        "axes.prop_cycle": matplotlib.cycler(color=[PART_COLOURS[p] for p in ("top", "arms", "bottom", "shoes")]),
    })  # fmt: skip


# ------------------------------------------------------------------------------------------------ tensors to pictures


def part_pictures(parts: Tensor) -> Tensor:
    """Part labels in the colours of PART_COLOURS. b h w -> b 3 h w in -1..1"""
    palette = torch.tensor([to_rgb(PART_COLOURS[part]) for part in PARTS], device=parts.device)
    return rearrange(palette[parts], "b h w c -> b c h w") * 2 - 1


def texture_parts(distribution: Tensor, parts: Tensor) -> list[int]:
    """The part that has most of the pixels in which a texture leads, on b pictures; background if it leads in none.

    b k h w, b H W -> k numbers of PARTS
    """
    return confusion(distribution, parts).argmax(1).tolist()


def texture_colours(groups: Sequence[int]) -> Tensor:
    """A colour for each texture: its part's, in a lighter or darker shade where several share the part. -> k 3"""
    colours = torch.tensor([to_rgb(PART_COLOURS[PARTS[part]]) for part in groups])
    for part in set(groups):
        members = [texture for texture, group in enumerate(groups) if group == part]
        for place, texture in enumerate(members):
            shade = 0.0 if len(members) == 1 else 0.9 * place / (len(members) - 1) - 0.4
            towards = torch.full((3,), 1.0 if shade > 0 else 0.0)
            colours[texture] = torch.lerp(colours[texture], towards, abs(shade))
    return colours


def painted(maps: Tensor, groups: Sequence[int]) -> Tensor:
    """Distribution maps as one picture: each texture's share of its colour. b k h w -> b 3 h w in -1..1"""
    return einsum(maps, texture_colours(groups).to(maps.device), "b k h w, k c -> b c h w") * 2 - 1


def spotlight(image: Tensor, maps: Tensor) -> Tensor:
    """One picture lit by each of k maps, light grey elsewhere. 3 h w, k H W (0..1) -> k 3 h w"""
    light = F.interpolate(rearrange(maps, "k h w -> k 1 h w"), size=image.shape[-2:], mode="nearest").clamp(0, 1)
    return light * image + (1 - light) * 0.86


# --------------------------------------------------------------------------------------------------- a sheet of paper


def lit(image: Tensor, maps: Tensor) -> Tensor:
    """One picture lit by each of k maps, scaled to full brightness. 3 h w, k h w -> k 3 h w"""
    return spotlight(image, maps / torch.quantile(maps.flatten(1), 0.98, dim=1)[:, None, None])


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure whose coordinates are its pixels, y downwards."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER, layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def put(axes: Axes, image: Tensor, x: float, y: float, width: float, height: float) -> None:
    """A picture 3 h w, enlarged to a box whose upper left corner is x y."""
    axes.imshow(picture(image), extent=(x, x + width, y + height, y), interpolation="nearest", aspect="auto")


def say(axes: Axes, text: str, x: float, y: float, across: str = "center", down: str = "center", **style) -> None:
    """Words at x y."""
    axes.text(x, y, text, ha=across, va=down, **({"fontsize": 9, "color": INK, "linespacing": 1.25} | style))


def part_legend(axes: Axes, x: float, y: float, colours: Mapping[str, str] = PART_COLOURS) -> None:
    """The parts (or any other names) and their colours, in a line."""
    for part, colour in colours.items():
        axes.add_patch(matplotlib.patches.Rectangle((x, y - 5), 10, 10, color=colour, linewidth=0))
        say(axes, part, x + 15, y, "left", fontsize=8)
        x += 30 + 6.2 * len(part)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
    """An arrow from x y to x y."""
    shape = {"arrowstyle": "-|>", "color": PALE, "linewidth": 1.3, "connectionstyle": f"arc3,rad={bend}"}
    axes.annotate("", end, start, arrowprops=shape | {"shrinkA": 0, "shrinkB": 0})


# ------------------------------------------------------------------------------------------------------------ figures


def contact_sheet(
    rows: Mapping[str, Tensor], columns: Sequence[str] = (), scale: int = 0, legend: Mapping[str, str] | bool = False
) -> Figure:
    """Rows of pictures, each with its name.

    rows     name -> b 3 h w in -1..1 (pictures of any size; the tallest sets the height)
    columns  a title for each column
    scale    how much a pixel is enlarged; 0 chooses what fits a notebook
    legend   names and their colours, drawn below; True: those of the parts
    """
    count = max(len(images) for images in rows.values())
    height, width = (max(images.shape[axis] for images in rows.values()) for axis in (2, 3))
    scale = scale or max(1, min(4, round(820 / (count * width))))
    height, width, gap = height * scale, width * scale, 6
    margin = 24 + 7.2 * max(len(line) for name in rows for line in name.split("\n"))
    top = 22 if columns else gap
    bottom = top + len(rows) * (height + gap)
    wide = max(margin + count * (width + gap), max(620, margin + 490) * bool(legend))
    figure, axes = sheet(wide, bottom + 24 * bool(legend))
    for row, (name, images) in enumerate(rows.items()):
        y = top + row * (height + gap)
        say(axes, name, margin - 10, y + height / 2, "right")
        for column, image in enumerate(images):
            put(axes, image, margin + column * (width + gap), y, width, height)
    for column, title in enumerate(columns):
        say(axes, title, margin + column * (width + gap) + width / 2, top / 2)
    if legend:
        part_legend(axes, margin, bottom + 10, PART_COLOURS if legend is True else legend)
    return figure


def show_pose(pose: Tensor, limbs: Sequence[int] = (0, 2, 3, 7, 8, 12)) -> Figure:
    """A pose map, 20 h w: the stick figure of channels 0-2, and the distances to some limbs (channel 3 + limb)."""
    chosen = pose[[3 + limb for limb in limbs]].cpu()
    distances = matplotlib.colormaps["viridis_r"]((chosen / chosen.max()).numpy())[..., :3]
    distances = rearrange(torch.from_numpy(distances).float(), "l h w c -> l c h w") * 2 - 1
    names = ["–".join(_short(JOINTS[joint]) for joint in LIMBS[limb]) for limb in limbs]
    pictures = torch.cat([stick_figures(pose[None].cpu()), distances])
    return contact_sheet({"": pictures}, ["channels 0–2", *names], scale=max(1, round(110 / pose.shape[-1])))


def _short(joint: str) -> str:
    return joint.replace("right ", "r ").replace("left ", "l ")


def show_parts(images: Tensor, parts: Tensor) -> Figure:
    """Pictures b 3 h w above their part labels b h w."""
    return contact_sheet({"picture": images, "parts": part_pictures(parts)}, legend=True)


def show_transfer(reference: Tensor, pose: Tensor, generated: Tensor, target: Tensor | None = None) -> Figure:
    """People (b 3 h w), the poses asked for (b 20 h w), what a model generated, and the ground truth if it is known."""
    rows = {"reference": reference, "target pose": stick_figures(pose), "generated": generated}
    return contact_sheet(rows if target is None else rows | {"ground truth": target})


def show_swap(person: Tensor, donor: Tensor, before: Tensor, generated: Tensor, target: Tensor) -> Figure:
    """A garment changes hands: b 3 h w each, the last three in the target pose."""
    rows = {
        "person": person, "garment from": donor, "generated,\nown garment": before,
        "generated,\nswapped": generated, "ground truth,\nswapped": target,
    }  # fmt: skip
    return contact_sheet(rows, scale=2 if len(person) > 5 else 3)


def show_entities(image: Tensor, parts: Tensor, distributions: Sequence[Tensor]) -> Figure:
    """Which texture paints which pixel, one row an operation.

    image          b 3 h w    the pictures that were painted
    parts          b h w      their ground-truth parts
    distributions  b k h w each; textures that paint the same kind of thing most share its colour, in shades

    Face, arms and legs have one colour, skin: nothing tells a model apart what looks alike.
    """
    merged = torch.tensor([PARTS.index("arms" if part in GROUPS["skin"] else part) for part in PARTS])
    parts = merged.to(parts.device)[parts]
    legend = {name: PART_COLOURS["arms" if name == "skin" else name] for name in GROUPS}
    rows = {"picture": image, "ground-truth parts": part_pictures(parts)}
    for number, maps in enumerate(distributions):
        size = "×".join(map(str, maps.shape[-2:]))
        rows[f"operation {number}\n{size}, k = {maps.shape[1]}"] = painted(maps, texture_parts(maps, parts))
    return contact_sheet(rows, legend=legend)


def show_textures(
    reference: Tensor, extraction: Tensor, target: Tensor, distribution: Tensor, groups: Sequence[int]
) -> Figure:
    """What each texture of one operation is: pixels it averages, their mean colour, pixels it paints, share of all.

    reference, target         3 h w    lit where the maps are large
    extraction, distribution  k h w
    groups                    k numbers of PARTS, see `texture_parts`

    Textures that paint mostly the background are only counted: their pictures would be nearly white.
    """
    taken = lit(reference, extraction)
    given = spotlight(target, distribution)
    small = F.interpolate(reference[None], size=extraction.shape[-2:], mode="area")
    swatches = gather(small, extraction[None])[0]
    usage = reduce(distribution, "k h w -> k", "mean").tolist()
    order = sorted(range(len(groups)), key=lambda texture: (groups[texture], -usage[texture]))
    order = [texture for texture in order if PARTS[groups[texture]] != "background"]
    scale, gap, margin = max(1, round(88 / reference.shape[-1])), 6, 76
    height, width = (side * scale for side in reference.shape[-2:])
    block, lines = 2 * height + 80, -(-len(order) // 9)
    across = -(-len(order) // max(1, lines))
    figure, axes = sheet(max(420, margin + across * (width + gap)), lines * block + 26)
    rest = [usage[texture] for texture in range(len(groups)) if texture not in order]
    note = f"not drawn: {len(rest)} textures that paint mostly the background, {sum(rest):.0%} of the picture"
    say(axes, note.replace("%", " %"), margin, lines * block + 12, "left", fontsize=8)
    for place, texture in enumerate(order):
        x, y = margin + place % across * (width + gap), place // across * block
        say(axes, f"{texture} {PARTS[groups[texture]]}", x + width / 2, y + 11, fontsize=8)
        put(axes, taken[texture], x, y + 22, width, height)
        put(axes, repeat(swatches[texture], "c -> c 1 1"), x, y + height + 27, width, 14)
        put(axes, given[texture], x, y + height + 46, width, height)
        say(axes, f"{usage[texture]:.1%}".replace("%", " %"), x + width / 2, y + block - 24, fontsize=8)
        if place % across == 0:
            downs = (22 + height / 2, height + 34, 46 + 1.5 * height, block - 24)
            for name, down in zip(("averages", "colour", "paints", "share"), downs):
                say(axes, name, margin - 10, y + down, "right")
    return figure


def show_measures(measured: Mapping[str, Mapping[str, Mapping[str, float]]], names: Mapping[str, str]) -> Figure:
    """Bars with their 95 % intervals, one panel a measure.

    measured  row -> measure -> {mean, low, high}: a table of metrics.json
    names     measure -> title of its panel
    """
    figure = Figure(figsize=(9, 0.8 + 0.3 * len(measured)), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, (name, title) in zip(panels, names.items()):
        means, lows, highs = ([row[name][key] for row in measured.values()] for key in ("mean", "low", "high"))
        errors = np.abs([lows, highs] - np.array(means))
        colours = [PART_COLOURS["top"]] + ["#c8c8c8"] * (len(measured) - 1)
        bars = panel.barh(list(measured), means, xerr=errors, color=colours, height=0.7, ecolor=INK)
        panel.bar_label(bars, fmt="%#.3g", padding=5, fontsize=8, color=INK)
        panel.set(xlim=(0, 1.22 * max(highs)), title=title)
        panel.tick_params(left=False)
    panels[0].invert_yaxis()
    return figure
