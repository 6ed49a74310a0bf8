"""Stances to start a puppet from, and the depth that the key points of a picture do not tell."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from nted_lite.people import Poses, sample_people
from nted_lite.people.body import ARMS, FRAME, LEGS, STATURE, joints, skeleton

SITTING = (((0.16, -0.30, 0.94), (0.04, -1.0, 0.05)),) * 2
ON_THE_KNEES = ((0.20, -0.90, 0.38), (-0.10, -0.55, 0.83), (-0.10, -0.35, 0.93))
STANCES = {
    "stand": ((ARMS[0], ARMS[0]), LEGS[1]),
    "walk": ((ARMS[7], ARMS[8]), LEGS[2][::-1]),
    "arms up": ((ARMS[2], ARMS[2]), LEGS[1]),
    "sit": ((ON_THE_KNEES, ON_THE_KNEES), SITTING),
}
"""Directions of the right and the left arm, then of the right and the left leg, x outwards, as in `people.body`"""

RIGID = (0, 1, 2, 5, 8, 11, 14, 15, 16, 17)  # joints of trunk and face; arms and legs move on their own


def stance(name: str, height: int, turn: Tensor) -> Tensor:
    """The 18 joints of an average body in one of the STANCES, in pixels of a picture with `height` rows.

    turn     n       radians; 0 faces the viewer, positive turns towards the picture's right
    returns  n 18 3  x, y (downwards) and depth (towards the viewer, 0 between the hips)
    """
    n = len(turn)
    mirror = torch.tensor([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])[:, None]  # x outwards -> x to the left, of right, left
    arms, legs = (F.normalize(torch.tensor(sides) * mirror, dim=-1).expand(n, 2, -1, 3) for sides in STANCES[name])
    still, one = torch.zeros(n, 3), torch.ones(n)
    poses = Poses(turn, still[:, :2], still, arms, legs, zoom=one, focus=one / 2, shift=still[:, :2])
    average = {"height": STATURE * one, "shoulders": one, "hips": one, "legs": one}
    bones = skeleton(replace(sample_people(0, torch.zeros(n).long()), **average), poses)
    x, y, z = (joints(bones) * height / FRAME).unbind(-1)
    middle = bones.hips[:, 2:] * height / FRAME
    return torch.stack([x + (height * 11 // 16 - 1) / 2, (height - 1) / 2 - y, z - middle], -1)


def lift(keypoints: Tensor, shown: Tensor, height: int) -> tuple[Tensor, float]:
    """Guess what the key points of a picture do not tell: the depth of all joints, and where the missing ones would be.

    keypoints  18 2     pixels
    shown      18 bool  False for a missing joint
    returns    18 3     x, y, depth in pixels; x and y of the shown joints are unchanged
               degrees  where the body faces: 0 to the viewer, 90 to the picture's right

    It turns a standing body in steps of 5 degrees, moves and scales it to fit trunk and face, and keeps the best fit.
    """
    degrees = torch.arange(-175, 181, 5)
    bodies = stance("stand", height, degrees.float().deg2rad())
    used = shown & torch.tensor([joint in RIGID for joint in range(18)])
    used = used if used.sum() > 1 else shown
    if not used.any():
        return bodies[degrees == 0][0], 0.0
    middle, centres = keypoints[used].mean(0), bodies[:, used, :2].mean(1, keepdim=True)
    away, out = keypoints[used] - middle, bodies[:, used, :2] - centres
    scale = (away * out).sum((1, 2)) / out.square().sum((1, 2)).clamp_min(1e-6)
    scale = scale.clamp_min(0.2)
    best = int((away - scale[:, None, None] * out).square().sum((1, 2)).argmin())
    lifted = scale[best] * (bodies[best] - F.pad(centres[best, 0], (0, 1))) + F.pad(middle, (0, 1))
    lifted[shown, :2] = keypoints[shown]
    return lifted, float(degrees[best])
