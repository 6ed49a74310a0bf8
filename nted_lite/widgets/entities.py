"""Point at a pixel or a texture, and see where extraction took it from and where distribution puts it."""

from pathlib import Path

import anywidget
import torch
import traitlets
from einops import rearrange, reduce
from matplotlib.colors import to_hex
from torch import Tensor

from nted_lite.images import to_bytes
from nted_lite.model import Transfer
from nted_lite.people import PARTS
from nted_lite.plotting.base import PART_COLOURS, texture_colours, texture_parts


class EntityExplorer(anywidget.AnyWidget):
    """The reference, the textures of one operation, and the generated image, each of which lights up the other two.

    reference  b 3 h w  -1..1
    transfer   what `model(reference, pose)` returned
    parts      b h w    the parts of the people in the target pose, by which textures get their names and colours
    person     which of the b people is shown; names are found on all of them

    A pixel of the generated image is a mixture of textures (its distribution), and each of these is a mean over pixels
    of the reference (its extraction). A pixel of the reference goes into textures in proportion to their extraction
    maps there, and the result shows where those textures are painted.

    All maps are sent to the browser once, one byte a value, so nothing here needs a kernel. `entities.js` knows nothing
    of Jupyter except in its last function.
    """

    _esm = Path(__file__).with_name("entities.js")
    _css = Path(__file__).with_name("look.css")
    size = traitlets.List().tag(sync=True)
    """width and height of the pictures"""
    parts = traitlets.Dict(PART_COLOURS).tag(sync=True)
    reference = traitlets.Bytes().tag(sync=True)
    generated = traitlets.Bytes().tag(sync=True)
    operations = traitlets.List().tag(sync=True)
    """one dictionary each, coarse to fine: size of the maps; names, colours and usage of the textures; peaks"""
    extraction = traitlets.List().tag(sync=True)
    """k h w bytes each: the square root of (map / its peak), which keeps small values apart"""
    distribution = traitlets.List().tag(sync=True)
    """k h w bytes each"""

    def __init__(self, reference: Tensor, transfer: Transfer, parts: Tensor, person: int = 0):
        super().__init__()
        if not len(reference) == len(transfer.image) == len(parts):
            counts = f"{len(reference)}, {len(transfer.image)} and {len(parts)}"
            raise ValueError(f"reference, transfer and parts must be of the same people, not of {counts}")
        if not 0 <= person < len(reference):
            raise ValueError(f"person must be one of 0..{len(reference) - 1}, not {person}")
        self.size = [reference.shape[3], reference.shape[2]]
        self.reference, self.generated = (
            rearrange(to_bytes(image[person]), "c h w -> h w c").contiguous().numpy().tobytes()
            for image in (reference, transfer.image)
        )
        maps = list(zip(transfer.extraction, transfer.distribution, strict=True))
        self.operations = [_about(taken[person], given, parts, person) for taken, given in maps]
        self.extraction = [_bytes((taken[person] / _peaks(taken[person])).sqrt()) for taken, _ in maps]
        self.distribution = [_bytes(given[person]) for _, given in maps]


def _about(extraction: Tensor, distribution: Tensor, parts: Tensor, person: int) -> dict:
    groups = texture_parts(distribution, parts)
    usage = reduce(distribution[person], "k h w -> k", "mean").tolist()
    return {
        "size": list(extraction.shape[:0:-1]), "names": [PARTS[group] for group in groups],
        "colours": [to_hex(colour) for colour in texture_colours(groups).tolist()],
        "order": sorted(range(len(groups)), key=lambda texture: (groups[texture], -usage[texture])),
        "usage": usage, "peaks": _peaks(extraction).flatten().tolist(),
    }  # fmt: skip


def _peaks(maps: Tensor) -> Tensor:
    return reduce(maps.detach(), "k h w -> k 1 1", "max").clamp_min(1e-12)


def _bytes(maps: Tensor) -> bytes:
    """0..1 -> one byte a value"""
    return (maps.detach().float().cpu() * 255).round().to(torch.uint8).contiguous().numpy().tobytes()
