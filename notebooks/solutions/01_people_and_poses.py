"""Solutions of notebook 01, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import torch
from einops import rearrange

from nted_lite.people import PARTS
from nted_lite.pose import JOINTS

# %% exercise-1: solution


def missing_by_part(shown: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """Share of each part's pixels that was never shown. shown b h w (bool), parts b h w -> 8; 0 for an absent part."""
    masks = [parts == part for part in range(len(PARTS))]
    return torch.stack([(mask & ~shown).sum() / mask.sum().clamp_min(1) for mask in masks])


# %% exercise-1: mistake, divided by what is missing in all parts together


def missing_by_part(shown: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:  # noqa: F811
    masks = [parts == part for part in range(len(PARTS))]
    return torch.stack([(mask & ~shown).sum() / (~shown).sum().clamp_min(1) for mask in masks])


# %% exercise-1: mistake, an absent part gives NaN


def missing_by_part(shown: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:  # noqa: F811
    return torch.stack([(~shown)[parts == part].float().mean() for part in range(len(PARTS))])


# %% exercise-1: mistake, the mean of the pictures' own shares


def missing_by_part(shown: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:  # noqa: F811
    masks = [parts == part for part in range(len(PARTS))]
    return torch.stack([((m & ~shown).sum((1, 2)) / m.sum((1, 2)).clamp_min(1)).mean() for m in masks])


# %% exercise-1: mistake, right for the pictures that are written in the check


def missing_by_part(shown: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:  # noqa: F811
    return torch.tensor([0, 0, 0, 0, 0.25, 0, 0, 1])


# %% exercise-2: solution


def mirror(keypoints: torch.Tensor, width: int) -> torch.Tensor:
    """Key points of the mirrored picture; b 18 2 -> b 18 2."""
    other = {"right": "left", "left": "right"}
    names = [" ".join(other.get(word, word) for word in joint.split()) for joint in JOINTS]
    x, y = rearrange(keypoints[:, [JOINTS.index(name) for name in names]], "b j xy -> xy b j")
    return torch.stack([width - 1 - x, y], dim=-1)


# %% exercise-2: mistake, the right hand stays a right hand


def mirror(keypoints: torch.Tensor, width: int) -> torch.Tensor:  # noqa: F811
    x, y = rearrange(keypoints, "b j xy -> xy b j")
    return torch.stack([width - 1 - x, y], dim=-1)


# %% exercise-2: mistake, one column too far


def mirror(keypoints: torch.Tensor, width: int) -> torch.Tensor:  # noqa: F811
    other = {"right": "left", "left": "right"}
    names = [" ".join(other.get(word, word) for word in joint.split()) for joint in JOINTS]
    x, y = rearrange(keypoints[:, [JOINTS.index(name) for name in names]], "b j xy -> xy b j")
    return torch.stack([width - x, y], dim=-1)


# %% exercise-2: mistake, only the wrists are exchanged


def mirror(keypoints: torch.Tensor, width: int) -> torch.Tensor:  # noqa: F811
    right, left = JOINTS.index("right wrist"), JOINTS.index("left wrist")
    order = list(range(len(JOINTS)))
    order[right], order[left] = left, right
    x, y = rearrange(keypoints[:, order], "b j xy -> xy b j")
    return torch.stack([width - 1 - x, y], dim=-1)


# %% exercise-2: mistake, right for pictures of 44 columns


def mirror(keypoints: torch.Tensor, width: int) -> torch.Tensor:  # noqa: F811
    other = {"right": "left", "left": "right"}
    names = [" ".join(other.get(word, word) for word in joint.split()) for joint in JOINTS]
    x, y = rearrange(keypoints[:, [JOINTS.index(name) for name in names]], "b j xy -> xy b j")
    return torch.stack([43 - x, y], dim=-1)


# %% exercise-2: mistake, the key points that were given are overwritten


def mirror(keypoints: torch.Tensor, width: int) -> torch.Tensor:  # noqa: F811
    other = {"right": "left", "left": "right"}
    names = [" ".join(other.get(word, word) for word in joint.split()) for joint in JOINTS]
    keypoints[..., 0] = width - 1 - keypoints[..., 0]
    return keypoints[:, [JOINTS.index(name) for name in names]]
