"""The target image renderer: StyleGAN2's synthesis network with distribution in the place of style modulation.

Starts from the skeleton features at 16 rows and doubles them until the image is full size. At every resolution two
layers work and one more convolution adds its share of the RGB picture. Notebook 05 grows a picture with it.
"""

from torch import Tensor, nn

from nted_lite.config import ModelConfig
from nted_lite.layers import Activation, EqualConv2d, UpConv2d, blur_kernel, upsample
from nted_lite.texture import Distribution


class Layer(nn.Module):
    """Convolution -> distribution, where there are textures -> bias and activation."""

    def __init__(self, conv: nn.Module, channels: int, textures: int, kernel: int):
        super().__init__()
        self.conv = conv
        self.distribution = Distribution(channels, textures, kernel) if textures else None
        self.activate = Activation(channels)

    def forward(self, features: Tensor, textures: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """b i h w, b k o -> b o h w (or 2h 2w), distribution b k h w"""
        features, distribution = self.conv(features), None
        if self.distribution is not None:
            features, distribution = self.distribution(features, textures)
        return self.activate(features), distribution


class Stage(nn.Module):
    """One resolution: `conv0` (up-sampling, but at 16 rows), `conv1`, to-RGB."""

    def __init__(self, config: ModelConfig, level: int):
        super().__init__()
        channels, k, kernel = config.channels[level], config.textures[level], config.kernels[level]
        before = config.channels[max(level - 1, 0)]
        first = UpConv2d(before, channels) if level else EqualConv2d(before, channels, 3, padding=1)
        self.conv0 = Layer(first, channels, k, kernel)
        self.conv1 = Layer(EqualConv2d(channels, channels, 3, padding=1), channels, k, kernel)
        self.to_rgb = EqualConv2d(channels, 3, 3, padding=1, bias=True)

    def forward(self, features: Tensor, textures: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """features, the two textures of this resolution or none -> features, its RGB, its distribution maps"""
        first, second = textures or (None, None)
        features, distribution0 = self.conv0(features, first)
        features, distribution1 = self.conv1(features, second)
        return features, self.to_rgb(features), [distribution0, distribution1] if textures else []


class Renderer(nn.Module):
    """Skeleton features and textures to an image.

    features  b c 16 w
    textures  b k c each, coarse to fine, two per level with textures, in the order of use
    returns   b 3 h w     the image, about -1..1 (no final tanh)
              b k h w     the distribution maps, in the order of the textures
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.stages = nn.ModuleList(Stage(config, level) for level in range(len(config.channels)))
        self.widths = tuple(2 if k else 0 for k in config.textures)
        self.register_buffer("kernel", blur_kernel(gain=4.0), persistent=False)

    def forward(self, features: Tensor, textures: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        waiting, maps, image = list(textures), [], None
        for stage, count in zip(self.stages, self.widths, strict=True):
            now, waiting = waiting[:count], waiting[count:]
            features, rgb, distributions = stage(features, tuple(now))
            image = rgb if image is None else upsample(image, self.kernel) + rgb
            maps += distributions
        return image, tuple(maps)
