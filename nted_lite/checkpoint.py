"""Files that are whole or not there: what a training writes, and how it reads it again.

A machine may die at any moment, also while it writes. So a file is written under another name, forced to the disk, and
then renamed: the old content or the new, never a half. Everything is safetensors, which cannot run code.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from textwrap import shorten

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from nted_lite.config import model_config
from nted_lite.images import reason
from nted_lite.model import NTED


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping | None = None) -> None:
    """Write tensors, and a small dictionary that JSON can hold, as one safetensors file.

    Raises OSError in one line if that fails, on a full disk say; the file that was there before stays as it was.
    """
    aside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(tensors, aside, {"about": json.dumps(about or {})})
        put_in_place(aside, path)
    except (OSError, SafetensorError) as error:
        kept = "; the one written before it is whole" if path.is_file() else ""
        with suppress(OSError):
            aside.unlink()
        raise OSError(f"{path}: could not be written ({error}){kept}") from error


def put_in_place(aside: Path, path: Path) -> None:
    """Force a finished file to the disk, then give it its name: a step that cannot be seen half done."""
    with open(aside, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(aside, path)
    if os.name == "posix":  # the new name is safe once the folder is on the disk, too
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def read(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], dict]:
    """What `write` wrote. Raises ValueError in one line if the file is damaged."""
    try:
        with safe_open(path, "pt", str(device)) as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, about
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: damaged ({' '.join(str(error).split())})") from error


def save_model(model: NTED, folder: Path) -> None:
    """Write config.json and model.safetensors, each whole or not at all, as `NTED.from_pretrained` reads them.

    Raises OSError in one line if that fails; the files that were there before stay as they were.
    """
    aside = folder / "new"
    try:
        model.save_pretrained(aside)
        for file in sorted(aside.iterdir()):
            put_in_place(file, folder / file.name)
    except (OSError, SafetensorError) as error:
        raise OSError(f"{folder}: the model could not be written ({error})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Adam's two averages and its count of every parameter: "parameter number.name" -> tensor."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}


def load_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo `optimiser_tensors`. The learning rate and the betas stay as they are: they come from the configuration."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def load_model(checkpoint: Path, preset: str = "fashion-256", device: str | torch.device = "cpu") -> NTED:
    """The model of a checkpoint, ready for use on a device.

    checkpoint  a folder with config.json and model.safetensors, or a published .pt, .pth or .safetensors file
    preset      what a published file is a model of; a folder says it itself
    raises      ValueError, in one line, for a checkpoint that is missing, damaged or of another preset, an unknown
                preset, and a device that is not there
    """
    checkpoint, config = Path(checkpoint), model_config(preset)
    if not checkpoint.exists():
        wanted = "a folder with config.json and model.safetensors, or a published .pt file"
        raise ValueError(f"{checkpoint}: no such checkpoint; give {wanted}")
    folder = checkpoint.is_dir()
    try:
        model = NTED.from_pretrained(checkpoint) if folder else NTED.from_official(checkpoint, config)
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        if folder and str(error).startswith(str(checkpoint)):  # it says already which file is wrong
            raise
        why = shorten(reason(error).removeprefix(f"{checkpoint}: "), 300, placeholder=" ...")
        if folder:
            raise ValueError(f"{checkpoint / 'config.json'}: describes no model ({why})") from error
        raise ValueError(f"{checkpoint}: no published {preset}; give another file or preset ({why})") from error
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {str(device)!r} cannot be used ({reason(error)})") from error
