"""Training steps per second: depthwise filters on channels-last tensors, compared with one channel at a time.

    python benchmarks/step.py [--threads 2] [--rounds 12]

All sides run the same training step of `people-64` on the same numbers: forward, losses, backward, Adam, EMA, and after
`adversarial_start` also the discriminator, with R1 every 16th step. Both kinds of step are timed, and a whole training
run is their sum. `filters` blurs as in `reference.py`, on tensors in the plain b c h w layout; everything else is the
package's, so its ratio shows what filters and layout contribute. `literal` also spells out the convolutions that change
the size: zeros are inserted before, or three quarters discarded after. The sides take turns, so that a busy machine
slows down all of them.
"""

import argparse
import math
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
from nted_lite.data.examples import Views, both_directions
from nted_lite.features import PeopleParser
from nted_lite.training import Trainer

MODEL, TRAIN = preset("people-64").model, preset("people-64").train
PAYS = TRAIN.r1_every * math.ceil(TRAIN.adversarial_start / TRAIN.r1_every)  # the first step with R1
KINDS = {"plain": (PAYS - TRAIN.r1_every - 1,), "adversarial": (PAYS, PAYS + 1)}
"""Numbers of the steps that are timed: without the discriminator; with it and R1, and with it alone"""


def noise(index: Tensor, device: torch.device) -> Views:
    """Random pictures, because rendering people is not part of this measurement."""
    b, height, width = len(index), 64, 44
    keypoints = torch.rand(2, b, 18, 2) * torch.tensor([width, height])
    return Views(torch.rand(2, b, 3, height, width) * 2 - 1, keypoints, torch.zeros(2, b, height, width).long())


@dataclass
class Side:
    """One way to filter, and a Trainer that uses it."""

    name: str
    filters: Callable
    """context in which the layers filter this way"""
    trainer: Trainer

    def step(self, number: int) -> tuple[float, dict[str, Tensor]]:
        """Seconds and losses of a step as it is at this place of a training; R1 is due at multiples of 16."""
        self.trainer.step = number
        with self.filters():
            start = time.perf_counter()
            found = self.trainer.train_step()
            return time.perf_counter() - start, {name: value.item() for name, value in found.items()}

    def seconds(self, kind: str) -> float:
        """Mean seconds of a step, with the R1 penalty spread over the steps from one to the next."""
        self.step(KINDS[kind][-1])  # as in a training, the step before was one like it
        return spread([self.step(number)[0] for number in KINDS[kind]])


def spread(values: list[float]) -> float:
    """The mean of one step with the R1 penalty and all those without it; of a plain step, the value itself."""
    first, *others = values
    return (first + (TRAIN.r1_every - 1) * others[0]) / TRAIN.r1_every if others else first


def side(name: str, filters: Callable, layout: torch.memory_format, batch: int) -> Side:
    config = replace(TRAIN, pairs=batch // 2, draw_ahead=1)
    torch.manual_seed(0)
    parser = PeopleParser().eval().requires_grad_(False)
    index = torch.arange(batch // 2)
    views = noise(index, torch.device("cpu"))
    trainer = Trainer(MODEL, config, lambda index, device: views, parser, Accelerator(cpu=True))
    for network in (*trainer.models.values(), trainer.features):
        network.to(memory_format=layout)
    examples = both_directions(index, views, trainer.generator.pose_map).of_pairs()
    tensors = {key: value.contiguous(memory_format=layout) for key, value in vars(examples).items() if value.ndim == 4}
    examples = replace(examples, **tensors)
    trainer.examples = lambda: [examples]
    return Side(name, filters, trainer)


def check(*sides: Side) -> None:
    """Check that all sides compute the same images and losses, before and after a step of each kind."""
    pictures = []
    for one in sides:
        (examples,) = one.trainer.examples()
        with one.filters(), torch.no_grad():
            pictures.append(one.trainer.generator(examples.reference, examples.pose).image)
    losses = [[one.step(number)[1] for numbers in KINDS.values() for number in numbers] for one in sides]
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


def flops(one: Side, kind: str) -> float:
    """Floating point operations of a step, R1 spread as in `Side.seconds`."""
    counts = []
    for number in KINDS[kind]:
        with Flops() as counter:
            one.step(number)
        counts.append(counter.total)
    return spread(counts)


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
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--rounds", type=int, default=12, help="how many times the sides take turns")
    parser.add_argument("--batch", type=int, default=8, help="images in a step, a multiple of 4")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sides = [
        side("package", nullcontext, torch.channels_last, args.batch),
        side("filters", slow_layers, torch.contiguous_format, args.batch),
        side("literal", literal_layers, torch.contiguous_format, args.batch),
    ]
    check(*sides)

    found = {(kind, one.name): [] for kind in KINDS for one in sides}
    peaks = []
    for _ in range(args.rounds):
        for kind in KINDS:
            for one in sides:
                found[kind, one.name].append(one.seconds(kind))
        peaks.append(matmul_gflops())
    peak = statistics.median(peaks)

    print(f"step of people-64, batch {args.batch}; {processor()}, {args.threads} threads, torch {torch.__version__}")
    for kind in KINDS:
        seconds = statistics.median(found[kind, "package"])
        work = flops(sides[0], kind) / 1e9
        print(f"{kind}: {work:.1f} GFLOP at {work / seconds:.0f} GFLOP/s, "
              f"{work / seconds / peak:.0%} of the {peak:.0f} of a matrix product")  # fmt: skip
        report({one.name: found[kind, one.name] for one in sides}, args.batch)
    share = TRAIN.adversarial_start / TRAIN.steps
    print(f"the whole training, {share:.0%} of whose {TRAIN.steps:,} steps are plain")
    plain, adversarial = ([found[kind, one.name] for one in sides] for kind in KINDS)
    whole = [[share * p + (1 - share) * a for p, a in zip(*both)] for both in zip(plain, adversarial)]
    report({one.name: seconds for one, seconds in zip(sides, whole)}, args.batch)
    print(f"the blur alone, forward: {blur_alone():.1f} x as fast")


def report(seconds: dict[str, list[float]], batch: int) -> None:
    """A line for each side: images a second, and how many times faster the package is, both medians over the rounds."""
    for name, values in seconds.items():
        ratio = statistics.median(b / a for a, b in zip(seconds["package"], values))
        compared = f"   the package is {ratio:.1f} x as fast" if name != "package" else ""
        print(f"{name:>10} {batch / statistics.median(values):7.1f} images/s{compared}")


if __name__ == "__main__":
    main()
