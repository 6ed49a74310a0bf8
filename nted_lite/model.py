"""NTED: the reference encoder, the skeleton encoder and the renderer, connected by neural textures.

    reference --reference encoder--> textures ----.
                                                  v
    pose -------skeleton encoder--> features --> renderer --> image

Ren et al. (2204.06160), section 3. Notebook 05 arrives at this file.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import torch
from einops import repeat
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from nted_lite.config import POSE_CHANNELS, ModelConfig, model_config
from nted_lite.encoder import Encoder
from nted_lite.flow import FLOW_LEVEL, Descriptor, Photos
from nted_lite.lists import read_text
from nted_lite.pose import pose_map
from nted_lite.renderer import Renderer
from nted_lite.weights import hub, official
from nted_lite.weights.files import open_tensors


@dataclass(frozen=True)
class Textures:
    """The appearance of a reference image: vectors and maps of each operation, coarse to fine, as the renderer asks."""

    vectors: tuple[Tensor, ...]
    """b k c each: the neural textures"""
    extraction: tuple[Tensor, ...]
    """b k h w each: the extraction maps, where each texture was averaged; sums to 1 over h w"""
    photos: Photos | None = None
    """the photos that they come from, for appearance flow; None for a model without it"""

    def repeat(self, b: int) -> "Textures":
        """The appearance of one photo, b times: to render it in b poses."""

        def times(values: Iterable[Tensor]) -> tuple[Tensor, ...]:
            return tuple(repeat(value, "1 ... -> b ...", b=b) for value in values)

        photos = self.photos and Photos(*times(vars(self.photos).values()))
        return Textures(times(self.vectors), times(self.extraction), photos)


@dataclass(frozen=True)
class Rendering:
    """A generated image and the maps that say which texture went where."""

    image: Tensor
    """b 3 h w, about -1..1"""
    distribution: tuple[Tensor, ...]
    """b k h w each, in the order of the textures; sums to 1 over k"""
    carried: Tensor | None = None
    """b 3 h w: the photo's pixels, carried by the appearance flow; None without it"""
    flow: Tensor | None = None
    """b s 2 h w: where in photo s each pixel comes from, (x, y), -1..1; None without appearance flow"""


@dataclass(frozen=True)
class Transfer:
    """Everything that one forward pass of NTED produces."""

    image: Tensor
    """b 3 h w, about -1..1"""
    textures: tuple[Tensor, ...]
    """b k c each, coarse to fine"""
    extraction: tuple[Tensor, ...]
    """b k h w each, sums to 1 over h w"""
    distribution: tuple[Tensor, ...]
    """b k h w each, sums to 1 over k"""
    carried: Tensor | None = None
    """b 3 h w: the reference's pixels, carried by the appearance flow; None without it"""
    flow: Tensor | None = None
    """b 1 2 h w: where in the reference each pixel comes from, (x, y), -1..1; None without appearance flow"""


class NTED(
    nn.Module, PyTorchModelHubMixin, library_name="nted-lite", license="mit",
    repo_url="https://github.com/nted-lite/nted-lite", paper_url="https://arxiv.org/abs/2204.06160",
):  # fmt: skip
    """Re-render a person in another pose.

    config  the architecture, for example `preset("people-64").model`
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.reference_encoder = Encoder(config, inputs=3, extracts=True)
        self.skeleton_encoder = Encoder(config, inputs=POSE_CHANNELS, extracts=False)
        self.renderer = Renderer(config)
        self.descriptor = Descriptor(config.channels[FLOW_LEVEL]) if config.appearance_flow else None

    def extract(self, reference: Tensor) -> Textures:
        """The neural textures of a photo.

        reference  b 3 h w   -1..1, of the model's size (ValueError otherwise)
        """
        self._check(reference, 3, "reference")
        features, found = self.reference_encoder(reference)
        if not found:
            raise ValueError("this model has no textures to extract: its configuration has 0 of them everywhere")
        # The encoder lists the finest level first, and in it extraction 0 before 1; the renderer needs the coarsest
        # first, and 1 before 0: exactly the reverse.
        vectors, maps = zip(*reversed(found), strict=True)
        photos = None
        if self.descriptor is not None:
            described = self.descriptor(features[FLOW_LEVEL])
            all_of_it = torch.ones_like(vectors[-1][..., 0])
            photos = Photos(reference[:, None], described[:, None], all_of_it[:, None])
        return Textures(vectors, maps, photos)

    def pose_map(self, keypoints: Tensor, visible: Tensor | None = None) -> Tensor:
        """Draw key points as this model reads them, see `nted_lite.pose.pose_map`: ... 18 2 in pixels -> ... 20 h w"""
        config = self.config
        return pose_map(keypoints, visible, config.height, config.width, fine=config.fine_pose)

    def render(self, pose: Tensor, textures: Textures, hidden: Sequence[Tensor] = ()) -> Rendering:
        """A person with these textures in this pose.

        pose      b 20 h w   0..1, as `pose_map` draws it, of the model's size (ValueError otherwise)
        textures  what `extract` returned, or a mixture of several
        hidden    b k each   bool, one per operation: textures to do without, see `Distribution`; empty: none
        """
        self._check(pose, POSE_CHANNELS, "pose")
        features, _ = self.skeleton_encoder(pose)
        return Rendering(*self.renderer(features, textures.vectors, hidden, textures.photos))

    def forward(self, reference: Tensor, pose: Tensor, hidden: Sequence[Tensor] = ()) -> Transfer:
        """`render(pose, extract(reference))`, with all intermediate textures and maps."""
        textures = self.extract(reference)
        rendering = self.render(pose, textures, hidden)
        return Transfer(
            rendering.image, textures.vectors, textures.extraction, rendering.distribution, rendering.carried,
            rendering.flow,
        )  # fmt: skip

    def _check(self, image: Tensor, channels: int, name: str) -> None:
        wanted = (channels, self.config.height, self.config.width)
        if image.ndim != 4 or tuple(image.shape[1:]) != wanted:
            raise ValueError(f"{name} is {tuple(image.shape)}; this model reads (b, {', '.join(map(str, wanted))})")

    def start_from(self, other: "NTED") -> list[str]:
        """Copy the weights of another model, which may be of fewer rows: a training goes on at a larger size.

        returns  the names of this model's tensors that the other has none of the same place and shape for; they stay
                 as they are. Between two models of the same size every tensor must fit (RuntimeError otherwise), except
                 that a model without appearance flow may be given one. Raises ValueError if the other is larger.
        """
        more = len(self.config.channels) - len(other.config.channels)
        if more < 0:
            raise ValueError(f"a model of {self.config.height} rows cannot start from one of {other.config.height}")
        # The encoders number their levels from the finest, so that 16 rows stand at the end; the renderer begins there.
        theirs = {
            re.sub(r"encoder\.levels\.(\d+)", lambda m: f"encoder.levels.{int(m[1]) + more}", name): value
            for name, value in other.state_dict().items()
        }
        if more:
            ours = self.state_dict()
            theirs = {name: value for name, value in theirs.items() if name in ours and ours[name].shape == value.shape}
            return self.load_state_dict(theirs, strict=False).missing_keys
        new = set(self.state_dict()) - set(theirs) if self.config.appearance_flow else set()
        new = {name for name in new if name.startswith(("descriptor.", "renderer.flow."))}
        kept = {name: value for name, value in self.state_dict().items() if name in new}
        self.load_state_dict(theirs | kept)
        return sorted(new)

    @classmethod
    def from_official(cls, source: "str | Path | dict", config: "str | ModelConfig" = "fashion-256") -> "NTED":
        """A model with the averaged weights (`net_G_ema`) of a published checkpoint.

        source  path of the file, the dictionary in it, or the network's own state
        config  a preset's name, or a ModelConfig
        raises  ValueError that names every missing, unused or misshapen tensor
        """
        model = cls(model_config(config))
        official.load(model, official.read(source, "net_G_ema"), official.GENERATOR_NAMES)
        return model.eval()

    @classmethod
    def from_pretrained(cls, source: "str | Path", **options) -> "NTED":
        """A model from a folder with config.json and model.safetensors, or from the Hugging Face hub.

        source   the folder, or a hub id: "user/name"
        options  of `huggingface_hub.snapshot_download`: revision, token, cache_dir ...
        raises   ValueError, in one line that names the file, if something is missing, damaged or does not fit

        huggingface_hub's own loader ignores unknown keys of config.json; here they are refused.
        """
        folder = hub.model_folder(source, **options)
        model = cls.described_in(folder / hub.CONFIG)
        file = folder / hub.WEIGHTS
        try:
            model.load_state_dict(open_tensors(file))
        except RuntimeError as error:
            why = shorten(" ".join(str(error).split()), 300, placeholder=" ...")
            raise ValueError(f"{file}: not the weights of this {hub.CONFIG} ({why})") from error
        return model.eval()

    @classmethod
    def described_in(cls, file: Path) -> "NTED":
        """An untrained model with the configuration in a file. Raises ValueError, in one line, if it describes none."""
        try:
            return cls(ModelConfig.from_dict(json.loads(read_text(file))))
        except OSError as error:
            raise ValueError(f"{file}: no such file, so no model") from error
        except Exception as error:  # values of wrong types make the layers raise nearly anything
            why = shorten(" ".join(str(error).split()), 300, placeholder=" ...")
            raise ValueError(f"{file}: describes no model ({why})") from error
