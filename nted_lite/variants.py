"""The ablations: a small `people-64` with one decision changed at a time, all trained with the same short budget.

Most only change a number in the configuration. Four change the network itself but keep its interface: `extract`,
`render` and `forward`. Notebook 10 compares them; `checkpoints/train.py` trains them.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from einops import pack, rearrange, reduce, repeat
from torch import Tensor, nn

from nted_lite.config import PRESETS, LossWeights, ModelConfig, TrainConfig
from nted_lite.layers import EqualConv2d, EqualLinear
from nted_lite.model import NTED, Rendering, Textures
from nted_lite.renderer import Layer
from nted_lite.texture import distribute
from nted_lite.weights.hub import shipped

# -------------------------------------------------------------------------------------------------- the other networks


class Shared(NTED):
    """One extraction for each resolution: both layers of the renderer get the same textures."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        for level in self.reference_encoder.levels:
            del level.extractions[1:]

    def extract(self, reference: Tensor) -> Textures:
        once = super().extract(reference)
        twice = ([value for value in values for _ in range(2)] for values in (once.vectors, once.extraction))
        return Textures(*map(tuple, twice), once.photos)


class EveryPosition(nn.Module):
    """Replaces extraction: every position is a texture of its own, a value with the key that finds it."""

    def __init__(self, channels: int):
        super().__init__()
        self.values = EqualConv2d(channels, channels, 1, bias=True)
        self.keys = EqualConv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """b c h w -> values and keys, b (h w) 2c, and a one-hot extraction map, b (h w) h w"""
        h, w = features.shape[-2:]
        both, _ = pack([self.values(features), self.keys(features)], "b * h w")
        one_hot = rearrange(torch.eye(h * w, device=features.device), "k (h w) -> k h w", h=h)
        return rearrange(both, "b c h w -> b (h w) c"), repeat(one_hot, "k h w -> b k h w", b=len(features))


class Attend(nn.Module):
    """Replaces distribution: ordinary attention, in which each target position mixes all reference positions."""

    def __init__(self, channels: int):
        super().__init__()
        self.queries = EqualConv2d(channels, channels, 1)

    def forward(self, features: Tensor, textures: Tensor, hidden: None = None) -> tuple[Tensor, Tensor]:
        """b c h w, b k 2c -> b c h w, attention b k h w over the k positions of the reference"""
        values, keys = textures.chunk(2, dim=-1)
        logits = torch.einsum("bchw,bkc->bkhw", self.queries(features), keys) / math.sqrt(keys.shape[-1])
        mixture, attention = distribute(values, logits)
        return (features + mixture) / math.sqrt(2), attention


class FullAttention(NTED):
    """Full attention at the resolutions that have textures, which NTED replaces. It costs (h w)^2."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        for level in self.reference_encoder.levels:
            channels = level.down.conv.weight.shape[0]
            level.extractions = nn.ModuleList(EveryPosition(channels) for _ in level.extractions)
        for stage, channels in zip(self.renderer.stages, config.channels, strict=True):
            if stage.operations:
                stage.conv0.distribution, stage.conv1.distribution = Attend(channels), Attend(channels)


class Concatenated(NTED):
    """No transfer: the features of photo and pose are concatenated, position by position, at every resolution."""

    def __init__(self, config: ModelConfig):
        super().__init__(replace(config, textures=(0,) * len(config.textures), pose_skips=True))
        self.join = nn.ModuleList(EqualConv2d(2 * channels, channels, 1) for channels in config.channels)

    def extract(self, reference: Tensor) -> Textures:
        """The "textures" are the photo's features, b c h w, coarse to fine; there are no maps."""
        self._check(reference, 3, "reference")
        return Textures(tuple(self.reference_encoder(reference)[0]), ())

    def render(self, pose: Tensor, textures: Textures, hidden: Sequence[Tensor] = ()) -> Rendering:
        features, _ = self.skeleton_encoder(pose)
        both = zip(self.join, features, textures.vectors, strict=True)
        return Rendering(*self.renderer([join(pack(pair, "b * h w")[0]) for join, *pair in both], ()))


class ModulatedLayer(Layer):
    """StyleGAN2's modulation: a style scales the filters of a convolution (1912.04958, section 2.2)."""

    def __init__(self, layer: Layer, inputs: int, outputs: int, style: int):
        super().__init__(layer.conv, outputs, 0, 1, skip=layer.skip is not None)
        self.scales = EqualLinear(style, inputs)

    def forward(self, features: Tensor, textures: Tensor, pose: Tensor | None = None, hidden: None = None):
        scales = 1 + self.scales(rearrange(textures, "b 1 c -> b c"))  # modulate: same as scaling the input
        weight = self.conv.weight * self.conv.scale  # o i p q
        size = torch.einsum("oipq,bi->bo", weight.square(), scales.square())  # demodulate to filters of unit length
        features = self.conv(features * rearrange(scales, "b i -> b i 1 1"))
        features = features * rearrange((size + 1e-8).rsqrt(), "b o -> b o 1 1")
        if self.skip is not None:
            features = (features + self.skip(pose)) / math.sqrt(2)
        return self.activate(features), None


class Modulated(NTED):
    """One style vector for the person, the mean of the photo's features, modulates both convolutions of every stage."""

    def __init__(self, config: ModelConfig):
        super().__init__(replace(config, textures=(0,) * len(config.textures)))
        style, before = config.channels[0], (config.channels[0], *config.channels)
        for stage, inputs, outputs in zip(self.renderer.stages, before, config.channels):
            stage.conv0 = ModulatedLayer(stage.conv0, inputs, outputs, style)
            stage.conv1 = ModulatedLayer(stage.conv1, outputs, outputs, style)
            stage.operations = 2

    def extract(self, reference: Tensor) -> Textures:
        self._check(reference, 3, "reference")
        style = reduce(self.reference_encoder(reference)[0][0], "b c h w -> b 1 c", "mean")
        return Textures((style,) * 2 * len(self.renderer.stages), ())

    def render(self, pose: Tensor, textures: Textures, hidden: Sequence[Tensor] = ()) -> Rendering:
        return Rendering(super().render(pose, textures).image, ())


# ------------------------------------------------------------------------------------------------------------ the list

FULL = replace(PRESETS["people-64"].model, channels=(48, 48, 32), discriminator_channels=(48, 48, 48, 48, 32))
"""What all variants start from: people-64 with narrower networks, so that a variant takes minutes, not hours"""

SHORT = replace(
    PRESETS["people-64"].train, steps=3000, pairs=2, texture_dropout_steps=500, weights=LossWeights(), sample_every=3000
)
"""The budget of all variants: the same steps, the same people, no adversarial loss"""


@dataclass(frozen=True)
class Variant:
    """A model that differs from the full one in a single decision."""

    title: str
    model: ModelConfig = FULL
    train: TrainConfig = SHORT
    network: Callable[[ModelConfig], NTED] = NTED


def _textures(*textures: int) -> ModelConfig:
    return replace(FULL, textures=textures)


def _weights(**weights: float) -> TrainConfig:
    return replace(SHORT, weights=replace(SHORT.weights, **weights))


VARIANTS = {
    "full": Variant("the full model"),
    "no-reconstruction": Variant("without attention reconstruction", train=_weights(reconstruction=0.0)),
    "concatenated": Variant("features side by side, no transfer", train=_weights(reconstruction=0.0),
                            network=Concatenated),
    "modulated": Variant("one style vector", train=_weights(reconstruction=0.0), network=Modulated),
    "full-attention": Variant("every position to every position", train=replace(SHORT, texture_dropout=0.0),
                              network=FullAttention),
    "only-16-rows": Variant("textures at 16 rows only", _textures(16, 0, 0)),
    "only-32-rows": Variant("textures at 32 rows only", _textures(0, 32, 0)),
    **{f"k-{k}": Variant(f"k = {k} at both scales", _textures(k, k, 0)) for k in (1, 2, 4, 8, 32)},
    "shared-extraction": Variant("one extraction for both layers", network=Shared),
    "logit-scale-1": Variant("extraction logits as in the paper", replace(FULL, logit_scale=1.0)),
    "no-texture-dropout": Variant("without texture dropout", train=replace(SHORT, texture_dropout=0.0)),
    "no-coordinates": Variant("without coordinates", replace(FULL, coordinates=False)),
    "appearance-flow": Variant("pixels carried by appearance flow", replace(FULL, appearance_flow=True),
                               _weights(flow=3.0, limbs=3.0)),
    "no-pose-skips": Variant("the pose enters at 16 rows only", replace(FULL, pose_skips=False)),
    "paper-pose-map": Variant("the published pose map", replace(FULL, fine_pose=False)),
    "l1-only": Variant("pixels only, no features", train=_weights(perceptual=0.0, style=0.0)),
    "part-labels": Variant("with ground-truth parts as a warm start", train=_weights(parts=1.0)),
}  # fmt: skip
"""Name -> variant. `checkpoints/train.py` trains some of them with two seeds, to show how much chance there is."""


def trained(folder: Path | None = None) -> dict[str, Path]:
    """The variants that have been trained and measured, in the order of VARIANTS. (Of second seeds, no weights ship.)

    folder   where to look; None: in checkpoints/variants
    returns  name, optionally followed by `-seed-1` -> its folder
    """
    measured = {file.parent.name: file.parent for file in (folder or shipped("variants")).glob("*/metrics.json")}
    names = [name + seed for name in VARIANTS for seed in ("", "-seed-1")]
    return {name: measured[name] for name in names if name in measured}


def load(folder: Path) -> NTED:
    """The trained variant in a folder of that name, optionally followed by `-seed-1`. ValueError for other names."""
    name = Path(folder).name.removesuffix("-seed-1")
    if name not in VARIANTS:
        raise ValueError(f"{folder}: no variant of that name; there are {', '.join(VARIANTS)}")
    return VARIANTS[name].network.from_pretrained(folder)


# ----------------------------------------------------------------------------------------------------------- the table

COLUMNS = {
    "PSNR, dB": lambda measured: measured["similarity"]["model"]["psnr"],
    "PSNR, person": lambda measured: measured["similarity"]["model"]["person_psnr"],
    "SSIM": lambda measured: measured["similarity"]["model"]["ssim"],
    "parser distance": lambda measured: measured["similarity"]["model"]["parser_distance"],
    "patterns, fine": lambda measured: measured["patterns"]["model"]["fine"],
    "transport": lambda measured: max(
        (row["accuracy"] for row in measured["transport"].values()), key=lambda found: found["mean"], default=None
    ),
}
"""Columns of the table -> the interval {mean, low, high} in the content of a metrics.json; None: nothing to measure"""
LESS_IS_BETTER = ("parser distance",)


def measures(folder: Path) -> dict[str, dict[str, float] | None]:
    """A variant's row of the table, from its metrics.json: column -> {mean, low, high}, or None."""
    measured = json.loads((folder / "metrics.json").read_text())
    return {title: find(measured) for title, find in COLUMNS.items()}
