"""Synthetic people: an endless data set of dressed figures with full ground truth."""

from nted_lite.people.body import Poses, sample_poses
from nted_lite.people.dataset import SPLITS, Pair, pairs
from nted_lite.people.motion import through, turn, walk
from nted_lite.people.paint import PARTS
from nted_lite.people.render import View, render
from nted_lite.people.wardrobe import ITEMS, People, sample_people, swap

__all__ = [
    "ITEMS", "PARTS", "SPLITS", "Pair", "People", "Poses", "View",
    "pairs", "render", "sample_people", "sample_poses", "swap", "through", "turn", "walk",
]  # fmt: skip
