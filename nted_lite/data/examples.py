"""What a training step sees: two views of each of some people, used in both directions."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from nted_lite.people import SPLITS, pairs
from nted_lite.pose import MISSING, pose_map


@dataclass(frozen=True)
class Examples:
    """What a step trains on: references, the poses wanted, and the true pictures."""

    reference: Tensor
    """b 3 h w, -1..1"""
    pose: Tensor
    """b 20 h w, 0..1: the pose map of the target"""
    target: Tensor
    """b 3 h w, -1..1"""
    target_keypoints: Tensor
    """b 18 2, pixels; -1 -1 for a missing joint"""
    target_parts: Tensor
    """b h w: true parts, all 0 where they are not known"""


@dataclass(frozen=True)
class Views:
    """Two views of each of b people, with the view as the first axis."""

    images: Tensor
    """2 b 3 h w, -1..1"""
    keypoints: Tensor
    """2 b 18 2, pixels; -1 -1 for a missing joint"""
    poses: Tensor
    """2 b 20 h w, 0..1"""
    parts: Tensor
    """2 b h w"""

    def both_directions(self, chosen: slice = slice(None)) -> Examples:
        """First view to second, then second to first: twice the examples for one drawing. -> 2b examples"""

        def flat(views: Tensor) -> Tensor:
            views = rearrange(views[:, chosen], "v b ... -> (v b) ...")
            return views.contiguous(memory_format=torch.channels_last) if views.ndim == 4 else views

        return Examples(
            reference=flat(self.images),
            pose=flat(self.poses.flip(0)),
            target=flat(self.images.flip(0)),
            target_keypoints=flat(self.keypoints.flip(0)),
            target_parts=flat(self.parts.flip(0)),
        )


Source = Callable[[Tensor, torch.device], Views]
"""Makes training data: (numbers of the pairs, device) -> their two views; pair i is always the same"""


class Blocks:
    """Views for several steps at a time, the next block prepared in the background while the present one is used.

    draw        first step of a block -> its views
    length      steps in a block
    background  False draws a block only when its first step asks for it
    """

    def __init__(self, draw: Callable[[int], Views], length: int, background: bool):
        self.draw, self.length = draw, length
        self.first, self.views = None, None
        self.next_first, self.next_views = None, None
        self.worker = ThreadPoolExecutor(1) if background else None

    def __call__(self, step: int) -> tuple[Views, int]:
        """The views of the block that a step is in, and the step's place in it."""
        first = step - step % self.length
        if first != self.first:
            self.views = self.next_views.result() if first == self.next_first else self.draw(first)
            self.first = first
            if self.worker:
                self.next_first = first + self.length
                self.next_views = self.worker.submit(self.draw, self.next_first)
        return self.views, step - first
