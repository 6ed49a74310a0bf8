"""Which primitive does each ray of a picture hit first, and at what depth?

Testing every ray against every cone would be 99 % misses. So the picture is divided into tiles of 8 x 8 rays; only the
(person, primitive, tile) triples whose outlines touch are intersected, all in one flat batch, and a scatter with `amin`
keeps the nearest hit of each ray. Depth and primitive are packed into one integer, with the depth in the upper bits.

Rays are computed with + - * / and square roots only: these are exactly rounded, so the result for a ray does not depend
on its batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nted_lite.people.shapes import Shapes

TILE = 8
NEAR, FAR = -2.5, 2.5  # metres behind the plane that the camera looks at
LEVELS = 2**24
PRIMITIVE_BITS = 6
NOTHING = 2**31 - 1


@dataclass(frozen=True)
class Rays:
    """A grid of parallel rays for each of b people, row by row from the upper left."""

    rows: int
    columns: int
    step: Tensor  # b  metres between rays

    def x(self, column: Tensor) -> Tensor:
        return column - (self.columns - 1) / 2

    def y(self, row: Tensor) -> Tensor:
        return (self.rows - 1) / 2 - row


def pack(depth: Tensor, primitive: Tensor) -> Tensor:
    """Pack depth (metres) and primitive into one int32 that sorts by depth; NOTHING if outside NEAR..FAR."""
    level = ((depth - NEAR) * (LEVELS / (FAR - NEAR))).floor()
    code = (level.clamp(0, LEVELS - 1).int() << PRIMITIVE_BITS) + primitive
    return torch.where((level >= 0) & (level < LEVELS), code, NOTHING)


def unpack(code: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `pack`: depth in metres, and primitive (int64)."""
    level = code >> PRIMITIVE_BITS
    return (level.float() + 0.5) * ((FAR - NEAR) / LEVELS) + NEAR, (code & (2**PRIMITIVE_BITS - 1)).long()


def _touching(shapes: Shapes, rays: Rays) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The triples that may intersect: person, primitive, tile row and tile column, t each.

    A tile and the outline of a cone are disjoint if a line parallel to x, to y or to the cone's axis separates them.
    """
    device, step = shapes.length.device, rays.step[:, None]
    half, reach = step * (TILE / 2), shapes.reach
    x = rays.x(torch.arange(0, rays.columns, TILE, device=device) + (TILE - 1) / 2) * step
    y = rays.y(torch.arange(0, rays.rows, TILE, device=device) + (TILE - 1) / 2) * step
    start = shapes.centre[..., :2]
    along = shapes.local[..., 1, :2] * shapes.length[..., None]

    def overlap(tiles: Tensor, axis: int) -> Tensor:
        ends = torch.stack([start[..., axis], start[..., axis] + along[..., axis]], -1)
        low, high = (ends - reach).amin(-1) - half, (ends + reach).amax(-1) + half
        return (tiles[:, None] > low[..., None]) & (tiles[:, None] < high[..., None])

    nx, ny = along[..., 1], -along[..., 0]
    size = (nx * nx + ny * ny).sqrt().clamp_min(1e-6)
    nx, ny = nx / size, ny / size
    offset = nx * start[..., 0] + ny * start[..., 1]
    limit = reach.amax(-1) + half * (nx.abs() + ny.abs())
    across = (nx[..., None] * x[:, None] - offset[..., None])[:, :, None] + (ny[..., None] * y[:, None])[..., None]
    near = across.abs() < limit[..., None, None]
    near &= (overlap(y, 1) & shapes.worn[..., None])[..., None] & overlap(x, 0)[:, :, None]
    return near.nonzero(as_tuple=True)


def slope(length: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Sine and cosine of the angle between a cone's flank and its axis."""
    sine = ((radius[..., 0] - radius[..., 1]) / length).clamp(-0.999, 0.999)
    return sine, (1 - sine * sine).sqrt()


def _intersect(o: tuple, d: tuple, length: Tensor, radius: Tensor, cut: Tensor) -> Tensor:
    """The depth at which rays o + depth d enter rounded cones.

    o, d     three tensors each: origins t i j and directions t 1 1 in local coordinates (d need not have length 1)
    length   t       of the cone's axis
    radius   t 2     at both ends
    cut      t 2     bool: the end is cut straight, without a sphere
    returns  t i j   infinite for a miss
    """
    sine, cosine = (x[:, None, None] for x in slope(length, radius))
    (r0, r1), (cut0, cut1) = (x[:, :, None, None].unbind(1) for x in (radius, cut))
    length = length[:, None, None]
    dd, od, oo = d[0] * d[0] + d[2] * d[2], o[0] * d[0] + o[2] * d[2], o[0] * o[0] + o[2] * o[2]
    # The flank is where distance-from-axis * cosine = r0 - y * sine; squared, a quadratic in the depth t.
    cc, flank = cosine * cosine, r0 - sine * o[1]
    b = cc * od + sine * d[1] * flank
    c = cc * oo - flank * flank
    a = cc * dd - sine * sine * d[1] * d[1]
    square = b * b - a * c
    t = c / (square.clamp_min(0).sqrt() - b)  # = (-b - root) / a, but accurate for rays almost parallel to a flank, too
    y = o[1] + t * d[1]
    low = torch.where(cut0, 0.0, sine * r0)
    high = length + torch.where(cut1, 0.0, sine * r1)
    # Beyond the flank lies one of the spheres: the first one below, the second one above. A cut end has none.
    # A ray towards the thick end that is steeper than the flank can only hit the thick sphere.
    blunt = (a < 0) & (sine * d[1] > 0)
    below = torch.where(blunt, d[1] > 0, y < low)
    r = torch.where(below, torch.where(cut0, -1.0, r0), torch.where(cut1, -1.0, r1))
    up = torch.where(below, o[1], o[1] - length)
    b, a = od + up * d[1], dd + d[1] * d[1]
    rest = b * b - a * (oo + up * up - r * r)
    sphere = torch.where((rest >= 0) & (r > 0), (-b - rest.clamp_min(0).sqrt()) / a, torch.inf)
    t = torch.where(below | (y > high) | blunt, sphere, t)
    return torch.where((square >= 0) | blunt, t, torch.inf)


def trace(shapes: Shapes, rays: Rays) -> Tensor:
    """The nearest hit of every ray: packed depth and primitive (see `unpack`). -> b rows columns, int32"""
    device, b = shapes.length.device, len(shapes)
    who, primitive, tile_row, tile_column = _touching(shapes, rays)
    offsets = torch.arange(TILE, device=device)
    row, column = tile_row[:, None] * TILE + offsets, tile_column[:, None] * TILE + offsets
    step = rays.step[who, None]
    centre, local = shapes.centre[who, primitive], shapes.local[who, primitive]
    x, y = rays.x(column) * step - centre[:, :1], rays.y(row) * step - centre[:, 1:2]
    o, d = [], []
    for axis in local.unbind(1):
        from_x = axis[:, :1] * x - axis[:, 2:] * centre[:, 2:]
        o.append(from_x[:, None] + (axis[:, 1:2] * y)[:, :, None])
        d.append(-axis[:, 2, None, None])  # the rays run along -z
    depth = _intersect(o, d, shapes.length[who, primitive], shapes.radius[who, primitive], shapes.open[who, primitive])
    padded = -(-rays.columns // TILE) * TILE
    place = (who[:, None, None] * rays.rows + row[:, :, None]) * padded + column[:, None]
    code = pack(depth, primitive[:, None, None].int())
    canvas = torch.full((b * rays.rows * padded,), NOTHING, dtype=torch.int32, device=device)
    canvas = canvas.scatter_reduce(0, place.flatten(), code.flatten(), "amin")
    return canvas.reshape(b, rays.rows, padded)[:, :, : rays.columns]
