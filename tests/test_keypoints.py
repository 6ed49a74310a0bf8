"""Key points in any common format become the same 18 joints, in a frame that is given or checked."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nted_lite.images import Framing, read_image
from nted_lite.keypoints import (
    PoseOptions,
    doubt,
    from_body25,
    from_coco17,
    keypoints_file,
    read_keypoints,
    read_pose,
    to_frame,
)  # fmt: skip
from nted_lite.lists import KEYPOINTS
from nted_lite.pose import JOINTS, LIMBS, pose_map

SIZE = (64, 44)
GOLDEN = torch.tensor(np.load(Path(__file__).parent / "golden" / "skeleton_maps.npz")["keypoints"])
PERSON = GOLDEN[0].numpy().round(1)  # 18 joints in the published frame, none missing
# The joints of the other layouts by name, as their own documentation lists them.
BODY_25 = [
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "mid hip", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
    "left big toe", "left small toe", "left heel", "right big toe", "right small toe", "right heel",
]  # fmt: skip
COCO_17 = [
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
    "right ankle",
]  # fmt: skip
MIDDLE = PERSON.copy()  # what 17 joints say: the neck is between the shoulders
MIDDLE[1] = PERSON[[2, 5]].mean(0)


def arranged(names, points=PERSON):
    """A person's joints in another layout; joints that we do not have lie at (11, 12)."""
    return np.array([points[JOINTS.index(name)] if name in JOINTS else (11, 12) for name in names])


def sure(points, confidence=0.9):
    """The same with a column of confidences."""
    return np.hstack([points, np.full((len(points), 1), confidence)])


def lines(points, between=" ", after="\n"):
    return "".join(between.join(map(repr, map(float, point))) + after for point in points)


def openpose(*people, key="pose_keypoints_2d", **more):
    return {"version": 1.3, "people": [{key: person.ravel().tolist()} for person in people], **more}


def patn(*pictures):
    rows = [f"{name}: {[int(y) for _, y in p]}: {[int(x) for x, _ in p]}" for name, p in pictures]
    return "\n".join(["name:keypoints_y:keypoints_x", *rows]) + "\n"


def write(path, content):
    """Text, bytes, an array, or anything that JSON can hold."""
    if isinstance(content, np.ndarray):
        np.save(path, content)
        path.with_name(path.name + ".npy").replace(path)
    elif isinstance(content, bytes | str):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    else:
        path.write_text(json.dumps(content))
    return path


def one_line(call, *arguments, **options):
    with pytest.raises(ValueError) as refused:
        call(*arguments, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# -------------------------------------------------------------------------------------------------------------- layouts


def test_body_25_by_name():
    converted = from_body25(torch.tensor(sure(arranged(BODY_25))))
    assert torch.equal(converted, torch.tensor(sure(PERSON)))


def test_coco_17_by_name():
    points = torch.tensor(sure(arranged(COCO_17)))
    points[5, 2] = 0.4  # the left shoulder
    converted = from_coco17(points)
    assert torch.allclose(converted[:, :2], torch.tensor(MIDDLE))
    assert converted[[1, 5, 2], 2].tolist() == [0.4, 0.4, 0.9]
    assert torch.equal(from_coco17(points[:, :2]), converted[:, :2])


@pytest.mark.parametrize("gone", [(-1, -1, 0), (0, 0, 0), (90, 80, 0), (-1, -1), (0, 0)])
def test_no_neck_without_both_shoulders(gone):
    points = torch.tensor(sure(arranged(COCO_17)))[:, : len(gone)]
    points[6] = torch.tensor(gone, dtype=points.dtype)
    assert from_coco17(points)[1].tolist() == [-1, -1, 0][: len(gone)]


@pytest.mark.parametrize(("convert", "joints"), [(from_coco17, 17), (from_body25, 25)])
def test_conversions_of_many_people_at_once(convert, joints):
    points = torch.rand(2, 3, joints, 3) * 200 + 1
    many = convert(points)
    assert many.shape == (2, 3, 18, 3) and torch.equal(many[1, 2], convert(points[1, 2]))
    assert "is not the shape" in one_line(convert, points[..., :16, :])
    assert "is not the shape" in one_line(convert, torch.rand(joints, 4))


# -------------------------------------------------------------------------------------------------------------- formats

TEXTS = {
    "published": lines(PERSON),
    "blank lines": "\n\n" + lines(PERSON, after="\n\n"),
    "no last line end": lines(PERSON).rstrip(),
    "byte order mark": b"\xef\xbb\xbf" + lines(PERSON).encode(),
    "UTF-16": lines(PERSON).encode("utf-16"),
    "Windows": lines(PERSON, after="\r\n"),
    "commas": lines(PERSON, ","),
    "commas and spaces": lines(PERSON, ", "),
    "semicolons": lines(PERSON, ";"),
    "tabs": lines(PERSON, "\t"),
    "brackets": "".join(f"[{x}, {y}],\n" for x, y in PERSON),
    "printed by NumPy": str(PERSON),
    "header": "x y\n" + lines(PERSON),
    "header with commas": "X,Y,Score\n" + lines(sure(PERSON), ","),
    "header of NumPy": "# x y\n" + lines(PERSON),
    "numbered": "joint;x;y\n" + "".join(f"{i};{x};{y}\n" for i, (x, y) in enumerate(PERSON)),
    "numbered from 1": "".join(f"{i} {x} {y} 0.9\n" for i, (x, y) in enumerate(PERSON, start=1)),
    "confidences": lines(sure(PERSON)),
    "one line": lines(PERSON, after=" "),
    "one line with confidences": lines(sure(PERSON), ",", ",") + "\n",
    "25 joints": lines(arranged(BODY_25)),
    "25 joints with confidences": lines(sure(arranged(BODY_25)), ","),
    "25 joints in one line": lines(arranged(BODY_25), after=" "),
}
DATA = {
    "OpenPose, 18 joints": openpose(sure(PERSON)),
    "OpenPose, 25 joints": openpose(sure(arranged(BODY_25))),
    "OpenPose, old key": openpose(sure(PERSON), key="pose_keypoints"),
    "ControlNet": [openpose(sure(PERSON), canvas_width=256, canvas_height=256)],
    "BOM before JSON": b"\xef\xbb\xbf" + json.dumps(openpose(sure(PERSON))).encode(),
    "list of lists": PERSON.tolist(),
    "flat list": PERSON.ravel().tolist(),
    "list of people": [PERSON.tolist()],
    "COCO annotations, 18 joints": {"annotations": [{"image_id": 7, "keypoints": sure(PERSON, 2).ravel().tolist()}]},
    "npy": PERSON,
    "npy with confidences": sure(PERSON),
    "npy, one of one": PERSON[None],
    "npy, 25 joints": sure(arranged(BODY_25))[None],
    "npy, flat": PERSON.ravel(),
}
HALVES = sure(arranged(COCO_17))
SEVENTEEN = {
    "text": lines(HALVES[:, :2]),
    "text with confidences": lines(HALVES, ","),
    "one line": lines(HALVES, after=" "),
    "npy": HALVES,
    "npy, one of one": HALVES[None, :, :2],
    "COCO annotations": {"images": [{"id": 4, "file_name": "a.jpg"}],
                         "annotations": [{"image_id": 4, "keypoints": HALVES.ravel().tolist(), "num_keypoints": 17}]},
    "COCO results": [{"image_id": 42, "category_id": 1, "keypoints": HALVES.ravel().tolist(), "score": 0.9}],
    "one annotation": {"keypoints": HALVES.ravel().tolist()},
    "AlphaPose": [{"image_id": "a.jpg", "keypoints": HALVES.ravel().tolist(), "score": 2.9}],
    "MMPose": [{"keypoints": HALVES[:, :2].tolist(), "keypoint_scores": HALVES[:, 2].tolist(), "bbox": [[1, 2, 3, 4]]}],
    "MMPose, saved": {"meta_info": {}, "instance_info": [
        {"frame_id": 0, "instances": [{"keypoints": HALVES[:, :2].tolist(), "keypoint_scores": [0.9] * 17}]}]},
    "a score of the person": [{"keypoints": HALVES[:, :2].tolist(), "scores": 0.9}],
    "a score of one person": [{"keypoints": HALVES[:, :2].tolist(), "scores": [0.9]}],
    "YOLO": [{"name": "person", "keypoints": dict(zip(("x", "y", "visible"), HALVES.T.tolist()))}],
}  # fmt: skip


@pytest.mark.parametrize("kind", [*TEXTS, *DATA])
def test_every_form_is_the_same_person(tmp_path, kind):
    path = write(tmp_path / "pose.any", (TEXTS | DATA)[kind])
    points = read_keypoints(path)
    assert points.dtype == torch.float64 and torch.equal(points, torch.tensor(PERSON))


@pytest.mark.parametrize("kind", SEVENTEEN)
def test_17_joints_are_the_same_person_with_the_neck_between_the_shoulders(tmp_path, kind):
    points = read_keypoints(write(tmp_path / "pose.any", SEVENTEEN[kind]))
    assert torch.allclose(points, torch.tensor(MIDDLE), atol=1e-12)


def test_npz(tmp_path):
    np.savez(tmp_path / "a.npz", pose=PERSON)
    assert torch.equal(read_keypoints(tmp_path / "a.npz"), torch.tensor(PERSON))
    np.savez(tmp_path / "b.npz", pose=PERSON, other=PERSON)
    assert "b.npz: not a NumPy file with one array" in one_line(read_keypoints, tmp_path / "b.npz")


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("gone", ["0 0", "-1 -1", "-1 80"])
@pytest.mark.parametrize("form", ["text", "npy", "JSON"])
def test_missing_joints(tmp_path, columns, gone, form):
    points = sure(PERSON)[:, :columns]
    points[[4, 16], :2] = np.array(gone.split(), dtype=float)
    if gone == "0 0":
        points[[4, 16], 2:] = 0
    content = {"text": lines(points), "npy": points, "JSON": points.tolist()}[form]
    read = read_keypoints(write(tmp_path / "a", content))
    assert [joint for joint in range(18) if (read[joint] == -1).all()] == [4, 16]
    there = [joint for joint in range(18) if joint not in (4, 16)]
    assert torch.equal(read[there], torch.tensor(PERSON)[there])
    # Drawn, nothing runs to the corner: a missing joint stays missing in the model's frame.
    assert (read_pose(tmp_path / "a", *SIZE)[[4, 16]] == -1).all()


def test_confidences(tmp_path):
    points = sure(PERSON, 0.6)
    points[3, 2], points[5, 2], points[7, 2] = 0.0, 0.2, 0.3
    path = write(tmp_path / "a", openpose(points))
    for least, gone in ((0.0, [3]), (0.2, [3]), (0.3, [3, 5]), (0.31, [3, 5, 7]), (0.7, [*range(18)])):
        read = read_keypoints(path, min_confidence=least)
        assert [joint for joint in range(18) if (read[joint] == -1).all()] == gone
    write(path, lines(PERSON))
    assert one_line(read_keypoints, path, min_confidence=0.3).startswith(f"{path}: it has no confidences")


@pytest.mark.parametrize("form", ["OpenPose", "COCO", "npy"])
def test_several_people(tmp_path, form):
    small, large = sure(PERSON * 0.5 + 60), sure(PERSON)
    lost = large * [3, 3, 0]  # further apart, but none of it is there
    people = [small, lost, large]
    content = {"OpenPose": openpose(*people), "npy": np.stack(people),
               "COCO": [{"image_id": "a.jpg", "keypoints": p.ravel().tolist()} for p in people]}[form]  # fmt: skip
    path = write(tmp_path / "a", content)
    assert torch.equal(read_keypoints(path), torch.tensor(PERSON))
    assert torch.equal(read_keypoints(path, person=0), torch.tensor(small[:, :2]))
    assert (read_keypoints(path, person=1) == -1).all()
    for person in (3, -1):
        assert f"{path}: there is no person {person}, only 3, counted from 0" == one_line(
            read_keypoints, path, person=person
        )


def test_files_are_read_again_when_they_change(tmp_path):
    path = write(tmp_path / "a", lines(PERSON))
    read_keypoints(path)
    write(path, lines(PERSON + 0.25))
    assert torch.equal(read_keypoints(path), torch.tensor(PERSON + 0.25))


EIGHTEEN = lines(PERSON).splitlines()
BAD = {
    "short": (lines(PERSON[:16]), "16 joints where 18 (COCO-18), 25 (BODY_25) or 17 (COCO-17) were expected"),
    "cut short by one": (lines(PERSON[:17]), "17 joints where 18 were expected"),
    "MediaPipe": (lines(np.full((33, 2), 90)), "33 joints are MediaPipe's"),
    "whole body": (np.full((133, 3), 90.0), "133 joints are the COCO-WholeBody layout"),
    "nan": ("\n".join([*EIGHTEEN[:3], "nan 2", *EIGHTEEN[4:]]), "line 4: 'nan 2' is not finite"),
    "words": ("\n".join([*EIGHTEEN[:5], "one two", *EIGHTEEN[6:]]), "line 6: 'one two' is not two numbers"),
    "a third number": ("\n".join([*EIGHTEEN[:17], "1 2 3"]), "line 18: '1 2 3' is not two numbers"),
    "one number": ("\n".join([*EIGHTEEN[:17], "1"]), "line 18: '1' is not two numbers"),
    "blank lines count": ("\n\n1 2\n\n3 x", "line 5: '3 x' is not two numbers"),
    "four numbers": (lines(np.hstack([PERSON, PERSON])), "4 numbers in each line"),
    "decimal commas": (lines(PERSON, ";").replace(".", ","), "4 numbers in each line"),
    "another header": ("y x\n" + lines(PERSON), "line 1: 'y x' is not two numbers"),
    "names": (lines(PERSON, after=" left\n"), "line 1"),
    "empty": ("", "there is no person in it"),
    "blank": ("\n \n", "there is no person in it"),
    "header only": ("x y\n", "0 joints where 18"),
    "a JPEG": (b"\xff\xd8\xff\xe0" * 9, "not a text file"),
    "nobody": (openpose(), "there is no person in it"),
    "empty list": ([], "there is no person in it"),
    "no annotations": ({"annotations": []}, "there is no person in it"),
    "no annotation": ({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}, "there is no person in it"),
    "an empty frame": ({"instance_info": [{"frame_id": 0, "instances": []}]}, "there is no person in it"),
    "cut JSON": ('{"people": [{"pose', "damaged JSON (Unterminated string starting at: line 1"),
    "other JSON": ({"shapes": [], "flags": {}}, "neither OpenPose's nor COCO's"),
    "boxes only": ({"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}, "neither OpenPose's nor COCO's"),
    "people of numbers": ({"people": [1, 2]}, "neither OpenPose's nor COCO's"),
    "NaN in JSON": (openpose(sure(np.full((18, 2), np.nan))), "joint 0 is not finite"),
    "null in JSON": ({"keypoints": [None, 1, 1] * 17}, "not rows of equally many numbers"),
    "second of two": (openpose(sure(PERSON), PERSON[:7]), "person 1: an array of shape (14,)"),
    "ragged": ([[1, 2], [3]], "not rows of equally many numbers"),
    "words in JSON": ([["a", "b"]] * 18, "not rows of equally many numbers"),
    "a pose map": (np.zeros((20, 8, 8)), "person 0: an array of shape (8, 8)"),
    "too deep": (np.zeros((2, 2, 18, 2)), "an array of shape (2, 2, 18, 2)"),
    "complex": (PERSON + 1j, "not rows of equally many numbers"),
    "half an npy": (b"\x93NUMPY\x01\x00", "not a NumPy file"),
    "a zip": (b"PK\x03\x04" + bytes(40), "not a NumPy file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_named(tmp_path, kind):
    content, message = BAD[kind]
    path = write(tmp_path / "a.txt", content)
    line = one_line(read_keypoints, path)
    assert line.startswith(str(path)) and message in line
    assert one_line(read_pose, path, *SIZE) == line == one_line(read_pose, path, *SIZE, name="a.jpg")


# ------------------------------------------------------------------------------------------------------- files, by name


def test_patn_is_moved_into_the_published_frame(tmp_path):
    inside = (PERSON - [40, 0]).astype(int)
    inside[4] = -1
    path = write(tmp_path / "fasion-resize-annotation-test.csv", patn(("a.jpg", inside)))
    wanted = torch.tensor(np.where(inside == -1, -1, inside + [40, 0]), dtype=torch.float64)
    assert torch.equal(read_keypoints(path), wanted)
    assert torch.equal(read_keypoints(path, name="a"), wanted)
    moved = read_pose(path, *SIZE)
    assert torch.equal(moved, to_frame(wanted, *SIZE))
    assert torch.equal(read_pose(path, *SIZE, PoseOptions(frame="176x256")), moved)
    write(path, patn(("a.jpg", inside[:, ::-1])).replace("keypoints_y:keypoints_x", "keypoints_x:keypoints_y"))
    assert torch.equal(read_keypoints(path), wanted)


NAMES = ["WOMEN/Tees_Tanks/id_00007624/03_1_front.jpg", "WOMEN/Tees_Tanks/id_00007624/03_2_side.jpg",
         "MEN/Denim/id_00000080/01_1_front.jpg"]  # fmt: skip
FLAT = ["fashionWOMENTees_Tanksid0000762403_1front.jpg", "fashionWOMENTees_Tanksid0000762403_2side.jpg",
        "fashionMENDenimid0000008001_1front.jpg"]  # fmt: skip


def coco(*pictures):
    images = [{"id": number, "file_name": name} for number, (name, _) in enumerate(pictures)]
    people = [{"image_id": i, "keypoints": sure(p).ravel().tolist()} for i, (_, p) in enumerate(pictures)]
    return {"images": images, "annotations": people}


@pytest.mark.parametrize("form", [patn, coco])
@pytest.mark.parametrize(
    ("written", "asked"),
    [*((names, asked) for names in (NAMES, FLAT) for asked in ("{}", "img/{}", "./{}", "somewhere/else/{}")),
     *(([f"data/img/{name}" for name in NAMES], asked) for asked in ("{}", "data/img/{}"))],
)  # fmt: skip
def test_a_picture_is_found_by_its_name(tmp_path, form, written, asked):
    people = [(PERSON - [40, 0]).astype(int) + shift for shift in range(3)]
    path = write(tmp_path / "all", form(*zip(written, people)))
    for name, wanted in zip(NAMES, people):
        for suffix in (".jpg", ".png", ""):
            read = read_keypoints(path, name=asked.format(name.replace(".jpg", suffix)))
            assert torch.equal(read, torch.tensor(wanted + ([40, 0] if form is patn else [0, 0])).double())
    holds = f"{path}: it has the key points of 3 pictures, such as {written[0]}"
    assert one_line(read_keypoints, path) == f"{holds}; say with --name which one is meant"
    for stranger in ("WOMEN/Tees_Tanks/id_00007625/03_1_front", "3_1_front", "WOMEN"):
        line = one_line(read_keypoints, path, name=stranger)
        assert line == f"{holds}, and none of them can be {stranger}"


def test_a_name_that_fits_two_pictures(tmp_path):
    path = write(tmp_path / "all", patn(*((name, PERSON - [40, 0]) for name in ("a/1.jpg", "b/1.jpg", "b/2.jpg"))))
    assert "2 of them can be 1.jpg" in one_line(read_keypoints, path, name="1.jpg")
    read_keypoints(path, name="2")


def test_an_exact_name_wins(tmp_path):
    names = ("a/1.jpg", "1.jpg", "1.png")
    path = write(tmp_path / "all", patn(*((name, PERSON - [40 - shift, 0]) for shift, name in enumerate(names))))
    first = torch.tensor(PERSON).long()[0, 0].item()
    for name, shift in {"a/1.jpg": 0, "a/1.png": 0, "x/a/1": 0, "1.jpg": 1, "1.png": 2}.items():
        assert read_keypoints(path, name=name)[0, 0] == first + shift
    assert "2 of them can be 1.gif" in one_line(read_keypoints, path, name="1.gif")


def test_a_frame_without_people_does_not_hide_the_others(tmp_path):
    film = [{"frame_id": n, "instances": [{"keypoints": PERSON.tolist()}] * (n == 1)} for n in range(3)]
    path = write(tmp_path / "film.json", {"instance_info": film})
    assert torch.equal(read_keypoints(path), torch.tensor(PERSON))
    assert one_line(read_keypoints, path, name="000000000002") == f"{path}: there is no person in 000000000002"


def test_joined_files_of_patn(tmp_path):
    inside = (PERSON - [40, 0]).astype(int)
    path = write(tmp_path / "all", patn((NAMES[0], inside)) + patn((NAMES[1], inside + 1)))
    for shift in (0, 1):
        read = read_keypoints(path, name=NAMES[shift])
        assert torch.equal(read, torch.tensor(inside + shift + [40, 0]).double())


def test_the_only_picture_must_be_the_one_that_is_asked_for(tmp_path):
    path = write(tmp_path / "all.csv", patn(("a.jpg", PERSON - [40, 0])))
    read_keypoints(path)
    assert "none of them can be b.jpg" in one_line(read_keypoints, path, name="b.jpg")
    write(path, [{"image_id": 42, "keypoints": sure(PERSON).ravel().tolist()}])  # but a number is no name
    read_keypoints(path, name="b.jpg")


@pytest.mark.parametrize(
    ("row", "message"),
    [("b.jpg: [1, 2", "line 3: 'b.jpg: [1, 2' is not `name: [y ...]: [x ...]`"),
     (f"b.jpg: {[9] * 18}: {[9] * 17}", "line 3: 17 numbers x, but 18 numbers y"),
     (f"b.jpg: {[9] * 16}: {[9] * 16}", "line 3: 16 joints where 18"),
     ("b.jpg: [nan]: [1]", "line 3: joint 0 is not finite"),
     ("b.jpg: [a]: [1]", "line 3: could not convert string to float: 'a'")],
)  # fmt: skip
def test_a_bad_row_of_patn_is_named(tmp_path, row, message):
    path = write(tmp_path / "all.csv", patn(("a.jpg", PERSON - [40, 0])) + row)
    assert message in one_line(read_keypoints, path, name="b.jpg")


@pytest.mark.parametrize("ending", [*KEYPOINTS, *map(str.upper, KEYPOINTS)])
def test_the_file_of_a_picture(tmp_path, ending):
    (tmp_path / "MEN").mkdir()
    path = tmp_path / f"MEN/02.1_front{ending}"
    path.touch()
    for name in ("MEN/02.1_front", "MEN/02.1_front.jpg", "img/MEN/02.1_front.PNG", "MEN\\02.1_front.jpeg"):
        assert keypoints_file(tmp_path, name) == path
    assert keypoints_file(path, "anything") == path
    with pytest.raises(FileNotFoundError, match="MEN/02: no key points under this name"):
        keypoints_file(tmp_path, "MEN/02")
    path.with_name("02.1_front.txt" if ending.lower() != ".txt" else "02.1_front.npy").touch()
    assert "MEN/02.1_front: there are both 02.1_front" in one_line(keypoints_file, tmp_path, "MEN/02.1_front.jpg")


# --------------------------------------------------------------------------------------------------------------- frames


def test_to_frame():
    points = GOLDEN[1]
    framed = to_frame(points, 512)
    missing = (points == -1).any(1)
    assert missing.any() and (framed[missing] == -1).all()
    assert torch.allclose(framed[~missing], (points[~missing] - torch.tensor([40, 0])) * 2)


@pytest.mark.parametrize("rows", [64, 128, 256, 512])
def test_no_joint_is_lost_by_landing_on_the_mark_of_missing_ones(rows):
    """Every whole pixel of a large frame, at every size: present stays present, and missing stays missing."""
    x, y = torch.meshgrid(torch.arange(-300.0, 600), torch.arange(-20.0, 20), indexing="ij")
    points = torch.stack([x, y], -1).flatten(0, 1)
    missing = (points == -1).any(-1)
    columns = rows * 11 // 16
    for moved in (to_frame(points, rows), *(Framing.of(*size, rows, columns).apply(points)
                                            for size in ((512, 512), (256, 256), (300, 900), (1000, 640)))):
        assert torch.equal((moved == -1).any(-1), missing) and (moved[missing] == -1).all()
    shoulders = torch.full((17, 2), 50.0)
    shoulders[5:7, 0] = torch.tensor([-3.0, 1.0])
    assert not (from_coco17(shoulders) == -1).any()


@pytest.mark.parametrize("wrist", [38, 39, 40])
def test_the_forearm_is_drawn_wherever_the_wrist_is(wrist):
    points = torch.tensor(PERSON)
    points[3], points[4] = torch.tensor([[60, 100], [wrist, 100]])
    assert pose_map(to_frame(points[None], 256))[0, 3 + LIMBS.index((3, 4))].min() == 0


def test_a_picture_of_256_by_256_is_the_published_frame():
    points = torch.rand(2, 18, 2, dtype=torch.float64) * 256
    points[0, 3], points[1, 4, 0] = -1, -1
    assert torch.equal(Framing.of(256, 256, 512, 352).apply(points), to_frame(points, 512, 352))


@pytest.mark.parametrize("size", [(750, 1101), (1000, 640), (300, 900), (256, 256)])
@pytest.mark.parametrize("turned", [False, True])
def test_key_points_follow_the_picture(tmp_path, size, turned):
    """White dots in a photo are found, in what the model sees, at the transformed key points."""
    framing = Framing.of(*size, 256, 176)
    place = (PERSON - [40, 0]) / [176, 256]
    points = place * [framing.width, framing.height] + [framing.left, framing.top]
    points[4] = -1
    path = write(tmp_path / "a.txt", lines(points))
    for joint in (0, 7, 17):
        image = Image.new("L", size)
        x, y = points[joint].tolist()
        image.paste(255, tuple(round(value) for value in (x - 8, y - 8, x + 8, y + 8)))
        exif = Image.Exif()
        exif[0x0112] = 6 if turned else 1
        image = image.transpose(Image.Transpose.ROTATE_90) if turned else image
        image.save(tmp_path / "a.png", exif=exif)
        read, _ = read_image(tmp_path / "a.png", 256, 176)
        moved = read_pose(path, 256, 176, posed=tmp_path / "a.png")
        weight = (read[0] + 1).double()
        across, down = torch.arange(176) + 0.5, torch.arange(256) + 0.5
        centre = torch.stack([(weight.sum(0) * across).sum(), (weight.sum(1) * down).sum()]) / weight.sum()
        assert (centre - moved[joint]).abs().max() < 1
    assert moved[4].tolist() == [-1, -1]
    assert torch.equal(read_pose(path, 256, 176, PoseOptions("{}x{}".format(*size))), moved)
    options = PoseOptions("picture")
    assert torch.equal(read_pose(path, 256, 176, options, posed=tmp_path / "a.png"), moved)


ELSEWHERE = (PERSON - [40, 0]) * [750 / 176, 1101 / 256]
FRAMES = {
    # frame, key points, what is said; None: the person as always
    "published": ("auto", PERSON, None),
    "said to be published": ("256", PERSON, None),
    "said in full": ("256x256", PERSON, None),
    "photo": ("750x1101", ELSEWHERE, None),
    "PATN's": ("176x256", PERSON - [40, 0], None),
    "normalised, of the canvas": ("256", PERSON / 256, None),
    "normalised, of a photo": ("750x1101", ELSEWHERE / [750, 1101], None),
    "photo, not said": ("auto", ELSEWHERE, "look like pixels of a 750x1101 picture: name it with --posed PICTURE"),
    "larger, not said": ("auto", PERSON * 10, "look like pixels of another picture: name it with --posed PICTURE"),
    "512 rows, not said": ("auto", (PERSON - [40, 0]) * 2, "pixels of a 352x512 picture"),
    "512 x 512, not said": ("auto", PERSON * 2, "pixels of a 512x512 picture"),
    "slightly larger": ("auto", PERSON * 1.2, "pixels of a 352x512 picture"),
    "narrow, not said": ("auto", PERSON - [40, 0], "narrower picture, such as 176x256: say --frame WxH"),
    "photo, said 256": ("256", ELSEWHERE, "18 of 18 joints lie outside the 256x256 frame"),
    "another photo": ("64x128", PERSON, "look like pixels of a 256x256 picture"),
    "y before x": ("auto", PERSON[:, ::-1], "lies on one side (x from"),
    "normalised, not said": ("auto", PERSON / 256, "not pixels but normalised coordinates"),
    "normalised around 0": ("750x1101", PERSON / 128 - 1, "not pixels"),
    "beside the window": ("3000x256", PERSON - [40, 0], "there is no joint, or one far out"),
    "all left out": ("auto", np.full((18, 2), -1), "every joint is missing"),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(tmp_path, kind):
    frame, points, message = FRAMES[kind]
    path = write(tmp_path / "a.txt", lines(points))
    if message is None:
        moved = read_pose(path, *SIZE, PoseOptions(frame))
        assert torch.allclose(moved, to_frame(torch.tensor(PERSON), *SIZE), atol=1e-9)
    else:
        line = one_line(read_pose, path, *SIZE, PoseOptions(frame))
        assert line.startswith(f"{path}: ") and message in line


def lying(points):
    return points[:, ::-1]  # with the head to the left


@pytest.mark.parametrize("pose", [lambda: lying(ELSEWHERE) * 0.7, lambda: PERSON])
@pytest.mark.parametrize("form", [lines, np.array, list])
def test_doubts_can_be_silenced(tmp_path, pose, form):
    """Text and arrays may have y before x, or pixels of another frame: who is sure of them says --frame WxH."""
    path = write(tmp_path / "a", form(pose()) if form is not list else pose().tolist())
    Image.new("RGB", (750, 1101)).save(tmp_path / "a.png")
    line = one_line(read_pose, path, *SIZE, posed=tmp_path / "a.png")
    assert line.endswith("say --frame 750x1101, without --posed")
    assert ("lies on one side" in line) != ("tiny in the 750x1101 frame" in line)
    wanted = Framing.of(750, 1101, *SIZE).apply(torch.tensor(pose().copy()))
    assert torch.allclose(read_pose(path, *SIZE, PoseOptions("750x1101")), wanted)


@pytest.mark.parametrize("pose", [lambda: lying(PERSON), lambda: [256, 256] - PERSON, lambda: PERSON])
@pytest.mark.parametrize("kind", ["OpenPose", "COCO", "YOLO"])
def test_files_that_name_their_columns_are_believed(tmp_path, pose, kind):
    """Somebody lies, stands on the hands, or is small in a large picture."""
    seventeen = sure(arranged(COCO_17, pose()))
    content = {"OpenPose": openpose(sure(pose())), "COCO": [{"keypoints": seventeen.ravel().tolist()}],
               "YOLO": [{"keypoints": dict(zip(("x", "y", "visible"), seventeen.T.tolist()))}]}[kind]  # fmt: skip
    path = write(tmp_path / "a.json", content)
    Image.new("RGB", (750, 1101)).save(tmp_path / "a.png")
    read_pose(path, *SIZE)
    read_pose(path, *SIZE, posed=tmp_path / "a.png")


def test_a_handstand_in_text_may_be_the_wrong_layout(tmp_path):
    path = write(tmp_path / "a.txt", lines(arranged(COCO_17, [256, 256] - PERSON)))
    assert "write it as JSON" in one_line(read_pose, path, *SIZE)


def test_a_file_that_knows_its_picture_needs_no_frame(tmp_path):
    wanted = to_frame(torch.tensor(PERSON), *SIZE)
    of_photo = {"canvas_width": 750, "canvas_height": 1101}
    for points in (ELSEWHERE, ELSEWHERE / [750, 1101]):
        path = write(tmp_path / "a.json", openpose(sure(points), **of_photo))
        assert torch.allclose(read_pose(path, *SIZE), wanted)
        assert torch.allclose(read_pose(path, *SIZE, PoseOptions("750x1101")), wanted)
        assert "its picture is 750x1101, not 352x512" in one_line(read_pose, path, *SIZE, PoseOptions("352x512"))
    images = {"images": [{"id": 3, "file_name": "a.jpg", "width": 750, "height": 1101}]}
    write(path, {"annotations": [{"image_id": 3, "keypoints": sure(ELSEWHERE).ravel().tolist()}], **images})
    assert torch.allclose(read_pose(path, *SIZE), wanted)


def test_published_poses_are_not_doubted():
    from data_prep.people import published_frame
    from nted_lite.people import SPLITS, pairs

    people = pairs(SPLITS["test"], torch.arange(32), height=64).target
    published = published_frame(people.keypoints.double(), people.visible, 64, 44)
    assert [doubt(points) for points in [*GOLDEN, *published]] == [None] * (len(GOLDEN) + len(published))
    exchanged = [doubt(points.flip(-1)) for points in published]
    assert all(line and "exchanged" in line for line in exchanged)
    there = (published != -1).all(-1, keepdim=True)
    narrow = [doubt(points) for points in torch.where(there, published - torch.tensor([40, 0]), -1)]
    assert sum(line is not None for line in narrow) > 0.9 * len(narrow)


@pytest.mark.parametrize("turned", [lambda p: [256, 256] - p, lambda p: [256, 0] + p * [-1, 1]])
def test_upside_down_and_mirrored_people_are_not_refused(turned):
    assert doubt(torch.tensor(turned(PERSON))) is None


@pytest.mark.parametrize("frame", [None, (750, 1101)])
def test_a_few_joints_are_not_doubted(frame):
    points = torch.full((18, 2), -1.0)
    points[[0, 1, 2]] = torch.tensor([[70.0, 30.0], [70.0, 50.0], [60.0, 52.0]])
    assert doubt(points, frame) is None
    assert doubt(torch.full((18, 2), -1.0), frame) is None


def test_a_joint_may_lie_outside(tmp_path):
    far = PERSON.copy()
    far[17] = 9000, 2
    path = write(tmp_path / "a.txt", lines(far))
    assert read_pose(path, *SIZE)[17].tolist() == [(9000 - 40) / 4, 0.5]
    far[17] = 1e9, 2
    assert "or one far out" in one_line(read_pose, write(path, lines(far)), *SIZE)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"frame": "512"}, "frame '512' is none of auto, 256, picture or WIDTHxHEIGHT"),
     ({"frame": "0x256"}, "frame '0x256'"), ({"frame": "photo.jpg"}, "frame 'photo.jpg'"),
     ({"min_confidence": -1}, "min_confidence is -1"), ({"min_confidence": float("nan")}, "min_confidence is nan")],
)  # fmt: skip
def test_bad_options(options, message):
    assert one_line(PoseOptions, **options).startswith(message)


def test_no_file(tmp_path):
    line = one_line(read_pose, tmp_path / "a.txt", *SIZE)
    assert line == f"{tmp_path / 'a.txt'}: not a readable file of key points (No such file or directory)"
    assert "no key points under this name" in one_line(read_pose, tmp_path, *SIZE, name="b.jpg")
    with pytest.raises(FileNotFoundError):
        read_keypoints(tmp_path / "a.txt")
