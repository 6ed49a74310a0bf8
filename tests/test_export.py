"""Models as ONNX: the graphs compute what the model computes, for any batch."""

import json

import numpy as np
import pytest
import torch

from nted_lite import NTED
from nted_lite.export import export
from nted_lite.people import SPLITS, pairs

for name in ("onnx", "onnxscript"):
    pytest.importorskip(name)
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(small, tmp_path_factory):
    torch.manual_seed(0)
    model, folder = NTED(small).eval(), tmp_path_factory.mktemp("onnx")
    return model, folder, export(model, folder)


def session(folder, about, graph):
    return onnxruntime.InferenceSession(str(folder / about["graphs"][graph]["file"]))


@pytest.mark.parametrize("b", [1, 3])
def test_the_graphs_equal_the_model(exported, b):
    model, folder, about = exported
    pair = pairs(SPLITS["test"], torch.arange(b))
    pose = model.pose_map(pair.target.keypoints, pair.target.visible)
    with torch.no_grad():
        textures = model.extract(pair.reference.image)
        rendering = model.render(pose, textures)
    found = session(folder, about, "extract").run(None, {"reference": pair.reference.image.numpy()})
    for ours, theirs in zip(found, [*textures.vectors, *textures.extraction], strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)
    inputs = {f"textures_{i}": found[i] for i in range(about["operations"])}
    drawn = session(folder, about, "render").run(None, {"pose": pose.numpy(), **inputs})
    for ours, theirs in zip(drawn, [rendering.image, *rendering.distribution], strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)


def test_the_description_names_every_input_and_output(exported):
    model, folder, about = exported
    assert json.loads((folder / "model.json").read_text()) == about
    assert (about["height"], about["width"]) == (model.config.height, model.config.width)
    for name, graph in about["graphs"].items():
        opened = session(folder, about, name)
        for kind, described in (("inputs", opened.get_inputs()), ("outputs", opened.get_outputs())):
            assert {v.name: v.shape[1:] for v in described} == {n: s[1:] for n, s in graph[kind].items()}
            assert all(isinstance(v.shape[0], str) for v in described), "the batch size is free"
    assert sorted(file.name for file in folder.iterdir()) == ["extract.onnx", "model.json", "render.onnx"]
