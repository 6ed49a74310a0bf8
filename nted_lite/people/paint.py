"""The part and the unshaded colour of each point of a body's surface.

Both depend only on the primitive and the surface coordinates. Two pictures of one person therefore agree on every point
that both show: the correspondences are exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nted_lite.people.shapes import HEAD_RADIUS, PRIMITIVES, SKIRT_RADIUS, TORSO_RADIUS
from nted_lite.people.wardrobe import HAIR, NECKLINES, PATTERNS, People

PARTS = ("background", "hair", "face", "arms", "top", "bottom", "legs", "shoes")
BACKGROUND, HAIR_PART, FACE, ARMS, TOP, BOTTOM, LEGS, SHOES = range(len(PARTS))

_PART = {
    "head": FACE, "nose": FACE, "ear": FACE, "neck": FACE, "cap": HAIR_PART, "locks": HAIR_PART, "bun": HAIR_PART,
    "arm": ARMS, "forearm": ARMS, "hand": ARMS, "thumb": ARMS, "chest": TOP, "belly": TOP, "yoke": TOP, "hip": TOP,
    "sleeve": TOP, "cuff": TOP, "tail": TOP, "tail hips": TOP, "skirt": BOTTOM,
    "skirt hips": BOTTOM, "trouser": BOTTOM, "end": BOTTOM,
    "thigh": LEGS, "shin": LEGS, "foot": SHOES, "boot": SHOES,
}  # fmt: skip
PART_OF = tuple(_PART.get(name) or _PART[name.split()[-1]] for name in PRIMITIVES)
_SLEEVES = tuple(i for i, name in enumerate(PRIMITIVES) if name.split()[-1] in ("sleeve", "cuff"))
_FEET = tuple(i for i, name in enumerate(PRIMITIVES) if name.endswith("foot"))


def _is(primitive: Tensor, *names: str) -> Tensor:
    first, last = PRIMITIVES.index(names[0]), PRIMITIVES.index(names[-1])
    return (primitive >= first) & (primitive <= last)


def _among(primitive: Tensor, ids: tuple[int, ...]) -> Tensor:
    table = torch.zeros(len(PRIMITIVES), dtype=torch.bool, device=primitive.device)
    table[list(ids)] = True
    return table[primitive]


def _neckline(people: People, who: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Where the torso is bare: above a round or V-shaped line that is lowest in front."""
    angle = u.abs() / TORSO_RADIUS
    kind = people.neckline[who]
    low = torch.where(
        kind == NECKLINES.index("v"),
        0.53 - 0.19 * (1 - angle / 0.95).clamp_min(0),
        0.53 - 0.075 * (1 - angle * angle / 1.2).clamp_min(0),
    )
    return (v > low) & (kind != NECKLINES.index("roll"))


def _hairline(people: People, who: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Where hair grows on the skull: above the forehead, down to the neck behind the ears."""
    angle = u.abs() / HEAD_RADIUS
    fringe = 0.074 - 0.02 * (u / HEAD_RADIUS).clamp(-0.3, 0.7)  # swept to one side
    line = fringe - 0.05 * ((angle - 0.75) / 0.45).clamp(0, 1) - 0.09 * ((angle - 1.75) / 0.3).clamp(0, 1)
    return (v > line) & (people.hair_style[who] != HAIR.index("bald"))


def _parts(people: People, who: Tensor, primitive: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The part of each point, n int64, index into PARTS."""
    part = torch.tensor(PART_OF, device=v.device)[primitive]
    trunk = _is(primitive, "right yoke", "left hip")
    part = torch.where(trunk & (v < people.hem[who]), BOTTOM, part)
    part = torch.where(trunk & _neckline(people, who, u, v), FACE, part)
    rolled = _is(primitive, "neck") & (people.neckline[who] == NECKLINES.index("roll")) & (v < 0.55)
    part = torch.where(rolled, TOP, part)
    return torch.where(_is(primitive, "head") & _hairline(people, who, u, v), HAIR_PART, part)


def _second(pattern: Tensor, period: Tensor, primitive: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """How much of the garment's second colour there is at each point, 0..1."""
    torso = _is(primitive, "right yoke", "tail")
    # Around the trunk, a pattern repeats a whole number of times, so that it joins up at the back.
    circle = 2 * torch.pi * torch.where(_is(primitive, "tail hips", "skirt"), SKIRT_RADIUS, TORSO_RADIUS)
    whole = circle / (circle / period).round()
    across = u / torch.where(_is(primitive, "right yoke", "skirt"), whole, period)
    along = v / period
    rows = ((along - along.floor()) < 0.5).float()
    columns = ((across + 0.25) - (across + 0.25).floor() < 0.5).float()
    du, dv = across - across.floor() - 0.5, along - along.floor() - 0.5
    dots = (du * du + dv * dv < 0.1).float()
    block = torch.where(torso, v > 0.3, _among(primitive, _SLEEVES)).float()
    logo = (torso & (u * u + (v - 0.34) * (v - 0.34) < 0.0042)).float()
    lapel = torso & (u.abs() < 0.022 + 0.35 * (v - 0.2).clamp_min(0))
    patterns = [torch.zeros_like(u), rows, columns, (rows + columns) / 2, dots, block, logo, lapel.float()]
    assert len(patterns) == len(PATTERNS)
    return torch.stack(patterns, 1).gather(1, pattern[:, None])[:, 0]


def _ellipse(u: Tensor, v: Tensor, x: float, y: float, rx: float, ry: float) -> Tensor:
    """Whether points lie in an ellipse that appears on both sides of the face."""
    a, b = (u.abs() - x) / rx, (v - y) / ry
    return a * a + b * b < 1


def _face(people: People, who: Tensor, skin: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The colour of the face, n 3: skin with brows, eyes, mouth and a little red on the cheeks."""
    brow = _ellipse(u, v, 0.035, 0.046, 0.021, 0.006)
    lash = _ellipse(u, v, 0.034, 0.0175, 0.021, 0.0105)
    white = _ellipse(u, v, 0.034, 0.0145, 0.0195, 0.0115)
    iris = _ellipse(u, v, 0.033, 0.0155, 0.0115, 0.012)
    mouth = _ellipse(u, v - 7 * u * u, 0.0, -0.063, 0.027, 0.009)
    cheek = _ellipse(u, v, 0.043, -0.025, 0.02, 0.018)
    red = skin.new_tensor([0.72, 0.22, 0.24])
    face = torch.where(cheek[:, None], 0.9 * skin + 0.1 * red, skin)
    face = torch.where(mouth[:, None], 0.4 * skin + 0.6 * red, face)
    face = torch.where(lash[:, None], 0.25 * skin, face)
    face = torch.where(white[:, None], 0.93, face)
    face = torch.where(iris[:, None], 0.55 * people.eyes[who], face)
    return torch.where(brow[:, None], 0.35 * skin + 0.4 * people.hair[who, 0], face)


def paint(people: People, who: Tensor, primitive: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Part and unshaded colour of points on the surface.

    who        n int64   which person each point belongs to
    primitive  n int64   index into PRIMITIVES
    u, v       n float   surface coordinates, metres on a body of average stature
    returns    n int64   index into PARTS
               n 3       colour, 0..1
    """
    part = _parts(people, who, primitive, u, v)
    top, bottom = part == TOP, part == BOTTOM
    pattern = torch.where(top, people.top_pattern[who], people.bottom_pattern[who] * bottom)
    period = torch.where(top, people.top_period[who], people.bottom_period[who])
    busy = pattern.nonzero()[:, 0]  # most points are plain: skip them
    amount = torch.zeros_like(u)
    amount[busy] = _second(*(x[busy] for x in (pattern, period, primitive, u, v)))
    amount = torch.where(_among(primitive, _FEET), (u.abs() > 0.072).float(), amount)
    beanie = _is(primitive, "cap") & (people.hair_style[who] == HAIR.index("beanie"))
    strand = (part == HAIR_PART) & (u / 0.026 - (u / 0.026).floor() < 0.4) & ~beanie
    amount = torch.where(beanie, 1.0, amount)[:, None]
    skin = torch.stack([people.skin, people.skin], 1)
    table = torch.stack([skin, people.hair, skin, skin, people.top, people.bottom, skin, people.shoes], 1)
    pair = table[who, part]
    colour = pair[:, 0] * (1 - amount) + pair[:, 1] * amount
    colour = torch.where(strand[:, None], 0.86 * colour, colour)
    front = (_is(primitive, "head") & (part == FACE)).nonzero()[:, 0]
    colour[front] = _face(people, who[front], colour[front], u[front], v[front])
    return part, colour
