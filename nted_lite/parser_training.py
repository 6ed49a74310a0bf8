"""Training of the people parser, the network of the perceptual loss on synthetic people: `nted-lite train-parser`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite import checkpoint
from nted_lite.features import GARMENTS, Parsing, PeopleParser
from nted_lite.people import PARTS, SPLITS, People, View, render, sample_people, sample_poses

SIZES = ((64, 16), (128, 8), (64, 16), (96, 12))
"""Rows of the pictures, and how many of them, in the steps of the training in turn"""

STATE = "state.safetensors"


def parser_loss(parsing: Parsing, people: People, view: View) -> Tensor:
    """The loss of a parsing: cross-entropy of parts and patterns, plus L1 of colours. -> scalar"""
    patterns = torch.stack([people.top_pattern, people.bottom_pattern], dim=1)
    colours = rearrange(torch.stack([people.top, people.bottom], dim=1), "b g n c -> b g (n c)")
    return (
        F.cross_entropy(parsing.parts, view.parts)
        + 0.3 * F.cross_entropy(rearrange(parsing.patterns, "b g p -> b p g"), patterns)
        + F.l1_loss(parsing.colours, colours)
    )


def train_parser(out: Path, steps: int = 4000, lr: float = 3e-3, save_every: int = 250) -> PeopleParser:
    """Train the parser on people rendered on the fly, or go on where an interrupted training in `out` stopped.

    out         folder for the state of the training
    steps       optimiser steps
    lr          peak learning rate
    save_every  steps between two states saved

    Raises ValueError if `out` contains the state of a training over another number of steps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parser = PeopleParser().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(parser.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    start = 0
    if (out / STATE).is_file():
        tensors, about = checkpoint.read(out / STATE)
        if about["steps"] != steps:
            raise ValueError(f"{out}: a training of {about['steps']} steps is there, not {steps}; use another folder")
        start = about["step"]
        for _ in range(start):  # without gradients this moves only the learning rate and the betas
            optimiser.step()
            schedule.step()
        parser.load_state_dict(_under("parser.", tensors))
        checkpoint.load_optimiser(optimiser, _under("adam.", tensors))
    for step in tqdm(range(start, steps), initial=start, total=steps, desc="people parser", mininterval=5):
        height, people = SIZES[step % len(SIZES)]
        rounds, place = divmod(step, len(SIZES))
        first = rounds * sum(n for _, n in SIZES) + sum(n for _, n in SIZES[:place])  # nobody is seen twice
        index = torch.arange(first, first + people)
        person = sample_people(SPLITS["train"], index)
        view = render(person, sample_poses(SPLITS["train"], index, 0), height)
        image = view.image.contiguous(memory_format=torch.channels_last)
        optimiser.zero_grad()
        parser_loss(parser.parse(image), person, view).backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % save_every == 0:
            tensors = {f"parser.{name}": value for name, value in parser.state_dict().items()}
            tensors |= {f"adam.{name}": value for name, value in checkpoint.optimiser_tensors(optimiser).items()}
            checkpoint.write(out / STATE, tensors, {"step": step + 1, "steps": steps})
    return _balance(parser.eval())


def _under(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


@torch.no_grad()
def _balance(parser: PeopleParser, people: int = 256) -> PeopleParser:
    """Divide each scale's features by their mean magnitude on people of 64 and of 128 rows."""
    index, means = torch.arange(people), []
    for height in (64, 128):
        view = render(sample_people(SPLITS["train"], index), sample_poses(SPLITS["train"], index, 0), height)
        means.append(torch.stack([f.abs().mean() for f in parser(view.image)]))
    parser.magnitudes.copy_(parser.magnitudes * torch.stack(means).mean(0))
    return parser


@torch.no_grad()
def parser_quality(parser: PeopleParser, height: int = 64, people: int = 512) -> dict[str, float]:
    """IoU of the parts, their mean, and the accuracy of the patterns, on people of the validation split."""
    index = torch.arange(people)
    person = sample_people(SPLITS["validation"], index)
    view = render(person, sample_poses(SPLITS["validation"], index, 0), height)
    parsing = parser.eval().parse(view.image)
    guess, truth = (F.one_hot(p, len(PARTS)).bool() for p in (parsing.parts.argmax(1), view.parts))
    shared, covered = (reduce(pixels.float(), "b h w p -> p", "sum") for pixels in (guess & truth, guess | truth))
    iou = shared / covered
    patterns = torch.stack([person.top_pattern, person.bottom_pattern], dim=1)
    right = (parsing.patterns.argmax(-1) == patterns).float().mean(0)
    return {
        "mean_iou": iou.mean().item(),
        **{f"iou_{part}": value for part, value in zip(PARTS, iou.tolist(), strict=True)},
        **{f"{garment}_pattern_accuracy": value for garment, value in zip(GARMENTS, right.tolist(), strict=True)},
    }
