"""One training step: the pairs it draws, the losses it takes, the weights it moves; and how its state is kept.

Step s draws its data from s alone, so a run that was stopped and resumed sees what an undisturbed one sees.
Notebook 07 walks through it.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from einops import rearrange
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nted_lite import checkpoint, losses
from nted_lite.config import ModelConfig, TrainConfig
from nted_lite.data.examples import Blocks, Examples, Source, Views
from nted_lite.discriminator import Discriminator
from nted_lite.model import NTED, Transfer
from nted_lite.texture import Distribution

STATE = "state.safetensors"


class NotFinite(FloatingPointError):
    """A loss became infinite or not a number; `examples` holds what it was computed from."""

    def __init__(self, message: str, examples: dict[str, Tensor]):
        super().__init__(message)
        self.examples = examples


def generator_losses(
    made: Transfer, examples: Examples, features: nn.Module, config: TrainConfig
) -> dict[str, Tensor]:
    """The weighted losses of the generator but the adversarial one; their sum is minimised.

    features  a network from images to a list of feature maps, frozen
    """
    weights, target = config.weights, examples.target
    found = {
        "reconstruction": weights.reconstruction
        * losses.attention_reconstruction(made.extraction, made.distribution, examples.reference, target)
    }
    if weights.pixel:
        found["pixel"] = weights.pixel * F.l1_loss(made.image, target)
    if weights.perceptual:
        sizes = (losses.pyramid(image, config.perceptual_scales) for image in (made.image, target))
        mine, true = ([features(image) for image in pyramid] for pyramid in sizes)
        found["perceptual"] = weights.perceptual * sum(map(losses.perceptual, mine, true))
        if weights.style:
            found["style"] = weights.perceptual * weights.style * losses.style(mine[0], true[0])
    if weights.face:
        boxes = losses.face_boxes(examples.target_keypoints, *target.shape[-2:])
        found["face"] = weights.face * losses.face(features, made.image, target, boxes)
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

    Raises ValueError if the pairs of a step cannot be divided as the configuration says.
    """

    def __init__(
        self, model: ModelConfig, config: TrainConfig, source: Source, features: nn.Module, accelerator: Accelerator
    ):
        self.count = _pairs_of_a_part(config, accelerator.num_processes)
        torch.manual_seed(config.seed)
        self.config, self.source, self.accelerator, self.step = config, source, accelerator, 0
        self.blocks = Blocks(self._draw, config.draw_ahead, background=accelerator.device.type != "cpu")
        layout = {"device": accelerator.device, "memory_format": torch.channels_last}
        self.generator = NTED(model).to(**layout)
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
        self.features = features.to(**layout)
        self.models = {"generator": self.generator, "average": self.average}
        self.optimisers = {"generator": torch.optim.Adam(self.generator.parameters(), config.lr, config.betas)}
        if config.weights.adversarial:
            self.discriminator = Discriminator(model).to(**layout)
            share = config.r1_every / (config.r1_every + 1)  # one step in r1_every is two: keep the sum the same
            self.models["discriminator"] = self.discriminator
            self.optimisers["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), config.lr * share, (0.0, 0.99**share)
            )
        if config.compile:
            self.generator.compile()
            self.features.compile()
        self.optimisers = {name: accelerator.prepare(optimiser) for name, optimiser in self.optimisers.items()}
        self.shared = {name: accelerator.prepare(model) for name, model in self.models.items() if name != "average"}

    def _draw(self, first: int) -> Views:
        """This process's share of the pairs of a block of steps.

        Process i of n takes pairs i, i + n, i + 2n ...: so the discriminator's groups, which are strided too, are the
        same ones however many processes there are.
        """
        config, process, n = self.config, self.accelerator.process_index, self.accelerator.num_processes
        steps = first + torch.arange(config.draw_ahead)
        index = steps[:, None] * config.pairs + process + n * torch.arange(config.pairs // n)
        return self.source(rearrange(index, "s n -> (s n)"), self.accelerator.device)

    def examples(self) -> list[Examples]:
        """This process's share of the step's pairs, in both directions; one entry for each part."""
        views, place = self.blocks(self.step)
        parts = self.config.accumulate
        start, end = (number * parts * self.count for number in (place, place + 1))
        return [views.both_directions(slice(start + part, end, parts)) for part in range(parts)]

    def train_step(self) -> dict[str, Tensor]:
        """One step of the generator and, when the adversarial loss is on, of the discriminator. -> its losses"""
        config, parts, made = self.config, self.examples(), []
        adversarial = bool(config.weights.adversarial) and self.step >= config.adversarial_start
        self._set_learning_rate()
        self._set_dropout()
        if adversarial:
            self.discriminator.requires_grad_(False)

        def generate(part: int) -> dict[str, Tensor]:
            transfer = self.shared["generator"](parts[part].reference, parts[part].pose)
            made.append(transfer.image.detach())
            found = generator_losses(transfer, parts[part], self.features, config)
            fading = config.weights.parts * max(0.0, 1 - self.step / config.parts_steps)
            if fading:
                found["parts"] = fading * warm_start(transfer, parts[part])
            if adversarial:
                logits = self.discriminator(transfer.image)
                found["adversarial"] = config.weights.adversarial * losses.generator_loss(logits)
            return found

        found = self._descend("generator", parts, generate)
        if adversarial:
            self.discriminator.requires_grad_(True)
            found |= self._descend("discriminator", parts, lambda part: self._judge(parts[part].target, made[part]))
        self.average.update_parameters(self.generator)
        self.step += 1
        return found

    def _judge(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The losses of the discriminator."""
        config, judge = self.config, self.shared["discriminator"]
        found = {"discriminator": losses.discriminator_loss(judge(real), judge(fake))}
        if self.step % config.r1_every == 0:
            # In full precision: the gradient of one logit on one pixel is too small for 16 bits.
            with torch.autocast(real.device.type, enabled=False):
                penalty = losses.r1_penalty(partial(Discriminator.forward, self.discriminator), real)
            found["r1"] = config.r1 / 2 * config.r1_every * penalty
        return found

    def _descend(
        self, name: str, parts: list[Examples], losses_of: Callable[[int], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """One optimiser step on the mean over the parts of their losses. -> the mean of each loss"""
        self.optimisers[name].zero_grad()
        means: dict[str, Tensor] = {}
        for part, examples in enumerate(parts):
            # Only the last part exchanges gradients between processes; until then each adds up its own.
            alone = self.accelerator.no_sync(self.shared[name]) if part < len(parts) - 1 else nullcontext()
            with alone:
                with self.accelerator.autocast():
                    found = losses_of(part)
                total = sum(found.values())
                if not torch.isfinite(total):
                    each = ", ".join(f"{loss} {value.item():.4g}" for loss, value in found.items())
                    line = f"step {self.step}: the loss of the {name} is {total.item()} ({each})"
                    raise NotFinite(line, {key: value.cpu() for key, value in vars(examples).items()})
                self.accelerator.backward(total / len(parts))
            for loss, value in found.items():
                means[loss] = means.get(loss, 0) + value.detach() / len(parts)
        self.optimisers[name].step()
        return means

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
        """Write the whole state, and the averaged model as `from_pretrained` reads it; see `checkpoint`.

        Raises NotFinite, and writes nothing, if a weight is not a finite number.
        """
        tensors = {f"{name}.{key}": v for name, model in self.models.items() for key, v in model.state_dict().items()}
        broken = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
        if broken:
            raise NotFinite(f"step {self.step}: {broken[0]} is not finite, so this step is not saved", {})
        for name, optimiser in self.optimisers.items():
            tensors |= {f"adam.{name}.{k}": v for k, v in checkpoint.optimiser_tensors(optimiser).items()}
        scaler = self.accelerator.scaler
        about = {"step": self.step, "scaler": scaler.state_dict() if scaler else None}
        checkpoint.write(folder / STATE, tensors, about)
        checkpoint.save_model(self.average.module, folder)

    def load(self, folder: Path) -> None:
        """Continue where `save` left off. Raises ValueError if there is nothing to continue, or another model."""
        path = folder / STATE
        if not path.is_file():
            raise ValueError(f"{path}: nothing to resume there; start without --resume")
        tensors, about = checkpoint.read(path, self.accelerator.device)

        def under(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}

        try:
            for name, model in self.models.items():
                model.load_state_dict(under(f"{name}."))
            for name, optimiser in self.optimisers.items():
                checkpoint.load_optimiser(optimiser, under(f"adam.{name}."))
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: is of another model or training ({reason})") from error
        if about["scaler"] and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(about["scaler"])
        self.step = about["step"]


def _pairs_of_a_part(config: TrainConfig, processes: int) -> int:
    """Pairs that one process handles at once."""
    shares = processes * config.accumulate
    if config.pairs % shares:
        parts = f" x {config.accumulate} parts" if config.accumulate > 1 else ""
        raise ValueError(f"{config.pairs} pairs a step cannot be shared by {processes} processes{parts}")
    count = config.pairs // shares
    if config.weights.adversarial and 2 * count > 4 and count % 2:
        raise ValueError(f"{count} pairs at once: the discriminator compares images in fours, so take 1, 2, 4, 6 ...")
    return count
