"""DeepFashion on disk, as data_prep/deepfashion.py lays it out, and as published preparations do:

    ROOT/256-176/           LMDB environment: "img/NAME.png" -> the bytes of a PNG with 256 rows and 176 columns
    ROOT/pose/NAME.txt      18 lines `x y`, in the 256 x 256 frame; `-1 -1` is a missing joint
    ROOT/train_pairs.txt    one item a line: target,source[,source ...], each as img/NAME.jpg
    ROOT/test_pairs.txt

A picture's *name* is its path below img/ without ending, "WOMEN/Dresses/id_00000002/02_1_front". Lists and stores write
it in many ways; `picture_name` knows them, and everything else here speaks of names.
"""

import io
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from nted_lite import lists
from nted_lite.data.examples import Source, Views
from nted_lite.keypoints import read_keypoints, to_frame
from nted_lite.lists import Item, picture_name
from nted_lite.pose import MISSING

PREPARE = "python data_prep/deepfashion.py --images IMAGES --annotations ANNOTATIONS --out {root} --heights {height}"
LARGEST_SCALE = 1.1  # of the random zoom

_OPEN = WeakValueDictionary()  # (process, path) -> environment: LMDB lets a process open a path only once
_OPENING = threading.Lock()


class Sample(NamedTuple):
    """One pair, the source first and the target second."""

    images: Tensor  # 2 3 h w   uint8
    keypoints: Tensor  # 2 18 2  float32, pixels x y of the picture; (-1, -1) is missing


def read_pairs(path: str | Path) -> list[Item]:
    """The items of train_pairs.txt or test_pairs.txt, as names. Raises ValueError as `lists.read_pairs`."""
    items = (item for _, item in lists.read_pairs(path))
    return [Item(picture_name(target), tuple(map(picture_name, sources))) for target, sources in items]


def require_lmdb() -> ModuleType:
    """The optional library lmdb; ImportError says how to get it."""
    try:
        import lmdb
    except ImportError:
        raise ImportError('DeepFashion is kept in LMDB: pip install "nted-lite[deepfashion]"') from None
    return lmdb


class Store:
    """Pictures of one size, read by name from an LMDB environment by any number of threads and processes.

    path    folder of the environment, ROOT/256-176
    height  rows of every picture; its columns are height * 11 // 16

    Nothing is locked, so that a read-only disk will do: do not read while something else writes.
    Raises ValueError, in one line, if there is no readable environment at path.
    """

    def __init__(self, path: str | Path, height: int):
        self.path, self.height, self.width = Path(path), height, height * 11 // 16
        self._environment, self._process = None, None
        self._begin().abort()

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_environment": None, "_process": None}  # a spawned process opens its own

    def _begin(self):
        """A read transaction. LMDB's handles must not cross a fork: each process opens the environment for itself."""
        if self._process != os.getpid():
            with _OPENING:
                self._open()
        return self._environment.begin()

    def _open(self) -> None:
        if self._process == os.getpid():
            return  # another thread was first
        if self._environment is not None:
            self._environment.close()  # this process's copy of what its parent had opened
        lmdb, here = require_lmdb(), (os.getpid(), self.path.resolve())
        self._environment = _OPEN.get(here)
        if self._environment is None:
            try:
                self._environment = lmdb.open(str(self.path), readonly=True, create=False, lock=False, readahead=False)
            except lmdb.Error as error:
                raise ValueError(f"{self.path}: not a readable LMDB environment ({error})") from None
            _OPEN[here] = self._environment
        self._process = os.getpid()

    def names(self) -> set[str]:
        """The names of all pictures that the store holds."""
        with self._begin() as transaction:
            keys = [key.decode(errors="replace") for key in transaction.cursor().iternext(values=False)]
        return {picture_name(key) for key in keys if key != "length"}

    def image(self, path: str) -> np.ndarray:
        """One picture, by name or path. -> h w 3, uint8, RGB

        Raises ValueError naming store and key if it is absent, damaged, or not RGB of the store's size.
        """
        name = picture_name(path)
        with self._begin() as transaction:
            png = transaction.get(f"img/{name}.png".encode()) or transaction.get(f"{name}.png".encode())
        if png is None:
            raise ValueError(f"{self.path}: holds no picture {name}.png")
        try:
            picture = Image.open(io.BytesIO(png), formats=["PNG"])
            picture.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{self.path}: {name}.png is damaged ({error})") from None
        if picture.mode != "RGB" or picture.size != (self.width, self.height):
            found, wanted = f"{picture.mode} {picture.height} x {picture.width}", f"RGB {self.height} x {self.width}"
            raise ValueError(f"{self.path}: {name}.png is {found}, not {wanted}; prepare the store again")
        return np.array(picture)


@lru_cache(maxsize=4)
def shuffled(seed: int, epoch: int, items: int) -> np.ndarray:
    """The order of the items in an epoch: a permutation of 0 .. items - 1."""
    return np.random.default_rng([seed, 0, epoch]).permutation(items)


def zoom(picture: np.ndarray, keypoints: Tensor, chance: np.random.Generator) -> tuple[np.ndarray, Tensor]:
    """Enlarge by up to 10 % and crop back to size, at random: one affine map for the picture and its key points.

    picture    h w 3   uint8, RGB
    keypoints  18 2    pixels x y, integers are pixel centres; a missing joint stays missing
    returns    both, of the same shapes

    The crop begins between pixels, so bicubic resizing reads its window of the picture directly.
    """
    size = np.array(picture.shape[1::-1])
    scale, *start = chance.random(3)
    scale = 1 + (LARGEST_SCALE - 1) * scale
    start = start * (size - size / scale)
    window = (*start, *np.minimum(start + size / scale, size))
    enlarged = Image.fromarray(picture).resize(tuple(size.tolist()), Image.Resampling.BICUBIC, box=window)
    moved = (keypoints + 0.5 - torch.from_numpy(start)) * scale - 0.5
    missing = (keypoints == MISSING).any(-1, keepdim=True)
    return np.array(enlarged), torch.where(missing, MISSING, moved).to(keypoints.dtype)


class DeepFashion(Dataset):
    """Pairs of pictures of one person, with their key points.

    root     folder laid out as this module says
    height   rows of the pictures; their columns are height * 11 // 16
    split    "train": an endless stream, shuffled anew each epoch, one of an item's sources by chance each time;
             "test": every source of every item once, in the order of the list
    seed     of the stream
    augment  whether to `zoom` each picture; None: for training only

    `dataset.pair(number)` depends on seed and number alone: it is the same in any batch, thread or process. `len` is
    the number of pairs in an epoch. Raises ValueError, in one line, if something that the split needs is not there.
    """

    def __init__(
        self, root: str | Path, height: int = 256, split: str = "train", seed: int = 0, augment: bool | None = None
    ):
        if split not in ("train", "test"):
            raise ValueError(f"split must be train or test, not {split!r}")
        self.root, self.height, self.split, self.seed = Path(root), height, split, seed
        self.augment = split == "train" if augment is None else augment
        path, pairs = self.root / f"{height}-{height * 11 // 16}", self.root / f"{split}_pairs.txt"
        lacking = (
            "no such folder" if not self.root.is_dir()
            else f"no pictures of {height} rows, {path.name}/" if not path.is_dir()
            else f"no {pairs.name}, which is written last" if not pairs.is_file()
            else ""
        )  # fmt: skip
        if lacking:
            command = PREPARE.format(root=root, height=height)
            raise ValueError(f"{root}: {lacking}; prepare the data (data_prep/README.md): {command}")
        self.items = read_pairs(pairs)
        self.store = Store(path, height)
        self._check_files()
        if split == "test":
            self.items = [Item(target, (source,)) for target, sources in self.items for source in sources]

    def _check_files(self) -> None:
        """Quickly, before hours of training: is there a picture and a key point file for every name?"""
        names = {name for item in self.items for name in (item.target, *item.sources)}
        without_pose = {name for name in names if not self._pose_file(name).is_file()}
        listed = f"of the {len(names)} pictures of {self.root / self.split}_pairs.txt"
        _require_none(names - self.store.names(), f"{listed} are not in {self.store.path}")
        _require_none(without_pose, f"{listed} have no key point file in {self.root / 'pose'}")

    def _pose_file(self, name: str) -> Path:
        return self.root / "pose" / f"{name}.txt"

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Sample:
        return self.pair(number)

    def pair(self, number: int) -> Sample:
        """Pair `number`, 0, 1, 2 ...; a training set has no last one, beyond a test set's is an IndexError."""
        if number < 0 or (self.split == "test" and number >= len(self)):
            raise IndexError(f"no pair {number}: the {self.split} set has {len(self)} pairs an epoch")
        chance = np.random.default_rng([self.seed, 1, number])
        epoch, place = divmod(number, len(self))
        item = self.items[place if self.split == "test" else shuffled(self.seed, epoch, len(self))[place]]
        views = [self._view(name, chance) for name in (item.sources[chance.integers(len(item.sources))], item.target)]
        images, keypoints = zip(*views, strict=True)
        return Sample(torch.from_numpy(rearrange(list(images), "v h w c -> v c h w")), torch.stack(keypoints).float())

    def _view(self, name: str, chance: np.random.Generator) -> tuple[np.ndarray, Tensor]:
        picture = self.store.image(name)
        keypoints = to_frame(read_keypoints(self._pose_file(name)), self.height)
        return zoom(picture, keypoints, chance) if self.augment else (picture, keypoints)


def _require_none(names: Iterable[str], message: str) -> None:
    """ValueError with their number and the first few if there are any names."""
    names = sorted(names)
    if names:
        few = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        raise ValueError(f"{len(names)} {message}: {few}; data_prep/deepfashion.py lists all that is wrong")


def deepfashion_source(dataset: DeepFashion, threads: int = 8) -> Source:
    """Pairs of DeepFashion for the training loop: view 0 is the source, view 1 the target; parts are not known.

    Pictures are decoded by several threads (PIL lets them run side by side); pose maps are drawn on the device, all
    in one batch.
    """

    def load(index: Tensor, device: torch.device) -> Views:
        with ThreadPoolExecutor(threads) as pool:
            samples = list(pool.map(dataset.pair, index.tolist()))
        images = torch.stack([sample.images for sample in samples], dim=1).to(device).float() / 127.5 - 1
        keypoints = torch.stack([sample.keypoints for sample in samples], dim=1).to(device)
        return Views(
            images=images,
            keypoints=keypoints,
            parts=torch.zeros_like(images[:, :, 0], dtype=torch.long),
        )

    return load
