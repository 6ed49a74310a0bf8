"""Key points of photos: ViTPose's way through `transformers`, without its weights, and the files that it leads to."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from nted_lite import cli
from nted_lite.keypoints import PoseOptions, read_keypoints, read_pose
from nted_lite.keypoints.estimate import Estimator, as_json, as_text, estimate_files

transformers = pytest.importorskip("transformers")

# The portrait of skimage.data.astronaut(), 512 x 512, in COCO-17's order: x, y, confidence (found by MediaPipe).
ASTRONAUT = torch.tensor([
    [222.7, 128.0, 1], [248.9, 112.5, 1], [205.0, 103.3, 1], [268.0, 122.8, 1], [190.4, 107.4, 1],
    [306.2, 256.6, 1], [112.7, 240.0, 1], [322.5, 374.9, 0.33], [64.6, 413.6, 0.76], [326.4, 461.3, 0.13],
    [135.2, 477.3, 0.32], *[[0.0, 0.0, 0.02]] * 6,
])  # fmt: skip


@pytest.fixture(scope="module")
def vitpose(tmp_path_factory):
    """A folder with a tiny ViTPose with random weights, and its image processor, as the hub's are laid out."""
    folder = tmp_path_factory.mktemp("vitpose")
    backbone = transformers.VitPoseBackboneConfig(
        image_size=[64, 48], patch_size=[16, 16], hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        out_features=["stage1"],
    )  # fmt: skip
    config = transformers.VitPoseConfig(backbone_config=backbone, num_labels=17, scale_factor=4)
    transformers.VitPoseForPoseEstimation(config).save_pretrained(folder)
    processor = {"image_processor_type": "VitPoseImageProcessor", "size": {"height": 64, "width": 48}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos/astronaut.png"
    path.parent.mkdir()
    Image.new("RGB", (512, 512), "white").save(path)
    return path


class Sees:
    """In place of the network: heat maps that peak at known joints, for a box that is the whole 512 x 512 picture."""

    config = SimpleNamespace(num_labels=17, backbone_config=SimpleNamespace(num_experts=1))

    def __init__(self, joints, rows=64, columns=48):
        # The processor widens the box to 3:4 and by a quarter, about its middle.
        tall, wide = 512 / 0.75 * 1.25, 512 * 1.25
        x = (joints[:, 0] - 256 + wide / 2) / wide * (columns - 1)
        y = (joints[:, 1] - 256 + tall / 2) / tall * (rows - 1)
        across = (torch.arange(columns) - x[:, None]).square()
        down = (torch.arange(rows) - y[:, None]).square()
        maps = joints[:, 2, None, None] * torch.exp(-(across[:, None] + down[:, :, None]) / 8)
        self.answer = SimpleNamespace(heatmaps=maps[None])

    def __call__(self, pixel_values):
        assert pixel_values.shape == (1, 3, 64, 48)
        return self.answer


@pytest.fixture
def estimator(vitpose):
    found = Estimator(str(vitpose))
    found.network = Sees(ASTRONAUT)
    return found


def test_a_network_with_random_weights_goes_all_the_way(vitpose, photo, tmp_path):
    people = Estimator(str(vitpose), min_confidence=0.0)(Image.open(photo))
    assert people.shape == (1, 18, 3) and people.isfinite().all()


def test_known_joints_arrive_in_the_published_order(estimator, photo):
    (person,) = estimator(Image.open(photo))
    nose, neck, right_shoulder, left_shoulder, right_wrist, left_wrist = person[[0, 1, 2, 5, 4, 7], :2]
    for found, wanted in ((nose, (222.7, 128)), (right_shoulder, (112.7, 240)), (left_shoulder, (306.2, 256.6)),
                          (neck, (209.45, 248.3)), (right_wrist, (135.2, 477.3)), (left_wrist, (-1, -1))):  # fmt: skip
        assert (found - torch.tensor(wanted)).abs().max() < 3
    assert (person[8:14] == torch.tensor([-1, -1, 0])).all()  # the legs are outside the picture
    assert person[1, 2] == person[[2, 5], 2].min()


def test_text_and_json_are_what_transfer_reads(estimator, photo, tmp_path):
    """Both lead to the same joints in a model's picture: the middle 352 of 512 columns, 1/8 as large."""
    poses = []
    for name in ("a.txt", "a.json"):
        estimate_files(estimator, photo, tmp_path / name)
        poses.append(read_pose(tmp_path / name, 64, 44))
    text, listed = poses
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 18
    assert (text - listed).abs().max() < 0.01
    assert (text[0] - torch.tensor([(222.7 - 80) / 8, 128 / 8])).abs().max() < 0.4 and (text[9] == -1).all()
    assert torch.allclose(read_pose(tmp_path / "a.json", 64, 44, PoseOptions("picture"), posed=photo), listed)


@pytest.mark.parametrize("write", [as_text, as_json])
@pytest.mark.parametrize("near", [-1.0004, -1.0, -0.9996])
def test_a_joint_is_not_lost_by_rounding_to_the_mark_of_missing_ones(tmp_path, write, near):
    person = torch.full((18, 3), 100.0)
    person[3], person[4], person[5] = torch.tensor([[near, 50, 1], [50, near, 1], [-1, -1, 0]])
    person[[3, 4], :2] += torch.where(person[[3, 4], :2] == -1, 1e-4, 0)  # an exact -1 means missing
    shift = 40 if write is as_text else 0
    moved = person - torch.tensor([shift, 0, 0])
    moved[5] = torch.tensor([-1, -1, 0])
    picture = (176, 256) if shift else (256, 256)
    text = write(moved if shift else moved[None], picture)
    (tmp_path / "a").write_text(text)
    assert (read_keypoints(tmp_path / "a") == -1).any(1).nonzero().flatten().tolist() == [5]


def test_a_damaged_photo_does_not_stop_the_others(estimator, photo, tmp_path):
    photo.with_name("a.jpg").write_bytes(b"no photo")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="1 of 2 photos could not be read; .*problems.log says why"):
        estimate_files(estimator, photo.parent, out)
    assert sorted(path.name for path in out.iterdir()) == ["astronaut.json", "problems.log"]
    assert f"{photo.with_name('a.jpg')}: not a readable picture" in (out / "problems.log").read_text()
    photo.with_name("a.jpg").unlink()
    assert estimate_files(estimator, photo.parent, out) == 1 and not (out / "problems.log").exists()


def test_photos_of_one_name_are_refused(estimator, photo, tmp_path):
    Image.new("RGB", (60, 90)).save(photo.with_suffix(".jpg"))
    with pytest.raises(ValueError, match="several photos are named astronaut"):
        estimate_files(estimator, photo.parent, tmp_path / "out")


def test_a_folder_gets_a_file_for_each_photo(estimator, photo, tmp_path, caplog):
    Image.new("RGB", (60, 90)).save(photo.with_name("b.jpg"))
    assert estimate_files(estimator, photo.parent, tmp_path / "out") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["astronaut.json", "b.json"]
    estimator.network = Sees(ASTRONAUT * torch.tensor([1, 1, 0.1]))
    estimate_files(estimator, photo.parent, tmp_path / "out")
    assert json.loads((tmp_path / "out/b.json").read_text())["people"] == []
    assert "nobody found in 2 of 2 photos" in caplog.text
    with pytest.raises(ValueError, match="nobody found; try another photo"):
        estimate_files(estimator, photo, tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


def test_a_detector_says_where_people_are(estimator):
    """Only boxes of people count, and the largest comes first."""
    found = {"boxes": torch.tensor([[0.0, 0, 9, 9], [10, 20, 30, 60], [0, 0, 400, 300]]),
             "labels": torch.tensor([0, 0, 1])}  # fmt: skip
    processor = SimpleNamespace(post_process_object_detection=lambda *_, **__: [found])

    def prepared(image, return_tensors):
        return transformers.BatchFeature({"pixel_values": torch.zeros(1, 3, 8, 8)})

    class Processor:
        __call__ = staticmethod(prepared)
        post_process_object_detection = staticmethod(processor.post_process_object_detection)

    def network(pixel_values):
        return None

    network.config = SimpleNamespace(id2label={0: "person", 1: "sofa"})
    estimator.detector = (Processor(), network)
    assert estimator._boxes(Image.new("RGB", (400, 300))) == [[10, 20, 20, 40], [0, 0, 9, 9]]


def call(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["nted-lite", "keypoints", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def test_bad_input_is_one_line(monkeypatch, vitpose, photo, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    good = ["--photos", photo, "--out", "k.json", "--model", vitpose]
    assert "nowhere/vitpose: cannot be loaded; give a folder" in call(monkeypatch, *good, "--model", "nowhere/vitpose")
    assert "finder: cannot be loaded" in call(monkeypatch, *good, "--detector", "finder")
    assert "written as .json or .txt" in call(monkeypatch, *good, "--out", "k.csv")
    assert "no.jpg: not a readable picture" in call(monkeypatch, *good, "--photos", "no.jpg")
    assert "nobody found" in call(monkeypatch, *good, "--min-confidence", "2")
    assert "device 'nonsense' cannot be used" in call(monkeypatch, *good, "--device", "nonsense")
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install" in call(monkeypatch, *good)
