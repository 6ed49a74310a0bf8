"""Inference on files: photos and key points go in, PNG pictures come out.

    model = load_model(Path("checkpoints/people-64"))
    transfer_file(model, Job(Path("photo.jpg"), Path("pose.txt"), Path("generated.png")))

A photo may have any size. If it is close to 11:16, it is resized whole, as in the published preparation of 750 x 1101
pictures; otherwise its largest centred 11:16 window is cut out first, which removes exactly the 40 white columns on
each side of a published 256 x 256 picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.images import Framing, read_image, warn_of_cuts, write_file, write_png
from nted_lite.keypoints import AUTO, PoseOptions, read_pose
from nted_lite.lists import KEYPOINTS, PICTURES, by_name, picture_name, read_pairs, without_ending
from nted_lite.model import NTED
from nted_lite.pose import stick_figures

# --------------------------------------------------------------------------------------------------- jobs, one or many


@dataclass(frozen=True)
class Job:
    """One picture to generate."""

    reference: Path
    """photo of the person"""
    keypoints: Path
    """file with the pose; if `name` is given, also a folder, or a file with many poses"""
    out: Path
    """the picture to write, ending in .png"""
    options: PoseOptions = AUTO
    """how the key points are read"""
    posed: Path | None = None
    """the image whose pixel coordinates the key points use; None: as `options.frame` says"""
    name: str | None = None
    """name of the picture whose pose to use, to find its key points in a folder or in a file with many poses"""

    def __post_init__(self):
        if self.out.suffix.lower() != ".png":
            raise ValueError(f"{self.out}: pictures are written as PNG, so the name must end in .png")
        self.options.check(self.posed)

    def read(self, height: int, width: int) -> tuple[Tensor, Tensor, Framing]:
        """The reference image, 3 h w in -1..1; the key points, 18 2 in pixels; and the framing of the reference.

        Raises ValueError that names the bad file.
        """
        reference, seen = read_image(self.reference, height, width)
        return reference, read_pose(self.keypoints, height, width, self.options, posed=self.posed, name=self.name), seen


@torch.inference_mode()
def transfer(model: NTED, jobs: Sequence[Job], batch: int = 8, sheet: bool = False) -> dict[Path, str]:
    """Generate many pictures. A bad input skips only its own picture; a full disk stops everything.

    batch    number of pictures that go through the model together
    sheet    write reference, stick figure and result side by side, instead of the result alone
    returns  path of each picture that was skipped -> what is wrong with which file
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; at least one picture has to go through the model at a time")
    problems, framings = {}, {}
    with tqdm(total=len(jobs), desc="transfer", disable=None) as progress:
        for first in range(0, len(jobs), batch):
            portion, references, keypoints = jobs[first : first + batch], {}, {}
            for job in portion:
                try:
                    read = job.read(model.config.height, model.config.width)
                    references[job.out], keypoints[job.out], framings[job.reference] = read
                except ValueError as error:
                    problems[job.out] = str(error)
            if references:
                inputs = (torch.stack(list(tensors.values())) for tensors in (references, keypoints))
                for path, image in zip(references, _render(model, *inputs, sheet), strict=True):
                    write_png(image, path)
            progress.update(len(portion))
    warn_of_cuts(framings)
    return problems


def _render(model: NTED, reference: Tensor, keypoints: Tensor, sheet: bool) -> Tensor:
    """The pictures to write for references, b 3 h w, and key points, b 18 2. -> b 3 h w, or b 3 h 3w for sheets"""
    device = next(model.parameters()).device
    pose = model.pose_map(keypoints)
    generated = model(reference.to(device), pose.to(device)).image.cpu()
    return torch.cat([reference, stick_figures(pose), generated], dim=-1) if sheet else generated


def transfer_file(model: NTED, job: Job, sheet: bool = False) -> None:
    """Generate one picture, replacing any existing one. Raises ValueError that names the bad file."""
    for problem in transfer(model, [job], sheet=sheet).values():
        raise ValueError(problem)


def output_name(source: str, target: str) -> str:
    """The file name for a pair: both paths with `+` for `/`, so `A+1_to_B+2.png` for A/1.jpg and B/2.jpg."""
    names = (Path(without_ending(name)).as_posix().replace("/", "+") for name in (source, target))
    return "_to_".join(names) + ".png"


def read_jobs(pairs: Path, images: Path, poses: Path, out: Path, options: PoseOptions = AUTO) -> list[Job]:
    """The jobs for a list of pairs, one per source.

    pairs    file with lines `target,source[,source ...]`, see `lists.pair_lines`
    images   folder with the pictures named there, with any ending
    poses    folder with their key points, under the same names; or one file with those of all pictures
    out      folder for the pictures to write
    options  how the key points are read; frame `picture` means the target's picture in `images`
    raises   ValueError that names file and line, or the missing folder
    """
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder")
    if not poses.exists():
        raise ValueError(f"{poses}: no such folder or file")
    (pictures, _), (keypoints, _) = by_name(images, PICTURES), by_name(poses, KEYPOINTS)

    def find(path: str) -> Path:
        exactly = images / path
        return exactly if exactly.exists() else pictures.get(picture_name(path), exactly)

    jobs = {}
    for number, (target, sources) in read_pairs(pairs, images):
        for source in sources:
            generated, name = out / output_name(source, target), picture_name(target)
            posed = find(target) if options.frame == "picture" else None
            job = Job(find(source), keypoints.get(name, poses), generated, options, posed, name)
            if jobs.setdefault(generated, job) != job:
                clash = f"an earlier pair already writes {generated.name}"
                raise ValueError(f"{pairs}, line {number}: {clash}; rename one of the pictures")
    return list(jobs.values())


def transfer_pairs(
    model: NTED, pairs: Path, images: Path, poses: Path, out: Path, batch: int = 8, sheet: bool = False,
    options: PoseOptions = AUTO,
) -> int:  # fmt: skip
    """Generate the pictures of a list of pairs that are not in `out` yet; arguments as in `read_jobs` and `transfer`.

    returns  the number of pictures generated
    raises   ValueError, after all the others are written, if some could not be generated; out/problems.txt has a line
             for each of these

    Existing pictures are not checked, so use another folder for another model or another value of `sheet`.
    """
    jobs = read_jobs(pairs, images, poses, out, options)
    waiting = [job for job in jobs if not job.out.exists()]
    problems = transfer(model, waiting, batch, sheet)
    listing = out / "problems.txt"
    listing.unlink(missing_ok=True)
    if problems:
        out.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{path.name}: {problem}\n" for path, problem in problems.items())
        write_file(listing, lines.encode())
        raise ValueError(f"{len(problems)} of {len(jobs)} pictures could not be generated; {listing} says why")
    return len(waiting)
