"""Models as ONNX: the graphs compute what the model computes, for any batch."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nted_lite import NTED
from nted_lite.control import fuse
from nted_lite.export import export
from nted_lite.people import SPLITS, pairs

for name in ("onnx", "onnxscript"):
    pytest.importorskip(name)
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[False, True], ids=["textures", "with appearance flow"])
def exported(request, small, tmp_path_factory):
    torch.manual_seed(0)
    model, folder = NTED(replace(small, appearance_flow=request.param)).eval(), tmp_path_factory.mktemp("onnx")
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
    photos = vars(textures.photos) if textures.photos else {}
    wanted = [*textures.vectors, *textures.extraction, *([photos["descriptors"][:, 0]] if photos else [])]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)
    inputs = {f"textures_{i}": found[i] for i in range(about["operations"])}
    inputs |= {name: value.numpy() for name, value in photos.items()}
    drawn = session(folder, about, "render").run(None, {"pose": pose.numpy(), **inputs})
    for ours, theirs in zip(drawn, [rendering.image, *rendering.distribution], strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)


@torch.no_grad()
def test_a_mixture_of_two_photos(exported):
    """Textures, and for appearance flow the pixels of both photos."""
    model, folder, about = exported
    pair = pairs(SPLITS["test"], torch.arange(2))
    pose = model.pose_map(pair.target.keypoints, pair.target.visible)
    mine, theirs = model.extract(pair.reference.image), model.extract(pair.reference.image.flip(0))
    mixture = fuse(mine, theirs, [torch.rand(t.shape[:2]) for t in mine.vectors])
    photos = vars(mixture.photos) if mixture.photos else {}
    inputs = {"pose": pose} | {f"textures_{i}": t for i, t in enumerate(mixture.vectors)} | photos
    drawn = session(folder, about, "render").run(None, {name: value.numpy() for name, value in inputs.items()})
    np.testing.assert_allclose(drawn[0], model.render(pose, mixture).image.numpy(), atol=2e-5)


def test_the_description_names_every_input_and_output(exported):
    model, folder, about = exported
    assert json.loads((folder / "model.json").read_text()) == about
    assert (about["height"], about["width"]) == (model.config.height, model.config.width)
    for name, graph in about["graphs"].items():
        opened = session(folder, about, name)
        for kind, described in (("inputs", opened.get_inputs()), ("outputs", opened.get_outputs())):
            assert {v.name: [str(n) if isinstance(n, str) else n for n in v.shape[1:]] for v in described} == {
                n: s[1:] for n, s in graph[kind].items()
            }
            assert all(isinstance(v.shape[0], str) for v in described), "the batch size is free"
    assert sorted(file.name for file in folder.iterdir()) == ["extract.onnx", "model.json", "render.onnx"]
