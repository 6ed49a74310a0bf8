"""The parts that StyleGAN2 is made of: equalised convolutions, the blur, and the leaky ReLU that keeps variance.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (1912.04958). Notebooks 04 and 05 build each of
these by hand. Everything here works on `b c h w` tensors and does not care about the memory format; on a CPU
channels-last tensors make the blur an order of magnitude faster (`benchmarks/step.py`).
"""

import math

import torch
import torch.nn.functional as F
from einops import repeat
from torch import Tensor, nn

BLUR_TAPS = (1.0, 3.0, 3.0, 1.0)


def blur_kernel(gain: float = 1.0) -> Tensor:
    """The 4 x 4 low-pass filter of StyleGAN2, `[1,3,3,1]` times itself; its entries sum to `gain`."""
    taps = torch.tensor(BLUR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


def blur(image: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """Filter every channel on its own.

    image    b c h w
    kernel   4 4
    padding  zeros (before, after), the same on both axes
    returns  b c h+p-3 w+p-3   with p = before + after
    """
    before, after = padding
    if before != after:
        image, before = F.pad(image, (before, after, before, after)), 0
    channels = image.shape[1]
    filters = repeat(kernel.to(image.dtype), "p q -> c 1 p q", c=channels)
    return F.conv2d(image, filters, padding=before, groups=channels)


def upsample(image: Tensor, kernel: Tensor) -> Tensor:
    """Double the rows and columns: a zero after every pixel, then the blur (its kernel must sum to 4).

    image    b c h w
    returns  b c 2h 2w

    A transposed convolution of stride 2 is zero-insertion and filter in one step; cropping one pixel on each side
    leaves what padding (2, 1) leaves after a zero-insertion.
    """
    channels = image.shape[1]
    filters = repeat(kernel.to(image.dtype), "p q -> c 1 p q", c=channels)
    return F.conv_transpose2d(image, filters, stride=2, padding=1, groups=channels)


class EqualConv2d(nn.Module):
    """A convolution with an equalised learning rate: N(0, 1) weights, multiplied by `1/sqrt(fan_in)` at run time.

    Adam moves every weight by about the same amount a step; storing them all at unit variance makes that the same
    *relative* amount in every layer.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride, self.padding = stride, padding

    def forward(self, image: Tensor) -> Tensor:
        """b i h w -> b o h' w'"""
        return F.conv2d(image, self.weight * self.scale, self.bias, self.stride, self.padding)


class EqualLinear(nn.Module):
    """A linear layer with an equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, features: Tensor) -> Tensor:
        """b i -> b o"""
        return F.linear(features, self.weight * self.scale, self.bias)


class Activation(nn.Module):
    """`leaky_relu(x + bias, 0.2) * sqrt(2)`; the factor brings the variance of a unit normal input back near one."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """b c ... -> b c ..."""
        gain = math.sqrt(2)  # inside, where it costs no pass of its own: leaky_relu(g x) = g leaky_relu(x) for g > 0
        bias = self.bias.reshape(-1, *[1] * (features.ndim - 2))
        return F.leaky_relu_(torch.add(bias * gain, features, alpha=gain), 0.2)


class DownConv2d(nn.Module):
    """Blur, then a stride-2 convolution: half the rows and columns without aliasing.

    The blur's padding, `2 + (kernel - 1)` in all, makes `h` even rows exactly `h / 2` and odd ones `(h - 1) / 2`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3):
        super().__init__()
        total = 2 + (kernel - 1)
        self.padding = (math.ceil(total / 2), math.floor(total / 2))
        self.register_buffer("kernel", blur_kernel(), persistent=False)
        self.conv = EqualConv2d(inputs, outputs, kernel, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        """b i h w -> b o h//2 w//2"""
        return self.conv(blur(image, self.kernel, self.padding))


class UpConv2d(nn.Module):
    """A 3 x 3 transposed convolution of stride 2, then the blur: twice the rows and columns."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.scale = 1 / math.sqrt(inputs * 9)
        self.register_buffer("kernel", blur_kernel(gain=4.0), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """b i h w -> b o 2h 2w"""
        weight = (self.weight * self.scale).transpose(0, 1)
        return blur(F.conv_transpose2d(image, weight, stride=2), self.kernel, (1, 1))


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity: more depth at a small resolution. `b c h w -> b c h w`."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = EqualConv2d(channels, channels, 3, padding=1)
        self.activate0 = Activation(channels)
        self.conv1 = EqualConv2d(channels, channels, 3, padding=1)
        self.activate1 = Activation(channels)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.activate0(self.conv0(features))
        return (features + self.activate1(self.conv1(hidden))) / math.sqrt(2)


def residuals(channels: int, depths: tuple[int, ...], level: int) -> nn.Sequential:
    """The residual blocks of a level: as many as `depths` says, none beyond its end."""
    return nn.Sequential(*[Residual(channels) for _ in range(depths[level] if level < len(depths) else 0)])
