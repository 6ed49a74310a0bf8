"""Write synthetic people as files, in the layout of the DeepFashion download, to try all steps without the real data.

    python data_prep/people.py --out data/raw
    python data_prep/deepfashion.py --images data/raw/img --annotations data/raw --out data/people
"""

import sys
from pathlib import Path

import torch
import tyro
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from nted_lite.images import picture
from nted_lite.people import SPLITS, View, render, sample_people, sample_poses

VIEWS = 3  # pictures of each person
TOGETHER = 8  # people rendered at a time
SHAPE = 750 / 1101  # of the high-resolution pictures: not quite 11 / 16, so that preparing must resize


def write_people(out: Path, train: int = 200, test: int = 50, height: int = 352) -> None:
    """Render people in three poses each, and write pictures, key points and lists of pairs.

    Args:
        out: folder to write to: img/, pose/, train_pairs.txt, test_pairs.txt, train.lst and test.lst
        train: number of people to train on
        test: number of other people to test on
        height: rows of the pictures, a multiple of 16
    """
    for file in out.glob("*_pairs.txt"):
        if file.stat().st_size and b"/Synthetic/" not in file.read_bytes():
            raise ValueError(f"{file}: your own list would be overwritten; choose another folder for --out")
    for split, people, first in (("train", train, 0), ("test", test, train)):
        persons = []
        for start in tqdm(range(0, people, TOGETHER), desc=split, unit=f"{TOGETHER} people", disable=None):
            index = torch.arange(start, min(people, start + TOGETHER))
            names = [[f"WOMEN/Synthetic/id_{first + i:08d}/01_{v + 1}_view" for v in range(VIEWS)] for i in index]
            for number, of_view in enumerate(zip(*names, strict=True)):
                poses = sample_poses(SPLITS[split], index, number)
                write_views(out, of_view, render(sample_people(SPLITS[split], index), poses, height))
            persons += names
        paths = [[f"img/{name}.jpg" for name in person] for person in persons]
        pairs = [",".join([target, *(s for s in person if s != target)]) for person in paths for target in person]
        (out / f"{split}_pairs.txt").write_text("".join(f"{line}\n" for line in pairs))
        (out / f"{split}.lst").write_text("".join(f"{path}\n" for person in paths for path in person))


def write_views(out: Path, names: tuple[str, ...], views: View) -> None:
    """Write the pictures as JPEG and their key points as text, one of each per name."""
    height, width = views.image.shape[2:]
    keypoints = published_frame(views.keypoints, views.visible, height, width)
    for name, person, joints in zip(names, views.image, keypoints.tolist(), strict=True):
        image, pose = out / "img" / f"{name}.jpg", out / "pose" / f"{name}.txt"
        for path in (image, pose):
            path.parent.mkdir(parents=True, exist_ok=True)
        shaped = Image.fromarray(picture(person)).resize((round(height * SHAPE), height), Image.Resampling.BICUBIC)
        shaped.save(image, quality=95)
        pose.write_text("".join(f"{x:.1f} {y:.1f}\n" for x, y in joints))


def published_frame(keypoints: Tensor, visible: Tensor, height: int, width: int) -> Tensor:
    """From pixels of a height x width picture to the 256 x 256 frame of the published files; b 18 2 -> b 18 2."""
    scale = keypoints.new_tensor([176 / width, 256 / height])
    framed = (keypoints + 0.5) * scale - 0.5 + keypoints.new_tensor([40, 0])
    return torch.where(visible[..., None], framed, -1)


def main() -> None:
    """Run from the command line; bad input ends with one clear line."""
    try:
        tyro.cli(write_people)
    except (ValueError, OSError) as error:
        sys.exit(f"data_prep/people.py: {error}")


if __name__ == "__main__":
    main()
