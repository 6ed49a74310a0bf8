"""Solutions of notebook 05, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import math

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat

from nted_lite.layers import blur_kernel, upsample

# %% exercise-1: solution


def weave(image: torch.Tensor) -> torch.Tensor:
    """Twice the size, without a multiplication by zero. b c h w -> b c 2h 2w"""
    image = F.pad(image, (1, 1, 1, 1))
    up, middle, down = image[:, :, :-2], image[:, :, 1:-1], image[:, :, 2:]
    rows = rearrange([0.25 * up + 0.75 * middle, 0.75 * middle + 0.25 * down], "p b c h w -> b c (h p) w")
    left, middle, right = rows[..., :-2], rows[..., 1:-1], rows[..., 2:]
    return rearrange([0.25 * left + 0.75 * middle, 0.75 * middle + 0.25 * right], "q b c h w -> b c h (w q)")


# %% exercise-1: mistake, every pixel four times


def weave(image: torch.Tensor) -> torch.Tensor:  # noqa: F811
    return repeat(image, "b c h w -> b c (h p) (w q)", p=2, q=2)


# %% exercise-1: mistake, the two kinds of new pixels are exchanged


def weave(image: torch.Tensor) -> torch.Tensor:  # noqa: F811
    image = F.pad(image, (1, 1, 1, 1))
    up, middle, down = image[:, :, :-2], image[:, :, 1:-1], image[:, :, 2:]
    rows = rearrange([0.75 * middle + 0.25 * down, 0.25 * up + 0.75 * middle], "p b c h w -> b c (h p) w")
    left, middle, right = rows[..., :-2], rows[..., 1:-1], rows[..., 2:]
    return rearrange([0.75 * middle + 0.25 * right, 0.25 * left + 0.75 * middle], "q b c h w -> b c h (w q)")


# %% exercise-1: mistake, the version with zeros is called


def weave(image: torch.Tensor) -> torch.Tensor:  # noqa: F811
    return upsample(image, blur_kernel(gain=4.0))


# %% exercise-1: mistake, the zeros are written out and blurred


def weave(image: torch.Tensor) -> torch.Tensor:  # noqa: F811
    zeros = torch.zeros_like(image)
    spread = rearrange([image, zeros, zeros, zeros], "(p q) b c h w -> b c (h p) (w q)", p=2)
    windows = F.pad(spread, (2, 1, 2, 1)).unfold(2, 4, 1).unfold(3, 4, 1)
    return einsum(windows, blur_kernel(gain=4.0), "b c h w p q, p q -> b c h w")


# %% exercise-1: mistake, only a square picture keeps its shape


def weave(image: torch.Tensor) -> torch.Tensor:  # noqa: F811
    b, c, h, _ = image.shape
    image = F.pad(image, (1, 1, 1, 1))
    up, middle, down = image[:, :, :-2], image[:, :, 1:-1], image[:, :, 2:]
    rows = torch.stack([0.25 * up + 0.75 * middle, 0.75 * middle + 0.25 * down], dim=3).reshape(b, c, 2 * h, h + 2)
    left, middle, right = rows[..., :-2], rows[..., 1:-1], rows[..., 2:]
    return torch.stack([0.25 * left + 0.75 * middle, 0.75 * middle + 0.25 * right], dim=4).reshape(b, c, 2 * h, 2 * h)


# %% exercise-2: solution


def ask_both(features: torch.Tensor, logits: torch.Tensor, front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """features b c h w, scores b k h w, textures b k c of two photos -> b c h w"""
    mixtures = einsum(front + back, logits.softmax(dim=1), "b k c, b k h w -> b c h w")
    return (features + mixtures) / math.sqrt(3)


# %% exercise-2: mistake, the root of 2 is kept


def ask_both(features: torch.Tensor, logits: torch.Tensor, front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: F811
    mixtures = einsum(front + back, logits.softmax(dim=1), "b k c, b k h w -> b c h w")
    return (features + mixtures) / math.sqrt(2)


# %% exercise-2: mistake, a mean instead


def ask_both(features: torch.Tensor, logits: torch.Tensor, front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: F811
    mixtures = einsum(front + back, logits.softmax(dim=1), "b k c, b k h w -> b c h w")
    return (features + mixtures) / 3


# %% exercise-2: mistake, the softmax goes over the positions


def ask_both(features: torch.Tensor, logits: torch.Tensor, front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: F811
    shares = rearrange(logits, "b k h w -> b k (h w)").softmax(dim=2)
    mixtures = einsum(front + back, shares, "b k c, b k m -> b c m")
    return (features + mixtures.reshape(features.shape)) / math.sqrt(3)


# %% exercise-2: mistake, each position takes its best texture only


def ask_both(features: torch.Tensor, logits: torch.Tensor, front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: F811
    chosen = F.one_hot(logits.argmax(dim=1), logits.shape[1]).float()
    mixtures = einsum(front + back, chosen, "b k c, b h w k -> b c h w")
    return (features + mixtures) / math.sqrt(3)


# %% exercise-2: mistake, the front is asked twice


def ask_both(features: torch.Tensor, logits: torch.Tensor, front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: F811
    mixtures = einsum(front + front, logits.softmax(dim=1), "b k c, b k h w -> b c h w")
    return (features + mixtures) / math.sqrt(5)
