"""The training loop, top to bottom: the same one for a CPU, a GPU, or many GPUs on many machines, through Accelerate.

    nted-lite train --preset people-64 --out runs/mine                                     one process
    torchrun --nproc_per_node 4 -m nted_lite train --preset fashion-256 --out runs/mine    four GPUs

Step s sees the same examples, and hides the same textures from them, no matter when it runs and on how many processes.
So a run that was stopped and resumed ends bit for bit like an uninterrupted one. Notebook 07 arrives at this file.
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
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from nted_lite import checkpoint, losses
from nted_lite.config import LossWeights, ModelConfig, TrainConfig
from nted_lite.data.examples import Blocks, Examples, Source, both_directions
from nted_lite.discriminator import Discriminator
from nted_lite.images import write_png
from nted_lite.model import NTED, Transfer
from nted_lite.people import PARTS
from nted_lite.people.chance import Draws

STATE = "state.safetensors"


class NotFinite(FloatingPointError):
    """A loss became infinite or NaN; `examples` holds the batch that it was computed from."""

    def __init__(self, message: str, examples: dict[str, Tensor]):
        super().__init__(message)
        self.examples = examples


def generator_losses(
    generated: Transfer, examples: Examples, features: nn.Module, config: TrainConfig
) -> dict[str, Tensor]:
    """All generator losses except the adversarial one and the warm start, weighted; training minimises their sum.

    generated  the output of the generator for these examples
    features   a frozen network from images to a list of feature maps
    returns    name -> scalar, for each loss whose weight is not 0
    """
    weights, target, found = config.weights, examples.target, {}
    if weights.reconstruction:
        maps = generated.extraction, generated.distribution
        found["reconstruction"] = weights.reconstruction * losses.attention_reconstruction(
            *maps, examples.reference, target
        )
    if weights.flow:
        found["flow"] = weights.flow * losses.appearance_flow(generated.flow[:, 0], examples.reference, target)
    if weights.limbs:
        joints = examples.reference_keypoints, examples.target_keypoints
        found["limbs"] = weights.limbs * losses.limb_flow(generated.flow[:, 0], *joints)
    if weights.pixel:
        found["pixel"] = weights.pixel * F.l1_loss(generated.image, target)
    if weights.perceptual or weights.style:
        sizes = (losses.pyramid(image, config.perceptual_scales) for image in (generated.image, target))
        ours, theirs = ([features(image) for image in pyramid] for pyramid in sizes)
        if weights.perceptual:
            found["perceptual"] = weights.perceptual * sum(map(losses.perceptual, ours, theirs))
        if weights.style:
            found["style"] = weights.style * losses.style(ours[0], theirs[0])
    if weights.face:
        boxes = losses.face_boxes(examples.target_keypoints, *target.shape[-2:])
        found["face"] = weights.face * losses.face(features, generated.image, target, boxes)
    return found


def warm_start(generated: Transfer, examples: Examples) -> Tensor:
    """Cross-entropy of all maps with the ground-truth parts, which only synthetic people have. -> scalar"""
    terms = [losses.parts_cross_entropy(d, examples.target_parts) for d in generated.distribution]
    return torch.stack(terms).mean()


def learning_rate(step: int, config: TrainConfig) -> float:
    """Factor on the learning rates: a ramp over `warm_up` steps, then 1, then half a cosine to 0 over `decay`."""
    start = (1 - config.decay) * config.steps
    done = (step - start) / max(config.steps - start, 1)
    falling = 0.5 * (1 + math.cos(math.pi * min(max(done, 0.0), 1.0)))
    return falling * min(1.0, (step + 1) / (config.warm_up + 1))


def hidden_textures(numbers: Tensor, model: ModelConfig, config: TrainConfig) -> list[Tensor]:
    """Texture dropout: which textures each example must do without; depends only on the seed and the example's number.

    numbers  b         of the examples, see `Examples.number`
    returns  b k each  bool, one per operation
    """
    draws = Draws(config.seed, numbers)
    counts = [k for k in model.textures if k for _ in range(2)]
    return [draws(f"operation {n}", k) < config.texture_dropout for n, k in enumerate(counts)]


class Trainer:
    """Models, optimisers and the training step.

    source    supplies the pairs of a step
    features  the frozen network of the perceptual loss
    init      a model to start from, instead of random weights; of the same size or a smaller one, see `NTED.start_from`
    judge     a discriminator to start from
    network   the class to train: NTED, or a variant of it

    Raises ValueError if the pairs of a step cannot be divided as the configuration says, or if a loss does not suit the
    model.
    """

    def __init__(
        self, model: ModelConfig, config: TrainConfig, source: Source, features: nn.Module, accelerator: Accelerator,
        init: NTED | None = None, judge: Discriminator | None = None,
        network: Callable[[ModelConfig], NTED] = NTED,
    ):  # fmt: skip
        self.portion = pairs_of_a_portion(config, accelerator.num_processes)
        self.config, self.source, self.accelerator = config, source, accelerator
        self.step, self.folder = 0, None  # the folder that holds this run
        self.blocks = Blocks(self._draw, config.draw_ahead, background=accelerator.device.type != "cpu")
        layout = {"device": accelerator.device, "memory_format": torch.channels_last}
        with torch.random.fork_rng(devices=[]):  # the caller's random state stays untouched
            torch.manual_seed(config.seed)
            self.generator, self.discriminator = network(model), Discriminator(model)
        _check_losses(config.weights, self.generator.config)
        self.untouched = self.generator.start_from(init) if init is not None else []
        if judge is not None:
            self.discriminator.load_state_dict(judge.state_dict())
        self.generator.to(**layout).train()
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
        self.features = features.to(**layout)
        self.models = {"generator": self.generator, "average": self.average}
        self.optimisers = {"generator": torch.optim.Adam(self.generator.parameters(), config.lr, config.betas)}
        if config.weights.adversarial:
            self.models["discriminator"] = self.discriminator.to(**layout)
            # StyleGAN2's correction, as the published rate means it. (There, R1 is a step of its own.)
            share = config.r1_every / (config.r1_every + 1)
            self.optimisers["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), config.discriminator_lr * share, (0.0, 0.99**share)
            )
        if config.compile:
            self.generator.compile()
            self.features.compile()
        self.optimisers = {name: accelerator.prepare(optimiser) for name, optimiser in self.optimisers.items()}
        self.shared = {name: accelerator.prepare(model) for name, model in self.models.items() if name != "average"}

    def _draw(self, first: int) -> Examples:
        """This process's share of the examples of a block of steps, 2 (step pair).

        Process i of n takes pairs i, i + n, i + 2n ...: the discriminator's groups of four images are strided, too, so
        they are the same for any number of processes, as long as each has two pairs at once.
        """
        config, process, n = self.config, self.accelerator.process_index, self.accelerator.num_processes
        steps = first + torch.arange(config.draw_ahead)
        index = steps[:, None] * config.pairs + process + n * torch.arange(config.pairs // n)
        index = rearrange(index, "s n -> (s n)")
        return both_directions(index, self.source(index, self.accelerator.device), self.generator.pose_map)

    def examples(self) -> list[Examples]:
        """This process's share of the step's examples, both directions of each pair; one entry per portion."""
        block, place = self.blocks(self.step)
        portions = self.config.accumulate
        start, end = (number * portions * self.portion for number in (place, place + 1))
        return [block.of_pairs(slice(start + portion, end, portions)) for portion in range(portions)]

    def train_step(self) -> dict[str, Tensor]:
        """One step of the generator and, if the adversarial loss is on, of the discriminator.

        returns  name -> loss, of this process's share
        """
        config, weights, portions, found = self.config, self.config.weights, self.examples(), {}
        adversarial = bool(weights.adversarial) and self.step >= config.adversarial_start
        dropout = config.texture_dropout > 0 and self.step < config.texture_dropout_steps
        fading = weights.parts * max(0.0, 1 - self.step / config.parts_steps)
        factor = learning_rate(self.step, config)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])  # the first step remembers the rate

        # The generator: both directions of every pair, compared with the target and judged by the discriminator.
        self.discriminator.requires_grad_(False)
        self.optimisers["generator"].zero_grad()
        fakes = []
        for number, examples in enumerate(portions):
            hidden = hidden_textures(examples.number, self.generator.config, config) if dropout else ()
            with self._last(number, "generator"), self.accelerator.autocast():
                generated = self.shared["generator"](examples.reference, examples.pose, hidden)
                terms = generator_losses(generated, examples, self.features, config)
                if fading:
                    terms["parts"] = fading * warm_start(generated, examples)
                if adversarial:
                    logits = self.discriminator(generated.image)
                    terms["adversarial"] = weights.adversarial * losses.generator_loss(logits)
                self._backward("generator", terms, examples, found)
            fakes.append(generated.image.detach())
        self.optimisers["generator"].step()

        # The discriminator: real against generated images; every r1_every steps, also a penalty on its slope (lazy R1).
        if adversarial:
            self.discriminator.requires_grad_(True)
            self.optimisers["discriminator"].zero_grad()
            judge = self.shared["discriminator"]
            for number, (examples, fake) in enumerate(zip(portions, fakes, strict=True)):
                with self._last(number, "discriminator"), self.accelerator.autocast():
                    terms = {"discriminator": losses.discriminator_loss(judge(examples.target), judge(fake))}
                    if self.step % config.r1_every == 0:
                        # In full precision: the gradient of a logit with respect to a pixel is too small for 16 bits.
                        with torch.autocast(fake.device.type, enabled=False):
                            bare = partial(Discriminator.forward, self.discriminator)  # Accelerate's would autocast
                            penalty = losses.r1_penalty(bare, examples.target)
                        terms["r1"] = config.r1 / 2 * config.r1_every * penalty
                    self._backward("discriminator", terms, examples, found)
            self.optimisers["discriminator"].step()

        self.average.update_parameters(self.generator)
        self.step += 1
        return found

    def _last(self, number: int, name: str):
        """The context of a portion: processes exchange gradients in the last one only, and accumulate until then."""
        last = number == self.config.accumulate - 1
        return nullcontext() if last else self.accelerator.no_sync(self.shared[name])

    def _backward(self, name: str, terms: dict[str, Tensor], examples: Examples, found: dict[str, Tensor]) -> None:
        """Accumulate the gradients of a portion's losses, and add the losses themselves to `found`."""
        total = sum(terms.values())
        if not torch.isfinite(total):
            each = ", ".join(f"{loss} {value.item():.4g}" for loss, value in terms.items())
            line = f"step {self.step}: the loss of the {name} is {total.item()} ({each})"
            raise NotFinite(line, {key: value.cpu() for key, value in vars(examples).items()})
        with torch.autocast(total.device.type, enabled=False):  # backward takes the precisions that forward took
            self.accelerator.backward(total / self.config.accumulate)
        for loss, value in terms.items():
            found[loss] = found.get(loss, 0) + value.detach() / self.config.accumulate

    def save(self, folder: Path) -> None:
        """Write the whole state, plus the averaged model as `from_pretrained` reads it; see `checkpoint`.

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
        self.folder = folder.resolve()

    def load(self, folder: Path) -> None:
        """Continue where `save` left off.

        Raises ValueError if there is nothing to resume, if it belongs to another model, or if it has already gone
        beyond `config.steps`.
        """
        path = folder / STATE
        if not path.is_file():
            raise ValueError(f"{path}: nothing to resume there; start without --resume")
        tensors, about = checkpoint.read(path)
        if about["step"] > self.config.steps:
            raise ValueError(f"{folder}: has already reached step {about['step']}; set --steps to at least that")

        def under(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}

        try:
            for name, model in self.models.items():
                model.load_state_dict(under(f"{name}."))
            for name, optimiser in self.optimisers.items():
                checkpoint.load_optimiser(optimiser, under(f"adam.{name}."))
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: belongs to another model or another kind of training ({reason})") from error
        if about["scaler"] and self.accelerator.scaler:
            self.accelerator.scaler.load_state_dict(about["scaler"])
        self.step, self.folder = about["step"], folder.resolve()


def _check_losses(weights: LossWeights, model: ModelConfig) -> None:
    """ValueError if a loss needs what the model has not."""
    if (weights.flow or weights.limbs) and not model.appearance_flow:
        needed = "the losses flow and limbs need a model with a flow: --model.appearance-flow"
        raise ValueError(f"{needed}; for a model without it, use --flow 0 --limbs 0")
    fewest = min((k for k in model.textures if k), default=0)
    if weights.reconstruction and not fewest:
        raise ValueError("the loss reconstruction compares maps, and this model has none: use --reconstruction 0")
    if weights.parts and fewest < len(PARTS):
        needed = f"the loss parts needs {len(PARTS)} textures, one for each part, in every operation"
        raise ValueError(f"{needed}; this model has operations with {fewest}: use --parts 0")


def pairs_of_a_portion(config: TrainConfig, processes: int) -> int:
    """Pairs that one process handles at once. Raises ValueError if the pairs of a step cannot be divided evenly."""
    shares = processes * config.accumulate
    if config.pairs % shares:
        portions = f" x {config.accumulate} gradient-accumulation steps" if config.accumulate > 1 else ""
        raise ValueError(f"{config.pairs} pairs per step cannot be divided among {processes} processes{portions}")
    count = config.pairs // shares
    if config.weights.adversarial and 2 * count > 4 and count % 2:
        raise ValueError(f"{count} pairs at once: the discriminator compares images in fours, so use 1, 2, 4, 6 ...")
    return count


def check_folder(trainer: Trainer, out: Path) -> None:
    """Never overwrite a run: ValueError if `out` already contains one and `trainer` does not continue it."""
    if (out / STATE).exists() and trainer.folder != out.resolve():
        raise ValueError(f"{out}: already contains a run; resume it (--resume), or choose another folder")


def train(trainer: Trainer, out: Path, preview: Source) -> NTED:
    """Train until `config.steps`. -> the averaged model

    trainer  new, or after `load`
    out      folder for the checkpoint, TensorBoard scalars and sample grids
    preview  held-out data, whose pairs 0 to 5 appear in the sample grids

    Raises NotFinite, and leaves the batch in `out`, if a loss becomes infinite or NaN; ValueError if `out` already
    contains another run.
    """
    config, accelerator, main = trainer.config, trainer.accelerator, trainer.accelerator.is_main_process
    check_folder(trainer, out)
    trainer.folder = out.resolve()  # in every process, though only the main one saves
    index = torch.arange(6)
    views = preview(index, accelerator.device)
    shown = both_directions(index, views, trainer.generator.pose_map).of_pairs()
    writer = SummaryWriter(out / "log", purge_step=trainer.step + 1) if main else None  # later steps are logged again
    bar = tqdm(
        total=config.steps, initial=trainer.step, desc="training", disable=not main, mininterval=5, smoothing=0.05
    )
    if main and trainer.step == config.steps:
        trainer.save(out)  # in case it was killed between its last state and the model that belongs to it
    while trainer.step < config.steps:
        try:
            found = trainer.train_step()
        except NotFinite as error:
            file = out / f"not-finite-{trainer.step}-{accelerator.process_index}.safetensors"
            checkpoint.write(file, error.examples)
            raise NotFinite(f"{error}; its images, poses and key points are in {file}", error.examples) from error
        step, last = trainer.step, trainer.step == config.steps
        bar.update()
        if main and step % config.log_every == 0:
            values = {name: value.item() for name, value in found.items()}
            for name, value in values.items():
                writer.add_scalar(f"loss/{name}", value, step)
            bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()})
        if main and (last or step % config.sample_every == 0):
            grid = sample_grid(trainer.average.module, shown)
            writer.add_image("samples", grid * 0.5 + 0.5, step)
            write_png(grid, out / "samples" / f"{step:07d}.png")
        if main and (last or step % config.checkpoint_every == 0):
            trainer.save(out)
    accelerator.wait_for_everyone()  # no process leaves before the checkpoint is written
    bar.close()
    if main:
        writer.close()
    return trainer.average.module.eval()


@torch.no_grad()
def sample_grid(model: NTED, examples: Examples) -> Tensor:
    """Rows of references, ground truths and generated images, one column per example. -> 3 h w in -1..1"""
    generated = model(examples.reference, examples.pose).image
    rows = torch.stack([examples.reference, examples.target, generated])
    return rearrange(rows, "r b c h w -> c (r h) (b w)").clamp(-1, 1)
