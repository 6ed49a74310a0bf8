"""Figures of lesson 04: false stripes appear where theory predicts them, and every figure can be drawn."""

import io

import pytest
import torch
from matplotlib.figure import Figure

from nted_lite.people import PARTS, SPLITS, pairs
from nted_lite.plotting import encoder as scales


@pytest.fixture(scope="module")
def view():
    return pairs(SPLITS["test"], torch.arange(2)).reference


def saved(figure):
    assert isinstance(figure, Figure)
    figure.savefig(file := io.BytesIO())
    return file.tell()


def test_stripes_repeat_and_move():
    image, dress = scales.striped(period=0.2)
    assert image.shape == (1, 3, 64, 44) and set(dress.unique().tolist()) == {0.0, 1.0}
    moved, mask = scales.striped(period=0.2, rows=3)
    assert torch.equal(moved[..., :-3, :], image[..., 3:, :]) and torch.equal(mask[..., :-3, :], dress[..., 3:, :])
    assert torch.equal(moved[..., -1, :], image[..., -1, :])
    column = {period: scales.striped(period)[0][0, 1, 22:54, 22] for period in (0.12, 0.3)}
    found = {period: scales.spectrum(signal, step=1) for period, signal in column.items()}
    peaks = {period: frequency[16:][amplitude[16:].argmax()].item() for period, (frequency, amplitude) in found.items()}
    assert peaks[0.12] == pytest.approx(0.25, abs=0.04)  # a row is about 3 cm
    assert peaks[0.3] == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("true, step, seen", [(0.1, 1, 0.1), (0.1, 2, 0.1), (0.4, 2, 0.1), (0.35, 2, 0.15)])
def test_what_is_too_fine_is_mirrored(true, step, seen):
    wave = torch.sin(2 * torch.pi * true * torch.arange(0, 64, step))
    frequency, amplitude = scales.spectrum(wave, step)
    assert frequency[-1] == 0.5 / step
    assert frequency[amplitude.argmax()].item() == pytest.approx(seen, abs=0.01)
    assert amplitude.max().item() == pytest.approx(1, abs=0.05)


def test_the_part_that_a_texture_averages_most():
    parts = torch.zeros(1, 4, 4, dtype=torch.long)
    parts[0, :2] = PARTS.index("hair")
    maps = torch.zeros(1, 2, 2, 2)
    maps[0, 0, 0] = 0.5  # the upper row
    maps[0, 1, 0, 0], maps[0, 1, 1] = 0.2, 0.4
    assert [PARTS[part] for part in scales.extracted_parts(maps, parts)] == ["hair", "background"]


def test_figures_can_be_drawn(view):
    torch.manual_seed(0)
    maps = torch.randn(2, 8, 176).mul(4).softmax(dim=-1).reshape(2, 8, 16, 11)
    figures = [
        scales.show_lines({"a": [1, 2], "b": [2, 1e9]}, "across", "down", limits=(0.1, 10)),
        scales.show_moves({"a": [0.1, 0.2], "b": [0.3, 0.4]}, ["first", "second"]),
        scales.show_spectra({"all": (torch.randn(32), 1), "half": (torch.randn(16), 2)}),
        scales.show_scales(view.image, {"16 × 11, number 0": maps, "16 × 11, number 1": maps}, view.parts),
        scales.show_entity(view.image, maps, entity=3),
    ]
    assert min(map(saved, figures)) > 3000
    lines, _, _, _, entity = figures
    assert lines.axes[0].get_ylim() == (0.1, 10)
    assert len(entity.axes[0].images) == 6  # reference, lit picture and colour, of two people


def test_entities_are_counted_round(view):
    maps = torch.rand(2, 8, 16, 11)
    figures = [scales.show_entity(view.image, maps, entity) for entity in (3, 11, 4)]
    pictures = [[image.get_array() for image in figure.axes[0].images] for figure in figures]
    assert all((a == b).all() for a, b in zip(pictures[0], pictures[1], strict=True))
    assert not all((a == b).all() for a, b in zip(pictures[0], pictures[2], strict=True))


@pytest.mark.parametrize("frequency, step, where", [(0.45, 2, 0.05), (0.3, 2, 0.2), (0.2, 2, 0.2), (0.3, 4, 0.05)])
def test_a_frequency_folds_at_the_limit(frequency, step, where):
    """The slower stripe has the same values at the rows that are kept."""
    kept = step * torch.arange(8)
    waves = [torch.cos(2 * torch.pi * f * kept) for f in (frequency, scales.folded(frequency, step))]
    assert scales.folded(frequency, step) == pytest.approx(where)
    torch.testing.assert_close(*waves, atol=1e-5, rtol=0)
    assert saved(scales.show_folding(frequency, step)) > 10_000
