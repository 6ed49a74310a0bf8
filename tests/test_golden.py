"""The system equals the reference outputs computed in double precision, tensor by tensor."""

from pathlib import Path

import pytest
import torch
from einops import rearrange
from safetensors.torch import load_file

from nted_lite import NTED, Discriminator, ModelConfig
from nted_lite.losses import attention_reconstruction, r1_penalty

GOLDEN = Path(__file__).parent / "golden"
CONFIG = ModelConfig(
    channels=(24, 16, 8), textures=(4, 6, 0), kernels=(1, 3, 3), discriminator_channels=(16, 16, 16, 12, 8)
)


def golden(name):
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    parts = {"state": {}, "input": {}, "output": {}}
    for key, tensor in tensors.items():
        kind, name = key.split(".", 1)
        parts[kind][name] = tensor
    return parts["state"], parts["input"], parts["output"]


def relative_error(ours, theirs):
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.fixture(scope="module")
def generator():
    state, inputs, outputs = golden("generator_64")
    model = NTED.from_official(state, CONFIG)
    with torch.no_grad():
        return model(inputs["source_image"], inputs["target_skeleton"]), inputs, outputs


def test_image(generator):
    ours, _, theirs = generator
    assert relative_error(ours.image, theirs["fake_image"]) < 1e-5


@pytest.mark.parametrize("operation", range(4))
def test_operation(generator, operation):
    ours, _, theirs = generator
    textures = rearrange(ours.textures[operation], "b k c -> b c k")
    extraction = rearrange(ours.extraction[operation], "b k h w -> b k (h w)")
    assert relative_error(textures, theirs[f"neural_textures.{operation}"]) < 1e-5
    assert relative_error(extraction, theirs[f"extraction_softmax.{operation}"]) < 1e-5
    distribution = theirs[f"semantic_distribution.{operation}"].softmax(dim=1)  # the reference keeps the logits
    assert relative_error(ours.distribution[operation], distribution) < 1e-5


def test_attention_reconstruction(generator):
    ours, inputs, theirs = generator
    loss = attention_reconstruction(
        ours.extraction, ours.distribution, inputs["source_image"], inputs["target_image"]
    )
    assert relative_error(loss, theirs["attention_reconstruction_loss"]) < 1e-5


def test_discriminator():
    state, inputs, theirs = golden("discriminator_64")
    model = Discriminator.from_official(state, CONFIG)
    assert relative_error(model(inputs["image"]), theirs["logits"]) < 1e-5
    assert relative_error(r1_penalty(model, inputs["image"]), theirs["r1_penalty"]) < 1e-5
