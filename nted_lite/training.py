"""The training loop: one for a CPU, a GPU, or many of them, through Accelerate.

Step s draws its data from s alone, so a run that was stopped and resumed sees what an undisturbed one sees.
Notebook 07 walks through it.
"""

import json
import math
import os
import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from einops import rearrange
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from nted_lite import losses
from nted_lite.config import LossWeights, ModelConfig, TrainConfig
from nted_lite.data import Examples, Source, people_source
from nted_lite.discriminator import Discriminator
from nted_lite.model import NTED, Transfer
from nted_lite.people import SPLITS
from nted_lite.texture import Distribution


def generator_losses(
    made: Transfer, examples: Examples, features: nn.Module, weights: LossWeights
) -> dict[str, Tensor]:
    """The weighted losses of the generator but the adversarial one; their sum is minimised.

    features  a network from images to a list of feature maps, frozen
    """
    found = {
        "reconstruction": weights.reconstruction
        * losses.attention_reconstruction(made.extraction, made.distribution, examples.reference, examples.target)
    }
    if weights.pixel:
        found["pixel"] = weights.pixel * F.l1_loss(made.image, examples.target)
    if weights.perceptual:
        with torch.no_grad():
            true = features(examples.target)
        mine = features(made.image)
        found["perceptual"] = weights.perceptual * losses.perceptual(mine, true)
        if weights.style:
            found["style"] = weights.perceptual * weights.style * losses.style(mine, true)
    return found


def warm_start(made: Transfer, examples: Examples) -> Tensor:
    """Cross-entropy of every map with the true parts; -> scalar. Only synthetic people know their parts."""
    terms = [losses.parts_cross_entropy(d, examples.target_parts) for d in made.distribution]
    return torch.stack(terms).mean()


def learning_rate(step: int, config: TrainConfig) -> float:
    """Factor on the learning rate: 1, then half a cosine down to 0 over the last `decay` of the steps."""
    start = (1 - config.decay) * config.steps
    done = (step - start) / max(config.steps - start, 1)
    return 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))


class Trainer:
    """Models, optimisers and the step that moves them.

    source    makes the examples of a step
    features  the frozen network of the perceptual loss
    """

    def __init__(
        self, model: ModelConfig, config: TrainConfig, source: Source, features: nn.Module, accelerator: Accelerator
    ):
        processes = accelerator.num_processes
        if config.pairs < 1 or config.pairs % processes:
            raise ValueError(f"{config.pairs} pairs a step cannot be shared by {processes} processes")
        images = 2 * config.pairs // processes
        if config.weights.adversarial and images > 4 and images % 4:
            raise ValueError(f"{config.pairs} pairs: the discriminator compares images in fours: take 1, 2, 4, 6 ...")
        torch.manual_seed(config.seed)
        self.config, self.source, self.accelerator = config, source, accelerator
        self.step, self.drawn = 0, None
        self.generator = NTED(model).to(accelerator.device, memory_format=torch.channels_last)
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
        self.features = features.to(accelerator.device, memory_format=torch.channels_last)
        self.models = {"generator": self.generator, "average": self.average}
        self.optimisers = {"generator": torch.optim.Adam(self.generator.parameters(), config.lr, config.betas)}
        if config.weights.adversarial:
            self.discriminator = Discriminator(model).to(accelerator.device, memory_format=torch.channels_last)
            share = config.r1_every / (config.r1_every + 1)  # one step in r1_every is two: keep the sum the same
            betas = (0.0, 0.99**share)
            self.models["discriminator"] = self.discriminator
            self.optimisers["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), config.lr * share, betas
            )
        self.optimisers = {name: accelerator.prepare(optimiser) for name, optimiser in self.optimisers.items()}
        self.prepared = {
            name: accelerator.prepare(model) for name, model in self.models.items() if name != "average"
        }

    def examples(self) -> Examples:
        """This process's share of the step's pairs, in both directions. Several steps' people are drawn at once."""
        config, process = self.config, self.accelerator.process_index
        count, place = config.pairs // self.accelerator.num_processes, self.step % config.draw_ahead
        if self.drawn is None or place == 0:
            steps = self.step - place + torch.arange(config.draw_ahead)
            index = steps[:, None] * config.pairs + process * count + torch.arange(count)
            self.drawn = self.source(rearrange(index, "s n -> (s n)"), self.accelerator.device)
        return self.drawn.both_directions(slice(place * count, (place + 1) * count))

    def train_step(self) -> dict[str, Tensor]:
        """One step of the generator and, when the adversarial loss is on, of the discriminator. -> its losses"""
        config, examples = self.config, self.examples()
        adversarial = bool(config.weights.adversarial) and self.step >= config.adversarial_start
        self._set_learning_rate()
        self._set_dropout()
        with self.accelerator.autocast():
            made = self.prepared["generator"](examples.reference, examples.pose)
            found = generator_losses(made, examples, self.features, config.weights)
            fading = config.weights.parts * max(0.0, 1 - self.step / config.parts_steps)
            if fading:
                found["parts"] = fading * warm_start(made, examples)
            if adversarial:
                self.discriminator.requires_grad_(False)
                logits = self.prepared["discriminator"](made.image)
                found["adversarial"] = config.weights.adversarial * losses.generator_loss(logits)
        self._descend("generator", sum(found.values()))
        if adversarial:
            found |= self._discriminate(examples.target, made.image.detach())
        self.average.update_parameters(self.generator)
        self.step += 1
        return found

    def _discriminate(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        self.discriminator.requires_grad_(True)
        discriminator = self.prepared["discriminator"]
        with self.accelerator.autocast():
            found = {"discriminator": losses.discriminator_loss(discriminator(real), discriminator(fake))}
        if self.step % self.config.r1_every == 0:
            found["r1"] = self.config.r1 / 2 * self.config.r1_every * losses.r1_penalty(discriminator, real)
        self._descend("discriminator", sum(found.values()))
        return found

    def _descend(self, name: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(f"step {self.step}: the loss of the {name} is {loss.item()}")
        self.optimisers[name].zero_grad()
        self.accelerator.backward(loss)
        self.optimisers[name].step()

    def _set_learning_rate(self) -> None:
        factor = learning_rate(self.step, self.config)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])

    def _set_dropout(self) -> None:
        """Texture dropout in the first steps. Chance is seeded by the step: a resumed run hides the same textures."""
        rate = self.config.texture_dropout * (self.step < self.config.texture_dropout_steps)
        torch.manual_seed(self.config.seed + 1000 * self.step + self.accelerator.process_index)
        for module in self.generator.modules():
            if isinstance(module, Distribution):
                module.dropout = rate

    def save(self, folder: Path) -> None:
        """Write the whole state, and the averaged model as `from_pretrained` reads it.

        The state is written aside and renamed, so that it is either whole or not there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        state = {"step": self.step} | {
            kind: {name: item.state_dict() for name, item in getattr(self, kind).items()}
            for kind in ("models", "optimisers")
        }
        with open(folder / "state.new", "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(folder / "state.new", folder / "state.pt")
        self.average.module.save_pretrained(folder)

    def load(self, folder: Path) -> None:
        """Continue where `save` left off. Raises ValueError if there is nothing to continue, or another model."""
        path = folder / "state.pt"
        if not path.is_file():
            raise ValueError(f"{path}: nothing to resume there; start without --resume")
        try:
            state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
            raise ValueError(f"{path}: damaged ({str(error).splitlines()[0]})") from error
        for kind in ("models", "optimisers"):
            for name, item in getattr(self, kind).items():
                try:
                    item.load_state_dict(state[kind][name])
                except (KeyError, RuntimeError) as error:
                    raise ValueError(f"{path}: is of another model or training ({str(error)[:200]})") from error
        self.step, self.drawn = state["step"], None


@torch.no_grad()
def sample_grid(model: NTED, examples: Examples) -> Tensor:
    """Rows of reference, true target and made image, one column an example. -> 3 h w in 0..1"""
    made = model(examples.reference, examples.pose).image
    rows = torch.stack([examples.reference, examples.target, made])
    return rearrange(rows, "r b c h w -> c (r h) (b w)").clamp(-1, 1) * 0.5 + 0.5


def train(
    model: ModelConfig, config: TrainConfig, out: Path, source: Source, features: nn.Module,
    resume: bool = False, accelerator: Accelerator | None = None,
) -> NTED:  # fmt: skip
    """Train until `config.steps`; `out` gets the checkpoint, TensorBoard scalars and sample grids. -> the average"""
    accelerator = accelerator or Accelerator()
    trainer = Trainer(model, config, source, features, accelerator)
    if resume:
        trainer.load(out)
    shown = people_source(model.height, SPLITS["validation"])(torch.arange(6), accelerator.device).both_directions()
    main = accelerator.is_main_process
    writer = SummaryWriter(out / "log") if main else None
    if main:
        (out / "train.json").write_text(json.dumps({"model": asdict(model), "train": asdict(config)}, indent=2))
    bar = tqdm(
        total=config.steps, initial=trainer.step, desc="training", disable=not main, mininterval=5, smoothing=0.05
    )
    while trainer.step < config.steps:
        found = trainer.train_step()
        bar.update()
        step = trainer.step
        if not main:
            continue
        if step % config.log_every == 0:
            values = {name: value.item() for name, value in found.items()}
            for name, value in values.items():
                writer.add_scalar(f"loss/{name}", value, step)
            bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()})
        if step % config.sample_every == 0 or step == config.steps:
            grid = sample_grid(trainer.average.module, shown)
            writer.add_image("samples", grid, step)
            pixels = rearrange(grid.cpu(), "c h w -> h w c").mul(255).round().numpy().astype(np.uint8)
            (out / "samples").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(out / "samples" / f"{step:07d}.png")
        if step % config.checkpoint_every == 0 or step == config.steps:
            trainer.save(out)
    bar.close()
    if main:
        writer.close()
    return trainer.average.module.eval()
