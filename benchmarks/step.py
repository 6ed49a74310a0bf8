"""Training steps per second: depthwise filters on channels-last tensors against one picture for every channel.

    python benchmarks/step.py [--adversarial] [--threads 2] [--rounds 5]

All sides are the same training step of `people-64` with the same numbers: forward, losses, backward, Adam, average.
`filters` filters as `reference.py` does, on tensors in the plain b c h w layout; its convolutions and all the rest are
the package's, so its ratio is what filters and layout are worth. `literal` writes out the convolutions that change the
size as well: zeros put in before, three quarters thrown away after. The sides take turns, so that a busy machine slows
down all.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from reference import blur as slow_blur
from reference import literal_layers, slow_layers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nted_lite import layers, preset
from nted_lite.data import Views
from nted_lite.features import PeopleParser
from nted_lite.step import Trainer


def noise(index: Tensor, device: torch.device) -> Views:
    """Random pictures: drawing people is no part of this measurement."""
    b, height, width = len(index), 64, 44
    images, poses = torch.rand(2, b, 3, height, width) * 2 - 1, torch.rand(2, b, 20, height, width)
    nobody = torch.full((2, b, 18, 2), -1.0)
    return Views(images, nobody, poses, torch.zeros(2, b, height, width, dtype=torch.long))


@dataclass
class Side:
    """One of the ways to filter, and a training that uses it."""

    name: str
    filters: Callable
    """context in which the layers filter this way"""
    layout: torch.memory_format
    trainer: Trainer

    def step(self, number: int) -> tuple[float, dict[str, Tensor]]:
        """Seconds and losses of a step as it is at this place of a training; R1 is due at multiples of 16."""
        self.trainer.step = number
        with self.filters():
            start = time.perf_counter()
            found = self.trainer.train_step()
            return time.perf_counter() - start, {name: value.item() for name, value in found.items()}

    def seconds(self) -> float:
        """Mean seconds of a step, with the R1 penalty spread over the steps from one to the next."""
        every = self.trainer.config.r1_every
        if "discriminator" not in self.trainer.models:
            return self.step(1)[0]
        return (self.step(0)[0] + (every - 1) * self.step(1)[0]) / every


def side(name: str, filters: Callable, layout: torch.memory_format, batch: int, adversarial: bool) -> Side:
    chosen = preset("people-64")
    weights = replace(chosen.train.weights, adversarial=1.5 if adversarial else 0.0)
    config = replace(chosen.train, pairs=batch // 2, draw_ahead=1, adversarial_start=0, weights=weights, decay=0.0)
    torch.manual_seed(0)
    parser = PeopleParser().eval().requires_grad_(False)
    views = noise(torch.arange(batch // 2), torch.device("cpu"))
    trainer = Trainer(chosen.model, config, lambda index, device: views, parser, Accelerator(cpu=True))
    for network in (*trainer.models.values(), trainer.features):
        network.to(memory_format=layout)
    examples = views.both_directions()
    tensors = {key: value.contiguous(memory_format=layout) for key, value in vars(examples).items() if value.ndim == 4}
    examples = replace(examples, **tensors)
    trainer.examples = lambda: [examples]
    return Side(name, filters, layout, trainer)


def check(*sides: Side) -> None:
    """All sides make the same pictures, the same losses and, two steps later, still the same."""
    pictures = []
    for one in sides:
        (examples,) = one.trainer.examples()
        with one.filters(), torch.no_grad():
            pictures.append(one.trainer.generator(examples.reference, examples.pose).image)
    losses = [[one.step(number)[1] for number in (0, 1)] for one in sides]
    for picture, found in zip(pictures, losses):
        torch.testing.assert_close(picture, pictures[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found, losses[0], atol=1e-4, rtol=1e-3)


def matmul_gflops(size: int = 2048, runs: int = 4) -> float:
    """GFLOP/s of this machine's matrix product, the best of several: the ceiling."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times[1:]) / 1e9


class Flops(TorchDispatchMode):
    """Adds up the floating point operations of convolutions and products, R1's second derivatives among them."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        if function.overloadpacket in flop_registry:
            self.total += flop_registry[function.overloadpacket](*args, **kwargs or {}, out_val=result)
        return result


def flops(one: Side) -> float:
    """Floating point operations of a step, R1 spread as in `Side.seconds`."""
    counts = []
    for number in (0, 1):
        with Flops() as counter:
            one.step(number)
        counts.append(counter.total)
    every = one.trainer.config.r1_every
    return (counts[0] + (every - 1) * counts[1]) / every


def processor() -> str:
    """The processor's name, where the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def blur_alone(b: int = 8, channels: int = 64, runs: int = 20) -> float:
    """How many times faster the blur of `layers` is by itself, forward only."""
    image, kernel = torch.randn(b, channels, 64, 44), layers.blur_kernel()
    ways = (slow_blur, image), (layers.blur, image.contiguous(memory_format=torch.channels_last))
    times = ([], [])
    for _ in range(runs):
        for (function, argument), found in zip(ways, times):
            start = time.perf_counter()
            function(argument, kernel, (2, 2))
            found.append(time.perf_counter() - start)
    return statistics.median(times[0]) / statistics.median(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adversarial", action="store_true", help="with the discriminator, and R1 every 16th step")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--rounds", type=int, default=5, help="how many times the two sides take turns")
    parser.add_argument("--batch", type=int, default=8, help="images in a step, a multiple of 4")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    fast = side("package", nullcontext, torch.channels_last, args.batch, args.adversarial)
    slow = side("filters", slow_layers, torch.contiguous_format, args.batch, args.adversarial)
    literal = side("literal", literal_layers, torch.contiguous_format, args.batch, args.adversarial)
    check(fast, slow, literal)

    seconds, peaks = {"package": [], "filters": [], "literal": []}, []
    for _ in range(args.rounds):
        for one in (fast, slow, literal):
            seconds[one.name].append(one.seconds())
        peaks.append(matmul_gflops())
    work, peak = flops(fast), statistics.median(peaks)
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    ratios = {
        name: statistics.median(b / a for a, b in zip(seconds["package"], found)) for name, found in seconds.items()
    }

    kind = "adversarial step" if args.adversarial else "step"
    print(f"{kind} of people-64, batch {args.batch}; {processor()}, {args.threads} threads, torch {torch.__version__}")
    for name, value in middle.items():
        compared = f"   the package is {ratios[name]:.1f} x as fast" if name != "package" else ""
        print(f"{name:>10} {args.batch / value:7.1f} images/s{compared}")
    print(f"{'blur':>10} {blur_alone():7.1f} x as fast, alone")
    print(f"{'work':>10} {work / 1e9:7.1f} GFLOP a step: {work / 1e9 / middle['package']:.0f} GFLOP/s, "
          f"{work / 1e9 / middle['package'] / peak:.0%} of the {peak:.0f} of a matrix product")  # fmt: skip


if __name__ == "__main__":
    main()
