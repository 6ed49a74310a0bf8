"""Extraction and distribution equal loops over positions and entities, and keep what they promise."""

import math

import pytest
import torch
import torch.nn.functional as F

from nted_lite.texture import (
    Distribution,
    Extraction,
    distribute,
    extract,
    gather,
    normalise,
    reconstruct,
    scatter,
)

B, C, K, H, W = 2, 5, 3, 4, 3


def extract_by_loop(features, logits):
    """Every texture is a mean over the positions, weighted by exp(logit)."""
    textures = torch.zeros(B, K, C, dtype=features.dtype)
    for b in range(B):
        for k in range(K):
            total = sum(logits[b, k, y, x].exp() for y in range(H) for x in range(W))
            for y in range(H):
                for x in range(W):
                    textures[b, k] = textures[b, k] + logits[b, k, y, x].exp() / total * features[b, :, y, x]
    return textures


def distribute_by_loop(textures, logits):
    """Every position is a mean over the textures, weighted by exp(logit)."""
    mixture = torch.zeros(B, C, H, W, dtype=textures.dtype)
    for b in range(B):
        for y in range(H):
            for x in range(W):
                total = sum(logits[b, k, y, x].exp() for k in range(K))
                for k in range(K):
                    mixture[b, :, y, x] = mixture[b, :, y, x] + logits[b, k, y, x].exp() / total * textures[b, k]
    return mixture


def reconstruct_by_loop(image, extraction, distribution):
    """Resize by picking pixels, then collect the colour of every entity and lay it out again."""
    rows, columns = (math.floor(i * image.shape[2] / H) for i in range(H)), range(W)
    picked = torch.stack([image[:, :, y, [math.floor(x * image.shape[3] / W) for x in columns]] for y in rows], dim=2)
    painted = torch.zeros(B, image.shape[1], H, W, dtype=image.dtype)
    for b in range(B):
        for k in range(K):
            colour = sum(extraction[b, k, y, x] * picked[b, :, y, x] for y in range(H) for x in range(W))
            for y in range(H):
                for x in range(W):
                    painted[b, :, y, x] = painted[b, :, y, x] + distribution[b, k, y, x] * colour
    return painted


@pytest.fixture
def features():
    return torch.randn(B, C, H, W, dtype=torch.double)


@pytest.fixture
def logits():
    return 2 * torch.randn(B, K, H, W, dtype=torch.double)


@pytest.fixture
def textures():
    return torch.randn(B, K, C, dtype=torch.double)


def test_extract(agree, features, logits):
    agree(lambda f, s: extract(f, s)[0], extract_by_loop, features, logits)


def test_distribute(agree, textures, logits):
    agree(lambda t, s: distribute(t, s)[0], distribute_by_loop, textures, logits)


def test_reconstruct(agree, logits):
    extraction, distribution = logits.flatten(2).softmax(-1).reshape(logits.shape), logits.roll(1, 1).softmax(1)
    image = torch.rand(B, 3, 2 * H + 1, 3 * W, dtype=torch.double)
    agree(reconstruct, reconstruct_by_loop, image, extraction, distribution)


def test_maps_sum_to_one(features, textures, logits):
    extraction, distribution = extract(features, logits)[1], distribute(textures, logits)[1]
    torch.testing.assert_close(extraction.sum((2, 3)), torch.ones(B, K, dtype=torch.double))
    torch.testing.assert_close(distribution.sum(1), torch.ones(B, H, W, dtype=torch.double))


def test_result_is_what_its_own_map_gives(features, textures, logits):
    found, extraction = extract(features, logits)
    mixture, distribution = distribute(textures, logits)
    assert torch.equal(found, gather(features, extraction))
    assert torch.equal(mixture, scatter(textures, distribution))


def test_entities_have_no_order(features, logits):
    order = [2, 0, 1]
    textures, extraction = extract(features, logits)
    permuted, permuted_extraction = extract(features, logits[:, order])
    torch.testing.assert_close(permuted, textures[:, order])
    torch.testing.assert_close(permuted_extraction, extraction[:, order])
    wanted = 2 * torch.randn_like(logits)
    torch.testing.assert_close(distribute(permuted, wanted[:, order])[0], distribute(textures, wanted)[0])


def test_one_entity_paints_the_mean_everywhere(features):
    textures, _ = extract(features, torch.zeros(B, 1, H, W, dtype=torch.double))
    mixture, _ = distribute(textures, torch.randn(B, 1, H, W, dtype=torch.double))
    torch.testing.assert_close(mixture, features.mean((2, 3), keepdim=True).expand_as(features))


def test_certain_maps_copy_the_pixels():
    """With an entity for every position, sure of itself, extraction and distribution are the identity."""
    features = torch.randn(1, C, H, W)
    sure = 100 * torch.eye(H * W).reshape(1, H * W, H, W)
    textures, _ = extract(features, sure)
    torch.testing.assert_close(distribute(textures, sure)[0], features)


def test_huge_logits_stay_finite(features, textures, logits):
    assert extract(features, 1e5 * logits)[0].isfinite().all()
    assert distribute(textures, 1e5 * logits)[0].isfinite().all()


def test_normalise(features):
    unit = normalise(features)
    torch.testing.assert_close(unit.mean(1), torch.zeros(B, H, W, dtype=torch.double))
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(B, H, W, dtype=torch.double))
    scale, shift = torch.rand(B, 1, H, W) * 100 + 0.1, 10 * torch.randn(B, 1, H, W)
    torch.testing.assert_close(normalise(features * scale + shift), unit)


def test_normalise_survives_a_constant_position():
    features = torch.ones(1, C, H, W, requires_grad=True)
    normalise(features).sum().backward()
    assert torch.equal(normalise(features), torch.zeros(1, C, H, W)) and features.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(B + 1, K, H, W), (B, K, H + 1, W), (B, K, W, H)])
def test_extract_refuses_other_shapes(features, shape):
    with pytest.raises(ValueError, match="must share b, h, w"):
        extract(features, torch.zeros(shape))


@pytest.mark.parametrize("shape", [(B + 1, K, H, W), (B, K + 1, H, W)])
def test_distribute_refuses_other_shapes(textures, shape):
    with pytest.raises(ValueError, match="must share b and k"):
        distribute(textures, torch.zeros(shape))


# ---------------------------------------------------------------------------------------------------------- the modules


@pytest.mark.parametrize("kernel", [1, 3])
def test_extraction_module(agree, kernel):
    """Entities are chosen from normalised features by a filter without bias; values are filtered from raw ones."""
    module = Extraction(C, K, kernel).double()
    torch.nn.init.normal_(module.values.bias)
    scale, padding = (C * kernel**2) ** -0.5, kernel // 2

    def slow(features):
        centred = features - features.mean(1, keepdim=True)
        unit = centred / centred.square().sum(1, keepdim=True).sqrt()
        logits = F.conv2d(unit, module.semantic.weight * scale, padding=padding)
        return extract_by_loop(F.conv2d(features, module.values.weight * scale, module.values.bias, 1, padding), logits)

    assert module.semantic.bias is None
    agree(lambda f: module(f)[0], slow, torch.randn(B, C, H, W))


@pytest.mark.parametrize("kernel", [1, 3])
def test_distribution_module(agree, kernel):
    module = Distribution(C, K, kernel).double()
    torch.nn.init.normal_(module.semantic.bias)
    scale, padding = (C * kernel**2) ** -0.5, kernel // 2

    def slow(features, textures):
        logits = F.conv2d(features, module.semantic.weight * scale, module.semantic.bias, 1, padding)
        return (features + distribute_by_loop(textures, logits)) / 2**0.5

    agree(lambda f, t: module(f, t)[0], slow, torch.randn(B, C, H, W), torch.randn(B, K, C))


def test_logit_scale_sharpens():
    soft, features = Extraction(C, K, 1), torch.randn(B, C, H, W)
    sharp = Extraction(C, K, 1, logit_scale=8.0)
    sharp.load_state_dict(soft.state_dict())
    logits = soft.semantic(normalise(features))
    torch.testing.assert_close(sharp(features)[1], extract(features, 8 * logits)[1])
    assert (sharp(features)[1].amax((2, 3)) > soft(features)[1].amax((2, 3))).all()
