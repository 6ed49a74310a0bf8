"""The pictures of lesson 02: their numbers and colours say what the maps say, and every figure can be drawn."""

import io

import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from nted_lite.plotting.texture_extraction import (
    average_colours,
    effective_positions,
    show_averages,
    show_texture,
    tint,
)


@pytest.fixture
def image():
    """Left half red, right half blue, 3 32 22."""
    image = -torch.ones(3, 32, 22)
    image[0, :, :10], image[2, :, 10:] = 1, 1
    return image


@pytest.fixture
def maps():
    """All weight on one position of the left half; the same on all of 16 11."""
    maps = torch.stack([torch.zeros(16, 11), torch.full((16, 11), 1 / 176)])
    maps[0, 3, 2] = 1
    return maps


def drawn(figure):
    """Its axes; a figure must be one that can be saved."""
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO())
    (axes,) = figure.axes
    return axes


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_effective_positions_count_equal_shares(maps):
    half = torch.zeros(16, 11)
    half[:8] = 1 / 88
    assert torch.allclose(effective_positions(torch.stack([*maps, half])), torch.tensor([1.0, 176.0, 88.0]), atol=1e-2)
    assert torch.allclose(effective_positions(7 * maps), effective_positions(maps), atol=1e-2), "the sum does not count"


def test_average_colours_are_those_of_the_positions(image, maps):
    one, all_of_them = average_colours(image[None], maps[None])[0]
    assert torch.allclose(one, torch.tensor([1.0, -1.0, -1.0]))
    assert torch.allclose((all_of_them + 1) / 2, torch.tensor([5 / 11, 0, 6 / 11]), atol=1e-5)


def test_tint_is_full_where_the_map_is_largest_and_absent_where_it_is_0(image, maps):
    tinted = tint(image[None], maps[:1], "#029e73")[0]
    ink = torch.tensor(to_rgb("#029e73")) * 2 - 1
    full = (tinted - ink[:, None, None]).abs().amax(0) < 1e-5
    assert full.nonzero().tolist() == [[6, 4], [6, 5], [7, 4], [7, 5]], "position 3 2, at twice the size"
    assert (tinted[0] == tinted[2])[~full].all(), "grey elsewhere"


def test_averages_have_a_map_a_colour_and_a_number_each(image, maps):
    images = torch.stack([image, image.flip(2), image])
    rows = {"one": maps[[0, 0, 0]], "all": maps[[1, 1, 1]]}
    axes = drawn(show_averages(images, rows, columns=["a", "b", "c"]))
    assert len(axes.images) == 3 + 2 * 2 * 3
    assert words(axes) == ["a", "b", "c", "one", *["1 px"] * 3, "all", *["176 px"] * 3]
    colours = [picture.get_array()[0, 0].tolist() for picture in axes.images if picture.get_array().shape[:2] == (1, 1)]
    assert colours[:3] == [[255, 0, 0], [0, 0, 255], [255, 0, 0]]


def test_averages_want_a_colour_for_each_row(image, maps):
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        show_averages(image[None], {"one": maps[:1], "all": maps[1:]}, ["#000000"])


def test_a_texture_is_picture_map_light_and_colour(image, maps):
    axes = drawn(show_texture(image, maps[0], "a title"))
    assert len(axes.images) == 4
    assert axes.images[-1].get_array().tolist() == [[[255, 0, 0]]]
    assert {"a title", "1 of 176 positions"} <= set(words(axes))
