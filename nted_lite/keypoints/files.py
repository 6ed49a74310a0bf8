"""Finding and reading files of key points, in any format (`formats`) and any order of joints (`layouts`)."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from nted_lite.images import reason
from nted_lite.keypoints.formats import PATN_FRAME, People, Person, read_people
from nted_lite.keypoints.layouts import absent, to_coco18
from nted_lite.lists import KEYPOINTS, picture_name, tidy_path, without_ending
from nted_lite.pose import MISSING, mark_missing


def read_keypoints(
    path: str | Path, *, name: str | None = None, person: int | None = None, min_confidence: float = 0.0
) -> Tensor:
    """Read the key points of one person, from a file in any of the known formats and layouts.

    path            the file; `keypoints_file` finds that of a picture in a folder
    name            name of the picture, for a file with several; a suffix and leading folders do not matter
    person          which person in the picture, counted from 0; None: the one with the largest extent
    min_confidence  joints with a lower confidence count as missing
    returns         18 2   float64, COCO-18, (-1, -1) for a missing joint; pixels as in the file

    Pixels of PATN's files are converted to the published 256 x 256 frame. Raises OSError if the file cannot be opened,
    and ValueError for anything else, in one line that names the file and the place in it.
    """
    points, found = read_person(path, name, person, min_confidence)
    return uncut(points) if found.frame == PATN_FRAME else points


def uncut(points: Tensor) -> Tensor:
    """From the 176 x 256 frame of PATN to the published 256 x 256 frame: x gains 40. 18 2 -> 18 2"""
    return mark_missing(points + points.new_tensor([40, 0]), absent(points)[:, None])


def keypoints_file(folder: str | Path, name: str) -> Path:
    """Find the key points of a picture in a folder: a file with the picture's name and an ending of `lists.KEYPOINTS`.

    folder  or one file with the key points of all pictures, which is returned unchanged
    name    of the picture, as a path below the folder, with or without suffix: WOMEN/Dresses/id_1/02_1_front.jpg; a
            file of exactly this name comes before one that `lists.picture_name` leads to

    Raises FileNotFoundError if there is no such file, and ValueError if there are several.
    """
    folder = Path(folder)
    if folder.is_file():
        return folder
    stem = folder / without_ending(tidy_path(name))
    found = _called(stem) or _called(folder / picture_name(name))
    if not found:
        raise FileNotFoundError(f"{stem}: no key points under this name, ending in one of {', '.join(KEYPOINTS)}")
    if len(found) > 1:
        raise ValueError(f"{stem}: there are both {found[0].name} and {found[1].name}; keep the one that is right")
    return found[0]


def _called(stem: Path) -> list[Path]:
    """The files with this name and an ending of KEYPOINTS, in upper or lower case."""
    start = len(stem.name)
    same = (path for path in stem.parent.glob("*") if path.name.startswith(stem.name))
    return sorted(path for path in same if path.name[start:].lower() in KEYPOINTS and path.is_file())


def people_of(path: Path) -> People:
    """The people of each picture in a file. Raises OSError, and ValueError, in one line, like `read_keypoints`."""
    stamp = path.stat()
    return read_people(path, stamp.st_mtime_ns, stamp.st_size)


def read_person(
    path: str | Path, name: str | None, person: int | None, min_confidence: float, likely: str | None = None
) -> tuple[Tensor, Person]:
    """`read_keypoints` without the conversion of PATN's pixels. -> 18 2, and the person that they belong to

    likely  name of the picture that counts only if `name` is None and the file has several
    """
    path = Path(path)
    pictures = people_of(path)
    people = _in_picture(path, pictures, name, likely)
    if not people:
        raise ValueError(f"{path}: there is no person in {name if name and len(pictures) > 1 else 'it'}")
    if person is not None and not 0 <= person < len(people):
        raise ValueError(f"{path}: there is no person {person}, only {len(people)}, counted from 0")
    chosen = people if person is None else [people[person]]
    return max(((_joints(one, min_confidence), one) for one in chosen), key=lambda pair: _extent(pair[0]))


def _joints(person: Person, min_confidence: float) -> Tensor:
    """A person's joints in COCO-18 order, 18 2; (-1, -1) is missing."""
    try:
        points = torch.from_numpy(person.points())
        for joint in (~points.isfinite()).any(-1).nonzero():
            raise ValueError(f"joint {joint.item()} is not finite")
        if min_confidence > 0 and points.shape[1] == 2:
            raise ValueError("it has no confidences, so none can be too low (--min-confidence)")
        points = to_coco18(points, sure=not person.listed)
    except ValueError as error:
        raise ValueError(f"{person.where}: {reason(error)}") from None
    gone = absent(points) | (points[:, 2:] < min_confidence).any(-1)
    return torch.where(gone[:, None], MISSING, points[:, :2])


def _extent(points: Tensor) -> float:
    """The diagonal of the box around the joints, 18 2, that are not missing."""
    there = points[~absent(points)]
    return (there.amax(0) - there.amin(0)).norm().item() if len(there) else -1.0


# ------------------------------------------------------------------------------------------------------------- pictures


def _in_picture(path: Path, people: People, name: str | None, likely: str | None) -> list[Person]:
    """The people in the picture of that name, or in the only picture of the file that has any."""
    if not people or None in people or name is None and sum(map(bool, people.values())) <= 1:
        return [person for group in people.values() for person in group]
    name = name or likely
    holds = f"{path}: it has the key points of {len(people)} pictures, such as {next(iter(people))}"
    if name is None:
        raise ValueError(f"{holds}; say with --name which one is meant")
    if name in people:
        return people[name]
    stamp, (own, *shorter) = path.stat(), _tails(name)
    whole, tails = _index(path, stamp.st_mtime_ns, stamp.st_size)
    found = next((whole[tail] for tail in (own, *shorter) if tail in whole), tails.get(own, ()))
    if len(found) != 1:
        raise ValueError(f"{holds}, and {len(found) or 'none'} of them can be {name}")
    return people[next(iter(found))]


@lru_cache(maxsize=2)
def _index(path: Path, changed: int, size: int) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The pictures of a file, indexed by their full names and by the ends of their names."""
    whole, tails = {}, {}
    for picture in read_people(path, changed, size):
        own, *shorter = _tails(picture)
        whole.setdefault(own, set()).add(picture)
        for tail in shorter:
            tails.setdefault(tail, set()).add(picture)
    return whole, tails


def _tails(name: str) -> list[str]:
    """a/b/c.jpg -> a/b/c, b/c, c"""
    parts = picture_name(name).split("/")
    return ["/".join(parts[first:]) for first in range(len(parts))]
