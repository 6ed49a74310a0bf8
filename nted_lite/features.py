"""Networks whose features say how alike two images look.

The perceptual loss needs a network that understands what it sees. For photographs, that is VGG-19, trained on a million
labelled pictures. For synthetic people, it is the *people parser*, trained in minutes on their ground-truth parts and
the patterns and colours of their garments, see `parser_training.py`. `feature_network` returns either of them, frozen.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from nted_lite.people import PARTS
from nted_lite.people.wardrobe import PATTERNS
from nted_lite.weights import hub
from nted_lite.weights.files import open_tensors
from nted_lite.weights.hub import shipped

GARMENTS = ("top", "bottom")
WIDTHS = (16, 32, 64)

VGG_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))
"""VGG-19 up to relu5_1: channels and number of convolutions of each stage, with pooling between stages"""

VGG_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
VGG_SHA256 = "dcbb9e9d"  # the first digits of that file's hash


@dataclass(frozen=True)
class Parsing:
    """The predictions of a parser; patterns and colours are those of the people parser alone."""

    parts: Tensor
    """b 8 h w: logits of the parts"""
    patterns: Tensor | None = None
    """b 2 p: logits of the patterns of top and bottom"""
    colours: Tensor | None = None
    """b 2 6: the two RGB colours each of top and bottom, 0..1"""


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class PeopleParser(nn.Module):
    """A small U-Net for pictures of synthetic people.

    image    b 3 h w   -1..1, of any size; it was trained on 64 to 128 rows
    returns  [b c h w, b c h/2 w/2, b c h/4 w/4]   the features that the perceptual loss compares, each divided by its
                       mean magnitude on ground-truth pictures, so that all scales have equal weight
    """

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(
            _block(inputs, outputs, stride)
            for inputs, outputs, stride in zip((3, *WIDTHS), WIDTHS, (1, 2, 2), strict=False)
        )
        self.up = nn.ModuleList(_block(a + b, a, 1) for a, b in ((WIDTHS[1], WIDTHS[2]), (WIDTHS[0], WIDTHS[1])))
        self.parts = nn.Conv2d(WIDTHS[0], len(PARTS), 1)
        self.patterns = nn.Linear(2 * WIDTHS[-1], len(GARMENTS) * len(PATTERNS))
        self.colours = nn.Linear(2 * WIDTHS[-1], len(GARMENTS) * 6)
        self.register_buffer("magnitudes", torch.ones(len(WIDTHS)))

    def _encode(self, image: Tensor) -> list[Tensor]:
        features = []
        for block in self.down:
            image = block(image)
            features.append(image)
        return features

    def forward(self, image: Tensor) -> list[Tensor]:
        return [f / magnitude for f, magnitude in zip(self._encode(image), self.magnitudes, strict=True)]

    def parse(self, image: Tensor) -> Parsing:
        """The part of every pixel, and the patterns and colours of the garments. image  b 3 h w, -1..1"""
        fine, middle, coarse = self._encode(image)
        middle = self.up[0](torch.cat([middle, F.interpolate(coarse, size=middle.shape[-2:])], dim=1))
        fine = self.up[1](torch.cat([fine, F.interpolate(middle, size=fine.shape[-2:])], dim=1))
        pooled = torch.cat([reduce(coarse, "b c h w -> b c", how) for how in ("mean", "max")], dim=1)
        garments = len(GARMENTS)
        return Parsing(
            self.parts(fine),
            rearrange(self.patterns(pooled), "b (g p) -> b g p", g=garments),
            rearrange(self.colours(pooled), "b (g c) -> b g c", g=garments).sigmoid(),
        )


def people_parser() -> PeopleParser:
    """The shipped parser, frozen. Raises ValueError if its checkpoint is missing."""
    file = shipped("people-parser") / "model.safetensors"
    if not file.is_file():
        raise ValueError(f"{file}: no people parser there; clone the repository, or run `nted-lite train-parser`")
    parser = PeopleParser()
    parser.load_state_dict(open_tensors(file))
    return parser.eval().requires_grad_(False)


class VGG19(nn.Module):
    """The convolutions of VGG-19 that the perceptual loss needs. Simonyan and Zisserman (1409.1556).

    image    b 3 h w   -1..1, at least 16 x 16
    returns  [relu1_1, relu2_1, relu3_1, relu4_1, relu5_1], finest first: b c h w each, with half the rows and columns
             of the one before
    raises   ValueError for a smaller image

    Parameters are named as in torchvision, `features.N.weight`, so that its weights fit.
    """

    def __init__(self):
        super().__init__()
        layers, inputs, self.returned = [], 3, []
        for width, convolutions in VGG_STAGES:
            if layers:
                layers.append(nn.MaxPool2d(2))
            self.returned.append(len(layers) + 1)  # the ReLU after the stage's first convolution
            for _ in range(convolutions):
                # In place, because only the ReLU reads the convolution's output; the ReLU's output is not overwritten.
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
        self.features = nn.Sequential(*layers)
        # Mean and standard deviation of ImageNet's pixels, converted from 0..1 to -1..1.
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("mean", rearrange(2 * mean - 1, "c -> 1 c 1 1"), persistent=False)
        self.register_buffer("std", rearrange(2 * std, "c -> 1 c 1 1"), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        if min(height, width) < 16:
            raise ValueError(f"VGG-19 halves a picture four times: it needs 16 x 16 pixels, not {height} x {width}")
        image = (image - self.mean) / self.std
        features = []
        for number, layer in enumerate(self.features):
            image = layer(image)
            if number in self.returned:
                features.append(image)
        return features


def vgg19(weights: Path | None = None) -> VGG19:
    """VGG-19 with torchvision's ImageNet weights, frozen.

    weights  their file; None: the one in torch hub's cache, downloaded (548 MB) if it is not there yet
    raises   ValueError, in one line, if the file is missing and cannot be downloaded, or is not the right one
    """
    try:
        file = hub.weights(VGG_URL, VGG_SHA256, weights)
    except ValueError as error:
        raise ValueError(f"VGG-19: {error}, or use the people parser: --features people-parser") from error
    network, state = VGG19(), torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({name: state[name] for name in network.state_dict()})  # without what follows relu5_1
    return network.eval().requires_grad_(False)


def feature_network(name: str, weights: Path | None = None) -> nn.Module:
    """The frozen network of the perceptual loss: an image b 3 h w in -1..1 -> a list of features, finest first.

    name     "people-parser" for synthetic people, "vgg19" for photographs
    weights  file with VGG-19's weights, see `vgg19`; the people parser ships with its own
    raises   ValueError for another name, or if the weights are not available
    """
    if name == "people-parser":
        return people_parser()
    if name == "vgg19":
        return vgg19(weights)
    raise ValueError(f"no feature network {name!r}; there are people-parser, vgg19")
