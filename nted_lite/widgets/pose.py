"""Drag the joints of a pose and see the person in it."""

import math
from pathlib import Path

import anywidget
import ipywidgets
import torch
import traitlets
from torch import Tensor

from nted_lite.images import picture, png
from nted_lite.model import NTED
from nted_lite.pose import COLOURS, JOINTS, LIMBS, MISSING
from nted_lite.widgets.boxes import Row, titled

FARTHEST = 1000.0  # pixels; coordinates are clamped to this


class PoseCanvas(anywidget.AnyWidget):
    """The 18 joints on a canvas. `keypoints` changes when a joint is released."""

    _esm = Path(__file__).with_name("pose.js")
    keypoints = traitlets.List().tag(sync=True)
    """18 pairs [x, y] in pixels of the picture; a joint that is missing, NaN or infinite becomes [-1, -1]"""
    size = traitlets.List([44, 64]).tag(sync=True)
    """width and height of the picture in pixels"""
    limbs = traitlets.List([list(limb) for limb in LIMBS]).tag(sync=True)
    colours = traitlets.List([f"#{r:02x}{g:02x}{b:02x}" for b, g, r in COLOURS]).tag(sync=True)

    @traitlets.validate("keypoints")
    def _clean(self, proposal: dict) -> list[list[float]]:
        joints = proposal["value"]
        if len(joints) != len(JOINTS) or any(len(joint) != 2 for joint in joints):
            raise traitlets.TraitError(f"keypoints: {len(JOINTS)} pairs [x, y] are needed")
        return [_joint(*joint) for joint in joints]


def _joint(x: float | None, y: float | None) -> list[float]:
    if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
        return [MISSING, MISSING]
    return [min(max(float(value), -FARTHEST), FARTHEST) for value in (x, y)]


class PoseEditor(Row):
    """Reference, pose canvas and the image that the model generates from both, redrawn when a joint is released.

    model      on any device
    reference  3 h w     -1..1, the person
    keypoints  18 2      the pose to start from; NaN or (-1, -1) for a missing joint

    `keypoints` can also be set from Python; `made` is the generated image, 3 h w.
    """

    def __init__(self, model: NTED, reference: Tensor, keypoints: Tensor):
        self.model, self.device = model, reference.device
        with torch.no_grad():
            self.textures = model.extract(reference[None])
        self.canvas = PoseCanvas(keypoints=keypoints.tolist(), size=[model.config.width, model.config.height])
        self.image = ipywidgets.Image(format="png")
        back = ipywidgets.Button(description="start again")
        back.on_click(lambda _: setattr(self, "keypoints", keypoints.tolist()))
        shown = ipywidgets.Image(value=png(picture(reference, 6)), format="png")
        super().__init__([
            titled("who", shown), titled("drag a joint", self.canvas, back), titled("made", self.image)
        ])  # fmt: skip
        self.canvas.observe(lambda _: self.render(), "keypoints")
        self.render()

    @property
    def keypoints(self) -> list[list[float]]:
        """18 pairs [x, y]; see `PoseCanvas`."""
        return self.canvas.keypoints

    @keypoints.setter
    def keypoints(self, joints: list[list[float]]) -> None:
        self.canvas.keypoints = joints

    @torch.no_grad()
    def render(self) -> None:
        """Draw the person in the pose of the canvas."""
        joints = torch.tensor(self.canvas.keypoints, device=self.device)[None]
        pose = self.model.pose_map(joints)
        self.made = self.model.render(pose, self.textures).image[0]
        self.image.value = png(picture(self.made, 6))
