"""A small training that dies ten times: `python crash.py OUT` prints the steps at which it was killed.

Run as a program of its own, because it forks: a fork after torch has started its threads may hang.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from accelerate import Accelerator
from torch import nn

from nted_lite import checkpoint
from nted_lite.config import LossWeights, ModelConfig, TrainConfig
from nted_lite.data.people import people_source
from nted_lite.training import Trainer, train

MODEL = ModelConfig(channels=(8, 8), textures=(4, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))
CONFIG = TrainConfig(
    steps=40, pairs=2, draw_ahead=4, weights=LossWeights(adversarial=1.0), adversarial_start=3, r1_every=4,
    texture_dropout=0.5, texture_dropout_steps=20, checkpoint_every=2, log_every=5, sample_every=10,
)  # fmt: skip
KILLS = 10


class Pixels(nn.Module):
    def forward(self, image):
        return [image, nn.functional.avg_pool2d(image, 2)]


def run(out: Path) -> None:
    """Train, or go on where the last attempt stopped."""
    people = people_source(32)
    trainer = Trainer(MODEL, CONFIG, people, Pixels(), Accelerator(cpu=True))
    if (out / "state.safetensors").exists():
        trainer.load(out)
    train(trainer, out, people)


def start(out: Path, slow_disk: bool) -> int:
    """A child process that trains; with a slow disk, there is time to die between writing and renaming."""
    child = os.fork()
    if child:
        return child
    os.environ["TQDM_DISABLE"] = "1"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if slow_disk:
        in_place = checkpoint.put_in_place
        checkpoint.put_in_place = lambda aside, path: (time.sleep(0.1), in_place(aside, path))
    try:
        run(out)
        code = 0
    except BaseException as error:
        print(error, flush=True)
        code = 1
    os._exit(code)


def kill(out: Path, number: int, chance: random.Random) -> str:
    """Kill a training at a random moment, every second time while it writes a checkpoint. -> what was seen"""
    writing = number % 2 == 0
    child, aside = start(out, slow_disk=writing), out / "state.safetensors.new"
    first = aside.stat().st_mtime_ns if aside.exists() else 0
    begun, wait = time.monotonic(), chance.uniform(0.3, 1.5)
    while time.monotonic() - begun < (60 if writing else wait):
        if writing and aside.exists() and aside.stat().st_mtime_ns != first and chance.random() < 0.5:
            break
        time.sleep(0.005)
        if os.waitpid(child, os.WNOHANG)[0]:
            return "finished"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "writing" if aside.exists() and aside.stat().st_mtime_ns != first else "working"


if __name__ == "__main__":
    out = Path(sys.argv[1])
    chance = random.Random(0)
    print("killed while", *[kill(out, number, chance) for number in range(KILLS)])
    last = start(out, slow_disk=False)
    print("last attempt ended with", os.waitstatus_to_exitcode(os.waitpid(last, 0)[1]))
