"""Write a model as ONNX, to run it without PyTorch: in a browser, on a phone, or on a server.

    extract.onnx   reference -> textures_0 ... extraction_0 ...
    render.onnx    pose, textures_0 ... -> image, distribution_0 ...
    model.json     the size of the pictures, how the pose is drawn, and name and shape of every input and output

One photo is extracted once and rendered in many poses, and between the two, textures can be mixed: hence two graphs.
All tensors are float32 in the layouts and ranges of `NTED.extract` and `NTED.render`, with a batch size of your choice:

    import onnxruntime
    render = onnxruntime.InferenceSession("out/render.onnx")
    image, *distribution = render.run(None, {"pose": pose, "textures_0": textures[0], ...})

A model with appearance flow also extracts `descriptors`, b d h w, and to render, it wants `pixels`, `descriptors` and
`shares` of one or several photos: the tensors of `nted_lite.flow.Photos`.

`pose_map` is not part of the graph, because the sizes of its intermediate tensors depend on the pose;
`site/play/pose.js` is the same function in JavaScript.
"""

import json
import logging
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn

from nted_lite.config import POSE_CHANNELS
from nted_lite.flow import Photos
from nted_lite.model import NTED, Textures

DESCRIPTION = "model.json"
PHOTOS = ("pixels", "descriptors", "shares")
"""Inputs with an axis of photos, s, after the batch"""


class _Extract(nn.Module):
    """`NTED.extract` with lists of tensors as its argument and result, in the order of their names."""

    def __init__(self, model: NTED):
        super().__init__()
        self.model = model

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        textures = self.model.extract(*inputs)
        described = () if textures.photos is None else (textures.photos.descriptors[:, 0],)
        return *textures.vectors, *textures.extraction, *described


class _Render(nn.Module):
    """`NTED.render`, likewise."""

    def __init__(self, model: NTED, operations: int):
        super().__init__()
        self.model, self.operations = model, operations

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        pose, *textures = inputs[: 1 + self.operations]
        photos = Photos(*inputs[1 + self.operations :]) if self.model.config.appearance_flow else None
        rendering = self.model.render(pose, Textures(tuple(textures), (), photos))
        return rendering.image, *rendering.distribution


@torch.no_grad()
def export(model: NTED, out: Path) -> dict:
    """Write extract.onnx, render.onnx and model.json.

    model    in evaluation mode, on the CPU
    out      the folder; made if it is missing
    returns  what model.json holds

    Raises ImportError, in one line, if onnx or onnxscript is missing (they come with the extra `site`).
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f'{error.name} is missing; run pip install -c constraints.txt -e ".[site]"') from error
    config = model.config
    out.mkdir(parents=True, exist_ok=True)
    reference = torch.zeros(2, 3, config.height, config.width)
    pose = torch.zeros(2, POSE_CHANNELS, config.height, config.width)
    textures = model.extract(reference)
    # two photos: torch.export would fix an axis that has length 1 in the example
    photos = textures.photos and textures.photos.towards(textures.photos, torch.tensor([0.5]))
    operations = range(len(textures.vectors))

    def names(kind: str) -> list[str]:
        return [f"{kind}_{number}" for number in operations]

    drawn = model.render(pose, textures)
    found = dict(zip(names("textures") + names("extraction"), [*textures.vectors, *textures.extraction]))
    wanted = {"pose": pose} | dict(zip(names("textures"), textures.vectors))
    if photos:
        found["descriptors"] = textures.photos.descriptors[:, 0]
        wanted |= {name: getattr(photos, name) for name in PHOTOS}
    made = {"image": drawn.image} | dict(zip(names("distribution"), drawn.distribution))
    extract, render = _Extract(model), _Render(model, len(operations))
    graphs = {
        "extract": _write(extract, {"reference": reference}, found, out / "extract.onnx"),
        "render": _write(render, wanted, made, out / "render.onnx"),
    }
    about = {
        "height": config.height, "width": config.width, "fine_pose": config.fine_pose, "operations": len(operations),
        "graphs": graphs,
    }  # fmt: skip
    (out / DESCRIPTION).write_text(json.dumps(about, indent=2) + "\n")
    return about


def _write(module: nn.Module, inputs: dict[str, Tensor], outputs: dict[str, Tensor], file: Path) -> dict:
    """Write one graph as one file, with its weights inside. -> its entry of model.json"""
    free = {axis: torch.export.Dim(axis, min=1) for axis in ("b", "s")}
    axes = [{0: free["b"], 1: free["s"]} if name in PHOTOS else {0: free["b"]} for name in inputs]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):  # the exporter tells its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), ([*inputs.values()],), dynamo=True, dynamic_shapes=(axes,), input_names=list(inputs),
            output_names=list(outputs),
        )  # fmt: skip
    program.save(str(file), external_data=False)

    def shapes(tensors: dict[str, Tensor], free: dict[str, list[str]]) -> dict[str, list]:
        first = {name: free.get(name, ["b"]) for name in tensors}
        return {name: [*first[name], *tensor.shape[len(first[name]) :]] for name, tensor in tensors.items()}

    several = dict.fromkeys(PHOTOS, ["b", "s"])
    return {"file": file.name, "inputs": shapes(inputs, several), "outputs": shapes(outputs, {})}
