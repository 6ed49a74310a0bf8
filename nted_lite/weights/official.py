"""The published checkpoints: translating the names of their tensors to ours.

A published file is a `torch.save` dictionary of `net_G`, `net_D` (names prefixed with `module.`), `net_G_ema` and the
states of optimisers. Files with our own names are accepted, too.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nted_lite.weights.files import open_tensors

GENERATOR_NAMES = (  # replacements, applied one after the other: published name -> ours
    (r"^target_image_renderer\.convs\.", "renderer.stages."),
    (r"^(reference|skeleton)_encoder\.convs\.(\d+)\.conv\.", r"\1_encoder.levels.\2.down.conv."),
    (r"^(reference|skeleton)_encoder\.convs\.", r"\1_encoder.levels."),
    (r"\.first\.conv\.", ".first."),
    (r"\.first\.activate\.", ".activate."),
    (r"\.extraction_operations\.(\d)\.semantic_extraction_filter\.", r".extractions.\1.semantic."),
    (r"\.extraction_operations\.(\d)\.value_conv\.", r".extractions.\1.values."),
    (r"\.distribution_operation\.semantic_distribution_filter\.", ".distribution.semantic."),
    (r"\.to_rgb\.conv\.", ".to_rgb."),
)
DISCRIMINATOR_NAMES = (
    (r"^convs\.0\.0\.", "first."),
    (r"^convs\.0\.1\.", "activate."),
    (r"^convs\.(\d+)\.", lambda match: f"blocks.{int(match[1]) - 1}."),
    (r"\.conv1\.0\.", ".conv1."),
    (r"\.conv1\.1\.", ".activate1."),
    (r"\.conv2\.1\.", ".conv2.conv."),
    (r"\.conv2\.2\.", ".activate2."),
    (r"\.skip\.1\.", ".skip.conv."),
    (r"^final_conv\.0\.", "last_conv."),
    (r"^final_conv\.1\.", "last_activate."),
    (r"^final_linear\.0\.weight", "linear.weight"),
    (r"^final_linear\.0\.bias", "linear_activate.bias"),
    (r"^final_linear\.1\.", "logit."),
)

WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")
"""Prefixes that training on several GPUs and compiling add to names, sometimes more than once"""


def read(source: "str | Path | Mapping", network: str) -> Mapping[str, Tensor]:
    """The tensors of one network of a published checkpoint, under their published names.

    source   path of a `.pt` or `.safetensors` file, the dictionary that such a file holds, or the network's own state
    network  "net_G_ema", "net_G" or "net_D"
    raises   ValueError, in one line, if the file cannot be read safely or has no such network
    """
    if not isinstance(source, Mapping):
        source = open_tensors(Path(source))
    if any(isinstance(value, Mapping) for value in source.values()):
        if network not in source:
            raise ValueError(f"the checkpoint has no {network!r}; it has {', '.join(map(str, source))}")
        source = source[network]
    strangers = [name for name, value in source.items() if not isinstance(value, Tensor | np.ndarray)]
    if strangers:
        raise ValueError(f"{network}: not a tensor: {', '.join(map(str, strangers))}")
    return {WRAPPERS.sub("", name): torch.as_tensor(value) for name, value in source.items()}


def load(module: nn.Module, published: Mapping[str, Tensor], names: tuple) -> None:
    """Copy published tensors into a module.

    published  published name -> tensor, of any floating type; blur kernels, which are constants here, are ignored
    names      GENERATOR_NAMES or DISCRIMINATOR_NAMES
    raises     ValueError that names every tensor that is missing, unused or of another shape
    """
    state, theirs = {}, {}
    for name, tensor in published.items():
        if name.endswith(".kernel"):
            continue
        ours = name
        for pattern, replacement in names:
            ours = re.sub(pattern, replacement, ours)
        state[ours], theirs[ours] = tensor, name
    wanted = module.state_dict()
    problems = [f"missing: {name}" for name in wanted if name not in state]
    problems += [f"unused: {theirs[name]}" for name in state if name not in wanted]
    problems += [
        f"shape of {theirs[name]}: {tuple(state[name].shape)} in the file, {tuple(tensor.shape)} in the model"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    problems += [f"{theirs[name]} is {t.dtype}" for name, t in state.items() if not t.is_floating_point()]
    if problems:
        raise ValueError("the checkpoint does not fit this configuration; " + "; ".join(problems))
    module.load_state_dict(state)
