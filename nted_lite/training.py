"""The training loop: one for a CPU, a GPU, or many of them on many machines, through Accelerate.

    nted-lite train --preset people-64 --out runs/mine                                     one process
    torchrun --nproc_per_node 8 -m nted_lite train --preset fashion-256 --out runs/mine    eight GPUs

The step itself is in `step.py`. Notebook 07 walks through both.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from einops import rearrange
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from nted_lite import checkpoint
from nted_lite.config import ModelConfig, TrainConfig
from nted_lite.data.examples import Examples, Source
from nted_lite.images import write_png
from nted_lite.model import NTED
from nted_lite.step import STATE, NotFinite, Trainer


@torch.no_grad()
def sample_grid(model: NTED, examples: Examples) -> Tensor:
    """Rows of reference, true target and made image, one column an example. -> 3 h w in 0..1"""
    made = model(examples.reference, examples.pose).image
    rows = torch.stack([examples.reference, examples.target, made])
    return rearrange(rows, "r b c h w -> c (r h) (b w)").clamp(-1, 1) * 0.5 + 0.5


def train(
    model: ModelConfig, config: TrainConfig, out: Path, source: Source, preview: Source, features: nn.Module,
    accelerator: Accelerator, resume: bool = False,
) -> NTED:  # fmt: skip
    """Train until `config.steps`. -> the averaged model

    out       folder for the checkpoint, TensorBoard scalars and sample grids
    source    what is trained on
    preview   its pairs 0 to 5 are drawn in the sample grids; held out
    features  network of the perceptual loss
    resume    continue from the checkpoint in `out`

    Raises NotFinite, and leaves the batch in `out`, when a loss is infinite or not a number; ValueError if `out` holds
    a checkpoint that would be overwritten.
    """
    if (out / STATE).exists() and not resume:
        raise ValueError(f"{out}: holds a training already; go on with it (--resume), or choose another folder")
    trainer = Trainer(model, config, source, features, accelerator)
    if resume:
        trainer.load(out)
    main = accelerator.is_main_process
    shown = preview(torch.arange(6), accelerator.device).both_directions()
    writer = SummaryWriter(out / "log", purge_step=trainer.step) if main else None
    if main:
        (out / "train.json").write_text(json.dumps({"model": asdict(model), "train": asdict(config)}, indent=2))
    bar = tqdm(
        total=config.steps, initial=trainer.step, desc="training", disable=not main, mininterval=5, smoothing=0.05
    )
    while trainer.step < config.steps:
        found = _step(trainer, out)
        step, last = trainer.step, trainer.step == config.steps
        bar.update()
        if main and step % config.log_every == 0:
            values = {name: value.item() for name, value in found.items()}
            for name, value in values.items():
                writer.add_scalar(f"loss/{name}", value, step)
            bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()})
        if main and (last or step % config.sample_every == 0):
            _show(sample_grid(trainer.average.module, shown), step, out, writer)
        if main and (last or step % config.checkpoint_every == 0):
            trainer.save(out)
    accelerator.wait_for_everyone()  # until the checkpoint is written
    bar.close()
    if main:
        writer.close()
    return trainer.average.module.eval()


def _step(trainer: Trainer, out: Path) -> dict[str, Tensor]:
    """A training step; if it fails on a number, what it was fed is kept."""
    try:
        return trainer.train_step()
    except NotFinite as error:
        file = out / f"not-finite-{trainer.step}-{trainer.accelerator.process_index}.safetensors"
        checkpoint.write(file, error.examples)
        raise NotFinite(f"{error}; its pictures, poses and key points are in {file}", error.examples) from error


def _show(grid: Tensor, step: int, out: Path, writer: SummaryWriter) -> None:
    writer.add_image("samples", grid, step)
    write_png(grid * 2 - 1, out / "samples" / f"{step:07d}.png")
