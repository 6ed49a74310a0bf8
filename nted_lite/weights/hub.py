"""Where weights are found: torch hub's cache, the Hugging Face hub, and this repository."""

import hashlib
import re
from pathlib import Path

import torch
from huggingface_hub import snapshot_download

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of a model's folder"""


def weights(url: str, begins: str, file: Path | None = None) -> Path:
    """The local path of a published weight file.

    url      where it is published
    begins   first digits of its sha256; checked here because libraries load whatever they find in the cache
    file     where it should be; None: in torch hub's cache, downloaded if it is not there yet
    raises   ValueError, in one line, if it is missing and cannot be downloaded, or is not the right file
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if file is None and not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(cached), begins)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{cached}: not there, and the download failed ({error}); put {url} there") from error
    file = file or cached
    if not file.is_file():
        raise ValueError(f"{file}: no such file; it is published as {url}")
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(begins):
        found = f"its sha256 begins with {digest[:8]}, not {begins}"
        raise ValueError(f"{file}: damaged, or another file: {found}; replace it by {url}")
    return file


def model_folder(source: str | Path, **options) -> Path:
    """The folder of a model: the one that is named, or a download from the Hugging Face hub.

    source   a folder, or a hub id: "user/name"
    options  of `huggingface_hub.snapshot_download`: revision, token, cache_dir ...
    raises   ValueError, in one line, if it is neither
    """
    name = Path(source).as_posix()
    if Path(source).is_dir():
        return Path(source)
    wanted = f"give a folder with {CONFIG} and {WEIGHTS}, a published .pt file, or a hub id (user/name)"
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or re.search(r"\.(pt|pth|ckpt|bin|safetensors)$", name):
        raise ValueError(f"{name}: no such checkpoint; {wanted}")
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS], **options))
    except Exception as error:  # the hub's own errors, and those of every layer of the network below it
        why = str(error).split("\n")[0].strip()[:160] or type(error).__name__
        here = f"{name}: no such checkpoint here, and it could not be downloaded from the hub"
        raise ValueError(f"{here} ({why}); {wanted}") from error


def shipped(name: str) -> Path:
    """The folder of a model that ships with the repository, such as "people-64"."""
    return Path(__file__).resolve().parents[2] / "checkpoints" / name
