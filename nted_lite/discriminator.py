"""The discriminator: StyleGAN2's residual network, which judges how real an image looks."""

import math
from pathlib import Path

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from nted_lite.config import ModelConfig, model_config
from nted_lite.layers import Activation, DownConv2d, EqualConv2d, EqualLinear
from nted_lite.weights import official


def minibatch_deviation(features: Tensor, group: int = 4) -> Tensor:
    """Append one channel that says how much the images of a group differ: a remedy for generators that lack variety.

    features  b c h w   b must be a multiple of min(b, group); image i is in group `i mod (b / group)`
    returns   b c+1 h w

    Karras et al. (1710.10196), section 3. Raises ValueError if the group does not divide the batch.
    """
    b, _, h, w = features.shape
    group = min(b, group)
    if b % group:
        raise ValueError(f"a batch of {b} images does not divide into groups of {group}: use a multiple of {group}")
    grouped = rearrange(features, "(g n) c h w -> g n c h w", g=group)
    deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt()
    deviation = reduce(deviation, "n c h w -> n", "mean")
    return torch.cat([features, repeat(deviation, "n -> (g n) 1 h w", g=group, h=h, w=w)], dim=1)


class Halving(nn.Module):
    """A residual block that halves rows and columns: `b i h w -> b o h//2 w//2`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = EqualConv2d(inputs, inputs, 3, padding=1)
        self.activate1 = Activation(inputs)
        self.conv2 = DownConv2d(inputs, outputs, 3)
        self.activate2 = Activation(outputs)
        self.skip = DownConv2d(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.activate1(self.conv1(features))
        return (self.activate2(self.conv2(hidden)) + self.skip(features)) / math.sqrt(2)


class Discriminator(nn.Module):
    """From an image to one logit: positive for real, negative for generated.

    image    b 3 h w   -1..1; b must be a multiple of min(b, 4)
    returns  b 1
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        widths = config.discriminator_channels  # at 4, 8, 16 ... rows
        self.first = EqualConv2d(3, widths[-1], 1)
        self.activate = Activation(widths[-1])
        fine_to_coarse = list(reversed(widths))
        self.blocks = nn.Sequential(*[Halving(*pair) for pair in zip(fine_to_coarse, fine_to_coarse[1:], strict=False)])
        self.last_conv = EqualConv2d(widths[0] + 1, widths[0], 3, padding=1)
        self.last_activate = Activation(widths[0])
        self.linear = EqualLinear(widths[0] * 4 * 2, widths[0], bias=False)  # a 16:11 image ends as 4 rows of 2
        self.linear_activate = Activation(widths[0])
        self.logit = EqualLinear(widths[0], 1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.blocks(self.activate(self.first(image)))
        features = self.last_activate(self.last_conv(minibatch_deviation(features)))
        features = rearrange(features, "b c h w -> b (c h w)")
        return self.logit(self.linear_activate(self.linear(features)))

    @classmethod
    def from_official(cls, source: "str | Path | dict", config: "str | ModelConfig" = "fashion-256") -> "Discriminator":
        """A discriminator with the weights (`net_D`) of a published checkpoint; see `NTED.from_official`."""
        model = cls(model_config(config))
        official.load(model, official.read(source, "net_D"), official.DISCRIMINATOR_NAMES)
        return model.eval()
