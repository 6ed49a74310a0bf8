"""Slow versions of the fast layers, simple enough to check by eye. Tests compare the package with them.

The fast layers filter all channels in one depthwise convolution, and up-sample with a transposed one. Here every
channel is filtered as a separate picture, and up-sampling really inserts zeros between the pixels before it filters.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from nted_lite import layers, renderer


def blur(image: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """`layers.blur`, with each channel of each image as a separate picture: `b c h w -> b c h+p-3 w+p-3`."""
    before, after = padding
    pictures = rearrange(image.contiguous(), "b c h w -> (b c) 1 h w")
    pictures = F.pad(pictures, (before, after, before, after))
    filtered = F.conv2d(pictures, rearrange(kernel.to(image.dtype), "p q -> 1 1 p q"))
    return rearrange(filtered, "(b c) 1 h w -> b c h w", c=image.shape[1])


def insert_zeros(image: Tensor) -> Tensor:
    """A zero after every pixel, to the right and below: `b c h w -> b c 2h 2w`."""
    pixels = rearrange(image, "b c h w -> b c h 1 w 1")
    return rearrange(F.pad(pixels, (0, 1, 0, 0, 0, 1)), "b c h i w j -> b c (h i) (w j)")


def upsample(image: Tensor, kernel: Tensor) -> Tensor:
    """`layers.upsample`: zeros between the pixels, then the blur with padding (2, 1)."""
    return blur(insert_zeros(image), kernel, (2, 1))


def down_conv(image: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """`layers.DownConv2d`: blur, convolve at every position, then discard three quarters of the result.

    image   b i h w
    weight  o i p p   drawn from N(0, 1), not scaled yet
    """
    _, inputs, size, _ = weight.shape
    total = 2 + (size - 1)
    blurred = blur(image, kernel, (math.ceil(total / 2), math.floor(total / 2)))
    return F.conv2d(blurred, weight / math.sqrt(inputs * size**2))[:, :, ::2, ::2]


def up_conv(image: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """`layers.UpConv2d`: zeros between the pixels, convolve with the mirrored filter, blur with padding (1, 1).

    image   b i h w
    weight  o i 3 3   drawn from N(0, 1), not scaled yet
    """
    spread = insert_zeros(image)[:, :, :-1, :-1]  # between the pixels only: none after the last one
    mirrored = torch.flip(weight, dims=(2, 3)) / math.sqrt(weight.shape[1] * 9)
    return blur(F.conv2d(spread, mirrored, padding=2), kernel, (1, 1))


@contextmanager
def slow_layers() -> Iterator[None]:
    """A context in which all networks of the package blur and up-sample the slow way; convolutions are unchanged."""
    with mock.patch.object(layers, "blur", blur), mock.patch.object(renderer, "upsample", upsample):
        yield


@contextmanager
def literal_layers() -> Iterator[None]:
    """A context in which convolutions that change the size are replaced, too, by `down_conv` and `up_conv`."""

    def down(layer: layers.DownConv2d, image: Tensor) -> Tensor:
        return down_conv(image, layer.conv.weight, layer.kernel)

    def up(layer: layers.UpConv2d, image: Tensor) -> Tensor:
        return up_conv(image, layer.weight, layer.kernel)

    with (
        slow_layers(),
        mock.patch.object(layers.DownConv2d, "forward", down),
        mock.patch.object(layers.UpConv2d, "forward", up),
    ):
        yield
