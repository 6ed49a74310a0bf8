"""Pairs of pictures of the same person, and the splits of the data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nted_lite.people.body import Poses, sample_poses
from nted_lite.people.chance import Batch
from nted_lite.people.render import View, render
from nted_lite.people.wardrobe import People, sample_people

# One seed per split, so no person is in two splits. Each split is endless: index 0, 1, 2, ...
SPLITS = {"train": 20220416, "validation": 7, "test": 11}


@dataclass(frozen=True)
class Pair(Batch):
    """Two pictures of each of b people, in different poses."""

    people: People
    reference: View
    target: View


@torch.no_grad()
def pairs(seed: int, index: Tensor, height: int = 64, device: torch.device | str = "cpu") -> Pair:
    """Views 0 (reference) and 1 (target) of people.

    seed     one of SPLITS' values, or any other integer
    index    b int64   which people of that seed, on any device
    height   rows of the pictures, a multiple of 16; there are height * 11 / 16 columns
    device   where to render them
    returns  Pair of b
    """
    index = index.to(device)
    people = sample_people(seed, index)
    poses = Poses.cat([sample_poses(seed, index, view) for view in (0, 1)])
    both = render(People.cat([people, people]), poses, height)  # one large batch is faster than two small ones
    return Pair(people, both[: len(index)], both[len(index) :])
