"""From a skeleton and clothes to shapes: every person consists of the same list of rounded cones, PRIMITIVES.

A rounded cone is two spheres and the tangent cone between them. Chains of cones that share a sphere (hip, knee, elbow)
have no seam. A cross-section may be elliptical, and an end may be open, that is, cut straight like a hem.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nted_lite.people.body import HIP_X, SHIN, THIGH, Skeleton, place
from nted_lite.people.chance import Batch
from nted_lite.people.wardrobe import HAIR, People

SIDES = ("right", "left")
_LIMBS = (
    "upper arm", "forearm", "hand", "thumb", "sleeve", "cuff",
    "thigh", "shin", "foot", "trouser", "trouser end", "boot",
)  # fmt: skip
PRIMITIVES = (
    "head", "nose", "right ear", "left ear", "cap", "locks", "bun", "neck",
    "right yoke", "left yoke", "chest", "belly", "right hip", "left hip",
    "tail hips", "tail", "skirt hips", "skirt",
    *(f"{side} {limb}" for side in SIDES for limb in _LIMBS),
)  # fmt: skip
TORSO_RADIUS, HEAD_RADIUS, SKIRT_RADIUS = 0.13, 0.08, 0.18  # metres along the surface per radian


@dataclass(frozen=True)
class Cone:
    """One primitive of b people: points in the camera's frame, radii in metres on a body of average stature."""

    start: Tensor  # b 3
    end: Tensor  # b 3
    radius: tuple[Tensor | float, Tensor | float]  # b each, at start and end
    front: Tensor  # b 3: the direction of angle 0 around the axis
    flat: tuple[float, float] = (1.0, 1.0)  # the cross-section is narrower by these factors, sideways and front to back
    chart: str = "own"  # the frame of the surface coordinates: own, torso, skirt (the torso's, wider) or head
    open_start: Tensor | bool = False
    open_end: Tensor | bool = False
    worn: Tensor | bool = True  # b bool: whether it exists


@dataclass(frozen=True)
class Shapes(Batch):
    """All n primitives of b people, in the order of PRIMITIVES, in the camera's frame.

    A point p has the local coordinates `local @ (p - centre)`, in which y runs along the axis from 0 to length and the
    cross-section is a circle. Its surface coordinates come from `chart @ (p - chart_centre)`: the height y, and the
    angle around y times `around`.
    """

    local: Tensor  # b n 3 3
    centre: Tensor  # b n 3
    length: Tensor  # b n
    radius: Tensor  # b n 2
    open: Tensor  # b n 2      bool: start and end cut straight
    worn: Tensor  # b n        bool
    reach: Tensor  # b n 2     radius of a sphere around each end that contains the flattened one
    chart: Tensor  # b n 3 3
    chart_centre: Tensor  # b n 3
    around: Tensor  # b n      metres per radian


def _norm(x: Tensor) -> Tensor:
    a, b, c = x.unbind(-1)
    return (a * a + b * b + c * c).sqrt()


def _dot(x: Tensor, y: Tensor) -> Tensor:
    a, b, c = (x * y).unbind(-1)
    return a + b + c


def _cross(x: Tensor, y: Tensor) -> Tensor:
    (a, b, c), (d, e, f) = x.unbind(-1), y.unbind(-1)
    return torch.stack([b * f - c * e, c * d - a * f, a * e - b * d], -1)


def _head(people: People, bones: Skeleton) -> dict[str, Cone]:
    s, front, style = bones.scale, bones.head[:, 2], people.hair_style

    def at(x: float, y: float, z: float) -> Tensor:
        return place(bones.skull, bones.head, x * s, y * s, z * s)

    def on_back(y: float, z: float) -> Tensor:
        return place(bones.hips, bones.torso, 0.0, y * s, z * s)

    def is_style(*names: str) -> Tensor:
        return torch.stack([style == HAIR.index(name) for name in names]).any(0)

    is_long, is_tail, is_hat = is_style("long"), is_style("ponytail"), is_style("beanie")
    back = torch.where(is_long[:, None], on_back(0.34, -0.115), at(0, -0.075, -0.03))
    bun_end = torch.where(is_tail[:, None], on_back(0.38, -0.15), at(0, 0.125, -0.092))
    cones = {
        "head": Cone(at(0, -0.058, 0.022), at(0, 0.036, -0.006), (0.053, 0.089), front, (1.1, 1.0), "head"),
        "nose": Cone(at(0, 0.012, 0.082), at(0, -0.02, 0.089), (0.007, 0.013), front, chart="head"),
        "cap": Cone(
            at(0, 0.04, -0.022), at(0, 0.048, -0.02), (torch.where(is_hat, 0.103, 0.099),) * 2, front, (1.08, 1.0),
            "head", worn=style >= HAIR.index("short"),
        ),
        "locks": Cone(
            at(0, 0.03, -0.03), back, (0.099, torch.where(is_long, 0.078, 0.088)), front, (1.0, 1.3), "head",
            worn=is_style("bob", "long", "beanie"),
        ),
        "bun": Cone(
            at(0, 0.075, -0.1), bun_end, (0.036, torch.where(is_tail, 0.022, 0.046)), front, chart="head",
            worn=is_style("bun", "ponytail"),
        ),
        "neck": Cone(
            place(bones.hips, bones.torso, 0.0, 0.48 * s, -0.012 * s), at(0, -0.045, -0.012),
            (0.056 * people.build, 0.047 * people.build), bones.torso[:, 2], chart="torso",
        ),
    }  # fmt: skip
    for side, sign in zip(SIDES, (-1, 1), strict=True):
        cones[f"{side} ear"] = Cone(
            at(sign * 0.08, -0.018, -0.008), at(sign * 0.085, 0.014, -0.012), (0.013, 0.018), front, (1.8, 1.0), "head"
        )
    return cones


def _torso(people: People, bones: Skeleton) -> dict[str, Cone]:
    s, front, build, hips = bones.scale, bones.torso[:, 2], people.build, people.hips

    def at(x: Tensor | float, y: float, z: float = 0.0) -> Tensor:
        return place(bones.hips, bones.torso, x * s, y * s, z * s)

    waist = 0.116 * build
    cones = {
        "chest": Cone(
            at(0, 0.2), at(0, 0.37), (waist, 0.143 * (build + people.shoulders) / 2), front, (1, 1.28), "torso"
        ),
        "belly": Cone(at(0, 0.2), at(0, 0.06), (waist, 0.116 * build * hips), front, (1, 1.34), "torso"),
    }
    for side, (name, sign) in enumerate(zip(SIDES, (-1, 1), strict=True)):
        base = at(sign * 0.045, 0.492, -0.012)
        cones[f"{name} yoke"] = Cone(base, bones.arms[:, side, 0], (0.053 * build, 0.053 * build), front, chart="torso")
        cones[f"{name} hip"] = Cone(
            at(sign * 0.034 * build, 0.19), bones.legs[:, side, 0], (0.082 * build, 0.088 * build), front, chart="torso"
        )
    return cones


def _skirt(people: People, bones: Skeleton, length: Tensor, least: float, worn: Tensor) -> tuple[Cone, Cone]:
    """Two cones: from waist to hips, and from there around both legs, wide enough for the stride.

    length  b        where the hem is: 0 hip .. 1 knee .. 2 ankle
    least   metres   how far the cloth stands off the body
    worn    b bool   who wears it
    """
    s, depth = bones.scale, 1.35
    hip, knee, ankle = bones.legs.unbind(2)
    upper, lower = length.clamp(0, 1)[:, None, None], (length - 1).clamp(0, 1)[:, None, None]
    legs = hip + upper * (knee - hip) + lower * (ankle - knee)
    middle = (legs[:, 0] + legs[:, 1]) / 2
    leg = 0.07 * people.build + 2 * least

    def needed(points: Tensor, axis: Tensor) -> Tensor:
        """The radius around the axis, b 3, that encloses both legs at these points, b 2 3."""
        off = (points - axis[:, None]) / s[:, None, None]
        x, z = _dot(off, bones.body[:, None, 0]), depth * _dot(off, bones.body[:, None, 2])
        return (x * x + z * z).sqrt().amax(1) + 1.15 * leg

    waist, around = 0.108 * people.build + 0.3 * least, (HIP_X * people.hips + 0.088 * people.build) + least
    bent = bones.hips + (middle - bones.hips) / length.clamp_min(1)[:, None]
    knees = torch.where(length > 1, around + (needed(knee, bent) - around) * length, around)
    hem = torch.maximum(torch.maximum(needed(legs, middle), knees), around + 0.035 * length)
    top, seat = (place(bones.hips, bones.torso, 0.0, y * s, 0.0) for y in (0.19, 0.0))
    shared = dict(front=bones.torso[:, 2], flat=(1.0, depth), chart="skirt", worn=worn)
    return (
        Cone(top, seat, (waist, around), open_start=True, **shared),
        Cone(seat, middle, (around, hem), open_end=True, **shared),
    )


def _arm(people: People, bones: Skeleton, side: int) -> dict[str, Cone]:
    s, front, build = bones.scale, bones.torso[:, 2], people.build
    shoulder, elbow, wrist, tip = bones.arms[:, side].unbind(1)
    upper, lower = people.sleeve.clamp(0, 1), (people.sleeve - 1).clamp(0, 1)
    along, above = upper[:, None] * (elbow - shoulder), lower[:, None] * (wrist - elbow)
    hand, thumb = tip - wrist, 0.03 * s[:, None] * front
    cloth = 0.007
    return {
        "upper arm": Cone(shoulder, elbow, (0.049 * build, 0.039 * build), front, worn=people.sleeve < 0.99),
        "forearm": Cone(elbow, wrist, (0.039 * build, 0.026 * build), front),
        "hand": Cone(wrist + 0.12 * hand, wrist + 0.68 * hand, (0.032, 0.025), front, (1.55, 1.0)),
        "thumb": Cone(wrist + 0.18 * hand, wrist + 0.5 * hand + thumb, (0.015, 0.011), front),
        "sleeve": Cone(
            shoulder, shoulder + along, (0.049 * build + cloth, (0.049 - 0.008 * upper) * build + cloth), front,
            open_end=people.sleeve <= 1, worn=people.sleeve > 0.02,
        ),
        "cuff": Cone(
            elbow, elbow + above, (0.041 * build + cloth, (0.041 - 0.012 * lower) * build + cloth), front,
            open_end=True, worn=people.sleeve > 1,
        ),
    }  # fmt: skip


def _leg(people: People, bones: Skeleton, side: int) -> dict[str, Cone]:
    s, build = bones.scale, people.build
    hip, knee, ankle = bones.legs[:, side].unbind(1)
    right, up, front = bones.body.unbind(1)
    shin = (ankle - knee) / (SHIN * s * people.legs)[:, None]
    ahead = front - 0.6 * _dot(front, shin)[:, None] * shin + (0.16 if side else -0.16) * right

    def toe(forwards: float, down: float) -> Tensor:
        return ankle + s[:, None] * (forwards * ahead - down * up)

    trousers, length = ~people.skirt, people.bottom_length
    upper, lower = length.clamp(0, 1), (length - 1).clamp(0, 1)
    loose = 0.006 + 0.5 * people.cut
    thigh_end = (0.087 - 0.032 * upper) * build + torch.where(length <= 1, loose + 0.006, loose)
    shin_end = (0.055 - 0.018 * lower) * build + 0.008 + people.cut
    return {
        "thigh": Cone(hip, knee, (0.083 * build, 0.054 * build), front, worn=~(trousers & (length > 1))),
        "shin": Cone(knee, ankle, (0.054 * build, 0.036 * build), front),
        "foot": Cone(toe(-0.022, 0.04), toe(0.125, 0.052), (0.04, 0.029), up, (0.85, 1.0)),
        "trouser": Cone(
            hip, hip + upper[:, None] * (knee - hip), (0.085 * build, thigh_end), front, open_end=length <= 1,
            worn=trousers,
        ),
        "trouser end": Cone(
            knee, knee + lower[:, None] * (ankle - knee), (0.055 * build + loose, shin_end), front, open_end=True,
            worn=trousers & (length > 1),
        ),
        "boot": Cone(
            ankle, ankle + people.boot[:, None] * (knee - ankle), (0.043, 0.046 + 0.014 * people.boot), front,
            open_end=True, worn=people.boot > 0,
        ),
    }  # fmt: skip


def cones(people: People, bones: Skeleton) -> dict[str, Cone]:
    """All primitives, by name."""
    found = _head(people, bones) | _torso(people, bones)
    # A dress fits over any bottom: if its shape depended on what is underneath, swapping bottoms would change tops.
    found["tail hips"], found["tail"] = _skirt(people, bones, -people.hem / THIGH, 0.022, people.hem < -0.1)
    found["skirt hips"], found["skirt"] = _skirt(people, bones, people.bottom_length, 0.01, people.skirt)
    for side, name in enumerate(SIDES):
        limbs = _arm(people, bones, side) | _leg(people, bones, side)
        found |= {f"{name} {limb}": cone for limb, cone in limbs.items()}
    return found


def dress(people: People, bones: Skeleton) -> Shapes:
    """Stack all primitives of b people into tensors that the renderer can gather from."""
    by_name = cones(people, bones)
    parts = [by_name[name] for name in PRIMITIVES]
    s = bones.scale[:, None]

    def column(values: list) -> Tensor:
        return torch.stack([torch.as_tensor(v, device=s.device).expand(len(people)) for v in values], 1)

    def both(first: list, second: list) -> Tensor:
        return torch.stack([column(first), column(second)], -1)

    start, end, front = (torch.stack([getattr(c, k) for c in parts], 1) for k in ("start", "end", "front"))
    radius = both([c.radius[0] for c in parts], [c.radius[1] for c in parts]) * s[..., None]
    length = _norm(end - start).clamp_min(1e-4)
    cut = both([c.open_start for c in parts], [c.open_end for c in parts])
    y = (end - start) / length[..., None]
    z = front - _dot(front, y)[..., None] * y
    z = z / _norm(z).clamp_min(1e-6)[..., None]
    axes = torch.stack([_cross(y, z), y, z], 2)
    flat = s.new_tensor([(c.flat[0], 1.0, c.flat[1]) for c in parts])
    chart, chart_centre = axes.clone(), start.clone()
    for name, frame, origin in (("torso skirt", bones.torso, bones.hips), ("head", bones.head, bones.skull)):
        of_it = torch.tensor([c.chart in name for c in parts], device=s.device)
        chart = torch.where(of_it[:, None, None], frame[:, None], chart)
        chart_centre = torch.where(of_it[:, None], origin[:, None], chart_centre)
    scale_of = {"own": 0.0, "torso": TORSO_RADIUS, "skirt": SKIRT_RADIUS, "head": HEAD_RADIUS}
    around = s.new_tensor([scale_of[c.chart] for c in parts])
    own = (radius[..., 0] + radius[..., 1]) / 2 / s
    return Shapes(
        local=axes * flat[..., None], centre=start, length=length, radius=radius,
        open=cut,
        worn=column([c.worn for c in parts]), reach=radius / flat.amin(-1)[:, None],
        chart=chart / s[..., None, None], chart_centre=chart_centre,
        around=torch.where(around > 0, around, own),
    )  # fmt: skip
