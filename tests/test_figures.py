"""The moving hero: small enough for a page, closed, and the same on every run."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from figures.make import HERE, moving_hero


def test_two_runs_write_the_same_film(tmp_path):
    for name in ("a.webp", "b.webp"):
        moving_hero(tmp_path / name, count=3)
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()


def test_the_committed_film_is_small_and_its_last_frame_leads_to_the_first():
    path = Path(HERE) / "hero.webp"
    assert path.stat().st_size < 3 * 2**20
    with Image.open(path) as film:
        frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(film)]
    steps = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:])]
    assert len(frames) == 64 and np.abs(frames[-1] - frames[0]).mean() < 1.5 * max(steps)
