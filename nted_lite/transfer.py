"""Inference on files: photos and files of key points go in, PNG pictures come out.

    model = load_model(Path("checkpoints/people-64"))
    transfer_file(model, Job(Path("photo.jpg"), Path("pose.txt"), Path("made.png")))

A photo may be of any size. If its sides are about 11:16 it is resized whole, as the published preparation does with
its 750 x 1101 pictures; otherwise its largest centred 11:16 window is cut out first, which takes exactly the 40 white
columns from each side of a published 256 x 256 picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.images import read_image, reason, write_png
from nted_lite.keypoints import read_pose
from nted_lite.model import NTED
from nted_lite.pose import stick_figures

# ----------------------------------------------------------------------------------------------------- files to tensors


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
        reference, _ = read_image(self.reference, height, width)
        framing = read_image(self.posed, height, width)[1] if self.posed else None
        return reference, read_pose(self.keypoints, height, width, framing)


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
    pose = model.pose_map(keypoints)
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
        raise ValueError(f"{pairs}: not a readable pairs file ({reason(error)})") from error
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
