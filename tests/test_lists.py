"""Text files from any system and editor read alike, and a picture has one name, however its path is written."""

from pathlib import Path

import pytest

from nted_lite.lists import (
    KEYPOINTS,
    PICTURES,
    Item,
    by_name,
    find_files,
    pair_lines,
    picture_name,
    read_lines,
    read_pairs,
    read_text,
    tidy_path,
    without_ending,
)

TEXT = "Zoë/a.jpg,b.jpg\n\n  c.jpg,d.jpg \n"


def one_line(call, *arguments, **options):
    with pytest.raises(ValueError) as refused:
        call(*arguments, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ----------------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_text_is_read_whatever_wrote_it(tmp_path, encoding, newline):
    (tmp_path / "a.txt").write_bytes(TEXT.replace("\n", newline).encode(encoding))
    assert read_lines(tmp_path / "a.txt") == [(1, "Zoë/a.jpg,b.jpg"), (3, "c.jpg,d.jpg")]


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", "Zoë".encode("latin-1"), b"\xff\xfea"])
def test_what_is_not_text_is_named(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert one_line(read_text, tmp_path / "a.txt") == f"{tmp_path / 'a.txt'}: not a text file in UTF-8 or UTF-16"


# ---------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "written", ["a/b c.jpg", " a/b c.jpg ", "img/a/b c.jpg", "./img/a/b c.jpg", "/img/a/b c.jpg", "img\\a\\b c.jpg",
                '"a/b c.jpg"', "'img/a/b c.jpg'", ".\\a\\b c.jpg", "img/./a/b c.jpg", "./././a/./b c.jpg"],
)  # fmt: skip
def test_paths_are_tidied(written):
    assert tidy_path(written) == "a/b c.jpg"


@pytest.mark.parametrize("folder", ["mine", "mine/", "./mine"])
def test_paths_that_begin_with_the_folder(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    for written in ("a/b.jpg", "mine/a/b.jpg", "./mine/a/b.jpg", f"{tmp_path}/mine/./a/b.jpg", "mine\\a\\b.jpg"):
        assert lines(tmp_path, f"{written},{written}\n", folder=Path(folder)) == [(1, Item("a/b.jpg", ("a/b.jpg",)))]
    assert lines(tmp_path, "mine2/b.jpg,c.jpg\n", folder=Path(folder)) == [(1, Item("mine2/b.jpg", ("c.jpg",)))]


DEEPFASHION = "WOMEN/Blouses_Shirts/id_00006953/03_4_full"


@pytest.mark.parametrize(
    "written",
    [
        DEEPFASHION,
        f"img/{DEEPFASHION}.jpg",
        f"{DEEPFASHION}.JPEG",
        f"{DEEPFASHION}.png",
        f"pose/{DEEPFASHION}.txt",
        f"{DEEPFASHION}_keypoints.json",
        f"img_highres\\{DEEPFASHION}.jpg".replace("/", "\\"),
        "fashionWOMENBlouses_Shirtsid0000695303_4full.jpg",  # PATN, ADGAN, PISE, GFLA
        "train_highres/fashionWOMENBlouses_Shirtsid0000695303_4full.jpg",
        "fashionWOMENBlousesShirtsid0000695303_4full.png",
        "WOMEN-Blouses_Shirts-id_00006953-03_4_full.jpg",  # DeepFashion-MultiModal
    ],
)
def test_a_picture_of_deepfashion_has_one_name(written):
    assert picture_name(written) == DEEPFASHION


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("fashionMENJackets_Vestsid0000065304_7additional.jpg", "MEN/Jackets_Vests/id_00000653/04_7_additional"),
        ("MEN/Denim/id_00000080/01_1_front.jpg", "MEN/Denim/id_00000080/01_1_front"),
        # names of one's own keep what only looks like an ending, or like DeepFashion
        ("anna/2024.05.01.jpg", "anna/2024.05.01"),
        ("anna/a.jpg.json", "anna/a"),
        ("anna/a.txt", "anna/a"),
        ("WOMEN/a.jpg", "WOMEN/a"),
        ("fashionWOMEN.jpg", "fashionWOMEN"),
        ("fashionWOMENDressesid0000000201_1front_2_fashionWOMENDressesid0000000201_2side_vis.png",
         "fashionWOMENDressesid0000000201_1front_2_fashionWOMENDressesid0000000201_2side_vis"),
    ],
)  # fmt: skip
def test_names(written, name):
    assert picture_name(written) == name == picture_name(name)


@pytest.mark.parametrize("ending", ["", *PICTURES, *KEYPOINTS, ".JPG", "_KEYPOINTS.JSON"])
def test_one_ending_is_taken_off_and_no_more(ending):
    for name in ("a/look.1", "2024.05.01", "me.jpg" if ending else "me"):
        assert without_ending(name + ending) == name


def test_files_are_found_and_hidden_ones_are_not(tmp_path):
    wanted = ["a.jpg", "b/c.JPG", "b/d.Jpeg", "e.webp"]
    for name in [*wanted, "._a.jpg", ".DS_Store", "b/._c.JPG", "__MACOSX/a.jpg", ".cache/a.jpg", "Thumbs.db", "a.txt",
                 "b/c_keypoints.json", "ajpg"]:  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path, PICTURES)] == wanted
    assert by_name(tmp_path, KEYPOINTS) == ({"a": tmp_path / "a.txt", "b/c": tmp_path / "b/c_keypoints.json"}, {})


def test_files_below_a_hidden_folder_are_found(tmp_path):
    """The folder that somebody names may lie anywhere."""
    (tmp_path / ".data/img").mkdir(parents=True)
    (tmp_path / ".data/img/a.jpg").touch()
    assert by_name(tmp_path / ".data/img", PICTURES)[0] == {"a": tmp_path / ".data/img/a.jpg"}


def test_two_files_of_one_name_are_told_apart_from_the_rest(tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        (tmp_path / name).touch()
    single, several = by_name(tmp_path, PICTURES)
    assert single == {"b": tmp_path / "b.png"} and several == {"a": [tmp_path / "a.jpg", tmp_path / "a.png"]}


# ---------------------------------------------------------------------------------------------------------------- pairs


def lines(where, text, **options):
    (where / "pairs.csv").write_text(text)
    return pair_lines(where / "pairs.csv", **options)


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("", "t.jpg,s.jpg,r.jpg"),
        ("target,source,source", "t.jpg,s.jpg,r.jpg"),
        ("to,from,from", "t.jpg,s.jpg,r.jpg"),
        ("from,from,to", "s.jpg,r.jpg,t.jpg"),
        ("Source 1,Source 2,Target", "s.jpg,r.jpg,t.jpg"),
        ("reference_image,reference_image_2,target_image", "s.jpg,r.jpg,t.jpg"),
        (",source,id,target,source", "0,s.jpg,7,t.jpg,r.jpg"),
        ("source;target;source", "s.jpg;t.jpg;r.jpg"),
    ],
)
def test_a_header_orders_the_columns(tmp_path, header, line):
    text = f"{header}\n{line}\n" if header else line
    assert lines(tmp_path, text) == [(2 if header else 1, Item("t.jpg", ("s.jpg", "r.jpg")))]


def test_paths_are_no_header(tmp_path):
    """Folders may have the names of columns."""
    assert lines(tmp_path, "to/1,from/1\n") == [(1, Item("to/1", ("from/1",)))]
    assert lines(tmp_path, "target.jpg,source.jpg\n") == [(1, Item("target.jpg", ("source.jpg",)))]
    assert lines(tmp_path, "a,b\nc,d\n") == [(1, Item("a", ("b",))), (2, Item("c", ("d",)))]


def test_a_comma_in_a_name(tmp_path):
    assert lines(tmp_path, '"a, b.jpg","c.jpg"\n') == [(1, Item("a, b.jpg", ("c.jpg",)))]


def test_a_header_of_too_few_columns_is_named_and_left_out(tmp_path):
    (number, problem), *items = lines(tmp_path, "from,to\na.jpg,b.jpg,c.jpg\n")
    assert number == 1 and "the header from,to does not fit the lines below it" in problem
    assert items == [(2, Item("a.jpg", ("b.jpg", "c.jpg")))]


def test_one_long_line_does_not_turn_the_others_round(tmp_path):
    found = lines(tmp_path, "from,to\na.jpg,b.jpg\na.jpg,b.jpg,c.jpg\n,d.jpg\n")
    assert found[0] == (2, Item("b.jpg", ("a.jpg",)))
    assert found[1] == (3, "3 columns below a header of 2")
    assert found[2] == (4, "'d.jpg,' has nothing between two commas, or before one")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,b.jpg\n", "no header like from,to says which column is the target"),
        ("from,to\na.jpg,b.jpg,c.jpg\n", "line 1: the header from,to does not say which column is the target"),
        ("first,second\na.jpg,b.jpg\n", "line 1: the header first,second does not say which column is the target"),
    ],
)
def test_a_list_from_elsewhere_needs_a_header(tmp_path, text, message):
    line = one_line(lines, tmp_path, text, headed=True)
    assert message in line and line.endswith(" into train_pairs.txt or test_pairs.txt")


def test_reading_pairs_stops_at_what_is_no_pair(tmp_path):
    (tmp_path / "a.txt").write_text("a.jpg,b.jpg\n\nc.jpg\n")
    assert one_line(read_pairs, tmp_path / "a.txt").startswith(f"{tmp_path / 'a.txt'}, line 3: 'c.jpg' is one path")
    assert one_line(read_pairs, tmp_path / "b.txt") == f"{tmp_path / 'b.txt'}: no such list of pairs"
