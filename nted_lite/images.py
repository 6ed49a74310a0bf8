"""Pictures: reading any file, framing it for a model, and writing PNG.

Every command reads pictures with `open_picture` and frames them with `Framing`, so a photo looks the same to data
preparation, training, transfer and evaluation.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nted_lite.pose import MISSING, mark_missing

TOLERANCE = 0.02
"""A picture whose aspect ratio is this close to the model's is resized whole: 750 x 1101 is off by 0.9 %"""

MUCH = 0.6
"""Warn if less than this of a picture is kept: this applies to a landscape photo, but not to a square one (69 %)"""

INSTEAD = {
    rb"\s*\Z": "the file is empty",
    rb"\s*<": "it is a web page or other text, as a failed download leaves; download it again",
    rb"version https://git-lfs": "it is a Git LFS pointer; fetch the picture with `git lfs pull`",
    rb"....ftyp(hei|hev|mif1|msf1)": "it is HEIC; save it as JPEG, or open it with pip install pillow-heif",
    rb"....ftypavi": "it is AVIF; save it as JPEG, or open it with pip install --upgrade pillow",
}
"""First bytes of a file that Pillow cannot read -> what it is, and what to do"""


def reason(error: Exception) -> str:
    """The message of an error of the system or of a library, in one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


# -------------------------------------------------------------------------------------------------------------- framing


@dataclass(frozen=True)
class Framing:
    """The window of a picture that a model sees, and the size to which it is resized, all in pixels."""

    left: int
    top: int
    width: int
    height: int
    out_height: int
    out_width: int

    @classmethod
    def of(cls, width: int, height: int, out_height: int, out_width: int) -> "Framing":
        """The framing of a width x height picture: all of it, or its largest centred window of the right shape."""
        ratio = out_width / out_height
        if abs(width / height / ratio - 1) <= TOLERANCE:
            return cls(0, 0, width, height, out_height, out_width)
        across, down = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
        return cls((width - across) // 2, (height - down) // 2, across, down, out_height, out_width)

    @property
    def kept(self) -> float:
        """The fraction of the picture inside the window, 0..1."""
        return self.width * self.height / ((self.width + 2 * self.left) * (self.height + 2 * self.top))

    def cut(self, image: Image.Image) -> Image.Image:
        """What a model sees of an upright picture: the window, resized with bicubic interpolation."""
        window = image.crop((self.left, self.top, self.left + self.width, self.top + self.height))
        return window.resize((self.out_width, self.out_height), Image.Resampling.BICUBIC)

    def apply(self, keypoints: Tensor) -> Tensor:
        """Convert key points from pixels of the picture to pixels of what the model sees.

        keypoints  ... 18 2   a joint with -1 in x or y is missing
        returns    ... 18 2   missing joints become (-1, -1); the arithmetic is that of `keypoints.to_frame`

        As in the published files, the half pixel by which resizing moves the centres of pixels is left out: key points
        lie (1 - scale) / 2 pixels low and right.
        """
        corner = keypoints.new_tensor([self.left, self.top])
        scale = keypoints.new_tensor([self.out_width / self.width, self.out_height / self.height])
        missing = (keypoints == MISSING).any(-1, keepdim=True)
        return mark_missing((keypoints - corner) * scale, missing)


def warn_of_cuts(framings: Mapping[Path, Framing]) -> None:
    """Warn, in one line, if a large part of some pictures is cut off."""
    cut = [(path, seen) for path, seen in framings.items() if seen.kept < MUCH]
    for path, seen in cut[:1]:
        used = f"{path}: only the middle {seen.width} x {seen.height} pixels, {seen.kept:.0%} of the picture, are used"
        others = f" (and {len(cut) - 1} more like it)" * (len(cut) > 1)
        logging.getLogger(__name__).warning(f"{used}; crop it around the person for a better view{others}")


# -------------------------------------------------------------------------------------------------------------- reading


@cache
def _more_formats() -> None:
    """Read HEIC, too, if the library for it is installed."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture file as Pillow opens it; any error becomes a ValueError, in one line that names the file."""
    _more_formats()
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError as error:
        with open(path, "rb") as file:
            start = file.read(512)
        known = (what for pattern, what in INSTEAD.items() if re.match(pattern, start, re.S))
        why = next(known, "in no format that Pillow knows")
        raise ValueError(f"{path}: not a readable picture ({why})") from error
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise ValueError(f"{path}: not a readable picture ({reason(error)})") from error


def open_picture(path: Path) -> Image.Image:
    """Read a picture file of any kind, as an upright RGB picture with 8 bits.

    It is rotated according to its EXIF data, transparent areas become white, and 16 bits become 8. Raises ValueError,
    in one line that names the file, if it is missing, truncated or not a picture.
    """
    with _opened(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "F":
            raise ValueError("its pixels are floats of unknown range; save it with 8 bits")
        if image.mode.startswith("I"):  # 16 bits, which Pillow would clip to 255
            image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")


def read_image(path: Path, height: int, width: int) -> tuple[Tensor, Framing]:
    """Read a photo as a model sees it.

    returns  3 height width   -1..1, see `open_picture` and `Framing.cut`
             its framing, whose `apply` converts key points in the photo's own (upright) pixels
    raises   ValueError like `open_picture`
    """
    image = open_picture(path)
    seen = Framing.of(*image.size, height, width)
    pixels = torch.from_numpy(np.array(seen.cut(image)))
    return rearrange(pixels, "h w c -> c h w") / 127.5 - 1, seen


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of an upright photo, in pixels; a photo is decoded for this only if it is rotated.

    Raises ValueError like `open_picture`.
    """
    with _opened(path) as opened:
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return (ImageOps.exif_transpose(opened) if turned else opened).size


def read_framing(path: Path, height: int, width: int) -> Framing:
    """How `read_image` frames a photo. Raises ValueError like `open_picture`."""
    return Framing.of(*picture_size(path), height, width)


# -------------------------------------------------------------------------------------------------------------- writing


def to_bytes(image: Tensor) -> Tensor:
    """Convert to the pixels of a picture file: floats in -1..1, of any shape -> uint8 on the CPU, rounded."""
    return ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def picture(image: Tensor, scale: int = 1) -> np.ndarray:
    """Enlarge without smoothing: 3 h w in -1..1 -> (h scale) (w scale) 3, uint8."""
    return repeat(to_bytes(image), "c h w -> (h i) (w j) c", i=scale, j=scale).numpy()


def png(pixels: np.ndarray) -> bytes:
    """h w 3, uint8, as the bytes of a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def write_png(image: Tensor, path: Path) -> None:
    """Write a picture, 3 h w in -1..1, completely or not at all. Raises ValueError that names the file."""
    write_file(path, png(picture(image)))


def write_file(path: Path, content: bytes) -> None:
    """Write a file, and create its folder, completely or not at all. Raises ValueError that names it."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(content)
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({reason(error)})") from error
