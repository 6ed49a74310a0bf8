"""DeepFashion as nted_lite reads it: pictures resized into LMDB, lists and key point files checked and put beside them.

    python data_prep/deepfashion.py --images img_highres --annotations annotations --out data/deepfashion

Stopped in the middle, by Ctrl-C, kill -9 or a power cut, it goes on where it was when started again.
"""

import io
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import tyro
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from nted_lite.data.deepfashion import picture_name, read_item, require_lmdb
from nted_lite.keypoints import read_keypoints
from nted_lite.pose import MISSING

LISTS = ("train_pairs.txt", "test_pairs.txt", "train.lst", "test.lst")
BATCH = 256  # pictures in a transaction: what a kill can cost
SMALLEST_MAP = 2**26  # bytes that a new LMDB environment may grow to before its limit is doubled


class Problem(NamedTuple):
    """Something missing or broken: where, and why."""

    path: str
    reason: str


def prepare(
    images: Path, annotations: Path, out: Path, heights: tuple[int, ...] = (256,), threads: int = os.cpu_count() or 1
) -> None:
    """Prepare DeepFashion. What is missing or broken is left out, and listed in OUT/problems-HEIGHT-WIDTH.txt.

    Args:
        images: folder of the high-resolution pictures: MEN/ and WOMEN/ lie in it
        annotations: folder with pose/, train_pairs.txt, test_pairs.txt, train.lst and test.lst (may be OUT itself)
        out: folder to write to
        heights: rows of the pictures to store, 256 or 512 or both; columns are rows * 11 / 16
        threads: pictures resized at the same time
    """
    files = {picture_name(path.relative_to(images).as_posix()): path for path in sorted(images.rglob("*.jpg"))}
    if not files:
        raise ValueError(f"{images}: no folder with .jpg pictures in it")
    if not annotations.is_dir():
        raise ValueError(f"{annotations}: no such folder")
    out.mkdir(parents=True, exist_ok=True)
    named, shared = copy_lists(annotations, out)
    shared += [Problem(f"img/{name}.jpg", f"in {named[name]}, but not a picture in {images}") for name in named
               if name not in files]  # fmt: skip
    shared += copy_keypoints(annotations, out, {*named, *files}, named)
    for height in heights:
        store = out / f"{height}-{height * 11 // 16}"
        stored, broken = fill(store, files, height, threads)
        report = out / f"problems-{store.name}.txt"
        lines = [f"{path}: {reason}".replace("\n", " ") + "\n" for path, reason in sorted([*shared, *broken])]
        report.write_text("".join(lines), encoding="utf-8")
        print(f"{store}: {stored} pictures; {len(lines)} problems, listed in {report}")


# ------------------------------------------------------------------------------------------------------- text files


def copy_lists(annotations: Path, out: Path) -> tuple[dict[str, str], list[Problem]]:
    """Copy the lists. -> every picture named in a list of pairs, with that list; what is wrong with them"""
    named, problems = {}, []
    for name in LISTS:
        if not (annotations / name).is_file():
            problems.append(Problem(name, f"not found in {annotations}"))
            continue
        _copy(annotations / name, out / name)
        lines = (out / name).read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines:
            problems.append(Problem(name, "is empty"))
        for number, line in enumerate(lines if name.endswith("_pairs.txt") else (), start=1):
            try:
                target, sources = read_item(line)
                named |= {picture: name for picture in (target, *sources) if picture not in named}
            except ValueError as error:
                problems.append(Problem(f"{name}, line {number}", str(error)))
    return named, problems


def copy_keypoints(annotations: Path, out: Path, names: set[str], needed: dict[str, str]) -> list[Problem]:
    """Copy the key point files of these pictures. -> what is wrong with them; only needed ones must be there"""
    problems = []
    for name in tqdm(sorted(names), desc="key points", unit="file", disable=None):
        path = f"pose/{name}.txt"
        try:
            if (read_keypoints(annotations / path) == MISSING).any(-1).all():
                problems.append(Problem(path, "all 18 key points are missing; kept as it is"))
            _copy(annotations / path, out / path)
        except FileNotFoundError:
            problems += [Problem(path, f"not found in {annotations}")] * (name in needed)
        except (ValueError, OSError) as error:
            problems.append(Problem(path, str(error).removeprefix(f"{annotations / path}: ")))
    return problems


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (target.exists() and target.samefile(source)):
        shutil.copyfile(source, target)


# --------------------------------------------------------------------------------------------------------- pictures


def fill(store: Path, files: dict[str, Path], height: int, threads: int) -> tuple[int, list[Problem]]:
    """Put the pictures that are not there yet into the LMDB environment `store`: many threads resize, one writes.

    A batch is one transaction, so whenever this is killed, the store holds whole batches. Raises OSError if it cannot
    be written. -> the number of pictures in it, and what could not be read
    """
    lmdb, problems = require_lmdb(), []
    encode = partial(read_resized, height=height, width=height * 11 // 16)
    try:
        with closing(lmdb.open(str(store), map_size=SMALLEST_MAP)) as environment, ThreadPoolExecutor(threads) as pool:
            with environment.begin() as transaction:
                done = {picture_name(key.decode()) for key in transaction.cursor().iternext(values=False)} - {"length"}
            missing = sorted(files.keys() - done)
            for batch in _batches(missing, store.name):
                made = dict(zip(batch, pool.map(encode, (files[name] for name in batch)), strict=True))
                problems += [Problem(f"img/{n}.jpg", reason) for n, reason in made.items() if isinstance(reason, str)]
                _write(environment, {f"img/{n}.png": png for n, png in made.items() if isinstance(png, bytes)})
            stored = len(done) + len(missing) - len(problems)
            _write(environment, {"length": f"{stored:05d}".encode()})
    except lmdb.Error as error:
        raise OSError(f"{store}: cannot be written ({error})") from None
    return stored, problems


def _batches(names: list[str], title: str) -> Iterator[list[str]]:
    """The names, BATCH at a time, with a progress bar."""
    with tqdm(total=len(names), desc=title, unit="picture", disable=None) as bar:
        for start in range(0, len(names), BATCH):
            yield names[start : start + BATCH]
            bar.update(len(names[start : start + BATCH]))


def _write(environment, entries: dict[str, bytes]) -> None:
    """All of the entries in one transaction; when the environment is full, its limit is doubled first."""
    full = require_lmdb().MapFullError
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in entries.items():
                    transaction.put(key.encode(), value)
            return
        except full:
            environment.set_mapsize(2 * environment.info()["map_size"])


def read_resized(path: Path, height: int, width: int) -> bytes | str:
    """The whole picture, resized bicubically, as the bytes of a PNG; or why that cannot be, in a few words."""
    try:
        if path.stat().st_size == 0:
            return "the file is empty"
        with Image.open(path) as picture:
            picture.load()
            if not 0.8 < picture.width / picture.height * 16 / 11 < 1.25:
                return f"{picture.width} x {picture.height} pixels are not the shape of a high-resolution picture"
            if picture.mode in ("RGBA", "LA") and picture.getchannel("A").getextrema()[0] < 255:
                return "is transparent"
            if picture.mode not in ("RGB", "L", "CMYK", "RGBA", "LA"):
                return f"has colour mode {picture.mode}, which has no plain conversion to RGB"
            resized = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    except UnidentifiedImageError:
        return "is not a picture"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"cannot be read: {error}"
    png = io.BytesIO()
    resized.save(png, "PNG")
    return png.getvalue()


def main() -> None:
    """Run from the command line; bad input ends in one clear line."""
    try:
        tyro.cli(prepare)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"data_prep/deepfashion.py: {error}")


if __name__ == "__main__":
    main()
