"""The layers equal slow twins that insert zeros and filter channel by channel, and preserve a variance of one."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks import reference
from nted_lite.layers import (
    Activation,
    DownConv2d,
    EqualConv2d,
    EqualLinear,
    UpConv2d,
    blur,
    blur_kernel,
    upsample,
)

SIZES = [(16, 11), (32, 22), (9, 7)]
PADDINGS = [(2, 1), (2, 2), (1, 1), (0, 0), (1, 2)]


@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_blur_kernel(gain):
    kernel = blur_kernel(gain)
    assert kernel.sum() == pytest.approx(gain)
    assert torch.equal(kernel, kernel.T) and torch.equal(kernel, kernel.flip(0))
    assert kernel[1, 1] / kernel[0, 0] == 9


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", SIZES)
def test_blur(agree, size, padding):
    agree(lambda x: blur(x, blur_kernel(), padding), lambda x: reference.blur(x, blur_kernel(), padding),
          torch.randn(2, 3, *size))  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_upsample(agree, size):
    image, kernel = torch.randn(2, 3, *size), blur_kernel(gain=4.0)
    assert upsample(image, kernel).shape == (2, 3, 2 * size[0], 2 * size[1])
    agree(lambda x: upsample(x, kernel), lambda x: reference.upsample(x, kernel), image)


def test_upsample_keeps_a_flat_picture_flat():
    inside = upsample(torch.ones(1, 1, 8, 8), blur_kernel(gain=4.0))[..., 2:-2, 2:-2]
    torch.testing.assert_close(inside, torch.ones_like(inside))


@pytest.mark.parametrize("kernel", [3, 1])
@pytest.mark.parametrize("size", SIZES)
def test_down_conv(agree, size, kernel):
    layer = DownConv2d(3, 5, kernel).double()
    image, weight = torch.randn(2, 3, *size), layer.conv.weight.detach()

    def fast(x, w):
        return torch.func.functional_call(layer, {"conv.weight": w}, x)

    agree(fast, lambda x, w: reference.down_conv(x, w, layer.kernel), image, weight)


@pytest.mark.parametrize("size", SIZES)
def test_up_conv(agree, size):
    layer = UpConv2d(3, 5).double()

    def fast(x, w):
        return torch.func.functional_call(layer, {"weight": w}, x)

    agree(fast, lambda x, w: reference.up_conv(x, w, layer.kernel), torch.randn(2, 3, *size), layer.weight.detach())


def test_slow_layers_reach_every_network(small):
    from nted_lite import NTED, Discriminator

    model, discriminator = NTED(small), Discriminator(small)
    image, pose = torch.randn(2, 3, 64, 44), torch.rand(2, 20, 64, 44)
    with torch.no_grad():
        fast = model(image, pose).image, discriminator(image)
        with reference.slow_layers():
            slow = model(image, pose).image, discriminator(image)
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_changes_nothing(format):
    image = torch.randn(2, 6, 16, 11)
    down, up = DownConv2d(6, 4), UpConv2d(6, 4)
    for layer in (down, up, lambda x: upsample(x, blur_kernel(4.0)), Activation(6)):
        torch.testing.assert_close(layer(image.contiguous(memory_format=format)), layer(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "half"), [((64, 44), (32, 22)), ((256, 176), (128, 88)), ((16, 11), (8, 5)), ((8, 5), (4, 2))]
)
def test_shapes_of_halving(size, half):
    for kernel in (1, 3):
        assert DownConv2d(2, 3, kernel)(torch.randn(1, 2, *size)).shape == (1, 3, *half)


@pytest.mark.parametrize("size", [(16, 11), (32, 22), (128, 88)])
def test_shapes_of_doubling(size):
    assert UpConv2d(2, 3)(torch.randn(1, 2, *size)).shape == (1, 3, 2 * size[0], 2 * size[1])


# --------------------------------------------------------------------------------------------------------- the variance


@pytest.mark.parametrize("layer", [EqualConv2d(256, 128, 3), EqualConv2d(300, 64, 1)], ids=["3x3", "1x1"])
def test_equalised_convolution_keeps_unit_variance(layer):
    assert layer(torch.randn(4, layer.weight.shape[1], 16, 16)).var().item() == pytest.approx(1, abs=0.05)
    assert layer.weight.var().item() == pytest.approx(1, abs=0.05)  # what is stored is not scaled


def test_equalised_linear_keeps_unit_variance():
    layer = EqualLinear(512, 256)
    assert layer(torch.randn(64, 512)).var().item() == pytest.approx(1, abs=0.05)
    assert layer.weight.var().item() == pytest.approx(1, abs=0.05)


def test_variance_of_up_conv():
    """Three quarters of what it reads are zeros (1/4), and the blur, gain 4, has squares that sum to 25/16."""
    inside = UpConv2d(128, 128)(torch.randn(4, 128, 16, 16))[..., 4:-4, 4:-4]
    assert inside.var().item() == pytest.approx(25 / 64, abs=0.03)


def test_equalised_layers_are_scaled_plain_ones(agree):
    conv, linear = EqualConv2d(3, 4, 3, stride=2, padding=1, bias=True).double(), EqualLinear(6, 4).double()
    agree(conv, lambda x: F.conv2d(x, conv.weight / 27**0.5, conv.bias, 2, 1), torch.randn(2, 3, 9, 7))
    agree(linear, lambda x: x @ linear.weight.T / 6**0.5 + linear.bias, torch.randn(2, 6))


@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (7, 5)])
def test_activation(agree, shape):
    layer = Activation(5).double()
    torch.nn.init.normal_(layer.bias)
    bias = layer.bias.detach().reshape(-1, *[1] * (len(shape) - 2))
    agree(layer, lambda x: torch.where(x + bias > 0, x + bias, 0.2 * (x + bias)) * 2**0.5, torch.randn(shape))


def test_activation_about_keeps_variance():
    """E[leaky(x)^2] = (1 + 0.04) / 2 for a unit normal x; twice that is 1.04."""
    made = Activation(8)(torch.randn(64, 8, 32, 32))
    assert made.square().mean().item() == pytest.approx(1.04, abs=0.02)


def test_activation_leaves_its_input_alone():
    image = torch.randn(2, 5, 4, 3)
    before = image.clone()
    Activation(5)(image)
    assert torch.equal(image, before)


def test_second_derivatives_exist():
    """R1 differentiates a gradient."""
    down, activation = DownConv2d(2, 2).double(), Activation(2).double()
    image = torch.randn(1, 2, 6, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: activation(down(x)), image)
