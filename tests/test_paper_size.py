"""A training step at the paper's size runs as in the preset, on a CPU, with random VGG-19 weights."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from nted_lite import preset
from nted_lite.data.people import people_source
from nted_lite.features import VGG19
from nted_lite.training import Trainer


@pytest.mark.slow
def test_step_of_fashion_256():
    """Both directions of one pair, every loss of the preset, the adversary from the first step on, R1 included."""
    chosen = preset("fashion-256")
    config = replace(chosen.train, pairs=1, adversarial_start=0)
    torch.manual_seed(0)
    features = VGG19().eval().requires_grad_(False)
    trainer = Trainer(chosen.model, config, people_source(256), features, Accelerator(cpu=True))
    before = {name: [p.detach().clone() for p in model.parameters()] for name, model in trainer.models.items()}
    found = trainer.train_step()
    assert set(found) == {"reconstruction", "perceptual", "style", "face", "adversarial", "discriminator", "r1"}
    assert all(value.isfinite() and value > 0 for value in found.values())
    for name in ("generator", "discriminator"):
        moved = [not torch.equal(a, b) for a, b in zip(before[name], trainer.models[name].parameters(), strict=True)]
        assert all(moved), f"{name}: {moved.count(False)} of {len(moved)} parameters did not move"
    assert all(p.grad is None for p in features.parameters())
