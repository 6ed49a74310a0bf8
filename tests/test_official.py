"""Published checkpoints load under their own names, completely or not at all."""

import pytest
import torch
from safetensors.torch import save_file
from test_golden import CONFIG, golden

from nted_lite import NTED, Discriminator, preset
from nted_lite.weights.official import DISCRIMINATOR_NAMES, GENERATOR_NAMES, load, read

PUBLISHED = ("fashion-256", "fashion-512")
TEXTURES = {"fashion-256": (16, 32, 64, 64), "fashion-512": (16, 32, 32, 64, 64)}  # at 16, 32, 64 ... rows
WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}


def generator_shapes(name):
    """Every tensor of the published generator: name -> shape, written down from the paper's table."""
    size, textures = int(name.split("-")[1]), dict(zip((16, 32, 64, 128, 256), TEXTURES[name]))
    shapes = {}
    for encoder, inputs in (("reference_encoder", 3), ("skeleton_encoder", 20)):
        shapes |= {
            f"{encoder}.first.conv.weight": (WIDTHS[size], inputs, 1, 1),
            f"{encoder}.first.activate.bias": (WIDTHS[size],),
        }
        rows, number = size // 2, 0
        while rows >= 16:
            c, prefix = WIDTHS[rows], f"{encoder}.convs.{number}"
            shapes |= {
                f"{prefix}.blur.kernel": (4, 4),
                f"{prefix}.conv.weight": (c, WIDTHS[2 * rows], 3, 3),
                f"{prefix}.activate.bias": (c,),
            }
            if rows in textures and encoder == "reference_encoder":
                p = 1 if rows == 16 else 3
                for i in range(2):
                    operation = f"{prefix}.extraction_operations.{i}"
                    shapes |= {
                        f"{operation}.semantic_extraction_filter.weight": (textures[rows], c, p, p),
                        f"{operation}.value_conv.weight": (c, c, p, p),
                        f"{operation}.value_conv.bias": (c,),
                    }
            rows, number = rows // 2, number + 1
    rows, number = 16, 0
    while rows <= size:
        c, prefix = WIDTHS[rows], f"target_image_renderer.convs.{number}"
        for i, before in enumerate((WIDTHS[max(rows // 2, 16)], c)):
            shapes |= {f"{prefix}.conv{i}.conv.weight": (c, before, 3, 3), f"{prefix}.conv{i}.activate.bias": (c,)}
            if rows in textures:
                p, operation = 1 if rows == 16 else 3, f"{prefix}.conv{i}.distribution_operation"
                shapes |= {
                    f"{operation}.semantic_distribution_filter.weight": (textures[rows], c, p, p),
                    f"{operation}.semantic_distribution_filter.bias": (textures[rows],),
                }
        shapes |= {f"{prefix}.to_rgb.conv.weight": (3, c, 3, 3), f"{prefix}.to_rgb.conv.bias": (3,)}
        if rows > 16:
            shapes |= {f"{prefix}.conv0.blur.kernel": (4, 4), f"{prefix}.to_rgb.upsample.kernel": (4, 4)}
        rows, number = 2 * rows, number + 1
    return shapes


def discriminator_shapes(name):
    """Every tensor of the published discriminator: name -> shape."""
    size = int(name.split("-")[1])
    shapes = {"convs.0.0.weight": (WIDTHS[size], 3, 1, 1), "convs.0.1.bias": (WIDTHS[size],)}
    rows, number = size, 1
    while rows > 4:
        before, c, prefix = WIDTHS[rows], WIDTHS[rows // 2], f"convs.{number}"
        shapes |= {
            f"{prefix}.conv1.0.weight": (before, before, 3, 3),
            f"{prefix}.conv1.1.bias": (before,),
            f"{prefix}.conv2.0.kernel": (4, 4),
            f"{prefix}.conv2.1.weight": (c, before, 3, 3),
            f"{prefix}.conv2.2.bias": (c,),
            f"{prefix}.skip.0.kernel": (4, 4),
            f"{prefix}.skip.1.weight": (c, before, 1, 1),
        }
        rows, number = rows // 2, number + 1
    return shapes | {
        "final_conv.0.weight": (512, 513, 3, 3),
        "final_conv.1.bias": (512,),
        "final_linear.0.weight": (512, 512 * 4 * 2),
        "final_linear.0.bias": (512,),
        "final_linear.1.weight": (1, 512),
        "final_linear.1.bias": (1,),
    }


def numbered(shapes, prefix=""):
    """Tensor i is filled with i: one number of memory each, and a tensor in the wrong place is found out."""
    return {prefix + name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(shapes.items())}


def count(shapes):
    return sum(torch.Size(shape).numel() for name, shape in shapes.items() if not name.endswith(".kernel"))


@pytest.fixture(scope="module")
def optimiser():
    """The states of an optimiser and of its schedule, as training leaves them behind."""
    adam = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], betas=(0.0, 0.99))
    return adam.state_dict(), torch.optim.lr_scheduler.StepLR(adam, 50).state_dict()


def published(name, optimiser):
    states, schedule = optimiser
    return {
        "net_G": numbered(generator_shapes(name), "module."),
        "net_D": numbered(discriminator_shapes(name), "module."),
        "net_G_ema": numbered(generator_shapes(name)),
        "opt_G": states, "opt_D": states, "sch_G": schedule, "sch_D": schedule,
        "current_epoch": 200, "current_iteration": 1_234_567,
    }  # fmt: skip


def number_of(tensor):
    assert tensor.min() == tensor.max()
    return int(tensor.max())


# Some of theirs and ours, in each network every kind of tensor once; the golden tests check the rest by their output.
SAME_GENERATOR = {
    "reference_encoder.first.conv.weight": "reference_encoder.first.weight",
    "skeleton_encoder.first.activate.bias": "skeleton_encoder.activate.bias",
    "reference_encoder.convs.0.conv.weight": "reference_encoder.levels.0.down.conv.weight",
    "skeleton_encoder.convs.3.activate.bias": "skeleton_encoder.levels.3.activate.bias",
    "reference_encoder.convs.1.extraction_operations.0.semantic_extraction_filter.weight":
        "reference_encoder.levels.1.extractions.0.semantic.weight",
    "reference_encoder.convs.3.extraction_operations.1.value_conv.weight":
        "reference_encoder.levels.3.extractions.1.values.weight",
    "target_image_renderer.convs.2.conv0.conv.weight": "renderer.stages.2.conv0.conv.weight",
    "target_image_renderer.convs.2.conv1.conv.weight": "renderer.stages.2.conv1.conv.weight",
    "target_image_renderer.convs.1.conv1.distribution_operation.semantic_distribution_filter.bias":
        "renderer.stages.1.conv1.distribution.semantic.bias",
    "target_image_renderer.convs.4.to_rgb.conv.bias": "renderer.stages.4.to_rgb.bias",
}  # fmt: skip
SAME_DISCRIMINATOR = {
    "convs.0.0.weight": "first.weight",
    "convs.1.conv1.0.weight": "blocks.0.conv1.weight",
    "convs.5.conv1.1.bias": "blocks.4.activate1.bias",
    "convs.5.conv2.1.weight": "blocks.4.conv2.conv.weight",
    "convs.6.skip.1.weight": "blocks.5.skip.conv.weight",
    "final_conv.1.bias": "last_activate.bias",
    "final_linear.0.bias": "linear_activate.bias",
    "final_linear.1.bias": "logit.bias",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_whole_checkpoint_loads(name, optimiser, tmp_path):
    path = tmp_path / "published.pt"
    torch.save(published(name, optimiser), path)
    for network, shapes, same in (
        (NTED, generator_shapes(name), SAME_GENERATOR),
        (Discriminator, discriminator_shapes(name), SAME_DISCRIMINATOR),
    ):
        state = network.from_official(path, name).state_dict()
        found = sorted(number_of(tensor) for tensor in state.values())
        assert found == [i for i, key in enumerate(shapes) if not key.endswith(".kernel")]  # each once
        for theirs, ours in same.items():
            assert number_of(state[ours]) == list(shapes).index(theirs), theirs


def test_parameters_are_as_many_as_published():
    for shapes, network, total in (
        (generator_shapes, NTED, 42_353_519),
        (discriminator_shapes, Discriminator, 26_766_977),
    ):
        assert count(shapes("fashion-256")) == total
        with torch.device("meta"):
            model = network(preset("fashion-256").model)
        assert sum(parameter.numel() for parameter in model.parameters()) == total


@pytest.fixture
def golden_state():
    return dict(golden("generator_64")[0])


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_state_of_one_network_loads(suffix, golden_state, tmp_path):
    path = tmp_path / f"generator.{suffix}"
    (torch.save if suffix == "pt" else save_file)(golden_state, path)
    from_file, from_memory = NTED.from_official(path, CONFIG), NTED.from_official({"net_G_ema": golden_state}, CONFIG)
    for ours, theirs in zip(from_file.parameters(), from_memory.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not from_file.training


def test_both_copies_of_the_generator_can_be_read(optimiser):
    whole = published("fashion-256", optimiser)
    assert read(whole, "net_G").keys() == read(whole, "net_G_ema").keys() == generator_shapes("fashion-256").keys()


# ------------------------------------------------------------------------------------------- what does not fit is named


def test_every_misfit_is_named(golden_state):
    renamed = "skeleton_encoder.convs.1.conv.weight"
    reshaped = "target_image_renderer.convs.2.to_rgb.conv.bias"
    golden_state["stranger.weight"] = golden_state.pop(renamed)
    golden_state[reshaped] = torch.zeros(4)
    golden_state["target_image_renderer.convs.7.conv0.conv.weight"] = torch.zeros(1)
    with pytest.raises(ValueError) as caught:
        NTED.from_official(golden_state, CONFIG)
    message = str(caught.value)
    assert "missing: skeleton_encoder.levels.1.down.conv.weight" in message
    assert "unused: stranger.weight" in message
    assert "unused: target_image_renderer.convs.7.conv0.conv.weight" in message
    assert f"shape of {reshaped}: (4,) in the file, (3,) in the model" in message
    assert message.count("; ") == 4 and "\n" not in message  # these and no more


def test_nothing_is_loaded_from_what_does_not_fit(golden_state):
    model = NTED(CONFIG)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    del golden_state["reference_encoder.first.activate.bias"]
    with pytest.raises(ValueError, match=r"missing: reference_encoder\.activate\.bias$"):
        load(model, golden_state, GENERATOR_NAMES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_checkpoint_of_another_preset():
    with pytest.raises(ValueError, match=r"does not fit.*missing: blocks\.6.*shape of convs\.0\.0\.weight: \(128, 3"):
        with torch.device("meta"):
            model = Discriminator(preset("fashion-512").model)
        load(model, numbered(discriminator_shapes("fashion-256")), DISCRIMINATOR_NAMES)


def test_network_that_is_not_there(golden_state):
    with pytest.raises(ValueError, match="has no 'net_D'; it has net_G, current_epoch"):
        read({"net_G": golden_state, "current_epoch": 3}, "net_D")


def test_value_that_is_no_tensor(golden_state):
    with pytest.raises(ValueError, match="not a tensor: note"):
        read(golden_state | {"note": "hello"}, "net_G_ema")


def test_absent_file(tmp_path):
    with pytest.raises(ValueError, match="absent.pt: no such file"):
        NTED.from_official(tmp_path / "absent.pt")
