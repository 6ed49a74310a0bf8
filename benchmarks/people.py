"""How fast are synthetic people? Compares rendering them one by one and in a batch.

    python benchmarks/people.py [--device cuda] [--people 128] [--repeats 7]

Times include sampling the people and their poses. The best of the repeats counts, because other work on the machine can
only make a run slower.
"""

import argparse
import time
from collections.abc import Callable

import torch

from nted_lite.people import render, sample_people, sample_poses


def draw(index: torch.Tensor, height: int, supersample: int = 2) -> torch.Tensor:
    return render(sample_people(1, index), sample_poses(1, index, 0), height, supersample).image


def best(function: Callable[[], object], repeats: int, device: str) -> float:
    """Seconds of the fastest run, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--people", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    index = torch.arange(args.people, device=args.device)

    def clock(function: Callable[[], object]) -> float:
        return best(function, args.repeats, args.device)

    few = index[:16]
    single = clock(lambda: [draw(few[i : i + 1], 64) for i in range(len(few))]) / len(few) * args.people
    batch = clock(lambda: draw(index, 64))
    plain = clock(lambda: draw(index, 64, supersample=1))
    print(f"{args.people} people, 64 x 44, 2 x 2 rays a pixel, {args.device}, {args.threads} threads")
    print(f"one by one       {single:8.3f} s  {args.people / single:8.0f} images/s  (from {len(few)} people)")
    print(f"in one batch     {batch:8.3f} s  {args.people / batch:8.0f} images/s  {single / batch:5.1f} x as fast")
    print(f"one ray a pixel  {plain:8.3f} s  {args.people / plain:8.0f} images/s  {batch / plain:5.1f} x as fast again")
    for height in (128, 256):
        some = index[: max(1, args.people // (height // 64) ** 2)]
        seconds = clock(lambda: draw(some, height))  # noqa: B023
        speed = f"{len(some) / seconds:8.0f} images/s  (of {len(some)} people)"
        print(f"{height:3d} x {height * 11 // 16:3d}        {seconds:8.3f} s  {speed}")


if __name__ == "__main__":
    main()
