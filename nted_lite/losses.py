"""The losses, each a small pure function of tensors. Notebook 06 draws what each of them sees."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import einsum, reduce
from torch import Tensor

from nted_lite.texture import reconstruct


def attention_reconstruction(
    extraction: Sequence[Tensor], distribution: Sequence[Tensor], reference: Tensor, target: Tensor
) -> Tensor:
    """L1 between the target and what the maps alone make of the reference's pixels, mean over the operations.

    extraction    b k h w each   sums to 1 over h w
    distribution  b k h w each   sums to 1 over k
    reference     b 3 H W        any range
    target        b 3 H W
    returns       scalar

    It trains the two attentions directly: without it they only learn through the picture. NTED section 3.3.
    """
    errors = [
        F.l1_loss(reconstruct(reference, e, d), F.interpolate(target, size=d.shape[-2:], mode="nearest"))
        for e, d in zip(extraction, distribution, strict=True)
    ]
    return torch.stack(errors).mean()


def perceptual(made: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of each layer's features, added up.

    made, true  b c h w each, one entry a layer
    returns     scalar
    """
    return torch.stack([F.l1_loss(a, b) for a, b in zip(made, true, strict=True)]).sum()


def gram(features: Tensor) -> Tensor:
    """Which channels fire together, wherever they do: `F F^T / (h w c)`.

    features  b c h w
    returns   b c c
    """
    _, c, h, w = features.shape
    return einsum(features, features, "b c h w, b d h w -> b c d") / (h * w * c)


def style(made: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the Gram matrices of each layer, added up. Gatys et al. (1508.06576).

    made, true  b c h w each, one entry a layer
    returns     scalar
    """
    return torch.stack([F.l1_loss(gram(a), gram(b)) for a, b in zip(made, true, strict=True)]).sum()


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss: small where the discriminator takes the made image for a real one. b 1 -> scalar"""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss: small where real images get positive logits and made ones negative. b 1, b 1 -> scalar"""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Mean squared gradient of the logit with respect to a real image: how steep the discriminator is there.

    real     b 3 h w
    returns  scalar, differentiable

    Mescheder et al. (1801.04406). Multiply by `r1 / 2`, and by the interval where it is taken every 16th step only.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return reduce(gradient.square(), "b c h w -> b", "sum").mean()


def parts_cross_entropy(maps: Tensor, parts: Tensor) -> Tensor:
    """Warm start: distance of a map from the true parts, texture i standing for part i. A departure from the paper.

    maps     b k h w   a distribution map, sums to 1 over k; k is at least the number of parts
    parts    b H W     true labels, resized (nearest) to the map
    returns  scalar
    """
    small = F.interpolate(parts[:, None].float(), size=maps.shape[-2:], mode="nearest")[:, 0].long()
    return F.nll_loss(maps.clamp_min(1e-6).log(), small)
