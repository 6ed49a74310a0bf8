"""The interface between data and training: what a source of pairs returns, and what a step derives from it.

To add a data set, write a `Source`: a function from (numbers of pairs, device) to `Views`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """Two views of each of b people; the view is the first axis."""

    images: Tensor
    """2 b 3 h w, -1..1"""
    keypoints: Tensor
    """2 b 18 2, pixels; -1 -1 for a missing joint"""
    parts: Tensor
    """2 b h w: ground-truth parts, all 0 if unknown"""


@dataclass(frozen=True)
class Examples:
    """What a step trains on: reference images, target poses, and the ground truth."""

    number: Tensor
    """b: the number of each example, which never repeats during training"""
    reference: Tensor
    """b 3 h w, -1..1"""
    pose: Tensor
    """b 20 h w, 0..1: the pose map of the target"""
    target: Tensor
    """b 3 h w, -1..1"""
    reference_keypoints: Tensor
    """b 18 2, pixels; -1 -1 for a missing joint"""
    target_keypoints: Tensor
    """b 18 2, pixels; -1 -1 for a missing joint"""
    target_parts: Tensor
    """b h w: ground-truth parts, all 0 if unknown"""

    def of_pairs(self, chosen: slice = slice(None)) -> "Examples":
        """The examples of some pairs, selected from the result of `both_directions`: 2 b ... -> (2 b) ..."""

        def flat(values: Tensor) -> Tensor:
            values = rearrange(values[:, chosen], "v b ... -> (v b) ...")
            return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values

        return Examples(**{name: flat(values) for name, values in vars(self).items()})


Source = Callable[[Tensor, torch.device], Views]
"""Supplies training data: (numbers of the pairs, b; device) -> their two views; pair i is always the same"""


def both_directions(index: Tensor, views: Views, draw: Callable[[Tensor], Tensor]) -> Examples:
    """Use each pair twice, from first view to second and back: two examples for the cost of rendering one pair.

    index    b   numbers of the pairs
    views    their views
    draw     2 b 18 2 -> 2 b 20 h w, draws pose maps: `NTED.pose_map`
    returns  examples with two leading axes, 2 b, instead of one; `of_pairs` merges them
    """
    return Examples(
        number=torch.stack([2 * index, 2 * index + 1]).to(views.images.device),
        reference=views.images,
        pose=draw(views.keypoints.flip(0)),
        target=views.images.flip(0),
        reference_keypoints=views.keypoints,
        target_keypoints=views.keypoints.flip(0),
        target_parts=views.parts.flip(0),
    )


class Blocks:
    """Examples for several steps at a time; the next block is prepared in the background while this one is in use.

    draw        first step of a block -> its examples
    length      steps in a block
    background  whether to prepare ahead; if False, a block is drawn when its first step needs it
    """

    def __init__(self, draw: Callable[[int], Examples], length: int, background: bool):
        self.draw, self.length = draw, length
        self.first, self.examples = None, None
        self.next_first, self.next_examples = None, None
        self.worker = ThreadPoolExecutor(1) if background else None

    def __call__(self, step: int) -> tuple[Examples, int]:
        """The examples of the block that contains a step, and the step's position in it."""
        first = step - step % self.length
        if first != self.first:
            self.examples = self.next_examples.result() if first == self.next_first else self.draw(first)
            self.first = first
            if self.worker:
                self.next_first = first + self.length
                self.next_examples = self.worker.submit(self.draw, self.next_first)
        return self.examples, step - first
