"""Films are what the model makes of each pose alone, in the order of the frames; what is refused gets one line."""

import json
import stat

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from nted_lite import animation, cli
from nted_lite.animation import animate, enlarged, frames, natural, read_sequence, synthetic_sequence, write_film
from nted_lite.checkpoint import load_model
from nted_lite.images import read_image, write_png
from nted_lite.keypoints import PoseOptions
from nted_lite.people import SPLITS, pairs
from nted_lite.weights.hub import shipped


@pytest.fixture(scope="module")
def model():
    return load_model(shipped("people-64"))


@pytest.fixture(scope="module")
def film():
    return synthetic_sequence(0, "walk", 64)[::6]  # eight frames


@pytest.fixture
def poses(film, tmp_path):
    """Eight frames as a folder of published files, named so that only natural order is right."""
    folder = tmp_path / "poses"
    folder.mkdir()
    for number, (points, seen) in enumerate(zip(published(film), film.visible)):
        lines = torch.where(seen[:, None], points, -1).tolist()
        (folder / f"frame{number + 6}.txt").write_text("".join(f"{x!r} {y!r}\n" for x, y in lines))
    return folder


def published(film):
    return film.keypoints.double() * 4 + torch.tensor([40, 0])


def shown(path):
    with Image.open(path) as opened:
        return [np.array(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(opened)]


def expected(film):
    return torch.where(film.visible[..., None], film.keypoints.double(), -1)


def test_natural_order():
    names = ["f10", "f9", "F1", "f1b", "g", "2", "10"]
    assert sorted(names, key=natural) == ["2", "10", "F1", "f1b", "f9", "f10", "g"]


# ---------------------------------------------------------------------------------------------------------------- poses


def test_a_folder_is_read_in_natural_order(film, poses):
    points, problems = read_sequence(poses, 64, 44)
    assert problems == [] and torch.allclose(points, expected(film), atol=1e-6)


def test_one_file_with_many_frames(film, tmp_path):
    """NumPy's array of poses, and a video as MMPose and COCO write it; names in natural order, whatever the file's."""
    points = torch.cat([published(film), film.visible[..., None].double()], -1)
    np.save(tmp_path / "film.npy", points.numpy())
    (tmp_path / "list.json").write_text(json.dumps(points.tolist()))
    order = [3, 0, 7, 1, 2, 6, 5, 4]
    annotations = [{"image_id": f"frame{n + 5}.jpg", "keypoints": points[n].flatten().tolist()} for n in order]
    (tmp_path / "coco.json").write_text(json.dumps(annotations))
    for name in ("film.npy", "list.json", "coco.json"):
        read, problems = read_sequence(tmp_path / name, 64, 44)
        assert problems == [] and torch.allclose(read, expected(film), atol=1e-6), name


def test_a_frame_without_a_pose_is_left_out_and_named(film, poses):
    (poses / "frame8.txt").write_text("-1 -1\n" * 18)
    points, (problem,) = read_sequence(poses, 64, 44)
    assert len(points) == 7 and "frame8.txt: every joint is missing" in problem


def instance(points):
    return {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist()}


def joined(film):
    return torch.cat([published(film), film.visible[..., None].double()], -1)


def test_videos_with_frames_without_people(film, tmp_path):
    """MMPose, ComfyUI and COCO each write an empty frame in their own way; it is left out, and named."""
    points = joined(film)
    people = [[] if n == 3 else [one] for n, one in enumerate(points)]
    forms = {
        "MMPose": {"instance_info": [{"frame_id": n, "instances": [instance(one) for one in frame]}
                                     for n, frame in enumerate(people)]},
        "ComfyUI": [{"people": [{"pose_keypoints_2d": one.flatten().tolist()} for one in frame], "canvas_width": 256,
                     "canvas_height": 256} for frame in people],
        "COCO": {"images": [{"id": n, "file_name": f"{n:012d}"} for n in range(8)],
                 "annotations": [{"image_id": n, "keypoints": one.flatten().tolist()}
                                 for n, frame in enumerate(people) for one in frame]},
    }  # fmt: skip
    wanted = expected(film)[[0, 1, 2, 4, 5, 6, 7]]
    for form, content in forms.items():
        (tmp_path / "film.json").write_text(json.dumps(content))
        read, problems = read_sequence(tmp_path / "film.json", 64, 44)
        assert torch.allclose(read, wanted, atol=1e-6), form
        assert problems == [f"{tmp_path / 'film.json'}: there is no person in 000000000003"], form


def test_the_picture_of_one_frame_stands_for_all(film, tmp_path):
    """--posed is about sizes: that the files name their pictures does not make them those of other people."""
    Image.new("RGB", (256, 256)).save(tmp_path / "f0.jpg")
    folder = tmp_path / "poses"
    folder.mkdir()
    for n, one in enumerate(joined(film)):
        found = [{"image_id": f"f{n}.jpg", "keypoints": one.flatten().tolist()}]
        (folder / f"f{n}.json").write_text(json.dumps(found))
    read, problems = read_sequence(folder, 64, 44, posed=tmp_path / "f0.jpg")
    assert problems == [] and torch.allclose(read, expected(film), atol=1e-6)


def test_options_that_cannot_be_are_refused(film, poses, tmp_path):
    np.save(tmp_path / "film.npy", published(film).numpy())
    for source, options, posed, line in (
        (poses, PoseOptions("256"), tmp_path / "big.png", "--frame 256 and --posed .* contradict each other"),
        (poses, PoseOptions("picture"), None, "--frame picture: name the image"),
        (tmp_path / "film.npy", PoseOptions(person=7), None, "each of its poses is a frame of one person; omit"),
    ):
        with pytest.raises(ValueError, match=line):
            read_sequence(source, 64, 44, options, posed)


def test_what_is_no_sequence_is_refused_in_one_line(film, poses, tmp_path):
    two = [{"pose_keypoints_2d": published(film)[n].flatten().tolist()} for n in (0, 1)]
    (tmp_path / "two.json").write_text(json.dumps({"people": two}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.txt").write_text("hello\n")
    (tmp_path / "blank.txt").touch()
    (tmp_path / "nobody.json").write_text("[]")
    for name, line in {
        "nowhere": "not a folder or file with poses", "two.json": "2 people in one picture are one frame",
        "empty": "no files of key points", "poses/frame6.txt": "1 pose, where a sequence has several",
        "bad.txt": "is not two numbers", "blank.txt": "no poses in it", "nobody.json": "no poses in it",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=line) as refused:
            read_sequence(tmp_path / name, 64, 44)
        assert "\n" not in str(refused.value) and name in str(refused.value)


# --------------------------------------------------------------------------------------------------------------- frames


@torch.no_grad()
def test_frames_are_single_transfers_and_textures_are_extracted_once(model, film):
    person = pairs(SPLITS["test"], torch.arange(1), 64).reference.image[0]
    seen = []
    hook = model.reference_encoder.register_forward_hook(lambda *_: seen.append(1))
    together = list(frames(model, person, film.keypoints, film.visible, batch=5))
    hook.remove()
    assert seen == [1] and len(together) == 8
    pose = model.pose_map(film.keypoints, film.visible)
    for number in (0, 4, 7):
        alone = model(person[None], pose[[number]]).image[0]
        assert (alone - together[number]).abs().max() < 1e-4
    assert (together[0] - together[4]).abs().mean() > 0.01


def test_a_photo_and_a_folder_become_a_film(model, film, poses, tmp_path):
    person = pairs(SPLITS["test"], torch.arange(1), 64).reference.image[0]
    write_png(person, tmp_path / "photo.png")
    out = tmp_path / "made/film.webp"
    assert animate(model, out, str(poses), tmp_path / "photo.png", sheet=True) == (8, [])
    photo, _ = read_image(tmp_path / "photo.png", 64, 44)
    wanted = enlarged(frames(model, photo, expected(film), sheet=True))
    pictures = shown(out)
    assert len(pictures) == 8 and pictures[0].shape == (256, 3 * 176, 3)
    assert all(np.abs(a - b.astype(int)).mean() < 4 for a, b in zip(pictures, wanted))


# ---------------------------------------------------------------------------------------------------------------- films


def moving(count=10):
    """A white square that moves to the right."""
    pictures = np.zeros((count, 16, 40, 3), np.uint8)
    for number, one in enumerate(pictures):
        one[4:12, 3 * number : 3 * number + 8] = 255
    return list(pictures)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_films_keep_their_frames_their_speed_and_repeat(ending, tmp_path):
    path, pictures = tmp_path / f"a.{ending}", moving()
    write_film(path, pictures, fps=30)
    assert all(np.abs(a - b).max() < 40 for a, b in zip(shown(path), pictures, strict=True))
    with Image.open(path) as opened:
        total = 0
        for frame in ImageSequence.Iterator(opened):
            frame.load()
            total += frame.info["duration"]
        assert abs(total - 333) <= 10 and opened.info["loop"] == 0


def test_films_are_the_same_on_every_run(tmp_path):
    for name in ("a.gif", "b.gif"):
        write_film(tmp_path / name, moving())
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def fake_ffmpeg(folder, monkeypatch, script):
    """A program named ffmpeg that notes what it is given."""
    program = folder / "bin/ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_an_mp4_goes_through_ffmpeg(tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/said; for last; do :; done; cat > "$last"')
    write_film(tmp_path / "a.mp4", moving(), fps=12)
    assert (tmp_path / "a.mp4").read_bytes() == b"".join(one.tobytes() for one in moving())
    said = (tmp_path / "said").read_text()
    assert "-s 40x16" in said and "-r 12" in said and "rgb24" in said


def test_what_ffmpeg_complains_about_is_said(tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path, monkeypatch, "cat > /dev/null; echo no such codec >&2; exit 1")
    with pytest.raises(ValueError, match="a.mp4: ffmpeg could not write it .no such codec"):
        write_film(tmp_path / "a.mp4", moving())
    assert not (tmp_path / "a.mp4").exists()


# -------------------------------------------------------------------------------------------------------------- command


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["nted-lite", "animate", *map(str, words)])
    cli.main()


def test_the_command_animates_a_synthetic_person(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(animation, "FRAMES", 6)
    call(monkeypatch, "--synthetic", "2", "--poses", "turn", "--out", tmp_path / "a.gif", "--scale", "1", "--fps", "10")
    assert "6 frames written to" in capsys.readouterr().out
    assert [one.shape for one in shown(tmp_path / "a.gif")] == [(64, 44, 3)] * 6


@pytest.mark.parametrize(
    "words, line",
    [
        (["--out", "a.gif", "--poses", "walk"], "give --reference, a photo, or --synthetic"),
        (["--out", "a.png", "--poses", "walk", "--synthetic", "0"], "must end in .gif, .webp, .mp4"),
        (["--out", "a.gif", "--poses", "walk", "--synthetic", "0", "--fps", "60"], "at most 50 a second"),
        (["--out", "a.mp4", "--poses", "walk", "--synthetic", "0"], "MP4 needs ffmpeg, which is not installed"),
        (["--out", "a.gif", "--poses", "no", "--synthetic", "0"], "no: not a folder or file with poses"),
        (["--out", "a.gif", "--poses", "walk", "--synthetic", "0", "--frame", "256"], "of the synthetic body: omit"),
        (["--out", "a.gif", "--poses", "walk", "--reference", "no.jpg"], "no.jpg: not a readable picture"),
        (["--out", "a.gif", "--poses", "walk", "--synthetic", "0", "--batch", "0"], "batch is 0"),
    ],
)
def test_bad_input_is_one_line(words, line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, *words)
    assert line in str(stopped.value) and "\n" not in str(stopped.value)
    assert list(tmp_path.iterdir()) == []
