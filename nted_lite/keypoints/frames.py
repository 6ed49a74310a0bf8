"""Frames: the image whose pixel coordinates key points use, and the conversion to the picture that a model sees."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nted_lite.images import TOLERANCE, Framing, picture_size, reason
from nted_lite.keypoints.files import keypoints_file, read_person, uncut
from nted_lite.keypoints.formats import PATN_FRAME
from nted_lite.keypoints.layouts import absent
from nted_lite.pose import MISSING, mark_missing

PUBLISHED = (256, 256)
COMMON = (PUBLISHED, (352, 512), (512, 512), (750, 1101))
"""Common widths and heights of pictures in this field, to suggest the likely one if a frame is wrong."""


@dataclass(frozen=True)
class PoseOptions:
    """How files of key points are read."""

    frame: str = "auto"
    """the image whose pixel coordinates they use: "256" (256 x 256, as published), "WIDTHxHEIGHT", "picture" (the one
    that the pose comes from), or "auto": as the file says, or else 256, unless the numbers contradict it"""
    person: int | None = None
    """which person, counted from 0, if there are several; None: the one with the largest extent"""
    min_confidence: float = 0.0
    """joints with a lower confidence count as missing"""

    def __post_init__(self):
        if self.frame not in ("auto", "256", "picture") and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", self.frame):
            raise ValueError(f"frame {self.frame!r} is none of auto, 256, picture or WIDTHxHEIGHT, such as 750x1101")
        if not 0 <= self.min_confidence < float("inf"):
            raise ValueError(f"min_confidence is {self.min_confidence}; confidences run from 0 up, most to 1")

    def check(self, posed: Path | None) -> None:
        """Raise ValueError, in one line, if the frame and the pose's own picture do not go together."""
        if self.frame == "picture" and not posed:
            raise ValueError("--frame picture: name the image whose pixel coordinates the key points use with --posed")
        if self.frame not in ("auto", "picture") and posed:
            raise ValueError(f"--frame {self.frame} and --posed {posed} contradict each other; omit one")

    def size(self, posed: Path | None) -> tuple[int, int] | None:
        """Width and height of the frame; None if it has to be detected. `posed` is the pose's own picture, if known."""
        self.check(posed)
        if self.frame == "picture" or self.frame == "auto" and posed:
            return picture_size(posed)
        width, _, height = self.frame.partition("x")
        return None if self.frame == "auto" else (int(width), int(height or width))


AUTO = PoseOptions()


def to_frame(keypoints: Tensor, height: int, width: int | None = None) -> Tensor:
    """Convert from the 256 x 256 frame of the published files to the frame of a height x width picture.

    keypoints  ... 18 2  ->  ... 18 2   pixels; a joint with -1 in x or y is missing and becomes (-1, -1)

    The published pictures are the middle 176 of those 256 columns: 40 is subtracted from x, then both axes are scaled,
    without the half pixel by which resizing moves the centres of pixels: key points lie (1 - scale) / 2 pixels low and
    right. A joint that would land exactly on -1, and so be lost, moves by a thousandth of a pixel.
    """
    width = height * 11 // 16 if width is None else width
    offset, scale = keypoints.new_tensor([40, 0]), keypoints.new_tensor([width / 176, height / 256])
    missing = (keypoints == MISSING).any(-1, keepdim=True)
    return mark_missing((keypoints - offset) * scale, missing)


def read_pose(
    path: Path, height: int, width: int, options: PoseOptions = AUTO, *, posed: Path | None = None,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """Read a person's key points, and convert them to the frame of a height x width picture.

    path     file with key points, or the folder that contains the file for picture `name`
    options  the frame of its numbers, and which person and joints count
    posed    the image whose pixel coordinates the key points use, if there is one; if the file says how large that is,
             it may also be a copy in another size
    name     name of the picture, for a folder, or for a file with the poses of several pictures; there, None: `posed`'s
    returns  18 2   float64, pixels, (-1, -1) for a missing joint
    raises   ValueError, in one line that names the file, if it cannot be read or the pose cannot be drawn
    """
    try:
        file = keypoints_file(path, name) if name else path
        likely = str(posed) if posed else None
        points, found = read_person(file, name, options.person, options.min_confidence, likely)
    except OSError as error:
        raise ValueError(f"{path}: not a readable file of key points ({reason(error)})") from error
    missing = absent(points)[:, None]
    if missing.all():
        raise ValueError(f"{file}: every joint is missing, so there is no pose to draw")
    frame, known = options.size(posed), found.frame
    if known == PATN_FRAME:
        points = points if frame else uncut(points)
    elif known and frame and posed and abs(known[0] * frame[1] / (known[1] * frame[0]) - 1) > TOLERANCE:
        other = f"but {posed} is {_name(frame)}, of another shape"
        raise ValueError(f"{file}: it says its picture is {_name(known)}, {other}; if that is right, "
                         f"say --frame {_name(known)}, without --posed")  # fmt: skip
    elif known and frame not in (None, known) and not posed:
        raise ValueError(f"{file}: it says its picture is {_name(known)}, not {_name(frame)}; omit --frame")
    else:
        frame = known or frame
    there = points[~missing[:, 0]]
    if frame and (there >= 0).all() and (there <= 1).all():  # normalised
        points = torch.where(missing, MISSING, points * points.new_tensor(frame))
    if problem := doubt(points, frame, sure=not found.listed or options.frame not in ("auto", "picture")):
        raise ValueError(f"{file}: {problem}")
    points = Framing.of(*(frame or PUBLISHED), height, width).apply(points)
    inside = ((points >= 0) & (points < points.new_tensor([width, height])) & ~missing).all(-1)
    if not inside.any() or (points.abs() > 10_000).any():
        raise ValueError(f"{file}: in the part of the picture that a model sees there is no joint, or one far out")
    return points


def doubt(keypoints: Tensor, frame: tuple[int, int] | None = None, sure: bool = False) -> str | None:
    """Why key points are probably not those of an upright person in pixels of a frame; None if nothing looks wrong.

    keypoints  18 2   (-1, -1) is missing
    frame      width and height; None: unknown, so the published 256 x 256 frame is assumed and checked more strictly
    sure       whether the file names its columns, or somebody insists with --frame WxH; then people may lie or be tiny
    """
    there = keypoints[~absent(keypoints)]
    if not len(there):
        return None
    size, low, high = keypoints.new_tensor(frame or PUBLISHED), there.amin(0), there.amax(0)
    extent = f"x from {low[0]:.5g} to {high[0]:.5g}, y from {low[1]:.5g} to {high[1]:.5g}"
    say = "name it with --posed PICTURE (--frame picture for pairs) or --frame WxH"
    if (there >= 0).all() and (there <= 1).all():
        return f"these are not pixels but normalised coordinates, 0 to 1 ({extent}); the picture is needed: {say}"
    if (there.abs() <= 2).all():
        return f"these are not pixels ({extent}); normalised coordinates are read only if they run from 0 to 1"
    insist = f"say --frame {_name(frame or PUBLISHED)}{', without --posed' * bool(frame)}"
    if not sure and _lies(keypoints):
        lies = f"the person lies on one side ({extent})"
        return f"{lies}: x and y look exchanged; x comes first; if it does lie, {insist}"
    outside = ((there < 0) | (there > size)).any(-1).sum().item()
    if outside > (len(there) // 2 if frame else 1):
        holding = [other for other in COMMON if (low >= 0).all() and (high <= high.new_tensor(other)).all()]
        holding.sort(key=lambda other: abs(there[:, 0].mean() / other[0] - 0.5))  # people stand in the middle
        other = f"a {_name(holding[0])}" if holding else "another"
        lost = f"{outside} of {len(there)} joints lie outside the {_name(frame or PUBLISHED)} frame ({extent})"
        return f"{lost}; they look like pixels of {other} picture: {say}"
    if len(there) < 6:
        return None  # too few to say where the person stands, or how tall it is
    if frame is None and there[:, 0].mean() < 98 and high[0] < 176:  # the middle of the frame is 128
        narrow = "they look like pixels of a narrower picture, such as 176x256"
        return f"the person stands far to the left ({extent}); {narrow}: say --frame WxH, or --frame 256 if not"
    if frame and not sure and min(frame) > 256 and (high <= 256).all() and (high - low).max() < size[1] / 4:
        small = f"the person is tiny in the {_name(frame)} frame ({extent})"
        return f"{small}; these look like pixels of --frame 256; if not, {insist}"
    return None


def _lies(keypoints: Tensor) -> bool:
    """Whether the legs are to the right of head and shoulders instead of below them, as when x and y are exchanged."""
    there = ~absent(keypoints)
    upper, legs = (keypoints[joints][there[joints]] for joints in ([0, 1, 2, 5, 14, 15, 16, 17], [*range(8, 14)]))
    across, down = (legs.mean(0) - upper.mean(0)).tolist()
    return across > 2 * abs(down)  # False if one of them is NaN, because all its joints are missing


def _name(frame: tuple[int, int]) -> str:
    return f"{frame[0]}x{frame[1]}"
