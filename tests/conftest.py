"""What several test files share: small models, and the comparison of a fast function with its slow twin."""

import pytest
import torch

from nted_lite import ModelConfig


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Every test draws the same numbers, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny():
    """32 x 22 pixels and one resolution with textures: the smallest model that there is."""
    return ModelConfig(channels=(8, 8), textures=(3, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))


@pytest.fixture(scope="session")
def small():
    """64 x 44 pixels, two resolutions with textures, and no two numbers alike."""
    return ModelConfig(
        channels=(12, 10, 8), textures=(3, 5, 0), kernels=(1, 3, 3), discriminator_channels=(6, 7, 8, 9, 10)
    )


@pytest.fixture(scope="session")
def agree():
    """agree(fast, slow, *inputs): the same values, and the same gradients with respect to every input (float64)."""

    def check(fast, slow, *inputs):
        inputs = [value.double().requires_grad_() for value in inputs]
        ours, theirs = fast(*inputs), slow(*inputs)
        torch.testing.assert_close(ours, theirs)
        direction = torch.randn_like(theirs)
        ours = torch.autograd.grad(ours, inputs, direction, materialize_grads=True)
        theirs = torch.autograd.grad(theirs, inputs, direction, materialize_grads=True)
        torch.testing.assert_close(ours, theirs)

    return check
