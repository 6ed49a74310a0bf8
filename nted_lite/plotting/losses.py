"""Pictures of lesson 06: what each loss asks of a picture, how it judges a change, how steep a discriminator is, and
how losses fall."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from nted_lite.plotting.base import DPI, INK, PALE, PAPER, PART_COLOURS, put, say, sheet

WARM, COLD, LEAF, DARK = (PART_COLOURS[part] for part in ("shoes", "top", "bottom", "hair"))
PLUM = "#cc78bc"
SCALE = 3
CHANGES = ("shift", "blur", "colour", "shuffle")


def change(image: Tensor, kind: str, amount: int) -> Tensor:
    """A picture made wrong in one way. b 3 h w -> b 3 h w

    kind    shift: so many pixels to the right; blur: so many times; colour: so many quarters of the way to a picture
            whose red is blue; shuffle: so many times 40 patches of 4 x 4 pixels change places (h, w multiples of 4)
    amount  0 leaves it alone
    """
    if kind == "shift":
        return F.pad(image, (amount, 0, 0, 0), mode="replicate")[..., : image.shape[-1]]
    if kind == "blur":
        for _ in range(amount):
            image = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return image
    if kind == "colour":
        return torch.lerp(image, image.roll(1, dims=1), amount / 4)
    if kind != "shuffle":
        raise ValueError(f"no change {kind!r}; there are {', '.join(CHANGES)}")
    patches = rearrange(image, "b c (h p) (w q) -> b (h w) c p q", p=4, q=4)
    moved = torch.randperm(patches.shape[1], generator=torch.Generator().manual_seed(0))[: 40 * amount]
    patches = patches.index_copy(1, moved.to(image.device), patches[:, moved.roll(1)])
    return rearrange(patches, "b (h w) c p q -> b c (h p) (w q)", h=image.shape[-2] // 4)


def _scaled(gradient: Tensor) -> Tensor:
    """b 3 h w -> b 3 h w: 1 is the 99.5 % quantile of each picture's sizes, 0 everywhere if there is no gradient."""
    largest = torch.quantile(rearrange(gradient.abs(), "b c h w -> b (c h w)"), 0.995, dim=1)
    return gradient / rearrange(largest.clamp_min(1e-12), "b -> b 1 1 1")


def wishes(gradient: Tensor) -> Tensor:
    """What a step against the gradient adds, on grey: brighter red means "more red here". b 3 h w -> b 3 h w, -1..1

    Every picture is scaled to its own largest wishes, so two of them can be compared in shape, not in size.
    """
    return (-_scaled(gradient)).clamp(-1, 1)


def places(image: Tensor, gradient: Tensor) -> Tensor:
    """Pale grey pictures, red where the gradient is large. b 3 h w in -1..1, b 3 h w -> b 3 h w"""
    ghost = 0.6 + 0.3 * reduce(image, "b c h w -> b 1 h w", "mean")
    ink = rearrange(torch.tensor(to_rgb(WARM), device=image.device) * 2 - 1, "c -> c 1 1")
    weight = reduce(_scaled(gradient).abs(), "b c h w -> b 1 h w", "max").clamp(0, 1)
    return torch.lerp(ghost, ink, weight)


def show_gradients(generated: Tensor, target: Tensor, gradients: Mapping[str, Tensor]) -> Figure:
    """One picture, and below the name of each loss: where it looks, and what it asks for.

    generated, target  3 h w, -1..1
    gradients          name -> 3 h w: the gradient of the loss with respect to the generated image
    """
    height, width, gap, margin = (*(side * SCALE for side in generated.shape[-2:]), 6, 84)
    right = margin + (1 + len(gradients)) * (width + gap)
    figure, axes = sheet(right + 48, 22 + 2 * (height + gap))
    rows = (22, 22 + height + gap)
    names, images = ("generated", "target"), (generated, target)
    for y, name, image, drawn in zip(rows, names, images, ("where", "wish"), strict=True):
        say(axes, name, margin - 10, y + height / 2, "right")
        say(axes, drawn, right + 4, y + height / 2, "left")
        put(axes, image, margin, y, width, height)
    for column, (name, gradient) in enumerate(gradients.items(), 1):
        x = margin + column * (width + gap)
        say(axes, name, x + width / 2, 11)
        looked = places(generated[None], gradient[None])[0]
        put(axes, looked, x, rows[0], width, height)
        if looked.std(dim=(1, 2)).max() < 0.05:
            say(axes, "everywhere\nthe same", x + width / 2, rows[0] + height / 2, color=PAPER)
        put(axes, wishes(gradient[None])[0], x, rows[1], width, height)
    return figure


def show_verdicts(
    target: Tensor, changed: Tensor, gradient: Tensor, values: Mapping[str, float], chosen: str
) -> Figure:
    """A picture, a changed one, what one loss asks of it, and a bar for the value of every loss.

    target, changed  3 h w, -1..1
    gradient         3 h w, of the chosen loss with respect to the changed picture
    values           loss -> value, 1 where the line is drawn
    """
    height, width, gap, top = (*(side * SCALE for side in target.shape[-2:]), 8, 24)
    bars, length = 3 * (width + gap) + 90, 230
    figure, axes = sheet(bars + length + 70, top + height + 24)
    pictures = {"target": target, "changed": changed, f"what {chosen} asks for": wishes(gradient[None])[0]}
    for column, (name, image) in enumerate(pictures.items()):
        x = gap + column * (width + gap)
        say(axes, name, x + width / 2, top / 2, fontsize=8)
        put(axes, image, x, top, width, height)
    step = height / len(values)
    for row, (name, value) in enumerate(values.items()):
        y, reach = top + (row + 0.5) * step, min(value, 1.5) * length / 1.5
        colour = COLD if name == chosen else "#c8c8c8"
        axes.add_patch(Rectangle((bars, y - 0.25 * step), reach, 0.5 * step, color=colour, linewidth=0))
        say(axes, name, bars - 8, y, "right")
        say(axes, f"{value:.2f}", bars + reach + 6, y, "left", fontsize=8)
    axes.plot([bars + length / 1.5] * 2, [top, top + height], color=INK, linewidth=0.8, linestyle=":")
    say(axes, "1: another person", bars + length / 1.5, top + height + 12, fontsize=8)
    return figure


def show_faces(images: Tensor, boxes: Tensor, crops: Tensor) -> Figure:
    """Pictures with the box around each face, and below them what is cut out.

    images  b 3 h w, -1..1
    boxes   b 3        left, top, side in pixels; side 0: no face
    crops   b 3 s s
    """
    height, width, gap = (*images.shape[-2:], 8)
    size = min(width, 2 * crops.shape[-1])
    figure, axes = sheet(gap + len(images) * (width + gap), height + size + 3 * gap)
    for column, (image, (left, top, side), crop) in enumerate(zip(images, boxes.tolist(), crops, strict=True)):
        x = gap + column * (width + gap)
        put(axes, image, x, gap, width, height)
        put(axes, crop, x + (width - size) / 2, height + 2 * gap, size, size)
        if side:
            axes.add_patch(Rectangle((x + left, gap + top), side, side, fill=False, edgecolor=WARM, linewidth=1.5))
        else:
            say(axes, "no face: zeros", x + width / 2, height + 2 * gap + size / 2, fontsize=8, color=PAPER)
    return figure


def slopes_of(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The derivative of a loss at each logit on its own. n -> n"""
    logits = logits.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(sum(loss(logit) for logit in rearrange(logits, "n -> n 1 1")), logits)
    return gradient


def show_logistic(
    real: Callable[[Tensor], Tensor], fake: Callable[[Tensor], Tensor], generators: Mapping[str, Callable]
) -> Figure:
    """The discriminator's two terms over the logit, and the pull of each generator's loss on a generated image's logit.

    real, fake  logits b 1 -> scalar: the term of real images, and that of generated ones
    generators  name -> the same for the generator
    """
    logits = torch.linspace(-8, 8, 129)
    figure = Figure(figsize=(8.4, 3.0), dpi=DPI, facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, loss, colour in (("real image", real, COLD), ("generated image", fake, WARM)):
        left.plot(logits, [loss(logit).item() for logit in rearrange(logits, "n -> n 1 1")], color=colour, label=name)
    left.set(title="the discriminator's loss", xlabel="logit")
    for (name, loss), colour in zip(generators.items(), (COLD, WARM)):
        right.plot(logits, slopes_of(loss, logits).abs(), color=colour, label=name)
    right.axvspan(-8, -4, color="#f3f3f3", linewidth=0)
    right.set(title="pull on the generator", xlabel="logit of a generated image")
    right.text(-6, 0.5, "early in\ntraining", ha="center", va="center", fontsize=8, color=INK)
    for axes in (left, right):
        axes.axvline(0, color=PALE, linewidth=0.8, linestyle=":")
        axes.legend(frameon=False, fontsize=8)
    return figure


def show_fields(
    trainings: Mapping[str, tuple[Callable[[Tensor], Tensor], Sequence[float]]], real: Tensor, fake: Tensor
) -> Figure:
    """Discriminators of points in a plane, as maps, and how steep each became while it was trained.

    trainings   name -> (function from points n 2 to logits n 1, R1 penalty after each step)
    real, fake  n 2

    A contour line for every whole logit: close lines mean steep.
    """
    figure = Figure(figsize=(8.4, 4.5), dpi=DPI, facecolor=PAPER, layout="constrained")
    panels = figure.subplot_mosaic([list(trainings), ["below"] * len(trainings)], height_ratios=(1, 1.1))
    curves = panels["below"]
    styles = zip((INK, LEAF, PLUM, DARK), ("-", "-", "--", "-"))  # blue and orange are the points
    for (name, (judge, steepness)), (colour, line) in zip(trainings.items(), styles):
        _contours(panels[name], judge)
        for points, ink, label in ((real, COLD, "real"), (fake, WARM, "generated")):
            panels[name].plot(*points[::2].T, ".", color=ink, markersize=2.5, label=label)  # half are enough to see
        panels[name].set_title(name, fontsize=9)
        curves.semilogy(steepness, line, color=colour, linewidth=1.5, label=name)
    curves.set(xlabel="step", ylabel="R1 penalty\n(without its weight)")
    panels[name].legend(frameon=True, fontsize=7, markerscale=3, loc="upper right", borderpad=0.2, handletextpad=0)
    figure.legend(*curves.get_legend_handles_labels(), loc="outside lower center", ncols=len(trainings), frameon=False)
    return figure


@torch.no_grad()
def _contours(axes: Axes, judge: Callable[[Tensor], Tensor]) -> None:
    x, y = torch.linspace(-2.2, 2.2, 89), torch.linspace(-1.5, 1.6, 63)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    logits = rearrange(judge(rearrange(grid, "h w xy -> (h w) xy")), "(h w) 1 -> h w", w=len(x))
    axes.contourf(x, y, logits, range(-12, 13, 4), cmap="Greys", alpha=0.35, extend="both")
    levels = torch.arange(logits.min().floor().item(), logits.max().ceil().item() + 1).tolist()
    axes.contour(x, y, logits, levels, colors=PALE, linewidths=0.5, linestyles="solid")
    axes.set(xticks=[], yticks=[])


def show_losses(history: Mapping[str, Sequence[tuple[int, float]]], start: int, window: int = 25) -> Figure:
    """The losses of a training, each a running mean: those with a target on the left, the two players on the right.

    history  loss -> (step, weighted value) for each step that had it; names as `Trainer.train_step` gives them
    start    step at which the adversarial loss begins
    window   number of values in a mean; fewer while there are fewer than four times as many
    """
    figure = Figure(figsize=(8.4, 3.1), dpi=DPI, facecolor=PAPER, layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = {"reconstruction": COLD, "pixel": LEAF, "perceptual": PLUM, "style": DARK, "face": "#fbafe4"}
    players = {"discriminator": COLD, "adversarial": WARM}
    for axes, colours in ((left, drawn), (right, players)):
        for name in [name for name in colours if name in history]:
            steps, values = torch.tensor(history[name], dtype=torch.float64).unbind(1)
            size = max(1, min(window, len(values) // 4))
            steps, values = (x.unfold(0, size, 1).mean(1) for x in (steps, values))
            axes.plot(steps, values, color=colours[name], label=name)
        if lines := axes.get_lines():
            below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}  # early losses fall through every corner
            axes.legend(frameon=False, fontsize=8, ncols=len(lines), handlelength=1, columnspacing=1, **below)
        axes.set(xlabel="step")
    left.axvline(start, color=PALE, linewidth=0.8, linestyle=":")
    left.set(title="losses with a target (weighted)", yscale="log")
    right.axhline(2 * math.log(2), color=PALE, linewidth=0.8, linestyle=":")
    right.set(title="the two players (dotted: a discriminator that guesses)", ylim=(0, 2.2))
    right.title.set_fontsize(9)
    return figure
