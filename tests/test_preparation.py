"""Input of any kind is prepared alike, left out with a line that says why, or refused in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_deepfashion import HEIGHT, contents

from nted_lite.data.deepfashion import DeepFashion, Item, read_pairs
from nted_lite.images import Framing

pytest.importorskip("lmdb")
prep = pytest.importorskip("data_prep.deepfashion")
people = pytest.importorskip("data_prep.people")

ROOT = Path(__file__).resolve().parents[1]


# -------------------------------------------------------------------------------------- what people bring, all the same


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Two people to train on, one to test on, three pictures each; PNG, to be saved again without loss."""
    folder = tmp_path_factory.mktemp("few")
    people.write_people(folder, train=2, test=1, height=64)
    for file in (folder / "img").rglob("*.jpg"):
        Image.open(file).save(file.with_suffix(".png"))
        file.unlink()
    return folder


@pytest.fixture(scope="module")
def plain(few, tmp_path_factory):
    """These people, prepared as they are."""
    out = tmp_path_factory.mktemp("plain") / "out"
    prep.prepare(few / "img", few, out, heights=(HEIGHT,), threads=1)
    return out


@pytest.fixture
def own(few, tmp_path):
    """A copy of these people that a test may change."""
    return shutil.copytree(few, tmp_path / "own")


def resaved(**options):
    """Save every picture again, under another ending."""

    def change(folder, ending):
        for file in (folder / "img").rglob("*.png"):
            Image.open(file).save(file.with_suffix(ending), **options)
            file.unlink()

    return change


def turned(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    for file in (folder / "img").rglob("*.png"):
        Image.open(file).transpose(Image.Transpose.ROTATE_90).save(file, exif=exif)


def with_alpha(folder):
    for file in (folder / "img").rglob("*.png"):
        Image.open(file).convert("RGBA").save(file)


def rewrite(edit, encoding="utf-8", lists=("train_pairs.txt", "test_pairs.txt")):
    """Edit the text of the lists."""

    def change(folder):
        for name in lists:
            (folder / name).write_bytes(edit((folder / name).read_text()).encode(encoding))

    return change


def rename(edit, *folders):
    """Flatten files: edit their paths, slashes and all."""

    def change(folder):
        for below in folders:
            for file in [path for path in (folder / below).rglob("*") if path.is_file()]:
                file.rename(folder / below / edit(file.relative_to(folder / below).as_posix()))

    return change


def fashion(text):
    """Paths as PATN and many after it write them: fashionWOMENSyntheticid0000000001_1view"""
    return re.sub(r"(?:img/)?WOMEN/Synthetic/id_(\d+)/(\d+)_(\d)_view", r"fashionWOMENSyntheticid\1\2_\3view", text)


def dashes(text):
    return re.sub(r"(?:img/)?WOMEN/Synthetic/id_(\d+)/", r"WOMEN-Synthetic-id_\1-", text)


def hidden_files(folder):
    for name in ("img/.DS_Store", "img/._a.jpg", "img/__MACOSX/WOMEN/a.png", "pose/._a.txt", "._train_pairs.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")


def as_csv(folder):
    for split in ("train", "test"):
        (folder / f"{split}_pairs.txt").rename(folder / f"{split}_pairs.csv")


def below_more_folders(folder):
    (folder / "img/archive").mkdir()
    (folder / "img/WOMEN").rename(folder / "img/archive/WOMEN")


ALIKE = {
    ".jpeg": lambda folder: rename(lambda name: name.replace(".png", ".jpeg"), "img")(folder),  # a name may lie
    ".JPG": lambda folder: rename(lambda name: name.replace(".png", ".JPG"), "img")(folder),
    ".webp": lambda folder: resaved(lossless=True)(folder, ".webp"),
    ".BMP": lambda folder: resaved()(folder, ".BMP"),
    ".tiff": lambda folder: resaved()(folder, ".tiff"),
    "turned by EXIF": turned,
    "opaque alpha": with_alpha,
    "hidden files": hidden_files,
    "backslashes": rewrite(lambda text: text.replace("/", "\\")),
    "blank lines": rewrite(lambda text: "\n" + text.replace("\n", "\n\n") + " \n"),
    "CRLF and byte order mark": rewrite(lambda text: text.replace("\n", "\r\n"), "utf-8-sig"),
    "UTF-16": rewrite(lambda text: text, "utf-16"),
    "a header that fits": rewrite(lambda text: "target,source,source\n" + text),
    "semicolons": rewrite(lambda text: text.replace(",", ";")),
    "no img/": rewrite(lambda text: text.replace("img/", "")),
    "no endings": rewrite(lambda text: text.replace(".jpg", "")),
    "csv": as_csv,
    "flattened pictures": rename(fashion, "img"),
    "flattened lists": rewrite(fashion),
    "flattened key points": rename(fashion, "pose"),
    "flattened everything": lambda folder: [rename(fashion, "img", "pose")(folder), rewrite(fashion)(folder)],
    "dashes for folders": lambda folder: [rename(dashes, "img")(folder), rewrite(fashion)(folder)],
    "more folders above": below_more_folders,
    "no train.lst": lambda folder: (folder / "train.lst").unlink(),
}  # fmt: skip


def texts(folder):
    """Every text file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.txt")}


@pytest.mark.parametrize("kind", ALIKE)
def test_whatever_people_bring_is_prepared_alike(own, plain, tmp_path, kind):
    ALIKE[kind](own)
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), threads=1)
    assert texts(tmp_path / "out") == texts(plain) and len(texts(plain)) == 9 + 3  # key points, lists and problems
    assert contents(tmp_path / "out/64-44") == contents(plain / "64-44")
    assert (tmp_path / "out/problems.txt").read_text() == ""


@pytest.mark.parametrize("name", ["fasion-resize-pairs-{}.csv", "fashion-pairs-{}.csv"])
def test_lists_of_patn_are_turned_round(own, plain, tmp_path, name):
    """Their header says `from,to`, one pair a line: what is first here is a source."""
    for split in ("train", "test"):
        items = read_pairs(own / f"{split}_pairs.txt")
        rows = [f"{fashion(source)}.jpg,{fashion(target)}.jpg\n" for target, sources in items for source in sources]
        (own / name.format(split)).write_text("from,to\n" + "".join(rows))
        (own / f"{split}_pairs.txt").unlink()
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), threads=1)
    assert DeepFashion(tmp_path / "out", HEIGHT, "test").items == DeepFashion(plain, HEIGHT, "test").items


# ------------------------------------------------------------------------------------------- what is broken is left out


def first_test_name(folder):
    return read_pairs(folder / "test_pairs.txt")[0].target


def picture_of(folder):
    return folder / f"img/{first_test_name(folder)}.png"


def pose_of(folder):
    return folder / f"pose/{first_test_name(folder)}.txt"


def twin(folder):
    shutil.copy(picture_of(folder), picture_of(folder).with_suffix(".jpg"))


def black(*size):
    return lambda folder: Image.new("RGB", size).save(picture_of(folder))


def half_a_picture(folder):
    picture_of(folder).write_bytes(picture_of(folder).read_bytes()[:900])


def folder_for_picture(folder):
    picture_of(folder).unlink()
    picture_of(folder).mkdir()


def points(text):
    return lambda folder: pose_of(folder).write_text(text)


def second_keypoints(folder):
    shutil.copy(pose_of(folder), pose_of(folder).with_suffix(".json"))


LEFT_OUT = {  # what is done to the first test picture -> how the line in problems.txt begins
    "no picture": (lambda folder: picture_of(folder).unlink(), "img/{0}: no such picture"),
    "empty picture": (lambda folder: picture_of(folder).write_bytes(b""), "img/{0}.png: .*the file is empty"),
    "web page": (lambda folder: picture_of(folder).write_text("<html>"), "img/{0}.png: .*web page"),
    "half a picture": (half_a_picture, "img/{0}.png: not a readable picture"),
    "a folder": (folder_for_picture, "img/{0}.png: not a readable picture"),
    "low resolution": (black(256, 256), "img/{0}.png: 256 x 256 .*img_highres.zip"),
    "another shape": (black(80, 100), "img/{0}.png: 80 x 100 .*--frame picture"),
    "two pictures of one name": (twin, "img/{0}.jpg: has the same name as .*{0}.png; keep one"),
    "no key points": (lambda folder: pose_of(folder).unlink(), "pose/{0}: no such key points"),
    "seventeen": (points("60 60\n" * 17), "pose/{0}.txt"),
    "not a number": (points("60 60\n" * 17 + "nan 3\n"), "pose/{0}.txt"),
    "letters": (points("left wrist\n" * 18), "pose/{0}.txt"),
    "nowhere": (points("-1 -1\n" * 18), "pose/{0}.txt"),
    "other pixels": (points("600 900\n" * 18), "pose/{0}.txt"),
    "two key point files": (second_keypoints, "pose/{0}.json: has the same name as .*{0}.txt; keep one"),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_is_broken_is_listed_and_the_rest_is_prepared(own, plain, tmp_path, capsys, kind):
    spoil, problem = LEFT_OUT[kind]
    name = first_test_name(own)
    spoil(own)
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), threads=1)
    (line,) = (tmp_path / "out/problems.txt").read_text().splitlines()
    assert re.match(f"{re.escape(str(own))}/{problem.format(name)}", line)
    counts = "6 of 6 train items, 2 of 3 test items; 1 problem, listed in"
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}/out: {counts} {tmp_path}/out/problems.txt"
    items = [item for item in read_pairs(plain / "test_pairs.txt") if item.target != name]
    wanted = [Item(item.target, tuple(source for source in item.sources if source != name)) for item in items]
    assert read_pairs(tmp_path / "out/test_pairs.txt") == wanted
    for split in ("train", "test"):
        DeepFashion(tmp_path / "out", HEIGHT, split).pair(0)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("img/alone.jpg", "line 4: 'alone.jpg' is one path where `target,source"),
        ("img/a.jpg,,img/b.jpg", "line 4: 'a.jpg,,b.jpg' has nothing between two commas"),
        ("img/a.jpg,,", "line 4: 'a.jpg' is one path"),
    ],
)
def test_broken_lines_are_listed(own, plain, tmp_path, line, problem):
    with (own / "test_pairs.txt").open("a") as file:
        file.write(f"{line}\n")
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), threads=1)
    assert f"test_pairs.txt, {problem}" in (tmp_path / "out/problems.txt").read_text()
    assert (tmp_path / "out/test_pairs.txt").read_bytes() == (plain / "test_pairs.txt").read_bytes()


def test_a_header_that_does_not_fit_is_listed(own, plain, tmp_path):
    rewrite(lambda text: "from,to\n" + text)(own)
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), threads=1)
    lines = (tmp_path / "out/problems.txt").read_text().splitlines()
    assert len(lines) == 2 and all("pairs.txt, line 1: the header from,to does not fit" in line for line in lines)
    assert (tmp_path / "out/train_pairs.txt").read_bytes() == (plain / "train_pairs.txt").read_bytes()


def test_mended_it_goes_on(own, plain, tmp_path, monkeypatch):
    """What was left out is prepared when it is there, and nothing else is read again."""
    picture_of(own).rename(tmp_path / "kept.png")
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), threads=1)
    (tmp_path / "kept.png").rename(picture_of(own))
    read, resize = [], prep.read_resized
    monkeypatch.setattr(prep, "read_resized", lambda path, **options: read.append(path) or resize(path, **options))
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), threads=1)
    assert read == [picture_of(own)]
    assert (tmp_path / "out/test_pairs.txt").read_bytes() == (plain / "test_pairs.txt").read_bytes()
    assert contents(tmp_path / "out/64-44") == contents(plain / "64-44")


# --------------------------------------------------------------------------------------------------- what is refused


def every(pattern, write):
    def change(folder):
        for file in list(folder.rglob(pattern)):
            write(file)

    return change


def only_other_lists(folder, text=None, name="fasion-resize-pairs-{}.csv"):
    for split in ("train", "test"):
        file = (folder / f"{split}_pairs.txt").rename(folder / name.format(split))
        file.write_text(text or file.read_text())


NOTHING = "nothing could be prepared: .*"
REFUSED = {
    "no pictures": (lambda folder: shutil.rmtree(folder / "img/WOMEN"), "img: no picture in it"),
    "no folder of pictures": (lambda folder: shutil.rmtree(folder / "img"), "img: no such folder"),
    "no folder of key points": (lambda folder: shutil.rmtree(folder / "pose"), "pose: no such folder"),
    "no key points": (lambda folder: shutil.rmtree(folder / "pose/WOMEN"), "pose: no key points in it"),
    "no list": (lambda folder: (folder / "test_pairs.txt").unlink(), "no list of test pairs; wanted are train_pairs"),
    "two lists": (
        lambda folder: shutil.copy(folder / "test_pairs.txt", folder / "test_pairs.csv"),
        "test_pairs.txt and test_pairs.csv of test pairs; wanted are",
    ),
    "lists of PATN with lines of ours": (
        lambda folder: only_other_lists(folder, "from,to\na.jpg,b.jpg,c.jpg\n"),
        "train.csv, line 1: the header from,to does not .* write lines `target.*` into train_pairs.txt",
    ),
    "lists of PATN without a header": (only_other_lists, "pairs-train.csv: no header like from,to says"),
    "an unknown header": (
        rewrite(lambda text: "left,right,more\n" + text), "line 1: the header left,right,more does not say which",
    ),
    "no text": (lambda folder: (folder / "train_pairs.txt").write_bytes(b"\xff\xd8"), "_pairs.txt: not a text file"),
    "other pictures": (
        rename(lambda name: f"b{name.replace('/', '')}", "img"),
        "img: no picture of any of the 9 names in the lists; the lists name WOMEN/S.* and the folder has bWOMEN",
    ),
    "img.zip": (
        every("*.png", lambda file: Image.new("RGB", (256, 256)).save(file)),
        f"{NOTHING}: 256 x 256 pixels, as in img.zip; take .* img_highres.zip .9 problems, listed in",
    ),
    "square pictures": (
        every("*.png", lambda file: Image.new("RGB", (512, 512)).save(file)),
        f"{NOTHING}: 512 x 512 pixels are not 11:16, .* see --frame picture .9 problems, listed in",
    ),
    "broken key points": (every("*view.txt", lambda file: file.write_text("1 2 3\n")), f"{NOTHING}view.txt.*9 prob"),
    "empty lists": (rewrite(lambda text: "\n"), f"{NOTHING}pairs.txt: no pairs in it"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_prepared_ends_in_one_line(own, tmp_path, monkeypatch, kind):
    spoil, message = REFUSED[kind]
    spoil(own)
    words = f"--images {own}/img --annotations {own} --out {tmp_path}/out --heights 64 --threads 1".split()
    monkeypatch.setattr(sys, "argv", ["deepfashion.py", *words])
    with pytest.raises(SystemExit) as stop:
        prep.main()
    assert re.search(message, str(stop.value)) and "\n" not in str(stop.value)


@pytest.mark.parametrize("out", [".", "sub/..", "link"])
def test_your_own_lists_are_not_overwritten(own, monkeypatch, out):
    (own / "sub").mkdir()
    (own / "link").symlink_to(own)
    before = {path: path.read_bytes() for path in own.rglob("*.txt")}
    with pytest.raises(ValueError, match="would be overwritten; choose another folder for --out"):
        prep.prepare(own / "img", own, own / out, heights=(HEIGHT,))
    assert {path: path.read_bytes() for path in own.rglob("*.txt")} == before


def test_synthetic_people_overwrite_no_lists_but_their_own(few, own):
    people.write_people(own, train=2, test=1, height=64)
    assert (own / "test_pairs.txt").read_bytes() == (few / "test_pairs.txt").read_bytes()
    (own / "test_pairs.txt").write_text("img/MEN/a.jpg,img/MEN/b.jpg\n")
    with pytest.raises(ValueError, match="test_pairs.txt: your own list would be overwritten"):
        people.write_people(own, train=2, test=1, height=64)
    assert "MEN/a" in (own / "test_pairs.txt").read_text()


# ------------------------------------------------------------------------------------------------ pictures of your own


def own_pictures(folder, sizes, turned=False):
    """Pictures black but for a white square around joint 4, and the place of that joint in pixels."""
    for directory in ("photos/Zoë, at home", "pose/Zoë, at home"):
        (folder / directory).mkdir(parents=True)
    for name, (width, height) in sizes.items():
        framing = Framing.of(width, height, 256, 176)
        x, y = framing.left + 0.4 * framing.width, framing.top + 0.7 * framing.height
        image, side = Image.new("RGB", (width, height)), framing.height // 16
        image.paste((255, 255, 255), (round(x) - side, round(y) - side, round(x) + side, round(y) + side))
        exif = Image.Exif()
        exif[0x0112] = 6 if turned else 1
        image = image.transpose(Image.Transpose.ROTATE_90) if turned else image
        image.save(folder / f"photos/Zoë, at home/{name}.png", exif=exif)
        joints = [(-1, -1)] * 4 + [(round(x), round(y))] + [(-1, -1)] * 13
        (folder / f"pose/Zoë, at home/{name}.txt").write_text("".join(f"{x} {y}\n" for x, y in joints))
    line = ",".join(f'"Zoë, at home/{name}.png"' for name in sizes)
    for split in ("train", "test"):
        (folder / f"{split}_pairs.csv").write_text(f"{line}\n", encoding="utf-8")


SIZES = {"square": (512, 512), "phone": (600, 800), "story": (540, 960), "wide": (900, 600), "published": (750, 1101)}


@pytest.mark.parametrize("turned", [False, True])
def test_key_points_go_with_pictures_of_any_shape(tmp_path, caplog, turned):
    own_pictures(tmp_path, SIZES, turned)
    out = tmp_path / "out"
    prep.prepare(tmp_path / "photos", tmp_path, out, heights=(HEIGHT,), frame="picture", threads=1)
    assert (out / "problems.txt").read_text() == ""
    data = DeepFashion(out, HEIGHT, "test", augment=False)
    assert len(data) == len(SIZES) - 1
    for number in range(len(data)):
        sample = data.pair(number)
        for image, joints in zip(sample.images, sample.keypoints):
            weight = image[0].double()
            across, down = torch.arange(44) + 0.5, torch.arange(64) + 0.5
            centre = torch.stack([(weight.sum(0) * across).sum(), (weight.sum(1) * down).sum()]) / weight.sum()
            assert (centre - joints[4]).abs().max() < 0.5
            assert (joints[[*range(4), *range(5, 18)]] == -1).all()
    (line,) = caplog.messages
    assert "wide.png: only the middle 412 x 600 pixels, 46% of the picture" in line


def test_a_person_outside_the_window_is_left_out(tmp_path):
    own_pictures(tmp_path, {"a": (900, 600), "b": (900, 600), "c": (900, 600)})
    (tmp_path / "pose/Zoë, at home/c.txt").write_text("20 300\n" * 18)
    prep.prepare(tmp_path / "photos", tmp_path, tmp_path / "out", heights=(HEIGHT,), frame="picture", threads=1)
    (line,) = (tmp_path / "out/problems.txt").read_text(encoding="utf-8").splitlines()
    assert line.startswith(f"{tmp_path}/pose/Zoë, at home/c.txt: ")
    assert read_pairs(tmp_path / "out/train_pairs.txt") == [Item("Zoë, at home/a", ("Zoë, at home/b",))]


def test_own_pixels_and_the_published_frame_agree(few, plain, tmp_path):
    """Key points of a published frame, written in the pixels of each picture, are prepared as they were."""
    own = shutil.copytree(few, tmp_path / "own")
    for file in (own / "pose").rglob("*.txt"):
        picture = Image.open(own / "img" / file.relative_to(own / "pose").with_suffix(".png"))
        joints = np.loadtxt(file)
        scaled = (joints - [40, 0]) * np.array(picture.size) / [176, 256]
        np.savetxt(file, np.where((joints == -1).any(1, keepdims=True), -1, scaled), fmt="%.12g")
    prep.prepare(own / "img", own, tmp_path / "out", heights=(HEIGHT,), frame="picture", threads=1)
    assert texts(tmp_path / "out") == texts(plain)
    assert contents(tmp_path / "out/64-44") == contents(plain / "64-44")


def test_key_points_may_lie_anywhere(few, plain, tmp_path):
    own = shutil.copytree(few, tmp_path / "own")
    shutil.copytree(own / "pose", own / "img", dirs_exist_ok=True)  # beside the pictures
    shutil.rmtree(own / "pose")
    prep.prepare(own / "img", own, tmp_path / "out", poses=own / "img", heights=(HEIGHT,), threads=1)
    assert texts(tmp_path / "out") == texts(plain)


@pytest.mark.slow
def test_the_example_of_the_documentation(tmp_path):
    """Its lists, its commands and what they print, word for word, with people of its names drawn at its size."""
    text = (ROOT / "data_prep/README.md").read_text().split("## Pictures of your own")[1].split("\n## ")[0]
    lists = dict(re.findall(r"`mine/(\w+\.csv)`:\n\n```csv\n(.*?)```", text, re.S))
    commands, printed = re.findall(r"```(?:bash|text)\n(python .*?|data/mine.*?)```", text, re.S)
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    names = {path.removesuffix(".jpg") for content in lists.values() for path in re.findall(r"[\w/]+\.jpg", content)}
    assert set(lists) == {"train_pairs.csv", "test_pairs.csv"} and len(names) == 6
    index = torch.arange(len(names))
    views = people.render(people.sample_people(1, index), people.sample_poses(1, index, 0), 128)
    for name, image, joints, seen in zip(sorted(names), views.image, views.keypoints, views.visible, strict=True):
        square = Image.new("RGB", (512, 512), "white")
        square.paste(Image.fromarray(people.picture(image, 4)), (80, 0))
        for path in (tmp_path / f"mine/photos/{name}.jpg", tmp_path / f"mine/pose/{name}.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
        square.save(tmp_path / f"mine/photos/{name}.jpg")
        joints = torch.where(seen[:, None], joints * 4 + torch.tensor([80, 0]), -1).tolist()
        (tmp_path / f"mine/pose/{name}.txt").write_text("".join(f"{x:.1f} {y:.1f}\n" for x, y in joints))
    for name, content in lists.items():
        (tmp_path / "mine" / name).write_text(content)
    (tmp_path / "data_prep").symlink_to(ROOT / "data_prep")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    run = subprocess.run(["bash", "-ec", commands], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout == printed, run.stderr
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    said = re.findall(r"# (.*)", code)
    assert run.stdout.splitlines() == said


def as_json(folder):
    """The key points as OpenPose writes them, in BODY_25 and with 0 0 for a missing joint, under its names."""
    for file in (folder / "pose").rglob("*.txt"):
        joints = np.loadtxt(file)
        seen = (joints != -1).all(1, keepdims=True)
        found = np.zeros((25, 3))
        found[[*range(8), *range(9, 19)]] = np.hstack([np.where(seen, joints, 0), seen])
        written = {"people": [{"pose_keypoints_2d": found.ravel().tolist()}]}
        file.with_name(f"{file.stem}_keypoints.json").write_text(json.dumps(written))
        file.unlink()
    return folder / "pose"


def as_one_file(folder):
    """The key points of all pictures in one COCO file."""
    images, annotations = [], []
    for number, file in enumerate(sorted((folder / "pose").rglob("*.txt"))):
        joints = np.loadtxt(file)
        name = file.relative_to(folder / "pose").with_suffix(".jpg").as_posix()
        points = np.hstack([joints, (joints != -1).all(1, keepdims=True) * 2])
        images.append({"id": number, "file_name": name})
        annotations.append({"image_id": number, "keypoints": points.ravel().tolist()})
    shutil.rmtree(folder / "pose")
    (folder / "poses.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder / "poses.json"


@pytest.mark.parametrize("form", [as_json, as_one_file])
def test_key_points_in_other_forms_are_prepared_alike(own, plain, form):
    prep.prepare(own / "img", own, own / "out", poses=form(own), heights=(HEIGHT,), threads=1)
    assert texts(own / "out") == texts(plain)


def test_key_points_in_another_frame_are_left_out_with_the_likely_frame(own):
    for file in (own / "pose").rglob("*.txt"):
        joints = np.loadtxt(file)
        np.savetxt(file, np.where((joints == -1).any(1, keepdims=True), -1, joints * 4))
    with pytest.raises(ValueError, match="nothing could be prepared: .*outside the 256x256 frame.*--frame"):
        prep.prepare(own / "img", own, own / "out", heights=(HEIGHT,), threads=1)
