"""The protocol on photographs: SSIM, PSNR, LPIPS and FID of a model on DeepFashion, or of pictures of any system.

These numbers depend on how pictures are resized, cut, rounded and compared, so all of that is said beside them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.data.deepfashion import DeepFashion, Store, deepfashion_source
from nted_lite.evaluation import measures
from nted_lite.evaluation.files import (
    Picture,
    all_pictures,
    find_made,
    match_pictures,
    read_picture,
    read_picture_pairs,
)
from nted_lite.evaluation.people import Rows, append, intervals, table
from nted_lite.images import TOLERANCE
from nted_lite.model import NTED


@torch.no_grad()
def evaluate_pictures(
    pairs: Iterable[tuple[Picture, Picture]], height: int, width: int, reference_set: Iterable[Picture] | None = None,
    batch: int = 16, device: torch.device | str = "cpu",
) -> dict:  # fmt: skip
    """PSNR, SSIM, LPIPS and FID of any pictures against the true ones, with the protocol that was followed.

    pairs          (made, true) each: files or tensors, see `read_picture`; they may be drawn as they are asked for
    height, width  pixels at which they are compared
    reference_set  what FID compares the made pictures with: the training pictures, as is usual; None: the true ones
    returns        "protocol"; "measures": mean and interval of each; "fid": one number. It can be saved as JSON.
    raises         ValueError for a broken picture, for fewer than 2 of a kind, and as `measures.backbone`
    """
    network, fid = measures.lpips_network().to(device), measures.inception_distance().to(device)
    rows: Rows = {}
    done = {"made": Counter(), "true": Counter(), "reference": Counter()}

    def read(pictures: Iterable[Picture], kind: str) -> Tensor:
        found, how = zip(*(read_picture(picture, height, width) for picture in pictures), strict=True)
        done[kind].update(how)
        return torch.stack(found).to(device)

    for chunk in _chunks(tqdm(pairs, desc="measuring", mininterval=5), batch):
        made, true = (read([pair[side] for pair in chunk], kind) for side, kind in enumerate(("made", "true")))
        fid.update(made, real=False)
        if reference_set is None:
            fid.update(true, real=True)
        made, true = made / 127.5 - 1, true / 127.5 - 1
        append(rows, "", {
            "psnr": measures.psnr(made, true),
            "ssim": measures.ssim(made, true),
            "lpips": measures.lpips(made, true, network),
        })
    if reference_set is None:
        done["reference"] = done["true"]
    else:
        for chunk in _chunks(tqdm(reference_set, desc="reference set", mininterval=5), batch):
            fid.update(read(chunk, "reference"), real=True)
    for kind, how in done.items():
        if how.total() < 2:
            raise ValueError(f"{how.total()} {kind} pictures: FID and intervals need 2 or more")
    protocol = {"size": [height, width], **_protocol(done, reference_set is None)}
    return {"protocol": protocol, "measures": intervals(rows)[""], "fid": fid.compute().item()}


def evaluate_folder(
    pictures: Path, truth: Path | None = None, data: Path | None = None, reference_set: Path | None = None,
    height: int = 256, device: torch.device | str = "cpu",
) -> dict:  # fmt: skip
    """Measure pictures that some system made.

    pictures       a folder, or a file of lines `made,true`
    truth          folder of the true pictures, under the same names
    data           instead: folder of a prepared DeepFashion, whose test pairs are looked for in `pictures`
    reference_set  folder of pictures for FID; None: the training pictures of `data`, else the true pictures
    """
    reference = all_pictures(reference_set) if reference_set else None
    if pictures.is_dir() and data:
        test = DeepFashion(data, height, "test")
        made = find_made(pictures, [(sources[0], target) for target, sources in test.items])
        true = (_stored(test.store, item.target) for item in test.items)
        pairs, reference = zip(made, true, strict=True), reference or _training_set(data, height)
    elif pictures.is_dir():
        if truth is None:
            raise ValueError(f"{pictures}: give --truth, a folder with the true pictures, or --data")
        pairs = match_pictures(pictures, truth)
    else:
        pairs = read_picture_pairs(pictures)
    return evaluate_pictures(pairs, height, height * 11 // 16, reference, device=device)


@torch.no_grad()
def evaluate_deepfashion(model: NTED, data: Path, reference_set: Path | None = None, batch: int = 16) -> dict:
    """Make every test pair of a prepared DeepFashion with a model, and measure it; arguments as `evaluate_folder`."""
    height, width, device = model.config.height, model.config.width, next(model.parameters()).device
    test = DeepFashion(data, height, "test")
    load = deepfashion_source(test)

    def pairs() -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.arange(len(test)).split(batch):
            views = load(index, device)
            generated = model(views.images[0], model.pose_map(views.keypoints[1])).image
            yield from zip(generated, views.images[1], strict=True)

    reference = all_pictures(reference_set) if reference_set else _training_set(data, height)
    return evaluate_pictures(pairs(), height, width, reference, batch, device)


def _training_set(data: Path, height: int) -> Iterator[Tensor]:
    """Every picture that a training pair names, once."""
    train = DeepFashion(data, height, "train")
    names = sorted({name for target, sources in train.items for name in (target, *sources)})
    return (_stored(train.store, name) for name in names)


def _stored(store: Store, name: str) -> Tensor:
    return rearrange(torch.from_numpy(store.image(name)), "h w c -> c h w")


def _chunks(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def _protocol(done: dict[str, Counter], against_true: bool) -> dict:
    """What somebody needs to know to get the same numbers."""
    return {
        "pictures": done["made"].total(), **{kind: dict(how) for kind, how in done.items()},
        "colours": "RGB of 8 bits, floats rounded to them; transparency on white",
        "resize": "bicubic, antialiased (Pillow)",
        "crop": f"largest centred window of the right shape, if width/height is off by more than {TOLERANCE:.0%}",
        "psnr": "peak 1, over RGB; equal pictures count as 100 dB",
        "ssim": "11x11 Gaussian window, sigma 1.5, data range 1, mean over RGB",
        "lpips": "AlexNet, in -1..1, at this size",
        "fid": "Inception (torch-fidelity), 2048 features, uint8 resized to 299x299 bilinearly, antialiased",
        "fid reference": f"{done['reference'].total()} " + ("true pictures" if against_true else "pictures of a set"),
        "interval": "95 %, bootstrap of the mean over pictures",
        "versions": {name: version(name) for name in ("torch", "torchmetrics", "torch-fidelity", "pillow")},
    }  # fmt: skip


def report(measured: dict) -> str:
    """The protocol and the measures, as text."""
    lines = [f"{name:16}{_plain(value)}" for name, value in measured["protocol"].items()]
    return "\n".join([*lines, *table("", {"": measured["measures"]}), f"FID {measured['fid']:.4f}"])


def _plain(value: object) -> str:
    return ", ".join(f"{name} {v}" for name, v in value.items()) if isinstance(value, dict) else str(value)
