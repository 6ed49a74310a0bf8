"""Pictures that are to be measured: which made one belongs to which true one, and how they are read."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from torch import Tensor

from nted_lite.images import read_image, to_bytes
from nted_lite.transfer import output_name

Picture = str | Path | Tensor
"""A file, or a tensor 3 h w: uint8, or floats in -1..1"""

Matched = list[tuple[Path, Path]]
"""(made, true) files of each pair"""


def read_picture(picture: Picture, height: int, width: int) -> tuple[Tensor, str]:
    """A picture as every measure sees it, and what was done to it.

    picture  a file of any size and mode, read as `transfer.read_image` does; a tensor has the right size already
    returns  3 height width uint8; floats are rounded, so that a picture counts alike before and after it is saved
             "as it is", "resized", or "cut and resized"
    raises   ValueError that names what is wrong with a file or a tensor
    """
    if isinstance(picture, Tensor):
        if tuple(picture.shape) != (3, height, width):
            raise ValueError(f"a picture tensor is {tuple(picture.shape)}; (3, {height}, {width}) are measured")
        if not picture.isfinite().all():
            raise ValueError(f"a picture tensor {tuple(picture.shape)} holds values that are not finite")
        return (to_bytes(picture) if picture.is_floating_point() else picture), "as it is"
    image, seen = read_image(Path(picture), height, width)
    fits = "as it is" if (seen.height, seen.width) == (height, width) else "resized"
    return to_bytes(image), "cut and " * bool(seen.left or seen.top) + fits


def published_name(source: str, target: str) -> str:
    """The name that the published system gives the picture of a DeepFashion pair (their paths, from `img/`)."""

    def name(path: str) -> str:
        *folders, file = PurePosixPath(path).with_suffix("").parts
        return "fashion" + "".join(folders).removeprefix("img").replace("_", "") + file

    return f"{name(source)}_2_{name(target)}_vis.png"


def find_made(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[Path]:
    """The made picture of each DeepFashion pair (source, target), under the name that we or the published system give.

    Raises ValueError that counts what is missing, and names the first of it.
    """
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    names = [(output_name(*pair), published_name(*pair)) for pair in pairs]
    missing = [ours for ours, theirs in names if not {ours, theirs} & there]
    if missing:
        raise ValueError(f"{folder}: {len(missing)} of {len(pairs)} pictures are missing: {_first(missing)}")
    return [folder / (ours if ours in there else theirs) for ours, theirs in names]


def match_pictures(made: Path, true: Path) -> Matched:
    """Which picture belongs to which: two folders that hold the same names, in the same sub-folders, .png or .jpg each.

    Raises ValueError that counts what is missing on either side, and names the first of it.
    """
    of_made, of_true = _by_name(made), _by_name(true)
    lacking = {made: sorted(of_true.keys() - of_made.keys()), true: sorted(of_made.keys() - of_true.keys())}
    lines = [f"{folder} lacks {len(names)} of them: {_first(names)}" for folder, names in lacking.items() if names]
    if lines:
        raise ValueError(f"of {len(of_made)} made and {len(of_true)} true pictures, {'; '.join(lines)}")
    return [(file, of_true[name]) for name, file in of_made.items()]


def all_pictures(folder: Path) -> list[Path]:
    """The pictures below a folder. Raises ValueError if there are none."""
    found = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in (".png", ".jpg", ".jpeg")]
    if not found:
        raise ValueError(f"{folder}: no .png or .jpg there")
    return found


def _by_name(folder: Path) -> dict[str, Path]:
    """The pictures below a folder, by their paths in it without suffix."""
    found: dict[str, Path] = {}
    for file in all_pictures(folder):
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{file} and {found[name].name} have one name: which one is to be measured?")
        found[name] = file
    return found


def read_picture_pairs(file: Path) -> Matched:
    """Read lines `made,true`, paths relative to the file's folder. Raises ValueError that names file and line."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not a readable list of pictures ({error})") from error
    matched = []
    for number, line in enumerate(lines, 1):
        names = [name.strip() for name in line.split(",")]
        if len(names) != 2 or not all(names):
            raise ValueError(f"{file}, line {number}: {line!r} is not `made,true`")
        matched.append((file.parent / names[0], file.parent / names[1]))
    return _all_there(matched, file)


def _all_there(matched: Matched, where: Path) -> Matched:
    missing = [str(file) for pair in matched for file in pair if not file.is_file()]
    if missing:
        raise ValueError(f"{where}: {len(missing)} of {2 * len(matched)} pictures are missing: {_first(missing)}")
    return matched


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
