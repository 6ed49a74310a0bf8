"""Solutions of notebook 09, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import torch.nn.functional as F
from einops import einsum, rearrange, reduce

# %% exercise-1: solution


def purity(distribution, mask):
    """Of what each texture paints, the part inside the mask. distribution b k h w, mask b h w (0..1) -> b k"""
    inside = einsum(distribution, mask, "b k h w, b h w -> b k")
    return inside / reduce(distribution, "b k h w -> b k", "sum").clamp_min(1e-6)


# %% exercise-1: mistake, the mean over the mask: the other rule


def purity(distribution, mask):  # noqa: F811
    inside = einsum(distribution, mask, "b k h w, b h w -> b k")
    return inside / reduce(mask, "b h w -> b 1", "sum").clamp_min(1)


# %% exercise-1: mistake, in place: the maps that were given are destroyed


def purity(distribution, mask):  # noqa: F811
    total = reduce(distribution, "b k h w -> b k", "sum")
    distribution *= rearrange(mask, "b h w -> b 1 h w")
    return reduce(distribution, "b k h w -> b k", "sum") / total


# %% exercise-1: mistake, the batch is added up


def purity(distribution, mask):  # noqa: F811
    inside = einsum(distribution, mask, "b k h w, b h w -> k")
    return (inside / reduce(distribution, "b k h w -> k", "sum")).expand(len(mask), -1)


# %% exercise-1: mistake, right only for three textures, the first that the check shows


def purity(distribution, mask):  # noqa: F811
    inside = einsum(distribution[:, :3], mask, "b k h w, b h w -> b k")
    return inside / reduce(distribution[:, :3], "b k h w -> b k", "sum")


# %% exercise-2: solution


def outfit(mine, donors, coefficients):
    """textures b k c, a list of b k c, a list of b k (0 or 1) -> b k c"""
    for theirs, a in reversed(list(zip(donors, coefficients))):
        mine = mine + rearrange(a, "b k -> b k 1") * (theirs - mine)
    return mine


# %% exercise-2: mistake, the last donor wins


def outfit(mine, donors, coefficients):  # noqa: F811
    for theirs, a in zip(donors, coefficients):
        mine = mine + rearrange(a, "b k -> b k 1") * (theirs - mine)
    return mine


# %% exercise-2: mistake, two claims are added


def outfit(mine, donors, coefficients):  # noqa: F811
    return mine + sum(rearrange(a, "b k -> b k 1") * (theirs - mine) for theirs, a in zip(donors, coefficients))


# %% exercise-2: mistake, in place: the person's own textures are overwritten


def outfit(mine, donors, coefficients):  # noqa: F811
    for theirs, a in reversed(list(zip(donors, coefficients))):
        mine += rearrange(a, "b k -> b k 1") * (theirs - mine)
    return mine


# %% exercise-2: mistake, right only for two donors


def outfit(mine, donors, coefficients):  # noqa: F811
    first, second = (rearrange(a, "b k -> b k 1") for a in coefficients[:2])
    return first * donors[0] + (1 - first) * (second * donors[1] + (1 - second) * mine)


# %% exercise-3: solution


def my_pull(a, distribution, mask, threshold=3.0):
    """coefficients b k, distribution b k h w, mask b H W (bool) -> b"""
    up, down = (my_share(distribution.detach(), area) for area in (mask, ~mask))  # noqa: F821
    limit = threshold / a.shape[1]
    pulls = up * (up >= limit) * F.relu(1 - a) + down * (down >= limit) * F.relu(a)
    return reduce(pulls, "b k -> b", "sum")


# %% exercise-3: mistake, nothing is detached


def my_pull(a, distribution, mask, threshold=3.0):  # noqa: F811
    up, down = (my_share(distribution, area) for area in (mask, ~mask))  # noqa: F821
    limit = threshold / a.shape[1]
    pulls = up * (up >= limit) * F.relu(1 - a) + down * (down >= limit) * F.relu(a)
    return reduce(pulls, "b k -> b", "sum")


# %% exercise-3: mistake, inside and outside exchanged


def my_pull(a, distribution, mask, threshold=3.0):  # noqa: F811
    down, up = (my_share(distribution.detach(), area) for area in (mask, ~mask))  # noqa: F821
    limit = threshold / a.shape[1]
    pulls = up * (up >= limit) * F.relu(1 - a) + down * (down >= limit) * F.relu(a)
    return reduce(pulls, "b k -> b", "sum")


# %% exercise-3: mistake, every share pulls


def my_pull(a, distribution, mask, threshold=3.0):  # noqa: F811
    up, down = (my_share(distribution.detach(), area) for area in (mask, ~mask))  # noqa: F821
    return reduce(up * F.relu(1 - a) + down * F.relu(a), "b k -> b", "sum")


# %% exercise-3: mistake, the mean over k: right only for one texture


def my_pull(a, distribution, mask, threshold=3.0):  # noqa: F811
    up, down = (my_share(distribution.detach(), area) for area in (mask, ~mask))  # noqa: F821
    limit = threshold / a.shape[1]
    pulls = up * (up >= limit) * F.relu(1 - a) + down * (down >= limit) * F.relu(a)
    return reduce(pulls, "b k -> b", "mean")
