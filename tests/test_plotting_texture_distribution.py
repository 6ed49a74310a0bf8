"""The pictures of notebook 03 show what they are given, and the measured cost is what the theory says."""

import json
from pathlib import Path

import pytest
import torch
from test_plotting import saved

from benchmarks import attention
from nted_lite.plotting import picture
from nted_lite.plotting import texture_distribution as plots
from nted_lite.texture import scatter

MEASURED = json.loads(Path(attention.__file__).with_suffix(".json").read_text())


@pytest.fixture
def person():
    """Two pictures of one person, an operation's maps, and the mean colours of its 8 textures."""
    maps = torch.randn(2, 8, 16, 11)
    extraction = maps[0].flatten(1).softmax(-1).reshape(8, 16, 11)
    return *(torch.rand(2, 3, 64, 44) * 2 - 1), extraction, maps[1].softmax(0), torch.rand(8, 3) * 2 - 1


def test_a_palette_holds_each_colour_once():
    colours = torch.rand(2, 16, 3)
    sheet = plots.palette(colours)
    assert sheet.shape == (2, 3, 64, 44)
    assert torch.equal(sheet[:, :, 8::16, 5::11].flatten(2).mT, colours)


def test_a_mixture_ends_in_the_painted_colour(person):
    _, target, _, maps, colours = person
    places = [(3, 4), (15, 0), (0, 10)]
    figure = plots.show_mixture(target, maps, colours, places)
    pictures = [shown.get_array() for shown in figure.axes[0].images]
    assert len(pictures) == 1 + len(places) * (8 + 1)
    painted = picture(scatter(colours[None], maps[None])[0])
    for number, place in enumerate(places):
        last = pictures[(number + 1) * 9]
        assert abs(last[0, 0].astype(int) - painted[place].astype(int)).max() <= 1
    assert saved(figure) > 3000


def test_bars_are_as_long_as_shares(person):
    _, target, _, maps, colours = person
    figure = plots.show_mixture(target, maps, colours, [(3, 4)])
    edges = [shown.get_extent() for shown in figure.axes[0].images[1:-1]]
    lengths = torch.tensor([right - left for left, right, *_ in edges])
    torch.testing.assert_close(lengths / lengths.sum(), maps[:, 3, 4].sort(descending=True).values)


def test_choices_and_glances_are_drawn(person):
    reference, target, extraction, maps, colours = person
    chosen = plots.show_choice(reference, target, extraction, maps, colours, 2)
    assert len(chosen.axes[0].images) == 5
    seen = plots.show_glance(reference, target, extraction[:3], [(0, 0), (5, 5), (15, 10)])
    assert len(seen.axes[0].images) == 6
    assert min(saved(chosen), saved(seen)) > 3000


def test_singular_values_end_at_the_rank():
    thin = torch.rand(30, 2).double() @ torch.rand(2, 30).double()
    figure = plots.show_matrices({"thin": thin, "full": torch.rand(30, 30)})
    assert len(figure.axes) == 3
    values = [line.get_ydata() for line in figure.axes[-1].lines]
    assert [int((found > 1e-10).sum()) for found in values] == [2, 30]
    assert saved(figure) > 3000


def test_exponents_are_those_of_powers():
    positions = [10, 100, 400]
    assert plots.fit_exponent(positions, [3 * m**1.5 for m in positions]) == pytest.approx(1.5)


def test_cost_and_growth_are_drawn():
    cost = plots.show_cost(MEASURED)
    labels = [[text.get_text() for text in panel.get_legend().get_texts()] for panel in cost.axes]
    assert [len(found) for found in labels] == [3, 3]
    assert labels[1][0].startswith("full attention: $m^{1.9") or labels[1][0].startswith("full attention: $m^{2.0")
    growth = plots.show_growth({"one": [1, 2], "other": [1, 1]})
    assert [list(line.get_ydata()) for line in growth.axes[0].lines[:2]] == [[1, 2], [1, 1]]
    assert min(saved(cost), saved(growth)) > 3000


# ----------------------------------------------------------------------------------------------- what was measured


def test_the_peak_counts_what_is_held_at_once():
    image = torch.zeros(1, 64, 16, 11)
    size = 4 * image.numel()
    assert attention.peak_bytes(lambda a, b: a + b, image, image) == size
    assert attention.peak_bytes(lambda a, b: ((a + b) + b) + b, image, image) == 2 * size
    assert attention.peak_bytes(lambda a, b: (a + b)[:, :1].clone(), image, image) == size + size // 64


def test_three_ways_are_measured():
    found = attention.measure((16,), repeats=1)
    assert found["sizes"] == [[16, 11]] and list(found["ways"]) == list(plots.WAY_NAMES) == list(plots.WAY_COLOURS)
    assert all(value[0] > 0 for way in found["ways"].values() for value in way.values())


def test_committed_measurements_are_of_these_sizes():
    assert [h for h, _ in MEASURED["sizes"]] == list(attention.ROWS)
    positions = [h * w for h, w in MEASURED["sizes"]]
    exponent = {way: plots.fit_exponent(positions, found["bytes"]) for way, found in MEASURED["ways"].items()}
    assert exponent["full"] == pytest.approx(2, abs=0.1) and exponent["nted"] == pytest.approx(1, abs=0.1)
    held = MEASURED["ways"]["full"]["bytes"]
    assert all(value >= 2 * 4 * m * m for m, value in zip(positions, held, strict=True)), "scores and their softmax"
