"""One home for reading key points."""

import math
from pathlib import Path

import torch
from torch import Tensor

from nted_lite.images import Framing, reason
from nted_lite.pose import JOINTS, MISSING


def read_keypoints(path: str | Path) -> Tensor:
    """Read a published key point file: 18 lines `x y`, `-1 -1` for a missing joint.

    returns  18 2   float64, as written: pixels of the 256 x 256 frame; `to_frame` brings them into a picture's frame

    Raises ValueError naming the file and the line for a wrong number of lines, NaN, or what is not two numbers.
    """
    lines = Path(path).read_text().splitlines()
    if len(lines) != len(JOINTS):
        raise ValueError(f"{path}: {len(lines)} lines where {len(JOINTS)} key points `x y` were expected")
    points = []
    for number, line in enumerate(lines, start=1):
        try:
            x, y = map(float, line.split())
        except ValueError:
            raise ValueError(f"{path}, line {number}: {line!r} is not two numbers `x y`") from None
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"{path}, line {number}: {line!r} is not finite")
        points.append((x, y))
    return torch.tensor(points, dtype=torch.float64)


def to_frame(keypoints: Tensor, height: int, width: int | None = None) -> Tensor:
    """From the 256 x 256 frame of the published files to the frame of a height x width picture.

    keypoints  ... 18 2  ->  ... 18 2   pixels; a joint with -1 in x or y is missing and becomes (-1, -1)

    The published pictures are the middle 176 of those 256 columns: x loses 40, then both axes are scaled.
    """
    width = height * 11 // 16 if width is None else width
    offset, scale = keypoints.new_tensor([40, 0]), keypoints.new_tensor([width / 176, height / 256])
    missing = (keypoints == MISSING).any(-1, keepdim=True)
    return torch.where(missing, MISSING, (keypoints - offset) * scale)


def read_pose(path: Path, height: int, width: int, framing: Framing | None = None) -> Tensor:
    """Read a file of 18 lines `x y` into the frame of a height x width picture.

    framing  of the picture in whose pixels the file is written; None: the published 256 x 256 frame
    returns  18 2   float64, pixels, (-1, -1) for a missing joint
    raises   ValueError that names the file, for what `read_keypoints` refuses and for a pose that cannot be drawn
    """
    try:
        keypoints = read_keypoints(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable file of key points ({reason(error)})") from error
    if (keypoints == MISSING).any(-1).all():
        raise ValueError(f"{path}: every joint is missing, so there is no pose to draw")
    keypoints = framing.apply(keypoints) if framing else to_frame(keypoints, height, width)
    inside = ((keypoints >= 0) & (keypoints < keypoints.new_tensor([width, height]))).all(-1)
    if not inside.any() or (keypoints.abs() > 10_000).any():
        frame = "of the picture it was said to belong to" if framing else "of the published 256 x 256 frame"
        raise ValueError(f"{path}: no joint in sight, or one far out: its numbers are not pixels {frame}")
    return keypoints
