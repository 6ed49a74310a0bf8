"""The pictures of lesson 10: maps become colours where something is taken, and every figure shows what it was given."""

import io

import pytest
import torch
from matplotlib.figure import Figure

from nted_lite.people import PARTS
from nted_lite.plotting import ablations as figures
from nted_lite.plotting.base import texture_colours


def drawn(figure):
    """The figure, after it was saved: it must be one that can be."""
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file)
    assert file.tell() > 2000
    return figure


def about(mean):
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}


def test_what_is_taken_has_the_colour_of_its_part_and_the_rest_is_pale():
    extraction = torch.zeros(1, 2, 4, 5)
    extraction[0, 0, 1], extraction[0, 1, 2] = 0.2, 0.2
    groups = [PARTS.index("top"), PARTS.index("shoes")]
    top, shoes = texture_colours(groups) * 2 - 1
    picture = figures.taken(extraction, groups)[0]
    torch.testing.assert_close(picture[:, 1, 0], top)
    torch.testing.assert_close(picture[:, 2, 0], shoes)
    assert (picture[:, 0] == 0.86).all() and (picture[:, 3] == 0.86).all()


@pytest.mark.parametrize("k, operations", [(3, 4), (176, 2)])
def test_a_case_shows_every_map(k, operations):
    pictures = {name: torch.zeros(3, 64, 44) for name in ("reference", "generated", "ground truth")}
    maps = [torch.rand(k, 16, 11).softmax(0) for _ in range(operations)]
    groups = [[texture % len(PARTS) for texture in range(k)]] * operations
    axes = drawn(figures.show_case(pictures, maps, maps, groups)).axes[0]
    assert len(axes.images) == 3 + 2 * operations
    assert f"16 rows, k = {k}" in [text.get_text() for text in axes.texts]


def test_a_case_without_maps_says_so():
    axes = drawn(figures.show_case({"reference": torch.zeros(3, 64, 44)}, (), (), ())).axes[0]
    assert len(axes.images) == 1 and "this variant has no maps" in [text.get_text() for text in axes.texts]


def test_ranking_goes_from_best_to_worst_around_the_reference():
    values = {"middle": about(2.0), "best": about(3.0), "worst": about(1.0)}
    figure = drawn(figures.show_ranking(values, "middle", 0.5, "dB"))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["best", "middle", "worst"]
    (band,) = axes.patches
    assert band.get_x() == 1.5 and band.get_width() == 1.0
    assert not drawn(figures.show_ranking(values, "middle", None, "dB")).axes[0].patches


def test_curves_leave_out_what_a_variant_does_not_have():
    logged = {"step": list(range(0, 600, 10)), "value": [1.0] * 60}
    figure = drawn(figures.show_curves({"one": {"pixel": logged}, "two": {"pixel": logged, "style": logged}},
                                       ("pixel", "style")))  # fmt: skip
    assert [len(axes.lines) for axes in figure.axes] == [4, 2], "raw and smoothed"
    assert [text.get_text() for text in figure.legends[0].texts] == ["one", "two"]
    assert figure.axes[0].lines[1].get_ydata().tolist() == pytest.approx([1.0] * 60), "the ends are means, too"


def test_costs_mark_what_is_not_trained():
    costs = {name: {"flops": 1e9 * n, "parameters": 1e3 * n} for n, name in enumerate(("one", "two"), 1)}
    figure = drawn(figures.show_costs(costs, {"two": 3.0}, "dB"))
    colours = [bar.get_facecolor() for bar in figure.axes[0].patches]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1, 2] and colours[0] != colours[1]
    assert figure.get_supxlabel() == "grey: not trained yet"
    assert drawn(figures.show_costs(costs, {"one": 1.0, "two": 3.0}, "dB")).get_supxlabel() == ""


def test_chance_shows_each_run_and_the_spread_of_all():
    axes = drawn(figures.show_chance({"a": about(1.0), "b": about(3.0)}, "error")).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.patches[0].get_width() == pytest.approx(2 * 2**0.5), "two standard deviations"
