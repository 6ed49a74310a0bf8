"""The pose map equals the published one, pixel for pixel, and a literal OpenCV drawing of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nted_lite import pose as pose_module
from nted_lite.keypoints import to_frame
from nted_lite.pose import COLOURS, JOINTS, LIMBS, city_block, pose_map

GOLDEN = np.load(Path(__file__).parent / "golden" / "skeleton_maps.npz")
KEYPOINTS = torch.tensor(GOLDEN["keypoints"])


def levels(pose):
    """The map in 0..255, whole numbers."""
    scaled = pose * 255
    assert torch.allclose(scaled, scaled.round(), atol=1e-3)
    return scaled.round().to(torch.uint8)


def golden_levels(height):
    maps = torch.tensor(GOLDEN[f"map_{height}"])
    return maps, levels(pose_map(to_frame(KEYPOINTS[: len(maps)], height), height=height))


def random_people(count, height, seed=0, margin=-0.15):
    """Key points that roam over the frame and beyond it (margin < 0), one in eight missing; b 18 2, float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, len(JOINTS), 2)
    points = torch.rand(shape, generator=generator, dtype=torch.float64) * (1 - 2 * margin) + margin
    points = points * torch.tensor([height * 11 // 16, height])
    points[torch.rand(shape[:2], generator=generator) < 1 / 8] = -1
    return points


def drawn_both_ways(points, height):
    reference = pytest.importorskip("benchmarks.pose", exc_type=ImportError)  # needs OpenCV
    drawn = levels(pose_map(points, height=height)).numpy()
    return drawn, np.stack([reference.draw_with_opencv(one, height, height * 11 // 16) for one in points.numpy()])


@pytest.mark.parametrize("height", [256, 512])
def test_golden(height):
    expected, drawn = golden_levels(height)
    assert drawn.shape == expected.shape == (len(expected), 20, height, height * 11 // 16)
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("error", ["limb order", "colours", "offset", "rounded coordinates"])
def test_golden_notices_an_error(error, monkeypatch):
    if error == "limb order":
        monkeypatch.setattr(pose_module, "LIMBS", (LIMBS[1], LIMBS[0], *LIMBS[2:]))
    if error == "colours":
        monkeypatch.setattr(pose_module, "COLOURS", tuple(colour[::-1] for colour in COLOURS))
    points = to_frame(KEYPOINTS, 256)
    if error == "offset":
        points = torch.where(points == -1, points, points + torch.tensor([1.0, 0.0]))
    if error == "rounded coordinates":
        points = points.round()
    expected = torch.tensor(GOLDEN["map_256"])
    exact = (levels(pose_map(points)) == expected).float().mean()
    assert exact < 0.999


@pytest.mark.parametrize("height, people", [(64, 10), (96, 5), (128, 5), (256, 5), (512, 1)])
def test_equals_opencv(height, people):
    points = random_people(people, height, margin=0.05)
    points[:, 1, 0] = points[:, 2, 0]  # an upright limb, whose vertices often lie halfway between two pixels
    points[0] = points[0].round()
    drawn, expected = drawn_both_ways(points, height)
    assert (drawn == expected).all()


@pytest.mark.parametrize("height", [64, 256])
def test_equals_opencv_but_for_a_few_border_pixels_where_limbs_leave_the_frame(height):
    drawn, expected = drawn_both_ways(random_people(8, height), height)
    person, _, y, x = ((drawn[:, 3:] == 0) != (expected[:, 3:] == 0)).nonzero()
    assert len(person) <= 16 and (drawn == expected).mean() > 0.99
    to_border = np.stack([x, drawn.shape[3] - 1 - x, y, height - 1 - y]).min(0)
    assert (to_border < 4).all()


def test_city_block_equals_brute_force():
    drawn = torch.rand(5, 3, 12, 1, generator=torch.Generator().manual_seed(1)) < 0.6
    ends = torch.randint(0, 9, (5, 3, 12, 2), generator=torch.Generator().manual_seed(2)).sort(-1).values
    left, right = torch.where(drawn, ends, torch.tensor([pose_module.FAR, -pose_module.FAR])).short().unbind(-1)
    left[0, 0], right[0, 0] = pose_module.FAR, -pose_module.FAR  # an empty shape

    y, x = torch.meshgrid(torch.arange(12), torch.arange(9), indexing="ij")
    inside = (x >= left[..., None]) & (x <= right[..., None])
    between = ((y.flatten()[:, None] - y.flatten()).abs() + (x.flatten()[:, None] - x.flatten()).abs()).float()
    between = between.masked_fill(~inside.flatten(2)[:, :, None], torch.inf).amin(-1).view(5, 3, 12, 9)
    distance = city_block(left, right, 9).float()
    assert torch.equal(distance.masked_fill(distance > 1000, torch.inf), between)


@pytest.mark.parametrize("height, people", [(64, 72), (256, 5)])
def test_a_person_is_drawn_alone_as_in_a_batch(height, people):
    points = random_people(people, height, seed=3)  # more people than a CPU draws at a time
    batch = pose_map(points, height=height)
    for i in (0, people // 2, people - 1):
        assert torch.equal(pose_map(points[i : i + 1], height=height)[0], batch[i])
        assert torch.equal(pose_map(points[i], points[i, :, 0] != -1, height=height), batch[i])


def test_missing_joints():
    points = to_frame(KEYPOINTS[:1], 256)
    visible = torch.ones(1, 18, dtype=torch.bool)
    visible[0, 3] = False  # the right elbow
    missing = points.clone()
    missing[0, 3, 0] = -1
    drawn = pose_map(points, visible)
    assert torch.equal(drawn, pose_map(missing))
    ends_at_elbow = torch.tensor([3 in limb for limb in LIMBS])
    assert (drawn[0, 3:][ends_at_elbow] == 1).all()
    assert torch.equal(drawn[0, 3:][~ends_at_elbow], pose_map(points)[0, 3:][~ends_at_elbow])


def test_nobody_and_nothing_in_the_frame():
    for points in (torch.full((2, 18, 2), -1.0), torch.full((2, 18, 2), 900.0), torch.rand(2, 18, 2) - 300):
        drawn = pose_map(points, height=64)
        assert (drawn[:, :3] == 0).all() and (drawn[:, 3:] == 1).all()
    assert pose_map(torch.zeros(0, 18, 2)).shape == (0, 20, 256, 176)


@pytest.mark.parametrize("height", [64, 128])
def test_a_small_map_means_the_same(height):
    """Scaled up by repetition it is close to the large one: within a few pixels' distance on average."""
    points = to_frame(KEYPOINTS[:2], 256)
    small = pose_map(points * (height / 256), points[..., 0] != -1, height=height)
    large = torch.nn.functional.avg_pool2d(pose_map(points, points[..., 0] != -1), 256 // height)
    assert small.shape == large.shape and (small - large)[:, 3:].abs().mean() < 1.5 / 255
    assert (small - large)[:, :3].abs().mean() < 0.03


def test_size_type_and_device():
    points = random_people(2, 64).float().requires_grad_()
    drawn = pose_map(points, height=64, width=50)
    assert drawn.shape == (2, 20, 64, 50) and drawn.dtype == torch.float32 and not drawn.requires_grad
    assert drawn.min() == 0 and drawn.max() == 1
    if torch.cuda.is_available():
        assert torch.equal(pose_map(points.detach().cuda(), height=64, width=50).cpu(), drawn)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((torch.zeros(18, 3),), "b 18 2"),
        ((torch.zeros(36),), "b 18 2"),
        ((torch.zeros(1, 17, 2),), "b 18 2"),
        ((torch.zeros(1, 18, 2, dtype=torch.long),), "floats"),
        ((torch.full((1, 18, 2), torch.nan),), "NaN"),
        ((torch.full((1, 18, 2), torch.inf),), "infinite"),
        ((torch.zeros(1, 18, 2), torch.ones(2, 18, dtype=torch.bool)), "visible"),
        ((torch.zeros(1, 18, 2), torch.ones(1, 18)), "visible"),
        ((torch.zeros(1, 18, 2), None, 0), "at least one row"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        pose_map(*arguments)
