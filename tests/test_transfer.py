"""Inference on files equals inference on tensors, whatever the files look like, and names broken files."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from nted_lite import transfer as module
from nted_lite.checkpoint import load_model
from nted_lite.images import write_png
from nted_lite.keypoints import PoseOptions
from nted_lite.people import SPLITS, pairs
from nted_lite.plotting import picture, stick_figures
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
    drawn = model.pose_map(people.target.keypoints[[pose]], people.target.visible[[pose]])
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


def test_pictures_are_written_as_png(tmp_path):
    assert "end in .png" in one_line(Job, tmp_path, tmp_path, tmp_path / "a.jpg")


def test_a_landscape_photo_gets_a_notice(model, folder, caplog):
    """One line for all pictures that lose much, and no picture less."""
    for name, size in {"wide": (300, 128), "wider": (400, 128), "square": (90, 90)}.items():
        Image.new("RGB", size, "white").save(folder / f"img/{name}.png")
    jobs = [Job(folder / f"img/{name}.png", folder / "pose/1.txt", folder / f"{name}.png")
            for name in ("1", "square", "wide", "wider")]  # fmt: skip
    assert transfer(model, jobs) == {} and all(job.out.exists() for job in jobs)
    (line,) = caplog.messages
    assert line.startswith(f"{folder / 'img/wide.png'}: only the middle 88 x 128 pixels, 29% of the picture, are used")
    assert line.endswith("(and 1 more like it)") and "\n" not in line


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


@pytest.mark.parametrize("ending", ["", ".jpg", ".PNG"])
def test_output_names_lose_known_endings_only(ending):
    assert output_name(f"look.1{ending}", f"look.2{ending}") == "look.1_to_look.2.png"


def test_key_points_in_pixels_of_the_target_picture(model, people, folder):
    """The same person at twice the size, on a wide canvas."""
    wide = Image.new("RGB", (300, 128), "white")
    wide.save(folder / "img/wide.png")
    seen = people.target.visible[3][:, None]
    points = people.target.keypoints[3].double() * 2 + torch.tensor([(300 - 88) // 2, 0])
    write_points(folder / "pose/wide.txt", torch.where(seen, points, -1))
    run(model, folder, ["wide.png,1.png"], options=PoseOptions("picture"))
    *_, wanted = by_tensors(model, people, 1, 3)
    assert np.abs(pixels(folder / "out/1_to_wide.png") - picture(wanted[0])).max() <= 1


def test_pairs_take_key_points_in_every_form(model, folder):
    """The same poses as text, as JSON under both of its names, as an array, and as one file for all."""
    lines = ["0.png,1.png", "1.png,2.png", "2.png,3.png", "3.png,0.png", "4.png,0.png"]
    published = {i: np.loadtxt(folder / f"pose/{i}.txt").round() for i in range(5)}
    for i, points in published.items():
        write_points(folder / f"pose/{i}.txt", torch.tensor(points))
    run(model, folder, lines)
    wanted = made(folder)
    assert len(wanted) == 5

    there = {i: (points != -1).all(1, keepdims=True) for i, points in published.items()}
    for i, ending in ((1, ".json"), (2, "_keypoints.json"), (3, ".npy")):
        if ending == ".npy":
            np.save(folder / f"pose/{i}.npy", published[i])
        else:
            points = np.hstack([np.where(there[i], published[i], 0), there[i]])
            found = {"people": [{"pose_keypoints_2d": points.ravel().tolist()}]}
            (folder / f"pose/{i}{ending}").write_text(json.dumps(found))
        (folder / f"pose/{i}.txt").unlink()
    rows = [(i, np.where(there[i], points - [40, 0], -1).astype(int).T.tolist()) for i, points in published.items()]
    (folder / "pose.csv").write_text(
        "name:keypoints_y:keypoints_x\n" + "".join(f"{i}.png: {y}: {x}\n" for i, (x, y) in rows)
    )
    for poses in ("pose", "pose.csv"):
        shutil.rmtree(folder / "out")
        transfer_pairs(model, folder / "pairs.txt", folder / "img", folder / poses, folder / "out", batch=2)
        assert made(folder) == wanted


def test_a_pose_that_is_not_there_stops_its_own_picture_only(model, folder):
    (folder / "pose/0.txt").unlink()
    run_line = one_line(run, model, folder, ["0.png,1.png", "1.png,2.png"])
    assert run_line.startswith("1 of 2 pictures could not be generated")
    assert f"{folder / 'pose/0'}: no key points under this name" in (folder / "out/problems.txt").read_text()


@pytest.mark.parametrize("nobody", ["", "[]", '{"annotations": []}'])
def test_a_pose_file_without_people_stops_its_own_picture_only(model, folder, nobody):
    (folder / "pose/0.txt").write_text(nobody)
    assert one_line(run, model, folder, ["0.png,1.png", "1.png,2.png"]).startswith("1 of 2 pictures could not be")
    assert f"{folder / 'pose/0.txt'}: there is no person in it" in (folder / "out/problems.txt").read_text()


def test_broken_files_do_not_stop_the_rest(model, folder):
    lines = ["0.png,1.png", "1.png,gone.png,2.png", "2.png,0.png", "3.png,half.png", "4.png,3.png"]
    Image.effect_noise((200, 300), 80).save(folder / "img/half.png")
    (folder / "img/half.png").write_bytes((folder / "img/half.png").read_bytes()[:500])
    good = (folder / "pose/2.txt").read_text()
    (folder / "pose/2.txt").write_text("-1 -1\n" * 18)
    problems = folder / "out/problems.txt"
    assert one_line(run, model, folder, lines) == f"3 of 6 pictures could not be generated; {problems} says why"
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


PAIRS = "3.png,1.png,2.png\n0.png,4.png\n"
FORMS = {
    "blank lines": "\n3.png,1.png,2.png\n\n0.png,4.png\n \n\n",
    "CRLF": PAIRS.replace("\n", "\r\n"),
    "no last newline": PAIRS.rstrip(),
    "byte order mark": "\ufeff" + PAIRS,
    "UTF-16": PAIRS.encode("utf-16"),
    "img/": "img/3.png,img/1.png,img/2.png\nimg/0.png,img/4.png\n",
    "backslashes": "img\\3.png,img\\1.png,.\\2.png\n0.png,img\\4.png\n",
    "./": "./3.png,./1.png,./2.png\n./0.png,./4.png\n",
    "spaces": "3.png, 1.png , 2.png\n  0.png ,4.png\n",
    "quotes": "\"3.png\",\"1.png\", \"2.png\"\n'0.png','4.png'\n",
    "semicolons": PAIRS.replace(",", ";"),
    "tabs": PAIRS.replace(",", "\t"),
    "filled up": "3.png,1.png,2.png\n0.png,4.png,\n",
    "header": "target,source,source\n" + PAIRS,
    "a header that turns the columns round": "source,target\n1.png,3.png\n2.png,3.png\n4.png,0.png\n",
    "PATN": "from,to\n1.png,3.png\n2.png,3.png\n4.png,0.png\n",
    "numbered by pandas": ",from,to\n0,1.png,3.png\n1,2.png,3.png\n2,4.png,0.png\n",
    "other endings": PAIRS.replace(".png", ".jpg"),
    "no endings": PAIRS.replace(".png", ""),
    "below the folder": "{0}/3.png,{0}/1.png,{0}/2.png\n{0}/0.png,{0}/4.png\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_list_of_pairs(folder, form):
    def jobs(content):
        content = content.replace("{0}", str(folder / "img")) if isinstance(content, str) else content
        (folder / "pairs.txt").write_bytes(content.encode() if isinstance(content, str) else content)
        return read_jobs(folder / "pairs.txt", folder / "img", folder / "pose", folder / "out", own)

    own, wanted = PoseOptions("picture"), [("1", "3"), ("2", "3"), ("4", "0")]
    assert jobs(PAIRS) == [
        Job(folder / f"img/{source}.png", folder / f"pose/{target}.txt", folder / f"out/{source}_to_{target}.png",
            own, folder / f"img/{target}.png", target)
        for source, target in wanted
    ]  # fmt: skip
    assert jobs(FORMS[form]) == jobs(PAIRS)


def test_flattened_pictures_of_deepfashion_are_found(folder):
    """One picture of DeepFashion, in a list as the data set names it, on disk as others do."""
    (folder / "img/0.png").rename(folder / "img/fashionWOMENGraphic_Teesid0000000201_1front.png")
    (folder / "pairs.txt").write_text("1.png,img/WOMEN/Graphic_Tees/id_00000002/01_1_front.jpg\n")
    (job,) = read_jobs(folder / "pairs.txt", folder / "img", folder / "pose", folder / "out")
    assert job.reference == folder / "img/fashionWOMENGraphic_Teesid0000000201_1front.png"
    assert job.out.name == "WOMEN+Graphic_Tees+id_00000002+01_1_front_to_1.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.png,1.png\n2.png\n", "line 2: '2.png' is one path where `target,source[,source ...]` was expected"),
        ("0.png,\n", "line 1: '0.png' is one path"),
        ("\n0.png,,1.png\n", "line 2: '0.png,,1.png' has nothing between two commas"),
        ("0.png,1.png\n0.png,1.jpg\n", "line 2: an earlier pair already writes 1_to_0.png; rename one of"),
        ("from,to\n0.png,1.png,2.png\n", "line 1: the header from,to does not fit the lines below it"),
        ("from,to\n0.png,1.png\n0.png,1.png,2.png\n", "line 3: 3 columns below a header of 2"),
        ("left,right\n0.png,1.png\n", "line 1: the header left,right does not say which column is the target"),
        ("", "the list of pairs is empty; write lines"),
        ("\n\n", "the list of pairs is empty; write lines"),
        ("from,to\n", "the list of pairs is empty; write lines"),
        (None, "no such list of pairs"),
        (b"\xff\xd8\xff\xe0", "not a text file in UTF-8 or UTF-16"),  # a JPEG
    ],
)
def test_a_bad_pairs_file_is_named(folder, text, message):
    path = folder / "pairs.txt"
    Image.open(folder / "img/1.png").save(folder / "img/1.jpg")
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = one_line(read_jobs, path, folder / "img", folder / "pose", folder / "out")
    assert line.startswith(str(path)) and message in line


def test_missing_folders_are_named(folder):
    (folder / "pairs.txt").write_text("0.png,1.png\n")
    for images, poses in (("imgs", "pose"), ("img", "poses")):
        line = one_line(read_jobs, folder / "pairs.txt", folder / images, folder / poses, folder / "out")
        assert line.startswith(f"{folder / (images if images == 'imgs' else poses)}: no such folder")
