"""The queue: every model is trained by the command it prints, resumed, measured and put in its place."""

import json
import runpy
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.tensorboard import SummaryWriter

from nted_lite import NTED, cli, training
from nted_lite.config import PRESETS

ZOO = Path(__file__).resolve().parents[1] / "checkpoints" / "train.py"
TINY = ["--pairs", "1", "--draw-ahead", "1", "--log-every", "1", "--model.channels", "8", "8", "8",
        "--model.discriminator-channels", "8", "8", "8", "8", "8"]  # fmt: skip


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """The module, with its folders elsewhere."""
    scope = runpy.run_path(str(ZOO))
    functions = [value for value in scope.values() if getattr(value, "__globals__", {}).get("__file__") == str(ZOO)]
    for function in functions:
        monkeypatch.setitem(function.__globals__, "SHIPPED", tmp_path / "checkpoints")
        monkeypatch.setitem(function.__globals__, "RUNS", tmp_path / "runs")
    return scope


def run(monkeypatch, words):
    monkeypatch.setattr("sys.argv", list(map(str, words)))
    cli.main()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["people-64", "variants/modulated"])
def test_a_short_run_of_a_job(zoo, monkeypatch, tmp_path, name):
    """Trained by its own command with a few steps, stopped, resumed, and shipped with measures and card."""
    out = tmp_path / "runs" / name
    words = zoo["command"](name, "--steps", "2", *TINY)
    words[words.index("--out") + 1] = out
    run(monkeypatch, words)
    assert zoo["steps_done"](name) == 2
    run(monkeypatch, ["nted-lite", "train", "--out", out, "--resume", "--steps", "3"])
    assert "3 of" in zoo["status"](name)
    zoo["ship"](name, people=8)
    folder = tmp_path / "checkpoints" / name
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    curves = json.loads((folder / "curves.json").read_text())
    assert curves["pixel"]["step"] == [1, 2, 3] and all(value > 0 for value in curves["pixel"]["value"])
    measured = json.loads((folder / "metrics.json").read_text())
    text = (folder / "README.md").read_text()
    assert f"{measured['similarity']['model']['psnr']['mean']:.2f} dB" in text and "3 steps of 1 pairs" in text
    assert f"| **{name}** | " in (tmp_path / "checkpoints" / "RESULTS.md").read_text()
    assert not name.startswith("people") or NTED.from_pretrained(folder).config.channels == (8, 8, 8)
    (folder / "README.md").write_text(text.replace("Nobody has looked at its pictures yet.", "Looked at: blurry."))
    assert "Looked at: blurry." in zoo["card"](name, out)


@pytest.mark.slow
def test_of_a_second_seed_only_the_measures_ship(zoo, monkeypatch, tmp_path):
    name = "variants/full-seed-1"
    words = zoo["command"](name, "--steps", "1", *TINY)
    words[words.index("--out") + 1] = tmp_path / "runs" / name
    run(monkeypatch, words)
    zoo["ship"](name, people=8)
    folder = tmp_path / "checkpoints" / name
    assert sorted(f.name for f in folder.iterdir()) == ["README.md", "config.json", "curves.json", "metrics.json"]
    text = (folder / "README.md").read_text()
    assert "only the measures ship" in text and "from_pretrained" not in text and text.count("--seed 1") == 1


def test_curves_are_means_of_what_was_logged(zoo, tmp_path):
    """At most so many points, none of the log lost; a run that was resumed from a checkpoint is logged once."""
    with SummaryWriter(tmp_path / "log") as first:
        for step in range(1, 91):
            first.add_scalar("loss/pixel", float(step), step)
    with SummaryWriter(tmp_path / "log", purge_step=81) as resumed:
        for step in range(81, 121):
            resumed.add_scalar("loss/pixel", float(step), step)
    assert zoo["curves"](tmp_path, 40) == {"pixel": {"step": [*range(3, 121, 3)], "value": [*range(2, 121, 3)]}}
    assert zoo["curves"](tmp_path, 500)["pixel"]["step"] == [*range(1, 121)]


def test_every_printed_command_is_understood(zoo):
    """Each job names a preset, or a variant, that exists."""
    for name in zoo["QUEUE"]:
        words = shlex.split(zoo["status"](name).split("nted-lite ", 1)[1])
        assert words[0] in ("train", "train-parser") and words[-1] == f"build/zoo/{name}"
        if words[0] == "train":
            assert zoo["steps_wanted"](name) > 0


def test_a_card_tells_every_option_that_differs_from_the_preset(zoo, monkeypatch, tmp_path):
    """... so that its command, read by the program, leads to the configurations that were used."""
    preset = PRESETS["people-128"]
    model = replace(preset.model, channels=(32, 16, 8, 8), logit_scale=1.0, appearance_flow=False)
    weights = replace(preset.train.weights, flow=0.0, limbs=0.0, style=2.5)
    train = replace(preset.train, betas=(0.0, 0.9), compile=True, weights=weights, seed=3)
    words = zoo["options"](preset.model, model, "model.") + zoo["options"](preset.train, train)
    assert "--model.channels 32 16 8 8" in words and "--model.no-appearance-flow" in words and "--compile" in words
    seen = []
    monkeypatch.setattr(training, "train", lambda trainer, *_: seen.append((trainer.generator.config, trainer.config)))
    command = ["nted-lite", "train", "--preset", "people-128", "--out", tmp_path, *shlex.split(" ".join(words))]
    run(monkeypatch, command)
    assert seen == [(model, train)]


def test_unknown_names_are_refused(zoo, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py", "people-63"])
    with pytest.raises(SystemExit, match="nothing trains people-63; there are people-parser, people-64"):
        zoo["main"]()


def test_a_run_that_died_before_it_was_shipped_is_shipped(zoo, monkeypatch, tmp_path):
    """What lies in checkpoints/ from before says nothing about this run; a run that arrived is left alone."""
    seen, name = [], "people-64"
    (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints" / name / "metrics.json").write_text("{}")
    (tmp_path / "runs" / name).mkdir(parents=True)
    scope = zoo["main"].__globals__
    monkeypatch.setitem(scope, "steps_done", lambda name: zoo["steps_wanted"](name))
    monkeypatch.setitem(scope, "train", lambda name: seen.append("trained"))
    monkeypatch.setitem(scope, "ship", lambda name: seen.append("shipped"))
    monkeypatch.setattr("sys.argv", ["train.py", name])
    zoo["main"]()
    assert seen == ["shipped"]
    (tmp_path / "runs" / name / zoo["SHIPPED_MARK"]).touch()
    zoo["main"]()
    assert seen == ["shipped"]
