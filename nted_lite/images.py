"""One home for reading a picture, framing it for a model, and writing it."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageOps
from torch import Tensor

from nted_lite.pose import MISSING

TOLERANCE = 0.02
"""A picture whose ratio of sides is this close to the model's is resized whole: 750 x 1101 is off by 0.9 %"""



def reason(error: Exception) -> str:
    """What the system or a library says, in one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True)
class Framing:
    """The window of a picture that a model sees, and the size that it is resized to; all in pixels."""

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

    def apply(self, keypoints: Tensor) -> Tensor:
        """From pixels of the picture to pixels of what the model sees; joints with -1 in x or y are missing.

        keypoints  ... 18 2  ->  ... 18 2   missing joints become (-1, -1); the arithmetic is that of `to_frame`
        """
        corner = keypoints.new_tensor([self.left, self.top])
        scale = keypoints.new_tensor([self.out_width / self.width, self.out_height / self.height])
        missing = (keypoints == MISSING).any(-1, keepdim=True)
        return torch.where(missing, MISSING, (keypoints - corner) * scale)


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB, upright: what is transparent becomes white, 16 bits become 8."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range; save it with 8 bits")
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) / 257).round().clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def read_image(path: Path, height: int, width: int) -> tuple[Tensor, Framing]:
    """Read a photo as a model sees it.

    returns  3 height width   -1..1, resized bicubically; any mode, turned as its EXIF data say
             how it was framed: `apply` brings key points along that were measured in the photo's own (upright) pixels
    raises   ValueError that names the file if it is missing, truncated or not a picture
    """
    try:
        with Image.open(path) as opened:
            image = _rgb(opened)
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise ValueError(f"{path}: not a readable picture ({reason(error)})") from error
    seen = Framing.of(*image.size, height, width)
    image = image.crop((seen.left, seen.top, seen.left + seen.width, seen.top + seen.height))
    pixels = torch.from_numpy(np.array(image.resize((width, height), Image.Resampling.BICUBIC)))
    return rearrange(pixels, "h w c -> c h w") / 127.5 - 1, seen


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo in its own upright pixels. Raises ValueError that names the file, as `read_image`."""
    try:
        with Image.open(path) as opened:
            return ImageOps.exif_transpose(opened).size
    except Exception as error:
        raise ValueError(f"{path}: not a readable picture ({reason(error)})") from error


def to_bytes(image: Tensor) -> Tensor:
    """Pixels as a picture file holds them: floats in -1..1, any shape -> uint8 on the CPU, rounded."""
    return ((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def write_png(image: Tensor, path: Path) -> None:
    """Write a picture, 3 h w in -1..1: whole or not at all. Raises ValueError that names the file."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            Image.fromarray(rearrange(to_bytes(image), "c h w -> h w c").numpy()).save(aside, format="PNG")
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({reason(error)})") from error
