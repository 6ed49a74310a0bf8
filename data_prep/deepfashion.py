"""Prepare pictures of people for training: frame and resize them into LMDB, and write key points and pairs next to it.

    python data_prep/deepfashion.py --images img_highres --annotations annotations --out data/deepfashion
    python data_prep/deepfashion.py --images mine/photos --annotations mine --frame picture --out data/mine

If it is interrupted, by Ctrl-C, kill -9 or a power cut, start it again: it resumes where it stopped.
"""

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from tqdm.auto import tqdm

from nted_lite.data.deepfashion import columns, require_lmdb
from nted_lite.images import Framing, open_picture, png, read_framing, warn_of_cuts, write_file
from nted_lite.keypoints import PoseOptions, read_pose
from nted_lite.lists import KEYPOINTS, PAIR, PICTURES, Item, by_name, pair_lines, picture_name
from nted_lite.pose import MISSING

SPLITS = ("train", "test")
BATCH = 256  # pictures per transaction, at most so many are lost when it is killed
SMALLEST_MAP = 2**26  # bytes that a new LMDB environment may grow to before its limit is doubled


def prepare(
    images: Path, annotations: Path, out: Path, poses: Path | None = None, heights: tuple[int, ...] = (256,),
    frame: str = "auto", threads: int = os.cpu_count() or 1,
) -> None:  # fmt: skip
    """Prepare DeepFashion, or your own pictures. OUT/problems.txt lists everything missing or broken that is left out.

    Args:
        images: folder of the pictures, with or without sub-folders; for DeepFashion, the content of img_highres.zip
        annotations: folder with the lists train_pairs.txt and test_pairs.txt (or .csv)
        out: folder to write to
        poses: folder of the key points, under the same names as the pictures, or one file, such as PATN's, with those
            of all; if omitted, ANNOTATIONS/pose
        heights: rows of the pictures to store, 256 or 512 or both; there are rows * 11 / 16 columns
        frame: the image whose pixel coordinates the key points use: 256 (256x256, as published), WIDTHxHEIGHT,
            picture (each its own picture), or auto: as the file says, or 256 if the numbers fit
        threads: number of pictures to resize at the same time
    """
    options, poses = PoseOptions(frame), poses or annotations / "pose"
    stores = {height: out / f"{height}-{columns(height)}" for height in heights}
    for folder in (images, annotations, poses):
        if not folder.is_dir() and not (folder == poses and folder.is_file()):
            raise ValueError(f"{folder}: no such folder")
    if out.resolve() in (annotations.resolve(), poses.resolve().parent):
        raise ValueError(f"{out}: your lists or key points there would be overwritten; choose another folder for --out")
    problems: list[str] = []
    pairs = {split: read_list(annotations, split, images, problems) for split in SPLITS}
    named = {name for items in pairs.values() for target, sources in items for name in (target, *sources)}
    pictures = find(images, PICTURES, "picture", named, problems)
    one_file = poses.is_file()
    keypoints = dict.fromkeys(named, poses) if one_file else find(poses, KEYPOINTS, "key points", named, problems)
    out.mkdir(parents=True, exist_ok=True)
    ready = set(pictures)
    for height, store in stores.items():
        stored = fill(store, pictures, height, frame == "picture", threads, problems)
        print(f"{store}: {len(stored)} pictures")
        ready &= stored
    ready &= write_keypoints(out, keypoints, {name: pictures[name] for name in ready}, options, problems)
    kept = {split: write_list(out / f"{split}_pairs.txt", items, ready) for split, items in pairs.items()}
    problems, report = sorted(set(problems)), out / "problems.txt"
    write_file(report, "".join(f"{line}\n" for line in problems).encode())
    listed = f"{len(problems)} problem{'s' * (len(problems) != 1)}, listed in {report}"
    if not any(kept.values()):
        raise ValueError(f"nothing could be prepared: {problems[0]} ({listed})")
    counts = ", ".join(f"{kept[split]} of {len(pairs[split])} {split} items" for split in SPLITS)
    print(f"{out}: {counts}; {listed}")


def find(folder: Path, endings: Sequence[str], what: str, named: set[str], problems: list[str]) -> dict[str, Path]:
    """The files of a folder, by picture name. Names without a file are added to `problems`.

    Raises ValueError, instead of many problems, if no name has a file: then folder and lists do not belong together.
    """
    found, several = by_name(folder, endings)
    there = {*found, *several}
    if not there:
        raise ValueError(f"{folder}: no {what} in it")
    if named and not named & there:
        example = f"the lists name {min(named)}, for example, and the folder has {min(there)}"
        raise ValueError(f"{folder}: no {what} of any of the {len(named)} names in the lists; {example}")
    problems += [f"{one}: has the same name as {another}; keep one of them" for one, another, *_ in several.values()]
    problems += [f"{folder / name}: no such {what}" for name in named - there]
    return found


# ---------------------------------------------------------------------------------------------------------------- lists


def read_list(annotations: Path, split: str, images: Path, problems: list[str]) -> list[Item]:
    """The pairs of a split, as names; bad lines are added to `problems`.

    Raises ValueError, in one line, if there is not exactly one list, or if its columns cannot be identified.
    """
    found = [path for ending in (".txt", ".csv") if (path := annotations / f"{split}_pairs{ending}").is_file()]
    ours = bool(found)  # by another name, fasion-resize-pairs-train.csv of PATN, its columns may be the other way round
    if not ours:
        found = [path for path in sorted(annotations.glob(f"*pairs*{split}*.csv")) if path.name[0] != "."]
    if len(found) != 1:
        several = f"{' and '.join(path.name for path in found) or 'no list'} of {split} pairs"
        raise ValueError(f"{annotations}: {several}; wanted are train_pairs.txt and test_pairs.txt, lines {PAIR}")
    items = []
    for number, item in pair_lines(found[0], images, headed=not ours):
        if isinstance(item, str):
            problems.append(f"{found[0]}, line {number}: {item}")
        else:
            items.append(Item(picture_name(item.target), tuple(map(picture_name, item.sources))))
    problems += [f"{found[0]}: no pairs in it"] * (not items)
    return items


def write_list(path: Path, items: list[Item], ready: set[str]) -> int:
    """Write the items whose pictures are ready, without sources that are not. -> the number of items written"""
    kept = [(target, *(name for name in sources if name in ready)) for target, sources in items if target in ready]
    kept = [names for names in kept if len(names) > 1]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([f"img/{name}.jpg" for name in names] for names in kept)
    write_file(path, text.getvalue().encode())
    return len(kept)


# ----------------------------------------------------------------------------------------------------------- key points


def write_keypoints(
    out: Path, files: dict[str, Path], pictures: dict[str, Path], options: PoseOptions, problems: list[str]
) -> set[str]:
    """Write key points in the published format, in the 256 x 256 frame. -> the names written

    Bad files are added to `problems`. If framing cuts off a large part of some pictures, there is one warning.
    """
    written, framings = set(), {}
    for name in tqdm(sorted(files.keys() & pictures.keys()), desc="key points", unit="file", disable=None):
        try:
            if posed := pictures[name] if options.frame == "picture" else None:
                framings[posed] = read_framing(posed, 256, 176)
            points = read_pose(files[name], 256, 176, options, posed=posed, name=name)
        except ValueError as error:
            problems.append(str(error))
            continue
        points = [(MISSING, MISSING) if (x, y) == (MISSING, MISSING) else (x + 40, y) for x, y in points.tolist()]
        write_file(out / f"pose/{name}.txt", "".join(f"{x:.7g} {y:.7g}\n" for x, y in points).encode())
        written.add(name)
    warn_of_cuts(framings)
    return written


# ------------------------------------------------------------------------------------------------------------- pictures


def fill(
    store: Path, files: dict[str, Path], height: int, own_frame: bool, threads: int, problems: list[str]
) -> set[str]:
    """Add the missing pictures to the LMDB environment `store`: many threads resize, one writes.

    A batch is one transaction, so the store holds complete batches even if this is killed. Unreadable pictures are
    added to `problems`. Raises OSError if the store cannot be written. -> the names of the pictures in the store
    """
    lmdb = require_lmdb()
    encode = partial(read_resized, height=height, own_frame=own_frame)
    try:
        with closing(lmdb.open(str(store), map_size=SMALLEST_MAP)) as environment, ThreadPoolExecutor(threads) as pool:
            with environment.begin() as transaction:
                done = {picture_name(key.decode()) for key in transaction.cursor().iternext(values=False)} - {"length"}
            for batch in _batches(sorted(files.keys() - done), store.name):
                results = dict(zip(batch, pool.map(encode, (files[name] for name in batch)), strict=True))
                problems += [problem for problem in results.values() if isinstance(problem, str)]
                pngs = {name: data for name, data in results.items() if isinstance(data, bytes)}
                _write(environment, {f"img/{name}.png": data for name, data in pngs.items()})
                done |= pngs.keys()
            _write(environment, {"length": f"{len(done):05d}".encode()})
    except lmdb.Error as error:
        raise OSError(f"{store}: cannot be written ({error})") from None
    return done


def _batches(names: list[str], title: str) -> Iterator[list[str]]:
    """The names, BATCH at a time, with a progress bar."""
    with tqdm(total=len(names), desc=title, unit="picture", disable=None) as bar:
        for start in range(0, len(names), BATCH):
            yield names[start : start + BATCH]
            bar.update(len(names[start : start + BATCH]))


def _write(environment, entries: dict[str, bytes]) -> None:
    """Write all entries in one transaction; if the environment is full, double its limit and try again."""
    full = require_lmdb().MapFullError
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in entries.items():
                    transaction.put(key.encode(), value)
            return
        except full:
            environment.set_mapsize(2 * environment.info()["map_size"])


def read_resized(path: Path, height: int, own_frame: bool) -> bytes | str:
    """What a model sees of a picture, as the bytes of a PNG; or one line that says why it cannot be used."""
    try:
        picture = open_picture(path)
    except ValueError as error:
        return str(error)
    framing = Framing.of(*picture.size, height, columns(height))
    if own_frame or framing.kept == 1:
        return png(np.asarray(framing.cut(picture)))
    size = f"{path}: {picture.width} x {picture.height} pixels"
    if picture.size == (256, 256):
        return f"{size}, as in img.zip; take the pictures of img_highres.zip"
    return f"{size} are not 11:16, as key points in the 256 x 256 frame need; for your own, see --frame picture"


def main() -> None:
    """Run from the command line; bad input ends with one clear line."""
    try:
        tyro.cli(prepare)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"data_prep/deepfashion.py: {error}")


if __name__ == "__main__":
    main()
