"""Solutions of notebook 11, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import re

import torch

from nted_lite.keypoints import from_coco17

ORDER = [0, 17, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]

# %% exercise-1: solution


def read_17(points: torch.Tensor, threshold: float) -> torch.Tensor:
    """17 3 (x, y, confidence) -> 18 2; joints with less than the threshold, and a neck without both shoulders: -1 -1"""
    there = points[:, 2] >= threshold
    neck, both = points[5:7, :2].mean(0, keepdim=True), there[5:7].all(0, keepdim=True)
    placed, known = torch.cat([points[:, :2], neck])[ORDER], torch.cat([there, both])[ORDER]
    return torch.where(known[:, None], placed, -1)


# %% exercise-1: mistake, the neck is the middle of whatever the shoulders are


def read_17(points: torch.Tensor, threshold: float) -> torch.Tensor:  # noqa: F811
    seen = torch.where(points[:, 2:] >= threshold, points[:, :2], -1)
    return torch.cat([seen, seen[5:7].mean(0, keepdim=True)])[ORDER]


# %% exercise-1: mistake, one shoulder is enough for a neck


def read_17(points: torch.Tensor, threshold: float) -> torch.Tensor:  # noqa: F811
    there = points[:, 2] >= threshold
    neck, some = points[5:7, :2].mean(0, keepdim=True), there[5:7].any(0, keepdim=True)
    placed, known = torch.cat([points[:, :2], neck])[ORDER], torch.cat([there, some])[ORDER]
    return torch.where(known[:, None], placed, -1)


# %% exercise-1: mistake, the package's conversion is called without the threshold


def read_17(points: torch.Tensor, threshold: float) -> torch.Tensor:  # noqa: F811
    placed = from_coco17(points)
    return torch.where(placed[:, 2:] > 0, placed[:, :2], -1)


# %% exercise-1: mistake, a threshold that fits the shown one only


def read_17(points: torch.Tensor, threshold: float) -> torch.Tensor:  # noqa: F811
    placed = from_coco17(torch.where(points[:, 2:] >= 0.5, points, points.new_tensor([-1, -1, 0])))
    return torch.where(placed[:, 2:] > 0, placed[:, :2], -1)


# %% exercise-1: mistake, the neck stands at the end


def read_17(points: torch.Tensor, threshold: float) -> torch.Tensor:  # noqa: F811
    there = points[:, 2] >= threshold
    neck, both = points[5:7, :2].mean(0, keepdim=True), there[5:7].all(0, keepdim=True)
    return torch.where(torch.cat([there, both])[:, None], torch.cat([points[:, :2], neck]), -1)


# %% exercise-2: solution


def around(keypoints: torch.Tensor, margin: float = 0.2) -> tuple[float, float, float, float]:
    """18 2 pixels, -1 -1 is missing -> left, top, width, height with width / height = 11 / 16"""
    there = keypoints[(keypoints != -1).all(-1)]
    low, high = there.amin(0), there.amax(0)
    width, height = ((high - low) * (1 + 2 * margin)).tolist()
    width, height = max(width, height * 11 / 16), max(height, width * 16 / 11)
    x, y = ((low + high) / 2).tolist()
    return x - width / 2, y - height / 2, width, height


# %% exercise-2: mistake, the missing joints count


def around(keypoints: torch.Tensor, margin: float = 0.2) -> tuple[float, float, float, float]:  # noqa: F811
    low, high = keypoints.amin(0), keypoints.amax(0)
    width, height = ((high - low) * (1 + 2 * margin)).tolist()
    width, height = max(width, height * 11 / 16), max(height, width * 16 / 11)
    x, y = ((low + high) / 2).tolist()
    return x - width / 2, y - height / 2, width, height


# %% exercise-2: mistake, the box as it is


def around(keypoints: torch.Tensor, margin: float = 0.2) -> tuple[float, float, float, float]:  # noqa: F811
    there = keypoints[(keypoints != -1).all(-1)]
    low, high = there.amin(0), there.amax(0)
    (x, y), (width, height) = low.tolist(), (high - low).tolist()
    return x - margin * width, y - margin * height, width * (1 + 2 * margin), height * (1 + 2 * margin)


# %% exercise-2: mistake, the longer side is shortened


def around(keypoints: torch.Tensor, margin: float = 0.2) -> tuple[float, float, float, float]:  # noqa: F811
    there = keypoints[(keypoints != -1).all(-1)]
    low, high = there.amin(0), there.amax(0)
    width, height = ((high - low) * (1 + 2 * margin)).tolist()
    width, height = min(width, height * 11 / 16), min(height, width * 16 / 11)
    x, y = ((low + high) / 2).tolist()
    return x - width / 2, y - height / 2, width, height


# %% exercise-2: mistake, right for people who stand, only


def around(keypoints: torch.Tensor, margin: float = 0.2) -> tuple[float, float, float, float]:  # noqa: F811
    there = keypoints[(keypoints != -1).all(-1)]
    low, high = there.amin(0), there.amax(0)
    height = ((high - low)[1] * (1 + 2 * margin)).item()
    x, y = ((low + high) / 2).tolist()
    return x - height * 11 / 32, y - height / 2, height * 11 / 16, height


# %% exercise-2: mistake, twice as large as needed


def around(keypoints: torch.Tensor, margin: float = 0.2) -> tuple[float, float, float, float]:  # noqa: F811
    there = keypoints[(keypoints != -1).all(-1)]
    low, high = there.amin(0), there.amax(0)
    width, height = (2 * (high - low) * (1 + 2 * margin)).tolist()
    width, height = max(width, height * 11 / 16), max(height, width * 16 / 11)
    x, y = ((low + high) / 2).tolist()
    return x - width / 2, y - height / 2, width, height


# %% exercise-3: solution


def unflatten(name: str) -> str:
    """fashionWOMENDressesid0000000201_1front.jpg -> WOMEN/Dresses/id_00000002/01_1_front"""
    pattern = r"fashion(WOMEN|MEN)([A-Za-z_]+?)id(\d{8})(\d\d)_(\d+)([a-z]+)\.\w+"
    who, kind, person, outfit, view, side = re.fullmatch(pattern, name).groups()
    return f"{who}/{kind}/id_{person}/{outfit}_{view}_{side}"


# %% exercise-3: mistake, the shown name is returned


def unflatten(name: str) -> str:  # noqa: F811
    return "WOMEN/Dresses/id_00000002/01_1_front"


# %% exercise-3: mistake, one digit of the view


def unflatten(name: str) -> str:  # noqa: F811
    pattern = r"fashion(WOMEN|MEN)([A-Za-z_]+?)id(\d{8})(\d\d)_(\d)\d?([a-z]+)\.\w+"
    who, kind, person, outfit, view, side = re.fullmatch(pattern, name).groups()
    return f"{who}/{kind}/id_{person}/{outfit}_{view}_{side}"


# %% exercise-3: mistake, kinds of one word only


def unflatten(name: str) -> str:  # noqa: F811
    pattern = r"fashion(WOMEN|MEN)([A-Z][a-z]+)id(\d{8})(\d\d)_(\d+)([a-z]+)\.\w+"
    who, kind, person, outfit, view, side = re.fullmatch(pattern, name).groups()
    return f"{who}/{kind}/id_{person}/{outfit}_{view}_{side}"


# %% exercise-3: mistake, the outfit is taken for a part of the person


def unflatten(name: str) -> str:  # noqa: F811
    pattern = r"fashion(WOMEN|MEN)([A-Za-z_]+?)id(\d+)(\d)_(\d+)([a-z]+)\.\w+"
    who, kind, person, outfit, view, side = re.fullmatch(pattern, name).groups()
    return f"{who}/{kind}/id_{person}/{outfit}_{view}_{side}"


# %% exercise-3: mistake, the ending stays


def unflatten(name: str) -> str:  # noqa: F811
    pattern = r"fashion(WOMEN|MEN)([A-Za-z_]+?)id(\d{8})(\d\d)_(\d+)([a-z.]+)"
    who, kind, person, outfit, view, side = re.fullmatch(pattern, name).groups()
    return f"{who}/{kind}/id_{person}/{outfit}_{view}_{side}"


# %% exercise-4: solution


def between(first: torch.Tensor, second: torch.Tensor, n: int) -> torch.Tensor:
    """18 2, 18 2, -1 -1 is missing -> n+1 18 2"""
    share = torch.linspace(0, 1, n + 1)[:, None, None]
    poses = torch.lerp(first, second, share)
    missing = ((first == -1) | (second == -1)).any(-1, keepdim=True)
    poses = torch.where(missing, -1, poses)
    poses[0], poses[-1] = first, second
    return poses


# %% exercise-4: mistake, half of a missing joint


def between(first: torch.Tensor, second: torch.Tensor, n: int) -> torch.Tensor:  # noqa: F811
    return torch.lerp(first, second, torch.linspace(0, 1, n + 1)[:, None, None])


# %% exercise-4: mistake, what is missing once is missing at both ends, too


def between(first: torch.Tensor, second: torch.Tensor, n: int) -> torch.Tensor:  # noqa: F811
    poses = torch.lerp(first, second, torch.linspace(0, 1, n + 1)[:, None, None])
    return torch.where(((first == -1) | (second == -1)).any(-1, keepdim=True), -1, poses)


# %% exercise-4: mistake, the last pose is left out


def between(first: torch.Tensor, second: torch.Tensor, n: int) -> torch.Tensor:  # noqa: F811
    poses = torch.lerp(first, second, (torch.arange(n) / n)[:, None, None])
    poses = torch.where(((first == -1) | (second == -1)).any(-1, keepdim=True), -1, poses)
    poses[0] = first
    return poses


# %% exercise-4: mistake, the first pose is held until the second


def between(first: torch.Tensor, second: torch.Tensor, n: int) -> torch.Tensor:  # noqa: F811
    return torch.stack([first] * n + [second])


# %% exercise-4: mistake, a missing joint jumps to where the other pose has it


def between(first: torch.Tensor, second: torch.Tensor, n: int) -> torch.Tensor:  # noqa: F811
    begin, end = torch.where(first == -1, second, first), torch.where(second == -1, first, second)
    poses = torch.lerp(begin, end, torch.linspace(0, 1, n + 1)[:, None, None])
    poses[0], poses[-1] = first, second
    return poses
