"""The target image renderer: StyleGAN2's synthesis network with distribution in place of style modulation.

It starts from the skeleton features at 16 rows and doubles the resolution until the image has its full size. Each
resolution has two layers, and one more convolution that adds its contribution to the RGB image. Notebook 05 grows an
image with it.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from nted_lite.config import ModelConfig
from nted_lite.flow import FLOW_LEVEL, AppearanceFlow, Photos
from nted_lite.layers import Activation, EqualConv2d, UpConv2d, blur_kernel, residuals, upsample
from nted_lite.texture import Distribution


class Layer(nn.Module):
    """Convolution -> pose skip, if any -> distribution, where there are textures -> bias and activation."""

    def __init__(self, conv: nn.Module, channels: int, textures: int, kernel: int, skip: bool = False):
        super().__init__()
        self.conv = conv
        self.skip = EqualConv2d(channels, channels, 1) if skip else None
        self.distribution = Distribution(channels, textures, kernel) if textures else None
        self.activate = Activation(channels)

    def forward(
        self, features: Tensor, textures: Tensor | None, pose: Tensor | None = None, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """b i h w, b k o, b o h w, b k -> b o h w, distribution b k h w (2h 2w after an up-sampling convolution)"""
        features, distribution = self.conv(features), None
        if self.skip is not None:
            features = (features + self.skip(pose)) / math.sqrt(2)
        if self.distribution is not None:
            features, distribution = self.distribution(features, textures, hidden)
        return self.activate(features), distribution


class Stage(nn.Module):
    """One resolution: `conv0` (up-sampling, except at 16 rows), `conv1`, residual blocks, to-RGB."""

    def __init__(self, config: ModelConfig, level: int):
        super().__init__()
        channels, k, kernel = config.channels[level], config.textures[level], config.kernels[level]
        before = config.channels[max(level - 1, 0)]
        first = UpConv2d(before, channels) if level else EqualConv2d(before, channels, 3, padding=1)
        self.conv0 = Layer(first, channels, k, kernel, skip=config.pose_skips and level > 0)
        self.conv1 = Layer(EqualConv2d(channels, channels, 3, padding=1), channels, k, kernel)
        self.residuals = residuals(channels, config.renderer_residuals, level)
        self.to_rgb = EqualConv2d(channels, 3, 3, padding=1, bias=True)
        self.operations = 2 if k else 0

    def forward(
        self, features: Tensor, textures: Sequence[Tensor], pose: Tensor | None = None, hidden: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Refine the features and draw this resolution's contribution to the image.

        features  b i h w         the features so far
        textures  b k o, twice    those of this resolution; empty where there are none
        pose      b o h w         the pose's features at this resolution, for the pose skip
        hidden    b k, twice      textures to do without, see `Distribution`; empty: none
        returns   b o h w, b 3 h w and [b k h w, ...]: features, contribution to RGB, distribution maps
        """
        textures, hidden = textures or (None, None), hidden or (None, None)
        features, distribution0 = self.conv0(features, textures[0], pose, hidden[0])
        features, distribution1 = self.conv1(features, textures[1], None, hidden[1])
        features = self.residuals(features)
        return features, self.to_rgb(features), [distribution0, distribution1][: self.operations]


class Renderer(nn.Module):
    """From skeleton features and textures to an image.

    features  [b c h w, ...]  of the pose, coarse to fine; without `pose_skips` only the first is used
    textures  b k c each      coarse to fine, two per level with textures, in the order of use
    hidden    b k each, bool  textures that an image must do without, see `Distribution`; empty: none
    photos                    where the textures come from; only with `appearance_flow`
    returns   b 3 h w         the image, about -1..1 (no final tanh)
              b k h w each    the distribution maps, in the order of the textures
              b 3 h w         the carried pixels, and
              b s 2 h w       the flow, see `AppearanceFlow`; both None without it
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.stages = nn.ModuleList(Stage(config, level) for level in range(len(config.channels)))
        self.flow = AppearanceFlow(config) if config.appearance_flow else None
        self.register_buffer("kernel", blur_kernel(gain=4.0), persistent=False)

    def forward(
        self, features: Sequence[Tensor], textures: Sequence[Tensor], hidden: Sequence[Tensor] = (),
        photos: Photos | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None, Tensor | None]:  # fmt: skip
        x, image, maps, levels, carried, flow = features[0], None, [], [], None, None
        for stage, pose in zip(self.stages, features, strict=True):
            now = slice(len(maps), len(maps) + stage.operations)
            x, rgb, distributions = stage(x, textures[now], pose, hidden[now])
            image = rgb if image is None else upsample(image, self.kernel) + rgb
            maps += distributions
            levels.append(x)
        if self.flow is not None:
            image, carried, flow = self.flow(levels[FLOW_LEVEL], x, image, maps[-1], photos)
        return image, tuple(maps), carried, flow
