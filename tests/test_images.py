"""Picture files of any kind are read and framed alike, or refused in one line that says what to do."""

import os
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image, features

from nted_lite import images
from nted_lite.images import Framing, open_picture, picture, png, read_framing, read_image, warn_of_cuts, write_png

SIZE = (64, 44)
FORMATS = {  # how a file ends -> how Pillow saves it without loss
    "png": {}, "PNG": {}, "bmp": {}, "tif": {}, "TIFF": {"compression": "tiff_lzw"}, "webp": {"lossless": True},
}  # fmt: skip


def one_line(call, *arguments):
    with pytest.raises(ValueError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def noise(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


# -------------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_is_read_alike(tmp_path, ending):
    image = noise(30, 40)
    image.save(tmp_path / f"a.{ending}", **FORMATS[ending])
    assert open_picture(tmp_path / f"a.{ending}").tobytes() == image.tobytes()


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "jfif", "gif", "avif"])
def test_lossy_formats_are_read_too(tmp_path, ending):
    if ending == "avif" and not features.check("avif"):
        pytest.skip("this Pillow knows no AVIF")
    image = Image.new("RGB", (30, 40), (200, 100, 50))
    image.save(tmp_path / f"a.{ending}", format={"jfif": "JPEG"}.get(ending))
    read = open_picture(tmp_path / f"a.{ending}")
    assert read.mode == "RGB" and np.abs(np.array(read).astype(int) - np.array(image)).max() <= 3


def test_the_first_picture_of_several_is_read(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_picture(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_a_name_may_lie(tmp_path):
    noise(30, 40).save(tmp_path / "a.jpg", format="PNG")
    assert open_picture(tmp_path / "a.jpg").tobytes() == noise(30, 40).tobytes()


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


def saved_turned(image, path, turn):
    """Store an upright picture as a camera does that was held in one of eight ways."""
    undo = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE",
        8: "ROTATE_270",
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = image.transpose(Image.Transpose[undo[turn]]) if turn > 1 else image
    stored.save(path, exif=exif, **FORMATS.get(path.suffix[1:], {}))


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_rotation(tmp_path, turn, ending):
    """Upright pixels, and the same framing from the header alone."""
    saved_turned(noise(30, 90), tmp_path / f"a.{ending}", turn)
    assert open_picture(tmp_path / f"a.{ending}").tobytes() == noise(30, 90).tobytes()
    _, seen = read_image(tmp_path / f"a.{ending}", *SIZE)
    assert read_framing(tmp_path / f"a.{ending}", *SIZE) == seen == Framing.of(30, 90, *SIZE)


# -------------------------------------------------------------------------------------------------------------- framing


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


def test_how_much_is_kept():
    sizes = {(750, 1101): 1, (256, 256): 176 / 256, (1101, 750): 516 / 1101, (900, 1600): 1309 / 1600}
    for size, kept in sizes.items():
        assert Framing.of(*size, *SIZE).kept == pytest.approx(kept, abs=2e-3)


def test_a_notice_when_much_is_cut(tmp_path, caplog):
    """A landscape photo and a panorama are worth one line; square, portrait and published pictures are not."""
    sizes = {"phone": (3024, 4032), "story": (1080, 1920), "square": (512, 512), "published": (750, 1101)}
    warn_of_cuts({tmp_path / name: Framing.of(*size, *SIZE) for name, size in sizes.items()})
    assert not caplog.messages
    wide = {"landscape": (4000, 3000), "panorama": (8000, 2000)}
    warn_of_cuts({tmp_path / name: Framing.of(*size, *SIZE) for name, size in {**sizes, **wide}.items()})
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'landscape'}: only the middle 2062 x 3000 pixels, 52% of the picture, are")
    assert line.endswith("(and 1 more like it)") and "crop it" in line


# -------------------------------------------------------------------------------------------------------------- broken


def cut_short(path, image, keep):
    image.save(path)
    path.write_bytes(path.read_bytes()[:keep])


def flipped(path):
    noise(200, 300).save(path)
    content = bytearray(path.read_bytes())
    content[200:220] = bytes(20)
    path.write_bytes(content)


BROKEN = {
    "missing.png": (lambda path: None, "No such file"),
    "folder.png": (lambda path: path.mkdir(), ""),
    "truncated.jpg": (lambda path: cut_short(path, noise(200, 300), 2000), "truncated"),
    "truncated.png": (lambda path: cut_short(path, noise(200, 300), 3000), ""),
    "truncated.webp": (lambda path: cut_short(path, noise(200, 300), 2000), ""),
    "header only.jpg": (lambda path: cut_short(path, noise(200, 300), 3), "no format that Pillow knows"),
    "flipped.png": (flipped, ""),
    "empty.jpg": (lambda path: path.write_bytes(b""), "the file is empty"),
    "blank.jpg": (lambda path: path.write_bytes(b"\r\n  "), "the file is empty"),
    "page.jpg": (lambda path: path.write_text("\n<!DOCTYPE html><html>Sign in"), "web page or other text"),
    "drawing.png": (lambda path: path.write_text("<?xml version='1.0'?><svg/>"), "web page or other text"),
    "pointer.jpg": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "text.jpg": (lambda path: path.write_text("404 not found"), "no format that Pillow knows"),
    "zip.jpg": (lambda path: path.write_bytes(b"PK\3\4" + bytes(99)), "no format that Pillow knows"),
    "phone.heic": (lambda path: path.write_bytes(bytes(3) + b"\x18ftypheic" + bytes(9)), "pip install pillow-heif"),
    "named.jpg": (lambda path: path.write_bytes(bytes(3) + b"\x18ftypmif1" + bytes(9)), "save it as JPEG"),
    "floats.tif": (lambda path: Image.new("F", (20, 30), 0.5).save(path), "floats of unknown range"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_picture_is_named(tmp_path, name):
    write, why = BROKEN[name]
    write(tmp_path / name)
    line = one_line(open_picture, tmp_path / name)
    assert line.startswith(f"{tmp_path / name}: not a readable picture (") and why in line
    assert one_line(read_image, tmp_path / name, *SIZE) == line


@pytest.mark.parametrize("name", ["missing.png", "empty.jpg", "page.jpg", "phone.heic"])
def test_a_framing_needs_a_picture(tmp_path, name):
    write, why = BROKEN[name]
    write(tmp_path / name)
    assert why in one_line(read_framing, tmp_path / name, *SIZE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything")
def test_no_permission_to_read(tmp_path):
    noise(8, 8).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    assert "Permission denied" in one_line(open_picture, tmp_path / "a.png")


def test_pillow_heif_is_used_where_it_is_installed(monkeypatch):
    library, registered = ModuleType("pillow_heif"), []
    library.register_heif_opener = lambda: registered.append("heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", library)
    images._more_formats.__wrapped__()
    assert registered == ["heic"]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    images._more_formats.__wrapped__()  # nothing happens where it is not


# -------------------------------------------------------------------------------------------------------------- writing


def test_what_is_written_is_read_again(tmp_path):
    levels = torch.arange(256.0).reshape(1, 16, 16).repeat(3, 1, 1)
    write_png(levels / 127.5 - 1, tmp_path / "below/a.png")
    assert np.array_equal(np.array(open_picture(tmp_path / "below/a.png"))[..., 0].ravel(), np.arange(256))
    assert (tmp_path / "below/a.png").read_bytes() == png(picture(levels / 127.5 - 1))
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["a.png"]


def test_a_picture_is_whole_or_absent(tmp_path, monkeypatch):
    out = tmp_path / "a.png"

    def full(path, content):
        with open(path, "wb") as file:
            file.write(content[:5])
        raise OSError(28, "No space left on device")

    write_png(torch.zeros(3, 4, 5), out)
    before = out.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        assert one_line(write_png, torch.ones(3, 4, 5), out) == f"{out}: cannot be written (No space left on device)"
    assert out.read_bytes() == before and list(tmp_path.iterdir()) == [out]
    assert "cannot be written" in one_line(write_png, torch.zeros(3, 4, 5), out / "below.png")  # a file, not a folder
