"""Detecting whether pictures that are not 11:16 were padded or squeezed, which affects every measure.

Some systems publish their 256 x 176 results as 256 x 256 pictures: either padded with 40 flat columns on each side,
like DeepFashion itself, or squeezed to fill the square. Padded ones must be cut, squeezed ones stretched back.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nted_lite.evaluation.files import Picture, read_picture
from nted_lite.images import Framing, open_picture, read_framing

Asked = Literal["auto", "padded", "squeezed"]
SURE, CLEAR = 0.95, 0.8
"""The fraction of pictures that must agree, and the fraction that must be decisive, that is, have one error below CLEAR
times the other"""


@dataclass(frozen=True)
class Layout:
    """How the pictures of a set are converted to 11:16."""

    whole: bool
    """whether they are resized whole, whatever their shape, instead of cutting out their middle"""
    said: str
    """what the protocol says about it"""


def pair_layouts(
    pairs: Sequence[tuple[Picture, Picture]], height: int, width: int, asked: Asked = "auto"
) -> tuple[Layout, Layout]:
    """The layouts of the generated pictures and of their ground truth.

    pairs          (generated, ground truth), a sample whose layouts are assumed for all
    height, width  size in pixels at which they are measured
    asked          layout of the generated pictures; "auto" detects it. That of the ground truth is always detected; if
                   this fails, `asked` applies to it, too
    raises         ValueError, in one line, if pictures are not 11:16 and their layout cannot be detected

    Flat bars with a seam mean "padded". Without bars, the other picture of each pair decides: is it closer to the
    picture after cutting, or after resizing it whole?
    """
    generated, truth = ([pair[side] for pair in pairs] for side in range(2))
    said = None if asked == "auto" else Layout(asked == "squeezed", f"{asked}, as --layout says")
    ours = by_bars(generated, height, width)
    if said:
        ours = said if odd(generated, height, width) else Layout(False, "11:16 already, --layout changes nothing")
    theirs = by_bars(truth, height, width) or said
    if ours is None and theirs:
        ours = by_other_side(generated, truth, theirs, height, width)
    elif theirs is None and ours:
        theirs = by_other_side(truth, generated, ours, height, width)
    return _decided(ours, generated, height, width, "generated"), _decided(theirs, truth, height, width, "ground truth")


def set_layout(pictures: Sequence[Picture], height: int, width: int, asked: Asked, kind: str) -> Layout:
    """The layout of a set of pictures without counterparts; arguments and errors as in `pair_layouts`."""
    said = None if asked == "auto" else Layout(asked == "squeezed", f"{asked}, as --layout says")
    return _decided(by_bars(pictures, height, width) or said, pictures, height, width, kind)


def _decided(found: Layout | None, pictures: Sequence[Picture], height: int, width: int, kind: str) -> Layout:
    if found:
        return found
    file = odd(pictures, height, width)[0]
    with Image.open(file) as image:
        size = "x".join(map(str, image.size))
    choices = "give --layout padded (cut out the middle) or --layout squeezed (stretch all of it back)"
    raise ValueError(f"the {kind} pictures, such as {file}, are {size}, not 11:16; their layout is unclear: {choices}")


def odd(pictures: Sequence[Picture], height: int, width: int) -> list[Path]:
    """The files among the pictures whose aspect ratio differs from that of height x width."""
    files = [Path(picture) for picture in pictures if not isinstance(picture, Tensor)]
    return [file for file in files if read_framing(file, height, width).kept < 1]


def by_bars(pictures: Sequence[Picture], height: int, width: int) -> Layout | None:
    """The layout of pictures if it is visible in themselves: they have the right shape, or bars from padding."""
    files = odd(pictures, height, width)
    if not files:
        return Layout(False, "11:16")
    seen = Counter(look(open_picture(file)) for file in files)
    if seen["padded"] > 0 and seen["padded"] >= SURE * (seen["padded"] + seen["full"]):
        return Layout(False, f"padded: flat bars at both sides, seen in {seen['padded']} of {len(files)}, are cut off")
    return None


def look(image: Image.Image) -> Literal["padded", "full", "plain"]:
    """What one picture reveals: "padded" if both sides are flat exactly up to the middle 11:16 window; "full" if a side
    is not flat; "plain" if it is undecided, like somebody in front of a white wall."""
    middle = Framing.of(*image.size, 256, 176)
    pixels, n = np.asarray(image).astype(int), middle.left
    smear = max(3, n // 5)  # columns around the seam that resizing and JPEG blur
    if n <= smear:
        return "full"
    bars = np.concatenate([pixels[:, : n - smear], pixels[:, smear - n :]], axis=1)
    colour = np.median(bars, axis=(0, 1))
    before, inside = pixels[:, [n - smear, smear - n - 1]], pixels[:, [n + 1, -n - 2]]
    off_bars, off_before, off_inside = (np.abs(part - colour).max(-1) for part in (bars, before, inside))
    if (off_bars <= 6).mean() < 0.98:
        return "full"
    seam = ((off_before <= 6) & (off_inside > 24)).mean(0).max()
    return "padded" if seam >= 0.1 else "plain"


def by_other_side(
    pictures: Sequence[Picture], others: Sequence[Picture], known: Layout, height: int, width: int
) -> Layout | None:
    """The layout with which pictures are clearly closer to their counterparts, if nearly all of them agree."""
    votes: Counter = Counter()
    for picture, other in zip(pictures, others, strict=True):
        if odd([picture], height, width):
            wanted = _coarse(read_picture(other, height, width, known.whole)[0])
            both = (read_picture(picture, height, width, whole)[0] for whole in (False, True))
            cut, whole = ((_coarse(image) - wanted).square().mean() for image in both)
            votes["cut" if cut < CLEAR * whole else "whole" if whole < CLEAR * cut else "neither"] += 1
    for vote, other, said in (
        ("whole", "cut", "squeezed: nearer to the other side when stretched back"),
        ("cut", "whole", "wider: nearer to the other side when cut to the middle"),
    ):
        if votes[vote] >= max(SURE * (votes[vote] + votes[other]), CLEAR * votes.total()):
            return Layout(vote == "whole", f"{said}, in {votes[vote]} of {votes.total()}")
    return None


def _coarse(image: Tensor) -> Tensor:
    """Shrink a picture, 3 h w, so far that only the position of things matters, not their sharpness."""
    return F.interpolate(image[None].float(), (32, 22), mode="area")
