"""The assembled networks: which layer gets which textures, what is refused, and that a saved model loads unchanged."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from nted_lite import NTED, PRESETS, Discriminator, ModelConfig, TrainConfig, preset
from nted_lite.config import LossWeights, model_config
from nted_lite.discriminator import minibatch_deviation
from nted_lite.encoder import with_coordinates

EVERYTHING = ModelConfig(  # every field away from its default
    channels=(8, 6), textures=(3, 0), kernels=(3, 1), discriminator_channels=(4, 5, 6, 7),
    logit_scale=8.0, residuals=(1,), renderer_residuals=(0, 1), coordinates=True, pose_skips=True, fine_pose=True,
)  # fmt: skip


def inputs(config, b=2):
    reference = torch.rand(b, 3, config.height, config.width) * 2 - 1
    return reference, torch.rand(b, 20, config.height, config.width)


@pytest.fixture
def model(small):
    return NTED(small).eval()


# ------------------------------------------------------------------------------------------------------- what it makes


def test_forward_is_render_of_extract(model, small):
    reference, pose = inputs(small)
    with torch.no_grad():
        both, textures = model(reference, pose), model.extract(reference)
        rendering = model.render(pose, textures)
    assert torch.equal(both.image, rendering.image)
    for name, parts in (
        ("textures", textures.vectors), ("extraction", textures.extraction), ("distribution", rendering.distribution)
    ):  # fmt: skip
        assert len(getattr(both, name)) == len(parts) == 4
        assert all(map(torch.equal, getattr(both, name), parts)), name


def test_shapes(model, small):
    made = model(*inputs(small))
    assert made.image.shape == (2, 3, 64, 44)
    assert [tuple(t.shape) for t in made.textures] == [(2, 3, 12), (2, 3, 12), (2, 5, 10), (2, 5, 10)]
    sizes = [(2, 3, 16, 11), (2, 3, 16, 11), (2, 5, 32, 22), (2, 5, 32, 22)]
    assert [tuple(t.shape) for t in made.extraction] == [tuple(t.shape) for t in made.distribution] == sizes
    for extraction, distribution in zip(made.extraction, made.distribution):
        torch.testing.assert_close(extraction.sum((2, 3)), torch.ones(extraction.shape[:2]))
        torch.testing.assert_close(distribution.sum(1), torch.ones(2, *distribution.shape[2:]))


def test_order_of_textures(model, small):
    """`conv0` of a resolution uses the encoder's extraction number 1, `conv1` its number 0."""
    found, used = {}, {}
    for level in (0, 1):
        encoder_level = model.reference_encoder.levels[len(small.channels) - 2 - level]  # it goes from fine to coarse
        for number, extraction in enumerate(encoder_level.extractions):
            extraction.register_forward_hook(lambda _, __, out, at=(level, number): found.update({at: out[0]}))
        for number, layer in enumerate((model.renderer.stages[level].conv0, model.renderer.stages[level].conv1)):
            layer.register_forward_pre_hook(lambda _, args, at=(level, number): used.update({at: args[1]}))
    made = model(*inputs(small))
    for level in (0, 1):
        assert used[level, 0] is found[level, 1] and used[level, 1] is found[level, 0]
        assert made.textures[2 * level] is used[level, 0] and made.textures[2 * level + 1] is used[level, 1]


def test_images_of_a_batch_do_not_meet(model, small):
    reference, pose = inputs(small)
    with torch.no_grad():
        together = model(reference, pose).image
        alone = torch.cat([model(r[None], p[None]).image for r, p in zip(reference, pose)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_every_parameter_learns(small):
    for config in (small, EVERYTHING):
        model = NTED(config)
        model(*inputs(config)).image.square().mean().backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        assert still == []
        judge = Discriminator(config)
        judge(inputs(config)[0]).square().mean().backward()
        assert [name for name, p in judge.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


def test_coordinates():
    image = with_coordinates(torch.zeros(2, 3, 16, 11))
    assert image.shape == (2, 5, 16, 11)
    assert torch.equal(image[1, 3, :, 0], torch.linspace(-1, 1, 16))
    assert torch.equal(image[1, 4, 0], torch.linspace(-1, 1, 11))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_size_in_their_name(name):
    config = preset(name).model
    assert config.height == int(name.split("-")[1]) and 16 * config.width == 11 * config.height
    assert config.rows(0) == 16 and config.rows(len(config.channels) - 1) == config.height


# ----------------------------------------------------------------------------------------------------- saved and loaded


@pytest.mark.parametrize("config", [EVERYTHING, preset("people-64").model], ids=["every field", "people-64"])
def test_saved_model_comes_back_the_same(config, tmp_path):
    model = NTED(config).eval()
    model.save_pretrained(tmp_path)
    for other in (NTED.from_pretrained(tmp_path), NTED.from_pretrained(tmp_path)):
        assert type(other.config) is ModelConfig and other.config == config
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
        with torch.no_grad():
            reference, pose = inputs(config)
            assert torch.equal(model(reference, pose).image, other(reference, pose).image)
    assert not NTED.from_pretrained(tmp_path).training


def test_config_survives_json():
    for config in (EVERYTHING, *(p.model for p in PRESETS.values()), *(p.train for p in PRESETS.values())):
        text = json.dumps(dataclasses.asdict(config))
        assert type(config)(**json.loads(text)) == config


def test_names_of_earlier_versions_are_read():
    old = {"channels": [8, 8], "textures": [3, 0], "kernels": [1, 3], "discriminator_channels": [8, 8, 8, 8],
           "temperature": 8.0, "pose_channels": 20}  # fmt: skip
    assert ModelConfig.from_dict(old).logit_scale == 8.0
    with pytest.raises(ValueError, match="unknown in a model's configuration: colour, weight"):
        ModelConfig.from_dict(old | {"weight": 1, "colour": 2})


def test_unknown_keys_beside_the_weights_are_refused(tmp_path, small):
    NTED(small).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"colour": 2}))
    with pytest.raises(ValueError, match="config.json: describes no model .unknown in a model's configuration: colour"):
        NTED.from_pretrained(tmp_path)


def test_folder_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="config.json: no such file, so no model"):
        NTED.from_pretrained(tmp_path)


@pytest.mark.parametrize("spoil", [lambda state: state.popitem(), lambda state: state.update(more=torch.zeros(1))])
def test_weights_that_do_not_fit(tmp_path, spoil, small):
    NTED(small).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    spoil(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="model.safetensors: not the weights of this config.json"):
        NTED.from_pretrained(tmp_path)


def test_truncated_weights(tmp_path, small):
    NTED(small).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="model.safetensors: not a file of plain tensors, or damaged, or cut short"):
        NTED.from_pretrained(tmp_path)


def test_preset_names_are_models():
    assert model_config("people-64") is preset("people-64").model
    assert model_config(EVERYTHING) is EVERYTHING


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("shape", [(2, 3, 64, 45), (2, 3, 44, 64), (2, 4, 64, 44), (3, 64, 44), (2, 3, 128, 88)])
def test_reference_of_another_size(model, small, shape):
    with pytest.raises(ValueError, match=r"reference is \(.*\); this model reads \(b, 3, 64, 44\)"):
        model(torch.zeros(shape), inputs(small)[1])


@pytest.mark.parametrize("shape", [(2, 18, 64, 44), (2, 20, 32, 22), (20, 64, 44)])
def test_pose_of_another_size(model, small, shape):
    textures = model.extract(inputs(small)[0])
    with pytest.raises(ValueError, match=r"pose is \(.*\); this model reads \(b, 20, 64, 44\)"):
        model.render(torch.zeros(shape), textures)


@pytest.mark.parametrize("of", [preset, NTED.from_official, Discriminator.from_official, model_config])
def test_unknown_preset_lists_the_names(of):
    with pytest.raises(ValueError, match="no preset 'fashion-1024'; there are people-64, people-128"):
        of({}, "fashion-1024") if of.__name__ == "from_official" else of("fashion-1024")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": (64,), "textures": (0,), "kernels": (1,)}, "at least two resolutions"),
        ({"textures": (8, 0)}, "textures .* and channels .* differ in length"),
        ({"kernels": (1, 3, 3, 3)}, "kernels .* and channels .* differ in length"),
        ({"textures": (8, 16, 4)}, "finest resolution cannot have any"),
        ({"discriminator_channels": (64, 64)}, "needs 5 widths"),
    ],
)
def test_config_that_makes_no_model(changes, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**changes)


def test_configs_are_frozen():
    for config in (ModelConfig(), TrainConfig(), LossWeights()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, dataclasses.fields(config)[0].name, 1)


# ------------------------------------------------------------------------------------------------------- discriminator


def deviation_by_loop(features, group):
    """Image i is in column i mod (b / group); a column's number is the mean deviation within it."""
    b = len(features)
    columns = b // group
    numbers = []
    for i in range(b):
        members = torch.stack([features[j] for j in range(b) if j % columns == i % columns])
        assert len(members) == group
        numbers.append((members.var(dim=0, unbiased=False) + 1e-8).sqrt().mean())
    return torch.stack(numbers)


@pytest.mark.parametrize("b", [1, 2, 3, 4, 8, 12])
def test_minibatch_deviation(b):
    features = torch.randn(b, 5, 4, 2) * torch.arange(1, b + 1).reshape(b, 1, 1, 1)
    extended = minibatch_deviation(features)
    assert torch.equal(extended[:, :5], features)
    wanted = deviation_by_loop(features, min(b, 4)).reshape(b, 1, 1).expand(b, 4, 2)
    torch.testing.assert_close(extended[:, 5], wanted)


@pytest.mark.parametrize("b", [5, 6, 7, 10])
def test_batch_that_groups_do_not_divide(tiny, b):
    with pytest.raises(ValueError, match=f"batch of {b} images does not divide into groups of 4: use a multiple of 4"):
        Discriminator(tiny)(inputs(tiny, b)[0])


@pytest.mark.parametrize("b", [1, 2, 3, 4, 8])
def test_batch_that_groups_divide(tiny, small, b):
    for config in (tiny, small):
        assert Discriminator(config)(inputs(config, b)[0]).shape == (b, 1)


def test_published_discriminator_ends_in_four_rows_of_two():
    for name in PRESETS:
        config = preset(name).model
        with torch.device("meta"):
            assert Discriminator(config)(torch.empty(4, 3, config.height, config.width)).shape == (4, 1)
