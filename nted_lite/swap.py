"""Appearance control on files: a garment goes from one photo to the person of another.

    model, parser = load_model("checkpoints/people-64"), people_parser()
    swap_file(model, parser, Job(Path("me.png"), Path("me.txt"), Path("dressed.png")), Path("you.png"), "top")
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from nted_lite.control import Refinement, wear
from nted_lite.images import read_image, warn_of_cuts, write_png
from nted_lite.keypoints import PoseOptions, keypoints_file
from nted_lite.model import NTED
from nted_lite.transfer import Job


def own_pose(reference: Path, out: Path, options: PoseOptions) -> Job:
    """The job of a person who keeps the pose of the photo: its key points are the file of the same name beside it.

    options  frame "auto" means that the key points use the pixels of that photo
    raises   ValueError, in one line, if there is no such file
    """
    try:
        keypoints = keypoints_file(reference.parent, reference.name)
    except OSError as error:
        raise ValueError(f"{error}; put them there, or name a file with --keypoints") from error
    return Job(reference, keypoints, out, options, posed=reference if options.frame in ("auto", "picture") else None)


def swap_file(
    model: NTED, parser: nn.Module, job: Job, garment: Path, part: str = "top", refinement: Refinement | None = None,
    features: Callable | None = None, sheet: bool = False,
) -> None:  # fmt: skip
    """Write a picture of the reference person in the pose of the job, wearing somebody else's garment.

    parser                see `control.area_of`; on the device of the model
    garment               photo of the person whose garment to take
    part                  the garment: top, bottom, hair, shoes or skin
    refinement, features  see `control.wear`
    sheet                 write reference, garment photo and result side by side, instead of the result alone

    Raises ValueError that names the bad file, or says that there was nothing to swap.
    """
    device, height, width = next(model.parameters()).device, model.config.height, model.config.width
    reference, keypoints, seen = job.read(height, width)
    other, framing = read_image(garment, height, width)
    pose = model.pose_map(keypoints[None]).to(device)
    pictures = (image[None].to(device) for image in (reference, other))
    rendering, chosen = wear(model, parser, *pictures, pose, part, refinement=refinement, features=features)
    if not any(a.any() for a in chosen):
        raise ValueError(f"{garment}: nothing to swap; no texture of the model paints mostly {part} in this pose")
    generated = rendering.image[0].cpu()
    write_png(torch.cat([reference, other, generated], dim=-1) if sheet else generated, job.out)
    warn_of_cuts({job.reference: seen, garment: framing})
