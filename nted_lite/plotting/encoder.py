"""Figures of lesson 04: signals through layers, false stripes and their spectra, textures at each scale."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from matplotlib.figure import Figure
from torch import Tensor

from nted_lite.entities import shrink
from nted_lite.people import PARTS, SPLITS, render, sample_people, sample_poses
from nted_lite.plotting.base import DPI, INK, PALE, PAPER, lit, put, say, sheet
from nted_lite.texture import gather


def striped(period: float, rows: int = 0, height: int = 64) -> tuple[Tensor, Tensor]:
    """One of the test people, in a dress with horizontal stripes.

    period   metres from one stripe to the next
    rows     how far the picture is shifted up; its last row is repeated at the bottom
    height   rows of the picture
    returns  1 3 h w   the picture, -1..1
             1 1 h w   1 on the dress, else 0
    """
    index = torch.tensor([14])
    person = replace(sample_people(SPLITS["test"], index), top_period=torch.tensor([period]))  # her dress has stripes
    view = render(person, sample_poses(SPLITS["test"], index, view=0), height)
    dress = rearrange(view.parts == PARTS.index("top"), "b h w -> b 1 h w").float()
    moved = [F.pad(image, (0, 0, 0, rows), mode="replicate")[..., rows:, :] for image in (view.image, dress)]
    return moved[0], moved[1]


def show_lines(
    lines: Mapping[str, Sequence[float]], across: str, down: str, limits: tuple[float, float] | None = None
) -> Figure:
    """Lines through values at 0, 1, 2 ...

    lines   name -> values
    across  label of the horizontal axis
    down    label of the vertical axis
    limits  range of a logarithmic vertical axis, which lines may leave; None: a linear axis
    """
    figure = Figure(figsize=(8.2, 3.2), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    for (name, values), marker in zip(lines.items(), "osD^", strict=False):
        axes.plot(values, marker=marker, markersize=5, linewidth=1.8, label=name)
    axes.set(xlabel=across, ylabel=down, xticks=range(len(values)))
    if limits:
        axes.set(yscale="log", ylim=limits)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    figure.legend(loc="outside right center", frameon=False, labelspacing=1.2)
    return figure


def show_moves(moves: Mapping[str, Sequence[float]], names: Sequence[str]) -> Figure:
    """Groups of bars: how far each layer moved in each of several runs, relative to the norm of its weights.

    moves  name of a run -> one value per layer
    names  names of the layers
    """
    figure = Figure(figsize=(8.2, 3.0), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    for number, (name, values) in enumerate(moves.items()):
        places = [layer + 0.38 * (number - (len(moves) - 1) / 2) for layer in range(len(values))]
        bars = axes.bar(places, values, width=0.34, label=name)
        axes.bar_label(bars, [f"{value:.0%}".replace("%", " %") for value in values], padding=2, fontsize=8, color=INK)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title("how far the weights moved, as a share of their own length", loc="left")
    figure.legend(loc="outside right center", frameon=False)
    return figure


def spectrum(signal: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """How much of each frequency there is in samples that are `step` rows apart.

    signal   h   its mean is subtracted, and its ends are faded out
    returns  frequencies in stripes per row, 0 .. 0.5 / step; amplitudes, where a unit sine has 1
    """
    window = torch.hann_window(len(signal), periodic=False, dtype=signal.dtype)
    faded = (signal - signal.mean()) * window
    amplitude = torch.fft.rfft(faded, n=512).abs() * (2 / window.sum())
    return torch.fft.rfftfreq(512, d=step), amplitude


def show_spectra(signals: Mapping[str, tuple[Tensor, int]]) -> Figure:
    """Spectra of the same stripes, sampled in several ways, above one axis of stripes per row of the full picture.

    signals  name -> (samples h, rows from one sample to the next)
    """
    figure = Figure(figsize=(8.2, 3.4), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    peaks = []
    for (name, (signal, step)), line in zip(signals.items(), ("-", "-", "--"), strict=False):
        frequency, amplitude = spectrum(signal, step)
        axes.plot(frequency, amplitude, line, linewidth=1.8, label=name)
        peaks.append((frequency[amplitude.argmax()].item(), amplitude.max().item()))
    limit, top = 0.5 / max(step for _, step in signals.values()), 1.25 * max(height for _, height in peaks)
    axes.axvline(limit, color=PALE, linewidth=1, linestyle=":")
    axes.axvspan(limit, 0.5, color="#f3f3f3", linewidth=0)
    style = {"ha": "center", "va": "top", "fontsize": 8, "color": INK}
    axes.text(1.5 * limit, 0.98 * top, "too fine for the small picture", **style)
    axes.text(0.5 * limit, 0.98 * top, "what the small picture can hold", **style)
    (true, high), (false, low) = peaks[:2]
    shape = {"arrowstyle": "-|>", "color": PALE, "linewidth": 1.3, "shrinkA": 6, "shrinkB": 6}
    axes.annotate("", (false, low), (true, high), arrowprops=shape | {"connectionstyle": "arc3,rad=0.25"})
    axes.set(xlim=(0, 0.5), ylim=(0, top), xlabel="stripes per row of the full picture", ylabel="amplitude")
    figure.legend(loc="outside right center", frameon=False, labelspacing=1.2)
    return figure


def folded(frequency: float, step: int) -> float:
    """Where a frequency, in stripes per row, comes back if only every `step`-th row is kept: 0 .. 0.5 / step"""
    return abs(frequency - round(frequency * step) / step)


def show_folding(frequency: float, step: int, rows: int = 21) -> Figure:
    """A stripe, the rows that are kept of it, and the slower stripe that goes through the same rows.

    frequency  stripes per row
    step       every how many rows are kept
    """
    figure = Figure(figsize=(8.2, 2.6), dpi=DPI, facecolor=PAPER, layout="constrained")
    axes = figure.subplots()
    places, kept = torch.linspace(0, rows - 1, 40 * rows), torch.arange(0, rows, step)
    for name, stripes, line in (("the stripe", frequency, "-"), ("what is left", folded(frequency, step), "--")):
        values = torch.cos(2 * torch.pi * stripes * places)
        axes.plot(places, values, line, linewidth=1.5, label=f"{name}: {stripes:.2f} a row")
    axes.plot(kept, torch.cos(2 * torch.pi * frequency * kept), "o", color=INK, markersize=6, label="rows kept")
    axes.set(xlabel="row", ylabel="brightness", xticks=range(0, rows, 2), yticks=(-1, 0, 1))
    figure.legend(loc="outside right center", frameon=False, labelspacing=1.2)
    return figure


def extracted_parts(extraction: Tensor, parts: Tensor) -> list[int]:
    """The part that each texture averages most, over b pictures. b k h w, b H W -> k indices into PARTS"""
    labels = F.one_hot(shrink(parts, extraction), len(PARTS)).to(extraction)
    return einsum(extraction, labels, "b k h w, b h w g -> k g").argmax(1).tolist()


def show_scales(reference: Tensor, extraction: Mapping[str, Tensor], parts: Tensor) -> Figure:
    """The textures of every operation on one person: the pixels that each averages, above their mean colour.

    reference   b 3 h w   of which person 0 is shown
    extraction  name of an operation -> b k h w
    parts       b h w     ground-truth parts; the title of a texture is the part that it averages most, over all b
                          pictures; textures of the background are only counted
    """
    gap, margin, width, height = 6, 110, 88, 128
    block = height + 46
    named = [[(p, k) for k, p in enumerate(extracted_parts(maps, parts)) if p] for maps in extraction.values()]
    figure, axes = sheet(margin + max(map(len, named)) * (width + gap), len(extraction) * block)
    for row, (name, maps) in enumerate(extraction.items()):
        small = F.interpolate(reference[:1], size=maps.shape[-2:], mode="area")
        tiles, colours = lit(reference[0], maps[0]), gather(small, maps[:1])[0]
        words = [*name.split(", "), "", f"{maps.shape[1] - len(named[row])} more of the", "background"]
        say(axes, "\n".join(words), margin - 10, row * block + 22 + height / 2, "right")
        for place, (part, texture) in enumerate(sorted(named[row])):
            x, y = margin + place * (width + gap), row * block
            say(axes, f"{texture} {PARTS[part]}", x + width / 2, y + 12, fontsize=8)
            put(axes, tiles[texture], x, y + 22, width, height)
            put(axes, repeat(colours[texture], "c -> c 1 1"), x, y + height + 26, width, 10)
    return figure


def show_entity(reference: Tensor, extraction: Tensor, entity: int) -> Figure:
    """One texture on b people: the pixels that it averages, and their mean colour.

    reference   b 3 h w
    extraction  b k h w
    entity      number of the texture, modulo k
    """
    maps = extraction[:, [entity % extraction.shape[1]]]
    colours = gather(F.interpolate(reference, size=maps.shape[-2:], mode="area"), maps)
    gap, margin, width, height = 6, 84, 88, 128
    figure, axes = sheet(margin + len(reference) * (width + gap), 2 * (height + gap) + 24)
    for name, y in (("reference", gap + height / 2), ("averages", 1.5 * height + 2 * gap), ("colour", 2 * height + 24)):
        say(axes, name, margin - 10, y, "right")
    for place, image in enumerate(reference):
        x = margin + place * (width + gap)
        put(axes, image, x, gap, width, height)
        put(axes, lit(image, maps[place])[0], x, height + 2 * gap, width, height)
        put(axes, rearrange(colours[place], "1 c -> c 1 1"), x, 2 * height + 18, width, 12)
    return figure
