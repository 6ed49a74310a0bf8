"""The formats of key points. A file's content decides which one it is, not the ending of its name:

    text    one line per joint, `x y` or `x y confidence`, as published; commas, semicolons and tabs are fine, too
    JSON    OpenPose and ControlNet (`people`); COCO, AlphaPose, MMPose and YOLO (`keypoints`); plain lists of numbers
    NumPy   .npy, or .npz with one array: j 2 or j 3, or p j 2 or p j 3 for p people
    PATN    `fasion-resize-annotation-*.csv`, one line per picture: `name: [y ...]: [x ...]`

Some can hold several people; COCO's, PATN's and lists of OpenPose's can also hold several pictures.
"""

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nted_lite.images import reason
from nted_lite.lists import read_lines, read_text

PATN_FRAME = (176, 256)  # PATN's pictures are the published 256 x 256 ones without the 40 white columns on each side
ROW = re.compile(r"(.+?)\W*\[([^\[\]]*)\]\W*\[([^\[\]]*)\]\W*")  # of PATN


class Person(NamedTuple):
    """One person in a file."""

    where: str
    """the file and the place in it, for messages"""
    frame: tuple[int, int] | None
    """width and height of the picture, if the file says so"""
    points: Callable[[], np.ndarray]
    """returns the joints, j 2 or j 3; raises ValueError if they are not numbers"""
    listed: bool = False
    """whether it comes from a bare array of poses, which may be of one person in many frames, and whose columns and
    joints nothing names"""


People = dict[str | None, list[Person]]
"""The people of each picture in a file, possibly none; None is a picture without a name."""


@lru_cache(maxsize=2)  # one file may hold the poses of all pictures
def read_people(path: Path, changed: int, size: int) -> People:
    """The people in a file; their joints are checked only when `Person.points` is called.

    changed, size  of the file, so that the cache notices when it is rewritten
    """
    with path.open("rb") as file:
        start = file.read(6)
    if start == b"\x93NUMPY" or start.startswith(b"PK"):
        return {None: _arrays(str(path), _numpy(path))}
    text = read_text(path).lstrip()
    if text.startswith(("{", "[")):
        try:
            return _json(str(path), json.loads(text))
        except json.JSONDecodeError as error:
            if text.startswith("{"):
                raise ValueError(f"{path}: damaged JSON ({error})") from None
        except (AttributeError, KeyError, TypeError):
            raise ValueError(f"{path}: JSON, but neither OpenPose's nor COCO's nor a list of joints") from None
    lines = read_lines(path)
    if lines and ("keypoints_y" in lines[0][1] or ROW.fullmatch(lines[0][1])):
        return _patn(path, lines)
    return {None: _arrays(str(path), _rows(path, lines))} if lines else {}


def _rows(path: Path, lines: list[tuple[int, str]]) -> list[list[float]]:
    """The numbers of each line, without a header, comments and a column that numbers the joints."""
    rows, wrong = [], "is not two numbers `x y`, or three with a confidence"
    for number, line in lines:
        words = re.sub(r"[,;()\[\]]", " ", line).split()
        if line.startswith("#") or not rows and " x y " in f" {' '.join(words).lower()} ":
            continue
        where = f"{path}, line {number}: {line[:60]!r}"
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            raise ValueError(f"{where} {wrong}") from None
        if not all(map(math.isfinite, rows[-1])):
            raise ValueError(f"{where} is not finite")
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"{where} {wrong}, as in the lines before")
    if len(rows) == 1 and len(rows[0]) > 3:
        return rows[0]  # all of the joints in one line
    first = [row[0] for row in rows if len(row) > 2]
    if len(rows) > 1 and first in ([*range(len(rows))], [*range(1, len(rows) + 1)]):
        rows = [row[1:] for row in rows]
    if rows and len(rows[0]) not in (2, 3):
        raise ValueError(f"{path}: {len(rows[0])} numbers in each line, where two, or three with a confidence, belong")
    return rows


def _patn(path: Path, lines: list[tuple[int, str]]) -> People:
    header = lines[0][1]
    people, x_first = {}, re.search("keypoints_x.*keypoints_y", header)
    for number, line in lines:
        if row := ROW.fullmatch(line):
            name, *axes = row.groups()
            columns = axes if x_first else axes[::-1]
            person = Person(f"{path}, line {number}", PATN_FRAME, partial(_columns, *columns))
            people.setdefault(name, []).append(person)
        elif line != header:  # the header is repeated where two files were joined
            raise ValueError(f"{path}, line {number}: {line[:60]!r} is not `name: [y ...]: [x ...]`")
    return people


def _columns(*columns: str) -> np.ndarray:
    x, y = ([float(number) for number in column.replace(",", " ").split()] for column in columns)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} numbers x, but {len(y)} numbers y")
    return _points([*zip(x, y)])


def _json(path: str, data: Any) -> People:
    if isinstance(data, list) and not any(isinstance(item, dict) for item in data):
        return {None: _arrays(path, data)} if data else {}
    pictures = data if isinstance(data, list) else [data]
    if "people" not in pictures[0]:
        return _annotations(path, data)
    if len(pictures) == 1:
        return {None: _openpose(path, pictures[0])}
    return {f"{number:012d}": _openpose(f"{path}, {number:012d}", one) for number, one in enumerate(pictures)}


def _openpose(path: str, data: Any) -> list[Person]:
    joints = [one.get("pose_keypoints_2d") or one.get("pose_keypoints") or [0] * 54 for one in data["people"]]
    return _people(path, joints, _size(data, "canvas_width", "canvas_height"))


def _annotations(path: str, data: Any) -> People:
    """COCO's annotations or results, and the similar files that AlphaPose, MMPose and YOLO write."""
    images = {}
    if isinstance(data, dict):
        images = {image["id"]: image for image in data.get("images", ())}
        data = next((data[key] for key in ("annotations", "instance_info") if key in data), [data])

    def name(picture: Any) -> str | None:
        number = f"{picture:012d}" if isinstance(picture, int) else picture
        return images.get(picture, {}).get("file_name", number)

    people = {name(picture): [] for picture in images}
    for item in data:
        number = item.get("image_id", item.get("frame_id"))
        picture, image = name(number), images.get(number, {})
        group = people.setdefault(picture, [])
        for one in item.get("instances", [item]):  # MMPose groups them by the frames of a video
            where = ", ".join(filter(None, (path, picture, f"person {len(group)}")))
            points = partial(_scored, one["keypoints"], one.get("keypoint_scores", one.get("scores")))
            group.append(Person(where, _size(image, "width", "height"), points))
    lone = next(iter(people), None)
    return {None: people[lone]} if len(people) == 1 and str(lone).isdigit() else people  # a number is not a name


def _size(data: dict, width: str, height: str) -> tuple[int, int] | None:
    return (int(data[width]), int(data[height])) if data.get(width) and data.get(height) else None


def _scored(joints: Any, scores: Any) -> np.ndarray:
    if isinstance(joints, dict):  # YOLO: a list for each column
        joints = [*zip(*(joints[key] for key in ("x", "y", "visible") if key in joints))]
    points = _points(joints)
    if not isinstance(scores, list) or len(scores) != len(points):  # a number is the person's score, not the joints'
        return points
    return _points([[x, y, score] for (x, y, *_), score in zip(points, scores)])


def _numpy(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            (array,) = loaded.values()
            return array
    except OSError:
        raise
    except Exception as error:  # a damaged file makes NumPy raise nearly anything
        raise ValueError(f"{path}: not a NumPy file with one array of numbers ({reason(error)})") from error


def _arrays(path: str, numbers: Any) -> list[Person]:
    """The people in an array, or in a list of lists."""
    try:
        array = _numbers(numbers)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return _people(path, array if array.ndim == 3 else [array], None, listed=True)


def _people(path: str, people: Any, frame: tuple[int, int] | None, listed: bool = False) -> list[Person]:
    places = [f"{path}, person {number}" if len(people) > 1 else path for number in range(len(people))]
    return [Person(place, frame, partial(_points, one), listed) for place, one in zip(places, people)]


def _numbers(raw: Any) -> np.ndarray:
    try:
        return np.asarray(raw).astype(np.float64, casting="same_kind")
    except (TypeError, ValueError):
        raise ValueError("its joints are not rows of equally many numbers") from None


def _points(raw: Any) -> np.ndarray:
    """Joints, j 2 or j 3, possibly from one flat list of numbers."""
    points = _numbers(raw)
    if points.ndim == 1:  # of 34, 36 and 50 numbers, two make a joint; three of OpenPose's 54 and 75 and COCO's 51
        columns = 2 if len(points) in (34, 36, 50) else 3
        points = points.reshape(-1, columns) if len(points) % columns == 0 else points
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ValueError(f"an array of shape {points.shape} where joints x 2 or joints x 3 were expected")
    return points
