"""Write a model as ONNX, to run it without PyTorch: in a browser, on a phone, or on a server.

    extract.onnx   reference -> textures_0 ... extraction_0 ...
    render.onnx    pose, textures_0 ... -> image, distribution_0 ...
    model.json     the size of the pictures, how the pose is drawn, and name and shape of every input and output

One photo is extracted once and rendered in many poses, and between the two, textures can be mixed: hence two graphs.
All tensors are float32 in the layouts and ranges of `NTED.extract` and `NTED.render`, with a batch size of your choice:

    import onnxruntime
    render = onnxruntime.InferenceSession("out/render.onnx")
    image, *distribution = render.run(None, {"pose": pose, "textures_0": textures[0], ...})

`pose_map` is not part of the graph, because the sizes of its intermediate tensors depend on the pose;
`site/play/pose.js` is the same function in JavaScript.
"""

import json
import logging
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn

from nted_lite.config import POSE_CHANNELS
from nted_lite.model import NTED, Textures

DESCRIPTION = "model.json"


class _Extract(nn.Module):
    """`NTED.extract` with a tuple of tensors as its result."""

    def __init__(self, model: NTED):
        super().__init__()
        self.model = model

    def forward(self, reference: Tensor) -> tuple[Tensor, ...]:
        textures = self.model.extract(reference)
        return *textures.vectors, *textures.extraction


class _Render(nn.Module):
    """`NTED.render` with tensors as its arguments and a tuple of tensors as its result."""

    def __init__(self, model: NTED):
        super().__init__()
        self.model = model

    def forward(self, pose: Tensor, textures: Sequence[Tensor]) -> tuple[Tensor, ...]:
        rendering = self.model.render(pose, Textures(tuple(textures), ()))
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
    operations = range(len(textures.vectors))

    def names(kind: str) -> list[str]:
        return [f"{kind}_{number}" for number in operations]

    found, drawn = [*textures.vectors, *textures.extraction], model.render(pose, textures)
    graphs = {
        "extract": _write(
            _Extract(model), {"reference": reference}, dict(zip(names("textures") + names("extraction"), found)),
            out / "extract.onnx",
        ),
        "render": _write(
            _Render(model), {"pose": pose, **dict(zip(names("textures"), textures.vectors))},
            {"image": drawn.image, **dict(zip(names("distribution"), drawn.distribution))}, out / "render.onnx",
        ),
    }  # fmt: skip
    about = {
        "height": config.height, "width": config.width, "fine_pose": config.fine_pose, "operations": len(operations),
        "graphs": graphs,
    }  # fmt: skip
    (out / DESCRIPTION).write_text(json.dumps(about, indent=2) + "\n")
    return about


def _write(module: nn.Module, inputs: dict[str, Tensor], outputs: dict[str, Tensor], file: Path) -> dict:
    """Write one graph as one file, with its weights inside. -> its entry of model.json"""
    first, *rest = inputs.values()
    arguments = (first, rest) if isinstance(module, _Render) else (first,)
    batch = torch.export.Dim("b", min=1)
    axes = ({0: batch}, [{0: batch} for _ in rest]) if isinstance(module, _Render) else ({0: batch},)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):  # the exporter tells its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), arguments, dynamo=True, dynamic_shapes=axes, input_names=list(inputs),
            output_names=list(outputs),
        )  # fmt: skip
    program.save(str(file), external_data=False)

    def shapes(tensors: dict[str, Tensor]) -> dict[str, list]:
        return {name: ["b", *tensor.shape[1:]] for name, tensor in tensors.items()}

    return {"file": file.name, "inputs": shapes(inputs), "outputs": shapes(outputs)}
