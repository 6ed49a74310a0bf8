"""One home for reading the text files that people bring: lists, pairs, key points, annotations.

They come from every system and editor, so a byte order mark, UTF-16, CRLF and blank lines are all the same to a reader.
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
"""How the files of pictures end, in either case"""
KEYPOINTS = ("_keypoints.json", ".txt", ".json", ".npy")
"""How the files of key points end, in either case"""
PAIR = "`target,source[,source ...]`"

_ENDING = re.compile(f"({'|'.join(map(re.escape, PICTURES + KEYPOINTS))})+$", re.I)
_TARGET, _SOURCE = {"target", "to"}, {"source", "sources", "reference", "from"}  # words in a header
# WOMEN/Blouses_Shirts/id_00000001/02_1_front is also written
#   fashionWOMENBlouses_Shirtsid0000000102_1front by PATN, ADGAN, PISE and GFLA, some without the underscore, and
#   WOMEN-Blouses_Shirts-id_00000001-02_1_front by DeepFashion-MultiModal.
_DEEPFASHION = re.compile(r"(?:.*/)?(?:fashion)?(WOMEN|MEN)[/-]?([A-Z]\w*?)[/-]?id_?(\d{8})[/-]?(\d\d)_(\d+)_?([a-z]+)")


def read_text(path: str | Path) -> str:
    """A text file in UTF-8, or in UTF-16 with its mark. Raises ValueError, in one line, for a file that is not text."""
    content = Path(path).read_bytes()
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file in UTF-8 or UTF-16") from None


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, stripped, each with its number: 1, 2, 3 ...

    Raises OSError if there is no such file, and ValueError as `read_text`.
    """
    numbered = enumerate(read_text(path).splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]


# ---------------------------------------------------------------------------------------------------------------- names


def tidy_path(name: str, folders: Sequence[str] = ()) -> str:
    """A path in a list as this project writes it: slashes forward, no `./` or `img/` before it, no quotes around it.

    folders  what else is taken away from its beginning, as "/home/anna/photos"
    """
    name = name.strip().strip("\"'").replace("\\", "/")
    for folder in folders:
        name = name.removeprefix(f"{folder}/")
    return name.removeprefix("./").lstrip("/").removeprefix("img/")


def picture_name(path: str) -> str:
    """The one name of a picture, from its path or the path of its key points: "img/MEN/a.jpg" -> "MEN/a".

    A picture of DeepFashion gets its name in that data set, whatever folder it lies in and however it was flattened:
    "fashionWOMENDressesid0000000201_1front.png" -> "WOMEN/Dresses/id_00000002/01_1_front"
    """
    name = _ENDING.sub("", tidy_path(path))
    if known := _DEEPFASHION.fullmatch(name):
        who, kind, person, outfit, view, side = known.groups()
        kind = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind)  # BlousesShirts
        return f"{who}/{kind}/id_{person}/{outfit}_{view}_{side}"
    return name


def find_files(folder: Path, endings: Sequence[str]) -> list[Path]:
    """The files below a folder with one of these endings, in either case, sorted. What is hidden is not there."""

    def hidden(path: Path) -> bool:
        return any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts)

    found = (path for path in folder.rglob("*") if path.name.lower().endswith(tuple(endings)))
    return sorted(path for path in found if not hidden(path))


def by_name(folder: Path, endings: Sequence[str]) -> tuple[dict[str, Path], dict[str, list[Path]]]:
    """The files below a folder by the names of their pictures. -> those with a name of their own; those without"""
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
    """The items of a list of pairs, as `tidy_path` writes their paths, each with the number of its line.

    Raises ValueError, in one line, as `pair_lines` and for a line that is not an item.
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
    """Every line of a list of pairs: an item, or what is wrong with the line.

    path    a file of lines `target,source[,source ...]`; a header like `from,to` or `source,target` changes the order
    folder  of the pictures: paths may begin with it
    headed  the file comes from elsewhere, so only a header can say which column is which
    raises  ValueError if there is no such file, if it is not text, or if its columns are not known
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
    """The paths of a line. Some spreadsheets write semicolons or tabs for commas, or fill short lines up with them."""
    mark = next((mark for mark in ",;\t" if mark in line), ",")
    cells = [tidy_path(cell, folders) for cell in next(csv.reader([line], delimiter=mark, skipinitialspace=True))]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _is_header(cells: list[str], below: Sequence[str] = ()) -> bool:
    """Whether a first line is one of titles: no paths, but known titles, or anything above paths that have endings."""
    if any("/" in cell or _ENDING.search(cell) for cell in cells):
        return False
    return _order(cells) is not None or any(_ENDING.search(cell) for cell in below)


def _order(titles: list[str]) -> list[int] | None:
    """Which columns are the target and the sources, in this order; None: the titles do not say."""
    words = [set(re.split("[^a-z]+", title.lower())) for title in titles]
    targets, sources = ([i for i, of_title in enumerate(words) if of_title & known] for known in (_TARGET, _SOURCE))
    return targets + sources if len(targets) == 1 and sources and targets[0] not in sources else None


def _item(paths: list[str]) -> Item | str:
    """The item of a line's paths, or what is wrong with them."""
    line = ",".join(paths)
    if len(paths) < 2:
        return f"{line!r} is one path where {PAIR} was expected"
    if not all(paths):
        return f"{line!r} has nothing between two commas, or before one"
    return Item(paths[0], tuple(paths[1:]))
