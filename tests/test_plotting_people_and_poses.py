"""The figures of lesson 01: each can be drawn, and its colours and pictures say what they should."""

import io
from dataclasses import replace

import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from nted_lite.people import render, sample_people, sample_poses
from nted_lite.plotting import people_and_poses as figures
from nted_lite.pose import JOINTS, LIMBS, pose_map

INDEX = torch.arange(2)


def drawn(yaw):
    """Two people upright in the middle of the picture, turned by yaw."""
    poses = sample_poses(11, INDEX, 0)
    poses = replace(poses, yaw=torch.full((2,), yaw), zoom=torch.ones(2), focus=torch.full((2,), 0.5))
    return render(sample_people(11, INDEX), poses, 64)


@pytest.fixture(scope="module")
def views():
    return drawn(0.0), drawn(0.6)


def saved(figure):
    """The bytes of a figure's file; a figure must be one that can be saved."""
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file)
    return file.getvalue()


def pictures(figure):
    return [picture for axes in figure.axes for picture in axes.images]


def colour_at(picture, *place):
    return ((picture[(..., *place)] + 1) / 2).tolist()


def test_heat_is_bright_where_numbers_are_large_and_white_where_there_is_none():
    made = figures.heat(torch.tensor([[[0.0, 1.0, 2.0, torch.inf]]]))
    assert made.shape == (1, 3, 1, 4)
    brightness = made.mean(1)[0, 0]
    assert (brightness.diff() > 0).all() and brightness[3] == 1
    assert not torch.equal(figures.heat(torch.zeros(1, 2)), figures.heat(torch.full((1, 2), torch.inf)))


def test_the_cloth_turns_with_the_body(views):
    first, second = figures.checkered(views[0]), figures.checkered(views[1])
    body = (views[0].primitive >= 0) & (views[1].primitive >= 0)
    body = body[:, None].expand_as(first)
    assert (first != second)[body].float().mean() > 0.2
    still = figures.checkered(replace(views[1], surface=views[0].surface, primitive=views[0].primitive))
    assert torch.equal(first, still)


def test_marks_cover_the_mask_and_nothing_else(views):
    image, mask = views[0].image, views[0].primitive >= 0
    made = figures.marked(image, mask)
    assert torch.equal(made.movedim(1, -1)[~mask], image.movedim(1, -1)[~mask])
    assert colour_at(made[0], *mask[0].nonzero()[0]) == pytest.approx(to_rgb(figures.UNSEEN), abs=1e-6)


def test_bands_change_with_distance():
    distance = torch.arange(12.0)[None]
    brightness = figures.bands(distance).mean(0)[0]
    assert brightness[3] > brightness[4] < brightness[8], "the second band of four pixels is darker than its neighbours"


def test_truth_shows_five_pictures_and_rings_for_hidden_joints(views):
    shown = figures.show_truth(views[0], 1)
    assert len(pictures(shown)) == 5 and len(saved(shown)) > 3000
    hidden = replace(views[0], visible=torch.zeros_like(views[0].visible))
    lines = figures.show_truth(hidden, 1).axes[0].lines
    assert len(lines) == 18, "18 joints, no limb"
    assert {line.get_markerfacecolor() for line in lines} == {figures.PAPER}


def test_right_and_left_limbs_have_the_colours_that_the_legend_names(views):
    assert sorted(limb for limbs in figures.SIDES.values() for limb in limbs) == list(range(len(LIMBS)))
    for name, limbs in figures.SIDES.items():
        side = {"right": "left", "left": "right"}.get(name.split()[0])
        named = [JOINTS[joint] for limb in limbs for joint in LIMBS[limb]]
        assert side is None or not [joint for joint in named if side in joint]
    shown = figures.show_limbs(views[0])
    assert [text.get_text() for text in shown.axes[0].texts] == list(figures.SIDES)
    assert len(pictures(shown)) == 4 and len(saved(shown)) > 3000


@pytest.mark.parametrize("fine", [False, True])
def test_every_channel_has_its_name_and_its_values(views, fine):
    pose = pose_map(views[0].keypoints[:1], views[0].visible[:1], height=64, fine=fine)[0]
    shown = figures.show_channels(pose)
    titles = [axes.get_title().split("\n")[0] for axes in shown.axes if axes.get_title()]
    assert titles == ["0–2", *map(str, range(3, 20))]
    assert torch.equal(torch.from_numpy(pictures(shown)[4].get_array().data), pose[6])
    assert "value of the channel" in [axes.get_xlabel() for axes in shown.axes]
    saved(shown)


def test_shares_are_those_of_the_person(views):
    body = views[1].primitive >= 0
    half = body & (torch.arange(64)[:, None] < 32)
    shown = figures.show_seen(*views, ~half)
    texts = [text.get_text() for text in shown.axes[0].texts]
    shares = 100 * half.sum((1, 2)) / body.sum((1, 2))
    assert [f"{share:.0f} %" for share in shares.tolist()] == [text for text in texts if "%" in text]
    assert len(pictures(shown)) == 6


def test_turning_puts_each_picture_above_its_point(views):
    degrees = [0, 45, 90]
    shown = figures.show_turning(degrees, views[0].image[[0, 1, 0]], torch.rand(3, 4))
    assert len(pictures(shown)) == 3 and len(saved(shown)) > 3000
    *boxes, plot = shown.axes
    for box, degree in zip(boxes, degrees, strict=True):
        middle = (box.get_position().x0 + box.get_position().x1) / 2
        point = shown.transFigure.inverted().transform(plot.transData.transform((degree, 0)))[0]
        assert middle == pytest.approx(point, abs=0.01)


def test_numbers_are_written_and_far_ones_are_dots():
    shown = figures.show_numbers({"start": torch.tensor([[0.0, 10_000.0]]), "end": torch.tensor([[0.0, 1.0]])})
    assert [[text.get_text() for text in axes.texts] for axes in shown.axes] == [["0", "·"], ["0", "1"]]
    saved(shown)


def test_a_limb_is_named_and_a_missing_one_has_no_lines(views):
    keypoints = views[0].keypoints[:1]
    shown = figures.show_limb(pose_map(keypoints, height=64)[0], 3)
    assert shown.axes[1].get_title() == "channel 6: right elbow – right wrist"
    assert len(shown.axes[1].collections) == 1, "lines of equal distance"
    missing = figures.show_limb(pose_map(torch.full_like(keypoints, -1.0), height=64)[0], 3)
    assert len(missing.axes[1].collections) == 0
    saved(shown), saved(missing)
