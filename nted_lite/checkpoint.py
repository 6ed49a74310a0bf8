"""What training writes and reads back, safe against crashes; and loading the model of any checkpoint.

A machine may die at any moment, even in the middle of writing. So each file is written under another name, flushed to
the disk, and then renamed: there is either the old content or the new, never half of it. All tensors are stored as
safetensors, a format that cannot run code.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from textwrap import shorten

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from nted_lite.config import ModelConfig, TrainConfig, model_config
from nted_lite.images import reason
from nted_lite.model import NTED
from nted_lite.weights import hub


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping | None = None) -> None:
    """Write tensors, and a small JSON-serialisable dictionary, as one safetensors file.

    Raises OSError, in one line, if that fails, for example because the disk is full; an earlier file stays intact.
    """
    aside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(tensors, aside, {"about": json.dumps(about or {})})
        put_in_place(aside, path)
    except (OSError, SafetensorError) as error:
        kept = "; the previous one is intact" if path.is_file() else ""
        with suppress(OSError):
            aside.unlink()
        raise OSError(f"{path}: could not be written ({error}){kept}") from error


def put_in_place(aside: Path, path: Path) -> None:
    """Flush a finished file to the disk, then give it its name, atomically."""
    with open(aside, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(aside, path)
    if os.name == "posix":  # the new name survives a crash once the folder is flushed, too
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def read(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `write` wrote: tensors on the CPU, and the dictionary. Raises ValueError, in one line, if it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({' '.join(str(error).split())})") from error


def save_model(model: NTED, folder: Path) -> None:
    """Write config.json and model.safetensors for `NTED.from_pretrained`, each completely or not at all.

    Raises OSError, in one line, if that fails; earlier files stay intact.
    """
    aside = folder / "new"
    try:
        model.save_pretrained(aside)
        for name in (hub.CONFIG, hub.WEIGHTS):  # and not the README that the hub's library makes
            put_in_place(aside / name, folder / name)
    except (OSError, SafetensorError) as error:
        raise OSError(f"{folder}: the model could not be written ({error})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Adam's two averages and step count for every parameter: "parameter number.name" -> tensor."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def load_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`; learning rate and betas are left alone, as they come from the configuration.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


RECORD, VERSION = "train.json", 2


def write_record(folder: Path, record: Mapping, changed_at: int | None = None) -> None:
    """Write the options of a training run to train.json in its folder.

    changed_at  the step at which options were changed, if they were: the previous record is kept as
                train-until-STEP.json
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / RECORD
    before = folder / f"train-until-{changed_at}.json"
    if changed_at is not None and not before.exists():  # of several changes at one step, the first ended what was done
        shutil.copyfile(file, before)  # a copy: without train.json, even for a moment, nothing could be resumed
    aside = folder / f"{RECORD}.new"
    plain = {name: asdict(value) if is_dataclass(value) else value for name, value in record.items()}
    aside.write_text(json.dumps({"version": VERSION, **plain}, indent=2, default=str) + "\n")
    put_in_place(aside, file)


def read_record(folder: Path) -> dict:
    """The options that a run was started with. Raises ValueError, in one line, if they are missing or outdated."""
    file = folder / RECORD
    if not file.is_file():
        raise ValueError(f"{file}: nothing to resume there; start without --resume")
    try:
        record = json.loads(file.read_text())
        if record.pop("version", 1) != VERSION:
            raise ValueError("written by an earlier version; start a new training from its weights with --init")
        record |= {name: Path(record[name]) for name in ("data", "vgg19") if record.get(name)}
        return record | {"model": ModelConfig.from_dict(record["model"]), "train": TrainConfig(**record["train"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: {' '.join(str(error).split())}") from error


def differences(before: Mapping, after: Mapping) -> list[str]:
    """One line for each option that has changed: "train.lr: 0.004 -> 0.0005"."""
    old, new = (dict(_flat(record)) for record in (before, after))
    return [f"{name}: {old.get(name)} -> {value}" for name, value in new.items() if old.get(name) != value]


def _flat(values: object, name: str = "") -> Iterator[tuple[str, object]]:
    values = asdict(values) if is_dataclass(values) else values
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    else:
        yield name, values


def config_of(checkpoint: str | Path, otherwise: ModelConfig) -> ModelConfig:
    """The configuration of a checkpoint, or `otherwise` for a published file, which does not contain one.

    Raises ValueError like `load_model`.
    """
    if _folder_of(checkpoint).is_file():
        return otherwise
    with torch.device("meta"):
        return NTED.described_in(hub.model_folder(_folder_of(checkpoint)) / hub.CONFIG).config


def _folder_of(checkpoint: str | Path) -> Path:
    """The folder of a model, even if the path names one of the files in it; any other path unchanged."""
    path = Path(checkpoint)
    return path.parent if path.name in (hub.CONFIG, hub.WEIGHTS) and (path.parent / hub.CONFIG).is_file() else path


def load_model(
    checkpoint: str | Path, preset: str | ModelConfig = "fashion-256", device: str | torch.device = "cpu"
) -> NTED:
    """The model of a checkpoint, ready for use on a device.

    checkpoint  a folder with config.json and model.safetensors; a hub id, "user/name"; or a published .pt, .pth or
                .safetensors file
    preset      the preset, or the configuration, that a published file was trained with; a folder contains its own
    returns     the model in evaluation mode, on `device`
    raises      ValueError, in one line, if the checkpoint is missing, damaged or from another preset, if the preset is
                unknown, or if the device is not available
    """
    file, config = _folder_of(checkpoint), model_config(preset)
    if file.is_file():
        try:
            model = NTED.from_official(file, config)
        except ValueError as error:
            if str(error).startswith(f"{file}: "):  # it cannot be opened
                raise
            why = shorten(reason(error), 300, placeholder=" ...")
            raise ValueError(f"{file}: not a published {preset} model; use another file or preset ({why})") from error
    else:
        model = NTED.from_pretrained(file)
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {str(device)!r} cannot be used ({reason(error)})") from error
