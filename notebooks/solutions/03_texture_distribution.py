"""Solutions of notebook 03, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

from einops import einsum, rearrange

# %% exercise-1: solution


def distribute_some(textures, logits, keep):
    """As `my_distribute`, with some textures only. textures b k c, logits b k h w, keep k (bool)"""
    distribution = logits.masked_fill(rearrange(~keep, "k -> k 1 1"), float("-inf")).softmax(dim=1)
    return einsum(textures, distribution, "b k c, b k h w -> b c h w"), distribution


# %% exercise-1: mistake, shares struck out after the softmax


def distribute_some(textures, logits, keep):  # noqa: F811
    distribution = logits.softmax(dim=1) * rearrange(keep, "k -> k 1 1")
    return einsum(textures, distribution, "b k c, b k h w -> b c h w"), distribution


# %% exercise-1: mistake, logits set to 0


def distribute_some(textures, logits, keep):  # noqa: F811
    distribution = (logits * rearrange(keep, "k -> k 1 1")).softmax(dim=1)
    return einsum(textures, distribution, "b k c, b k h w -> b c h w"), distribution


# %% exercise-1: mistake, right only for the choice that the check shows first


def distribute_some(textures, logits, keep):  # noqa: F811
    chosen = keep.clone().fill_(False)
    chosen[[0, 3, 6]] = True
    distribution = logits.masked_fill(rearrange(~chosen, "k -> k 1 1"), float("-inf")).softmax(dim=1)
    return einsum(textures, distribution, "b k c, b k h w -> b c h w"), distribution


# %% exercise-2: solution


def looks_at(extraction, distribution, row, column):
    """What target position (row, column) takes from each reference position. b k h w twice -> b h w"""
    return einsum(distribution[:, :, row, column], extraction, "b k, b k h w -> b h w")


# %% exercise-2: mistake, only the largest share


def looks_at(extraction, distribution, row, column):  # noqa: F811
    largest = distribution[:, :, row, column].argmax(dim=1)
    return extraction[range(len(largest)), largest]


# %% exercise-2: mistake, which targets look at this reference position: a column of W


def looks_at(extraction, distribution, row, column):  # noqa: F811
    return einsum(extraction[:, :, row, column], distribution, "b k, b k h w -> b h w")


# %% exercise-2: mistake, all of W for one row


def looks_at(extraction, distribution, row, column):  # noqa: F811
    h, w = extraction.shape[-2:]
    matrix = thin_attention(extraction, distribution)  # noqa: F821
    return rearrange(matrix[:, row * w + column], "b (h w) -> b h w", h=h)


# %% exercise-2: mistake, right only for the position that the check shows first


def looks_at(extraction, distribution, row, column):  # noqa: F811
    return einsum(distribution[:, :, 10, 7], extraction, "b k, b k h w -> b h w")


# %% exercise-3: solution


def blend(q, a, t):
    """From q (t = 0) to a (t = 1); the mean square stays 1 if q and a have it and are unrelated."""
    return ((1 - t) * q + t * a) / ((1 - t) ** 2 + t**2) ** 0.5


# %% exercise-3: mistake, the root of two for every t


def blend(q, a, t):  # noqa: F811
    return ((1 - t) * q + t * a) / 2**0.5


# %% exercise-3: mistake, the size is right but not the parts


def blend(q, a, t):  # noqa: F811
    return (1 - t) ** 0.5 * q + t**0.5 * a


# %% exercise-3: mistake, the measured size: right for unrelated inputs only


def blend(q, a, t):  # noqa: F811
    mixed = (1 - t) * q + t * a
    return mixed / mixed.square().mean().sqrt()
