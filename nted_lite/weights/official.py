"""The published checkpoints: what their tensors are called here.

A published file is a `torch.save` dictionary of `net_G`, `net_D` (names behind `module.`), `net_G_ema` and the states
of optimisers. It is opened as plain tensors only (`weights_only=True`), so a file can never run code.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

GENERATOR_NAMES = (  # applied one after the other: published name -> ours
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


def read(source: "str | Path | Mapping", network: str) -> Mapping[str, Tensor]:
    """The tensors of one network of a published checkpoint, under their published names.

    source   path of a `.pt` or `.safetensors` file, the dictionary that such a file holds, or the network's own state
    network  "net_G_ema", "net_G" or "net_D"
    raises   ValueError, in one line, if the file cannot be read safely or has no such network
    """
    if not isinstance(source, Mapping):
        source = _open(Path(source))
    if any(isinstance(value, Mapping) for value in source.values()):
        if network not in source:
            raise ValueError(f"the checkpoint has no {network!r}; it has {', '.join(map(str, source))}")
        source = source[network]
    strangers = [name for name, value in source.items() if not isinstance(value, Tensor)]
    if strangers:
        raise ValueError(f"{network}: not a tensor: {', '.join(map(str, strangers))}")
    return {name.removeprefix("module."): value for name, value in source.items()}


def _open(path: Path) -> Mapping:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        wanted = re.search(r"GLOBAL (\S+)", str(error))  # the class or function that a pickle asks for
        reason = f"it holds a {wanted[1]}" if wanted else type(error).__name__
        raise ValueError(f"{path}: not a file of plain tensors, or damaged ({reason})") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{path}: holds a {type(found).__name__}, not a dictionary of tensors")
    return found


def load(module: nn.Module, published: Mapping[str, Tensor], names: tuple) -> None:
    """Copy published tensors into a module.

    published  their name -> tensor; the blur kernels, which are constants here, are passed over
    names      GENERATOR_NAMES or DISCRIMINATOR_NAMES
    raises     ValueError that names every missing tensor, every unused one and every one of another shape
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
    if problems:
        raise ValueError("the checkpoint does not fit this configuration; " + "; ".join(problems))
    module.load_state_dict(state)
