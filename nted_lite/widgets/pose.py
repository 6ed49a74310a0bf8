"""Drag the joints of a pose, and the person in the picture follows."""

import math
from collections.abc import Sequence
from pathlib import Path

import anywidget
import torch
import traitlets
from einops import rearrange
from torch import Tensor

from nted_lite.images import to_bytes
from nted_lite.model import NTED
from nted_lite.people.body import PITCH
from nted_lite.plotting.people_and_poses import SIDES
from nted_lite.pose import COLOURS, JOINTS, LIMBS, MISSING
from nted_lite.widgets.stances import STANCES, lift, stance

FARTHEST = 1000.0  # pixels; coordinates are clamped to this


class Puppet(anywidget.AnyWidget):
    """Reference, pose, and the image that the model generates from both *while* a joint is dragged.

    model      on any device
    reference  3 h w     -1..1, the person
    keypoints  18 2      the pose to start from; NaN or (-1, -1) for a missing joint

    `keypoints` can also be set from Python; `generated` is the image, 3 h w. A joint outside the picture counts as
    missing, as it did in training.

    `pose.js` draws everything and knows nothing of Jupyter except in its last function. Without a kernel, joints,
    stances, turning and undo still work; only the generated image stands still, and the widget says so.
    """

    _esm = Path(__file__).with_name("pose.js")
    _css = Path(__file__).with_name("look.css")
    joints = traitlets.List().tag(sync=True)
    """18 times [x, y, depth, shown] in pixels of the picture, where depth and missing joints may be guesses"""
    facing = traitlets.Float().tag(sync=True)
    """degrees: 0 faces the viewer, 90 the picture's right"""
    generated_pixels = traitlets.Bytes().tag(sync=True)
    answers = traitlets.Int().tag(sync=True)
    """how many images were generated; the browser asks for the next one when this grows"""
    about = traitlets.Dict().tag(sync=True)
    """what never changes: size, names, limbs, colours, sides, stances and pitch"""
    reference_pixels = traitlets.Bytes().tag(sync=True)

    def __init__(self, model: NTED, reference: Tensor, keypoints: Tensor | Sequence):
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # on a CPU, faster; the values stay
        self.device = reference.device
        height, width = model.config.height, model.config.width
        with torch.inference_mode():
            self.textures = model.extract(reference[None])
        self.reference_pixels = _pixels(reference)
        self.about = {
            "size": [width, height], "names": JOINTS, "limbs": LIMBS, "sides": SIDES, "pitch": PITCH,
            "colours": [f"#{r:02x}{g:02x}{b:02x}" for b, g, r in COLOURS],
            "stances": {name: _rounded(stance(name, height, torch.zeros(1))[0]) for name in STANCES},
        }  # fmt: skip
        self.observe(lambda _: self.render(), "joints")
        self.keypoints = keypoints

    @property
    def keypoints(self) -> list[list[float]]:
        """18 pairs [x, y] in pixels; [-1, -1] for a missing joint. Raises ValueError if set to anything else."""
        return [[x, y] if shown else [MISSING, MISSING] for x, y, _, shown in self.joints]

    @keypoints.setter
    def keypoints(self, keypoints: Tensor | Sequence) -> None:
        pairs = keypoints.tolist() if isinstance(keypoints, Tensor) else list(keypoints)
        if len(pairs) != len(JOINTS) or any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"keypoints: {len(JOINTS)} pairs [x, y] are needed")
        pairs = torch.tensor([_joint(*pair) for pair in pairs])
        shown = (pairs != MISSING).all(-1)
        lifted, facing = lift(pairs, shown, self.model.config.height)
        with self.hold_trait_notifications():
            self.facing = facing
            self.joints = [[*xyz, int(there)] for xyz, there in zip(_rounded(lifted), shown)]

    @torch.inference_mode()
    def render(self) -> None:
        """Draw the person in the pose of the joints."""
        frame = torch.tensor([self.model.config.width, self.model.config.height])
        keypoints = torch.tensor(self.keypoints)
        inside = ((keypoints > -0.5) & (keypoints < frame - 0.5)).all(-1)  # integers are the centres of pixels
        pose = self.model.pose_map(keypoints[None].to(self.device), inside[None].to(self.device))
        pose = pose.contiguous(memory_format=torch.channels_last)
        self.generated = self.model.render(pose, self.textures).image[0]
        with self.hold_sync():  # one message
            self.generated_pixels = _pixels(self.generated)
            self.answers += 1


def _joint(x: float | None, y: float | None) -> list[float]:
    if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
        return [MISSING, MISSING]
    return [min(max(float(value), -FARTHEST), FARTHEST) for value in (x, y)]


def _rounded(points: Tensor) -> list[list[float]]:
    return [[round(value, 2) for value in point] for point in points.tolist()]


def _pixels(image: Tensor) -> bytes:
    """3 h w -> h w 3 bytes: the browser enlarges them, which is faster than to send enlarged ones."""
    return rearrange(to_bytes(image), "c h w -> h w c").contiguous().numpy().tobytes()
