"""What a training sees: the contract (`examples`), synthetic people, DeepFashion. A new data set is added here."""

from pathlib import Path

from nted_lite.data.examples import Source
from nted_lite.data.people import people_source
from nted_lite.people import SPLITS


def sources(data: Path | None, height: int, seed: int) -> tuple[Source, Source]:
    """What is trained on, and what the sample grids show: held-out pairs.

    data    folder of a prepared DeepFashion; None: synthetic people
    height  rows of the pictures
    seed    of the order in which DeepFashion's pairs come
    """
    if data is None:
        return people_source(height), people_source(height, SPLITS["validation"])

    from nted_lite.data.deepfashion import DeepFashion, deepfashion_source  # needs lmdb, an extra

    held_out = DeepFashion(data, height, "test")
    preview = deepfashion_source(held_out)
    train = deepfashion_source(DeepFashion(data, height, "train", seed))
    return train, lambda index, device: preview(index % len(held_out), device)
