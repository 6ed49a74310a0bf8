"""The commands do what they say, and bad input ends with one clear line."""

import json
import re
from importlib.util import find_spec

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nted_lite import NTED, checkpoint, cli, training
from nted_lite.config import PRESETS
from nted_lite.weights.hub import shipped

TINY = [
    "--steps", "2", "--pairs", "1", "--draw-ahead", "1",
    "--model.channels", "8", "8", "8", "--model.textures", "4", "4", "0",
    "--model.discriminator-channels", "8", "8", "8", "8", "8",
]  # fmt: skip

POSE = ["transfer", "--checkpoint", "{shipped}", "--reference", "a.jpg", "--keypoints", "k.txt", "--out", "x.png"]

FILM = ["animate", "--poses", "turn", "--synthetic", "0", "--out", "x.gif"]

SWAP = ["swap", "--checkpoint", "{shipped}", "--reference", "a.jpg", "--garment", "b.jpg", "--out", "x.png"]


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["nted-lite", *map(str, words)])
    cli.main()


@pytest.mark.slow
def test_train_then_evaluate(monkeypatch, tmp_path, capsys):
    call(monkeypatch, "train", "--preset", "people-64", "--out", tmp_path, "--device", "cpu", *TINY)
    assert json.loads((tmp_path / "config.json").read_text())["channels"] == [8, 8, 8]
    call(monkeypatch, "evaluate", "--checkpoint", tmp_path, "--people", "16")
    assert json.loads((tmp_path / "metrics.json").read_text())["people"] == 16
    assert "16 pairs of the test split" in capsys.readouterr().out


def state(folder):
    return load_file(folder / "state.safetensors")


@pytest.mark.slow
def test_resume_alone_takes_every_option_from_the_folder(monkeypatch, tmp_path, capsys):
    """Stopped at step 2 and resumed with no other option, a training ends with the bits of an undisturbed one."""
    options = [*TINY, "--steps", "4", "--pairs", "2", "--lr", "0.0005", "--seed", "5", "--device", "cpu",
               "--adversarial", "0.3", "--adversarial-start", "1"]  # fmt: skip
    call(monkeypatch, "train", "--out", tmp_path / "whole", *options)
    steps = training.Trainer.train_step
    with monkeypatch.context() as patch:

        def stop(trainer):
            if trainer.step == 3:
                raise KeyboardInterrupt
            return steps(trainer)

        patch.setattr(training.Trainer, "train_step", stop)
        with pytest.raises(SystemExit):
            call(patch, "train", "--out", tmp_path / "stopped", *options, "--checkpoint-every", "2")
    record = (tmp_path / "stopped" / "train.json").read_text()
    capsys.readouterr()
    call(monkeypatch, "train", "--out", tmp_path / "stopped", "--resume")
    assert "changed" not in capsys.readouterr().out
    assert (tmp_path / "stopped" / "train.json").read_text() == record
    whole, stopped = state(tmp_path / "whole"), state(tmp_path / "stopped")
    assert [name for name in whole if not torch.equal(whole[name], stopped[name])] == []


def test_what_a_resume_changes_is_said_and_the_old_record_kept(monkeypatch, tmp_path, capsys):
    call(monkeypatch, "train", "--out", tmp_path, *TINY, "--lr", "0.0005")
    call(monkeypatch, "train", "--out", tmp_path, "--resume", "--steps=3", "--ema", "0.9")
    said = capsys.readouterr().out
    assert "changed on resuming at step 2: train.steps: 2 -> 3" in said and "train.ema: 0.998 -> 0.9" in said
    assert "lr" not in said
    with pytest.raises(SystemExit, match="has weights of its own; omit --init"):
        call(monkeypatch, "train", "--out", tmp_path, "--resume", "--init", shipped("people-64"))
    assert json.loads((tmp_path / "train.json").read_text())["train"]["lr"] == 0.0005
    assert json.loads((tmp_path / "train-until-2.json").read_text())["train"]["steps"] == 2


def test_two_changes_at_one_step_keep_the_record_of_what_was_done(tmp_path):
    for steps, changed_at in ((2, None), (3, 2), (4, 2)):
        checkpoint.write_record(tmp_path, {"preset": "x", "train": {"steps": steps}}, changed_at)
        assert json.loads((tmp_path / "train.json").read_text())["train"]["steps"] == steps
    assert json.loads((tmp_path / "train-until-2.json").read_text())["train"]["steps"] == 2


def test_start_from_shipped_weights(monkeypatch, tmp_path):
    """`--init FOLDER` takes the model's configuration from there, too; the optimiser is fresh."""
    call(monkeypatch, "train", "--out", tmp_path, "--init", shipped("people-64"), "--steps", "1", "--pairs", "1",
         "--draw-ahead", "1", "--lr", "0")  # fmt: skip
    ours, theirs = (NTED.from_pretrained(folder) for folder in (tmp_path, shipped("people-64")))
    assert ours.config == theirs.config
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


def test_start_from_shipped_weights_with_the_training_of_a_variant(monkeypatch, tmp_path):
    call(monkeypatch, "train", "--preset", "l1-only", "--out", tmp_path, "--init", shipped("people-64"), "--steps", "1",
         "--pairs", "1", "--draw-ahead", "1", "--lr", "0")  # fmt: skip
    ours, theirs = (NTED.from_pretrained(folder) for folder in (tmp_path, shipped("people-64")))
    assert ours.config == theirs.config and all(map(torch.equal, ours.parameters(), theirs.parameters()))


def test_start_from_a_model_of_fewer_rows(monkeypatch, tmp_path, capsys):
    """With a larger preset the weights that fit are taken, which is said."""
    call(monkeypatch, "train", "--preset", "people-128", "--out", tmp_path, "--init", shipped("people-64"),
         "--steps", "1", "--pairs", "1", "--draw-ahead", "1", "--lr", "0")  # fmt: skip
    said = r"people-64 does not have all of this model: \d+ of \d+ tensors start at random"
    assert re.search(said, capsys.readouterr().out)
    ours, theirs = (NTED.from_pretrained(folder) for folder in (tmp_path, shipped("people-64")))
    assert ours.config == PRESETS["people-128"].model
    assert torch.equal(ours.renderer.stages[1].conv1.conv.weight, theirs.renderer.stages[1].conv1.conv.weight)


@pytest.mark.slow
def test_from_files_to_a_model_to_pictures(monkeypatch, tmp_path):
    """DeepFashion's format all the way: people written as files, prepared, trained on with every loss, used."""
    pytest.importorskip("lmdb")
    from data_prep.deepfashion import prepare
    from data_prep.people import write_people

    raw, data, run, made = (tmp_path / name for name in ("raw", "data", "run", "made"))
    write_people(raw, train=4, test=1, height=64)
    prepare(raw / "img", raw, data, heights=(64,), threads=1)
    losses = ["--face", "1", "--adversarial", "1", "--adversarial-start", "1", "--perceptual-scales", "2"]
    call(monkeypatch, "train", "--data", data, "--out", run, "--device", "cpu", *TINY, *losses)
    files = ["--images", raw / "img", "--poses", raw / "pose", "--pairs", raw / "test_pairs.txt"]
    call(monkeypatch, "transfer", "--checkpoint", run, *files, "--out", made)
    assert len(list(made.glob("*_to_*.png"))) == 6
    photo, pose = next((raw / "img").rglob("*.jpg")), next((raw / "pose").rglob("*.txt"))
    call(monkeypatch, "transfer", "--checkpoint", run, "--reference", photo, "--keypoints", pose, "--sheet",
         "--out", tmp_path / "one.png")  # fmt: skip
    assert Image.open(tmp_path / "one.png").size == (3 * 44, 64)


def test_the_preset_sets_the_defaults(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "train", "--preset=fashion-256", "--help")
    assert "512 512 512 256 128" in capsys.readouterr().out


@pytest.mark.slow
def test_demo(monkeypatch, tmp_path, capsys):
    call(monkeypatch, "demo", "--out", tmp_path / "demo", "--people", "16")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["entities.png", "repose.png", "swap.png"]
    assert "swap / no swap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train", "--preset", "people-65", "--out", "x"], "no preset 'people-65'; there are people-64, people-128"),
        (["evaluate", "--checkpoint", "nowhere"], "nowhere: no such checkpoint; give a folder"),
        (["evaluate"], "give one of --checkpoint, a model; --pictures, what a model generated; --all, shipped models"),
        (["evaluate", "--checkpoint", "{shipped}", "--data", "nowhere"], "nowhere: no such folder; prepare"),
        (["transfer", "--checkpoint", "{shipped}", "--out", "x.png"], "give --reference and --keypoints, or --pairs"),
        (["transfer", "--checkpoint", "{shipped}", "--out", "x.png", "--reference", "no.jpg", "--keypoints", "k.txt"],
         "no.jpg: not a readable picture (No such file or directory)"),
        ([*POSE, "--frame", "picture"], "--frame picture: name the image whose pixel coordinates the key points use"),
        ([*POSE, "--frame", "256", "--posed", "b.jpg"], "--frame 256 and --posed b.jpg contradict each other"),
        ([*POSE, "--frame", "750"], "frame '750' is none of auto, 256, picture or WIDTHxHEIGHT"),
        ([*POSE, "--min-confidence", "-1"], "min_confidence is -1"),
        (["transfer", "--checkpoint", "x", "--pairs", "p", "--images", "i", "--poses", "k", "--out", "o", "--posed",
          "b.jpg"], "--posed and --name are for a single pose"),
        ([*SWAP, "--vgg19", "v.pth"], "--vgg19 is used only by --refine together with --parser"),
        ([*SWAP, "--name", "b"], "--posed and --name are about --keypoints"),
        *[([*words, "--preset", "people-64"], "people-64 contains its own configuration; omit it") for words in (
            POSE, FILM, [*SWAP, "--keypoints", "k.txt"], ["export", "--checkpoint", "{shipped}", "--out", "o"],
        )],
        ([*FILM, "--scale", "-1"], "scale is -1; give 1 or more"),
        (SWAP, "a: no key points under this name"),
        pytest.param(
            [*SWAP, "--keypoints", "k.txt", "--parser", "{tmp}"], ": not a segmentation model of transformers (",
            marks=pytest.mark.skipif(not find_spec("transformers"), reason="needs the extra photos"),
        ),
        (["train", "--out", "x", "--data", "nowhere", "--device", "cpu"], "nowhere: no such folder; prepare"),
        (["train", "--out", "x", "--features", "resnet", "--device", "cpu"], "no feature network 'resnet'; there are"),
        (["train", "--out", "x", "--pairs", "3", "--accumulate", "2", "--device", "cpu"], "3 pairs per step cannot be"),
        (["train", "--out", "x", "--vgg19", "v.pth", "--device", "cpu"], "--vgg19 is not used with --features peo"),
        (["train-parser", "--out", "{shipped}"], "people-64: holds a model, which would be overwritten"),
        (["train", "--out", "{tmp}/file/x", "--device", "cpu", *TINY], "Not a directory"),
        (["train", "--out", "{tmp}", "--device", "cpu", "--resume"], "nothing to resume"),
        (["train", "--out", "x", "--device", "cuda:7", *TINY], "device 'cuda:7' cannot be used"),
        (["train", "--out", "x", "--device", "nonsense", *TINY], "device 'nonsense' cannot be used"),
        (["train", "--out", "x", "--device", "meta", *TINY], "device 'meta' cannot be used"),
        (["train", "--out", "x", "--device", "cpu", "--mixed-precision", "fp16", *TINY], "fp16 needs an NVIDIA or AMD"),
    ],
)
def test_bad_input_is_one_line(monkeypatch, tmp_path, words, line):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, *(word.format(tmp=tmp_path, shipped=shipped("people-64")) for word in words))
    assert line in str(stopped.value) and "\n" not in str(stopped.value)


def test_the_shipped_models_are_there():
    for name in ("people-64", "people-parser"):
        assert {path.name for path in (shipped(name)).iterdir()} >= {
            "README.md", "metrics.json", "model.safetensors",
        }  # fmt: skip
