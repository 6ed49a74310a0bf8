"""The held-out synthetic people on whom models are measured, with their ground truth."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from nted_lite.config import ModelConfig
from nted_lite.people import PARTS, SPLITS, People, View, render, sample_people, sample_poses, swap
from nted_lite.people.body import FRAME
from nted_lite.people.shapes import PRIMITIVES
from nted_lite.people.wardrobe import PATTERNS
from nted_lite.pose import pose_map

KINDS = {"fine": ("stripes", "pinstripes", "checks", "dots"), "coarse": ("block", "logo", "jacket")}
"""The patterns of garments, grouped by scale"""

REGIONS = ("silhouette", "edges", "patterned cloth", "plain cloth", "rest")
"""Where errors are counted: background next to the person; the person next to another part or to the background; the
rest of the garments; everything else, that is, skin, hair, shoes and the empty studio"""


@dataclass(frozen=True)
class Test:
    """Some held-out people: two views, a donor of a top, and the ground truth of wearing it."""

    reference: Tensor
    pose: Tensor
    target: Tensor
    reference_parts: Tensor
    target_parts: Tensor
    donor: Tensor
    """b 3 h w: another person, whose top is taken"""
    dressed: Tensor
    """b 3 h w: ground truth of the reference in the donor's top"""
    swapped: Tensor
    """b 3 h w: ground truth of the target pose in the donor's top"""
    garment: Tensor
    """b h w bool: where either top is, before or after the swap"""
    seen: Tensor
    """b h w bool: where the target shows a surface that the reference shows, too"""
    patterned: dict[str, Tensor]
    """for each of KINDS, b 2 h w bool: top and bottom if they have such a pattern and the reference shows half of it"""
    regions: Tensor
    """b h w int64, index into REGIONS"""


@torch.no_grad()
def held_out(index: Tensor, model: ModelConfig, split: str = "test") -> Test:
    """Held-out people, prepared for a model; the donor of person i is person i + 1 of the split.

    index  b int64   which people of the split
    model  the model's configuration
    split  "test", or "validation" for making choices
    """
    seed, height, b, top = SPLITS[split], model.height, len(index), PARTS.index("top")
    shown, place = torch.unique(torch.cat([index, index + 1]), return_inverse=True)  # most are donors, too
    people = sample_people(seed, shown)
    views = render(people, sample_poses(seed, shown, 0), height)
    reference, donor = views[place[:b]], views[place[b:]]
    person = people[place[:b]]
    changed = swap(person, people[place[b:]], "top")
    poses = sample_poses(seed, index, 1)
    target, swapped = render(person, poses, height), render(changed, poses, height)
    seen = seen_surface(reference, target)
    return Test(
        reference=reference.image,
        pose=pose_map(target.keypoints, target.visible, height, fine=model.fine_pose),
        target=target.image,
        reference_parts=reference.parts,
        target_parts=target.parts,
        donor=donor.image,
        dressed=render(changed, sample_poses(seed, index, 0), height).image,
        swapped=swapped.image,
        garment=(swapped.parts == top) | (target.parts == top),
        seen=seen,
        patterned=patterned(person, target.parts, seen),
        regions=regions(person, target.parts),
    )


def _garments(people: People, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Where top and bottom are, b 2 h w bool, and the pattern of each, b 2."""
    masks = torch.stack([parts == PARTS.index(name) for name in ("top", "bottom")], 1)
    return masks, torch.stack([people.top_pattern, people.bottom_pattern], 1)


def patterned(people: People, parts: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """The garments with a pattern of each kind, if the reference shows at least half of them; see `Test.patterned`."""
    masks, pattern = _garments(people, parts)
    area, shown = (reduce(m.float(), "b g h w -> b g", "sum") for m in (masks, masks & seen[:, None]))
    of = {kind: torch.tensor([PATTERNS.index(n) for n in names], device=parts.device) for kind, names in KINDS.items()}
    return {
        kind: masks & rearrange(torch.isin(pattern, ids) & (2 * shown >= area), "b g -> b g 1 1")
        for kind, ids in of.items()
    }


def regions(people: People, parts: Tensor) -> Tensor:
    """Which of REGIONS each pixel of a picture belongs to. parts b h w -> b h w int64

    "Next to" is a pixel at 64 rows or fewer, two at 128: the same share of the picture.
    """
    reach = max(1, parts.shape[1] // 64)

    def highest(x: Tensor) -> Tensor:
        return F.max_pool2d(x[:, None].float(), 2 * reach + 1, 1, reach)[:, 0]

    person = parts != PARTS.index("background")
    masks, pattern = _garments(people, parts)
    cloth = masks & rearrange(pattern != PATTERNS.index("solid"), "b g -> b g 1 1")
    of = {
        "plain cloth": masks.any(1), "patterned cloth": cloth.any(1),
        "edges": person & (highest(parts) != -highest(-parts)), "silhouette": ~person & (highest(person) > 0),
    }  # fmt: skip
    found = torch.full_like(parts, REGIONS.index("rest"))
    for name, where in of.items():  # a later one wins
        found[where] = REGIONS.index(name)
    return found


def seen_surface(reference: View, target: View) -> Tensor:
    """Which pixels of the target show a point of the body that the reference shows, too. -> b h w bool

    Surfaces are divided into patches one pixel wide (at zoom 1). A patch is seen if the reference has a pixel of the
    same primitive on it or on one of the eight patches around it. The background is never seen.
    """
    size, row = FRAME / target.parts.shape[-2], 2**13  # metres; more than the patches in a row of any primitive

    def patches(view: View) -> tuple[Tensor, Tensor]:
        """Where the person is, and a number for the patch at each of these pixels.

        It holds (picture, primitive, u, v) as one integer, so that `isin` can compare them; the patches around it are
        those at +-1 and +-row.
        """
        person = view.primitive >= 0
        u, v = rearrange((view.surface / size).round().long() + row // 2, "b uv h w -> uv b h w")[:, person]
        return person, ((person.nonzero()[:, 0] * len(PRIMITIVES) + view.primitive[person]) * row + u) * row + v

    (_, known), (person, wanted) = patches(reference), patches(target)
    around = [wanted + du * row + dv for du in (-1, 0, 1) for dv in (-1, 0, 1)]
    seen = torch.zeros_like(person)
    seen[person] = torch.isin(torch.stack(around), known.unique()).any(0)
    return seen


def part_colours(test: Test) -> Tensor:
    """A baseline that knows the target's ground-truth parts, and fills each with its mean colour in the reference.

    returns  b 3 h w in -1..1
    """
    rest = reduce(test.reference, "b c h w -> b c 1 1", "mean")
    painted = torch.zeros_like(test.target)
    for part in range(len(PARTS)):
        here, there = (rearrange(p == part, "b h w -> b 1 h w") for p in (test.reference_parts, test.target_parts))
        area = reduce(here.float(), "b 1 h w -> b 1 1 1", "sum")
        colour = reduce(test.reference * here, "b c h w -> b c 1 1", "sum") / area.clamp_min(1)
        painted += there * torch.where(area > 0, colour, rest)
    return painted
