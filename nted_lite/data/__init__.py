"""Training data: the interface (`examples`), synthetic people, DeepFashion. Add a new data set here."""

from pathlib import Path

from nted_lite.data.examples import Source
from nted_lite.data.people import people_source
from nted_lite.people import SPLITS


def sources(data: Path | None, height: int, seed: int) -> tuple[Source, Source]:
    """The source of the training pairs, and the source of held-out pairs for the sample grids.

    data    folder with prepared DeepFashion; None: synthetic people
    height  rows of the pictures
    seed    seed of the order of DeepFashion's pairs
    """
    if data is None:
        return people_source(height), people_source(height, SPLITS["validation"])

    from nted_lite.data.deepfashion import DeepFashion, deepfashion_source  # needs lmdb, an extra

    held_out = DeepFashion(data, height, "test")
    preview = deepfashion_source(held_out)
    train = deepfashion_source(DeepFashion(data, height, "train", seed))
    return train, lambda index, device: preview(index % len(held_out), device)
