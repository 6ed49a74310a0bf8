"""Train the instructive runs of lesson 07 again, a healthy one and three ill ones, and log what they show.

    python checkpoints/curves.py                      all of them, one after the other
    python checkpoints/curves.py healthy              one of them

A run is small: 32x22 pixels, 2 pairs a step, 600 steps. `RUNS` says what an ill one changes in the healthy one's plan.
Each writes two files into checkpoints/curves: NAME.json, the curves, and NAME.npz, generated images and distribution
maps of held-out people at a few moments.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from einops import rearrange, reduce
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.config import PRESETS, LossWeights, ModelConfig
from nted_lite.data.examples import Examples, both_directions
from nted_lite.data.people import people_source
from nted_lite.entities import shrink
from nted_lite.evaluation.measures import psnr
from nted_lite.features import people_parser
from nted_lite.images import to_bytes
from nted_lite.model import NTED
from nted_lite.people import SPLITS
from nted_lite.training import NotFinite, Trainer

FOLDER = Path(__file__).resolve().parent / "curves"

MODEL = replace(
    PRESETS["people-64"].model,
    channels=(32, 24), textures=(16, 0), kernels=(1, 3), discriminator_channels=(32, 32, 32, 24),
)  # fmt: skip
TRAIN = replace(
    PRESETS["people-64"].train,
    steps=600, pairs=2, warm_up=20, texture_dropout_steps=300, ema=0.98, weights=LossWeights(),
)  # fmt: skip
"""The healthy plan: without an adversary, and with an average that suits so few steps"""

RUNS: dict[str, dict] = {
    "healthy": {},
    "no-texture-dropout": {"texture_dropout": 0.0},
    "adversary-too-strong": {"weights": LossWeights(adversarial=20.0), "adversarial_start": 50},
    "learning-rate-too-high": {"lr": 0.2},
}
"""Name of a run -> what it changes in TRAIN"""

EVERY, MOMENTS, PEOPLE, SHOWN = 20, (100, 600), 32, 4


def held_out(model: ModelConfig) -> Examples:
    """The people on whom all runs are measured: `PEOPLE` views of the validation split."""
    index = torch.arange(PEOPLE // 2)
    views = people_source(model.height, SPLITS["validation"])(index, torch.device("cpu"))
    return both_directions(index, views, NTED(model).pose_map).of_pairs()


@torch.no_grad()
def measure(trainer: Trainer, people: Examples) -> tuple[dict[str, float], Tensor, Tensor]:
    """What a run looks like now. -> numbers by name; generated images, b 3 h w; distribution, b k h w

    psnr, psnr_last      of the averaged weights, and of the last ones (dB)
    largest, effective   of the last operation, on people: the share of the texture that takes most, and the number of
                         equally used textures that would have the same entropy
    logit_real, logit_fake  the discriminator's mean verdicts
    """
    generated = trainer.average.module(people.reference, people.pose)
    last = trainer.generator(people.reference, people.pose).image
    distribution = generated.distribution[-1]
    person = (shrink(people.target_parts, distribution) > 0).float()
    share = reduce(distribution * rearrange(person, "b h w -> b 1 h w"), "b k h w -> k", "sum") / person.sum()
    found = {
        "psnr": psnr(generated.image, people.target).mean(),
        "psnr_last": psnr(last, people.target).mean(),
        "largest": share.max(),
        "effective": (-share * share.clamp_min(1e-9).log()).sum().exp(),
    }
    if trainer.config.weights.adversarial:
        found["logit_real"], found["logit_fake"] = (
            trainer.discriminator(image).mean() for image in (people.target, generated.image)
        )
    return {name: value.item() for name, value in found.items()}, generated.image, distribution


def run(name: str, folder: Path = FOLDER, steps: int = TRAIN.steps) -> None:
    """Train one run and write its two files; if a loss stops being finite, they end there."""
    config = replace(TRAIN, **RUNS[name])
    source, people = people_source(MODEL.height), held_out(MODEL)
    trainer = Trainer(MODEL, config, source, people_parser(), Accelerator(cpu=True))
    curves: dict[str, list] = {"step": []}
    pictures, maps, moments, sums, stopped = [], [], [], {}, None
    for step in tqdm(range(1, steps + 1), desc=name, mininterval=30):
        try:
            found = trainer.train_step()
        except NotFinite as error:
            stopped = str(error)
            break
        for loss, value in found.items():
            sums.setdefault(loss, []).append(value.item())
        if step % EVERY and step not in MOMENTS:
            continue
        numbers, images, distribution = measure(trainer, people)
        if step % EVERY == 0:
            curves["step"].append(step)
            numbers |= {f"loss/{loss}": sum(values) / len(values) for loss, values in sums.items()}
            for key, value in numbers.items():
                line = curves.setdefault(key, [])
                line += [None] * (len(curves["step"]) - 1 - len(line)) + [float(f"{value:.4g}")]
            sums = {}
        if step in MOMENTS:
            moments.append(step)
            pictures.append(to_bytes(images[:SHOWN]).cpu().numpy())
            maps.append((distribution[:SHOWN] * 255).round().byte().numpy())
    for line in curves.values():
        line += [None] * (len(curves["step"]) - len(line))
    folder.mkdir(parents=True, exist_ok=True)
    about = {"changed": _plain(RUNS[name]), "stopped": stopped}
    (folder / f"{name}.json").write_text(json.dumps(about | {"curves": curves}) + "\n")
    views = {"reference": people.reference[:SHOWN], "target": people.target[:SHOWN]}
    still = {key: to_bytes(images).numpy() for key, images in views.items()}
    parts = people.target_parts[:SHOWN].byte().numpy()
    np.savez_compressed(
        folder / f"{name}.npz", moments=moments, generated=np.array(pictures), distribution=np.array(maps), parts=parts,
        **still,
    )  # fmt: skip


def _plain(changes: dict) -> dict:
    return {name: asdict(value) if isinstance(value, LossWeights) else value for name, value in changes.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(RUNS)} (default: all)")
    names = parser.parse_args().names
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        sys.exit(f"no run {', '.join(unknown)}; there are {', '.join(RUNS)}")
    for name in names or RUNS:
        run(name)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    main()
