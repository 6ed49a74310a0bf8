"""The command `evaluate`: no option is ignored, no measure is lost to a smaller one, and one table shows all models."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from nted_lite import NTED, cli
from nted_lite.checkpoint import save_model
from nted_lite.evaluation import results, run
from nted_lite.variants import FULL, VARIANTS
from nted_lite.weights.hub import shipped


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["nted-lite", *map(str, words)])
    cli.main()


def refusal(monkeypatch, *words):
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, *words)
    line = str(stopped.value)
    assert "\n" not in line
    return line


def people(count, split="test", size=(64, 44)):
    return {"people": count, "split": split, "size": list(size)}


def pictures(count, size=(256, 176)):
    return {"protocol": {"size": list(size), "generated": {"pictures": count}}}


# ------------------------------------------------------------------------------------------------------ what is kept


@pytest.mark.parametrize(
    ("there", "new", "replaced"),
    [
        (people(1024), people(4), False),
        (people(1024), people(1023), False),
        (people(1024), people(1024), True),
        (people(16), people(1024), True),
        (people(16), people(1024, "validation"), False),
        (people(16), people(1024, size=(128, 88)), False),
        (pictures(8), pictures(8), True),
        (pictures(8), pictures(7), False),
        (pictures(8), pictures(9, (64, 44)), False),
        (people(16), pictures(8570), False),
        ({"steps": 1500, "mean_iou": 0.78}, people(1024), False),
        ([1], people(1024), False),
        ("no JSON", people(1024), False),
    ],
)
def test_measures_are_replaced_by_as_many_of_the_same_kind(there, new, replaced, tmp_path):
    file = tmp_path / "metrics.json"
    file.write_text(there if isinstance(there, str) else json.dumps(there))
    before = file.read_bytes()
    line = results.keep(new, file)
    assert "\n" not in line and (file.read_bytes() != before) == replaced
    assert line == f"written to {file}" if replaced else line.startswith(f"not written: {file} holds measures of ")
    if not replaced:
        assert "--out FILE` keeps them elsewhere, or replaces those" in line
    assert results.keep(new, file, asked=True) == f"written to {file}" and json.loads(file.read_text()) == new


@pytest.mark.parametrize("names", [("epoch_100.pt", "epoch_200.pt"), ("list.csv", "list.txt")])
def test_files_in_one_folder_keep_their_own_measures(names, tmp_path):
    for number, name in enumerate(names):
        (tmp_path / name).touch()
        assert run._keep(pictures(8) | {"fid": number}, tmp_path / name, None).startswith("written to ")
    assert sorted(json.loads(file.read_text())["fid"] for file in tmp_path.glob("*metrics.json")) == [0, 1]


def test_measures_make_the_folder_that_is_asked_for(tmp_path):
    assert results.keep(people(4), tmp_path / "a/b/m.json", asked=True) == f"written to {tmp_path / 'a/b/m.json'}"
    with pytest.raises(ValueError, match="cannot be written"):
        results.keep(people(4), tmp_path, asked=True)


@pytest.mark.slow
def test_a_few_people_do_not_replace_shipped_measures(monkeypatch, tmp_path, capsys):
    folder = shutil.copytree(shipped("people-64"), tmp_path / "people-64")
    before = (folder / "metrics.json").read_bytes()
    call(monkeypatch, "evaluate", "--checkpoint", folder, "--people", 4)
    assert (folder / "metrics.json").read_bytes() == before
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"not written: {folder}/metrics.json holds measures of 1,024 people of the test split")
    other = tmp_path / "other.json"
    call(monkeypatch, "evaluate", "--checkpoint", folder, "--people", 4, "--split", "validation", "--out", other)
    assert json.loads(other.read_text())["split"] == "validation"
    assert "4 pairs of the validation split" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------- no option is ignored


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "give one of --checkpoint, a model; --pictures, what a model generated; --all, shipped models"),
        ("--all --checkpoint {0}", "give one of --checkpoint"),
        ("--pictures {1} --checkpoint {0}", "give one of --checkpoint"),
        ("--checkpoint {0} --truth {1}", "--truth: not used on synthetic people"),
        ("--checkpoint {0} --height 64", "--height: not used on synthetic people"),
        ("--checkpoint {0} --preset people-64", "--preset (a folder contains its own configuration): not used"),
        ("--checkpoint {0} --layout padded --reference-set {1}", "--reference-set, --layout: not used on synthetic"),
        ("--checkpoint {0} --data {1} --people 4", "--people: not used on photographs"),
        ("--checkpoint {0} --data {1} --split test", "--split: not used on photographs"),
        ("--checkpoint {0}/model.safetensors --preset people-64", "--preset (a folder contains its own configuration)"),
        ("--checkpoint {0} --people 4 --out {1}", "a folder; give --out the name of a file"),
        ("--pictures {1} --truth {1} --people 4", "--people: not used with --pictures"),
        ("--pictures {1} --truth {1} --preset people-64", "--preset: not used with --pictures"),
        ("--all --split validation", "--split: not used with --all"),
        ("--checkpoint {0} --device cuda:99", "device 'cuda:99' cannot be used"),
        ("--pictures {1} --truth {1} --device abacus", "device 'abacus' cannot be used"),
        ("--checkpoint runs/nowhere/at-all", "runs/nowhere/at-all: no such checkpoint"),
        ("--checkpoint {0} --people 1", "people is 1: intervals and Frechet distances need 2 or more"),
    ],
)
def test_options_that_would_be_ignored_are_refused(words, line, monkeypatch, tmp_path):
    assert line in refusal(monkeypatch, "evaluate", *words.format(shipped("people-64"), tmp_path).split())


@pytest.mark.parametrize("option", ["--split train", "--layout cropped"])
def test_choices_are_checked(option, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, "evaluate", "--checkpoint", shipped("people-64"), *option.split())
    assert option.split()[1] in "".join(capsys.readouterr())


def test_pictures_and_their_layout(monkeypatch, tmp_path, capsys):
    noise = np.random.default_rng(4)  # always the same: by chance, noise may look like other noise squeezed
    for folder, shape in (("a", (64, 64, 3)), ("b", (64, 44, 3))):
        (tmp_path / folder).mkdir()
        for n in range(2):
            Image.fromarray(noise.integers(0, 256, shape, np.uint8)).save(tmp_path / folder / f"{n}.png")
    words = ["evaluate", "--pictures", tmp_path / "a", "--truth", tmp_path / "b", "--height", 64]
    assert "--layout padded" in refusal(monkeypatch, *words)
    call(monkeypatch, *words, "--layout", "squeezed")
    assert "stretched 2, layout squeezed, as --layout says" in capsys.readouterr().out
    saved = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert saved["protocol"]["generated"]["read"] == {"stretched": 2}


# --------------------------------------------------------------------------------------------------------- all models


@pytest.mark.slow
def test_every_shipped_model_is_measured(monkeypatch, small, tmp_path, capsys):
    for name in ("b-model", "a-model"):
        save_model(NTED(small), tmp_path / name)
    save_model(VARIANTS["modulated"].network(FULL), tmp_path / "variants" / "modulated-seed-1")
    (tmp_path / "a-model" / "metrics.json").write_text(json.dumps(people(1024)))  # of an earlier version, and larger
    (tmp_path / "parser").mkdir()
    monkeypatch.setattr(run.hub, "shipped", lambda name: tmp_path / name)
    call(monkeypatch, "evaluate", "--all", "--people", 3)
    assert f"not written: {tmp_path / 'a-model/metrics.json'}" in capsys.readouterr().out
    assert "| **a-model** | 64x44 | 1,024 | - | - |" in (tmp_path / "RESULTS.md").read_text()
    (tmp_path / "a-model" / "metrics.json").unlink()
    call(monkeypatch, "evaluate", "--all", "--people", 3)
    printed = capsys.readouterr().out
    assert all(f"written to {tmp_path / name}" in printed for name in ("RESULTS.md", "b-model/metrics.json"))
    table = [line for line in (tmp_path / "RESULTS.md").read_text().splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in table[2:]] == [
        "| copying the photo", "| an oracle: ground truth parts in the photo's mean colours",
        "| **a-model**", "| **b-model**", "| **variants/modulated-seed-1**",
    ]  # fmt: skip
    assert len({line.count("|") for line in table}) == 1
    for name in ("a-model", "b-model"):
        measured = json.loads((tmp_path / name / "metrics.json").read_text())
        value = measured["similarity"]["model"]["psnr"]
        row = next(line for line in table if name in line)
        assert f"{value['mean']:.2f} ± {(value['high'] - value['low']) / 2:.2f}" in row
        assert f"{measured['fd_people']['rows']['model']:.2f}" in row
        assert f"| {max(found['grouped'] for found in measured['groups']):.3f} ± " in row
        assert f"| {measured['swap_of_bound']['inside']['mean']:.3f} ± " in row


def test_a_damaged_file_costs_nobody_else_the_table(tmp_path):
    for name, content in (("a", '{"people": 8'), ("b", "[1]"), ("c", '{"steps": 3}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(content)
    assert results.write_table(tmp_path).read_text() == results.markdown({})


def test_the_table_of_a_model_without_textures():
    """A variant without maps has neither entities nor transport, and its intervals are shown nevertheless."""
    interval = {"mean": 1.0, "low": 0.5, "high": 1.5}
    rows = {row: {"psnr": interval, "ssim": interval, "person_psnr": interval} for row in ("model", *results.BASELINES)}
    measured = people(8) | {
        "similarity": rows, "seen": {}, "patterns": {"model": {"fine": {"mean": None, "low": None, "high": None}}},
        "transport": {}, "entities": [], "groups": [], "swap_of_bound": {"inside": interval, "outside": interval},
        "fd_people": {"rows": dict.fromkeys(rows, 2.0)},
    }  # fmt: skip
    last = results.markdown({"concat": measured}).splitlines()[-1]
    assert last.split(" | ")[:6] == ["| **concat**", "64x44", "8", "1.00 ± 0.50", "1.000 ± 0.500", "1.00 ± 0.50"]
    assert last.split(" | ")[8:] == ["-", "-", "-", "-", "-", *["1.000 ± 0.500"] * 2, "2.00 |"]


def test_a_model_on_another_device_gives_the_same(small):
    """What is drawn, and what is counted, follows the model."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    from nted_lite.evaluation.people import evaluate_people
    from nted_lite.features import people_parser

    model = NTED(small).eval()
    here, there = (evaluate_people(model.to(device), people_parser(), people=8) for device in ("cpu", "cuda"))
    for row, values in here["similarity"].items():
        for name, value in values.items():
            assert value["mean"] == pytest.approx(there["similarity"][row][name]["mean"], rel=1e-2), (row, name)
