"""Reading the text files that people bring: lists, pairs, key points, annotations.

They come from every system and editor, so byte order marks, UTF-16, CRLF and blank lines are all handled here.
"""

import codecs
import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
PICTURES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif",
)  # fmt: skip
"""Endings of picture files, in upper or lower case"""
KEYPOINTS = ("_keypoints.json", ".txt", ".json", ".npy", ".npz", ".csv")
"""Endings of key-point files, in upper or lower case"""
PAIR = "`target,source[,source ...]`"

_ENDINGS = f"({'|'.join(map(re.escape, PICTURES + KEYPOINTS))})"
_ENDING = re.compile(f"{_ENDINGS}+$", re.I)
_TARGET, _SOURCE = {"target", "to"}, {"source", "sources", "reference", "from"}  # words in a header
# WOMEN/Blouses_Shirts/id_00000001/02_1_front is also written
#   fashionWOMENBlouses_Shirtsid0000000102_1front by PATN, ADGAN, PISE and GFLA, some without the underscore, and
#   WOMEN-Blouses_Shirts-id_00000001-02_1_front by DeepFashion-MultiModal.
_DEEPFASHION = re.compile(r"(?:.*/)?(?:fashion)?(WOMEN|MEN)[/-]?([A-Z]\w*?)[/-]?id_?(\d{8})[/-]?(\d\d)_(\d+)_?([a-z]+)")


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with a byte order mark. Raises ValueError, in one line, for other files.
    """
    content = Path(path).read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8 or UTF-16") from None


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The non-blank lines of a text file, stripped, each with its line number, counted from 1.

    Raises OSError if there is no such file, and ValueError like `read_text`.
    """
    numbered = enumerate(read_text(path).splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


# ---------------------------------------------------------------------------------------------------------------- names


def tidy_path(name: str, folders: Sequence[str] = ()) -> str:
    """Normalise a path from a list: forward slashes, no `./`, no leading `img/`, no quotes around it.

    folders  further prefixes to remove, such as "disk/photos"
    """
    name = re.sub(r"(^|/)(\./)+", r"\1", name.strip().strip("\"'").replace("\\", "/"))
    for folder in folders:
        name = name.removeprefix(f"{folder}/")
    return name.lstrip("/").removeprefix("img/")


def without_ending(path: str) -> str:
    """A path without one ending of PICTURES or KEYPOINTS: "a/b.jpg" -> "a/b", but "a/look.1", which has none, stays."""
    return re.sub(f"{_ENDINGS}$", "", path, flags=re.I)


def picture_name(path: str) -> str:
    """The unique name of a picture, from its path or the path of its key points: "img/MEN/a.jpg" -> "MEN/a".

    A picture from DeepFashion gets its name in that data set, no matter in which folder it is or how its path was
    flattened: "fashionWOMENDressesid0000000201_1front.png" -> "WOMEN/Dresses/id_00000002/01_1_front"
    """
    name = _ENDING.sub("", tidy_path(path))
    if known := _DEEPFASHION.fullmatch(name):
        who, kind, person, outfit, view, side = known.groups()
        kind = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind)  # BlousesShirts
        return f"{who}/{kind}/id_{person}/{outfit}_{view}_{side}"
    return name


def find_files(folder: Path, endings: Sequence[str]) -> list[Path]:
    """The files below a folder with one of these endings, in upper or lower case, sorted, without hidden ones."""

    def hidden(path: Path) -> bool:
        return any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)

    found = (path for path in folder.rglob("*") if path.name.lower().endswith(tuple(endings)))
    return sorted(path for path in found if not hidden(path))


def by_name(folder: Path, endings: Sequence[str]) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """The files below a folder, by picture name. -> unique names: file; names that several files share: these files"""
    found = defaultdict(list)
    for path in find_files(folder, endings):
        found[picture_name(path.relative_to(folder).as_posix())].append(path)
    single = {name: paths[0] for name, paths in found.items() if len(paths) == 1}
    return single, {name: paths for name, paths in found.items() if len(paths) > 1}


# ---------------------------------------------------------------------------------------------------------------- pairs


class Item(NamedTuple):
    """One line of a list of pairs: the picture to generate, and pictures of the same person to generate it from."""

    target: str
    sources: tuple[str, ...]


def read_pairs(path: str | Path, folder: Path | None = None) -> list[tuple[int, Item]]:
    """The items of a list of pairs, each with its line number; paths are normalised by `tidy_path`.

    Raises ValueError, in one line, like `pair_lines` and for a line that is not an item.
    """
    items = []
    for number, item in pair_lines(path, folder):
        if isinstance(item, str):
            raise ValueError(f"{path}, line {number}: {item}")
        items.append((number, item))
    if not items:
        raise ValueError(f"{path}: the list of pairs is empty; write lines {PAIR}")
    return items


def pair_lines(path: str | Path, folder: Path | None = None, headed: bool = False) -> list[tuple[int, Item | str]]:
    """Every line of a list of pairs, with its number: an item, or what is wrong with the line.

    path    a file with lines `target,source[,source ...]`; a header like `from,to` or `source,target` changes the order
    folder  folder of the pictures, which paths may start with
    headed  whether a header is required, because the file comes from elsewhere and its order is unknown
    raises  ValueError if there is no such file, if it is not text, or if its columns cannot be identified
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such list of pairs")
    advice = f"write lines {PAIR}" + " into train_pairs.txt or test_pairs.txt" * headed
    folders = [path.as_posix() for path in (folder, folder.resolve())] if folder else []
    rows = [(number, _cells(line, folders)) for number, line in read_lines(path)]
    if not (rows and _is_header(*(cells for _, cells in rows[:2]))):
        if headed:
            raise ValueError(f"{path}: no header like from,to says which column is the target; {advice}")
        return [(number, _item(cells)) for number, cells in rows]
    (number, titles), *rows = rows
    order, said = _order(titles), f"the header {','.join(titles)}"
    wider = bool(rows) and all(len(cells) > len(titles) for _, cells in rows)
    if order is None or (wider and headed):
        raise ValueError(f"{path}, line {number}: {said} does not say which column is the target; {advice}")
    if wider:
        problem = f"{said} does not fit the lines below it; they are read as {PAIR}"
        return [(number, problem), *((number, _item(cells)) for number, cells in rows)]

    def ordered(cells: list[str]) -> Item | str:
        if len(cells) > len(titles):
            return f"{len(cells)} columns below a header of {len(titles)}"
        return _item([cells[column] for column in order if column < len(cells)])

    return [(number, ordered(cells)) for number, cells in rows]


def _cells(line: str, folders: Sequence[str]) -> list[str]:
    """The paths in a line. Some spreadsheets write semicolons or tabs instead of commas, or pad short lines with them.
    """
    mark = next((mark for mark in ",;\t" if mark in line), ",")
    cells = [tidy_path(cell, folders) for cell in next(csv.reader([line], delimiter=mark, skipinitialspace=True))]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _is_header(cells: list[str], below: Sequence[str] = ()) -> bool:
    """Whether a first line is a header: no paths, but known titles, or anything above paths that have endings."""
    if any("/" in cell or _ENDING.search(cell) for cell in cells):
        return False
    return _order(cells) is not None or any(_ENDING.search(cell) for cell in below)


def _order(titles: list[str]) -> list[int] | None:
    """The columns of the target and the sources, in this order; None if the titles do not say."""
    words = [set(re.split("[^a-z]+", title.lower())) for title in titles]
    targets, sources = ([i for i, of_title in enumerate(words) if of_title & known] for known in (_TARGET, _SOURCE))
    return targets + sources if len(targets) == 1 and sources and targets[0] not in sources else None


def _item(paths: list[str]) -> Item | str:
    """The item in a line's paths, or what is wrong with them."""
    line = ",".join(paths)
    if len(paths) < 2:
        return f"{line!r} is one path where {PAIR} was expected"
    if not all(paths):
        return f"{line!r} has nothing between two commas, or before one"
    return Item(paths[0], tuple(paths[1:]))
