"""The pictures of notebook 05: each has its tables or pictures, and shows the numbers that it was given."""

import numpy as np
import pytest
import torch

from nted_lite.layers import blur_kernel, upsample
from nted_lite.plotting import picture
from nted_lite.plotting.renderer import show_changes, show_grids, show_sums


def pictures(figure):
    figure.draw_without_rendering()
    (axes,) = figure.axes
    return [np.asarray(drawn.get_array()) for drawn in axes.images]


@pytest.fixture
def people():
    return torch.rand(2, 3, 8, 6, generator=torch.manual_seed(0)) * 2 - 1


def test_grids_show_every_number_and_shade_the_larger_darker():
    figure = show_grids({"one": torch.tensor([[1.0, 2.0]]), "two": torch.tensor([[4.0], [0.25]])})
    first, second = pictures(figure)
    assert {text.get_text() for text in figure.axes[0].texts} == {"one", "two", "1", "2", "4", "0.25"}
    shades = [int(pixel.sum()) for pixel in (second[1, 0], first[0, 0], first[0, 1], second[0, 0])]
    assert shades == sorted(shades, reverse=True) and len(set(shades)) == 4


def test_sums_add_up(people):
    added = upsample(people, blur_kernel(gain=4.0)) * -0.5
    after = upsample(people, blur_kernel(gain=4.0)) + added
    drawn = pictures(show_sums([people, after], [people, added]))
    assert len(drawn) == 2 * 3
    enlarged, addition, total = (values.astype(float) / 127.5 - 1 for values in drawn[:3])
    assert np.abs(enlarged + addition - total).max() < 0.02


def test_changes_are_grey_where_nothing_changed(people):
    before, after = people[0], people[0].clone()
    after[:, 2, 3] = before[:, 2, 3] + 0.5
    drawn = pictures(show_changes(people[1], before, {"none": before, "one pixel": after}))
    assert len(drawn) == 2 + 2 * 2
    donor, _, _, none, _, one = drawn
    assert np.array_equal(donor, picture(people[1]))
    assert (none == 128).all()
    assert (one != 128).any(axis=-1).sum() == 1 and (one[2, 3] > 128).all()
