"""Solutions of notebook 02, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import torch
from einops import einsum, rearrange

# %% exercise-1: solution


def extract_inside(features, logits, mask):
    """As my_extract, but only where mask b h w (bool) is True."""
    hidden = logits.masked_fill(~rearrange(mask, "b h w -> b 1 h w"), -torch.inf)
    weights = rearrange(hidden, "b k h w -> b k (h w)").softmax(-1)
    extraction = rearrange(weights, "b k (h w) -> b k h w", h=logits.shape[-2])
    return einsum(extraction, features, "b k h w, b c h w -> b k c"), extraction


# %% exercise-1: mistake, the weights are cut after the softmax and no longer sum to 1


def extract_inside(features, logits, mask):  # noqa: F811
    weights = rearrange(logits, "b k h w -> b k (h w)").softmax(-1)
    extraction = rearrange(weights, "b k (h w) -> b k h w", h=logits.shape[-2]) * rearrange(mask, "b h w -> b 1 h w")
    return einsum(extraction, features, "b k h w, b c h w -> b k c"), extraction


# %% exercise-1: mistake, a logit of 0 is not a weight of 0


def extract_inside(features, logits, mask):  # noqa: F811
    weights = rearrange(logits * rearrange(mask, "b h w -> b 1 h w"), "b k h w -> b k (h w)").softmax(-1)
    extraction = rearrange(weights, "b k (h w) -> b k h w", h=logits.shape[-2])
    return einsum(extraction, features, "b k h w, b c h w -> b k c"), extraction


# %% exercise-1: mistake, every picture gets the mask of the first


def extract_inside(features, logits, mask):  # noqa: F811
    hidden = logits.masked_fill(~mask[:1, None], -torch.inf)
    weights = rearrange(hidden, "b k h w -> b k (h w)").softmax(-1)
    extraction = rearrange(weights, "b k (h w) -> b k h w", h=logits.shape[-2])
    return einsum(extraction, features, "b k h w, b c h w -> b k c"), extraction


# %% exercise-1: mistake, right only for the mask that the check shows first


def extract_inside(features, logits, mask):  # noqa: F811
    mask = person_only if not mask.all() else mask  # noqa: F821
    hidden = logits.masked_fill(~rearrange(mask, "b h w -> b 1 h w"), -torch.inf)
    weights = rearrange(hidden, "b k h w -> b k (h w)").softmax(-1)
    extraction = rearrange(weights, "b k (h w) -> b k h w", h=logits.shape[-2])
    return einsum(extraction, features, "b k h w, b c h w -> b k c"), extraction


# %% exercise-2: solution


def extract_views(features, logits):
    """features b v c h w, logits b v k h w -> textures b k c, extraction b v k h w, which sums to 1 over v h w"""
    weights = rearrange(logits, "b v k h w -> b k (v h w)").softmax(-1)
    v, _, h, w = logits.shape[1:]
    extraction = rearrange(weights, "b k (v h w) -> b v k h w", v=v, h=h, w=w)
    return einsum(extraction, features, "b v k h w, b v c h w -> b k c"), extraction


# %% exercise-2: mistake, a softmax for each photo, and the mean of the textures


def extract_views(features, logits):  # noqa: F811
    weights = rearrange(logits, "b v k h w -> b v k (h w)").softmax(-1)
    extraction = rearrange(weights, "b v k (h w) -> b v k h w", h=logits.shape[-2]) / logits.shape[1]
    return einsum(extraction, features, "b v k h w, b v c h w -> b k c"), extraction


# %% exercise-2: mistake, the maps are taken apart in another order than they were put together


def extract_views(features, logits):  # noqa: F811
    v, _, h, w = logits.shape[1:]
    weights = rearrange(logits, "b v k h w -> b k (v h w)").softmax(-1)
    stacked = rearrange(features, "b v c h w -> b c (v h w)")
    extraction = rearrange(weights, "b k (h v w) -> b v k h w", v=v, h=h, w=w)
    return einsum(weights, stacked, "b k m, b c m -> b k c"), extraction


# %% exercise-2: mistake, the same, but the textures are the averages that the wrong maps describe


def extract_views(features, logits):  # noqa: F811
    v, _, h, w = logits.shape[1:]
    weights = rearrange(logits, "b v k h w -> b k (h v w)").softmax(-1)
    extraction = rearrange(weights, "b k (v h w) -> b v k h w", v=v, h=h, w=w)
    return einsum(extraction, features, "b v k h w, b v c h w -> b k c"), extraction


# %% exercise-2: mistake, right only for two photos: a third one is left out


def extract_views(features, logits):  # noqa: F811
    two = logits.masked_fill(rearrange(torch.arange(logits.shape[1]) > 1, "v -> v 1 1 1").to(logits.device), -torch.inf)
    v, _, h, w = logits.shape[1:]
    weights = rearrange(two, "b v k h w -> b k (v h w)").softmax(-1)
    extraction = rearrange(weights, "b k (v h w) -> b v k h w", v=v, h=h, w=w)
    return einsum(extraction, features, "b v k h w, b v c h w -> b k c"), extraction
