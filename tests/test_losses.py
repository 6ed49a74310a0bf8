"""Every loss equals its formula written out, and sends gradients where it should."""

import math

import pytest
import torch
from torch import nn

from nted_lite.layers import DownConv2d
from nted_lite.losses import (
    attention_reconstruction,
    discriminator_loss,
    generator_loss,
    gram,
    parts_cross_entropy,
    perceptual,
    r1_penalty,
    style,
)


def maps(k, h, w, over):
    logits = torch.randn(2, k, h, w, dtype=torch.double)
    if over == "positions":
        return logits.flatten(2).softmax(-1).reshape(logits.shape)
    return logits.softmax(1)


def pixel(image, b, y, x, h, w):
    """The pixel that a nearest resize to h w puts at y x."""
    return image[b, :, math.floor(y * image.shape[2] / h), math.floor(x * image.shape[3] / w)]


def reconstruction_by_loop(extraction, distribution, reference, target):
    """L1 in every operation, then the mean over the operations: a large map counts no more than a small one."""
    errors = []
    for e, d in zip(extraction, distribution, strict=True):
        b, k, h, w = e.shape
        error = 0
        for n in range(b):
            colours = [
                sum(e[n, j, y, x] * pixel(reference, n, y, x, h, w) for y in range(h) for x in range(w))
                for j in range(k)
            ]
            for y in range(h):
                for x in range(w):
                    painted = sum(d[n, j, y, x] * colours[j] for j in range(k))
                    error = error + (painted - pixel(target, n, y, x, h, w)).abs().sum()
        errors.append(error / (b * 3 * h * w))
    return sum(errors) / len(errors)


def test_attention_reconstruction(agree):
    sizes = [(3, 4, 3), (5, 8, 6)]
    extraction = [maps(*size, "positions") for size in sizes]
    distribution = [maps(*size, "entities") for size in sizes]
    reference, target = torch.rand(2, 3, 16, 11), torch.rand(2, 3, 16, 11)

    def on(loss):
        return lambda e0, e1, d0, d1, reference, target: loss((e0, e1), (d0, d1), reference, target)

    agree(on(attention_reconstruction), on(reconstruction_by_loop), *extraction, *distribution, reference, target)


def test_attention_reconstruction_of_perfect_maps_is_zero():
    """An entity for every position, kept where it is, reconstructs a picture of itself."""
    identity = torch.eye(12).reshape(1, 12, 4, 3)
    image = torch.rand(1, 3, 4, 3)
    assert attention_reconstruction([identity], [identity], image, image).item() == pytest.approx(0, abs=1e-6)
    moved = attention_reconstruction([identity], [identity.roll(1, dims=3)], image, image.roll(1, dims=3))
    assert moved.item() == pytest.approx(0, abs=1e-6)


def layers():
    return torch.randn(2, 3, 8, 6), torch.randn(2, 5, 4, 3)


def test_perceptual(agree):
    def slow(a0, a1, b0, b1):
        return sum((a - b).abs().sum() / a.numel() for a, b in ((a0, b0), (a1, b1)))

    agree(lambda a0, a1, b0, b1: perceptual([a0, a1], [b0, b1]), slow, *layers(), *layers())


def gram_by_loop(features):
    b, c, h, w = features.shape
    entries = [(features[n, i] * features[n, j]).sum() for n in range(b) for i in range(c) for j in range(c)]
    return torch.stack(entries).reshape(b, c, c) / (h * w * c)


def test_gram(agree):
    agree(gram, gram_by_loop, torch.randn(2, 3, 4, 5))


def test_gram_forgets_places_and_sizes():
    features = torch.randn(1, 4, 6, 5)
    shuffled = features.flatten(2)[:, :, torch.randperm(30)].reshape(features.shape)
    torch.testing.assert_close(gram(shuffled), gram(features))
    torch.testing.assert_close(gram(features.tile(2, 3)), gram(features))


def test_style(agree):
    def slow(a0, a1, b0, b1):
        return sum((gram_by_loop(a) - gram_by_loop(b)).abs().mean() for a, b in ((a0, b0), (a1, b1)))

    agree(lambda a0, a1, b0, b1: style([a0, a1], [b0, b1]), slow, *layers(), *layers())


@pytest.mark.parametrize("loss", [perceptual, style])
def test_feature_losses_of_equal_pictures_are_zero(loss):
    same = layers()
    assert loss(same, same) == 0
    with pytest.raises(ValueError):
        loss(same, same[:1])


def test_logistic_losses(agree):
    real, fake = 3 * torch.randn(5, 1), 3 * torch.randn(5, 1)
    agree(generator_loss, lambda x: -(1 / (1 + (-x).exp())).log().mean(), fake)

    def slow(real, fake):
        chance = [1 / (1 + (-x).exp()) for x in (real, fake)]
        return -(chance[0].log().mean() + (1 - chance[1]).log().mean())

    agree(discriminator_loss, slow, real, fake)


def test_logistic_losses_survive_huge_logits():
    huge = torch.tensor([[1e4], [-1e4]])
    assert generator_loss(huge).isfinite() and discriminator_loss(huge, huge).isfinite()
    assert generator_loss(torch.zeros(2, 1)).item() == pytest.approx(math.log(2))


class Judge(nn.Module):
    """A discriminator of two layers, smooth enough for finite differences."""

    def __init__(self):
        super().__init__()
        self.down = DownConv2d(3, 4)

    def forward(self, image):
        return self.down(image).tanh().sum((1, 2, 3))[:, None]


def test_r1_equals_finite_differences():
    judge, real, step = Judge().double(), torch.randn(2, 3, 6, 4, dtype=torch.double), 1e-5
    squares = torch.zeros(2, dtype=torch.double)
    for n in range(2):
        for i in range(3 * 6 * 4):
            nudge = torch.zeros(3 * 6 * 4, dtype=torch.double)
            nudge[i] = step
            up, down = (judge((real[n].flatten() + sign * nudge).reshape(1, 3, 6, 4)) for sign in (1, -1))
            squares[n] += ((up - down) / (2 * step)).item() ** 2
    assert r1_penalty(judge, real).item() == pytest.approx(squares.mean().item(), rel=1e-6)


def test_r1_of_a_linear_judge_is_its_squared_norm():
    weight = torch.randn(3, 4, 3, requires_grad=True)
    penalty = r1_penalty(lambda image: (image * weight).sum((1, 2, 3))[:, None], torch.randn(5, 3, 4, 3))
    torch.testing.assert_close(penalty, weight.square().sum())
    penalty.backward()  # the penalty moves the discriminator ...
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_r1_leaves_the_pictures_alone():
    real = torch.randn(2, 3, 6, 4, requires_grad=True)  # ... and never the pictures
    r1_penalty(Judge(), real).backward()
    assert real.grad is None


def test_parts_cross_entropy(agree):
    distribution, parts = maps(8, 4, 3, "entities"), torch.randint(8, (2, 8, 6))

    def slow(d):
        positions = [(n, y, x) for n in range(2) for y in range(4) for x in range(3)]
        return -sum(d[n, parts[n, 2 * y, 2 * x], y, x].log() for n, y, x in positions) / len(positions)

    agree(lambda d: parts_cross_entropy(d, parts), slow, distribution)
    assert parts_cross_entropy(torch.zeros(1, 8, 4, 3), parts[:1]).isfinite()
