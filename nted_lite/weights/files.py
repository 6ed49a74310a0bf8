"""Opening weight files from any origin as plain tensors, so that a file can never run code."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

AGAIN = "copy or download it again"
INSTEAD = (
    (rb"\Z", f"is empty: {AGAIN}"),
    (rb"\s*<(!doctype|html|head|body|script|\?xml|!--)", "is a web page, not weights: the link leads to a page that "
     "has to be clicked through; open it in a browser, and keep what the download button gives"),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the weights: fetch them with `git lfs pull`"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "is a packed archive: unpack it, and give the file inside"),
    (rb"\x89PNG|\xff\xd8\xff|%PDF|\x7fELF", "is no file of weights but a picture, a document or a program"),
)  # fmt: skip
"""First bytes of files that hold no weights -> what they are"""

ALONE = "save the tensors alone, torch.save({'net_G_ema': checkpoint['net_G_ema']}, 'tensors.pt')"


def open_tensors(path: Path) -> Mapping:
    """The dictionary in a file written by `torch.save` or safetensors, whatever its suffix.

    Besides tensors, it may hold plain Python values, and NumPy numbers and arrays. Raises ValueError, in one line that
    says what is wrong, if the file is something else, is damaged, or requires code to run.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(4096)
    for pattern, what in INSTEAD:
        if re.match(pattern, start, re.I):
            raise ValueError(f"{path}: {what}")
    if _is_text(start):
        raise ValueError(f"{path}: is text, not weights; it begins with {start[:40].decode('ascii', 'replace')!r}")
    try:
        if start[8:9] == b"{":  # after the length of the header
            return load_file(path)
        with torch.serialization.safe_globals(NUMPY):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        raise ValueError(f"{path}: {_problem(path, start, error)}") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{path}: holds a {type(found).__name__}, not a dictionary of tensors")
    return found


def _is_text(start: bytes) -> bool:
    return not re.search(rb"[^\t\n\r\x20-\x7e]", start)


def _problem(path: Path, start: bytes, error: Exception) -> str:
    """Why a file could not be opened, in one line."""
    if wanted := re.search(r"GLOBAL (\S+)", str(error)):  # the class or function that a pickle asks for
        return f"it holds a {wanted[1]}, which only running code could read; in the program that wrote it, {ALONE}"
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                return f"is a zip archive of other files ({archive.namelist()[0]} ...): unpack it, and give one of them"
    return f"not a file of plain tensors, or damaged, or cut short ({type(error).__name__}): {AGAIN}"


def _numpy() -> list:
    """What unpickling NumPy's numbers and arrays calls: functions that only fill memory and are therefore safe.

    Their modules have different names in NumPy 1 and 2, and a file contains the name from the version that wrote it.
    """
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]

    def named(function, module: str):
        def call(*values):
            return function(*values)

        call.__module__, call.__name__, call.__qualname__ = module, function.__name__, function.__name__
        return call

    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    types = {type(np.dtype(code)) for code in np.typecodes["All"] if code != "O"}  # "O" holds any object
    return [np.ndarray, np.dtype, *types, *(named(f, module) for f in (scalar, array) for module in modules)]


NUMPY = _numpy()
