"""The commands: they do what they say, and bad input ends in one clear line."""

import json

import pytest

from nted_lite import cli
from nted_lite.features import checkpoints

TINY = [
    "--steps", "2", "--pairs", "1", "--draw-ahead", "1",
    "--model.channels", "8", "8", "8", "--model.textures", "4", "4", "0",
    "--model.discriminator-channels", "8", "8", "8", "8", "8",
]  # fmt: skip


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["nted-lite", *map(str, words)])
    cli.main()


def test_train_then_evaluate_then_resume(monkeypatch, tmp_path, capsys):
    call(monkeypatch, "train", "--preset", "people-64", "--out", tmp_path, "--device", "cpu", *TINY)
    assert json.loads((tmp_path / "config.json").read_text())["channels"] == [8, 8, 8]
    call(monkeypatch, "evaluate", "--checkpoint", tmp_path, "--people", "16")
    assert json.loads((tmp_path / "metrics.json").read_text())["people"] == 16
    assert "16 held-out pairs" in capsys.readouterr().out
    call(monkeypatch, "train", "--out", tmp_path, "--device", "cpu", "--resume", *TINY, "--steps", "3")
    assert json.loads((tmp_path / "train.json").read_text())["train"]["steps"] == 3


def test_the_preset_sets_the_defaults(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "train", "--preset=fashion-256", "--help")
    assert "512 512 512 256 128" in capsys.readouterr().out


def test_demo(monkeypatch, tmp_path, capsys):
    call(monkeypatch, "demo", "--out", tmp_path / "demo", "--people", "16")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["entities.png", "repose.png", "swap.png"]
    assert "swap / no swap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train", "--preset", "people-65", "--out", "x"], "no preset 'people-65'; there are people-64, people-128"),
        (["evaluate", "--checkpoint", "nowhere"], "nowhere: no such folder"),
        (["train", "--out", "{tmp}", "--device", "cpu", "--resume"], "nothing to resume"),
    ],
)
def test_bad_input_is_one_line(monkeypatch, tmp_path, words, line):
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, *(word.format(tmp=tmp_path) for word in words))
    assert line in str(stopped.value) and "\n" not in str(stopped.value)


def test_the_shipped_models_are_there():
    for name in ("people-64", "people-parser"):
        assert {path.name for path in (checkpoints() / name).iterdir()} >= {
            "README.md", "metrics.json", "model.safetensors",
        }  # fmt: skip
