"""The protocol on photographs: SSIM, PSNR, LPIPS and FID of a model on DeepFashion, or of pictures from any system.

These numbers depend on how pictures are saved, resized, cut, rounded and compared, so all of that is reported with
them.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, islice
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from tqdm.auto import tqdm

from nted_lite.data.deepfashion import DeepFashion, Store, columns, deepfashion_source
from nted_lite.evaluation import backbones, measures
from nted_lite.evaluation.files import (
    Picture,
    all_pictures,
    find_generated,
    match_pictures,
    read_picture,
    read_picture_pairs,
)
from nted_lite.evaluation.layout import Asked, Layout, pair_layouts, set_layout
from nted_lite.evaluation.tables import Rows, append, intervals, table
from nted_lite.images import TOLERANCE
from nted_lite.model import NTED

LOOKED_AT = 256  # pictures from which a layout is detected
FEW = 2048
"""With fewer pictures, the covariance in a Frechet distance of that many dimensions is singular"""

LOSSY = {"JPEG", "MPO", "WEBP", "HEIF", "AVIF"}


class Reader:
    """Reads the pictures of one set, all in one layout, and counts what was done to them."""

    def __init__(self, layout: Layout, height: int, width: int, device: torch.device | str):
        self.layout, self.size, self.device = layout, (height, width), device
        self.done, self.formats = Counter(), Counter()

    def __call__(self, pictures: Iterable[Picture]) -> Tensor:
        """Pictures as b 3 h w uint8."""
        read = (read_picture(picture, *self.size, self.layout.whole) for picture in pictures)
        found, done, formats = zip(*read, strict=True)
        self.done.update(done)
        self.formats.update(formats)
        return torch.stack(found).to(self.device)

    def about(self) -> dict:
        """What the protocol says about the set."""
        return {"pictures": self.done.total(), "files": dict(self.formats), "read": dict(self.done),
                "layout": self.layout.said}  # fmt: skip


@torch.no_grad()
def evaluate_pictures(
    pairs: Iterable[tuple[Picture, Picture]], height: int, width: int, reference_set: Iterable[Picture] | None = None,
    batch: int = 16, device: torch.device | str = "cpu", layout: Asked = "auto",
) -> dict:  # fmt: skip
    """PSNR, SSIM, LPIPS and FID of any pictures against their ground truth, with the protocol that was followed.

    pairs          (generated, ground truth) each: files or tensors, see `read_picture`; may be a generator
    height, width  size in pixels at which they are compared
    reference_set  the pictures that FID compares with, usually the training pictures; None: the ground truth
    batch          number of pictures that go through the networks together
    layout         layout of generated pictures that are not 11:16, see `layout.pair_layouts`; also of the reference
                   set, if it cannot be detected
    returns        "protocol"; "measures": mean and interval of each; "fid": one number, or None; "warnings": lines.
                   LPIPS and FID are left out, with a warning, if what they need is missing. It can be saved as JSON.
    raises         ValueError for a broken picture, for fewer than 2 of a kind, and for a layout that cannot be detected

    The reference set comes first, so that nothing wrong with it can cost the measures of the pairs.
    """
    perceptual, fid, warnings = _networks(device)
    some, pairs = _some(pairs, "generated")
    generated, truth = (Reader(found, height, width, device) for found in pair_layouts(some, height, width, layout))
    sets = {"generated": generated, "ground truth": truth}
    if fid and reference_set is not None:
        some, pictures = _some(reference_set, "reference")
        sets["reference"] = Reader(set_layout(some, height, width, layout, "reference"), height, width, device)
        for chunk in _chunks(tqdm(pictures, desc="reference set", mininterval=5), batch):
            fid.update(sets["reference"](chunk), real=True)
    rows: Rows = {}
    for chunk in _chunks(tqdm(pairs, desc="measuring", mininterval=5), batch):
        of_generated, of_truth = zip(*chunk, strict=True)
        images, targets = generated(of_generated), truth(of_truth)
        if fid:
            fid.update(images, real=False)
        if fid and reference_set is None:
            fid.update(targets, real=True)
        append(rows, "", _measure(images / 127.5 - 1, targets / 127.5 - 1, perceptual))
    warnings += _warnings(sets, bool(fid))
    protocol = _protocol(sets, height, width, bool(fid))
    protocol |= {name: "left out" for name, network in (("lpips", perceptual), ("fid", fid)) if network is None}
    distance = fid.compute().item() if fid else None
    return {"protocol": protocol, "measures": intervals(rows)[""], "fid": distance, "warnings": warnings}


def _networks(device: torch.device | str) -> tuple[nn.Module | None, nn.Module | None, list[str]]:
    """The networks of LPIPS and FID, and why one is None, which is also logged at once, as measuring may take long."""
    found, warnings = [], []
    for name, build in (("LPIPS", backbones.lpips), ("FID", backbones.inception_distance)):
        try:
            found.append(build().to(device))
        except ValueError as error:
            found.append(None)
            warnings.append(f"{name} is left out: {error}")
            logging.getLogger(__name__).warning(warnings[-1])
    return *found, warnings


def _measure(generated: Tensor, truth: Tensor, perceptual: nn.Module | None) -> dict[str, Tensor]:
    """The measures of pictures, b 3 h w in -1..1. -> b each"""
    found = {"psnr": measures.psnr(generated, truth), "ssim": measures.ssim(generated, truth)}
    return found | ({"lpips": measures.lpips(generated, truth, perceptual)} if perceptual else {})


def evaluate_folder(
    pictures: Path, truth: Path | None = None, data: Path | None = None, reference_set: Path | None = None,
    height: int = 256, device: torch.device | str = "cpu", layout: Asked = "auto",
) -> dict:  # fmt: skip
    """Measure pictures that any system has generated; for the result, see `evaluate_pictures`.

    pictures       a folder, or a file with lines `generated,truth`
    truth          folder with the ground truth, under the same names
    data           alternatively, a folder with prepared DeepFashion, whose test pairs are looked up in `pictures`
    reference_set  folder with pictures for FID; None: the training pictures of `data`, else the ground truth
    height         rows at which pictures are compared, a multiple of 16; there are height * 11 // 16 columns
    layout         layout of generated pictures that are not 11:16, see `layout.pair_layouts`
    raises         ValueError, in one line, for missing, ambiguous or unreadable pictures
    """
    width = columns(height)
    if not pictures.exists():
        raise ValueError(f"{pictures}: no such folder, nor file with lines `generated,truth`")
    if truth and (data or not pictures.is_dir()):
        raise ValueError("the ground truth is given twice: --truth is for a folder of --pictures, without --data")
    if data and reference_set and not pictures.is_dir():
        raise ValueError("--data is not used: the list names the ground truth, --reference-set the pictures for FID")
    reference, names = all_pictures(reference_set) if reference_set else None, ""
    if data and reference is None:
        reference = _training_set(data, height)
    if not pictures.is_dir():
        pairs = read_picture_pairs(pictures)
    elif data:
        test = DeepFashion(data, height, "test")
        found = find_generated(pictures, [(sources[0], target) for target, sources in test.items])
        pairs = zip(found, (_stored(test.store, item.target) for item in test.items), strict=True)
    elif truth:
        pairs, names = match_pictures(pictures, truth)
    else:
        raise ValueError(f"{pictures}: give --truth, a folder with the ground truth, or --data")
    measured = evaluate_pictures(pairs, height, width, reference, device=device, layout=layout)
    measured["protocol"] |= {"names": f"matched as {names}"} if names else {}
    return measured


@torch.no_grad()
def evaluate_deepfashion(
    model: NTED, data: Path, reference_set: Path | None = None, batch: int = 16, layout: Asked = "auto"
) -> dict:
    """Generate all test pairs of a prepared DeepFashion, and measure them; arguments as in `evaluate_folder`."""
    height, width, device = model.config.height, model.config.width, next(model.parameters()).device
    test = DeepFashion(data, height, "test")
    load = deepfashion_source(test)

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.arange(len(test)).split(batch):
            views = load(index, device)
            generated = model(views.images[0], model.pose_map(views.keypoints[1])).image
            yield from zip(generated, views.images[1], strict=True)

    reference = all_pictures(reference_set) if reference_set else _training_set(data, height)
    return evaluate_pictures(pairs(), height, width, reference, batch, device, layout)


def _training_set(data: Path, height: int) -> Iterator[Tensor]:
    """All pictures of the training pairs, each once."""
    train = DeepFashion(data, height, "train")
    names = sorted({name for target, sources in train.items for name in (target, *sources)})
    return (_stored(train.store, name) for name in names)


def _stored(store: Store, name: str) -> Tensor:
    return rearrange(torch.from_numpy(store.image(name)), "h w c -> c h w")


def _some(items: Iterable, kind: str) -> tuple[list, Iterable]:
    """Items to look at beforehand: of a list evenly spread ones, otherwise the first. -> those, and all items still

    Raises ValueError for fewer than 2 items.
    """
    if isinstance(items, Sequence):
        some = list(items[:: -(-len(items) // LOOKED_AT) or 1])
    else:
        items = iter(items)
        some = list(islice(items, LOOKED_AT))
        items = chain(some, items)
    if len(some) < 2:
        raise ValueError(f"{len(some)} {kind} pictures: FID and intervals need 2 or more")
    return some, items


def _chunks(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def _warnings(sets: dict[str, Reader], fid: bool) -> list[str]:
    """Reasons to trust the numbers less, one line each."""
    lines, ours = [], sets["generated"].formats.keys()
    for kind, read in sets.items():
        theirs = read.formats.keys()
        if ours != theirs and LOSSY & (ours | theirs):
            said = f"the generated pictures are {' and '.join(ours)} and the {kind} pictures {' and '.join(theirs)}"
            lines.append(f"{said}: lossy compression affects FID and SSIM; save all of them as PNG")
    few = min(read.done.total() for read in sets.values())
    if fid and few < FEW:
        lines.append(f"{few} pictures are too few for FID, whose {FEW:,} dimensions need at least that many")
    return lines


def _protocol(sets: dict[str, Reader], height: int, width: int, fid: bool) -> dict:
    """Everything that somebody needs to know to reproduce the numbers."""
    reference = sets["reference"].about() if "reference" in sets else "the ground truth"
    return {
        "size": [height, width], **{kind: read.about() for kind, read in sets.items() if kind != "reference"},
        "colours": "RGB of 8 bits, floats rounded to them; transparency on white",
        "resize": "bicubic, antialiased (Pillow)",
        "crop": f"largest centred window of the right shape, if width/height is off by more than {TOLERANCE:.0%}; "
                "of what was squeezed, all",
        "psnr": "peak 1, over RGB; equal pictures count as 100 dB",
        "ssim": "11x11 Gaussian window, sigma 1.5, data range 1, mean over RGB and all pixels, borders mirrored (as in "
                "torchmetrics; scikit-image leaves out 5 pixels at each side)",
        "lpips": "AlexNet, in -1..1, at this size",
        "fid": "Inception (torch-fidelity), 2048 features, uint8 resized to 299x299 bilinearly, antialiased",
        **({"fid reference": reference} if fid else {}),
        "interval": "95 %, bootstrap of the mean over pictures",
        "versions": _versions("torch", "torchmetrics", "torch-fidelity", "pillow"),
    }  # fmt: skip


def _versions(*names: str) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def report(measured: dict) -> str:
    """The protocol, the measures and the warnings, as text."""
    lines = [f"{name:16}{_plain(value)}" for name, value in measured["protocol"].items()]
    fid = "FID is left out" if measured["fid"] is None else f"FID {measured['fid']:.4f}"
    warnings = [f"warning: {line}" for line in measured["warnings"]]
    return "\n".join([*lines, *table("", {"": measured["measures"]}), fid, *warnings])


def _plain(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{name} {_plain(v)}" if v != {} else name for name, v in value.items())
