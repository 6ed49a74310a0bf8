"""Checkpoints of any origin load completely, or one line says what they are; they never run code."""

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_golden import CONFIG, golden

from nted_lite import NTED, ModelConfig, config, preset
from nted_lite.checkpoint import config_of, load_model, save_model
from nted_lite.config import Preset
from nted_lite.weights import hub
from nted_lite.weights.files import open_tensors
from nted_lite.weights.hub import shipped
from nted_lite.weights.official import read


def one_line(call, *arguments):
    with pytest.raises(ValueError) as refused:
        call(*arguments)
    line = str(refused.value)
    assert "\n" not in line and len(line) < 700
    return line


@pytest.fixture
def state():
    return dict(golden("generator_64")[0])


# ------------------------------------------------------------------------------------------------------ published files


def test_published_files(tmp_path, monkeypatch):
    state, inputs, outputs = golden("generator_64")
    monkeypatch.setitem(config.PRESETS, "golden", Preset(CONFIG, preset("people-64").train))
    torch.save({"net_G_ema": state, "current_epoch": 1}, tmp_path / "a.pt")
    torch.save({"net_G_ema": state}, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    save_file(state, tmp_path / "safetensors.bin")
    for name in ("a.pt", "a.pth", "a.safetensors", "safetensors.bin"):
        loaded = load_model(tmp_path / name, "golden")
        with torch.no_grad():
            image = loaded(inputs["source_image"], inputs["target_skeleton"]).image
        torch.testing.assert_close(image, outputs["fake_image"].float(), rtol=1e-4, atol=1e-4)
        assert not loaded.training


@pytest.mark.parametrize("before", ["", "module.", "module.module.", "_orig_mod.", "_orig_mod.module."])
def test_what_wrappers_put_before_names(before, state):
    wanted = NTED.from_official(state, CONFIG).state_dict()
    found = NTED.from_official({"net_G_ema": {before + name: value for name, value in state.items()}}, CONFIG)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(dtype, state, tmp_path):
    torch.save({"net_G_ema": {name: value.to(dtype) for name, value in state.items()}}, tmp_path / "a.pt")
    found = NTED.from_official(tmp_path / "a.pt", CONFIG).state_dict()
    wanted = NTED.from_official(state, CONFIG).state_dict()
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, wanted[name].to(dtype).float(), rtol=1e-6, atol=0)


def test_whole_numbers_are_no_weights(state):
    name = "reference_encoder.first.conv.weight"
    state[name] = state[name].to(torch.int8)
    assert f"{name} is torch.int8" in one_line(NTED.from_official, state, CONFIG)


def test_our_own_names_are_read_from_a_file(tiny, tmp_path):
    model = NTED(tiny)
    torch.save({"net_G_ema": model.state_dict()}, tmp_path / "a.pt")
    found = NTED.from_official(tmp_path / "a.pt", tiny).state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in model.state_dict().items())


# ----------------------------------------------------------------------------------------------- what else a file holds

SCALARS = {
    "a float64": np.float64(14.2), "a float32": np.float32(2e-3), "a whole number": np.int64(7), "text": np.str_("b"),
    "a bool": np.bool_(True), "an array": np.arange(6.0).reshape(2, 3), "a list of them": [np.float16(1), np.uint8(2)],
    "a date": np.datetime64("2022-06-19"), "a random state": np.random.RandomState(0).get_state(),
}  # fmt: skip


@pytest.mark.parametrize("what", SCALARS)
def test_numpy_values_beside_tensors(what, state, tmp_path):
    """A learning rate, a FID, a random state ...: what training loops leave in a checkpoint."""
    torch.save({"net_G_ema": state, "kept": SCALARS[what]}, tmp_path / "a.pt")
    found = open_tensors(tmp_path / "a.pt")
    assert str(found["kept"]) == str(SCALARS[what])
    assert NTED.from_official(tmp_path / "a.pt", CONFIG).config == CONFIG


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_of_either_generation_wrote_it(module, tmp_path, monkeypatch):
    """NumPy 1 and 2 call the same function by different names."""
    scalar = np.float64(0).__reduce__()[0]
    content = pickle.dumps({"lr": np.float64(0.5)}, protocol=2)
    written = f"c{scalar.__module__}\nscalar".encode()
    assert written in content
    torch.save({"lr": 0.0}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "a.pt", "w") as changed:
        for name in plain.namelist():
            replaced = content.replace(written, f"c{module}\nscalar".encode())
            changed.writestr(name, replaced if name.endswith("data.pkl") else plain.read(name))
    assert open_tensors(tmp_path / "a.pt") == {"lr": 0.5}


def test_numpy_arrays_in_place_of_tensors(state, tmp_path):
    torch.save({"net_G_ema": {name: value.numpy() for name, value in state.items()}}, tmp_path / "a.pt")
    wanted = NTED.from_official(state, CONFIG).state_dict()
    found = NTED.from_official(tmp_path / "a.pt", CONFIG).state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("where", ["beside tensors", "in an array"])
@pytest.mark.parametrize("how", ["zip", "legacy", "plain pickle"])
def test_code_in_a_file_is_not_run(how, where, tmp_path):
    trace, path = tmp_path / "it ran", tmp_path / "bomb.pt"
    bomb = Bomb(trace)
    content = {"net_G_ema": {"weight": torch.ones(2)}, "kept": np.array([bomb]) if where == "in an array" else bomb}
    pickle.loads(pickle.dumps(bomb))
    assert trace.exists()  # the bomb works
    trace.unlink()
    if how == "plain pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    line = one_line(read, path, "net_G_ema")
    assert not trace.exists()
    assert "weights_only" not in line  # and no advice to run it
    assert "which only running code could read" in line or "not a file of plain tensors" in line


class Options:
    """A class of somebody's program."""


@pytest.mark.parametrize("kept", [Options(), [Options()], {"options": Options()}])
def test_objects_of_programs_are_named(kept, tmp_path):
    torch.save({"net_G_ema": {"weight": torch.ones(2)}, "kept": kept}, tmp_path / "a.pt")
    line = one_line(open_tensors, tmp_path / "a.pt")
    assert "it holds a test_checkpoints.Options" in line and "save the tensors alone, torch.save(" in line


# ------------------------------------------------------------------------------------------------- files of other kinds

PAGE = b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head></html>"
OTHER = {
    "a web page": (PAGE, "is a web page, not weights"),
    "a page in capitals": (b"\n  <HTML><BODY>Sign in</BODY></HTML>", "is a web page, not weights"),
    "XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page, not weights"),
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n", "is a Git LFS pointer"),
    "nothing": (b"", "is empty"),
    "a message": (b'{"error": "Repository not found"}', "is text, not weights; it begins with '{\"error\""),
    "words": (b"hello world\n", "is text, not weights; it begins with 'hello world"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "is a packed archive"),
    "rar": (b"Rar!\x1a\x07" + bytes(50), "is a packed archive"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(50), "is no file of weights"),
    "a pickle cut short": (b"\x80\x02", "not a file of plain tensors, or damaged"),
    "zeros": (bytes(200), "not a file of plain tensors, or damaged"),
    "half a zip": (b"PK\3\4" + bytes(100), "not a file of plain tensors, or damaged"),
}


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors", "model.safetensors"])
@pytest.mark.parametrize("kind", OTHER)
def test_a_file_of_something_else_is_called_what_it_is(kind, name, tmp_path):
    content, what = OTHER[kind]
    (tmp_path / name).write_bytes(content)
    line = one_line(read, tmp_path / name, "net_G_ema")
    assert line.startswith(f"{tmp_path / name}: {what}")
    assert one_line(load_model, tmp_path / name, "people-64") == line
    if name == "model.safetensors":  # the same in a model's folder
        (tmp_path / "config.json").write_text("{}")
        assert one_line(load_model, tmp_path) == line


def test_an_archive_of_other_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("weights/latest.pt", b"...")
    assert "is a zip archive of other files (weights/latest.pt ...)" in one_line(open_tensors, tmp_path / "a.pt")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_short(kind, share, state, tmp_path):
    path = tmp_path / ("cut.safetensors" if kind == "safetensors" else "cut.pt")
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "not a file of plain tensors, or damaged, or cut short" in one_line(read, path, "net_G_ema")


def test_a_file_of_a_list(tmp_path):
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    assert "holds a list, not a dictionary" in one_line(read, tmp_path / "list.pt", "net_G_ema")


# -------------------------------------------------------------------------------------------------------------- folders


def test_folders():
    model = load_model(shipped("people-64"))
    assert isinstance(model, NTED) and not model.training
    assert (model.config.height, model.config.width) == (64, 44)
    direct = load_file(shipped("people-64") / "model.safetensors")
    assert all(torch.equal(tensor, direct[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "."])
def test_a_file_of_a_folder_means_the_folder(name, tiny, tmp_path):
    save_model(NTED(tiny), tmp_path)
    assert load_model(tmp_path / name).config == config_of(tmp_path / name, ModelConfig()) == tiny


def bad_checkpoint(folder, kind):
    made = folder / ("a.pt" if kind in ("another preset", "no network") else "a")
    written = json.loads((shipped("people-64") / "config.json").read_text())
    if kind == "another preset":
        torch.save({"net_G_ema": golden("generator_64")[0]}, made)
    elif kind == "no network":
        torch.save({"net_D": {"weight": torch.zeros(1)}}, made)
    elif kind != "missing":
        made.mkdir()
        texts = {
            "not JSON": "{", "a list": "[1]", "no bytes of text": "\udcff", "a wrong value": {"kernels": [1]},
            "a wrong type": {"channels": "abc"}, "no weights": {}, "other weights": {}, "an unknown key": {"width": 3},
        }  # fmt: skip
        text = texts.get(kind, "")
        text = text if isinstance(text, str) else json.dumps(written | text)
        if kind != "no config":
            (made / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    if kind.startswith(("a wrong", "an unknown")):
        shutil.copy(shipped("people-64") / "model.safetensors", made)
    if kind == "other weights":
        save_file({"weight": torch.zeros(1)}, made / "model.safetensors")
    return made


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "{}: no such checkpoint; give a folder"),
        ("another preset", "{}: {another} (the checkpoint does not fit this configuration; missing: "),
        ("no network", "{}: {another} (the checkpoint has no 'net_G_ema'; it has net_D)"),
        ("no config", "{}/config.json: no such file, so no model"),
        ("not JSON", "{}/config.json: {none} (Expecting property name"),
        ("a list", "{}/config.json: {none} ("),
        ("no bytes of text", "{}/config.json: {none} ("),
        ("a wrong value", "{}/config.json: {none} (kernels (1,) and channels ("),
        ("a wrong type", "{}/config.json: {none} ("),
        ("an unknown key", "{}/config.json: {none} (unknown in a model's configuration: width)"),
        ("no weights", "{}/model.safetensors: no such file"),
        ("other weights", "{}/model.safetensors: not the weights of this config.json (Error(s) in loading"),
    ],
)
def test_a_bad_checkpoint_is_named(tmp_path, kind, message):
    path = bad_checkpoint(tmp_path, kind)
    another, none = "not a published people-64 model; use another file or preset", "describes no model"
    assert one_line(load_model, path, "people-64").startswith(message.format(path, another=another, none=none))


def test_bad_presets_and_devices():
    folder = shipped("people-64")
    assert one_line(load_model, folder, "fashion-1024").startswith("no preset 'fashion-1024'; there are")
    for device in ("abacus", "cuda:99"):
        assert one_line(load_model, folder, "people-64", device).startswith(f"device '{device}' cannot be used (")


# -------------------------------------------------------------------------------------------------- the hub, without it


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """The hub's client, which finds no name server and has nothing cached."""
    monkeypatch.chdir(tmp_path)

    def fetch(name, **options):
        raise ConnectionError("[Errno -2] Name or service not known\nAn error happened while locating the files")

    monkeypatch.setattr(hub, "snapshot_download", fetch)


def test_a_hub_id(tiny, tmp_path, monkeypatch):
    model, asked = NTED(tiny), []
    model.save_pretrained(tmp_path)

    def fetch(name, **options):
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    for source in ("somebody/nted.lite_64-b", Path("somebody/nted.lite_64-b")):
        found = load_model(source)
        assert found.config == tiny == config_of(source, ModelConfig())
        assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in model.state_dict().items())
    NTED.from_pretrained("somebody/nted.lite_64-b", revision="v2")
    assert {name for name, _ in asked} == {"somebody/nted.lite_64-b"}
    assert asked[0][1] == {"allow_patterns": ["config.json", "model.safetensors"]}  # and no code, and no .pt
    assert asked[-1][1]["revision"] == "v2"


def test_a_hub_that_cannot_be_reached(no_network):
    line = one_line(load_model, "runs/mine")
    said = "runs/mine: no such checkpoint here, and it could not be downloaded from the hub ([Errno -2] Name or "
    assert line.startswith(said)
    assert "locating" not in line and line.endswith("or a hub id (user/name)")


def test_what_is_no_hub_id_asks_nobody(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    for name in ("nowhere", "a/b/c", "runs/latest.pt", "/no/where", "./a", "~/model", "weights/a.safetensors"):
        assert "no such checkpoint; give a folder" in one_line(load_model, name)


# ----------------------------------------------------------------------------------- a torchvision for another torch

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"
HERE = Path(__file__).resolve().parents[1]


@pytest.fixture
def broken_torchvision(tmp_path):
    """An environment whose torchvision fails on import, and is there for every library that looks for it."""
    files = {"torchvision/__init__.py": BROKEN, "torchvision-0.1.dist-info/METADATA": "Name: torchvision\nVersion: 0.1"}
    for name, content in files.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(content + "\n")

    def python(*words):
        environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
        environment["PYTHONPATH"] = f"{HERE}:{tmp_path / 'site'}"
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        return done

    return python


@pytest.mark.slow
def test_this_torchvision_stops_torchmetrics(broken_torchvision):
    """What the next tests are about is real: a library that is not imported cannot fail."""
    program = "try:\n import torchmetrics\nexcept RuntimeError as error: print(error)"
    assert "nms does not exist" in broken_torchvision("-c", program).stdout


@pytest.mark.slow
@pytest.mark.parametrize("words", ["evaluate --checkpoint {0} --people 2 --out m.json", "demo --people 2 --out demo"])
def test_commands_without_torchvision(words, broken_torchvision):
    done = broken_torchvision("-m", "nted_lite", *words.format(shipped("people-64")).split())
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_only_what_needs_torchvision_asks_for_it(broken_torchvision):
    """Every module can be imported; the networks of LPIPS and FID say how to mend it."""
    modules = sorted(p.relative_to(HERE).with_suffix("").as_posix() for p in (HERE / "nted_lite").rglob("*.py"))
    names = [m.removesuffix("/__init__").replace("/", ".") for m in modules if not m.endswith("__main__")]
    done = broken_torchvision("-c", "\n".join(f"import {name}" for name in names))
    assert done.returncode == 0, done.stderr[-2000:]
    program = (
        "from nted_lite.evaluation import backbones\n"
        "for build in (backbones.lpips, backbones.inception_distance):\n"
        " try: build()\n"
        " except ValueError as error: print(error)\n"
    )
    lines = broken_torchvision("-c", program).stdout.splitlines()
    assert len(lines) == 2 and all("was built for another torch" in line for line in lines)
    assert all("pip install --force-reinstall --no-deps torchvision" in line for line in lines)


@pytest.mark.slow
def test_plotting_loads_no_measures():
    """Pictures are drawn in lessons that have nothing to do with evaluation, and by people without its libraries."""
    program = "import sys, nted_lite.plotting; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=HERE, check=True)
    modules = done.stdout.split()
    assert "nted_lite.plotting.base" in modules
    assert [m for m in modules if m.startswith(("nted_lite.evaluation", "torchmetrics", "torchvision"))] == []
