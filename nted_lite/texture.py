"""Neural texture extraction and distribution: the two attentions that NTED is named after.

Ren et al., "Neural Texture Extraction and Distribution for Controllable Person Image Synthesis" (2204.06160),
section 3. Full attention between `m` reference and `m` target positions costs `m * m`. These two go through `k`
semantic entities and cost `m * k`. An extraction, with the distribution that uses its textures, is called an
*operation*; every resolution with textures has two. Notebooks 02 and 03 develop them from a plain loop.
"""

import math

import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from nted_lite.layers import EqualConv2d


def normalise(features: Tensor) -> Tensor:
    """Centre each position's channel vector and give it unit length.

    features  b c h w
    returns   b c h w   mean 0 and L2 norm 1 over c

    After this, only the *direction* of a feature decides which entity it belongs to, never its magnitude.
    """
    centred = features - features.mean(dim=1, keepdim=True)
    return F.normalize(centred, dim=1, eps=1e-8)


def extract(features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Average the features over the positions of each semantic entity.

    features  b c h w   values, any range
    logits    b k h w   score of each position for each entity
    returns   b k c     one texture per entity
              b k h w   extraction map, sums to 1 over h w

    NTED (2204.06160) section 3.1, "extraction". Raises ValueError if the two do not share b, h, w.
    """
    _check_same(features, logits)
    extraction = rearrange(logits, "b k h w -> b k (h w)").softmax(dim=-1)
    extraction = rearrange(extraction, "b k (h w) -> b k h w", h=logits.shape[-2])
    return gather(features, extraction), extraction


def distribute(textures: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Give each position a mixture of the textures.

    textures  b k c
    logits    b k h w   score of each entity at each position
    returns   b c h w   the mixture
              b k h w   distribution map, sums to 1 over k

    NTED (2204.06160) section 3.1, "distribution". Raises ValueError if the two do not share b, k.
    """
    if textures.shape[:2] != logits.shape[:2]:
        raise ValueError(f"textures {tuple(textures.shape)} and logits {tuple(logits.shape)} must share b and k")
    distribution = logits.softmax(dim=1)
    return scatter(textures, distribution), distribution


def gather(values: Tensor, extraction: Tensor) -> Tensor:
    """Sum the values, weighted by an extraction map (not `torch.gather`): `b c h w, b k h w -> b k c`."""
    return einsum(extraction, values, "b k h w, b c h w -> b k c")


def scatter(textures: Tensor, distribution: Tensor) -> Tensor:
    """Mix the textures at each position, weighted by a distribution map: `b k c, b k h w -> b c h w`."""
    return einsum(textures, distribution, "b k c, b k h w -> b c h w")


def reconstruct(image: Tensor, extraction: Tensor, distribution: Tensor) -> Tensor:
    """Send an image's own pixels through an operation: what it would paint if the textures were colours.

    image         b c H W   any size; it is resized (nearest) to the size of the maps
    extraction    b k h w   sums to 1 over h w
    distribution  b k h w   sums to 1 over k
    returns       b c h w   in the image's range

    NTED (2204.06160) section 3.3; the attention reconstruction loss compares this with the target.
    """
    small = F.interpolate(image, size=extraction.shape[-2:], mode="nearest")
    return scatter(gather(small, extraction), distribution)


def _check_same(features: Tensor, logits: Tensor) -> None:
    if features.shape[0] != logits.shape[0] or features.shape[2:] != logits.shape[2:]:
        raise ValueError(f"features {tuple(features.shape)} and logits {tuple(logits.shape)} must share b, h, w")


class Extraction(nn.Module):
    """`extract` with learnt filters: one for the entities, one for the values.

    The entities' has no bias, because what is added to all positions cancels in the softmax over them.

    logit_scale  factor on the logits; the paper uses 1. Unit-norm features give nearly flat maps at the start of
                 training, and a factor of about 8 lets small models leave that plateau sooner. (It is the inverse of
                 what is usually called a temperature.)
    """

    def __init__(self, channels: int, textures: int, kernel: int, logit_scale: float = 1.0):
        super().__init__()
        self.semantic = EqualConv2d(channels, textures, kernel, padding=kernel // 2)
        self.values = EqualConv2d(channels, channels, kernel, padding=kernel // 2, bias=True)
        self.logit_scale = logit_scale

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """b c h w -> textures b k c, extraction b k h w"""
        logits = self.semantic(normalise(features)) * self.logit_scale
        return extract(self.values(features), logits)


class Distribution(nn.Module):
    """`distribute` with a learnt filter; the result is added to the features that requested it."""

    def __init__(self, channels: int, textures: int, kernel: int):
        super().__init__()
        self.semantic = EqualConv2d(channels, textures, kernel, padding=kernel // 2, bias=True)

    def forward(self, features: Tensor, textures: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mix textures for every position, and add the mixture to the features.

        features  b c h w
        textures  b k c
        hidden    b k, bool   textures that an image must do without: texture dropout, for the first steps of training
                              (a departure from the paper). Without it, one texture may take over the whole person early
                              on, and the others never get a gradient there again
        returns   b c h w
                  b k h w     distribution map, sums to 1 over k

        Dividing by sqrt(2) keeps the magnitude of a sum of two unrelated terms of equal magnitude. (A soft mixture is
        smaller, so the result is a little smaller, too.)
        """
        logits = self.semantic(features)
        if hidden is not None:
            logits = logits.masked_fill(rearrange(hidden, "b k -> b k 1 1"), -30.0)
            # Far below the rest, but not -inf: an image whose textures are all hidden would become NaN.
        mixture, distribution = distribute(textures, logits)
        return (features + mixture) / math.sqrt(2), distribution
