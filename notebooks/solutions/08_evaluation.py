"""Solutions of notebook 08, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import numpy as np
import torch
import torch.nn.functional as F
from einops import reduce

from nted_lite.evaluation import measures

# %% exercise-1: solution


def box_ssim(generated, truth, size):
    """SSIM with a flat window. b 3 h w twice, in -1..1, odd size -> b"""

    def mean(x):
        return F.avg_pool2d(F.pad(x, [size // 2] * 4, mode="reflect"), size, stride=1)

    x, y = ((image + 1) / 2 for image in (generated, truth))
    mx, my, xx, yy, xy = (mean(image) for image in (x, y, x * x, y * y, x * y))
    brightness = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    structure = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
    return reduce(brightness * structure, "b c h w -> b", "mean")


# %% exercise-1: mistake, zeros around the picture instead of its mirror image


def box_ssim(generated, truth, size):  # noqa: F811
    def mean(x):
        return F.avg_pool2d(x, size, stride=1, padding=size // 2)

    x, y = ((image + 1) / 2 for image in (generated, truth))
    mx, my, xx, yy, xy = (mean(image) for image in (x, y, x * x, y * y, x * y))
    brightness = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    structure = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
    return reduce(brightness * structure, "b c h w -> b", "mean")


# %% exercise-1: mistake, pictures left in -1..1


def box_ssim(x, y, size):  # noqa: F811
    def mean(x):
        return F.avg_pool2d(F.pad(x, [size // 2] * 4, mode="reflect"), size, stride=1)

    mx, my, xx, yy, xy = (mean(image) for image in (x, y, x * x, y * y, x * y))
    brightness = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    structure = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
    return reduce(brightness * structure, "b c h w -> b", "mean")


# %% exercise-1: mistake, always the window of the first example


def box_ssim(generated, truth, size):  # noqa: F811
    def mean(x):
        return F.avg_pool2d(F.pad(x, [3] * 4, mode="reflect"), 7, stride=1)

    x, y = ((image + 1) / 2 for image in (generated, truth))
    mx, my, xx, yy, xy = (mean(image) for image in (x, y, x * x, y * y, x * y))
    brightness = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    structure = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
    return reduce(brightness * structure, "b c h w -> b", "mean")


# %% exercise-1: mistake, Wang's bell after all


def box_ssim(generated, truth, size):  # noqa: F811
    return measures.ssim(generated, truth)


# %% exercise-1: mistake, one window as large as the picture


def box_ssim(generated, truth, size):  # noqa: F811
    x, y = ((image + 1) / 2 for image in (generated, truth))
    mx, my, xx, yy, xy = (reduce(image, "b c h w -> b c", "mean") for image in (x, y, x * x, y * y, x * y))
    brightness = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    structure = (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)
    return reduce(brightness * structure, "b c -> b", "mean")


# %% exercise-2: solution


def skill(answer, photo, truth):
    """The share of the copied photo's squared error that an answer removes. b 3 h w each, in -1..1 -> b"""
    left, before = (reduce((image - truth).square(), "b c h w -> b", "mean") for image in (answer, photo))
    return 1 - left / before


# %% exercise-2: solution, with pictures as a file would hold them


def skill(answer, photo, truth):  # noqa: F811
    left, before = (measures.psnr(image, truth) for image in (answer, photo))
    return 1 - 10 ** ((before - left) / 10)


# %% exercise-2: mistake, answers worse than the photo count as 0


def skill(answer, photo, truth):  # noqa: F811
    left, before = (reduce((image - truth).square(), "b c h w -> b", "mean") for image in (answer, photo))
    return (1 - left / before).clamp_min(0)


# %% exercise-2: mistake, the photos' error is averaged over all people


def skill(answer, photo, truth):  # noqa: F811
    return 1 - reduce((answer - truth).square(), "b c h w -> b", "mean") / (photo - truth).square().mean()


# %% exercise-2: mistake, absolute instead of squared errors


def skill(answer, photo, truth):  # noqa: F811
    left, before = (reduce((image - truth).abs(), "b c h w -> b", "mean") for image in (answer, photo))
    return 1 - left / before


# %% exercise-2: mistake, compared with the contrast of the truth instead of the photo


def skill(answer, photo, truth):  # noqa: F811
    left = reduce((answer - truth).square(), "b c h w -> b", "mean")
    return 1 - left / reduce((truth - reduce(truth, "b c h w -> b 1 1 1", "mean")).square(), "b c h w -> b", "mean")


# %% exercise-2: mistake, a mean of the pixels' skills


def skill(answer, photo, truth):  # noqa: F811
    left, before = ((image - truth).square() for image in (answer, photo))
    return reduce(1 - (left + 1e-6) / (before + 1e-6), "b c h w -> b", "mean")


# %% exercise-2: mistake, the square of a ratio of absolute errors


def skill(answer, photo, truth):  # noqa: F811
    left, before = (reduce((image - truth).abs(), "b c h w -> b", "mean") for image in (answer, photo))
    return 1 - (left / before) ** 2


# %% exercise-3: solution


def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):
    """Squared Frechet distance of two Gaussians. d, d d, d, d d (double) -> number"""
    values, vectors = torch.linalg.eigh(covariance_a)
    half = vectors * values.clamp_min(0).sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(half @ covariance_b @ half).clamp_min(0).sqrt().sum()
    return (mean_a - mean_b).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * mixed


# %% exercise-3: mistake, roots of the entries instead of the matrix


def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):  # noqa: F811
    mixed = (covariance_a @ covariance_b).clamp_min(0).sqrt().trace()
    return (mean_a - mean_b).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * mixed


# %% exercise-3: mistake, the product of the roots, as if the ellipses were parallel


def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):  # noqa: F811
    halves = []
    for matrix in (covariance_a, covariance_b):
        values, vectors = torch.linalg.eigh(matrix)
        halves.append(vectors * values.clamp_min(0).sqrt() @ vectors.T)
    return (mean_a - mean_b).square().sum() + (halves[0] - halves[1]).square().sum()


# %% exercise-3: mistake, a formula for two dimensions only


def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):  # noqa: F811
    product = covariance_a @ covariance_b
    mixed = (product.trace() + 2 * torch.linalg.det(product).clamp_min(0).sqrt()).sqrt()
    return (mean_a - mean_b).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * mixed


# %% exercise-3: mistake, the means are forgotten


def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):  # noqa: F811
    values, vectors = torch.linalg.eigh(covariance_a)
    half = vectors * values.clamp_min(0).sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(half @ covariance_b @ half).clamp_min(0).sqrt().sum()
    return covariance_a.trace() + covariance_b.trace() - 2 * mixed


# %% exercise-3: mistake, roots of slightly negative eigenvalues


def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):  # noqa: F811
    values, vectors = torch.linalg.eigh(covariance_a)
    half = vectors * values.sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(half @ covariance_b @ half).sqrt().sum()
    return (mean_a - mean_b).square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * mixed


# %% exercise-3: mistake, thousands of points drawn from both


def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):  # noqa: F811
    random = np.random.default_rng(0)
    moments = ((mean_a, covariance_a), (mean_b, covariance_b))
    points = [torch.from_numpy(random.multivariate_normal(*(x.numpy() for x in pair), 5000)) for pair in moments]
    return measures.frechet(*points)


# %% exercise-4: solution


def difference(a, b, draws=2000):
    """Mean, low and high of b - a. NumPy arrays, n each: person i has scores a[i] and b[i] -> three numbers"""
    better, random = b - a, np.random.default_rng(0)
    means = better[random.integers(len(better), size=(draws, len(better)))].mean(axis=1)
    return better.mean(), *np.percentile(means, [2.5, 97.5])


# %% exercise-4: mistake, an interval of 98 %


def difference(a, b, draws=2000):  # noqa: F811
    better, random = b - a, np.random.default_rng(0)
    means = better[random.integers(len(better), size=(draws, len(better)))].mean(axis=1)
    return better.mean(), *np.percentile(means, [1, 99])


# %% exercise-4: mistake, both models draw people of their own


def difference(a, b, draws=2000):  # noqa: F811
    random, n = np.random.default_rng(0), len(a)
    means = b[random.integers(n, size=(draws, n))].mean(1) - a[random.integers(n, size=(draws, n))].mean(1)
    return means.mean(), *np.percentile(means, [2.5, 97.5])


# %% exercise-4: mistake, the spread of people instead of the mean's


def difference(a, b, draws=2000):  # noqa: F811
    return (b - a).mean(), *np.percentile(b - a, [2.5, 97.5])


# %% exercise-4: mistake, a minus b


def difference(a, b, draws=2000):  # noqa: F811
    better, random = a - b, np.random.default_rng(0)
    means = better[random.integers(len(better), size=(draws, len(better)))].mean(axis=1)
    return better.mean(), *np.percentile(means, [2.5, 97.5])


# %% exercise-4: mistake, two standard errors to both sides, which is no bootstrap


def difference(a, b, draws=2000):  # noqa: F811
    mean, error = (b - a).mean(), (b - a).std() / len(a) ** 0.5
    return mean, mean - 1.96 * error, mean + 1.96 * error


# %% exercise-4: mistake, always 128 people are drawn


def difference(a, b, draws=2000):  # noqa: F811
    better, random = b - a, np.random.default_rng(0)
    means = better[random.integers(len(better), size=(draws, 128))].mean(axis=1)
    return better.mean(), *np.percentile(means, [2.5, 97.5])


# %% exercise-4: mistake, the scores are sorted, so that people are mixed up


def difference(a, b, draws=2000):  # noqa: F811
    better, random = np.sort(b) - np.sort(a), np.random.default_rng(0)
    means = better[random.integers(len(better), size=(draws, len(better)))].mean(axis=1)
    return better.mean(), *np.percentile(means, [2.5, 97.5])
