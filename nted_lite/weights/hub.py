"""Weights that other projects publish: found in torch hub's cache, downloaded into it, and never used unchecked."""

import hashlib
from pathlib import Path

import torch


def weights(url: str, begins: str, file: Path | None = None) -> Path:
    """A published file of weights, on this disk.

    url      where it is published
    begins   how its sha256 begins; libraries load whatever lies in the cache, so it is checked here, before they do
    file     where it is said to be; None: in torch hub's cache, downloaded if it is not there
    raises   ValueError, in one line, if it is not there and cannot be had, or is not what it should be
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


def shipped(name: str) -> Path:
    """The folder of a model that ships with the repository, "people-64" say."""
    return Path(__file__).resolve().parents[2] / "checkpoints" / name
