"""Solutions of notebook 03, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

from einops import einsum, rearrange

# %% exercise-1: solution


def distribute_some(vectors, logits, keep):
    """As `my_distribute`, with some textures only. vectors b k c, logits b k h w, keep k (bool)"""
    shares = logits.masked_fill(rearrange(~keep, "k -> k 1 1"), float("-inf")).softmax(dim=1)
    return einsum(vectors, shares, "b k c, b k h w -> b c h w"), shares


# %% exercise-1: mistake, shares struck out after the softmax


def distribute_some(vectors, logits, keep):  # noqa: F811
    shares = logits.softmax(dim=1) * rearrange(keep, "k -> k 1 1")
    return einsum(vectors, shares, "b k c, b k h w -> b c h w"), shares


# %% exercise-1: mistake, logits set to 0


def distribute_some(vectors, logits, keep):  # noqa: F811
    shares = (logits * rearrange(keep, "k -> k 1 1")).softmax(dim=1)
    return einsum(vectors, shares, "b k c, b k h w -> b c h w"), shares


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
