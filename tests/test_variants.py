"""The variants: each has the interface of the model, learns with all its parameters, and is what its name says."""

import json
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from nted_lite import NTED
from nted_lite.data.people import people_source
from nted_lite.training import Trainer
from nted_lite.variants import FULL, SHORT, VARIANTS, FullAttention, Modulated, Shared, load, measures, trained
from nted_lite.weights.hub import shipped

SMALL = {"channels": (8, 8, 8), "discriminator_channels": (8, 8, 8, 8, 8)}


def small(name):
    """The variant, with narrow networks."""
    return replace(VARIANTS[name].model, **SMALL)


STAGES = ("renderer.stages.0.conv", "renderer.stages.1.conv")
IDLE = {  # nobody asks the photo's features at 16 rows; with a single texture there is nothing to choose
    "only-32-rows": ("reference_encoder.levels.1",),
    "k-1": (*STAGES, "reference_encoder.levels"),
}


class Pixels(nn.Module):
    def forward(self, image):
        return [image]


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_moves_every_parameter_and_the_parts_agree(name):
    variant = VARIANTS[name]
    config = replace(variant.train, pairs=1, draw_ahead=1, warm_up=0, texture_dropout=0.0)
    trainer = Trainer(small(name), config, people_source(64), Pixels(), Accelerator(cpu=True), network=variant.network)
    before = [p.detach().clone() for p in trainer.generator.parameters()]
    for _ in range(1 + variant.model.appearance_flow):  # a layer that starts at zero sends nothing back at first
        found = trainer.train_step()
    assert all(value.isfinite() for value in found.values())
    moved = {key: not torch.equal(a, b) for a, (key, b) in zip(before, trainer.generator.named_parameters())}
    idle = {key for key, value in moved.items() if not value}
    assert {key for key in idle if not key.startswith(IDLE.get(name, ()))} == set()
    (examples,) = trainer.examples()
    model = trainer.generator.eval()
    with torch.no_grad():
        whole = model(examples.reference, examples.pose)
        halves = model.render(examples.pose, model.extract(examples.reference))
    assert torch.equal(whole.image, halves.image) and whole.image.shape == (2, 3, 64, 44)
    for maps in whole.distribution:
        torch.testing.assert_close(maps.sum(1), torch.ones_like(maps.sum(1)))
    for maps in whole.extraction:
        torch.testing.assert_close(maps.sum((2, 3)), torch.ones_like(maps.sum((2, 3))))


@pytest.mark.parametrize("name", VARIANTS)
def test_only_one_decision_differs(name):
    variant = VARIANTS[name]
    changed = [variant.model != FULL, variant.network is not NTED]
    if variant.network is NTED and not variant.model.appearance_flow:
        # A network without maps has none to reconstruct with, and a flow needs its losses: that follows.
        changed.append(variant.train != SHORT)
    assert sum(changed) == (name != "full")
    assert variant.train.steps == SHORT.steps and variant.train.weights.adversarial == 0


def test_full_attention_is_attention():
    """Equal to PyTorch's own, on the keys, queries and values of one operation."""
    torch.manual_seed(0)
    model = FullAttention(small("full-attention")).eval()
    reference, pose = torch.rand(2, 3, 64, 44) * 2 - 1, torch.rand(2, 20, 64, 44)
    textures = model.extract(reference)
    values, keys = textures.vectors[0].chunk(2, dim=-1)
    layer = model.renderer.stages[0].conv0
    features = layer.conv(model.skeleton_encoder(pose)[0][0])
    wanted = nn.functional.scaled_dot_product_attention(
        layer.distribution.queries(features).flatten(2).mT[:, None], keys[:, None], values[:, None]
    )[:, 0].mT.unflatten(2, (16, 11))
    torch.testing.assert_close(layer.distribution(features, textures.vectors[0])[0], (features + wanted) / 2**0.5)


def test_shared_textures_are_the_same():
    textures = Shared(small("shared-extraction")).extract(torch.rand(1, 3, 64, 44))
    assert len(textures.vectors) == 4
    assert textures.vectors[0] is textures.vectors[1] and textures.vectors[2] is textures.vectors[3]


def test_modulated_filters_keep_their_size():
    """Whatever the style, the outputs of a layer have about the variance that a unit input gives."""
    torch.manual_seed(0)
    layer = Modulated(replace(FULL, **SMALL)).renderer.stages[0].conv1
    features = torch.randn(4, 8, 64, 44)
    for size in (0.1, 1.0, 10.0):
        seen = []
        hook = layer.activate.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        layer(features, size * torch.randn(4, 1, 8))
        hook.remove()
        assert seen[0].var().item() == pytest.approx(1, abs=0.2)


def test_a_folder_is_loaded_by_its_name(tmp_path):
    torch.manual_seed(0)
    model = Shared(small("shared-extraction"))
    model.save_pretrained(tmp_path / "shared-extraction-seed-1")
    again = load(tmp_path / "shared-extraction-seed-1")
    assert type(again) is Shared and all(map(torch.equal, model.parameters(), again.parameters()))
    with pytest.raises(ValueError, match="no variant of that name; there are full, no-reconstruction"):
        load(tmp_path / "something")


def test_trained_are_those_that_are_measured(tmp_path):
    for name in ("k-4", "full-seed-1", "full", "something", "k-1"):
        (tmp_path / name).mkdir()
        if name != "k-1":
            (tmp_path / name / "metrics.json").write_text("{}")
    assert list(trained(tmp_path)) == ["full", "full-seed-1", "k-4"]
    assert trained(tmp_path)["k-4"] == tmp_path / "k-4" and trained(tmp_path / "nothing there") == {}


@pytest.mark.parametrize("name", [name for name in trained() if not name.endswith("-seed-1")])
def test_what_ships_is_what_its_name_says(name):
    """The weights load, and the configuration is that of the variant today."""
    assert load(trained()[name]).config == VARIANTS[name].network(VARIANTS[name].model).config


def test_a_row_of_the_table(tmp_path):
    measured = json.loads((shipped("people-64") / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps(measured))
    row = measures(tmp_path)
    assert row["PSNR, dB"] == measured["similarity"]["model"]["psnr"]
    assert row["transport"]["mean"] == max(each["accuracy"]["mean"] for each in measured["transport"].values())
    (tmp_path / "metrics.json").write_text(json.dumps(measured | {"transport": {}}))
    assert measures(tmp_path)["transport"] is None, "a network without maps"
