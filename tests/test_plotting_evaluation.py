"""The pictures of lesson 08: colours mean their numbers, ellipses fit their clouds, and every figure draws."""

import io

import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from nted_lite.evaluation.held_out import REGIONS
from nted_lite.people import SPLITS, pairs
from nted_lite.plotting import evaluation as figures

HALF = {"mean": 0.5, "low": 0.4, "high": 0.6}


@pytest.fixture(scope="module")
def people():
    return pairs(SPLITS["test"], torch.arange(2), height=64).target.image


def drawn(figure):
    """The figure, after it was saved: it must be one that can be."""
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file)
    assert file.tell() > 3000
    return figure


def weights(figure):
    """The texts of a figure and whether they are bold."""
    return {text.get_text(): text.get_fontweight() == "bold" for text in figure.axes[0].texts}


def test_the_best_score_is_bold_in_the_direction_of_its_arrow(people):
    pictures = {"ground truth": people[0], "one": people[1], "two": -people[1]}
    scores = {"PSNR ↑": {"one": 20.5, "two": 30.5}, "features ↓": {"one": 0.125, "two": 0.375}}
    bold = weights(drawn(figures.show_candidates(pictures, scores)))
    assert bold["30.5"] and not bold["20.5"] and bold["0.125"] and not bold["0.375"]


def test_pictures_of_two_sizes_stand_side_by_side(people):
    figure = drawn(figures.show_candidates({"ground truth": people[0], "wide": torch.ones(3, 64, 64)}, {}))
    assert [image.get_array().shape[:2] for image in figure.axes[0].images] == [(64, 44), (64, 64)]


def test_heat_ends_at_its_limits():
    shown = figures.heat(torch.tensor([[[-5.0, 0.0, 1.0, 7.0]]]), 0, 1, "Greys")
    assert shown.shape == (1, 3, 1, 4)
    assert torch.equal(shown[..., 0], shown[..., 1]) and torch.equal(shown[..., 2], shown[..., 3])
    assert shown[0, :, 0, 0].min() > 0.9 and shown[0, :, 0, 3].max() < -0.9


def test_regions_have_their_names_and_colours():
    assert tuple(figures.REGION_COLOURS) == REGIONS
    shown = figures.region_pictures(torch.arange(len(REGIONS))[None, None])
    for number, colour in enumerate(figures.REGION_COLOURS.values()):
        assert (shown[0, :, 0, number] / 2 + 0.5).tolist() == pytest.approx(to_rgb(colour), abs=1e-6)


def test_an_ellipse_fits_its_cloud():
    """A cloud three times as long as wide, turned by 30 degrees."""
    points = torch.randn(4000, 2, generator=torch.manual_seed(0)) * torch.tensor([3.0, 1.0])
    angle = torch.tensor(torch.pi / 6)
    turn = torch.tensor([[angle.cos(), angle.sin()], [-angle.sin(), angle.cos()]])
    ellipse = figures._ellipse(points @ turn + 5, "#000000", deviations=1)
    long, short = max(ellipse.width, ellipse.height), min(ellipse.width, ellipse.height)
    assert (long, short) == pytest.approx((6, 2), rel=0.05)
    tilt = ellipse.angle if ellipse.width > ellipse.height else ellipse.angle + 90
    assert (tilt - 30) % 180 == pytest.approx(0, abs=2) or (tilt - 30) % 180 == pytest.approx(180, abs=2)
    assert ellipse.center == pytest.approx((5, 5), abs=0.2)


def test_every_other_figure_draws(people):
    cloud, scores = torch.randn(30, 2), torch.randn(20)
    shares, regions = dict.fromkeys(REGIONS, HALF), torch.randint(len(REGIONS), (64, 44))
    shown = [
        figures.show_maps({"a": people[0]}, {"b": people[0, 0], "c": people[0, 0, ::2, ::2]}, -1, 1, "a number"),
        figures.show_regions(people[0], regions, shares, dict.fromkeys(REGIONS, 0.2)),
        figures.show_clouds({"moved": (cloud, cloud + 1, "2.0"), "turned": (cloud, cloud.flip(1), "1.0")}),
        figures.show_bias([4, 8, 16], {"long": [[3.0, 4.0], [2.0, 2.5], [1.0, 1.0]], "short": [[3.0, 3.5]]}),
        figures.show_matrix(torch.rand(2, 3), ["a", "b"], ["one", "two", "three"], "across", "down"),
        figures.show_bootstrap(scores, torch.randn(50) / 5, -0.4, 0.4, "dB"),
        figures.show_paired(scores, scores + 0.1, ("a", "b"), {"one": HALF, "two": HALF}, "dB"),
    ]
    assert all(drawn(figure).axes for figure in shown)


def test_a_scoreboard_leaves_out_what_was_not_measured():
    figure = drawn(figures.show_scoreboard({"copy": {"x": HALF, "y": None}, "model": {"x": HALF, "y": HALF}}, ["copy"]))
    bars = [[line for line in panel.lines if line.get_linewidth() == 5] for panel in figure.axes]
    assert [len(lines) for lines in bars] == [2, 1]
    assert bars[0][0].get_color() != bars[0][1].get_color(), "baselines are grey"
