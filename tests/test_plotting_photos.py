"""Figures of lesson 11 show what their captions say."""

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from nted_lite import NTED
from nted_lite.people import SPLITS, pairs
from nted_lite.plotting.photos import readings, show_costs, show_framing
from nted_lite.weights.hub import shipped


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def test_one_of_four_readings_is_right_and_only_one():
    model, pair = NTED.from_pretrained(shipped("people-64")), pairs(SPLITS["test"], torch.arange(3), 64)
    axes = drawn(readings(model, pair, 2)).axes[0]
    generated = [torch.as_tensor(image.get_array()) / 127.5 - 1 for image in axes.images[-4:]]
    truth = pair.target.image[2].movedim(0, -1)
    errors = [(image - truth).abs().mean().item() for image in generated]
    assert min(errors) == errors[1] and sorted(errors)[1] > 1.1 * errors[1]


def test_the_window_is_the_one_that_is_read(tmp_path):
    Image.new("RGB", (400, 300), "grey").save(tmp_path / "a.png")
    points = torch.full((18, 3), 0.0)
    points[:2] = torch.tensor([[200.0, 50, 1], [200, 100, 1]])
    axes = drawn(show_framing(tmp_path / "a.png", points, rows=64)).axes[0]
    window = axes.patches[0]
    assert window.get_width() / window.get_height() == pytest.approx(11 / 16, rel=0.01)
    middle = window.get_x() + window.get_width() / 2
    assert middle == pytest.approx(10 + 400 * 360 / 300 / 2, abs=1)
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == pytest.approx([10 + 200 * 1.2] * 2)


def test_costs_are_those_given():
    figure = drawn(show_costs({"a": (2_000_000, 3_000_000_000, 2**20), "b": (8_000_000, 9_000_000_000, 2**24)}))
    assert [list(panel.get_lines()[0].get_xdata()) for panel in figure.axes] == [[2, 8], [3, 9], [1, 16]]
