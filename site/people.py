"""The people of the page Play: photos, poses, ground truth, and which textures paint which part of them.

A page in a browser cannot render people, so what it may show is rendered here, once for each model:

    people.json       who they are, their key points in every pose, the purity of every texture for every part
    photos.png        the reference images, side by side
    truth-03.png      person 3 in every pose (rows), turned in steps (columns): the ground truth of re-posing
    swaps-03.png      person 3 standing, in each item (rows) of each other person (columns): that of a swap
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from PIL import Image
from torch import Tensor

from nted_lite import NTED, plotting
from nted_lite.control import inside
from nted_lite.entities import GROUPS
from nted_lite.images import picture
from nted_lite.people import ITEMS, PARTS, SPLITS, People, Poses, View, render, sample_people, sample_poses, swap
from nted_lite.people.wardrobe import PATTERNS
from nted_lite.widgets.stances import STANCES

COUNT, TURNS = 12, 16
RULE = (
    "You see twelve people of the test set, whom it never met in training: the first one with each pattern that a top "
    "can have, and then the first others, by their numbers."
)


def chosen() -> Tensor:
    """Who is shown: the first test person with each pattern of top, then the first others. -> COUNT numbers, sorted"""
    patterns = sample_people(SPLITS["test"], torch.arange(1000)).top_pattern.tolist()
    first = {patterns.index(pattern) for pattern in range(len(PATTERNS))}
    rest = (number for number in range(1000) if number not in first)
    return torch.tensor(sorted([*first, *(next(rest) for _ in range(COUNT - len(first)))]))


def stances(numbers: Tensor) -> dict[str, Poses]:
    """The poses that the page offers, each for all people: the STANCES, and the pose of their second picture."""
    own = sample_poses(SPLITS["test"], numbers, 1)
    plain = replace(
        own, yaw=torch.zeros_like(own.yaw), lean=torch.zeros_like(own.lean), head=torch.zeros_like(own.head),
        zoom=torch.ones_like(own.zoom), focus=torch.full_like(own.focus, 0.5), shift=torch.zeros_like(own.shift),
    )  # fmt: skip
    mirror = torch.tensor([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])[:, None]  # x outwards -> x to the left, of right, left
    found = {}
    for name, stance in STANCES.items():
        arms, legs = (F.normalize(torch.tensor(sides) * mirror, dim=-1) for sides in stance)
        found[name] = replace(
            plain, arms=repeat(arms, "s j c -> b s j c", b=len(numbers)),
            legs=repeat(legs, "s j c -> b s j c", b=len(numbers)),
        )  # fmt: skip
    return {**found, "another photo": own}


def views(person: People, poses: Poses, height: int) -> View:
    """One person in one pose, seen from all sides. person, poses  1 each  ->  TURNS views"""
    every = torch.zeros(TURNS, dtype=torch.long)
    turned = poses[every]
    return render(person[every], replace(turned, yaw=turned.yaw + torch.arange(TURNS) * (2 * torch.pi / TURNS)), height)


@torch.no_grad()
def write(model: NTED, out: Path) -> None:
    """Write everything that the page needs to know about people, for one model, into a folder."""
    numbers, height = chosen(), model.config.height
    people, poses = sample_people(SPLITS["test"], numbers), stances(numbers)
    photos = render(people, sample_poses(SPLITS["test"], numbers, 0), height)
    save([list(photos.image)], out / "photos.png")
    front = render(people, poses["stand"], height)
    rendered = model.render(model.pose_map(front.keypoints, front.visible), model.extract(photos.image))
    groups = [plotting.texture_parts(maps, front.parts) for maps in rendered.distribution]
    about = {
        "turns": TURNS, "rule": RULE, "poses": list(poses), "items": list(ITEMS), "people": [],
        "texture_colours": [plotting.texture_colours(group).mul(1000).round().div(1000).tolist() for group in groups],
        "texture_parts": [[PARTS[part] for part in group] for group in groups],
        "part_colours": plotting.PART_COLOURS,
    }  # fmt: skip
    quarters = torch.arange(0, TURNS, TURNS // 4)
    for i, number in enumerate(numbers.tolist()):
        person, sides = people[i], {name: views(people[i], pose[i], height) for name, pose in poses.items()}
        save([list(view.image) for view in sides.values()], out / f"truth-{i:02}.png")
        others = torch.full((COUNT,), i)
        dressed = [swap(people[others], people, item) for item in ITEMS]
        swaps = [render(person, poses["stand"][others], height).image for person in dressed]
        save([list(images) for images in swaps], out / f"swaps-{i:02}.png")
        about["people"].append({
            "number": number, "top": PATTERNS[person.top_pattern], "bottom": PATTERNS[person.bottom_pattern],
            "poses": {
                name: [
                    {"keypoints": points(view.keypoints[t]), "visible": view.visible[t].int().tolist()}
                    for t in range(TURNS)
                ]
                for name, view in sides.items()
            },
            "purity": purity(model, photos.image[i], View.cat([view[quarters] for view in sides.values()])),
        })  # fmt: skip
    (out / "people.json").write_text(json.dumps(about, separators=(",", ":")) + "\n")


def purity(model: NTED, photo: Tensor, seen: View) -> dict[str, list[list[float]]]:
    """For each item and operation, the share of each texture's paint that lies on that item of a person.

    photo    3 h w  the reference image
    seen     the same person in many poses, with the true parts

    The measure of `control.select_pure`, taken over many poses at once: which textures belong to a part must not change
    while somebody drags a pose.
    """
    textures = model.extract(photo[None])
    pose = model.pose_map(seen.keypoints, seen.visible)
    drawn = model.render(pose, textures.repeat(len(pose)))
    maps = [rearrange(d, "b k h w -> 1 k (b h) w") for d in drawn.distribution]
    found = {}
    for item in ITEMS:
        mask = torch.isin(seen.parts, torch.tensor([PARTS.index(part) for part in GROUPS[item]]))
        mask = rearrange(mask, "b h w -> 1 (b h) w")
        found[item] = [[round(share, 3) for share in inside(d, mask)[0].tolist()] for d in maps]
    return found


def points(keypoints: Tensor) -> list[list[float]]:
    """Key points, 18 2, to a hundredth of a pixel."""
    return [[round(x, 2), round(y, 2)] for x, y in keypoints.tolist()]


def save(rows: list[list[Tensor]], file: Path) -> None:
    """Write pictures, 3 h w each in -1..1, as one: rows below each other, the pictures of a row side by side."""
    pixels = np.concatenate([np.concatenate([picture(image) for image in row], axis=1) for row in rows])
    Image.fromarray(pixels).save(file, optimize=True)
