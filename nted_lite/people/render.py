"""Render people: find what each ray hits (`trace`), paint it (`paint`), add light and shade, in front of a backdrop."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from nted_lite.people.body import FRAME, Poses, Skeleton, joints, skeleton
from nted_lite.people.chance import Batch
from nted_lite.people.paint import BACKGROUND, paint
from nted_lite.people.shapes import PRIMITIVES, Shapes, dress
from nted_lite.people.trace import NOTHING, Rays, slope, trace, unpack
from nted_lite.people.wardrobe import People

LIGHT = (-0.42, 0.56, 0.71)  # towards the lamp: upper left, in front
SHADOW_STEPS = ((0.035, 0.3), (0.065, 0.25), (0.1, 0.2), (0.14, 0.15), (0.19, 0.1))  # metres towards the lamp, weight
TRUNK = PRIMITIVES.index("chest"), PRIMITIVES.index("left hip")
BEHIND = 0.04  # metres; a key point of the face that lies deeper than this below the visible surface is hidden
CHUNK_RAYS = 2**20  # rays per chunk, which bounds the memory; the pictures do not depend on it


@dataclass(frozen=True)
class View(Batch):
    """b pictures and their ground truth.

    The ground truth of a pixel is that of its median ray by depth, so a pixel belongs to a person if half of it does.
    """

    image: Tensor  # b 3 h w      -1..1
    keypoints: Tensor  # b 18 2   pixels x y, COCO-18 order; integers are pixel centres; may lie outside the picture
    visible: Tensor  # b 18       bool: in the picture and, for joints of the face, not hidden by head or body
    parts: Tensor  # b h w        int64, index into PARTS
    surface: Tensor  # b 2 h w    metres on a body of average stature: around (0 in front) and along; 0 on background
    primitive: Tensor  # b h w    int64, index into PRIMITIVES; -1 on background
    depth: Tensor  # b h w        metres behind the plane that the camera looks at; infinite on background
    albedo: Tensor  # b 3 h w     0..1, the surface's colour before shading; 0 on background


@dataclass(frozen=True)
class Hits:
    """n points where rays hit people."""

    who: Tensor  # n         int64, which person
    primitive: Tensor  # n   int64, index into PRIMITIVES
    point: Tensor  # n 3     in the camera's frame, metres


def _dot(x: Tensor, y: Tensor) -> Tensor:
    a, b, c = (x * y).unbind(-1)  # an explicit sum, because a reduction's order may depend on the batch
    return a + b + c


def _unit(x: Tensor) -> Tensor:
    return x / _dot(x, x).sqrt().clamp_min(1e-9)[..., None]


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.stack([_dot(row, x) for row in matrix.unbind(-2)], -1)


def _angle(x: Tensor, z: Tensor) -> Tensor:
    """atan2(x, z) to within 0.004 radians, by plain arithmetic (`trace` says why)."""
    ax, az = x.abs(), z.abs()
    q = torch.minimum(ax, az) / torch.maximum(ax, az).clamp_min(1e-9)
    angle = q * (1.0584 - 0.273 * q)
    angle = torch.where(ax > az, torch.pi / 2 - angle, angle)
    angle = torch.where(z < 0, torch.pi - angle, angle)
    return torch.where(x < 0, -angle, angle)


def _surface(shapes: Shapes, hits: Hits) -> tuple[Tensor, Tensor]:
    """Surface coordinates u (around) and v (along), n each, in metres; they are fixed to the body and move with it."""
    at = hits.who, hits.primitive
    x, y, z = _apply(shapes.chart[at], hits.point - shapes.chart_centre[at]).unbind(-1)
    return _angle(x, z) * shapes.around[at], y


def _normals(shapes: Shapes, hits: Hits) -> Tensor:
    """Unit normals in the camera's frame, n 3."""
    at = hits.who, hits.primitive
    matrix, length, radius = shapes.local[at], shapes.length[at], shapes.radius[at]
    x, y, z = _apply(matrix, hits.point - shapes.centre[at]).unbind(-1)
    sine, cosine = slope(length, radius)
    flank = cosine / (x * x + z * z).sqrt().clamp_min(1e-6)
    below, above = y < sine * radius[:, 0], y > length + sine * radius[:, 1]
    cap = below | above
    k = torch.where(cap, 1.0, flank)
    ny = torch.where(below, y, torch.where(above, y - length, sine))
    normal = _unit(_apply(matrix.transpose(-1, -2), torch.stack([k * x, ny, k * z], -1)))
    return _without_seams(shapes, hits, normal)


def _without_seams(shapes: Shapes, hits: Hits, normal: Tensor) -> Tensor:
    """The trunk consists of several cones; bending their normals towards those of one column hides where they meet."""
    trunk = ((hits.primitive >= TRUNK[0]) & (hits.primitive <= TRUNK[1])).nonzero()[:, 0]
    at = hits.who[trunk], hits.primitive[trunk]
    chart = shapes.chart[at]
    x, height, z = _apply(chart, hits.point[trunk] - shapes.chart_centre[at]).unbind(-1)
    column = _unit(x[:, None] * chart[:, 0] + 1.5 * z[:, None] * chart[:, 2])
    lean = 1.4 * ((0.44 - height) / 0.18).clamp(0, 1)  # 0 at the shoulders, which are round
    normal[trunk] = _unit(normal[trunk] + lean[:, None] * column)
    return normal


def _light(normal: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness (a factor, n) and highlight (to be added, n) of surfaces with these normals, n 3."""
    lamp = normal.new_tensor(LIGHT)
    facing = _dot(normal, lamp)
    soft = (0.5 + 0.5 * facing).clamp_min(0)  # half-Lambert: a large, soft lamp reaches around corners
    rim = normal[:, 2].clamp(0, 1)
    bright = (0.52 + 0.6 * soft * soft) * (0.8 + 0.2 * (2 * rim).clamp_max(1))
    half = lamp + lamp.new_tensor([0.0, 0.0, 1.0])
    shine = _dot(normal, half / _dot(half, half).sqrt()).clamp_min(0)
    for _ in range(4):
        shine = shine * shine
    return bright, 0.07 * shine


def _shadow(hits: Hits, codes: Tensor, rays: Rays) -> Tensor:
    """How much of the lamp's light each hit loses to other parts of the picture, n, 0..1.

    It walks from the hit towards the lamp; where the picture shows something in front of that path, light is blocked.
    """
    lamp, step, hidden = hits.point.new_tensor(LIGHT), rays.step[hits.who], 0.0
    for metres, weight in SHADOW_STEPS:
        x, y, z = (hits.point + metres * lamp).unbind(-1)
        column = (x / step + (rays.columns - 1) / 2).round().long().clamp(0, rays.columns - 1)
        row = ((rays.rows - 1) / 2 - y / step).round().long().clamp(0, rays.rows - 1)
        depth, _ = unpack(codes[hits.who, row, column])
        above = -z - depth  # an empty pixel unpacks to FAR, far behind everything
        hidden = hidden + weight * (above / 0.02 - 0.5).clamp(0, 1) * (above < 0.3)
    return hidden


def _shade(people: People, shapes: Shapes, hits: Hits, shadow: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The colour, n 3, and the ground truth of each hit: part n, surface n 2, albedo n 3."""
    u, v = _surface(shapes, hits)
    part, albedo = paint(people, hits.who, hits.primitive, u, v)
    bright, shine = _light(_normals(shapes, hits))
    lit = 1 - 0.4 * shadow
    colour = (albedo * (bright * lit)[:, None] + (shine * lit)[:, None]).clamp(0, 1)
    return colour, part, torch.stack([u, v], -1), albedo


def _studio(people: People, bones: Skeleton, rays: Rays) -> Tensor:
    """The empty studio, b h w 3 in 0..1: a backdrop that darkens downwards and outwards, a soft shadow on the floor."""
    device = rays.step.device
    step = rays.step[:, None, None]
    x = rays.x(torch.arange(rays.columns, device=device)) * step
    y = rays.y(torch.arange(rays.rows, device=device))[:, None] * step
    down = (y - bones.floor[:, 1, None, None]) / 1.8
    light = 1.01 - 0.05 * (1 - down) * (1 - down) - 0.07 * x * x
    shadow = torch.zeros_like(light)
    spots = [(bones.legs[:, 0, 2], 0.17, 0.3), (bones.legs[:, 1, 2], 0.17, 0.3), (bones.floor, 0.36, 0.22)]
    for spot, size, strength in spots:
        dx = (x - spot[:, 0, None, None] - 0.04) / size
        dy = (y - bones.floor[:, 1, None, None] - 0.09 * (bones.floor - spot)[:, 2, None, None] - 0.01) / (0.22 * size)
        fall = 1 / (1 + dx * dx + dy * dy)
        shadow = shadow + strength * fall * fall
    light = light * (1 - shadow)
    return (people.backdrop[:, None, None] * light[..., None]).clamp(0, 1)


def _keypoints(bones: Skeleton, rays: Rays, depth: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel positions, b 18 2, and visibility, b 18 bool, of the joints. depth  b h w, of the picture"""
    points = joints(bones)
    step = rays.step[:, None]
    x, y = points[..., 0] / step + (rays.columns - 1) / 2, (rays.rows - 1) / 2 - points[..., 1] / step
    column, row = x.round().long(), y.round().long()
    inside = (column >= 0) & (column < rays.columns) & (row >= 0) & (row < rays.rows)
    place = row.clamp(0, rays.rows - 1) * rays.columns + column.clamp(0, rays.columns - 1)
    seen = -points[..., 2] < rearrange(depth, "b h w -> b (h w)").gather(1, place) + BEHIND
    face = torch.tensor([j in (0, 14, 15, 16, 17) for j in range(18)], device=x.device)
    return torch.stack([x, y], -1), inside & (seen | ~face)


def _draw(people: People, poses: Poses, height: int, supersample: int) -> View:
    bones = skeleton(people, poses)
    shapes = dress(people, bones)
    width, n = height * 11 // 16, supersample
    step = FRAME / (poses.zoom * height)
    fine, coarse = Rays(height * n, width * n, step / n), Rays(height, width, step)
    traced = trace(shapes, fine)
    codes = rearrange(traced, "b (h i) (w j) -> b h w (i j)", i=n, j=n)
    hit = codes != NOTHING
    which, row, column, sample = hit.nonzero(as_tuple=True)
    depth, primitive = unpack(codes[which, row, column, sample])
    x = fine.x(column * n + sample % n) * fine.step[which]
    y = fine.y(row * n + sample // n) * fine.step[which]
    hits = Hits(which, primitive, torch.stack([x, y, -depth], -1))
    colour, part, surface, albedo = _shade(people, shapes, hits, _shadow(hits, traced, fine))

    at, truth = (which, row, column), _median(codes)
    picture = _studio(people, bones, coarse) * (1 - _mean(hit.float()))[..., None]
    sums = colour.new_zeros(*codes.shape, 3)
    sums[which, row, column, sample] = colour
    picture = picture + _mean(sums)
    chosen = truth[at] == sample
    at = tuple(a[chosen] for a in at)

    def spread(values: Tensor, empty: float) -> Tensor:
        canvas = values.new_full((*codes.shape[:3], *values.shape[1:]), empty)
        canvas[at] = values[chosen]
        return canvas

    depth_map = spread(depth, torch.inf)
    keypoints, visible = _keypoints(bones, coarse, depth_map)
    return View(
        image=rearrange(picture * 2 - 1, "b h w c -> b c h w").contiguous(), keypoints=keypoints, visible=visible,
        parts=spread(part, BACKGROUND), surface=rearrange(spread(surface, 0.0), "b h w c -> b c h w"),
        primitive=spread(primitive, -1), depth=depth_map, albedo=rearrange(spread(albedo, 0.0), "b h w c -> b c h w"),
    )  # fmt: skip


def _mean(samples: Tensor) -> Tensor:
    """Mean over the fourth axis, the sub-samples, added up in a fixed order."""
    return sum(samples.unbind(3)) / samples.shape[3]


def _median(codes: Tensor) -> Tensor:
    """The sub-sample of each pixel whose hit is the median by depth, b h w; of an even number, the nearer one."""
    return codes.kthvalue((codes.shape[-1] + 1) // 2, dim=-1).indices


@torch.no_grad()
def render(people: People, poses: Poses, height: int = 64, supersample: int = 2) -> View:
    """Render b people in b poses; each picture is the same to the last bit, whatever else is in the batch.

    people       b
    poses        b
    height       rows, a multiple of 16; there are height * 11 / 16 columns
    supersample  rays per pixel in each direction
    returns      View of b, on the device of the people

    Raises ValueError for another height, or if the numbers of people and poses differ.
    """
    if height < 16 or height % 16:
        raise ValueError(f"height must be a positive multiple of 16, not {height}")
    if len(people) != len(poses):
        raise ValueError(f"{len(people)} people cannot take {len(poses)} poses")
    size = max(1, CHUNK_RAYS // (height * height * 11 // 16 * supersample**2))
    parts = [slice(i, i + size) for i in range(0, max(1, len(people)), size)]
    return View.cat([_draw(people[part], poses[part], height, supersample) for part in parts])
