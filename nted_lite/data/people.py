"""Synthetic people as training data, rendered on the fly."""

import torch
from torch import Tensor

from nted_lite.data.examples import Source, Views
from nted_lite.people import SPLITS, pairs
from nted_lite.pose import MISSING


def people_source(height: int, seed: int = SPLITS["train"]) -> Source:
    """Synthetic people, rendered on the fly.

    height  rows of the pictures
    seed    of the split, see `people.SPLITS`
    """

    def draw(index: Tensor, device: torch.device) -> Views:
        pair = pairs(seed, index, height, device)
        views = (pair.reference, pair.target)
        keypoints = torch.stack([torch.where(view.visible[..., None], view.keypoints, MISSING) for view in views])
        return Views(
            images=torch.stack([view.image for view in views]),
            keypoints=keypoints,
            parts=torch.stack([view.parts for view in views]),
        )

    return draw
