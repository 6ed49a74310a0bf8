"""Pictures per second of the puppet: what happens in Python between a move of the mouse and the picture that follows.

    python benchmarks/widgets.py [--threads 2] [--seconds 2]

`before` is the way that was replaced: tensors in the plain b c h w layout, and an enlarged PNG. The bound is the time
that the multiplications alone would take at the speed of a large matrix product on this machine. Times are the best of
many runs; with one thread they are CPU time, which other programs disturb little. The model of 128 rows has the
configuration of people-128, untrained unless it is shipped: speed does not depend on the weights.
"""

import argparse
import copy
import platform
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from nted_lite import NTED, preset
from nted_lite.images import picture, png
from nted_lite.people import SPLITS, pairs
from nted_lite.weights.hub import shipped
from nted_lite.widgets import Puppet

WANTED = {64: 15, 128: 8}
"""Pictures a second that make a drag feel alive, for each number of rows"""


def best_seconds(function: Callable, at_least: float) -> float:
    """The shortest of the runs that fit into `at_least` seconds, after two to warm up."""
    clock, times = time.process_time if torch.get_num_threads() == 1 else time.perf_counter, []
    for _ in range(2):
        function()
    while len(times) < 5 or sum(times) < at_least:
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def model_of(rows: int) -> NTED:
    """people-64 or people-128; if the latter is not there, an untrained model of its size."""
    if (shipped(f"people-{rows}") / "config.json").is_file():
        return NTED.from_pretrained(shipped(f"people-{rows}"))
    finer = {"channels": (64, 64, 48, 32), "textures": (16, 32, 16, 0), "kernels": (1, 3, 3, 3)}
    config = replace(preset("people-64").model, **finer, discriminator_channels=(64, 64, 64, 64, 48, 32))
    return NTED(config).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--seconds", type=float, default=2.0, help="for how long each side is measured")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    square = torch.randn(1024, 1024)
    speed = 2 * 1024**3 / best_seconds(lambda: square @ square, args.seconds)
    print(f"{platform.processor() or platform.machine()}, {args.threads} threads, torch {torch.__version__}")
    print(f"a matrix product of 1024: {speed / 1e9:.0f} GFLOP/s")
    for rows, wanted in WANTED.items():
        model, pair = model_of(rows), pairs(SPLITS["test"], torch.arange(1), rows)
        plain = copy.deepcopy(model)
        puppet = Puppet(model, pair.reference.image[0], pair.target.keypoints[0])
        keypoints = torch.tensor(puppet.keypoints)[None]

        @torch.no_grad()
        def before(model=plain, keypoints=keypoints, textures=puppet.textures) -> torch.Tensor:
            image = model.render(model.pose_map(keypoints), textures).image[0]
            png(picture(image, 6))
            return image

        torch.testing.assert_close(before(), puppet.generated, atol=1e-3, rtol=0)
        with torch.inference_mode():
            pose = model.pose_map(keypoints).contiguous(memory_format=torch.channels_last)
            with FlopCounterMode(display=False) as counter:
                model.render(pose, puppet.textures)
            parts = {
                "pose map": lambda model=model, keypoints=keypoints: model.pose_map(keypoints),
                "skeleton encoder": lambda model=model, pose=pose: model.skeleton_encoder(pose),
                "whole model": lambda model=model, pose=pose, puppet=puppet: model.render(pose, puppet.textures),
            }
            milliseconds = {name: 1e3 * best_seconds(part, args.seconds) for name, part in parts.items()}
        after, old = best_seconds(puppet.render, args.seconds), best_seconds(before, args.seconds)
        work = counter.get_total_flops()
        bound, whole = 1e3 * work / speed, milliseconds["whole model"]
        print(f"{rows} x {rows * 11 // 16}: {1 / after:6.1f} pictures/s; wanted: {wanted}; before: {1 / old:.1f}")
        print(f"    the package is {old / after:.1f} x as fast as before")
        print("    " + ", ".join(f"{name} {value:.1f} ms" for name, value in milliseconds.items()))
        print(f"    bound: {bound:.1f} ms for {work / 1e9:.2f} GFLOP, {bound / whole:.0%} of the model's time")


if __name__ == "__main__":
    main()
