"""People in motion: sequences of poses that turn, walk, or lead through any poses, to be rendered or shown to a model.

    poses = walk(48, turns=1)                                # a walk in a circle; the last frame leads to the first
    person = sample_people(SPLITS["test"], torch.arange(1))
    film = render(person[[0] * len(poses)], poses, height=128)   # 48 pictures of one person, with full ground truth
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from nted_lite.people.body import ARMS, LEGS, Poses, unit
from nted_lite.people.chance import cos_sin

HANGING, FORWARDS, BACK, TOGETHER = 0, 7, 8, 0  # rows of ARMS, and of LEGS
STRIDE = 0.36  # radians; how far a thigh swings forwards and back
KNEE = 0.10, 0.62  # radians; how far a knee bends on the ground, and how much more while its leg swings forwards


def _standing(frames: int) -> Poses:
    """`frames` times the same: facing the camera, arms hanging, feet together, all of the person in the picture."""
    if frames < 1:
        raise ValueError(f"a sequence needs at least one frame, not {frames}")
    zero = torch.zeros(frames)
    return Poses(
        yaw=zero, lean=torch.zeros(frames, 2), head=torch.zeros(frames, 3),
        arms=_both_sides(torch.tensor(ARMS[HANGING]).expand(2, 3, 3)).expand(frames, 2, 3, 3),
        legs=_both_sides(torch.tensor(LEGS[TOGETHER])).expand(frames, 2, 2, 3),
        zoom=zero + 1, focus=zero + 0.5, shift=torch.zeros(frames, 2),
    )  # fmt: skip


def _both_sides(outwards: Tensor) -> Tensor:
    """Unit directions in the body's frame from directions whose x points outwards; axis -3 is right, left."""
    return unit(outwards * outwards.new_tensor([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])[:, None])


def _cycle(frames: int, times: float) -> Tensor:
    """Angles in radians that go round `times` in `frames` steps, so that the step after the last closes the loop."""
    return 2 * math.pi * times * torch.arange(frames) / frames


def turn(frames: int, turns: float = 1.0) -> Poses:
    """Somebody stands with hanging arms and turns on the spot, starting with the face to the camera.

    frames   number of poses
    turns    how often they go round, towards the picture's right; negative: towards the left
    returns  Poses of `frames`; with a whole number of turns, the last leads to the first

    Raises ValueError for less than one frame.
    """
    return replace(_standing(frames), yaw=_cycle(frames, turns))


def walk(frames: int, cycles: int = 1, turns: float = 0.0, yaw: float = 0.0) -> Poses:
    """Somebody walks: legs swing from the hips, knees bend, and each arm swings with the opposite leg.

    frames   number of poses
    cycles   how many pairs of steps there are in it
    turns    how often they go round meanwhile, as in `turn`: 1 is a walk in a circle
    yaw      radians; where they face in the first frame: 0 the camera, pi / 2 the picture's right
    returns  Poses of `frames`; with whole numbers of cycles and turns, the last leads to the first

    Raises ValueError for less than one frame.
    """
    standing, phase = _standing(frames), _cycle(frames, cycles)
    phase = torch.stack([phase + math.pi, phase], 1)  # b 2: the right leg is half a cycle behind
    forwards = cos_sin(phase)[1]
    swinging = cos_sin(phase + 0.4)[0].clamp_min(0)  # a knee bends most shortly before its leg passes the other one
    thigh = STRIDE * forwards + 0.04
    shin = thigh - KNEE[0] - KNEE[1] * swinging**2
    legs = torch.stack([_forwards(thigh, 0.03), _forwards(shin, 0.0)], 2)
    ahead, behind = (torch.tensor(ARMS[kind]) for kind in (FORWARDS, BACK))
    arms = torch.lerp(ahead, behind, (0.5 + 0.5 * forwards)[..., None, None])
    lean = torch.stack([torch.full((frames,), 0.03), 0.02 * forwards[:, 1]], 1)
    return replace(standing, yaw=yaw + _cycle(frames, turns), lean=lean, arms=_both_sides(arms), legs=_both_sides(legs))


def _forwards(angle: Tensor, outwards: float) -> Tensor:
    """Directions of bones that point down and are lifted forwards by an angle in radians. ... -> ... 3"""
    down, front = cos_sin(angle)
    return torch.stack([torch.full_like(angle, outwards), -down, front], -1)


def through(poses: Poses, frames: int, closed: bool = True) -> Poses:
    """Lead smoothly through given poses, slow at each of them and faster in between.

    poses    n poses, n > 1
    frames   number of poses from each one to the next
    closed   whether the last leads to the first; otherwise the sequence ends with the last
    returns  Poses of n * frames, or of (n - 1) * frames + 1; every `frames`-th is one of the given

    Yaw takes the shorter way round. Raises ValueError for less than two poses or less than one frame.
    """
    if len(poses) < 2 or frames < 1:
        raise ValueError(f"{len(poses)} poses in steps of {frames} frames: at least 2 poses and 1 frame are needed")
    count = len(poses) * frames if closed else (len(poses) - 1) * frames + 1
    time = torch.arange(count, device=poses.yaw.device)
    start = poses[time // frames]
    end = poses[(time // frames + 1) % len(poses)]
    share = time % frames / frames
    share = share * share * (3 - 2 * share)  # starts and ends with zero speed

    def mix(old: Tensor, new: Tensor) -> Tensor:
        return torch.lerp(old, new, share[(..., *[None] * (old.ndim - 1))])

    mixed = Poses(**{name: mix(old, getattr(end, name)) for name, old in vars(start).items()})
    around = torch.remainder(end.yaw - start.yaw + math.pi, 2 * math.pi) - math.pi
    return replace(mixed, yaw=start.yaw + share * around, arms=unit(mixed.arms), legs=unit(mixed.legs))
