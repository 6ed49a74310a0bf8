"""Moving pictures: a person goes through a sequence of poses, and the frames become a GIF, a WebP or an MP4.

    model = load_model("checkpoints/people-64")
    reference, _ = read_image(Path("photo.jpg"), 64, 44)
    poses, problems = read_sequence(Path("poses"), 64, 44)       # a folder of key-point files
    write_film(Path("moving.gif"), enlarged(frames(model, reference, poses)), fps=25)
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from PIL import Image, features
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.images import picture, read_image, reason, warn_of_cuts, write_file
from nted_lite.keypoints import AUTO, PoseOptions, read_pose
from nted_lite.keypoints.files import people_of
from nted_lite.lists import KEYPOINTS, find_files
from nted_lite.model import NTED
from nted_lite.people import SPLITS, View, pairs, render, sample_people, turn, walk
from nted_lite.pose import stick_figures

ENDINGS = (".gif", ".webp", ".mp4")
FRAMES = 48
SEQUENCES = {"turn": lambda: turn(FRAMES), "walk": lambda: walk(FRAMES, cycles=2, turns=1)}
"""Poses of the synthetic body that stand in for a folder: turning on the spot, and walking in a circle"""

# ---------------------------------------------------------------------------------------------------------------- poses


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key with which frame2 comes before frame10."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part) for part in parts]


def read_sequence(
    path: Path, height: int, width: int, options: PoseOptions = AUTO, posed: Path | None = None
) -> tuple[Tensor, list[str]]:
    """Read a sequence of poses, and convert them to the frame of a height x width picture.

    path     a folder with a key-point file for each frame; or one file with those of several pictures (COCO, MMPose,
             PATN), or a NumPy array or a list of numbers with several poses. Names are taken in natural order
    options  how the key points are read, as in `read_pose`; `posed` likewise, the same for every frame
    returns  f 18 2   float64, pixels, (-1, -1) for a missing joint; frames whose pose cannot be used are left out
             what was wrong with each of these, in one line that names the file
    raises   ValueError, in one line, if there is nothing to read, if no pose can be used, or if an option cannot be
    """
    options.check(posed)
    poses, problems = [], []
    for file, name, person in _sources(path):
        if person is not None and options.person is not None:
            raise ValueError(f"{path}: each of its poses is a frame of one person; omit --person")
        try:
            chosen = options if person is None else replace(options, person=person)
            poses.append(read_pose(file, height, width, chosen, posed=posed, name=name))
        except ValueError as error:
            problems.append(str(error))
    if not poses:
        raise ValueError(f"{path}: none of {len(problems)} poses can be used; the first: {problems[0]}")
    return torch.stack(poses), problems


def _sources(path: Path) -> list[tuple[Path, str | None, int | None]]:
    """Where the frames of a sequence are, in order: file, name of the picture in it, number of the person in it."""
    if path.is_dir():
        found = sorted(find_files(path, KEYPOINTS), key=lambda file: natural(file.relative_to(path).as_posix()))
        if not found:
            raise ValueError(f"{path}: no files of key points, ending in one of {', '.join(KEYPOINTS)}")
        return [(file, None, None) for file in found]
    try:
        people = people_of(path)
    except OSError as error:
        raise ValueError(f"{path}: not a folder or file with poses ({reason(error)})") from error
    if not people:
        raise ValueError(f"{path}: no poses in it")
    if None not in people:
        return [(path, name, None) for name in sorted(people, key=natural)]
    number = len(people[None])
    if number < 2:
        raise ValueError(f"{path}: {number or 'no'} pose, where a sequence has several; for one picture, use transfer")
    if not people[None][0].listed:
        raise ValueError(f"{path}: {number} people in one picture are one frame; give a folder with a file per frame")
    return [(path, None, frame) for frame in range(number)]


def synthetic_sequence(number: int, sequence: str, height: int) -> View:
    """A synthetic person of the test split in every frame of a sequence: ground truth and key points.

    sequence  a name in SEQUENCES
    """
    person, poses = sample_people(SPLITS["test"], torch.tensor([number])), SEQUENCES[sequence]()
    return render(person[[0] * len(poses)], poses, height)


# --------------------------------------------------------------------------------------------------------------- frames


@torch.inference_mode()
def frames(
    model: NTED, reference: Tensor, keypoints: Tensor, visible: Tensor | None = None, batch: int = 8,
    sheet: bool = False,
) -> Iterator[Tensor]:  # fmt: skip
    """Generate a person in each of a sequence of poses; the textures are extracted once.

    reference  3 h w     -1..1
    keypoints  f 18 2    pixels of the model's pictures
    visible    f 18      bool; None: all joints but those at (-1, -1)
    batch      number of frames that are rendered together; it does not change them
    sheet      put the reference and the stick figure to the left of each frame
    yields     3 h w     or 3 h 3w for sheets, -1..1, on the CPU
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; at least one frame has to be rendered at a time")
    device = next(model.parameters()).device
    textures = model.extract(rearrange(reference, "c h w -> 1 c h w").to(device))
    for start in range(0, len(keypoints), batch):
        portion = slice(start, start + batch)
        pose = model.pose_map(keypoints[portion], None if visible is None else visible[portion])
        b = len(pose)
        generated = model.render(pose.to(device), textures.repeat(b)).image.cpu()
        if sheet:
            photo = repeat(reference, "c h w -> b c h w", b=b)
            generated = torch.cat([photo, stick_figures(pose), generated], dim=-1)
        yield from generated


def animate(
    model: NTED, out: Path, poses: str, reference: Path | int, fps: float = 25, scale: int = 0, sheet: bool = False,
    batch: int = 8, options: PoseOptions = AUTO, posed: Path | None = None,
) -> tuple[int, list[str]]:  # fmt: skip
    """Write a film of a person in a sequence of poses; `nted-lite animate` explains the arguments.

    poses      folder or file, see `read_sequence`, or a name in SEQUENCES
    reference  a photo, or the number of a synthetic person of the test split
    returns    the number of frames
               what was wrong with each pose that was left out, in one line that names the file
    raises     ValueError, in one line, if something cannot be read or written
    """
    check_film(out, fps)
    height, width = model.config.height, model.config.width
    if poses in SEQUENCES and (options != AUTO or posed):
        raise ValueError(f"--poses {poses} is of the synthetic body: omit --frame, --posed, --person, --min-confidence")
    if isinstance(reference, int):
        photo = pairs(SPLITS["test"], torch.tensor([reference]), height).reference.image[0]
    else:
        photo, seen = read_image(reference, height, width)
        warn_of_cuts({reference: seen})
    visible, problems = None, []
    if poses in SEQUENCES:
        film = synthetic_sequence(reference if isinstance(reference, int) else 0, poses, height)
        keypoints, visible = film.keypoints, film.visible
    else:
        keypoints, problems = read_sequence(Path(poses), height, width, options, posed)
    generated = frames(model, photo, keypoints, visible, batch, sheet)
    progress = tqdm(generated, total=len(keypoints), desc="animate", unit="frames", disable=None)
    write_film(out, enlarged(progress, scale), fps)
    return len(keypoints), problems


# ---------------------------------------------------------------------------------------------------------------- films


def check_film(path: Path, fps: float) -> None:
    """Raise ValueError, in one line, if such a film cannot be written: before any work is done."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(f"{path}: films are written as GIF, WebP or MP4, so the name must end in {', '.join(ENDINGS)}")
    fastest = 50 if ending == ".gif" else 120
    if not 0 < fps <= fastest:
        raise ValueError(f"fps is {fps}; {ending[1:].upper()} films have more than 0 and at most {fastest} a second")
    if ending == ".webp" and not features.check("webp"):
        raise ValueError(f"{path}: this Pillow cannot write WebP; choose a name that ends in .gif")
    if ending == ".mp4" and not shutil.which("ffmpeg"):
        raise ValueError(f"{path}: MP4 needs ffmpeg, which is not installed; choose .gif or .webp, or install ffmpeg")


def enlarged(images: Iterable[Tensor], scale: int = 0) -> list[np.ndarray]:
    """Pictures, 3 h w in -1..1 each, as bytes h w 3, enlarged without smoothing.

    scale  pixels per pixel; 0 chooses the largest with which the film has at most 256 rows
    """
    return [picture(image, scale or max(1, 256 // image.shape[1])) for image in images]


def write_film(path: Path, pictures: Sequence[np.ndarray], fps: float = 25) -> None:
    """Write a film that repeats for ever (an MP4 does not), completely or not at all.

    path      ends in .gif, .webp or .mp4
    pictures  h w 3 each, uint8, all of one size
    fps       pictures per second

    Raises ValueError, in one line, like `check_film` and if the file cannot be written.
    """
    check_film(path, fps)
    if path.suffix.lower() == ".mp4":
        write_file(path, _mp4(path, pictures, fps))
        return
    images, file = [Image.fromarray(one) for one in pictures], BytesIO()
    gif = path.suffix.lower() == ".gif"
    unit = 10 if gif else 1  # milliseconds; a GIF counts in hundredths of a second
    ends = [round(1000 * n / fps / unit) * unit for n in range(len(images) + 1)]  # rounding does not add up
    durations = [end - start for start, end in zip(ends, ends[1:])]
    if gif:  # one palette for all frames, or flat areas flicker
        palette = Image.fromarray(np.concatenate(pictures[:: max(1, len(pictures) // 16)])).quantize(256)
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
        options = {"format": "GIF", "optimize": False, "disposal": 1}
    else:
        options = {"format": "WEBP", "quality": 90, "method": 4}
    images[0].save(file, save_all=True, append_images=images[1:], duration=durations, loop=0, **options)
    write_file(path, file.getvalue())


def _mp4(path: Path, pictures: Sequence[np.ndarray], fps: float) -> bytes:
    """The bytes of an MP4, by ffmpeg; sides are made even, as players demand."""
    height, width, _ = pictures[0].shape
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "film.mp4"
        command = [
            "ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
            "-r", str(fps), "-i", "-", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", str(aside),
        ]  # fmt: skip
        done = subprocess.run(command, input=b"".join(one.tobytes() for one in pictures), capture_output=True)
        if done.returncode or not aside.is_file():
            said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
            raise ValueError(f"{path}: ffmpeg could not write it ({said or 'no reason given'})")
        return aside.read_bytes()
