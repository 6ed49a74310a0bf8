"""A device, precision or number of processes that is not available is refused; nothing stays on the CPU by accident."""

import pytest
import torch
from torch import nn

from nted_lite import NTED, PRESETS, Discriminator, devices, losses
from nted_lite.data.examples import Examples
from nted_lite.features import VGG19, PeopleParser
from nted_lite.training import generator_losses, hidden_textures, warm_start


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "meta", "cpu:0:1"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=f"device '{name}' cannot be used") as refused:
        devices.pick(name)
    assert "\n" not in str(refused.value)


def test_a_device_that_is_there():
    assert devices.pick("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has fp16")
@pytest.mark.parametrize("device", ["", "cpu"])
def test_fp16_needs_a_gpu(device):
    with pytest.raises(ValueError, match="fp16 needs .* and this is cpu: use bf16 or no"):
        devices.accelerator(device, "fp16")


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, "2 processes were started, but each would train alone"),
        ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}, "starts one process where several were wanted"),
        ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "accelerate launch says bf16, but --mixed-precision no"),
    ],
)
def test_processes_that_would_not_form_one_training(monkeypatch, environment, line):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if "WORLD_SIZE" in environment:  # started without the rest of what a launcher sets
        monkeypatch.setattr(devices, "Accelerator", lambda **_: type("Alone", (), {"num_processes": 1}))
    with pytest.raises(ValueError, match=line):
        devices.accelerator("cpu")


@pytest.mark.parametrize(
    ("device", "gpus", "line"),
    [("", 1, "2 processes on this machine, but only 1 GPUs"), ("cuda:1", 2, "2 processes cannot all use cuda:1")],
)
def test_more_processes_than_gpus(monkeypatch, device, gpus, line):
    monkeypatch.setenv("WORLD_SIZE", "2"), monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(devices, "pick", torch.device)
    with pytest.raises(ValueError, match=line):
        devices.accelerator(device)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_networks_and_losses_run_on_the_meta_device(name):
    """A tensor left on the CPU, where a GPU would be used, does not go together with tensors without data."""
    model, train = PRESETS[name].model, PRESETS[name].train
    height, width, b = model.height, model.width, 4
    with torch.device("meta"):
        generator, judge = NTED(model), Discriminator(model)
        features: nn.Module = VGG19() if train.features == "vgg19" else PeopleParser().eval()
        picture = torch.zeros(b, 3, height, width)
        examples = Examples(
            number=torch.zeros(b, dtype=torch.long), reference=picture, pose=torch.zeros(b, 20, height, width),
            target=picture, reference_keypoints=torch.zeros(b, 18, 2), target_keypoints=torch.zeros(b, 18, 2),
            target_parts=torch.zeros(b, height, width).long(),
        )  # fmt: skip
    hidden = [torch.zeros(b, k, dtype=torch.bool, device="meta") for k in model.textures if k for _ in range(2)]
    generated = generator(examples.reference, examples.pose, hidden)
    found = generator_losses(generated, examples, features, train)
    total = sum(found.values()) + losses.generator_loss(judge(generated.image))
    if name.startswith("people"):
        total = total + warm_start(generated, examples)
    total = total + losses.discriminator_loss(judge(picture), judge(generated.image.detach()))
    total = total + losses.r1_penalty(judge, picture)
    total.backward()
    parameters = [*generator.parameters(), *judge.parameters()]
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in parameters)


def test_hidden_textures_are_where_the_examples_are():
    model = PRESETS["people-64"].model
    hidden = hidden_textures(torch.zeros(2, dtype=torch.long, device="meta"), model, PRESETS["people-64"].train)
    assert {mask.device.type for mask in hidden} == {"meta"}
