"""The orders in which pose estimators list joints, and their conversion to COCO-18, the order of `pose.JOINTS`.

    18 joints   COCO-18: OpenPose's COCO model, the published files
    25 joints   BODY_25: OpenPose's default; the mid-hip and the feet are dropped
    17 joints   COCO-17: ViTPose, MMPose, YOLO, AlphaPose; the neck is the midpoint of the shoulders
"""

import torch
from torch import Tensor

from nted_lite.pose import MISSING, mark_missing

BODY_25 = (*range(8), *range(9, 19))
"""The index in BODY_25 of each joint of COCO-18."""

COCO_17 = (0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""The index in COCO-17, which lists the left side first, of each joint of COCO-18; the neck is appended as 17."""

OTHERS = {
    15: "OpenPose's MPI layout", 16: "the MPII layout", 26: "the Halpe layout", 33: "MediaPipe's layout",
    133: "the COCO-WholeBody layout, whose first 17 joints are COCO-17",
}  # fmt: skip
"""Layouts that are recognised, for a better error message, but not read."""


def absent(points: Tensor) -> Tensor:
    """Which joints are missing: -1 in x or y, 0 in both (as OpenPose writes it), or a confidence of 0.

    points   ... j 2 or ... j 3   x, y and optionally the confidence
    returns  ... j                bool
    """
    xy = points[..., :2]
    return (xy == MISSING).any(-1) | (xy == 0).all(-1) | (points[..., 2:] <= 0).any(-1)


def from_body25(points: Tensor) -> Tensor:
    """Convert OpenPose's BODY_25 to COCO-18: ... 25 c -> ... 18 c, where c is 2 or 3 (x, y, confidence)."""
    _check(points, 25)
    return points[..., BODY_25, :]


def from_coco17(points: Tensor) -> Tensor:
    """Convert COCO-17 to COCO-18; the neck, which COCO-17 does not have, becomes the midpoint of the shoulders.

    points   ... 17 c   c is 2 or 3: x, y, confidence (or COCO's visibility 0, 1, 2)
    returns  ... 18 c   the neck is as confident as the less confident shoulder; without both, it is (-1, -1, 0)
    """
    _check(points, 17)
    shoulders = points[..., 5:7, :]
    no_neck = absent(shoulders).any(-1, keepdim=True)
    middle, confidence = mark_missing(shoulders[..., :2].mean(-2), no_neck), shoulders[..., 2:].amin(-2)
    neck = torch.cat([middle, confidence.masked_fill(no_neck, 0)], dim=-1)
    return torch.cat([points, neck[..., None, :]], dim=-2)[..., COCO_17, :]


def to_coco18(points: Tensor, sure: bool = False) -> Tensor:
    """Convert any of the three layouts, recognised by the number of joints: j c -> 18 c, where c is 2 or 3.

    sure  whether all joints are there for certain

    Raises ValueError for another number of joints, and, if not sure, for 17 that look like COCO-18 without the last.
    """
    joints = len(points)
    if joints == 18:
        return points
    if joints == 25:
        return from_body25(points)
    if joints == 17:
        # Joint 5 is the left shoulder in both layouts; 14 to 16 are knee and ankles here, but eyes and an ear there.
        low = points[14:][~absent(points[14:])]
        if not sure and len(low) and not absent(points[5]) and low[:, 1].mean() <= points[5, 1]:
            lost = "17 joints where 18 were expected: COCO-17 would have its knees above its shoulders"
            raise ValueError(f"{lost}; if it has, write it as JSON with `keypoints`, like COCO")
        return from_coco17(points)
    known = f"; {joints} joints are {OTHERS[joints]}, which is not read" if joints in OTHERS else ""
    raise ValueError(f"{joints} joints where 18 (COCO-18), 25 (BODY_25) or 17 (COCO-17) were expected{known}")


def _check(points: Tensor, joints: int) -> None:
    if points.ndim < 2 or points.shape[-2] != joints or points.shape[-1] not in (2, 3):
        raise ValueError(f"{tuple(points.shape)} is not the shape ... {joints} 2 or ... {joints} 3")
