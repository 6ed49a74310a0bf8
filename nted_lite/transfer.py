"""Inference on files: photos and files of key points go in, PNG pictures come out.

    model = load_model(Path("checkpoints/people-64"))
    transfer_file(model, Job(Path("photo.jpg"), Path("pose.txt"), Path("made.png")))

A photo may be of any size. If its sides are about 11:16 it is resized whole, as the published preparation does with
its 750 x 1101 pictures; otherwise its largest centred 11:16 window is cut out first, which takes exactly the 40 white
columns from each side of a published 256 x 256 picture.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.config import model_config
from nted_lite.model import NTED
from nted_lite.plotting import picture, stick_figures
from nted_lite.pose import MISSING, pose_map, read_keypoints, to_frame

TOLERANCE = 0.02
"""A picture whose ratio of sides is this close to the model's is resized whole: 750 x 1101 is off by 0.9 %"""


def _reason(error: Exception) -> str:
    """What the system or a library says, in one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def load_model(checkpoint: Path, preset: str = "fashion-256", device: str | torch.device = "cpu") -> NTED:
    """The model of a checkpoint, ready for use on a device.

    checkpoint  a folder with config.json and model.safetensors, or a published .pt, .pth or .safetensors file
    preset      what a published file is a model of; a folder says it itself
    raises      ValueError, in one line, for a checkpoint that is missing, damaged or of another preset, an unknown
                preset, and a device that is not there
    """
    checkpoint, config = Path(checkpoint), model_config(preset)
    if not checkpoint.exists():
        wanted = "a folder with config.json and model.safetensors, or a published .pt file"
        raise ValueError(f"{checkpoint}: no such checkpoint; give {wanted}")
    folder = checkpoint.is_dir()
    try:
        model = NTED.from_pretrained(checkpoint) if folder else NTED.from_official(checkpoint, config)
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        if folder and str(error).startswith(str(checkpoint)):  # it says already which file is wrong
            raise
        reason = shorten(_reason(error).removeprefix(f"{checkpoint}: "), 300, placeholder=" ...")
        if folder:
            raise ValueError(f"{checkpoint / 'config.json'}: describes no model ({reason})") from error
        raise ValueError(f"{checkpoint}: no published {preset}; give another file or preset ({reason})") from error
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {str(device)!r} cannot be used ({_reason(error)})") from error


# ----------------------------------------------------------------------------------------------------- files to tensors


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


def read_reference(path: Path, height: int, width: int) -> tuple[Tensor, Framing]:
    """Read a photo as a model sees it.

    returns  3 height width   -1..1, resized bicubically; any mode, turned as its EXIF data say
             how it was framed: `apply` brings key points along that were measured in the photo's own (upright) pixels
    raises   ValueError that names the file if it is missing, truncated or not a picture
    """
    try:
        with Image.open(path) as opened:
            image = _rgb(opened)
    except Exception as error:  # a damaged file makes the decoders raise nearly anything
        raise ValueError(f"{path}: not a readable picture ({_reason(error)})") from error
    seen = Framing.of(*image.size, height, width)
    image = image.crop((seen.left, seen.top, seen.left + seen.width, seen.top + seen.height))
    pixels = torch.from_numpy(np.array(image.resize((width, height), Image.Resampling.BICUBIC)))
    return rearrange(pixels, "h w c -> c h w") / 127.5 - 1, seen


def read_pose(path: Path, height: int, width: int, framing: Framing | None = None) -> Tensor:
    """Read a file of 18 lines `x y` into the frame of a height x width picture.

    framing  of the picture in whose pixels the file is written; None: the published 256 x 256 frame
    returns  18 2   float64, pixels, (-1, -1) for a missing joint
    raises   ValueError that names the file, for what `read_keypoints` refuses and for a pose that cannot be drawn
    """
    try:
        keypoints = read_keypoints(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable file of key points ({_reason(error)})") from error
    if (keypoints == MISSING).any(-1).all():
        raise ValueError(f"{path}: every joint is missing, so there is no pose to draw")
    keypoints = framing.apply(keypoints) if framing else to_frame(keypoints, height, width)
    inside = ((keypoints >= 0) & (keypoints < keypoints.new_tensor([width, height]))).all(-1)
    if not inside.any() or (keypoints.abs() > 10_000).any():
        frame = "of the picture it was said to belong to" if framing else "of the published 256 x 256 frame"
        raise ValueError(f"{path}: no joint in sight, or one far out: its numbers are not pixels {frame}")
    return keypoints


# --------------------------------------------------------------------------------------------------- jobs, one or many


@dataclass(frozen=True)
class Job:
    """One picture to make."""

    reference: Path
    """the photo that says who"""
    keypoints: Path
    """the file that says in which pose"""
    out: Path
    """where the picture goes, a name that ends in .png"""
    posed: Path | None = None
    """the picture in whose pixels the key points are; None: they are in the published 256 x 256 frame"""

    def __post_init__(self):
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"{self.out}: pictures are written as PNG, so let the name end in .png")

    def read(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The reference image, 3 h w, and the key points, 18 2. Raises ValueError that names the bad file."""
        reference, _ = read_reference(self.reference, height, width)
        framing = read_reference(self.posed, height, width)[1] if self.posed else None
        return reference, read_pose(self.keypoints, height, width, framing)


def write_png(image: Tensor, path: Path) -> None:
    """Write a picture, 3 h w in -1..1: whole or not at all. Raises ValueError that names the file."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            Image.fromarray(picture(image)).save(aside, format="PNG")
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({_reason(error)})") from error


@torch.inference_mode()
def transfer(model: NTED, jobs: Sequence[Job], batch: int = 8, sheet: bool = False) -> dict[Path, str]:
    """Make many pictures. A broken input costs its own picture only; a disc that is full stops everything.

    batch    pictures that go through the model together
    sheet    write reference, stick figure and result side by side, instead of the result alone
    returns  for each picture that could not be made: its path -> what is wrong with which file
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; at least one picture has to go through the model at a time")
    problems = {}
    with tqdm(total=len(jobs), desc="transfer", disable=None) as progress:
        for first in range(0, len(jobs), batch):
            portion, inputs = jobs[first : first + batch], {}
            for job in portion:
                try:
                    inputs[job.out] = job.read(model.config.height, model.config.width)
                except ValueError as error:
                    problems[job.out] = str(error)
            if inputs:
                made = _render(model, *map(torch.stack, zip(*inputs.values(), strict=True)), sheet)
                for path, image in zip(inputs, made, strict=True):
                    write_png(image, path)
            progress.update(len(portion))
    return problems


def _render(model: NTED, reference: Tensor, keypoints: Tensor, sheet: bool) -> Tensor:
    """What is written for references, b 3 h w, and key points, b 18 2. -> b 3 h w, or b 3 h 3w for sheets"""
    device = next(model.parameters()).device
    pose = pose_map(keypoints, height=model.config.height, width=model.config.width)
    made = model(reference.to(device), pose.to(device)).image.cpu()
    return torch.cat([reference, stick_figures(pose), made], dim=-1) if sheet else made


def transfer_file(model: NTED, job: Job, sheet: bool = False) -> None:
    """Make one picture, over what may be there already. Raises ValueError that names the bad file."""
    for problem in transfer(model, [job], sheet=sheet).values():
        raise ValueError(problem)


def output_name(source: str, target: str) -> str:
    """The name of the picture of a pair: both paths, `/` written as `+`: `A+1_to_B+2.png` for A/1.jpg and B/2.jpg."""
    return "_to_".join(Path(name).with_suffix("").as_posix().replace("/", "+") for name in (source, target)) + ".png"


def read_jobs(pairs: Path, images: Path, poses: Path, out: Path, own_frame: bool = False) -> list[Job]:
    """The jobs of a DeepFashion pairs file: lines `target,source[,source ...]`, one picture a source.

    images, poses  folders of the paths in the lines (a leading `img/` is passed over); a pose has the suffix .txt
    own_frame      the key points are pixels of the target's picture in `images`, not of the published frame
    raises         ValueError that names file and line, or the folder that is not there
    """
    for folder in (images, poses):
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
    try:
        lines = pairs.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{pairs}: not a readable pairs file ({_reason(error)})") from error
    jobs = {}
    for number, line in enumerate(lines, start=1):
        target, *sources = (name.strip().removeprefix("img/") for name in line.split(","))
        if not sources or not all([target, *sources]):
            raise ValueError(f"{pairs}, line {number}: {line!r} is not `target,source[,source ...]`")
        for source in sources:
            made, posed = out / output_name(source, target), images / target if own_frame else None
            job = Job(images / source, poses / Path(target).with_suffix(".txt"), made, posed)
            if jobs.setdefault(made, job) != job:
                raise ValueError(f"{pairs}, line {number}: an earlier pair already makes {made.name}; rename a file")
    if not jobs:
        raise ValueError(f"{pairs}: no pairs in it; write lines `target,source[,source ...]`")
    return list(jobs.values())


def transfer_pairs(
    model: NTED, pairs: Path, images: Path, poses: Path, out: Path, batch: int = 8, own_frame: bool = False,
    sheet: bool = False,
) -> int:  # fmt: skip
    """Make the pictures of a pairs file that are not in `out` yet; for the arguments see `read_jobs` and `transfer`.

    returns  how many were made

    Raises ValueError if some could not be made, after all the others: out/problems.txt holds a line for each of them.
    Pictures of another model or with another `sheet` belong into another folder: what is there is not looked at.
    """
    jobs = read_jobs(pairs, images, poses, out, own_frame)
    waiting = [job for job in jobs if not job.out.exists()]
    problems = transfer(model, waiting, batch, sheet)
    listing = out / "problems.txt"
    listing.unlink(missing_ok=True)
    if problems:
        out.mkdir(parents=True, exist_ok=True)
        listing.write_text("".join(f"{path.name}: {problem}\n" for path, problem in problems.items()))
        raise ValueError(f"{len(problems)} of {len(jobs)} pictures could not be made; {listing} says why")
    return len(waiting)
