"""DeepFashion on disk: what was prepared is read back exactly, an epoch is an epoch, and broken files are named."""

import io
import os
import pickle
import shutil
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from nted_lite.data import deepfashion
from nted_lite.data.deepfashion import DeepFashion, Item, Store, deepfashion_source, read_pairs, shuffled, zoom
from nted_lite.keypoints import read_keypoints, to_frame
from nted_lite.people import SPLITS, render, sample_people, sample_poses

lmdb = pytest.importorskip("lmdb")
prep = pytest.importorskip("data_prep.deepfashion")
people = pytest.importorskip("data_prep.people")

HEIGHT, WIDTH = 64, 44
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """50 people as DeepFashion is downloaded: 40 to train on, 10 to test on, three pictures of each."""
    folder = tmp_path_factory.mktemp("raw")
    people.write_people(folder, train=40, test=10, height=96)
    return folder


@pytest.fixture(scope="session")
def root(raw, tmp_path_factory):
    """The same people, prepared."""
    folder = tmp_path_factory.mktemp("prepared")
    prep.prepare(raw / "img", raw, folder, heights=(HEIGHT,), threads=2)
    return folder


@pytest.fixture
def copy(root, tmp_path):
    """A prepared folder that a test may break."""
    return shutil.copytree(root, tmp_path / "copy")


def contents(path):
    """Every key and value of an LMDB environment; of a copy, as LMDB opens a path only once in a process."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(path / "data.mdb", folder)
        with lmdb.open(folder, readonly=True, lock=False) as environment, environment.begin() as transaction:
            return dict(transaction.cursor())


def png(mode="RGB", size=(WIDTH, HEIGHT)):
    data = io.BytesIO()
    Image.new(mode, size).save(data, "PNG")
    return data.getvalue()


def change_first(root, value):
    """Replace the first picture of a prepared folder's store, or delete it (None). -> its name"""
    with lmdb.open(str(root / "64-44"), map_size=2**26) as environment, environment.begin(write=True) as transaction:
        cursor = transaction.cursor()
        cursor.first()
        name = cursor.key()
        transaction.delete(name) if value is None else transaction.put(name, value)
    return deepfashion.picture_name(name.decode())


# --------------------------------------------------------------------------------------------------- what is written


def test_store_holds_every_picture_exactly(raw, root):
    files = sorted((raw / "img").rglob("*.jpg"))
    store = Store(root / "64-44", HEIGHT)
    assert len(files) == len(store.names()) == 150
    for file in files:
        with Image.open(file) as picture:
            assert picture.size == (65, 96), "as in the original, the shape is not quite 11:16"
            expected = np.array(picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        assert np.array_equal(store.image(file.relative_to(raw).as_posix()), expected)
    assert contents(root / "64-44")[b"length"] == b"00150"
    assert (root / "problems.txt").read_text() == ""
    for name in ("train_pairs.txt", "test_pairs.txt"):
        assert (root / name).read_bytes() == (raw / name).read_bytes()


@pytest.mark.parametrize("key", ["img/{0}.png", "{0}.png", "img/{0}.jpg", "WOMEN-{1}.png", "fashionWOMEN{2}.jpg"])
def test_store_of_another_writer_reads_the_same(raw, root, tmp_path, key):
    with lmdb.open(str(tmp_path), map_size=2**26) as environment, environment.begin(write=True) as transaction:
        files = sorted((raw / "img").rglob("*.jpg"))
        for file in files:
            buffer = io.BytesIO()
            Image.open(file).resize((44, 64), Image.BICUBIC).save(buffer, format="png")
            name = file.relative_to(raw / "img").with_suffix("").as_posix()
            _, kind, person, view = name.split("/")
            joined = f"{kind}{person}{view}".replace("id_", "id").replace("_view", "view")  # as by PATN
            written = key.format(name, f"{kind}-{person}-{view}", joined)
            transaction.put(written.encode("utf-8"), buffer.getvalue())
        transaction.put(b"length", str(len(files)).zfill(5).encode("utf-8"))
    ours, theirs = Store(root / "64-44", HEIGHT), Store(tmp_path, HEIGHT)
    assert ours.names() == theirs.names()
    assert all(np.array_equal(ours.image(name), theirs.image(f"img/{name}.jpg")) for name in ours.names())


def test_two_keys_of_one_name_are_refused(tmp_path):
    with lmdb.open(str(tmp_path), map_size=2**26) as environment, environment.begin(write=True) as transaction:
        for key in (b"length", b"length.png", b"a/1.png", b"img/a/1.png"):
            transaction.put(key, png())
    with pytest.raises(ValueError, match="the keys b'a/1.png' and b'img/a/1.png' have one name"):
        Store(tmp_path, HEIGHT)


def test_pairs_with_and_without_img(tmp_path):
    with_img, without = tmp_path / "a.txt", tmp_path / "b.txt"
    with_img.write_text("img/MEN/x/1.jpg,img/MEN/x/2.jpg\nimg/MEN/x/2.jpg, img/MEN/x/1.jpg,img/MEN/x/3.jpg\n")
    without.write_text(with_img.read_text().replace("img/", ""))
    expected = [Item("MEN/x/1", ("MEN/x/2",)), Item("MEN/x/2", ("MEN/x/1", "MEN/x/3"))]
    assert read_pairs(with_img) == read_pairs(without) == expected


def test_key_points_of_people_survive_the_published_frame(raw):
    index = torch.arange(4)
    view = render(sample_people(SPLITS["train"], index), sample_poses(SPLITS["train"], index, 1), 256)
    files = [raw / f"pose/WOMEN/Synthetic/id_{i:08d}/01_2_view.txt" for i in index]
    read = to_frame(torch.stack([read_keypoints(file) for file in files]), 256)
    both = view.visible & (read != -1).all(-1)
    assert both.float().mean() > 0.5
    assert (read - view.keypoints)[both].abs().max() < 0.06, "one decimal is kept"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("moment", ["resizing", "writing"])
def test_killed_preparation_goes_on(raw, root, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(prep, "BATCH", 16)
    resize, write, calls = prep.read_resized, prep._write, []

    def resize_or_die(*args, **kwargs):
        calls.append(1)
        return resize(*args, **kwargs) if len(calls) < 40 else os.kill(os.getpid(), signal.SIGKILL)

    def write_or_die(environment, entries):
        if environment.stat()["entries"] < 32:
            return write(environment, entries)
        with environment.begin(write=True) as transaction:
            transaction.put(b"img/half.png", b"never committed")
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            prep.read_resized = resize_or_die if moment == "resizing" else resize
            prep._write = write_or_die if moment == "writing" else write
            prep.prepare(raw / "img", raw, tmp_path, heights=(HEIGHT,), threads=2)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(contents(tmp_path / "64-44")) == 32, "whole batches, and no length"
    with pytest.raises(ValueError, match="no train_pairs.txt, which is written last; prepare the data"):
        DeepFashion(tmp_path, HEIGHT)
    prep.prepare(raw / "img", raw, tmp_path, heights=(HEIGHT,), threads=2)
    assert contents(tmp_path / "64-44") == contents(root / "64-44")


def test_prepared_again_nothing_is_read(raw, copy, monkeypatch):
    monkeypatch.setattr(prep, "read_resized", lambda *args, **kwargs: "read again")
    before = contents(copy / "64-44")
    prep.prepare(raw / "img", raw, copy, heights=(HEIGHT,))
    assert contents(copy / "64-44") == before
    assert (copy / "problems.txt").read_text() == ""


def test_store_grows(raw, root, tmp_path, monkeypatch):
    monkeypatch.setattr(prep, "SMALLEST_MAP", 2**16)
    files = {deepfashion.picture_name(f.relative_to(raw).as_posix()): f for f in (raw / "img").rglob("*.jpg")}
    problems = []
    assert prep.fill(tmp_path / "64-44", files, HEIGHT, False, 1, problems) == files.keys() and not problems
    assert contents(tmp_path / "64-44") == contents(root / "64-44")


# ------------------------------------------------------------------------------------------------------ what is read


def test_source_agrees_with_single_pairs(root):
    dataset, numbers = DeepFashion(root, HEIGHT, seed=3), torch.tensor([5, 0, 131])
    views = deepfashion_source(dataset, threads=3)(numbers, CPU)
    assert views.images.shape == (2, 3, 3, HEIGHT, WIDTH) and not views.parts.any()
    assert views.parts.shape == (2, 3, HEIGHT, WIDTH)
    for place, number in enumerate(numbers.tolist()):
        sample = dataset.pair(number)
        assert torch.equal(views.images[:, place], sample.images / 127.5 - 1)
        assert torch.equal(views.keypoints[:, place], sample.keypoints)


def test_picture_and_key_points_are_zoomed_alike():
    chance, corner = np.random.default_rng(0), set()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(40):
        joint = chance.uniform((8, 8), (WIDTH - 8, HEIGHT - 8))
        dot = 255 * np.exp(-((x - joint[0]) ** 2 + (y - joint[1]) ** 2) / 8)
        keypoints = torch.full((18, 2), -1.0)
        keypoints[4] = torch.tensor(joint)
        picture = np.repeat(dot.round().astype(np.uint8)[..., None], 3, axis=2)
        zoomed, moved = zoom(picture, keypoints, np.random.default_rng(number))
        weight = zoomed[..., 0] / zoomed[..., 0].sum()
        assert np.abs(moved[4].numpy() - [(weight * x).sum(), (weight * y).sum()]).max() < 0.05
        assert (moved[[0, 17]] == -1).all()
        corner.add(tuple((moved[4] - keypoints[4]).sign().tolist()))
    assert len(corner) == 4, "points move to all sides"


def test_zoom_enlarges_by_up_to_a_tenth_and_shows_no_border():
    points = torch.tensor([[10.0, 10.0], [20.0, 40.0]])
    scales = []
    for number in range(200):
        zoomed, moved = zoom(np.full((HEIGHT, WIDTH, 3), 77, np.uint8), points, np.random.default_rng(number))
        scales.append(((moved[1] - moved[0]) / (points[1] - points[0])).tolist())
        assert (zoomed == 77).all() and zoomed.shape == (HEIGHT, WIDTH, 3)
        window = (torch.tensor([[-0.5, -0.5], [WIDTH - 0.5, HEIGHT - 0.5]]) - moved[0]) / scales[-1][0] + points[0]
        assert (window[0] > -0.501).all() and (window[1] < torch.tensor([WIDTH - 0.499, HEIGHT - 0.499])).all()
    assert np.allclose(*np.transpose(scales), atol=1e-5), "both axes alike"
    assert 1 <= np.min(scales) < 1.01 and 1.09 < np.max(scales) <= 1.1


def targets(dataset, numbers):
    """Which pictures are the targets of these pairs, told from the pictures."""
    names = {dataset.store.image(name).tobytes(): name for name in dataset.store.names()}
    pictures = [dataset.pair(number).images[1] for number in numbers]
    return [names[picture.numpy().transpose(1, 2, 0).tobytes()] for picture in pictures]


def test_every_item_once_an_epoch_also_over_processes(root):
    dataset = DeepFashion(root, HEIGHT, augment=False)
    once = sorted(item.target for item in dataset.items)
    assert len(dataset) == len(once) == 120
    epochs = [targets(dataset, range(start, start + 120)) for start in (0, 120)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == once
    assert epochs[0] != epochs[1] and epochs[0] != once
    divided = [targets(dataset, range(rank, 120, 2)) for rank in (0, 1)]
    assert sorted(divided[0] + divided[1]) == once
    assert not np.array_equal(shuffled(0, 0, 120), shuffled(1, 0, 120))


def test_sources_are_chosen_among_the_line(root):
    dataset = DeepFashion(root, HEIGHT, augment=False)
    by_picture = {dataset.store.image(name).tobytes(): name for name in dataset.store.names()}
    numbers = [epoch * 120 + int(np.flatnonzero(shuffled(0, epoch, 120) == 7)[0]) for epoch in range(12)]
    pictures = [dataset.pair(number).images[0].numpy().transpose(1, 2, 0) for number in numbers]
    assert {by_picture[picture.tobytes()] for picture in pictures} == set(dataset.items[7].sources)


def test_test_split_is_every_pair_in_order(root):
    dataset = DeepFashion(root, HEIGHT, "test")
    lines = read_pairs(root / "test_pairs.txt")
    assert len(dataset) == 60 and dataset.items[:2] == [Item(lines[0].target, (s,)) for s in lines[0].sources]
    for number in (0, 1, 59):
        target, (source,) = dataset.items[number]
        sample = dataset.pair(number)
        for name, image, keypoints in zip((source, target), sample.images, sample.keypoints, strict=True):
            assert np.array_equal(image.numpy().transpose(1, 2, 0), dataset.store.image(name))
            assert torch.equal(keypoints, to_frame(read_keypoints(root / f"pose/{name}.txt"), HEIGHT).float())
    for number in (60, -1):
        with pytest.raises(IndexError, match="the test set has 60 pairs"):
            dataset.pair(number)


def test_pairs_are_the_same_in_threads_processes_and_copies(root):
    dataset, numbers = DeepFashion(root, HEIGHT), range(24)
    expected = [dataset.pair(number) for number in numbers]
    with ThreadPoolExecutor(8) as pool:
        fresh = pickle.loads(pickle.dumps(dataset))
        ways = [list(pool.map(fresh.pair, numbers)), [DeepFashion(root, HEIGHT).pair(n) for n in numbers]]
    ways.append(list(DataLoader(dataset, None, sampler=numbers, num_workers=2 * hasattr(os, "fork"))))
    for way in ways:
        assert all(torch.equal(a, b) for one, two in zip(way, expected, strict=True) for a, b in zip(one, two))
    other = DeepFashion(root, HEIGHT, seed=1).pair(0)
    assert not torch.equal(other.images, expected[0].images)


# ----------------------------------------------------------------------------------------------- what cannot be written


def test_out_must_be_a_folder(raw, tmp_path):
    with pytest.raises(OSError, match="train.lst"):
        prep.prepare(raw / "img", raw, raw / "train.lst/below", heights=(HEIGHT,))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_to_write(raw, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="ermission denied"):
        prep.prepare(raw / "img", raw, tmp_path / "out", heights=(HEIGHT,))


def test_store_that_cannot_be_written(raw, tmp_path):
    (tmp_path / "64-44").mkdir()
    (tmp_path / "64-44/data.mdb").write_bytes(b"not LMDB" * 2000)
    with pytest.raises(OSError, match="64-44: cannot be written"):
        prep.prepare(raw / "img", raw, tmp_path, heights=(HEIGHT,))


# ------------------------------------------------------------------------------------------------------ broken stores


def lose_picture(root):
    change_first(root, None)


def lose_lists(root):
    (root / "train_pairs.txt").unlink()


def lose_pose(root):
    (root / "pose/WOMEN/Synthetic/id_00000000/01_1_view.txt").unlink()


def empty_list(root):
    (root / "train_pairs.txt").write_text("")


def bad_line(root):
    with (root / "train_pairs.txt").open("a") as file:
        file.write("img/alone.jpg\n")


def many_absent(root):
    (root / "train_pairs.txt").write_text("".join(f"img/a{i}.jpg,img/b{i}.jpg\n" for i in range(9)))


def garbage(root):
    (root / "64-44/data.mdb").write_bytes(b"not LMDB" * 2000)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (shutil.rmtree, "copy: no such folder; prepare the data .*: python data_prep/deepfashion.py .* --heights 64"),
        (lambda root: shutil.rmtree(root / "64-44"), "no pictures of 64 rows, 64-44/; prepare the data .*--heights 64"),
        (lambda root: (root / "64-44/data.mdb").unlink(), "64-44: not a readable LMDB environment"),
        (garbage, "64-44: not a readable LMDB environment"),
        (lose_lists, "copy: no train_pairs.txt, which is written last; prepare the data .*--heights 64"),
        (empty_list, "train_pairs.txt: the list of pairs is empty"),
        (bad_line, "train_pairs.txt, line 121: 'alone.jpg' is one path"),
        (lose_picture, "1 of the 120 pictures of .*train_pairs.txt are not in .*64-44: WOMEN/Synthetic/id_0"),
        (many_absent, "18 of the 18 pictures .* are not in .*: a0, a1, a2 ...;"),
        (lose_pose, "1 of the 120 pictures of .* have no key point file in .*pose: WOMEN/Synthetic/id_0"),
    ],
)
def test_opening_names_what_is_missing(copy, spoil, message):
    spoil(copy)
    with pytest.raises(ValueError, match=message) as error:
        DeepFashion(copy, HEIGHT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("height", [0, -64, 8])
def test_heights_are_multiples_of_16(raw, root, tmp_path, height):
    for use in (
        lambda: DeepFashion(root, height), lambda: prep.prepare(raw / "img", raw, tmp_path / "out", heights=(height,)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="height must be a positive multiple of 16"):
            use()


def test_unknown_split(root):
    with pytest.raises(ValueError, match="split must be train or test, not 'valid'"):
        DeepFashion(root, HEIGHT, "valid")


@pytest.mark.parametrize(
    "value, message",
    [
        (None, "holds no picture"),
        (png(size=(WIDTH, HEIGHT + 1)), "is RGB 65 x 44, not RGB 64 x 44"),
        (png(mode="L"), "is L 64 x 44, not RGB 64 x 44"),
        (png()[:60], "is damaged"),
        (b"not a PNG", "is damaged"),
    ],
)
def test_broken_pictures_of_a_store_are_named(copy, value, message):
    name = change_first(copy, value)
    with pytest.raises(ValueError, match=message) as error:
        Store(copy / "64-44", HEIGHT).image(name)
    assert f"{name}.png" in str(error.value) and "64-44" in str(error.value)


def test_lmdb_is_optional(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ImportError, match=r'pip install "nted-lite\[deepfashion\]"'):
        Store(root / "64-44", HEIGHT)
