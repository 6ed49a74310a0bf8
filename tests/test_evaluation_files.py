"""Pictures of any origin are read alike, and each is matched with its ground truth, or one line says what to do."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from nted_lite.evaluation.files import (
    all_pictures,
    find_generated,
    match_pictures,
    read_picture,
    read_picture_pairs,
)
from nted_lite.transfer import output_name

SIZE = (64, 44)


# --------------------------------------------------------------------------------------------------------- reading them


def gradient(height, width):
    """A smooth picture that no two pixels of share, h w 3."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / height, 255 * x / width, 128 + 0 * x], -1).astype(np.uint8)


def test_files_and_tensors_are_the_same_picture(tmp_path):
    array = gradient(*SIZE)
    Image.fromarray(array).save(tmp_path / "a.png")
    wanted = torch.tensor(array).movedim(-1, 0)
    for picture in (tmp_path / "a.png", str(tmp_path / "a.png"), wanted, wanted / 127.5 - 1):
        found, done, kind = read_picture(picture, *SIZE)
        assert found.dtype == torch.uint8 and torch.equal(found, wanted) and done == "as it is"
        assert kind == ("tensor" if isinstance(picture, torch.Tensor) else "PNG")


def test_floats_are_rounded_and_clipped():
    levels = torch.tensor([-3, -0.4, 0.4, 0.6, 254.6, 300])
    found, _, _ = read_picture((levels / 127.5 - 1).reshape(1, 2, 3).repeat(3, 1, 1), 2, 3)
    assert found[0].flatten().tolist() == [0, 0, 0, 1, 255, 255]


def test_other_sizes_are_resized_bicubically(tmp_path):
    large = Image.fromarray(gradient(1101, 750))
    large.save(tmp_path / "a.png")
    found, done, _ = read_picture(tmp_path / "a.png", 256, 176)
    wanted = large.resize((176, 256), Image.Resampling.BICUBIC)
    assert np.array_equal(found.movedim(0, -1).numpy(), np.asarray(wanted)) and done == "resized"


def test_white_borders_are_cut(tmp_path):
    inner = gradient(256, 176)
    Image.fromarray(np.pad(inner, ((0, 0), (40, 40), (0, 0)), constant_values=255)).save(tmp_path / "a.png")
    found, done, _ = read_picture(tmp_path / "a.png", 256, 176)
    assert np.array_equal(found.movedim(0, -1).numpy(), inner) and done == "cut"


def test_squeezed_pictures_are_stretched_back(tmp_path):
    whole = Image.fromarray(gradient(256, 176))
    whole.resize((256, 256), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    found, done, _ = read_picture(tmp_path / "a.png", 256, 176, whole=True)
    assert np.abs(found.movedim(0, -1).numpy().astype(int) - np.asarray(whole)).max() <= 1 and done == "stretched"
    whole.save(tmp_path / "b.png")
    assert read_picture(tmp_path / "b.png", 256, 176, whole=True)[1] == "as it is"


def test_the_format_is_that_of_the_content(tmp_path):
    Image.fromarray(gradient(*SIZE)).save(tmp_path / "a.png", format="JPEG")
    assert read_picture(tmp_path / "a.png", *SIZE)[2] == "JPEG"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK"])
def test_modes_become_rgb(tmp_path, mode):
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    grey = Image.new("RGB", SIZE[::-1], (102, 102, 102)).convert(mode)
    grey.save(name)
    found, _, _ = read_picture(name, *SIZE)
    assert found.shape == (3, *SIZE) and (found.float() - 102).abs().max() <= 2


def test_broken_pictures_are_named(tmp_path):
    Image.fromarray(gradient(*SIZE)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    broken = {"cut.png": whole[: len(whole) // 2], "empty.png": b"", "text.png": b"no picture at all"}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    for name in (*broken, "absent.png"):
        with pytest.raises(ValueError, match=name) as error:
            read_picture(tmp_path / name, *SIZE)
        assert "\n" not in str(error.value)


def test_broken_tensors_are_described():
    with pytest.raises(ValueError, match=r"is \(3, 32, 22\); \(3, 64, 44\) are measured"):
        read_picture(torch.zeros(3, 32, 22), *SIZE)
    with pytest.raises(ValueError, match="not finite"):
        read_picture(torch.full((3, *SIZE), math.nan), *SIZE)


# -------------------------------------------------------------------------------------------------------- matching them


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def matched(root):
    """(generated, true) as match_pictures pairs them below root/a and root/b, and what it says of names."""
    pairs, said = match_pictures(root / "a", root / "b")
    return [tuple(file.relative_to(root).as_posix() for file in pair) for pair in pairs], said


def test_matching_by_name_whatever_the_suffix(tmp_path):
    touch(tmp_path, "a/x/1.png", "a/y/1.JPG", "a/notes.txt", "b/y/1.jpeg", "b/x/1.webp")
    assert matched(tmp_path) == ([("a/x/1.png", "b/x/1.webp"), ("a/y/1.JPG", "b/y/1.jpeg")], "")


def test_matching_flattened_names_of_deepfashion(tmp_path):
    touch(tmp_path, "a/fashionWOMENTeesTanksid0000001202_1front.png", "b/WOMEN/Tees_Tanks/id_00000012/02_1_front.jpg")
    assert matched(tmp_path)[0] == [tuple(str(f.relative_to(tmp_path)) for f in sorted(tmp_path.rglob("*.*")))]


def test_hidden_files_are_passed_over(tmp_path):
    """What macOS and others leave behind when a folder is packed, and caches of viewers."""
    touch(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    touch(tmp_path, "a/._1.png", "b/.DS_Store", "a/__MACOSX/1.png", "b/.thumbs/1.png", "a/.cache/2.png")
    assert len(matched(tmp_path)[0]) == 2
    assert [file.name for file in all_pictures(tmp_path / "a")] == ["1.png", "2.png"]


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (("p0_vis", "p1_vis", "p10_vis"), ("p0", "p1", "p10"), "p*_vis with p*"),
        (("0", "1", "2"), ("0_gt", "1_gt", "2_gt"), "* with *_gt"),
        (("0001_fake_B", "0002_fake_B"), ("0001_real_B", "0002_real_B"), "*_fake_B with *_real_B"),
        (("fake_10", "fake_11"), ("real_10", "real_11"), "fake_* with real_*"),
        (("x/out_1_vis", "y/out_1_vis"), ("x/out_1", "y/out_1"), "*/out_1_vis with */out_1"),
    ],
)
def test_names_that_differ_by_what_all_have_in_common(ours, theirs, said, tmp_path):
    touch(tmp_path, *(f"a/{name}.png" for name in ours), *(f"b/{name}.jpg" for name in theirs))
    pairs, found = matched(tmp_path)
    assert dict(pairs) == {f"a/{a}.png": f"b/{b}.jpg" for a, b in zip(ours, theirs)}
    assert found == said


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("x10", "x11"), ("y20", "y21")),  # 0 and 1 are not their numbers
        (("1", "2"), ("001", "002")),
        (("p0_vis", "p1_vis"), ("p0", "p1", "p2")),
        (("a",), ("b",)),
        (("p0_vis", "p1_out"), ("p0", "p1")),
    ],
)
def test_names_that_only_seem_to_match(ours, theirs, tmp_path):
    touch(tmp_path, *(f"a/{name}.png" for name in ours), *(f"b/{name}.png" for name in theirs))
    with pytest.raises(ValueError, match="a file of lines `generated,truth` as --pictures matches any names$") as error:
        match_pictures(tmp_path / "a", tmp_path / "b")
    assert "\n" not in str(error.value)


def test_what_is_missing_is_counted_and_named(tmp_path):
    touch(tmp_path, *(f"a/{n}.png" for n in range(3)), *(f"b/{n}.png" for n in range(2, 9)))
    with pytest.raises(ValueError) as error:
        match_pictures(tmp_path / "a", tmp_path / "b")
    assert f"a lacks 6 of them: 3, 4, 5 ...; {tmp_path / 'b'} lacks 2 of them: 0, 1" in str(error.value)


def test_folders_that_cannot_be_matched(tmp_path):
    touch(tmp_path, "made/1.png", "made/1.jpg", "true/1.png", "empty/readme.txt", "hidden/._1.png")
    for left, right, line in (
        ("made", "true", "1.png and 1.jpg have one name"), ("true", "empty", "empty: holds no pictures"),
        ("hidden", "true", "hidden: holds no pictures"), ("nowhere", "true", "nowhere: no such folder"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=line):
            match_pictures(tmp_path / left, tmp_path / right)


THERE, BACK = "img/WOMEN/Tees_Tanks/id_00000012/02_1_front.jpg", "img/WOMEN/Tees_Tanks/id_00000012/03_2_back.jpg"
PUBLISHED_NAMES = (
    "fashionWOMENTeesTanksid0000001202_1_front_2_fashionWOMENTeesTanksid0000001203_2_back_vis.png",
    "fashionWOMENTees_Tanksid0000001202_1front_2_fashionWOMENTees_Tanksid0000001203_2back_vis.png",
    "fashionWOMENTees_Tanksid0000001202_1front_2_fashionWOMENTees_Tanksid0000001203_2back.jpg",
    "fashionWOMENTees_Tanksid0000001202_1front_to_fashionWOMENTees_Tanksid0000001203_2back.png",
    "results/fashionWOMENTeesTanksid0000001202_1front_2_fashionWOMENTeesTanksid0000001203_2back_vis.png",
)


OUR_NAMES = output_name(THERE, BACK), output_name(THERE, BACK).replace(".png", ".jpg")


@pytest.mark.parametrize("name", [*OUR_NAMES, *PUBLISHED_NAMES])
def test_finding_what_was_generated_for_a_list(name, tmp_path):
    """Ours and the names of published systems, whichever is there."""
    touch(tmp_path, name, output_name(BACK, THERE))
    found = find_generated(tmp_path, [(THERE, BACK), (BACK, THERE)])
    assert found == [tmp_path / name, tmp_path / output_name(BACK, THERE)]
    with pytest.raises(ValueError, match=r"1 of 2 pictures are missing: .*\+02_1_front_to_.*\+02_1_front.png; a file"):
        find_generated(tmp_path, [(THERE, BACK), (THERE, THERE)])


@pytest.mark.parametrize(
    "names",
    [
        [f"epoch{n}/{PUBLISHED_NAMES[0]}" for n in (1, 2)], [PUBLISHED_NAMES[0], PUBLISHED_NAMES[1]],
        [OUR_NAMES[0], OUR_NAMES[1]], [OUR_NAMES[0], PUBLISHED_NAMES[2]],
    ],
)  # fmt: skip
def test_two_pictures_of_one_pair_are_refused(names, tmp_path):
    touch(tmp_path, *names, output_name(BACK, THERE), "epoch1/notes.png", "epoch2/notes.png")
    with pytest.raises(ValueError, match="are both of one pair: which one is to be measured") as error:
        find_generated(tmp_path, [(THERE, BACK), (BACK, THERE)])
    assert all(name in str(error.value) for name in names)
    assert find_generated(tmp_path, [(BACK, THERE)]) == [tmp_path / output_name(BACK, THERE)]


LISTS = {
    "plain": b"made/x.png,true/y.jpg\nmade/z.png,true/z.png\n",
    "spaces": b"made/x.png, true/y.jpg\n made/z.png ,true/z.png",
    "blank last lines": b"made/x.png,true/y.jpg\nmade/z.png,true/z.png\n\n  \n",
    "CRLF and a mark": b"\xef\xbb\xbfmade/x.png,true/y.jpg\r\nmade/z.png,true/z.png\r\n",
    "UTF-16": "made/x.png,true/y.jpg\nmade/z.png,true/z.png".encode("utf-16"),
    "backslashes": b"made\\x.png,true\\y.jpg\nmade\\z.png,true\\z.png\n",
    "a header": b"generated,true\nmade/x.png,true/y.jpg\nmade/z.png,true/z.png\n",
    "a header, the other way round": b"gt;pred\ntrue/y.jpg;made/x.png\ntrue/z.png;made/z.png\n",
    "tabs": b"made/x.png\ttrue/y.jpg\nmade/z.png\ttrue/z.png\n",
    "quotes": b'"made/x.png","true/y.jpg"\n"made/z.png","true/z.png"\n',
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_pictures(kind, tmp_path):
    touch(tmp_path, "made/x.png", "true/y.jpg", "made/z.png", "true/z.png")
    (tmp_path / "list.csv").write_bytes(LISTS[kind])
    wanted = [("made/x.png", "true/y.jpg"), ("made/z.png", "true/z.png")]
    assert read_picture_pairs(tmp_path / "list.csv") == [(tmp_path / a, tmp_path / b) for a, b in wanted]


@pytest.mark.parametrize("ending", [".ppm", ""])
def test_the_first_pair_of_a_list_is_no_header(ending, tmp_path):
    """Whatever ending its pictures have."""
    touch(tmp_path, *(f"{name}{ending}" for name in "abcd"))
    (tmp_path / "list").write_text(f"a{ending},b{ending}\nc{ending},d{ending}\n")
    assert [(a.stem, b.stem) for a, b in read_picture_pairs(tmp_path / "list")] == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"made/x.png,true/y.jpg\nmade/x.png\n", "list.csv, line 2: 'made/x.png' is not `generated,truth`"),
        (b"made/x.png,true/y.jpg,z\n", "line 1: "),
        (b"made/x.png,\n", "line 1: "),
        (b"", "list.csv: no pictures in it; write lines `generated,truth`"),
        (b"generated,true\n\n", "list.csv: no pictures in it"),
        (b"a.ppm,b.ppm\nmade/x.png,true/y.jpg\n", "list.csv: 2 of 4 pictures are missing: .*a.ppm"),
        (b"made/x.png,true/z.jpg\n", "list.csv: 1 of 2 pictures are missing: .*true/z.jpg"),
        (b"\xff\xd8\xff\xe0\x00", "list.csv: not a text file"),
        (None, r"list.csv: not a readable list of pictures \(No such file"),
    ],
)
def test_a_bad_list_is_named(text, line, tmp_path):
    touch(tmp_path, "made/x.png", "true/y.jpg")
    if text is not None:
        (tmp_path / "list.csv").write_bytes(text)
    with pytest.raises(ValueError, match=line) as error:
        read_picture_pairs(tmp_path / "list.csv")
    assert "\n" not in str(error.value)
