"""Every choice about a model and its training, as frozen dataclasses, and the named presets.

Tuples run from coarse to fine: entry 0 is for 16 rows, entry 1 for 32, and so on up to the height of the image. The
dataclasses are saved as JSON beside the weights, and the command line is generated from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

POSE_CHANNELS = 20
"""A stick figure in RGB plus one channel for each of the 17 limbs"""

OLD_NAMES = {"temperature": "logit_scale"}
"""Names of ModelConfig's fields in earlier versions -> their names today"""


def _lists_to_tuples(config: object) -> None:
    """Turn the lists that JSON makes of tuples back into tuples, in a frozen dataclass under construction."""
    for item in fields(config):
        if isinstance(getattr(config, item.name), list):
            object.__setattr__(config, item.name, tuple(getattr(config, item.name)))


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of NTED and its discriminator.

    The fields from `logit_scale` on are departures from the paper, off by default and in the `fashion-...` presets.
    """

    channels: tuple[int, ...] = (64, 64, 32)
    """width of the networks at 16, 32, 64 ... rows; the number of entries determines the size of the image"""
    textures: tuple[int, ...] = (8, 16, 0)
    """k, the number of semantic entities at 16, 32, 64 ... rows; 0 for a resolution without any"""
    kernels: tuple[int, ...] = (1, 3, 3)
    """kernel size of extraction and distribution at 16, 32, 64 ... rows"""
    discriminator_channels: tuple[int, ...] = (64, 64, 64, 64, 32)
    """width of the discriminator at 4, 8, 16 ... rows"""
    logit_scale: float = 1.0
    """factor on the extraction logits: above 1, the maps are sharper from the start"""
    residuals: tuple[int, ...] = ()
    """residual blocks in each encoder at 16, 32 ... rows"""
    renderer_residuals: tuple[int, ...] = ()
    """residual blocks in the renderer at 16, 32 ... rows"""
    coordinates: bool = False
    """whether both encoders also read a y and an x channel"""
    pose_skips: bool = False
    """whether the renderer reads the skeleton encoder's features at every resolution instead of only at 16 rows"""
    fine_pose: bool = False
    """whether the pose map locates limbs to a fraction of a pixel, see `nted_lite.pose.limb_nearness`"""
    appearance_flow: bool = False
    """whether the renderer also fetches the photo's own pixels, see `nted_lite.flow`"""

    def __post_init__(self):
        _lists_to_tuples(self)
        if len(self.channels) < 2:
            raise ValueError(f"channels {self.channels}: at least two resolutions (16 and 32 rows) are needed")
        for name in ("textures", "kernels"):
            if len(getattr(self, name)) != len(self.channels):
                raise ValueError(f"{name} {getattr(self, name)} and channels {self.channels} differ in length")
        if self.textures[-1]:
            raise ValueError(f"textures {self.textures}: the finest resolution cannot have any, so end with 0")
        if not all(size % 2 for size in self.kernels):
            raise ValueError(f"kernels {self.kernels}: use odd sizes; only they preserve the size of the features")
        if self.appearance_flow and not any(self.textures):
            raise ValueError(f"textures {self.textures}: appearance_flow needs some")
        if len(self.discriminator_channels) != len(self.channels) + 2:
            raise ValueError(f"discriminator_channels needs {len(self.channels) + 2} widths, at 4, 8, 16 ... rows")

    @classmethod
    def from_dict(cls, values: Mapping) -> "ModelConfig":
        """The configuration stored in a config.json; field names of earlier versions are still accepted.

        Raises ValueError that names every unknown key.
        """
        values = {OLD_NAMES.get(name, name): value for name, value in values.items()}
        if values.pop("pose_channels", POSE_CHANNELS) != POSE_CHANNELS:  # once an option, always 20
            raise ValueError(f"a pose map has {POSE_CHANNELS} channels")
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown in a model's configuration: {', '.join(sorted(unknown))}")
        return cls(**values)

    def rows(self, level: int) -> int:
        """Rows of the features at a level: 16, 32, 64 ..."""
        return 16 * 2**level

    @property
    def height(self) -> int:
        """Rows of the image."""
        return self.rows(len(self.channels) - 1)

    @property
    def width(self) -> int:
        """Columns of the image; every image is 16:11, upright."""
        return self.height * 11 // 16


@dataclass(frozen=True)
class LossWeights:
    """The weight of each loss; a loss with weight 0 is not even computed."""

    reconstruction: float = 15.0
    """attention reconstruction: L1 between the target and what the maps alone reconstruct of it"""
    pixel: float = 10.0
    """L1 between the pixels"""
    perceptual: float = 1.0
    """L1 between features"""
    style: float = 1.0
    """L1 between Gram matrices of features"""
    face: float = 0.0
    """L1 between features of face crops"""
    adversarial: float = 0.0
    """logistic GAN loss of the generator"""
    flow: float = 0.0
    """L1 between the target and the photo's pixels as the appearance flow carries them, at three sizes (not in the
    paper)"""
    limbs: float = 0.0
    """distance of the appearance flow from the photo's limbs, where it starts at the target's (not in the paper)"""
    parts: float = 0.0
    """warm start: cross-entropy of maps with ground-truth parts, for synthetic people only (not in the paper)"""


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained."""

    steps: int = 10_000
    """optimiser steps"""
    pairs: int = 4
    """pairs per step, over all processes; each is used in both directions, so images = 2 x pairs"""
    accumulate: int = 1
    """gradient-accumulation steps: each process splits its pairs into this many portions, to use less memory"""
    draw_ahead: int = 8
    """number of steps whose people are rendered together, which is faster than step by step"""
    features: str = "people-parser"
    """network of the perceptual loss: people-parser (synthetic people) or vgg19 (photographs)"""
    perceptual_scales: int = 1
    """number of sizes at which features are compared, full, half, quarter ...; styles are compared at full size only"""
    lr: float = 2e-3
    """learning rate of the generator's Adam"""
    discriminator_lr: float = 2e-3
    """learning rate of the discriminator's Adam; it and the betas (0, 0.99) are corrected for lazy R1, see `Trainer`"""
    betas: tuple[float, float] = (0.9, 0.99)
    """betas of the generator's Adam"""
    warm_up: int = 0
    """steps over which both learning rates rise from 0"""
    decay: float = 0.3
    """fraction of the steps, at the end, over which both learning rates fall to 0 (half a cosine)"""
    ema: float = 0.998
    """decay per step of the averaged weights (EMA), which are the model that is saved and used"""
    weights: LossWeights = field(default_factory=LossWeights)
    adversarial_start: int = 20_000
    """step at which the adversarial loss begins"""
    r1: float = 10.0
    """weight of the R1 gradient penalty on real images"""
    r1_every: int = 16
    """steps between R1 penalties; each is multiplied by this number to make up for it (lazy R1)"""
    texture_dropout: float = 0.0
    """probability that a texture is hidden from an image in the first steps (a departure from the paper if not 0)"""
    texture_dropout_steps: int = 1000
    """number of first steps with texture dropout"""
    parts_steps: int = 1800
    """steps over which the warm start decays to 0"""
    seed: int = 0
    """seed of the initial weights, of texture dropout and of DeepFashion's pairs; the synthetic people of a step are
    always the same"""
    log_every: int = 50
    """steps between logged scalars"""
    sample_every: int = 1000
    """steps between sample grids"""
    checkpoint_every: int = 500
    """steps between checkpoints"""
    compile: bool = False
    """whether to compile the generator and the feature network (not the discriminator: R1 differentiates it twice)"""

    def __post_init__(self):
        _lists_to_tuples(self)
        if isinstance(self.weights, dict):
            object.__setattr__(self, "weights", LossWeights(**self.weights))
        counts = ("steps", "pairs", "accumulate", "draw_ahead", "perceptual_scales", "r1_every", "log_every",
                  "sample_every", "checkpoint_every", "parts_steps")  # fmt: skip
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.warm_up < 0:
            raise ValueError(f"warm_up is {self.warm_up}; it must be at least 0")
        for name in ("decay", "ema", "texture_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")


@dataclass(frozen=True)
class Preset:
    """A model and the training configuration that suits it."""

    model: ModelConfig
    train: TrainConfig


_PAPER_256 = TrainConfig(
    steps=1_200_000,
    pairs=8,
    draw_ahead=1,
    features="vgg19",
    betas=(0.0, 0.99),
    decay=0.0,
    ema=0.5 ** (32 / 10_000),
    weights=LossWeights(reconstruction=15, pixel=0, perceptual=2, style=1000, face=1, adversarial=1.5),
    checkpoint_every=2000,
)
_PAPER_512 = replace(
    _PAPER_256,
    perceptual_scales=3,
    weights=LossWeights(reconstruction=15, pixel=0, perceptual=1, style=1000, face=1, adversarial=1.5),
    adversarial_start=0,
)

_PEOPLE = dict(logit_scale=8.0, residuals=(1, 1), coordinates=True, pose_skips=True, fine_pose=True)
_PEOPLE_64 = ModelConfig(
    channels=(64, 64, 48),
    textures=(16, 32, 0),
    kernels=(1, 3, 3),
    discriminator_channels=(64, 64, 64, 64, 48),
    renderer_residuals=(0, 1),
    **_PEOPLE,
)
_PEOPLE_TRAIN = TrainConfig(
    lr=16e-3,
    discriminator_lr=4e-3,
    warm_up=200,
    decay=0.6,
    texture_dropout=0.5,
    weights=LossWeights(adversarial=0.5),
)

PRESETS = {
    "people-64": Preset(_PEOPLE_64, replace(_PEOPLE_TRAIN, steps=26_000, adversarial_start=19_000)),
    "people-128": Preset(
        ModelConfig(
            channels=(64, 64, 48, 32),
            textures=(16, 32, 16, 0),
            kernels=(1, 3, 3, 3),
            discriminator_channels=(64, 64, 64, 64, 48, 32),
            renderer_residuals=(0, 1),
            appearance_flow=True,
            **_PEOPLE,
        ),
        replace(
            _PEOPLE_TRAIN, pairs=2, steps=40_000, adversarial_start=30_000,
            weights=replace(_PEOPLE_TRAIN.weights, flow=3.0, limbs=3.0),
        ),
    ),
    "people-64-k5": Preset(
        replace(_PEOPLE_64, textures=(5, 5, 0)), replace(_PEOPLE_TRAIN, steps=10_000, weights=LossWeights())
    ),
    "fashion-256": Preset(
        ModelConfig(
            channels=(512, 512, 512, 256, 128),
            textures=(16, 32, 64, 64, 0),
            kernels=(1, 3, 3, 3, 3),
            discriminator_channels=(512, 512, 512, 512, 512, 256, 128),
        ),
        _PAPER_256,
    ),
    "fashion-512": Preset(
        ModelConfig(
            channels=(512, 512, 512, 256, 128, 64),
            textures=(16, 32, 32, 64, 64, 0),
            kernels=(1, 3, 3, 3, 3, 3),
            discriminator_channels=(512, 512, 512, 512, 512, 256, 128, 64),
        ),
        _PAPER_512,
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name. Raises ValueError that lists all names if there is no such preset."""
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def model_config(name_or_config: "str | ModelConfig") -> ModelConfig:
    """The model configuration of a preset, given its name; a ModelConfig is returned unchanged."""
    return preset(name_or_config).model if isinstance(name_or_config, str) else name_or_config
