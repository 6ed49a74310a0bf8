"""The pictures of lesson 07, and the runs that it reads: every figure draws, and the files say what they claim."""

import io
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from nted_lite.plotting import training as figures

CURVES = Path(__file__).resolve().parents[1] / "checkpoints" / "curves.py"
RUN = {"step": [10, 20, 30], "psnr": [8.0, 9.0, 11.0], "psnr_last": [7.0, 9.5, 10.0], "largest": [0.2, 0.4, 0.9],
       "loss/reconstruction": [3.0, 2.0, 1.0], "loss/discriminator": [None, 1.4, 1.2]}  # fmt: skip


def drawn(figure):
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    figure.savefig(file)
    assert file.tell() > 3000
    return figure


def test_a_running_mean_keeps_what_is_missing():
    found = figures.smoothed([None, 2.0, 4.0, 9.0], 2)
    assert np.isnan(found[0]) and found[1:] == [2.0, 3.0, 6.5]


def test_runs_keep_their_colours_whatever_is_beside_them():
    both = drawn(figures.show_runs({"healthy": RUN, "no-texture-dropout": RUN}))
    alone = drawn(figures.show_runs({"no-texture-dropout": RUN}))
    assert both.axes[0].get_lines()[1].get_color() == alone.axes[0].get_lines()[0].get_color()
    assert both.axes[0].get_lines()[0].get_color() != both.axes[0].get_lines()[1].get_color()


def test_schedules_averages_and_costs_draw():
    drawn(figures.show_schedules({"a": [0.0, 1.0, 0.5]}))
    drawn(figures.show_averages(RUN))
    figure = drawn(figures.show_flops({"small": {"a": 1.0, "b": 3.0}, "large": {"a": 8.0, "b": 2.0}}))
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([0.25, 0.75, 0.8, 0.2])


def test_a_training_while_it_runs():
    history = {"step": [1, 2], "pixel": [2.0, 1.0], "adversarial": [None, 0.5]}
    figure = drawn(figures.show_live(history, torch.zeros(3, 96, 88), torch.zeros(4, 3, 16, 11)))
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == [
        "reference", "target", "generated", "maps",
    ]  # fmt: skip
    drawn(figures.show_live({"step": []}, torch.zeros(3, 96, 88)))


@pytest.mark.slow
def test_a_run_writes_its_files(tmp_path):
    """A few steps of the script: curves of equal length, pictures and maps of the same people, a figure of them."""
    script = runpy.run_path(str(CURVES))
    script["run"].__globals__.update(EVERY=2, MOMENTS=(2, 4), PEOPLE=4)
    script["run"]("adversary-too-strong", tmp_path, steps=4)
    log = json.loads((tmp_path / "adversary-too-strong.json").read_text())
    assert log["changed"]["adversarial_start"] == 50 and log["stopped"] is None
    assert {len(values) for values in log["curves"].values()} == {2}
    views = np.load(tmp_path / "adversary-too-strong.npz")
    assert views["moments"].tolist() == [2, 4]
    assert views["generated"].shape == (2, 4, 3, 32, 22) and views["distribution"].shape == (2, 4, 16, 16, 11)
    drawn(figures.show_moments(["adversary-too-strong"], {"adversary-too-strong": views}))


SHIPPED = sorted((CURVES.parent / "curves").glob("*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_runs_are_those_of_the_script(path):
    """Name and changes are those in the script's list, the files are small, and the figures can be drawn."""
    script, log = runpy.run_path(str(CURVES)), json.loads(path.read_text())
    assert log["changed"] == json.loads(json.dumps(script["_plain"](script["RUNS"][path.stem])))
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 600_000
    drawn(figures.show_moments([path.stem], {path.stem: np.load(path.with_suffix(".npz"))}))
