"""The encoder: reduces an image or a pose map to 16 rows, and extracts neural textures on the way.

The first half of NTED consists of two of them. The reference encoder reads the photo and extracts textures at several
scales; the skeleton encoder reads the pose and extracts nothing. Notebook 04 builds it level by level.
"""

import torch
from einops import pack
from torch import Tensor, nn

from nted_lite.config import ModelConfig
from nted_lite.layers import Activation, DownConv2d, EqualConv2d, residuals
from nted_lite.texture import Extraction


def with_coordinates(image: Tensor) -> Tensor:
    """Append a y and an x channel, each from -1 to 1: `b c h w -> b c+2 h w`."""
    b, _, h, w = image.shape
    y = torch.linspace(-1, 1, h, device=image.device, dtype=image.dtype)
    x = torch.linspace(-1, 1, w, device=image.device, dtype=image.dtype)
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(b, -1, -1, -1)
    return pack([image, grid], "b * h w")[0]


class Level(nn.Module):
    """Halve the rows; then, at a level with textures, extract twice from the same features, with separate weights."""

    def __init__(self, config: ModelConfig, level: int, textures: int):
        super().__init__()
        channels = config.channels[level]
        self.down = DownConv2d(config.channels[level + 1], channels)
        self.activate = Activation(channels)
        self.residuals = residuals(channels, config.residuals, level)
        self.extractions = nn.ModuleList(
            Extraction(channels, textures, config.kernels[level], config.logit_scale)
            for _ in range(2 if textures else 0)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """b i h w -> b o h//2 w//2, [(textures b k o, extraction b k h//2 w//2), ...]"""
        features = self.residuals(self.activate(self.down(features)))
        return features, [extraction(features) for extraction in self.extractions]


class Encoder(nn.Module):
    """From `inputs` channels at full size to `channels[0]` channels at 16 rows.

    image    b inputs h w
    returns  [b c h w, ...]          the features of every resolution, coarse to fine: entry 0 has 16 rows
             [(textures, map), ...]  two per level with textures, fine to coarse: the order in which they are extracted
    """

    def __init__(self, config: ModelConfig, inputs: int, extracts: bool):
        super().__init__()
        self.coordinates = config.coordinates
        self.first = EqualConv2d(inputs + 2 * self.coordinates, config.channels[-1], 1)
        self.activate = Activation(config.channels[-1])
        self.levels = nn.ModuleList(
            Level(config, level, config.textures[level] if extracts else 0)
            for level in reversed(range(len(config.channels) - 1))
        )

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        if self.coordinates:
            image = with_coordinates(image)
        features = [self.activate(self.first(image))]
        found = []
        for level in self.levels:
            smaller, extracted = level(features[-1])
            features.append(smaller)
            found += extracted
        return features[::-1], found
