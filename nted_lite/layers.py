"""The building blocks of StyleGAN2: equalised convolutions, the blur, and the variance-preserving leaky ReLU.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (1912.04958). Notebooks 04 and 05 build each of
these by hand. Everything here takes `b c h w` tensors in any memory format; on a CPU, channels-last makes the blur an
order of magnitude faster (`benchmarks/step.py`).
"""

import math

import torch
import torch.nn.functional as F
from einops import repeat
from torch import Tensor, nn

BLUR_TAPS = (1.0, 3.0, 3.0, 1.0)


def blur_kernel(gain: float = 1.0) -> Tensor:
    """The 4 x 4 low-pass filter of StyleGAN2, the outer product of `[1,3,3,1]` with itself; it sums to `gain`."""
    taps = torch.tensor(BLUR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


def blur(image: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
    """Filter every channel separately.

    image    b c h w
    kernel   4 4
    padding  zeros to add (before, after), the same on both axes
    returns  b c h+p-3 w+p-3   with p = before + after
    """
    before, after = padding
    if before != after:
        image, before = F.pad(image, (before, after, before, after)), 0
    channels = image.shape[1]
    filters = repeat(kernel.to(image.dtype), "p q -> c 1 p q", c=channels)
    return F.conv2d(image, filters, padding=before, groups=channels)


def upsample(image: Tensor, kernel: Tensor) -> Tensor:
    """Double the rows and columns: insert a zero after every pixel, then blur.

    image    b c h w
    kernel   4 4       must sum to 4
    returns  b c 2h 2w

    A transposed convolution of stride 2 inserts the zeros and filters in one step; cropping one pixel on each side
    gives the same result as inserting the zeros and then blurring with padding (2, 1).
    """
    channels = image.shape[1]
    filters = repeat(kernel.to(image.dtype), "p q -> c 1 p q", c=channels)
    return F.conv_transpose2d(image, filters, stride=2, padding=1, groups=channels)


class EqualConv2d(nn.Module):
    """A convolution with an equalised learning rate: N(0, 1) weights, multiplied by `1/sqrt(fan_in)` at run time.

    Adam moves every weight by about the same amount per step; storing all weights with unit variance makes that the
    same *relative* amount in every layer.
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
    """`leaky_relu(x + bias, 0.2) * sqrt(2)`; the factor brings the variance of a unit normal input back close to 1."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """b c ... -> b c ..."""
        gain = math.sqrt(2)  # applied inside, which saves a pass: leaky_relu(g x) = g leaky_relu(x) for g > 0
        bias = self.bias.reshape(-1, *[1] * (features.ndim - 2))
        return F.leaky_relu_(torch.add(bias * gain, features, alpha=gain), 0.2)


class DownConv2d(nn.Module):
    """Blur, then a stride-2 convolution: half the rows and columns without aliasing.

    The blur is padded by `2 + (kernel - 1)` in total, so that `h` rows become exactly `h // 2`, for even and odd `h`.
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
    """Two 3 x 3 convolutions in parallel to the identity: more depth at a low resolution. `b c h w -> b c h w`."""

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
    """The residual blocks of a level: `depths[level]` of them, or none if `depths` has no such entry."""
    return nn.Sequential(*[Residual(channels) for _ in range(depths[level] if level < len(depths) else 0)])
