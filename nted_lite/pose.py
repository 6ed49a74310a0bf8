"""The pose input: 18 key points become a map with 20 channels, drawn for a whole batch at once.

    channels 0-2    a coloured stick figure: a disc for each joint, a translucent ellipse for each limb
    channels 3-19   one per limb: the city-block distance of every pixel to that limb's ellipse

At 256 rows and above, the map equals, pixel for pixel, what OpenCV's `ellipse2Poly`, `fillConvexPoly`, `circle` and
`distanceTransform` draw one limb at a time: the input that the published NTED models (2204.06160) were trained on.
(One exception: where a limb leaves the frame, OpenCV may draw the last pixels before the border one column or row off.)
Below 256 rows, lines get thinner and each pixel of distance counts for more, in proportion, so that a small map means
the same as a large one.

What makes it fast: a filled ellipse is one span of pixels in each row. So a limb is two numbers per row, one scatter
over the outline yields them, and the distance to the limb *within* a row needs no search.
"""

from itertools import pairwise

import torch
from einops import rearrange, reduce
from torch import Tensor

JOINTS = (
    "nose", "neck",
    "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip
"""The 18 key points of OpenPose in COCO-18 order; right and left are the person's own."""

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7),
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""The 17 limbs as pairs of joints, in the order of drawing and of their channels."""

COLOURS = (
    (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (0, 255, 170), (0, 255, 85),
    (0, 255, 0), (85, 255, 0), (170, 255, 0), (255, 255, 0), (255, 170, 0), (255, 85, 0),
    (255, 0, 0), (255, 0, 85), (255, 0, 170), (255, 0, 255), (170, 0, 255), (85, 0, 255),
)  # fmt: skip
"""Values of channels 0, 1, 2 for joint i and limb i, 0..255: OpenPose's list, red to violet, but in the order BGR."""

MISSING = -1.0
"""x and y of a joint that is missing, in key points that carry no `visible`"""
FAR = 8192  # "the limb has no pixel in this row": larger than any distance in the frame, and small enough for int16


@torch.no_grad()
def pose_map(
    keypoints: Tensor, visible: Tensor | None = None, height: int = 256, width: int | None = None, fine: bool = False
) -> Tensor:
    """Draw key points as the 20-channel pose map.

    keypoints  ... 18 2   (x, y) in pixels of the height x width frame; a joint may lie outside the frame
    visible    ... 18     bool, False for a missing joint; None: a joint is missing if x or y is exactly -1
    height     rows of the map
    width      columns of the map; None: height * 11 // 16
    fine       whether channels 3-19 are `limb_nearness` instead of the published distances (a departure from the paper)
    returns    ... 20 height width   float32, 0..1, on the device of the key points

    Channels 0-2: the stick figure on black. Channels 3-19: city-block distance to limb l in pixels of the map (below
    256 rows, in pixels of a 256-row map), divided by 3, truncated, capped at 255, divided by 255: 0 on the limb, 1 far
    away. A limb with a missing joint, or without a pixel in the frame, is 1 everywhere; a person without any joint is
    an empty figure and 17 channels of 1.

    The published pose input of NTED (2204.06160). Raises ValueError for a wrong shape or type, and for coordinates that
    are NaN or beyond 10,000 pixels.
    """
    width = height * 11 // 16 if width is None else width
    if keypoints.ndim == 2:
        return pose_map(keypoints[None], None if visible is None else visible[None], height, width, fine)[0]
    if keypoints.ndim > 3:
        shown = None if visible is None else visible.flatten(0, -2)
        return pose_map(keypoints.flatten(0, -3), shown, height, width, fine).unflatten(0, keypoints.shape[:-2])
    visible = check(keypoints, visible, height, width)
    pose = keypoints.new_empty(len(keypoints), 3 + len(LIMBS), height, width, dtype=torch.float32)
    people = max(1, len(pose) if pose.is_cuda else 4_000_000 // pose.stride(0))  # as many as fit a CPU's cache
    for portion in zip(keypoints.split(people), visible.split(people), pose.split(people)):
        draw(*portion, fine)
    return pose


def draw(keypoints: Tensor, visible: Tensor, pose: Tensor, fine: bool) -> None:
    """Draw the map of keypoints, b 18 2, and visible, b 18, into pose, b 20 h w, in place; see `pose_map`."""
    height, width = pose.shape[2:]
    scale = min(1.0, height / 256)
    radius = max(1, int(4 * scale))
    left, right = limb_spans(keypoints, visible, radius, height, width)
    discs = joint_discs(keypoints, visible, radius, height, width)
    pose[:, :3] = stick_figure(discs, left, right)
    if fine:
        pose[:, :3].div_(255)
        pose[:, 3:] = limb_nearness(keypoints, visible, height, width)
        return
    pose[:, 3:] = city_block(left, right, width)
    pose[:, 3:].div_(3 * scale).floor_().clamp_(max=255)
    pose.div_(255)


def limb_nearness(keypoints: Tensor, visible: Tensor, height: int, width: int) -> Tensor:
    """How near each pixel is to each limb: `exp(-d / s)` with the exact distance d to the segment between its joints.

    keypoints  b 18 2   (x, y) in pixels; fractions matter
    visible    b 18     bool
    returns    b 17 height width   0..1, 1 on the limb; 0 everywhere for a limb with a missing joint

    s is 2 pixels in a 64-row map, 4 in a 128-row one. From the published channels, where key points are rounded to
    pixels and a pixel of distance changes the value by 0.005, a small network can hardly tell where a limb is.
    """
    start, end = torch.tensor(LIMBS, device=keypoints.device).T
    a, b = (keypoints[:, joint].float() for joint in (start, end))
    along = b - a
    along = along / along.square().sum(-1, keepdim=True).clamp_min(1e-6)  # its product with b - a is 1
    x = torch.arange(width, device=a.device)
    y = torch.arange(height, device=a.device)
    dx, dy = x - a[..., :1], y - a[..., 1:]  # b l w and b l h: pixel minus the limb's first joint
    t = ((along[..., :1] * dx)[..., None, :] + (along[..., 1:] * dy)[..., None]).clamp_(0, 1)
    (step_x, step_y), scale = (b - a)[..., None].unbind(-2), height / 32
    distance = (dx[..., None, :] - step_x[..., None] * t).square_()
    distance += (dy[..., None] - step_y[..., None] * t).square_()
    near = distance.sqrt_().div_(-scale).exp_()
    return near * (visible[:, start] & visible[:, end])[..., None, None]


def stick_figures(pose: Tensor) -> Tensor:
    """The stick figures of pose maps, in OpenPose's colours on white. b 20 h w -> b 3 h w in -1..1"""
    figure = pose[:, :3].flip(1)  # the map's channels are B, G, R
    drawn = reduce(figure, "b c h w -> b 1 h w", "max")
    return torch.where(drawn > 0, figure, 1.0) * 2 - 1


def check(keypoints: Tensor, visible: Tensor | None, height: int, width: int) -> Tensor:
    """Check the input of `pose_map`. -> the joints that are present, b 18 bool; ValueError for any bad input"""
    there = present(keypoints)
    if not (keypoints.abs() <= 10_000).all():
        raise ValueError("keypoints must be numbers within 10,000 pixels of the frame; one is NaN, infinite or beyond")
    if min(height, width) < 1:
        raise ValueError(f"the map needs at least one row and one column, not {height} x {width}")
    if visible is None:
        return there
    if visible.shape != keypoints.shape[:2] or visible.dtype != torch.bool:
        raise ValueError(f"visible must be bool of shape b 18, not {visible.dtype} {tuple(visible.shape)}")
    return visible


def present(keypoints: Tensor) -> Tensor:
    """Which joints are present: neither x nor y is exactly -1. b 18 2 -> b 18 bool

    Raises ValueError for another shape or type.
    """
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(JOINTS), 2) or not keypoints.is_floating_point():
        raise ValueError(f"keypoints must be floats of shape b 18 2, not {keypoints.dtype} {tuple(keypoints.shape)}")
    return (keypoints != MISSING).all(-1)


def mark_missing(keypoints: Tensor, missing: Tensor) -> Tensor:
    """Set missing joints to -1, after arithmetic, and see that no other joint has a -1, which would lose it.

    keypoints  ... c   x, y and perhaps a confidence
    missing    ... 1   bool
    returns    ... c   a coordinate of exactly -1 in a joint that is not missing moves by a thousandth of a pixel
    """
    return torch.where(missing, MISSING, torch.where(keypoints == MISSING, MISSING + 0.001, keypoints))


def limb_spans(keypoints: Tensor, visible: Tensor, radius: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The first and last column of each limb's filled ellipse in each row.

    keypoints  b 18 2;  visible  b 18 bool;  radius  half-width of a limb in pixels
    returns    b 17 height, twice, int16; (FAR, -FAR) in rows where the limb has no pixel

    In each row, the smallest column of the outline is the left end and the largest is the right end.
    """
    x, y = ellipse_outline(keypoints, radius, step=max(1, min(4, 256 // height)))
    gap_limb, gap_x, gap_y = edge_pixels(x, y, height)
    limb = torch.arange(len(x), device=x.device)[:, None]
    row = [limb * (height + 2) + y.clamp_(-1, height), gap_limb * (height + 2) + gap_y.clamp_(-1, height)]
    row = torch.cat([part.flatten() for part in row]).add_(1)  # each limb has a spare row above and below the frame
    x = torch.cat([x.flatten(), gap_x]).clamp_(-1, width).short()

    blank = x.new_full((limb.numel() * (height + 2),), FAR)
    left, right = blank.scatter_reduce(0, row, x, "amin"), (-blank).scatter_reduce(0, row, x, "amax")
    left, right = (rearrange(end, "(b l h) -> b l h", l=len(LIMBS), h=height + 2)[..., 1:-1] for end in (left, right))
    start, end = torch.tensor(LIMBS, device=x.device).T
    drawn = (visible[:, start] & visible[:, end])[..., None] & (left < width) & (right >= 0)
    return torch.where(drawn, left, FAR), torch.where(drawn, right, -FAR)


def ellipse_outline(keypoints: Tensor, radius: int, step: int = 1) -> tuple[Tensor, Tensor]:
    """The vertices of each limb's ellipse, one every `step` degrees, rounded as OpenCV's `ellipse2Poly` does.

    keypoints  b 18 2  ->  x and y of the vertices, (b l) 360/step each, int64

    Centre, semi-axes and angle are truncated to whole pixels and degrees first. The rest is in double precision,
    because a vertex halfway between two pixels must round as in OpenCV: to even.
    """
    device = keypoints.device
    exact = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no double
    joints = keypoints.to(exact)[:, torch.tensor(LIMBS, device=device)]
    first, second = rearrange(joints, "b l end xy -> end (b l) xy")
    centre = ((first + second) / 2).trunc()
    along = first - second  # the sign matters: the truncation of the angle depends on it
    half_length = (along.norm(dim=-1) / 2).trunc()
    angle = torch.atan2(along[:, 1], along[:, 0]).rad2deg().long() % 360

    sine = torch.arange(360, dtype=torch.float64).deg2rad().sin()
    sine = (sine * 1e7).round().div(1e7).float().to(device, exact)  # OpenCV's table: 7 decimals, single precision
    cosine = sine.roll(-90)
    unit = torch.stack([torch.ones_like(sine), cosine, radius * sine])[:, ::step]
    x = torch.stack([centre[:, 0], half_length * cosine[angle], -sine[angle]], dim=1) @ unit
    y = torch.stack([centre[:, 1], half_length * sine[angle], cosine[angle]], dim=1) @ unit
    return x.round_().long(), y.round_().long()


def edge_pixels(x: Tensor, y: Tensor, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels between neighbouring vertices that do not touch: Bresenham lines, ties broken as in OpenCV.

    x, y     n v   vertices of n ellipses
    returns  the ellipse, x and y of each pixel, all of the same length, int64

    Neighbours touch unless the ellipse is long, so this is often empty: from one vertex to the next, x and y change by
    at most pi / v of the long axis, plus less than 1 from rounding.
    """
    vertices = x.shape[1]
    x_extent, y_extent = ((axis[:, 0] - axis[:, vertices // 2]).abs() for axis in (x, y))
    limb = (x_extent.maximum(y_extent) > vertices // 4).nonzero()[:, 0]
    x0, y0 = x[limb], y[limb]
    dx, dy = x0.roll(-1, 1) - x0, y0.roll(-1, 1) - y0
    steps = dx.abs().maximum(dy.abs())
    keep = (steps > 1) & (y0.maximum(y0 + dy) >= 0) & (y0.minimum(y0 + dy) < height)
    edges = torch.stack([limb[:, None].expand_as(x0), x0, y0, dx, dy, steps])[:, keep]
    between = edges[5] - 1
    first = (between.cumsum(0) - between).repeat_interleave(between)
    limb, x0, y0, dx, dy, steps = edges.repeat_interleave(between, dim=1)
    k = torch.arange(len(first), device=x.device) - first + 1
    left = x0 + (2 * k * dx + steps - 1) // (2 * steps)  # in a tie between two columns, the line takes the left one,
    right = x0 + (2 * k * dx + steps) // (2 * steps)  # the fill the right one
    y = y0 + (2 * k * dy + steps - (dx * dy > 0).long()) // (2 * steps)  # in a tie between two rows, the left end's
    return torch.cat([limb, limb]), torch.cat([left, right]), torch.cat([y, y])


def city_block(left: Tensor, right: Tensor, width: int) -> Tensor:
    """The exact city-block distance |dx| + |dy| from every pixel to a shape given by one span of columns per row.

    left, right  b l h    first and last column of the shape in each row, int16; (FAR, -FAR) for none
    returns      b l h w  distance in pixels, int16; 0 inside, FAR - width or more if the shape is empty

    The distance is separable. Along a row, it is the distance to the span. Across rows, it is the minimum over y' of
    within[y'] + |y - y'|: a cumulative minimum of within - y down the rows, then one of within + y up the rows. (A loop
    over rows, because torch.cummin also returns indices and is ten times slower on a CPU.)
    """
    column = torch.arange(width, dtype=left.dtype, device=left.device)
    row = torch.arange(left.shape[2], dtype=left.dtype, device=left.device)[:, None]
    distance = left[..., None] - column
    torch.maximum(distance, column - right[..., None], out=distance).clamp_(min=0)
    down = distance.sub_(row).unbind(2)
    for above, here in pairwise(down):
        torch.minimum(above, here, out=here)
    up = distance.add_(2 * row).unbind(2)[::-1]
    for below, here in pairwise(up):
        torch.minimum(below, here, out=here)
    return distance.sub_(row)


def joint_discs(keypoints: Tensor, visible: Tensor, radius: int, height: int, width: int) -> Tensor:
    """Which joint's disc covers each pixel: 0 for none, else joint + 1; later joints lie on top.

    keypoints  b 18 2;  visible  b 18 bool;  radius  of a disc in pixels
    returns    b height width, int64
    """
    reach = torch.arange(-radius, radius + 1, device=keypoints.device)
    dy, dx = (reach[:, None] ** 2 + reach**2 <= radius**2).nonzero().T - radius
    x, y = (rearrange(keypoints.long(), "b j xy -> xy b j 1") + torch.stack([dx, dy])[:, None, None]).unbind(0)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & visible[..., None]
    pixel = torch.where(inside, y * width + x, height * width)  # one spare pixel takes all that is outside the frame
    joint = torch.arange(1, len(JOINTS) + 1, device=keypoints.device)[:, None].expand_as(pixel)
    canvas = joint.new_zeros(len(keypoints), height * width + 1)
    canvas.scatter_reduce_(1, rearrange(pixel, "b j p -> b (j p)"), rearrange(joint, "b j p -> b (j p)"), "amax")
    return rearrange(canvas[:, :-1], "b (h w) -> b h w", h=height)


def stick_figure(discs: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Blend the limbs over the discs, in order: 0.4 of what is there plus 0.6 of the limb's colour, rounded each time.

    discs        b h w   0 for none, else joint + 1
    left, right  b 17 h  first and last column of each limb in each row; (FAR, -FAR) for none
    returns      b 3 h w 0..255

    The limbs cover few pixels, so the code lists these, limb by limb, and touches nothing else.
    """
    height, width = discs.shape[1:]
    colours = torch.tensor(((0, 0, 0), *COLOURS), dtype=torch.float32, device=discs.device)
    canvas = colours[discs.flatten()]

    left, right = (rearrange(end, "b l h -> l (b h)").long() for end in (left.clamp(min=0), right.clamp(max=width - 1)))
    length = (right - left + 1).clamp_(min=0)
    first = torch.arange(length.shape[1], device=discs.device) * width + left
    before = length.flatten().cumsum(0) - length.flatten()
    pixel = torch.arange(int(length.sum()), device=discs.device)
    pixel = pixel + (first.flatten() - before).repeat_interleave(length.flatten())
    for covered, colour in zip(pixel.split(length.sum(1).tolist()), colours[1:]):
        canvas[covered] = (0.4 * canvas[covered] + 0.6 * colour).round_()
    return rearrange(canvas, "(b h w) c -> b c h w", h=height, w=width)
