"""The protocol on photographs: pictures are read and matched as it says, libraries get what they expect, truth wins."""

import hashlib
import json
import math
import sys
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image

from nted_lite import NTED, cli, preset
from nted_lite.data.deepfashion import DeepFashion
from nted_lite.evaluation import measures, photos
from nted_lite.evaluation.files import find_made, match_pictures, published_name, read_picture, read_picture_pairs
from nted_lite.evaluation.photos import evaluate_pictures, report
from nted_lite.people import SPLITS, pairs
from nted_lite.transfer import output_name

SIZE = (64, 44)
PUBLISHED = dict(measures.BACKBONES)


# ---------------------------------------------------------------------------------------------- the libraries, for real


def filled(network):
    """Random weights under which signals neither die nor explode, as in a trained network; no shape of it matters."""
    state = network.state_dict()
    for name, value in state.items():
        if name.startswith(("classifier", "fc")):
            state[name] = torch.zeros(1).expand(value.shape)  # never used; stored as one number
        elif value.ndim == 4:
            state[name] = torch.randn(value.shape) * (2 / value[0].numel()) ** 0.5
    return state


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A torch hub cache that holds random backbones, whose hashes pass for the true ones."""
    torchvision = pytest.importorskip("torchvision", reason='pip install "nted-lite[eval]"')
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    folder = tmp_path_factory.mktemp("hub")
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        networks = {
            "LPIPS": torchvision.models.alexnet(),
            "FID": inception.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]),
        }
    starts = {}
    torch.manual_seed(0)
    for measure, network in networks.items():
        file = folder / "hub" / "checkpoints" / measures.BACKBONES[measure][0].rpartition("/")[2]
        torch.save(filled(network), file)
        starts[measure] = (measures.BACKBONES[measure][0], hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        patch.setattr(torch.hub, "_hub_dir", None)
        patch.setattr(measures, "BACKBONES", starts)
        yield folder / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four people as PNG files, the same as other files, and each one's neighbour under his name."""
    root = tmp_path_factory.mktemp("pictures")
    images = pairs(SPLITS["test"], torch.arange(5), height=64).target.image
    for folder, shift in (("true", 0), ("copies", 0), ("shuffled", 1)):
        (root / folder / "a").mkdir(parents=True)
        for n, image in enumerate(images[shift : shift + 4]):
            array = ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            Image.fromarray(array).save(root / folder / "a" / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def measured(hub, folders):
    """The true pictures measured against themselves, and against pictures that do not belong to them."""
    true = match_pictures(folders / "copies", folders / "true")
    wrong = match_pictures(folders / "shuffled", folders / "true")
    two = [file for _, file in wrong[:2]]  # the reference set
    return evaluate_pictures(true, *SIZE), evaluate_pictures(wrong, *SIZE, reference_set=two)


@pytest.mark.slow
def test_truth_scores_best_and_others_clearly_worse(measured):
    truth, wrong = measured
    assert truth["measures"]["ssim"]["mean"] == pytest.approx(1, abs=1e-5)
    assert truth["measures"]["psnr"]["mean"] == pytest.approx(100)
    assert truth["measures"]["lpips"] == {"mean": 0, "low": 0, "high": 0}
    # Equal sets have equal means, so what is left is the root of a covariance: of its 2,048 eigenvalues all but three
    # are 0, and come out as rounding errors of either sign, whose roots are not that small.
    assert abs(truth["fid"]) < 1e-3 * wrong["fid"]
    assert wrong["measures"]["ssim"]["mean"] < 0.8
    assert wrong["measures"]["psnr"]["mean"] < 25
    assert wrong["measures"]["lpips"]["mean"] > 0.01


@pytest.mark.slow
def test_libraries_get_what_they_expect(hub, folders, measured):
    """The same numbers from the raw libraries, given arrays that were prepared by hand: the classic trap of ranges."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    true, wrong = (
        np.stack([np.asarray(Image.open(folders / name / "a" / f"{n}.png")) for n in range(4)]).transpose(0, 3, 1, 2)
        for name in ("true", "shuffled")
    )
    lpips = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)  # that is, its pictures are in 0..1
    raw = lpips(torch.tensor(wrong / 255).float(), torch.tensor(true / 255).float())
    assert measured[1]["measures"]["lpips"]["mean"] == pytest.approx(raw.item(), rel=1e-4)
    fid = FrechetInceptionDistance(2048)  # its pictures are uint8
    features = [fid.inception(torch.tensor(pictures)) for pictures in (wrong, true[:2])]
    assert features[0].shape == (4, 2048) and features[0].std() > 1e-3  # the random network is alive
    assert measured[1]["fid"] == pytest.approx(measures.frechet(*features), rel=1e-3)


@pytest.mark.slow
def test_protocol_is_reported(measured):
    truth, wrong = (json.loads(json.dumps(each)) for each in measured)
    assert truth["protocol"]["pictures"] == 4 and truth["protocol"]["size"] == [64, 44]
    assert truth["protocol"]["made"] == truth["protocol"]["true"] == {"as it is": 4}
    assert truth["protocol"]["fid reference"] == "4 true pictures"
    assert wrong["protocol"]["fid reference"] == "2 pictures of a set"
    assert truth["protocol"]["versions"]["torch"] == torch.__version__
    text = report(wrong)
    assert all(word in text for word in ("AlexNet", "2048", "11x11", "bicubic", "as it is 4", "psnr", "lpips", "FID"))


@pytest.mark.slow
def test_too_few_pictures(hub, folders):
    one = folders / "true" / "a" / "0.png"
    for chosen, line in (([], "0 made pictures"), ([(one, one)], "1 made pictures")):
        with pytest.raises(ValueError, match=f"{line}: FID and intervals need 2 or more"):
            evaluate_pictures(chosen, *SIZE)


def test_a_backbone_with_another_hash_is_refused(hub, monkeypatch):
    assert measures.backbone("FID").parent == hub
    monkeypatch.setattr(measures, "BACKBONES", {"LPIPS": (measures.BACKBONES["LPIPS"][0], "01234567")})
    with pytest.raises(ValueError, match=r"alexnet-owt-7be5be79.pth: damaged, .* not 01234567; replace it by https://"):
        measures.lpips_network()


def test_a_missing_backbone_is_fetched_or_asked_for(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fails(*_):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    for build, name in ((measures.lpips_network, "alexnet-owt-7be5be79"), (measures.inception_distance, "weights-inc")):
        with pytest.raises(ValueError, match=rf"hub.checkpoints.{name}.* download failed .*no network.*; put https://"):
            build()
    fetched = []

    def fetch(url, file, start):
        fetched.append((url, start))
        (tmp_path / "hub" / "checkpoints" / file).write_bytes((hub / url.rpartition("/")[2]).read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    measures.backbone("LPIPS"), measures.backbone("LPIPS")
    assert fetched == [measures.BACKBONES["LPIPS"]]  # once


def test_backbones_are_those_of_the_libraries(hub):
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models import AlexNet_Weights

    urls = [url for url, _ in measures.BACKBONES.values()]
    assert urls == [AlexNet_Weights.DEFAULT.url, URL_INCEPTION_V3]


def test_true_hashes_are_in_the_names():
    for url, start in PUBLISHED.values():
        assert url.endswith(f"-{start}.pth")


@pytest.mark.parametrize("library", ["torchvision", "torch_fidelity"])
def test_a_missing_library_is_one_line(monkeypatch, library):
    for name in ("torchvision", "torch_fidelity"):
        monkeypatch.setitem(sys.modules, name, sys.modules[__name__])  # any module: only its presence is looked at
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf'LPIPS: .*{library}.*; pip install "nted-lite\[eval\]"'):
        measures.lpips_network()


# --------------------------------------------------------------------------------------------------------- reading them


def gradient(height, width):
    """A smooth picture that no two pixels of share, h w 3."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * y / height, 255 * x / width, 128 + 0 * x], -1).astype(np.uint8)


def test_files_and_tensors_are_the_same_picture(tmp_path):
    array = gradient(*SIZE)
    Image.fromarray(array).save(tmp_path / "a.png")
    wanted = torch.tensor(array).movedim(-1, 0)
    for picture in (tmp_path / "a.png", str(tmp_path / "a.png"), wanted, wanted / 127.5 - 1):
        found, done = read_picture(picture, *SIZE)
        assert found.dtype == torch.uint8 and torch.equal(found, wanted) and done == "as it is"


def test_floats_are_rounded_and_clipped():
    levels = torch.tensor([-3, -0.4, 0.4, 0.6, 254.6, 300])
    found, _ = read_picture((levels / 127.5 - 1).reshape(1, 2, 3).repeat(3, 1, 1), 2, 3)
    assert found[0].flatten().tolist() == [0, 0, 0, 1, 255, 255]


def test_other_sizes_are_resized_bicubically(tmp_path):
    large = Image.fromarray(gradient(1101, 750))
    large.save(tmp_path / "a.png")
    found, done = read_picture(tmp_path / "a.png", 256, 176)
    wanted = large.resize((176, 256), Image.Resampling.BICUBIC)
    assert np.array_equal(found.movedim(0, -1).numpy(), np.asarray(wanted)) and done == "resized"


def test_white_borders_are_cut(tmp_path):
    inner = gradient(256, 176)
    Image.fromarray(np.pad(inner, ((0, 0), (40, 40), (0, 0)), constant_values=255)).save(tmp_path / "a.png")
    found, done = read_picture(tmp_path / "a.png", 256, 176)
    assert np.array_equal(found.movedim(0, -1).numpy(), inner) and done == "cut and as it is"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK"])
def test_modes_become_rgb(tmp_path, mode):
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    grey = Image.new("RGB", SIZE[::-1], (102, 102, 102)).convert(mode)
    grey.save(name)
    found, _ = read_picture(name, *SIZE)
    assert found.shape == (3, *SIZE) and (found.float() - 102).abs().max() <= 2


def test_broken_pictures_are_named(folders, tmp_path):
    whole = (folders / "true" / "a" / "0.png").read_bytes()
    broken = {"cut.png": whole[: len(whole) // 2], "empty.png": b"", "text.png": b"no picture at all"}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
    for name in (*broken, "absent.png"):
        with pytest.raises(ValueError, match=name) as error:
            read_picture(tmp_path / name, *SIZE)
        assert "\n" not in str(error.value)


def test_broken_tensors_are_described():
    with pytest.raises(ValueError, match=r"is \(3, 32, 22\); \(3, 64, 44\) are measured"):
        read_picture(torch.zeros(3, 32, 22), *SIZE)
    with pytest.raises(ValueError, match="not finite"):
        read_picture(torch.full((3, *SIZE), math.nan), *SIZE)


# -------------------------------------------------------------------------------------------------------- matching them


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_matching_by_name_whatever_the_suffix(tmp_path):
    touch(tmp_path, "made/a/1.png", "made/b/1.JPG", "made/notes.txt", "true/b/1.jpeg", "true/a/1.jpg")
    found = match_pictures(tmp_path / "made", tmp_path / "true")
    assert [(a.relative_to(tmp_path).as_posix(), b.relative_to(tmp_path).as_posix()) for a, b in found] == [
        ("made/a/1.png", "true/a/1.jpg"), ("made/b/1.JPG", "true/b/1.jpeg"),
    ]  # fmt: skip


def test_what_is_missing_is_counted_and_named(tmp_path):
    touch(tmp_path, *(f"made/{n}.png" for n in range(3)), *(f"true/{n}.png" for n in range(2, 9)))
    with pytest.raises(ValueError) as error:
        match_pictures(tmp_path / "made", tmp_path / "true")
    assert f"made lacks 6 of them: 3, 4, 5 ...; {tmp_path / 'true'} lacks 2 of them: 0, 1" in str(error.value)


def test_folders_that_cannot_be_matched(tmp_path):
    touch(tmp_path, "made/1.png", "made/1.jpg", "true/1.png", "empty/readme.txt")
    for left, right, line in (
        ("made", "true", "1.png and 1.jpg have one name"), ("true", "empty", "no .png or .jpg there"),
        ("nowhere", "true", "nowhere: no .png or .jpg there"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=line):
            match_pictures(tmp_path / left, tmp_path / right)


def test_published_names():
    source, target = "img/WOMEN/Tees_Tanks/id_00000012/02_1_front.jpg", "img/MEN/Denim/id_00000080/01_7_additional.jpg"
    wanted = "fashionWOMENTeesTanksid0000001202_1_front_2_fashionMENDenimid0000008001_7_additional_vis.png"
    assert published_name(source, target) == wanted
    assert published_name(source.removeprefix("img/"), target.removeprefix("img/")) == wanted


def test_finding_what_was_made_for_a_list(tmp_path):
    """Ours and the published system's names, whichever is there."""
    there, back = "img/WOMEN/Tees_Tanks/id_00000012/02_1_front.jpg", "img/WOMEN/Tees_Tanks/id_00000012/03_3_back.jpg"
    names = published_name(there, back), output_name(back, there)
    touch(tmp_path, *names)
    assert find_made(tmp_path, [(there, back), (back, there)]) == [tmp_path / name for name in names]
    with pytest.raises(ValueError, match=r"1 of 2 pictures are missing: .*\+02_1_front_to_.*\+02_1_front.png"):
        find_made(tmp_path, [(there, back), (there, there)])
    with pytest.raises(ValueError, match="nowhere: 1 of 1 pictures are missing"):
        find_made(tmp_path / "nowhere", [(there, back)])


def test_a_file_of_pairs(tmp_path):
    touch(tmp_path, "made/x.png", "true/y.jpg")
    (tmp_path / "pairs.txt").write_text("made/x.png,true/y.jpg\nmade/x.png, true/y.jpg\n")
    assert read_picture_pairs(tmp_path / "pairs.txt") == [(tmp_path / "made/x.png", tmp_path / "true/y.jpg")] * 2
    for text, line in (
        ("made/x.png,true/y.jpg\nmade/x.png\n", "pairs.txt, line 2: 'made/x.png' is not `made,true`"),
        ("made/x.png,true/y.jpg,z\n", "line 1"),
        ("made/x.png,true/y.jpg\n\n", "line 2: '' is not"),
        ("made/x.png,true/z.jpg\n", "pairs.txt: 1 of 2 pictures are missing: .*true/z.jpg"),
    ):
        (tmp_path / "pairs.txt").write_text(text)
        with pytest.raises(ValueError, match=line):
            read_picture_pairs(tmp_path / "pairs.txt")
    with pytest.raises(ValueError, match="nowhere.txt: not a readable list"):
        read_picture_pairs(tmp_path / "nowhere.txt")


# ---------------------------------------------------------------------------------------------- DeepFashion on the disk


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two test people, four training people, prepared at 64 rows."""
    pytest.importorskip("lmdb")
    from data_prep.deepfashion import prepare
    from data_prep.people import write_people

    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")
    write_people(raw, train=4, test=2, height=64)
    prepare(raw / "img", raw, out, heights=(64,), threads=1)
    return out


@pytest.fixture(scope="module")
def by_model(hub, data):
    return photos.evaluate_deepfashion(NTED(preset("people-64").model).eval(), data)


@pytest.mark.slow
def test_a_model_on_test_pairs(by_model):
    assert by_model["protocol"]["pictures"] == 12  # two people, three pictures each, both sources of each
    assert by_model["protocol"]["fid reference"] == "12 pictures of a set"  # those of the four training people
    assert by_model["measures"]["psnr"]["mean"] < 30


@pytest.mark.slow
def test_pictures_of_test_pairs(by_model, data, tmp_path):
    """What a model made is found by name, and measured as the model itself is; the true targets score best."""
    test = DeepFashion(data, 64, "test")
    for target, sources in test.items:
        Image.fromarray(test.store.image(target)).save(tmp_path / output_name(sources[0], target))
    measured = photos.evaluate_folder(tmp_path, data=data, height=64)
    assert measured["measures"]["ssim"]["mean"] == pytest.approx(1, abs=1e-5)
    assert measured["protocol"]["fid reference"] == by_model["protocol"]["fid reference"]
    assert measured["fid"] < by_model["fid"]


@pytest.mark.slow
def test_the_command_prints_the_protocol_and_saves_it(hub, folders, tmp_path, monkeypatch, capsys):
    words = "--pictures", folders / "copies", "--truth", folders / "true", "--height", 64, "--out", tmp_path / "m.json"
    monkeypatch.setattr("sys.argv", ["nted-lite", "evaluate", *map(str, words)])
    cli.main()
    saved, printed = json.loads((tmp_path / "m.json").read_text()), capsys.readouterr().out
    assert saved["measures"]["lpips"]["mean"] == 0 and saved["protocol"]["size"] == [64, 44]
    assert "4 true pictures" in printed and "bicubic" in printed and "FID" in printed


def test_a_folder_needs_its_truth(folders):
    with pytest.raises(ValueError, match="true: give --truth, a folder with the true pictures, or --data"):
        photos.evaluate_folder(folders / "true")
