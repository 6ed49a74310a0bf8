"""Pose maps per second: a batch in torch, compared with one person and one limb at a time in OpenCV.

    python benchmarks/pose.py [--people 64] [--threads 2]

Times are the best of several runs, each of which allocates new memory for its result, as in a training loop.
"""

import argparse
import math
import time
from functools import partial

import cv2
import numpy as np
import torch

from nted_lite.pose import COLOURS, LIMBS, pose_map

PERSON = (
    (89, 31), (90, 58), (61, 63), (40, 98), (43, 152), (113, 60), (124, 94), (124, 132), (75, 137),
    (76, 185), (68, 241), (107, 135), (105, 191), (122, 232), (81, 25), (95, 25), (72, 31), (103, 31),
)  # fmt: skip


def draw_with_opencv(keypoints: np.ndarray, height: int, width: int) -> np.ndarray:
    """The slow reference of `pose_map`: keypoints 18 2, -1 for missing  ->  20 height width, uint8, 0..255."""
    scale = min(1, height / 256)
    radius, step = max(1, int(4 * scale)), max(1, min(4, 256 // height))
    missing = (keypoints == -1).any(1)
    canvas, distances = np.zeros((height, width, 3), np.uint8), []
    for (x, y), colour, absent in zip(keypoints, COLOURS, missing):
        if not absent:
            cv2.circle(canvas, (int(x), int(y)), radius, colour, thickness=-1)
    for (a, b), colour in zip(LIMBS, COLOURS):
        outside = np.full((height, width), 255, np.uint8)
        if not (missing[a] or missing[b]):
            (x, y), (dx, dy) = keypoints[[a, b]].mean(0), keypoints[a] - keypoints[b]
            axes, angle = (int(math.hypot(dx, dy) / 2), radius), int(math.degrees(math.atan2(dy, dx)))
            polygon = cv2.ellipse2Poly((int(x), int(y)), axes, angle, 0, 360, step)
            painted = cv2.fillConvexPoly(canvas.copy(), polygon, colour)
            canvas = cv2.addWeighted(canvas, 0.4, painted, 0.6, 0)
            cv2.fillConvexPoly(outside, polygon, 0)
        if outside.all():
            distances.append(outside)
        else:
            distance = cv2.distanceTransform(outside, cv2.DIST_L1, 3)
            distances.append(np.floor(distance / (3 * scale)).clip(max=255).astype(np.uint8))
    return np.concatenate([canvas.transpose(2, 0, 1), distances])


def draw_batch_with_opencv(keypoints: np.ndarray, height: int, width: int) -> torch.Tensor:
    """What a data loader would do with it: b 18 2  ->  b 20 height width, float32, 0..1."""
    return torch.stack([torch.from_numpy(draw_with_opencv(one, height, width)) for one in keypoints]).div(255)


def best_seconds(function, at_least: float = 1.0) -> float:
    """The shortest of the runs that fit into `at_least` seconds, two or more, after one to warm up."""
    function()
    times = []
    while len(times) < 2 or sum(times) < at_least:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=64, help="people in a batch")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads, torch and OpenCV")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)

    noise = torch.randn(args.people, 18, 2, generator=torch.Generator().manual_seed(0))
    people = torch.tensor(PERSON) + 6 * noise
    print(f"{args.people} people, {args.threads} threads: maps/s")
    print(f"{'size':>9} {'torch':>8} {'OpenCV':>8} {'ratio':>6}")
    for height in (64, 128, 256):
        keypoints, width = people * (height / 256), height * 11 // 16
        batched = best_seconds(partial(pose_map, keypoints, height=height))
        slow = best_seconds(partial(draw_batch_with_opencv, keypoints.numpy(), height, width))
        row = f"{args.people / batched:8,.0f} {args.people / slow:8,.0f} {slow / batched:6.1f}"
        print(f"{f'{height} x {width}':>9} {row}")


if __name__ == "__main__":
    main()
