"""What a training step sees: two views of each of some people, used in both directions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from nted_lite.people import SPLITS, pairs
from nted_lite.pose import pose_map


@dataclass(frozen=True)
class Examples:
    """What a step trains on: references, the poses wanted, and the true pictures."""

    reference: Tensor
    """b 3 h w, -1..1"""
    pose: Tensor
    """b 20 h w, 0..1: the pose map of the target"""
    target: Tensor
    """b 3 h w, -1..1"""
    target_parts: Tensor
    """b h w: true parts, all 0 where they are not known"""


@dataclass(frozen=True)
class Views:
    """Two views of each of b people: pictures, pose maps and parts, with the view as the first axis."""

    images: Tensor
    """2 b 3 h w, -1..1"""
    poses: Tensor
    """2 b 20 h w, 0..1"""
    parts: Tensor
    """2 b h w"""

    def both_directions(self, chosen: slice = slice(None)) -> Examples:
        """First view to second, then second to first: twice the examples for one drawing. -> 2b examples"""
        flat = "v b ... -> (v b) ..."
        images, poses, parts = self.images[:, chosen], self.poses[:, chosen], self.parts[:, chosen]
        last = {"memory_format": torch.channels_last}
        return Examples(
            rearrange(images, flat).contiguous(**last),
            rearrange(poses.flip(0), flat).contiguous(**last),
            rearrange(images.flip(0), flat).contiguous(**last),
            rearrange(parts.flip(0), flat),
        )


Source = Callable[[Tensor, torch.device], Views]
"""Makes training data: (numbers of the pairs, device) -> their two views; pair i is always the same"""


def people_source(height: int, seed: int = SPLITS["train"]) -> Source:
    """Synthetic people, drawn when they are asked for."""

    def draw(index: Tensor, device: torch.device) -> Views:
        pair = pairs(seed, index, height, device)
        views = (pair.reference, pair.target)
        keypoints, visible = (torch.cat([getattr(view, name) for view in views]) for name in ("keypoints", "visible"))
        poses = rearrange(pose_map(keypoints, visible, height), "(v b) c h w -> v b c h w", v=2)
        return Views(torch.stack([v.image for v in views]), poses, torch.stack([v.parts for v in views]))

    return draw
