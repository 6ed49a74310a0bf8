"""Solutions of notebook 10, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import math
from dataclasses import replace

import torch

from nted_lite.variants import SHORT, VARIANTS, Variant

# %% exercise-1: solution


def all_at_32(full):
    """ModelConfig -> Variant with the same number of textures, all of them at 32 rows"""
    textures = tuple(sum(full.textures) if level == 1 else 0 for level in range(len(full.textures)))
    return Variant("all textures at 32 rows", model=replace(full, textures=textures))


# %% exercise-1: mistake, the variant that exists has fewer textures


def all_at_32(full):  # noqa: F811
    return VARIANTS["only-32-rows"]


# %% exercise-1: mistake, right only for this full model


def all_at_32(full):  # noqa: F811
    return Variant("all textures at 32 rows", model=replace(full, textures=(0, 48, 0)))


# %% exercise-1: mistake, at 16 rows


def all_at_32(full):  # noqa: F811
    textures = (sum(full.textures),) + (0,) * (len(full.textures) - 1)
    return Variant("all textures at 32 rows", model=replace(full, textures=textures))


# %% exercise-1: mistake, trained for longer, too


def all_at_32(full):  # noqa: F811
    textures = (0, sum(full.textures)) + (0,) * (len(full.textures) - 2)
    return Variant("all textures at 32 rows", replace(full, textures=textures), replace(SHORT, steps=6000))


# %% exercise-1: mistake, other kernels, too


def all_at_32(full):  # noqa: F811
    textures = (0, sum(full.textures)) + (0,) * (len(full.textures) - 2)
    return Variant("all at 32 rows", replace(full, textures=textures, kernels=(3,) * len(textures)))


# %% exercise-2: solution


def paired(a, b):
    """a and b n: a measure of two models on the same n people -> mean of a - b, low, high: three floats"""
    difference = a - b
    drawn = torch.randint(len(difference), (1000, len(difference)), generator=torch.Generator().manual_seed(0))
    means = difference[drawn].mean(dim=1)
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return difference.mean().item(), low, high


# %% exercise-2: mistake, each model has its own people


def paired(a, b):  # noqa: F811
    draw = torch.Generator().manual_seed(0)
    means_a, means_b = (x[torch.randint(len(x), (1000, len(x)), generator=draw)].mean(dim=1) for x in (a, b))
    low, high = (means_a - means_b).quantile(torch.tensor([0.025, 0.975])).tolist()
    return (a - b).mean().item(), low, high


# %% exercise-2: mistake, where 95 % of the people lie


def paired(a, b):  # noqa: F811
    low, high = (a - b).quantile(torch.tensor([0.025, 0.975])).tolist()
    return (a - b).mean().item(), low, high


# %% exercise-2: mistake, right only for 256 people


def paired(a, b):  # noqa: F811
    mean, half = (a - b).mean().item(), 1.96 * (a - b).std().item() / 16
    return mean, mean - half, mean + half


# %% exercise-2: mistake, two intervals of one model each, and their far ends


def paired(a, b):  # noqa: F811
    halves = [1.96 * x.std().item() / math.sqrt(len(x)) for x in (a, b)]
    mean = (a - b).mean().item()
    return mean, mean - sum(halves), mean + sum(halves)


# %% exercise-2: mistake, b minus a


def paired(a, b):  # noqa: F811
    difference = b - a
    mean, half = difference.mean().item(), 1.96 * difference.std().item() / math.sqrt(len(difference))
    return mean, mean - half, mean + half


# %% exercise-3: solution


def claims():
    """The letters of all claims that follow from the table, for example {"a", "h"}"""
    return {"a", "b", "g"}


# %% exercise-3: mistake, all of them


def claims():  # noqa: F811
    return set("abcdefgh")


# %% exercise-3: mistake, a cautious reader: only what was measured itself


def claims():  # noqa: F811
    return {"a"}


# %% exercise-3: mistake, not different is taken for equal


def claims():  # noqa: F811
    return {"a", "b", "d", "g"}


# %% exercise-3: mistake, the interval over people is the judge


def claims():  # noqa: F811
    return {"a", "b", "c"}


# %% exercise-3: mistake, a cause is read from two changes


def claims():  # noqa: F811
    return {"a", "b", "e", "g"}
