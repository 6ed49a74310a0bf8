"""The pictures of lesson 06: wishes point down the gradient, changes change what they say, and every figure draws."""

import io

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from nted_lite.people import SPLITS, pairs
from nted_lite.plotting import losses as figures


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


def test_a_wish_points_against_the_gradient():
    gradient = torch.zeros(2, 3, 40, 40)
    gradient[0, 0, 3:9], gradient[0, 2, 3:9] = 5.0, -5.0
    wish = figures.wishes(gradient)
    assert wish[0, :, 4, 0].tolist() == [-1, 0, 1], "less red and more blue"
    assert (wish[1] == 0).all(), "no gradient, no wish"
    assert torch.equal(figures.wishes(1000 * gradient), wish), "scaled to its own largest wishes"


def test_places_are_coloured_where_the_gradient_is():
    gradient = torch.zeros(1, 3, 40, 40)
    gradient[0, 1, :5] = -2.0
    shown = figures.places(torch.zeros(1, 3, 40, 40), gradient)
    grey = shown.std(dim=1) < 1e-6
    assert grey[0, 5:].all() and not grey[0, :5].any()


@pytest.mark.parametrize("kind", figures.CHANGES)
def test_changes_begin_at_nothing_and_grow(people, kind):
    sizes = [(figures.change(people, kind, amount) - people).abs().mean().item() for amount in range(5)]
    assert sizes[0] == 0 and sizes == sorted(sizes) and sizes[1] > 0


def test_changes_change_what_they_say(people):
    moved = figures.change(people, "shift", 3)
    assert torch.equal(moved[..., 3:], people[..., :-3])
    shuffled = figures.change(people, "shuffle", 4)
    torch.testing.assert_close(shuffled.flatten().sort().values, people.flatten().sort().values)
    assert torch.equal(figures.change(people, "colour", 4), people[:, [2, 0, 1]])
    with pytest.raises(ValueError, match="no change 'tilt'; there are shift, blur"):
        figures.change(people, "tilt", 1)


def test_slopes_of_a_loss():
    logits = torch.tensor([-1.0, 0.0, 3.0])
    torch.testing.assert_close(figures.slopes_of(lambda z: z.square().mean(), logits), 2 * logits)


def test_figures_of_gradients_and_verdicts(people):
    losses = {"one": people[0], "two": people[1], "three": people[0]}
    axes = drawn(figures.show_gradients(people[0], people[1], losses)).axes[0]
    assert len(axes.images) == 2 + 2 * len(losses)
    values = {"one": 0.2, "two": 9.0}
    axes = drawn(figures.show_verdicts(people[0], people[1], people[0], values, "two")).axes[0]
    short, long = (bar.get_width() for bar in axes.patches)
    assert len(axes.images) == 3 and long < 10 * short, "a bar that is too long is cut; its number is not"
    assert {"0.20", "9.00"} <= {text.get_text() for text in axes.texts}


def test_figure_of_faces(people):
    boxes = torch.tensor([[2, 3, 32], [0, 0, 0]])
    axes = drawn(figures.show_faces(people, boxes, people[..., :16, :16])).axes[0]
    assert len(axes.images) == 4
    assert [patch.get_width() for patch in axes.patches] == [32], "no box around a face that is not there"


def test_figure_of_the_logistic_loss():
    def soft(z):
        return nn.functional.softplus(z).mean()

    left, right = drawn(figures.show_logistic(soft, soft, {"a": soft, "b": lambda z: -soft(-z)})).axes
    assert [line.get_label() for line in left.lines[:2]] == ["real image", "generated image"]
    pull = right.lines[0].get_ydata()
    assert 0 <= pull[0] < 0.001 and 0.999 < pull[-1] <= 1


def test_figure_of_fields():
    points = torch.randn(9, 2)
    steep, flat = (lambda x, slope=slope: slope * x[:, :1] for slope in (8.0, 0.1))
    figure = drawn(figures.show_fields({"steep": (steep, [1.0, 2.0]), "flat": (flat, [1.0, 1.0])}, points, -points))
    assert [axes.get_title() for axes in figure.axes] == ["steep", "flat", ""]
    lines = [sum(len(collection.get_paths()) for collection in axes.collections) for axes in figure.axes[:2]]
    assert lines[0] > lines[1] + 20, "close lines mean steep"


def test_losses_are_drawn_from_the_first_value_to_the_last():
    assert drawn(figures.show_losses({}, 3)), "before the first step there is nothing to draw"
    history = {"pixel": [(step, 1 / step) for step in range(1, 40)], "adversarial": [(30, 0.5)], "r1": [(32, 0.1)]}
    left, right = drawn(figures.show_losses(history, 30, window=4)).axes
    assert [line.get_label() for line in left.get_lines()][0] == "pixel"
    assert left.get_lines()[0].get_xdata()[0] == 2.5, "the mean of steps 1 to 4"
    assert [line.get_label() for line in right.get_lines()][0] == "adversarial"
