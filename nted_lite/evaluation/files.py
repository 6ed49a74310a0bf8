"""The pictures to measure: reading them, and matching generated pictures with their ground truth."""

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from nted_lite.images import Framing, open_picture, reason, to_bytes
from nted_lite.lists import PICTURES, find_files, picture_name, read_lines
from nted_lite.transfer import output_name

Picture = str | Path | Tensor
"""A file, or a tensor 3 h w: uint8, or floats in -1..1"""

Matched = list[tuple[Path, Path]]
"""(generated, ground truth) files of each pair"""

BY_LIST = "a file of lines `generated,truth` as --pictures matches any names"
TRUTH_WORDS = {"true", "truth", "gt", "target", "real", "reference"}  # in the header of a list


# --------------------------------------------------------------------------------------------------------- reading them


def read_picture(picture: Picture, height: int, width: int, whole: bool = False) -> tuple[Tensor, str, str]:
    """A picture as all measures see it, what was done to it, and the format of its file.

    picture  a file of any size and mode, read by `images.open_picture`; or a tensor that already has the right size
    whole    resize all of it, whatever its shape, instead of cutting out its middle
    returns  3 height width uint8; floats are rounded, so a picture gets the same measures before and after saving
             "as it is", "resized", "cut", "cut and resized" or "stretched"
             "PNG", "JPEG" ..., or "tensor"
    raises   ValueError that says what is wrong with the file or the tensor
    """
    if isinstance(picture, Tensor):
        if tuple(picture.shape) != (3, height, width):
            raise ValueError(f"a picture tensor is {tuple(picture.shape)}; (3, {height}, {width}) are measured")
        if not picture.isfinite().all():
            raise ValueError(f"a picture tensor {tuple(picture.shape)} holds values that are not finite")
        return (to_bytes(picture) if picture.is_floating_point() else picture), "as it is", "tensor"
    image = open_picture(Path(picture))
    seen = Framing.of(*image.size, height, width)
    done = ["cut"] * bool(seen.left or seen.top) + ["resized"] * ((seen.height, seen.width) != (height, width))
    if whole and seen.kept < 1:
        seen, done = Framing(0, 0, *image.size, height, width), ["stretched"]
    with Image.open(picture) as file:
        kind = file.format
    pixels = torch.frombuffer(bytearray(seen.cut(image).tobytes()), dtype=torch.uint8)
    return rearrange(pixels, "(h w c) -> c h w", h=height, c=3), " and ".join(done) or "as it is", kind


def all_pictures(folder: Path) -> list[Path]:
    """The pictures below a folder, hidden ones left out. Raises ValueError if there are none."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found = find_files(folder, PICTURES)
    if not found:
        raise ValueError(f"{folder}: holds no pictures ({', '.join(PICTURES[:6])} ...)")
    return found


# -------------------------------------------------------------------------------------------------------- matching them


def match_pictures(generated: Path, truth: Path) -> tuple[Matched, str]:
    """Match the pictures of two folders by name, including sub-folders but not the suffix.

    returns  the pairs
             how the names differ, such as "*_vis with *", or "" if they are the same
    raises   ValueError that counts what is missing on either side, names the first ones, and says how to match them
    """
    ours, theirs = _by_name(generated), _by_name(truth)
    if ours.keys() == theirs.keys():
        return [(file, theirs[name]) for name, file in ours.items()], ""
    (core, pattern), (true_core, true_pattern) = _cores(list(ours)), _cores(list(theirs))
    if core and core.keys() == true_core.keys():
        pairs = [(ours[name], theirs[true_core[short]]) for short, name in core.items()]
        return pairs, f"{pattern} with {true_pattern}"
    lacking = {generated: sorted(theirs.keys() - ours.keys()), truth: sorted(ours.keys() - theirs.keys())}
    lines = [f"{folder} lacks {len(names)} of them: {_first(names)}" for folder, names in lacking.items() if names]
    raise ValueError(f"of {len(ours)} generated and {len(theirs)} ground truth pictures, {'; '.join(lines)}; {BY_LIST}")


def _by_name(folder: Path) -> dict[str, Path]:
    """The pictures below a folder, by their names according to `lists.picture_name`."""
    found: dict[str, Path] = {}
    for file in all_pictures(folder):
        name = picture_name(file.relative_to(folder).as_posix())
        if name in found:
            raise ValueError(f"{file} and {found[name].name} have one name: which one is to be measured?")
        found[name] = file
    return found


def _cores(names: list[str]) -> tuple[dict[str, str], str]:
    """Strip the beginning and the end that all names share. -> core: name, and the pattern of the names

    Numbers are never split: 10, 11 and 12 have nothing in common. Empty if nothing would be left of a name.
    """
    before = re.sub(r"\d+$", "", os.path.commonprefix(names))
    after = re.sub(r"^\d+", "", os.path.commonprefix([name[::-1] for name in names])[::-1])
    cores = {name[len(before) : len(name) - len(after)]: name for name in names}
    unique = len(cores) == len(names) > 1 and all(len(name) > len(before) + len(after) for name in names)
    return cores if unique else {}, f"{before}*{after}"


def find_generated(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[Path]:
    """The generated picture of each DeepFashion pair (source, target), named by us or by a published system.

    Published systems join both paths, without slashes and some underscores, with `_2_` or `_to_`. Raises ValueError
    that counts the missing pictures and names the first ones, or names two pictures of one pair.
    """
    wanted = {tuple(map(picture_name, pair)): output_name(*pair) for pair in pairs}
    ours = {name.removesuffix(".png"): pair for pair, name in wanted.items()}
    found: dict[tuple[str, str], Path] = {}
    for file in all_pictures(folder):
        name = file.relative_to(folder).with_suffix("").as_posix()
        pair = ours.get(name) or _pair_of(name)
        if pair in found:
            raise ValueError(f"{found[pair]} and {file} are both of one pair: which one is to be measured?")
        if pair in wanted:
            found[pair] = file
    missing = [name for pair, name in wanted.items() if pair not in found]
    if missing:
        said = f"{len(missing)} of {len(wanted)} pictures are missing: {_first(missing)}"
        raise ValueError(f"{folder}: {said}; {BY_LIST}")
    return [found[tuple(map(picture_name, pair))] for pair in pairs]


def _pair_of(name: str) -> tuple[str, str] | None:
    """Source and target in the name of a published system's picture, such as `fashionMEN..._2_fashionMEN..._vis`."""
    joined = re.fullmatch(r"(?:.*/)?(\w*MEN.+?)_(?:2|to)_((?:fashion)?(?:WO)?MEN.+?)(?:_vis)?", name)
    return joined and (picture_name(joined[1]), picture_name(joined[2]))


def read_picture_pairs(file: Path) -> Matched:
    """Read lines `generated,truth`, with paths relative to the file's folder; a header may change the order.

    The first line is a header if neither word in it has an ending or is a file.

    Raises ValueError that names file and line, or counts the missing pictures.
    """
    try:
        lines = read_lines(file)
    except OSError as error:
        raise ValueError(f"{file}: not a readable list of pictures ({reason(error)})") from error
    matched, swapped = [], False
    for row, (number, line) in enumerate(lines):
        mark = next((mark for mark in ",;\t" if mark in line), ",")
        cells = next(csv.reader([line], delimiter=mark, skipinitialspace=True))
        names = [cell.strip().replace("\\", "/") for cell in cells]
        if len(names) != 2 or not all(names):
            raise ValueError(f"{file}, line {number}: {line!r} is not `generated,truth`")
        if row == 0 and not any(Path(name).suffix or (file.parent / name).is_file() for name in names):
            first, second = ({*re.split("[^a-z]+", title.lower())} & TRUTH_WORDS for title in names)
            swapped = bool(first and not second)
            continue
        matched.append(tuple(file.parent / name for name in (reversed(names) if swapped else names)))
    if not matched:
        raise ValueError(f"{file}: no pictures in it; write lines `generated,truth`")
    missing = [str(path) for pair in matched for path in pair if not path.is_file()]
    if missing:
        raise ValueError(f"{file}: {len(missing)} of {2 * len(matched)} pictures are missing: {_first(missing)}")
    return matched


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
