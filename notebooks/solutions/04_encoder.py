"""Solutions of notebook 04, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from nted_lite.layers import blur, blur_kernel

# %% exercise-1: solution


def gain_of(slope: float) -> float:
    """The factor after leaky_relu(x, slope) that keeps the mean square of normal x at 1."""
    return math.sqrt(2 / (1 + slope**2))


# %% exercise-1: mistake, the square root is forgotten


def gain_of(slope: float) -> float:  # noqa: F811
    return 2 / (1 + slope**2)


# %% exercise-1: mistake, one gain for every slope


def gain_of(slope: float) -> float:  # noqa: F811
    return math.sqrt(2)


# %% exercise-1: mistake, right for the slope of StyleGAN2 only


def gain_of(slope: float) -> float:  # noqa: F811
    return math.sqrt(2 / 1.04)


# %% exercise-2: solution


def shrink(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Blur, then an equalised convolution of stride 2. b i h w, o i p q (p = q odd) -> b o h/2 w/2"""
    _, i, p, q = weight.shape
    zeros = (p + 1) // 2
    return F.conv2d(blur(image, blur_kernel(), (zeros, zeros)), weight / math.sqrt(i * p * q), stride=2)


# %% exercise-2: mistake, two zeros on each side for every kernel


def shrink(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:  # noqa: F811
    return F.conv2d(blur(image, blur_kernel(), (2, 2)), weight / math.sqrt(weight[0].numel()), stride=2)


# %% exercise-2: mistake, pixels are dropped before the blur


def shrink(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:  # noqa: F811
    p = weight.shape[-1]
    zeros = (p + 1) // 2
    small = blur(image[..., ::2, ::2], blur_kernel(), (zeros, zeros + 1))
    return F.conv2d(small, weight / math.sqrt(weight[0].numel()))


# %% exercise-2: mistake, the fan-in of the pictures shown is written down


def shrink(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:  # noqa: F811
    p = weight.shape[-1]
    zeros = (p + 1) // 2
    return F.conv2d(blur(image, blur_kernel(), (zeros, zeros)), weight / math.sqrt(3 * p**2), stride=2)


# %% exercise-3: solution


def residual(block: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """block has conv0, activate0, conv1, activate1. b c h w -> b c h w"""
    hidden = block.activate0(block.conv0(features))
    return (features + block.activate1(block.conv1(hidden))) / math.sqrt(2)


# %% exercise-3: mistake, the sum is not divided


def residual(block: nn.Module, features: torch.Tensor) -> torch.Tensor:  # noqa: F811
    hidden = block.activate0(block.conv0(features))
    return features + block.activate1(block.conv1(hidden))


# %% exercise-3: mistake, the last activation comes after the sum


def residual(block: nn.Module, features: torch.Tensor) -> torch.Tensor:  # noqa: F811
    hidden = block.activate0(block.conv0(features))
    return block.activate1(features + block.conv1(hidden)) / math.sqrt(2)


# %% exercise-3: mistake, the block is called


def residual(block: nn.Module, features: torch.Tensor) -> torch.Tensor:  # noqa: F811
    return block(features)


# %% exercise-3: mistake, the input is overwritten


def residual(block: nn.Module, features: torch.Tensor) -> torch.Tensor:  # noqa: F811
    hidden = block.activate0(block.conv0(features))
    return features.add_(block.activate1(block.conv1(hidden))).div_(math.sqrt(2))
