"""Inference on files gives what the tensors give, whatever the files look like, and names the file that is broken."""


import numpy as np
import pytest
import torch
from PIL import Image

from nted_lite import transfer as module
from nted_lite.checkpoint import load_model
from nted_lite.images import Framing, read_image, write_png
from nted_lite.keypoints import read_pose, to_frame
from nted_lite.people import SPLITS, pairs
from nted_lite.plotting import picture, stick_figures
from nted_lite.pose import pose_map
from nted_lite.transfer import Job, output_name, read_jobs, transfer, transfer_file, transfer_pairs
from nted_lite.weights.hub import shipped

SIZE = (64, 44)


@pytest.fixture(scope="module")
def model():
    return load_model(shipped("people-64"))


@pytest.fixture(scope="module")
def people():
    return pairs(SPLITS["test"], torch.arange(5), height=64)


@pytest.fixture
def folder(people, tmp_path):
    """Five people as files: img/i.png and, in the frame of the published files, pose/i.txt."""
    for name in ("img", "pose"):
        (tmp_path / name).mkdir()
    for i, (image, view) in enumerate(zip(people.reference.image, people.target.keypoints, strict=True)):
        Image.fromarray(picture(image)).save(tmp_path / f"img/{i}.png")
        seen = people.target.visible[i][:, None]
        write_points(tmp_path / f"pose/{i}.txt", torch.where(seen, view.double() * 4 + torch.tensor([40, 0]), -1))
    return tmp_path


def write_points(path, points):
    path.write_text("".join(f"{x!r} {y!r}\n" for x, y in points.tolist()))
    return path


def pixels(path):
    return np.array(Image.open(path)).astype(int)


def one_line(call, *arguments):
    with pytest.raises(ValueError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def by_tensors(model, people, who, pose):
    """What the model makes of person `who` in the pose of another, without files but for the rounding to bytes."""
    reference = torch.from_numpy(picture(people.reference.image[who])).movedim(-1, 0) / 127.5 - 1
    drawn = pose_map(people.target.keypoints[[pose]], people.target.visible[[pose]], height=64)
    with torch.no_grad():
        return reference[None], drawn, model(reference[None], drawn).image


# ---------------------------------------------------------------------------------------------- files equal the tensors


def test_a_file_is_what_the_tensors_give(model, people, folder):
    job = Job(folder / "img/1.png", folder / "pose/3.txt", folder / "made/out.png")
    transfer_file(model, job)
    *_, wanted = by_tensors(model, people, 1, 3)
    assert np.abs(pixels(job.out) - picture(wanted[0])).max() <= 1
    *_, another = by_tensors(model, people, 1, 2)
    assert np.abs(pixels(job.out) - picture(another[0])).max() > 50
    assert [path.name for path in job.out.parent.iterdir()] == ["out.png"]


def test_a_sheet_shows_reference_pose_and_result(model, people, folder):
    job = Job(folder / "img/1.png", folder / "pose/3.txt", folder / "sheet.png")
    transfer_file(model, job, sheet=True)
    reference, pose, wanted = by_tensors(model, people, 1, 3)
    wanted = np.concatenate([picture(part[0]) for part in (reference, stick_figures(pose), wanted)], axis=1)
    assert pixels(job.out).shape == (64, 3 * 44, 3) and np.abs(pixels(job.out) - wanted).max() <= 1


def test_batches_of_any_size_make_the_same_pictures(model, folder):
    sizes = []
    hook = model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    for batch in (1, 2, 8):
        names = [folder / f"{batch}/{i}.png" for i in range(5)]
        jobs = [Job(folder / f"img/{i}.png", folder / f"pose/{4 - i}.txt", out) for i, out in enumerate(names)]
        assert transfer(model, jobs, batch) == {}
        assert all(np.abs(pixels(out) - pixels(folder / f"1/{out.name}")).max() <= 1 for out in names)
    hook.remove()
    assert sizes == [1, 1, 1, 1, 1, 2, 2, 1, 5]
    assert "batch is 0" in one_line(transfer, model, [], 0)


def test_a_picture_is_whole_or_absent(tmp_path, monkeypatch):
    out, save = tmp_path / "a.png", Image.Image.save

    def full(image, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    write_png(torch.zeros(3, 4, 5), out)
    before = out.read_bytes()
    monkeypatch.setattr(Image.Image, "save", full)
    assert one_line(write_png, torch.ones(3, 4, 5), out) == f"{out}: cannot be written (No space left on device)"
    assert out.read_bytes() == before and list(tmp_path.iterdir()) == [out]
    monkeypatch.setattr(Image.Image, "save", save)
    assert "cannot be written" in one_line(write_png, torch.zeros(3, 4, 5), out / "below.png")  # a file, not a folder
    assert "end in .png" in one_line(Job, out, out, tmp_path / "a.jpg")


# ------------------------------------------------------------------------------------------------------------- pictures


def in_mode(mode):
    """A picture 44 x 64 of one colour, in a mode, and that colour as RGB."""
    if mode == "16 bit":
        return Image.fromarray(np.full(SIZE, 200 * 257, np.uint16)), (200,) * 3
    if mode == "RGBA":  # half red, half nothing
        return Image.new("RGBA", SIZE[::-1], (255, 0, 0, 128)), (255, 127, 127)
    if mode == "LA":
        return Image.new("LA", SIZE[::-1], (0, 0)), (255,) * 3
    if mode == "P":
        return Image.new("RGB", SIZE[::-1], (10, 200, 30)).quantize(4), (10, 200, 30)
    if mode == "P, transparent":
        image = Image.new("P", SIZE[::-1], 1)
        image.putpalette([0, 0, 0, 10, 200, 30])
        image.info["transparency"] = 1
        return image, (255,) * 3
    colour = {"L": 77, "1": 1, "CMYK": (0, 255, 255, 0), "RGB": (1, 2, 3)}[mode]
    return Image.new(mode, SIZE[::-1], colour), {"L": (77,) * 3, "1": (255,) * 3, "CMYK": (255, 0, 0)}.get(mode, colour)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "16 bit", "RGBA", "LA", "P", "P, transparent", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image, colour = in_mode(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    read, framing = read_image(path, *SIZE)
    assert read.shape == (3, *SIZE) and read.dtype == torch.float32 and framing == Framing(0, 0, 44, 64, *SIZE)
    assert ((read + 1) * 127.5 - torch.tensor(colour)[:, None, None]).abs().max() < 0.01


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_rotation(tmp_path, turn):
    upright = Image.new("RGB", SIZE[::-1], "black")
    upright.paste("white", (0, 0, 10, 20))  # in the upper left corner
    undo = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE",
        8: "ROTATE_270",
    }  # fmt: skip
    stored = upright.transpose(Image.Transpose[undo[turn]]) if turn > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    stored.save(tmp_path / "a.png", exif=exif)
    read, _ = read_image(tmp_path / "a.png", *SIZE)
    wanted = torch.full((3, *SIZE), -1.0)
    wanted[:, :20, :10] = 1
    assert torch.equal(read, wanted)


@pytest.mark.parametrize(
    ("size", "window"),
    [
        ((256, 256), (40, 0, 176, 256)),  # published, with its white borders
        ((750, 1101), (0, 0, 750, 1101)),  # published, high resolution
        ((44, 64), (0, 0, 44, 64)),
        ((1000, 640), (280, 0, 440, 640)),
        ((440, 1000), (0, 180, 440, 640)),
        ((1, 1), (0, 0, 1, 1)),
        ((3, 500), (0, 248, 3, 4)),
    ],
)
def test_the_window(size, window):
    assert Framing.of(*size, *SIZE) == Framing(*window, *SIZE)


def test_the_limit_between_whole_and_cut():
    whole = [width for width in range(600, 800) if Framing.of(width, 1000, *SIZE).width == width >= 688]
    assert whole == list(range(688, 702))  # 11:16 of 1000 is 687.5, and 2 % more is 701.25
    assert Framing.of(674, 1000, *SIZE).height == 1000 and Framing.of(673, 1000, *SIZE).height == 979


def test_a_published_picture_loses_its_borders(tmp_path):
    canvas = np.full((256, 256, 3), 255, np.uint8)
    canvas[:, 40:216] = np.random.default_rng(0).integers(0, 200, (256, 176, 3))
    Image.fromarray(canvas).save(tmp_path / "a.png")
    read, _ = read_image(tmp_path / "a.png", 256, 176)
    assert (picture(read) == canvas[:, 40:216]).all()


def test_a_photo_is_resized_whole_and_bicubically(tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1101, 750, 3), np.uint8))
    photo.save(tmp_path / "a.jpg", quality=95)
    read, _ = read_image(tmp_path / "a.jpg", *SIZE)
    wanted = np.array(Image.open(tmp_path / "a.jpg").resize(SIZE[::-1], Image.Resampling.BICUBIC))
    assert (picture(read) == wanted).all()


def broken(folder, kind):
    path = folder / f"{kind.replace(' ', '-')}.png"
    if kind == "truncated jpg":
        path = path.with_suffix(".jpg")
        Image.effect_noise((200, 300), 80).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    if kind in ("truncated png", "flipped png"):
        Image.effect_noise((200, 300), 80).save(path)
        content = bytearray(path.read_bytes())
        content[200:220] = bytes(20)
        path.write_bytes(content if kind == "flipped png" else content[:300])
    if kind in ("text", "empty"):
        path.write_text("not a picture" if kind == "text" else "")
    if kind == "a folder":
        path.mkdir()
    if kind == "floats":
        path = path.with_suffix(".tif")
        Image.new("F", (20, 30), 0.5).save(path)
    return path


@pytest.mark.parametrize(
    "kind", ["missing", "truncated jpg", "truncated png", "flipped png", "text", "empty", "a folder", "floats"]
)
def test_a_broken_picture_is_named(tmp_path, kind):
    path = broken(tmp_path, kind)
    assert one_line(read_image, path, *SIZE).startswith(f"{path}: not a readable picture (")


# ----------------------------------------------------------------------------------------------------------- key points


@pytest.mark.parametrize("size", [(750, 1101), (1000, 640), (300, 900), (256, 256)])
@pytest.mark.parametrize("turned", [False, True])
def test_key_points_follow_the_picture(tmp_path, size, turned):
    """White dots in a photo are found, in what the model sees, at the transformed key points."""
    framing = Framing.of(*size, 256, 176)
    generator = torch.Generator().manual_seed(size[0])
    place = 0.1 + 0.8 * torch.rand(18, 2, generator=generator, dtype=torch.float64)
    points = place * torch.tensor([framing.width, framing.height]) + torch.tensor([framing.left, framing.top])
    points[4] = -1
    path = write_points(tmp_path / "a.txt", points)
    for joint in (0, 7, 17):
        image = Image.new("L", size)
        x, y = points[joint].tolist()
        image.paste(255, tuple(round(value) for value in (x - 8, y - 8, x + 8, y + 8)))
        exif = Image.Exif()
        exif[0x0112] = 6 if turned else 1
        image = image.transpose(Image.Transpose.ROTATE_90) if turned else image
        image.save(tmp_path / "a.png", exif=exif)
        read, seen = read_image(tmp_path / "a.png", 256, 176)
        moved = read_pose(path, 256, 176, seen)
        weight = (read[0] + 1).double()
        across, down = torch.arange(176) + 0.5, torch.arange(256) + 0.5
        centre = torch.stack([(weight.sum(0) * across).sum(), (weight.sum(1) * down).sum()]) / weight.sum()
        assert (centre - moved[joint]).abs().max() < 1
    assert moved[4].tolist() == [-1, -1]


def test_a_picture_of_256_by_256_is_the_published_frame():
    points = torch.rand(2, 18, 2, dtype=torch.float64) * 256
    points[0, 3], points[1, 4, 0] = -1, -1
    assert torch.equal(Framing.of(256, 256, 512, 352).apply(points), to_frame(points, 512, 352))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n" * 17, "17 lines where 18"),
        ("100 90\n" * 17 + "nan 2\n", "line 18: 'nan 2' is not finite"),
        ("100 90\n" * 17 + "1\n", "line 18: '1' is not two numbers"),
        ("-1 -1\n" * 18, "every joint is missing"),
        ("-1 90\n" * 18, "every joint is missing"),
        ("900 2000\n" * 18, "not pixels of the published 256 x 256 frame"),
        ("20 90\n" * 18, "not pixels of the published 256 x 256 frame"),  # in the border that is cut
        ("100 90\n" * 17 + "1e9 2\n", "not pixels of the published 256 x 256 frame"),
        (None, "not a readable file of key points (No such file or directory)"),
        (b"\xff\xd8\xff\xe0", "not a readable file of key points"),  # a JPEG
    ],
)
def test_bad_key_points_are_named(tmp_path, text, message):
    path = tmp_path / "a.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = one_line(read_pose, path, *SIZE)
    assert line.startswith(str(path)) and message in line


def test_a_joint_may_lie_outside(tmp_path):
    (tmp_path / "a.txt").write_text("100 90\n" * 17 + "9000 2\n")
    assert read_pose(tmp_path / "a.txt", *SIZE)[17].tolist() == [(9000 - 40) / 4, 0.5]


def test_key_points_of_another_picture(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("900 2000\n" * 18)
    assert read_pose(path, *SIZE, Framing.of(1100, 3000, *SIZE)).shape == (18, 2)
    assert "not pixels of the picture" in one_line(read_pose, path, *SIZE, Framing.of(110, 300, *SIZE))


# ----------------------------------------------------------------------------------------------------------- many pairs


def run(model, folder, lines, **options):
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return transfer_pairs(
        model, folder / "pairs.txt", folder / "img", folder / "pose", folder / "out", batch=2, **options
    )


def made(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def test_pairs(model, people, folder):
    lines = ["3.png,1.png,2.png", "img/0.png, img/4.png", "3.png,1.png"]
    assert run(model, folder, lines) == 3
    assert set(made(folder)) == {"1_to_3.png", "2_to_3.png", "4_to_0.png"}
    for who, pose in ((1, 3), (2, 3), (4, 0)):
        *_, wanted = by_tensors(model, people, who, pose)
        assert np.abs(pixels(folder / f"out/{who}_to_{pose}.png") - picture(wanted[0])).max() <= 1


def test_output_names_keep_the_folders():
    name = output_name("WOMEN/Dresses/id_1/01_2_side.jpg", "MEN/Denim/id_2/02_1_front.jpg")
    assert name == "WOMEN+Dresses+id_1+01_2_side_to_MEN+Denim+id_2+02_1_front.png"


def test_key_points_in_pixels_of_the_target_picture(model, people, folder):
    """The same person at twice the size, on a wide canvas."""
    wide = Image.new("RGB", (300, 128), "white")
    wide.save(folder / "img/wide.png")
    seen = people.target.visible[3][:, None]
    points = people.target.keypoints[3].double() * 2 + torch.tensor([(300 - 88) // 2, 0])
    write_points(folder / "pose/wide.txt", torch.where(seen, points, -1))
    run(model, folder, ["wide.png,1.png"], own_frame=True)
    *_, wanted = by_tensors(model, people, 1, 3)
    assert np.abs(pixels(folder / "out/1_to_wide.png") - picture(wanted[0])).max() <= 1


def test_broken_files_do_not_stop_the_rest(model, folder):
    lines = ["0.png,1.png", "1.png,gone.png,2.png", "2.png,0.png", "3.png,half.png", "4.png,3.png"]
    Image.effect_noise((200, 300), 80).save(folder / "img/half.png")
    (folder / "img/half.png").write_bytes((folder / "img/half.png").read_bytes()[:500])
    good = (folder / "pose/2.txt").read_text()
    (folder / "pose/2.txt").write_text("-1 -1\n" * 18)
    problems = folder / "out/problems.txt"
    assert one_line(run, model, folder, lines) == f"3 of 6 pictures could not be made; {problems} says why"
    assert set(made(folder)) == {"1_to_0.png", "2_to_1.png", "3_to_4.png", "problems.txt"}
    listed = problems.read_text().splitlines()
    assert [line.split(": ")[0] for line in listed] == ["gone_to_1.png", "0_to_2.png", "half_to_3.png"]
    for line, culprit in zip(listed, ("img/gone.png", "pose/2.txt", "img/half.png"), strict=True):
        assert str(folder / culprit) in line

    # Mended, the same command makes what is missing and nothing else.
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("*_to_*")}
    (folder / "pose/2.txt").write_text(good)
    for name in ("gone", "half"):
        Image.open(folder / "img/4.png").save(folder / f"img/{name}.png")
    assert run(model, folder, lines) == 3
    assert not problems.exists() and len(made(folder)) == 6
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert run(model, folder, lines) == 0


def test_an_interrupted_run_goes_on(model, folder, monkeypatch):
    lines = [f"{i}.png,{(i + 1) % 5}.png" for i in range(5)]
    run(model, folder, lines)
    whole = made(folder)
    for path in (folder / "out").iterdir():
        path.unlink()
    written = []

    def stop_at_the_fourth(image, path):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path)
        write_png(image, path)

    monkeypatch.setattr(module, "write_png", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        run(model, folder, lines)
    assert len(made(folder)) == 3
    monkeypatch.undo()
    assert run(model, folder, lines) == 2
    assert set(made(folder)) == set(whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.png,1.png\n2.png\n", "line 2: '2.png' is not `target,source[,source ...]`"),
        ("0.png,1.png\n\n1.png,2.png\n", "line 2: '' is not"),
        ("0.png,\n", "line 1: '0.png,' is not"),
        ("0.png,1.png\n0.png,1.jpg\n", "line 2: an earlier pair already makes 1_to_0.png; rename a file"),
        ("", "no pairs in it; write lines"),
        (None, "not a readable pairs file (No such file or directory)"),
        ("\udcff", "not a readable pairs file"),
    ],
)
def test_a_bad_pairs_file_is_named(folder, text, message):
    path = folder / "pairs.txt"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    line = one_line(read_jobs, path, folder / "img", folder / "pose", folder / "out")
    assert line.startswith(str(path)) and message in line


def test_missing_folders_are_named(folder):
    (folder / "pairs.txt").write_text("0.png,1.png\n")
    for images, poses in (("imgs", "pose"), ("img", "poses")):
        line = one_line(read_jobs, folder / "pairs.txt", folder / images, folder / poses, folder / "out")
        assert line == f"{folder / (images if images == 'imgs' else poses)}: no such folder"
