"""Sequences of poses: they close, move evenly, stand on the floor and stay what the poses of the data set are."""

import math

import pytest
import torch

from nted_lite.people import SPLITS, render, sample_people, sample_poses, through, turn, walk
from nted_lite.people.body import joints, skeleton

PEOPLE = sample_people(SPLITS["test"], torch.arange(4))
SEQUENCES = {"turn": lambda n: turn(n), "walk": lambda n: walk(n, 2, yaw=0.5), "circle": lambda n: walk(n, 2, turns=1)}


def film(poses, person=0):
    """The joints of one person in every frame, in metres. -> frames 18 3"""
    return joints(skeleton(PEOPLE[[person] * len(poses)], poses))


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_last_frame_leads_to_the_first(name):
    points = film(SEQUENCES[name](40))
    steps = (points - points.roll(1, 0)).norm(dim=-1).amax(1)  # of the joint that moves most; entry 0 closes the loop
    assert steps[0] <= 1.2 * steps[1:].max() and steps.min() > 0


@pytest.mark.parametrize("name", SEQUENCES)
def test_more_frames_are_the_same_movement(name):
    few, many = SEQUENCES[name](10), SEQUENCES[name](20)
    assert (film(few) - film(many)[::2]).abs().max() < 1e-4


@pytest.mark.parametrize("name", SEQUENCES)
def test_directions_have_length_one(name):
    poses = SEQUENCES[name](7)
    for bones in (poses.arms, poses.legs):
        assert torch.allclose(bones.norm(dim=-1), torch.ones(()))


def test_a_turn_shows_face_side_and_back():
    view = render(PEOPLE[[0] * 4], turn(4), 64)
    assert view.visible[:, 0].tolist() == [True, True, False, True]  # the nose
    assert torch.equal(turn(4, -1).yaw, -turn(4).yaw)
    shoulders = view.keypoints[:, 5, 0] - view.keypoints[:, 2, 0]  # left minus right shoulder, in pixels
    assert shoulders[0] > 5 and shoulders[2] < -5 and shoulders[[1, 3]].abs().max() < 2


def test_a_walk_alternates_and_each_arm_swings_with_the_other_leg():
    body = film(walk(40, yaw=math.pi / 2))  # seen from the side: x is forwards
    ankles, wrists = (body[:, [right, left], 0].diff(dim=1)[:, 0] for right, left in ((10, 13), (4, 7)))
    assert ankles.max() > 0.3 and ankles.min() < -0.3 and abs(ankles.mean()) < 0.05
    assert torch.corrcoef(torch.stack([ankles, wrists]))[0, 1] < -0.9


def test_one_foot_is_always_on_the_floor_and_the_other_is_lifted_to_pass_it():
    poses = walk(40, yaw=1.0)
    bones = skeleton(PEOPLE[[1] * 40], poses)
    height = bones.legs[:, :, 2, 1] - bones.floor[:, None, 1]
    assert height.amin(1).max() < 0.15 and (height[:, 0] - height[:, 1]).abs().max() > 0.08


def test_all_of_a_person_stays_in_the_picture():
    for name in SEQUENCES:
        view = render(PEOPLE[[3] * 12], SEQUENCES[name](12), 64)
        x, y = view.keypoints.unbind(-1)
        assert x.min() > 0 and x.max() < 43 and y.min() > 0 and y.max() < 63


def test_through_visits_the_given_poses_and_turns_the_shorter_way():
    keys = sample_poses(SPLITS["test"], torch.arange(3), 0)
    for closed, count in ((True, 15), (False, 11)):
        poses = through(keys, 5, closed)
        assert len(poses) == count
        assert (film(poses[::5]) - film(keys[: len(poses[::5])])).abs().max() < 1e-5
    keys = turn(8)[[1, 7]]  # 45 and 315 degrees: 90 degrees apart
    assert through(keys, 4).yaw.cos().min() > 0.7  # never further from the camera than the two


def test_bad_numbers_get_one_clear_line():
    for wrong in (lambda: turn(0), lambda: walk(0), lambda: through(turn(1), 3), lambda: through(turn(2), 0)):
        with pytest.raises(ValueError, match="at least"):
            wrong()
