"""A swap of files equals the swap of their tensors; photographs take a clothes parser; bad input is named."""

import json

import pytest
import torch
from PIL import Image
from test_clothes import ATR, segformer
from test_transfer import one_line, pixels

from nted_lite.checkpoint import load_model
from nted_lite.clothes import clothes_parser
from nted_lite.control import Refinement, wear
from nted_lite.features import people_parser
from nted_lite.images import picture, read_image
from nted_lite.keypoints import AUTO, PoseOptions
from nted_lite.people import SPLITS, pairs
from nted_lite.swap import own_pose, swap_file
from nted_lite.transfer import Job
from nted_lite.weights.hub import shipped


@pytest.fixture(scope="module")
def model():
    return load_model(shipped("people-64"))


@pytest.fixture(scope="module")
def people():
    return pairs(SPLITS["test"], torch.arange(2), height=64)


@pytest.fixture
def folder(people, tmp_path):
    """Two people as 0.png and 1.png, each with its own key points beside it, and pose.txt, a pose of the first."""
    views = {"0": people.reference[:1], "1": people.reference[1:], "pose": people.target[:1]}
    for name, view in views.items():
        Image.fromarray(picture(view.image[0])).save(tmp_path / f"{name}.png")
        points = torch.where(view.visible[0, :, None], view.keypoints[0], -1)
        (tmp_path / f"{name}.txt").write_text("".join(f"{x!r} {y!r}\n" for x, y in points.tolist()))
    return tmp_path


@pytest.mark.parametrize("refinement", [None, Refinement(steps=2)])
def test_files_give_what_tensors_give(model, folder, refinement):
    job = Job(folder / "0.png", folder / "pose.txt", folder / "out.png", posed=folder / "pose.png")
    swap_file(model, people_parser(), job, folder / "1.png", "top", refinement, sheet=True)
    reference, keypoints, _ = job.read(64, 44)
    garment, _ = read_image(folder / "1.png", 64, 44)
    pose = model.pose_map(keypoints[None])
    rendering, _ = wear(model, people_parser(), reference[None], garment[None], pose, refinement=refinement)
    with torch.no_grad():
        before = model(reference[None], pose).image
    sheet = torch.cat([reference, garment, rendering.image[0]], dim=-1)
    assert abs(pixels(job.out) - picture(sheet)).max() <= 1
    assert (rendering.image - before).abs().max() > 0.2


def test_the_pose_may_be_that_of_the_photo(model, folder):
    own = own_pose(folder / "0.png", folder / "own.png", AUTO)
    named = Job(folder / "0.png", folder / "0.txt", folder / "named.png", posed=folder / "0.png")
    for job in (own, named):
        swap_file(model, people_parser(), job, folder / "1.png")
    assert (pixels(own.out) == pixels(named.out)).all()
    (folder / "0.txt").unlink()
    assert "no key points under this name" in one_line(own_pose, folder / "0.png", folder / "x.png", AUTO)


@pytest.mark.parametrize(
    ("photo", "keypoints"),
    [("fashionWOMENDressesid0000000201_1front.jpg", "fashionWOMENDressesid0000000201_1front.txt"),
     ("WOMEN-Dresses-id_00000002-02_1_front.jpg", "WOMEN-Dresses-id_00000002-02_1_front.JSON"),
     ("me.jpg.png", "me.jpg.txt"), ("me.jpg.png", "me.txt"), ("look.1.png", "look.1_keypoints.json")],
)  # fmt: skip
def test_key_points_lie_beside_a_photo_of_any_name(tmp_path, photo, keypoints):
    (tmp_path / keypoints).touch()
    (tmp_path / "WOMEN.txt").touch()
    assert own_pose(tmp_path / photo, tmp_path / "out.png", AUTO).keypoints == tmp_path / keypoints


def test_the_pose_may_be_of_a_copy_in_another_size(folder):
    """ControlNet and others find the pose in a smaller copy of the photo, and write down how large that was."""
    own = own_pose(folder / "0.png", folder / "own.png", AUTO)
    _, wanted, _ = own.read(64, 44)
    points = torch.where(wanted == -1, 0, wanted * 3).flatten().tolist()
    points = [number for x, y in zip(points[::2], points[1::2]) for number in (x, y, float(x != 0))]
    file = {"people": [{"pose_keypoints_2d": points}], "canvas_width": 132, "canvas_height": 192}
    (folder / "0.txt").write_text(json.dumps(file))
    assert torch.allclose(own.read(64, 44)[1], wanted)
    (folder / "0.txt").write_text(json.dumps(file | {"canvas_width": 192}))
    line = one_line(own.read, 64, 44)
    assert "its picture is 192x192, but" in line and "say --frame 192x192, without --posed" in line
    own_pose(folder / "0.png", folder / "own.png", PoseOptions("192x192")).read(64, 44)  # and that works


def test_a_clothes_parser_finds_the_garment(model, folder):
    """A random SegFormer sees tops at random places: what matters is that its area decides."""
    torch.manual_seed(0)
    segformer(["Upper-clothes", "Background"]).save_pretrained(folder / "parser")
    parser, job = clothes_parser(str(folder / "parser"), "top"), own_pose(folder / "0.png", folder / "out.png", AUTO)
    parser.network.decode_head.classifier.bias[0] += 100  # everything is a top
    swap_file(model, parser, job, folder / "1.png")
    reference, keypoints, _ = job.read(64, 44)
    with torch.no_grad():
        garment = model(read_image(folder / "1.png", 64, 44)[0][None], model.pose_map(keypoints[None]))
    assert abs(pixels(job.out) - picture(garment.image[0])).max() <= 1


def test_nothing_to_swap(model, folder):
    segformer(ATR).save_pretrained(folder / "parser")
    parser, job = clothes_parser(str(folder / "parser"), "top"), own_pose(folder / "0.png", folder / "out.png", AUTO)
    parser.network.decode_head.classifier.bias[0] += 100  # everything is background
    assert "1.png: nothing to swap" in one_line(swap_file, model, parser, job, folder / "1.png")
    assert not job.out.exists()


def test_a_missing_garment_is_named(model, folder):
    job = own_pose(folder / "0.png", folder / "out.png", AUTO)
    assert "no.jpg: not a readable picture" in one_line(swap_file, model, people_parser(), job, folder / "no.jpg")
