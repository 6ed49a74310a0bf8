"""The protocol on photographs: pictures are read and matched as it says, and the ground truth wins."""

import hashlib
import json
import sys
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image

from nted_lite import NTED, cli, preset
from nted_lite.checkpoint import save_model
from nted_lite.data.deepfashion import DeepFashion
from nted_lite.evaluation import backbones, measures, photos
from nted_lite.evaluation.files import match_pictures
from nted_lite.evaluation.photos import evaluate_pictures, report
from nted_lite.people import SPLITS, pairs
from nted_lite.transfer import output_name

SIZE = (64, 44)
PUBLISHED = dict(backbones.WEIGHTS)


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
        file = folder / "hub" / "checkpoints" / backbones.WEIGHTS[measure][0].rpartition("/")[2]
        torch.save(filled(network), file)
        starts[measure] = (backbones.WEIGHTS[measure][0], hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        patch.setattr(torch.hub, "_hub_dir", None)
        patch.setattr(backbones, "WEIGHTS", starts)
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
    true, _ = match_pictures(folders / "copies", folders / "true")
    wrong, _ = match_pictures(folders / "shuffled", folders / "true")
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
    assert truth["protocol"]["size"] == [64, 44]
    about = {"pictures": 4, "files": {"PNG": 4}, "read": {"as it is": 4}, "layout": "11:16"}
    assert truth["protocol"]["generated"] == truth["protocol"]["ground truth"] == about
    assert truth["protocol"]["fid reference"] == "the ground truth"
    assert wrong["protocol"]["fid reference"]["pictures"] == 2
    assert truth["protocol"]["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    text = report(wrong)
    assert all(word in text for word in ("AlexNet", "2048", "11x11", "bicubic", "as it is 4", "psnr", "lpips", "FID"))
    assert "warning: 2 pictures are too few for FID" in text and "warning: 4 pictures are too few" in report(truth)


@pytest.mark.slow
def test_too_few_pictures(hub, folders):
    one = folders / "true" / "a" / "0.png"
    for chosen, line in (([], "0 generated pictures"), ([(one, one)], "1 generated pictures")):
        with pytest.raises(ValueError, match=f"{line}: FID and intervals need 2 or more"):
            evaluate_pictures(chosen, *SIZE)


def test_a_backbone_with_another_hash_is_refused(hub, monkeypatch):
    assert backbones.weights("FID").parent == hub
    monkeypatch.setattr(backbones, "WEIGHTS", {"LPIPS": (backbones.WEIGHTS["LPIPS"][0], "01234567")})
    with pytest.raises(ValueError, match=r"alexnet-owt-7be5be79.pth: damaged, .* not 01234567; replace it by https://"):
        backbones.lpips()


def test_a_missing_backbone_is_fetched_or_asked_for(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fails(*_):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    for build, name in ((backbones.lpips, "alexnet-owt-7be5be79"), (backbones.inception_distance, "weights-inc")):
        with pytest.raises(ValueError, match=rf"hub.checkpoints.{name}.* download failed .*no network.*; put https://"):
            build()
    fetched = []

    def fetch(url, file, start):
        fetched.append((url, start))
        (tmp_path / "hub" / "checkpoints" / file).write_bytes((hub / url.rpartition("/")[2]).read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    backbones.weights("LPIPS"), backbones.weights("LPIPS")
    assert fetched == [backbones.WEIGHTS["LPIPS"]]  # once


def test_backbones_are_those_of_the_libraries(hub):
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models import AlexNet_Weights

    urls = [url for url, _ in backbones.WEIGHTS.values()]
    assert urls == [AlexNet_Weights.DEFAULT.url, URL_INCEPTION_V3]


def test_true_hashes_are_in_the_names():
    for url, start in PUBLISHED.values():
        assert url.endswith(f"-{start}.pth")


@pytest.mark.parametrize("library", ["torchvision", "torch_fidelity"])
def test_a_missing_library_is_one_line(monkeypatch, library):
    for name in ("torchvision", "torch_fidelity"):
        monkeypatch.setitem(sys.modules, name, sys.modules[__name__])  # any module: only its presence is looked at
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=rf'{library} is missing .*: pip install "nted-lite\[eval\]"'):
        backbones.lpips()


def test_what_is_missing_leaves_out_its_measures_alone(monkeypatch, folders, caplog):
    """SSIM and PSNR need nothing; the reason is said at once, and stands in the report. Nothing else speaks of FID."""
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    reference = [folders / "never" / "read.png"] * 2
    measured = evaluate_pictures(match_pictures(folders / "shuffled", folders / "true")[0], *SIZE, reference)
    assert set(measured["measures"]) == {"psnr", "ssim"} and measured["fid"] is None
    assert "FID is left out: torch_fidelity is missing" in caplog.text
    assert measured["protocol"]["fid"] == measured["protocol"]["lpips"] == "left out"
    text = report(json.loads(json.dumps(measured)))
    assert "FID is left out\n" in text and "warning: LPIPS is left out" in text
    assert "too few for FID" not in text and "fid reference" not in measured["protocol"]


# ------------------------------------------------------------------------------------------------- what is found early


class Distance:
    """Stands in for the FID, and knows how many pictures of either kind it has seen."""

    def __init__(self):
        self.seen = {True: 0, False: 0}

    def update(self, pictures, real):
        self.seen[real] += len(pictures)

    def compute(self):
        return torch.tensor(float(self.seen[True]))


@pytest.fixture
def distance(monkeypatch):
    found = Distance()
    monkeypatch.setattr(photos, "_networks", lambda device: (None, found, []))
    return found


@pytest.fixture
def squares(tmp_path):
    """A reference set of square noise, of which nobody can tell whether it was padded or squeezed."""
    (tmp_path / "squares").mkdir()
    for n in range(3):
        noise = np.random.default_rng(n).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "squares" / f"{n}.png")
    return tmp_path / "squares"


@pytest.mark.parametrize("kind", ["unclear", "damaged", "alone"])
def test_a_bad_reference_set_is_found_before_anything_is_measured(kind, distance, squares, folders, monkeypatch):
    if kind == "damaged":
        (squares / "2.png").write_bytes(b"no picture at all")
    if kind == "alone":
        (squares / "1.png").unlink(), (squares / "2.png").unlink()
    monkeypatch.setattr(photos, "_measure", lambda *_: pytest.fail("measured, and all of it would be lost"))
    lines = {"unclear": "0.png, are 64x64.*--layout padded", "damaged": "2.png: not a readable", "alone": "1 reference"}
    with pytest.raises(ValueError, match=lines[kind]):
        photos.evaluate_folder(folders / "copies", folders / "true", reference_set=squares, height=64)


def test_the_layout_of_a_reference_set_can_be_said(distance, squares, folders, data, monkeypatch, tmp_path):
    measured = photos.evaluate_folder(
        folders / "copies", folders / "true", reference_set=squares, height=64, layout="padded"
    )
    assert measured["fid"] == 3 and distance.seen == {True: 3, False: 4}
    assert measured["protocol"]["fid reference"]["read"] == {"cut": 3}
    model, out = tmp_path / "model", tmp_path / "m.json"
    save_model(NTED(preset("people-64").model), model)
    words = "--checkpoint", model, "--data", data, "--reference-set", squares, "--layout", "squeezed", "--out", out
    monkeypatch.setattr("sys.argv", ["nted-lite", "evaluate", *map(str, words)])
    cli.main()
    assert json.loads(out.read_text())["protocol"]["fid reference"]["read"] == {"stretched": 3}


@pytest.mark.parametrize("height", [0, -16, 8, 250])
def test_the_height_is_a_multiple_of_16(height, folders):
    with pytest.raises(ValueError, match=f"height must be a positive multiple of 16, not {height}"):
        photos.evaluate_folder(folders / "copies", folders / "true", height=height)


# ------------------------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize(
    ("made", "true", "warned"),
    [
        ("PNG", "PNG", False), ("JPEG", "PNG", True), ("PNG", "JPEG", True), ("WEBP", "PNG", True),
        ("JPEG", "JPEG", False), ("BMP", "PNG", False),
    ],
)  # fmt: skip
def test_file_formats_are_said(made, true, warned, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for n in range(2):
        for folder, kind in (("a", made), ("b", true)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("RGB", SIZE[::-1], (99, 150, 210)).save(tmp_path / folder / f"{n}.{kind.lower()}", format=kind)
    measured = photos.evaluate_folder(tmp_path / "a", tmp_path / "b", height=64)
    assert measured["protocol"]["generated"]["files"] == {made: 2}
    said = f"the generated pictures are {made} and the ground truth pictures {true}: lossy compression affects"
    assert (said in report(measured)) == warned


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
    assert by_model["protocol"]["generated"]["pictures"] == 12  # two people, three pictures each, both sources of each
    assert by_model["protocol"]["fid reference"]["pictures"] == 12  # those of the four training people
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
    assert "the ground truth" in printed and "bicubic" in printed and "FID" in printed


def test_a_folder_needs_its_truth_once(folders, tmp_path):
    (tmp_path / "list.csv").write_text("a.png,b.png")
    with pytest.raises(ValueError, match="--data is not used: the list names the ground truth"):
        photos.evaluate_folder(tmp_path / "list.csv", data=tmp_path, reference_set=folders / "true")
    with pytest.raises(ValueError, match="true: give --truth, a folder with the ground truth, or --data"):
        photos.evaluate_folder(folders / "true")
    with pytest.raises(ValueError, match="nowhere: no such folder, nor file with lines `generated,truth`"):
        photos.evaluate_folder(tmp_path / "nowhere", folders / "true")
    for pictures, data in ((tmp_path / "list.csv", None), (folders / "copies", tmp_path)):
        with pytest.raises(ValueError, match="the ground truth is given twice"):
            photos.evaluate_folder(pictures, folders / "true", data)
