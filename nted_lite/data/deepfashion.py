"""DeepFashion on disk, as prepared by data_prep/deepfashion.py or by published preparations:

    ROOT/256-176/           LMDB environment: "img/NAME.png" -> the bytes of a PNG with 256 rows and 176 columns
    ROOT/pose/NAME.txt      18 lines `x y`, in the 256 x 256 frame; `-1 -1` is a missing joint
    ROOT/train_pairs.txt    one item per line: target,source[,source ...], each as img/NAME.jpg
    ROOT/test_pairs.txt

A picture's *name* is its path below img/ without the ending, "WOMEN/Dresses/id_00000002/02_1_front". Lists and stores
write it in many ways; `picture_name` understands them all, and everything else here uses names.
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

_OPEN = WeakValueDictionary()  # (process, path) -> environment, because a process may open an LMDB path only once
_OPENING = threading.Lock()


class Sample(NamedTuple):
    """One pair, the source first and the target second."""

    images: Tensor  # 2 3 h w   uint8
    keypoints: Tensor  # 2 18 2  float32, pixels x y of the picture; (-1, -1) is missing


def read_pairs(path: str | Path) -> list[Item]:
    """The items of train_pairs.txt or test_pairs.txt, as names. Raises ValueError like `lists.read_pairs`."""
    items = (item for _, item in lists.read_pairs(path))
    return [Item(picture_name(target), tuple(map(picture_name, sources))) for target, sources in items]


def require_lmdb() -> ModuleType:
    """The optional library lmdb. Raises ImportError that says how to install it."""
    try:
        import lmdb
    except ImportError:
        raise ImportError('DeepFashion is stored in LMDB: pip install "nted-lite[deepfashion]"') from None
    return lmdb


def columns(height: int) -> int:
    """How many columns a picture of so many rows has, at 11:16. Raises ValueError unless height is a multiple of 16."""
    if height < 16 or height % 16:
        raise ValueError(f"height must be a positive multiple of 16, not {height}")
    return height * 11 // 16


class Store:
    """Pictures of one size in an LMDB environment, read by name from any number of threads and processes.

    path    folder of the environment, ROOT/256-176
    height  rows of every picture; there are height * 11 // 16 columns

    It takes no lock, so it works on a read-only disk, but must not be read while something else writes to it.
    Raises ValueError, in one line, if there is no readable environment at path, or if two keys have one name.
    """

    def __init__(self, path: str | Path, height: int):
        self.path, self.height, self.width = Path(path), height, columns(height)
        self._environment, self._process = None, None
        self._keys: dict[str, bytes] = {}  # by name
        with self._begin() as transaction:
            for key in (key for key in transaction.cursor().iternext(values=False) if key != b"length"):
                other = self._keys.setdefault(picture_name(key.decode(errors="replace")), key)
                if other != key:
                    raise ValueError(f"{path}: the keys {other} and {key} have one name; remove one of them")

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_environment": None, "_process": None}  # a spawned process opens its own

    def _begin(self):
        """A read transaction. LMDB's handles must not cross a fork, so each process opens its own environment."""
        if self._process != os.getpid():
            with _OPENING:
                self._open()
        return self._environment.begin()

    def _open(self) -> None:
        if self._process == os.getpid():
            return  # another thread was first
        if self._environment is not None:
            self._environment.close()  # this process's copy of its parent's environment
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
        """The names of all pictures in the store."""
        return set(self._keys)

    def image(self, path: str) -> np.ndarray:
        """One picture, by name or path. -> h w 3, uint8, RGB

        Raises ValueError that names store and picture if it is missing, damaged, or not RGB of the store's size.
        """
        name = picture_name(path)
        if name not in self._keys:
            raise ValueError(f"{self.path}: holds no picture {name}.png")
        with self._begin() as transaction:
            png = transaction.get(self._keys[name])
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
    """Enlarge by a random factor of up to 1.1 and crop back to size: one affine map for the picture and its key points.

    picture    h w 3   uint8, RGB
    keypoints  18 2    pixels x y, integers are pixel centres; a missing joint stays missing
    returns    both, of the same shapes

    The crop may begin between pixels, so it is not cut out first: bicubic resizing reads its window directly.
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

    root     folder with the layout above
    height   rows of the pictures; there are height * 11 // 16 columns
    split    "train": an endless stream, reshuffled every epoch, with a random source of each item;
             "test": every source of every item once, in the order of the list
    seed     seed of the stream
    augment  whether to `zoom` each picture; None: for training only

    `dataset.pair(number)` depends only on seed and number: it is the same in any batch, thread or process. `len` is
    the number of pairs in an epoch. Raises ValueError, in one line, if something that the split needs is missing.
    """

    def __init__(
        self, root: str | Path, height: int = 256, split: str = "train", seed: int = 0, augment: bool | None = None
    ):
        if split not in ("train", "test"):
            raise ValueError(f"split must be train or test, not {split!r}")
        self.root, self.height, self.split, self.seed = Path(root), height, split, seed
        self.augment = split == "train" if augment is None else augment
        path, pairs = self.root / f"{height}-{columns(height)}", self.root / f"{split}_pairs.txt"
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
        """Check quickly, before hours of training, that every name has a picture and a key point file."""
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
        """Pair `number`, 0, 1, 2 ... A training set is endless; past the end of a test set, IndexError is raised."""
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
    """Raise ValueError with the number of names and the first few, if there are any."""
    names = sorted(names)
    if names:
        few = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        raise ValueError(f"{len(names)} {message}: {few}; data_prep/deepfashion.py lists all problems")


def deepfashion_source(dataset: DeepFashion, threads: int = 8) -> Source:
    """Pairs of DeepFashion for the training loop: view 0 is the source, view 1 the target; parts are unknown.

    Several threads decode the pictures, which Pillow can do in parallel; pose maps are drawn later on the device, all
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
