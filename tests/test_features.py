"""VGG-19 equals torchvision's, its weights come from the right file or not at all, and it stays frozen."""

import hashlib
import shutil
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F

from nted_lite import features, parser_training
from nted_lite.features import VGG19, PeopleParser, feature_network, vgg19

STAGES = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28,))  # what torchvision calls the convolutions
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def begin_of_hash(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:8]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file like the published one, in its old format, with random numbers that keep the features' size."""
    state = VGG19().state_dict()
    for name, tensor in state.items():
        deviation = (2 / tensor[0].numel()) ** 0.5 if name.endswith("weight") else 0.1
        tensor.normal_(std=deviation, generator=torch.Generator().manual_seed(len(tensor)))
    state |= {"features.30.weight": torch.zeros(2), "classifier.0.weight": torch.zeros(3)}
    path = tmp_path_factory.mktemp("vgg") / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture
def trusted(file, monkeypatch):
    """The same file, taken for the published one."""
    monkeypatch.setattr(features, "VGG_SHA256", begin_of_hash(file))
    return file


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where torch hub keeps the file; nothing there, and no network."""

    def offline(url, path, prefix):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path / "torch/hub/checkpoints/vgg19-dcbb9e9d.pth"


def vgg_by_hand(state, image):
    mean, std = (torch.tensor(values, dtype=image.dtype)[:, None, None] for values in (MEAN, STD))
    image, found = ((image + 1) / 2 - mean) / std, []
    for stage in STAGES:
        if found:
            image = F.max_pool2d(image, 2)
        for number in stage:
            weight, bias = (state[f"features.{number}.{name}"].to(image.dtype) for name in ("weight", "bias"))
            image = F.conv2d(image, weight, bias, padding=1).clamp_min(0)
            if number == stage[0]:
                found.append(image)
    return found


# ---------------------------------------------------------------------------------------------------------- the network


def test_vgg_equals_its_layers_by_hand(trusted):
    """Values and gradients in float64, as near as the float32 mean and deviation of the pixels allow."""
    network, state = vgg19(trusted).double(), torch.load(trusted)
    image = torch.randn(2, 3, 32, 22, dtype=torch.double, requires_grad=True)
    ours, theirs = network(image), vgg_by_hand(state, image)
    assert all(0.1 < f.mean() < 10 for f in theirs)  # all five have something to compare
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    directions = [torch.randn_like(f) for f in theirs]
    ours, theirs = (torch.autograd.grad(found, image, directions)[0] for found in (ours, theirs))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_vgg_equals_torchvision(tmp_path, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    vgg = torchvision.models.vgg
    theirs = vgg.VGG(vgg.make_layers(vgg.cfgs["E"]), num_classes=2).eval()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    monkeypatch.setattr(features, "VGG_SHA256", begin_of_hash(tmp_path / "theirs.pth"))
    ours = vgg19(tmp_path / "theirs.pth").to(memory_format=torch.channels_last)
    published = torchvision.models.VGG19_Weights.IMAGENET1K_V1
    image = 2 * torch.rand(2, 3, 64, 44) - 1
    wanted, x = [], torchvision.transforms.functional.normalize(
        image / 2 + 0.5, published.transforms().mean, published.transforms().std
    )
    with torch.no_grad():
        for number, layer in enumerate(theirs.features[:30]):
            x = layer(x)
            if number in (1, 6, 11, 20, 29):
                wanted.append(x.clone())
        torch.testing.assert_close(ours(image), wanted)
    assert published.url == features.VGG_URL


@pytest.mark.parametrize("height, width", [(16, 16), (64, 64), (70, 33)])
def test_shapes(height, width):
    with torch.no_grad():
        shapes = [f.shape for f in VGG19()(torch.zeros(1, 3, height, width))]
    channels = (64, 128, 256, 512, 512)
    assert shapes == [(1, c, height >> n, width >> n) for n, c in enumerate(channels)]


def test_a_picture_too_small_for_vgg():
    with pytest.raises(ValueError, match="16 x 16 pixels, not 32 x 8"):
        VGG19()(torch.zeros(1, 3, 32, 8))


@pytest.mark.parametrize("name", ["people-parser", "vgg19"])
def test_feature_networks_are_frozen(name, trusted):
    network, image = feature_network(name, trusted), torch.randn(2, 3, 16, 16, requires_grad=True)
    assert not network.training
    sum(f.mean() for f in network(image)).backward()
    assert image.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert isinstance(network, PeopleParser if name == "people-parser" else VGG19)


# ---------------------------------------------------------------------------------------------------------- the weights


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_such_network():
    with pytest.raises(ValueError) as error:
        feature_network("vgg16")
    assert one_line(error) == "no feature network 'vgg16'; there are people-parser, vgg19"


def test_weights_in_the_cache_are_used(trusted, cache):
    cache.parent.mkdir(parents=True)
    shutil.copy(trusted, cache)
    torch.testing.assert_close(vgg19().state_dict(), vgg19(trusted).state_dict())


def test_weights_are_downloaded_into_the_cache_once(trusted, cache, monkeypatch):
    asked = []

    def download(url, path, prefix):
        asked.append((url, prefix))
        shutil.copy(trusted, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert isinstance(vgg19(), VGG19) and isinstance(vgg19(), VGG19)
    assert asked == [("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", begin_of_hash(trusted))]
    assert cache.is_file()


def test_no_weights_and_no_network(cache):
    with pytest.raises(ValueError) as error:
        feature_network("vgg19")
    line = one_line(error)
    assert line.startswith(f"VGG-19: {cache}: not there, and the download failed (<urlopen error no network>)")
    assert line.endswith(f"put {features.VGG_URL} there, or use the people parser: --features people-parser")


def test_a_path_without_weights_is_never_downloaded_to(cache, tmp_path):
    with pytest.raises(ValueError) as error:
        vgg19(tmp_path / "vgg.pth")
    said = f"VGG-19: {tmp_path / 'vgg.pth'}: no such file; it is published as {features.VGG_URL}"
    assert one_line(error).startswith(said)


def cut_off(file):
    return file.read_bytes()[:-1]


def one_bit_else(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


@pytest.mark.parametrize("damage", [cut_off, one_bit_else, lambda file: b""])
@pytest.mark.parametrize("place", ["cache", "given"])
def test_damaged_weights_are_not_opened(damage, place, trusted, cache, tmp_path, monkeypatch):
    found = cache if place == "cache" else tmp_path / "given.pth"
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_bytes(damage(trusted))
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("opened before it was checked"))
    with pytest.raises(ValueError) as error:
        vgg19(None if place == "cache" else found)
    begin, wanted = begin_of_hash(found), begin_of_hash(trusted)
    assert one_line(error).startswith(f"VGG-19: {found}: damaged, or another file: its sha256 begins with {begin}")
    assert f"not {wanted}; replace it by {features.VGG_URL}" in str(error.value)


def test_only_the_published_weights_will_do(file):
    with pytest.raises(ValueError, match="not dcbb9e9d"):
        vgg19(file)


class Code:
    """Runs when a careless reader opens the file."""

    def __reduce__(self):
        return pytest.fail, ("code of the file was run",)


def test_weights_run_no_code(tmp_path, monkeypatch):
    torch.save({"features.0.weight": Code()}, tmp_path / "code.pth")
    monkeypatch.setattr(features, "VGG_SHA256", begin_of_hash(tmp_path / "code.pth"))
    with pytest.raises(Exception, match="Weights only load failed"):
        vgg19(tmp_path / "code.pth")


# ------------------------------------------------------------------------------------------- the training of the parser


def test_parser_training_goes_on_where_it_stopped(monkeypatch, tmp_path):
    """Interrupted in its third step, it ends with the same bits as an undisturbed training."""
    monkeypatch.setattr(parser_training, "SIZES", ((32, 4), (48, 2)))
    whole = parser_training.train_parser(tmp_path / "whole", steps=4, save_every=2).state_dict()
    steps = []

    def interrupted(*arguments):
        steps.append(arguments)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return parser_loss(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        parser_loss = parser_training.parser_loss
        patch.setattr(parser_training, "parser_loss", interrupted)
        parser_training.train_parser(tmp_path / "run", steps=4, save_every=2)
    resumed = parser_training.train_parser(tmp_path / "run", steps=4, save_every=2).state_dict()
    assert len(steps) == 3 and all(torch.equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(ValueError, match="a training of 4 steps is there, not 5; use another folder"):
        parser_training.train_parser(tmp_path / "run", steps=5)
