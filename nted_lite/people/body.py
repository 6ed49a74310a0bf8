"""How people stand: random poses as in a fashion catalogue, and the skeleton of a body in such a pose.

Coordinate frames, both in metres. The body's: x to the person's left, y up, z to the front. The camera's: x right, y
up, z towards the viewer, with the origin where the camera looks. The camera is orthographic and looks down by PITCH.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nted_lite.people.chance import Batch, Draws, cos_sin
from nted_lite.people.wardrobe import People

PITCH = 0.09  # radians; slightly from above, so that hems are curved and feet stand on a visible floor
FRAME = 1.98  # metres from the bottom to the top edge of a picture at zoom 1
STATURE = 1.75  # metres; the lengths below are those of somebody of this height

UPPER_ARM, FOREARM, THIGH, SHIN, ANKLE = 0.28, 0.25, 0.425, 0.405, 0.085
SHOULDER_X, SHOULDER_Y, HIP_X = 0.168, 0.448, 0.086  # measured from the point midway between the hip joints
HEAD_Y = 0.668  # middle of the head, which turns about the top of the neck

# Directions of a left upper arm, forearm and hand, in the body's frame (x outwards); mirrored for the right arm.
ARMS = (
    ((0.16, -1.0, 0.00), (0.08, -1.0, 0.14), (0.00, -1.0, 0.16)),  # 0 hanging
    ((0.64, -0.72, -0.30), (-0.66, -0.62, 0.32), (-0.30, -0.60, 0.75)),  # 1 on the hip
    ((0.80, 0.30, 0.10), (0.35, 0.92, 0.15), (0.20, 0.97, 0.10)),  # 2 raised
    ((0.82, 0.50, -0.05), (-0.72, 0.55, -0.35), (-0.85, 0.20, -0.30)),  # 3 behind the head
    ((0.38, -0.90, -0.20), (-0.26, -0.93, 0.24), (-0.15, -0.95, 0.25)),  # 4 in the pocket
    ((0.30, -0.88, 0.40), (-0.35, 0.70, 0.62), (-0.30, 0.90, 0.20)),  # 5 bent, hand near the chin
    ((0.30, -0.90, 0.33), (-0.88, 0.16, 0.40), (-0.95, 0.15, -0.05)),  # 6 crossed
    ((0.14, -0.90, 0.42), (0.00, -0.78, 0.64), (0.00, -0.85, 0.55)),  # 7 swung forwards
    ((0.20, -0.92, -0.36), (0.10, -0.98, -0.10), (0.05, -1.00, 0.05)),  # 8 swung back
)
# Directions of thigh and shin, for the leading leg and for the other one (x outwards).
LEGS = (
    (((0.03, -1.0, 0.02), (0.00, -1.0, -0.03)), ((0.03, -1.0, 0.02), (0.00, -1.0, -0.03))),  # 0 together
    (((0.20, -1.0, 0.02), (0.13, -1.0, -0.03)), ((0.20, -1.0, 0.02), (0.13, -1.0, -0.03))),  # 1 apart
    (((0.02, -0.93, 0.36), (0.00, -1.0, -0.02)), ((0.03, -0.97, -0.22), (0.00, -0.88, -0.46))),  # 2 walking
    (((0.20, -0.96, 0.22), (0.06, -0.97, -0.20)), ((0.04, -1.0, -0.02), (0.01, -1.0, -0.03))),  # 3 one knee bent
)


@dataclass(frozen=True)
class Poses(Batch):
    """b poses; axis 1 of arms and legs is the side: 0 right, 1 left."""

    yaw: Tensor  # b           radians; 0 faces the camera, positive turns towards the picture's right
    lean: Tensor  # b 2        radians, forwards and sideways, of everything above the hips
    head: Tensor  # b 3        radians: turn (like yaw, and on top of it), nod forwards, tilt sideways
    arms: Tensor  # b 2 3 3    unit directions of upper arm, forearm, hand in the torso's frame
    legs: Tensor  # b 2 2 3    unit directions of thigh, shin in the body's frame
    zoom: Tensor  # b          1 shows FRAME metres
    focus: Tensor  # b         height that the camera looks at, as a fraction of the stature
    shift: Tensor  # b 2       where that point appears, right of and above the middle, metres


@dataclass(frozen=True)
class Skeleton(Batch):
    """Joints (axis 1: right, left) and axes of body parts, in the camera's frame, metres."""

    scale: Tensor  # b         the person's stature / STATURE
    hips: Tensor  # b 3        the point midway between the hip joints
    torso: Tensor  # b 3 3     unit axes x y z (rows) of the torso
    body: Tensor  # b 3 3      the same without the lean
    skull: Tensor  # b 3       middle of the head
    head: Tensor  # b 3 3      unit axes (rows) of the head
    arms: Tensor  # b 2 4 3    shoulder, elbow, wrist, finger tips
    legs: Tensor  # b 2 3 3    hip, knee, ankle
    floor: Tensor  # b 3       the point of the floor below the hips


def _mirror(left: Tensor) -> Tensor:
    return left * left.new_tensor([-1.0, 1.0, 1.0])


def unit(x: Tensor) -> Tensor:
    """Vectors ... 3, scaled to length 1."""
    a, b, c = x.unbind(-1)  # an explicit sum, because a reduction's order may depend on the batch
    return x / (a * a + b * b + c * c).sqrt()[..., None]


def _sample_arms(draws: Draws, walking: Tensor, leading: Tensor) -> Tensor:
    """Arm directions, b 2 3 3. walking b bool; leading b int64, the side of the leg in front."""
    kind = draws.choice("arms", [2.6, 2.2, 0.9, 0.6, 1.7, 1.1], 2)
    kind = torch.where((draws("same") < 0.35)[:, None], kind[:, :1], kind)
    kind = torch.where((draws("crossed") < 0.1)[:, None], 6, kind)
    side = torch.arange(2, device=kind.device)
    swing = torch.where(side == leading[:, None], 8, 7)  # the arm opposite the leading leg swings forwards
    kind = torch.where(walking[:, None] & ((kind == 0) | (kind == 4)), swing, kind)
    arms = torch.tensor(ARMS, device=kind.device)[kind] + draws.between("arm jitter", -0.09, 0.09, 2, 3, 3)
    higher = arms.new_tensor([0.0, 0.12, 0.0]) * (kind[:, 1] == 6)[:, None]  # crossed forearms lie on top of each other
    left = arms[:, 1].clone()
    left[:, 1] += higher
    return unit(torch.stack([_mirror(arms[:, 0]), left], 1))


def _sample_legs(draws: Draws, kind: Tensor, leading: Tensor) -> Tensor:
    """Leg directions, b 2 2 3."""
    legs = torch.tensor(LEGS, device=kind.device)[kind]
    legs = torch.where((leading == 0)[:, None, None, None], legs, legs.flip(1))
    legs = legs + draws.between("leg jitter", -0.03, 0.03, 2, 2, 3)
    return unit(torch.stack([_mirror(legs[:, 0]), legs[:, 1]], 1))


@torch.no_grad()
def sample_poses(seed: int, index: Tensor, view: int | Tensor) -> Poses:
    """Sample poses as in a catalogue: how person (seed, index) stands in picture number `view`.

    seed     any integer, see `dataset.SPLITS`
    index    b int64   which people
    view     number of the picture, the same for all, or b
    returns  Poses of b
    """
    draws = Draws(seed, index, 1 + torch.as_tensor(view, device=index.device))  # view 0 is for the people themselves
    facing = draws.choice("facing", [4.0, 1.6, 1.6, 0.9, 0.9, 2.0])
    yaw = torch.tensor([0.0, 0.75, -0.75, 1.5, -1.5, 3.14], device=index.device)[facing]
    stance = draws.choice("stance", [2.0, 2.0, 2.2, 1.8])
    leading = draws.choice("leading", [1.0, 1.0])
    crop = draws("crop") < 0.25
    jitter = draws("camera", 4) - 0.5
    return Poses(
        yaw=yaw + draws.between("yaw", -0.35, 0.35),
        lean=draws.between("lean", -0.07, 0.07, 2),
        head=draws.between("head", -1.0, 1.0, 3) * torch.tensor([0.6, 0.14, 0.1], device=index.device),
        arms=_sample_arms(draws, stance == 2, leading),
        legs=_sample_legs(draws, stance, leading),
        zoom=torch.where(crop, 1.75 + 0.3 * jitter[:, 0], 1.0 + 0.06 * jitter[:, 0]),
        focus=torch.where(crop, 0.76 + 0.05 * jitter[:, 1], 0.5),
        shift=torch.stack([0.12 * jitter[:, 2], 0.06 * jitter[:, 3]], 1),
    )


def rotated(frame: Tensor, angle: Tensor, axis: int) -> Tensor:
    """Rotate a frame, b 3 3 (rows are axes), about its own axis 0 (x), 1 (y) or 2 (z) by angle, b, radians."""
    c, s = (value[:, None] for value in cos_sin(angle))
    first, second = frame[:, (axis + 1) % 3], frame[:, (axis + 2) % 3]
    rows: list[Tensor] = [frame[:, axis]] * 3
    rows[(axis + 1) % 3], rows[(axis + 2) % 3] = c * first + s * second, c * second - s * first
    return torch.stack(rows, 1)


def place(origin: Tensor, frame: Tensor, x: Tensor | float, y: Tensor | float, z: Tensor | float) -> Tensor:
    """The point x y z (metres, each b or a number) in a frame, b 3 3, with its origin at b 3. -> b 3"""
    x, y, z = (value[:, None] if isinstance(value, Tensor) else value for value in (x, y, z))
    return origin + x * frame[:, 0] + y * frame[:, 1] + z * frame[:, 2]


def _chain(start: Tensor, frame: Tensor, directions: Tensor, lengths: list[Tensor]) -> Tensor:
    """The joints of a chain of bones from `start`, b 3, along directions, b n 3, in the frame. -> b n+1 3"""
    points = [start]
    for bone, length in enumerate(lengths):
        points.append(place(points[-1], frame, *(directions[:, bone] * length[:, None]).unbind(1)))
    return torch.stack(points, 1)


def camera_axes(device: torch.device, b: int) -> Tensor:
    """The world's axes (rows) as seen by the pitched camera. -> b 3 3"""
    return rotated(torch.eye(3, device=device).expand(b, 3, 3), torch.full((b,), PITCH, device=device), 0)


def skeleton(people: People, poses: Poses) -> Skeleton:
    """Stand people on the floor in their poses, in front of the camera."""
    scale = people.height / STATURE
    world = camera_axes(scale.device, len(people))
    body = rotated(world, poses.yaw, 1)
    torso = rotated(rotated(body, poses.lean[:, 0], 0), poses.lean[:, 1], 2)
    head = rotated(rotated(rotated(torso, poses.head[:, 0], 1), poses.head[:, 1], 0), poses.head[:, 2], 2)
    origin = torch.zeros_like(body[:, 0])
    sides, arms, legs = (-1.0, 1.0), [], []
    for side, sign in enumerate(sides):
        shoulder = place(origin, torso, sign * SHOULDER_X * people.shoulders * scale, SHOULDER_Y * scale, -0.01 * scale)
        bones = [UPPER_ARM * scale, FOREARM * scale, 0.15 * scale]
        arms.append(_chain(shoulder, torso, poses.arms[:, side], bones))
        hip = place(origin, torso, sign * HIP_X * people.hips * scale, 0.0, 0.0)
        legs.append(_chain(hip, body, poses.legs[:, side], [THIGH * people.legs * scale, SHIN * people.legs * scale]))
    arms, legs = torch.stack(arms, 1), torch.stack(legs, 1)
    # The body stands on the ankle that is lower along the world's vertical.
    ankles = legs[:, :, 2] * world[:, None, 1]
    drop = (ankles[..., 0] + ankles[..., 1] + ankles[..., 2]).amin(1) - ANKLE * scale
    floor = drop[:, None] * world[:, 1]
    pivot = place(origin, torso, 0.0, (HEAD_Y - 0.09) * scale, 0.0)
    skull = place(pivot, head, 0.0, 0.09 * scale, 0.012 * scale)
    aim = floor + (poses.focus * people.height)[:, None] * world[:, 1]
    aim = torch.stack([aim[:, 0] - poses.shift[:, 0], aim[:, 1] - poses.shift[:, 1], aim[:, 2]], 1)
    return Skeleton(
        scale=scale, hips=origin - aim, torso=torso, body=body, skull=skull - aim, head=head,
        arms=arms - aim[:, None, None], legs=legs - aim[:, None, None], floor=floor - aim,
    )  # fmt: skip


def joints(bones: Skeleton) -> Tensor:
    """The 18 key points of `pose.JOINTS` (OpenPose's COCO-18 order) in the camera's frame, metres. -> b 18 3"""
    s = bones.scale
    sides = [(sign * x, y, z) for x, y, z in ((0.034, 0.016, 0.073), (0.082, 0.0, -0.008)) for sign in (-1, 1)]
    face = [(0.0, -0.014, 0.1), *sides]
    nose, *rest = (place(bones.skull, bones.head, x * s, y * s, z * s) for x, y, z in face)
    neck = (bones.arms[:, 0, 0] + bones.arms[:, 1, 0]) / 2
    first = torch.stack([nose, neck], 1)
    limbs = [bones.arms[:, 0, :3], bones.arms[:, 1, :3], bones.legs[:, 0], bones.legs[:, 1]]
    return torch.cat([first, *limbs, torch.stack(rest, 1)], 1)
