"""The benchmarks run, and their sides compute the same results. Their speed is not tested."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nted_lite import NTED, PRESETS

pytestmark = pytest.mark.slow
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def printed(*arguments: str | Path) -> str:
    """What a benchmark prints; an error of its own is the test's."""
    command = [sys.executable, BENCHMARKS / arguments[0], *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_training_step_is_the_same_on_all_sides_and_reported_for_both_kinds():
    text = printed("step.py", "--threads", "1", "--rounds", "1", "--batch", "4")  # it compares the sides itself
    plain, adversarial, whole = re.split(r"adversarial:|the whole training", text)
    for part in (plain, adversarial, whole):
        assert re.findall(r"^ +(\w+) +[\d.]+ images/s", part, re.M) == ["package", "filters", "literal"]
        assert len(re.findall(r"the package is [\d.]+ x as fast", part)) == 2
    work = [float(re.search(r"([\d.]+) GFLOP at", part)[1]) for part in (plain.split("plain:")[1], adversarial)]
    assert work[1] > 1.5 * work[0]  # the discriminator looks at real and made images, and R1 differentiates it twice


def test_people_are_timed_one_by_one_in_a_batch_and_at_larger_sizes():
    text = printed("people.py", "--people", "4", "--repeats", "1", "--threads", "1")
    assert re.search(r"^in one batch .* images/s +[\d.]+ x as fast$", text, re.M)
    assert re.search(r"^256 x 176 .* images/s  .of 1 people.$", text, re.M)


def test_pose_maps_are_timed_against_opencv_at_three_sizes():
    pytest.importorskip("cv2", exc_type=ImportError)
    text = printed("pose.py", "--people", "2", "--threads", "1")
    assert re.findall(r"^ *(\d+) x +\d+ +[\d,]+ +[\d,]+ +[\d.]+$", text, re.M) == ["64", "128", "256"]


def test_swaps_are_measured_with_intervals_and_timed(tmp_path):
    file = tmp_path / "control.json"
    printed("control.py", "--people", "2", "--batch", "2", "--split", "validation", "--out", str(file))
    found = json.loads(file.read_text())
    assert list(found["swap"]) == ["no swap", "pure", "selected", "refined", "drawn in it"]
    for row in found["swap"].values():
        assert all(row[side]["low"] <= row[side]["mean"] <= row[side]["high"] for side in ("inside", "outside"))
    for pair in (("refined", "selected"), ("selected", "pure")):
        means = [found["swap"][way]["inside"]["mean"] for way in pair]
        assert abs(found[" / ".join(pair)]["inside"]["mean"] - means[0] / means[1]) < 1e-6
    assert all(seconds["single"] > 0 for seconds in found["seconds"].values())


def test_a_larger_model_is_compared_with_enlarged_pictures_of_a_smaller_one(tmp_path):
    torch.manual_seed(0)
    config = PRESETS["people-128"].model
    NTED(replace(config, channels=(8, 8, 8, 8), discriminator_channels=(8,) * 6)).save_pretrained(tmp_path / "large")
    file = tmp_path / "sizes.json"
    text = printed("sizes.py", "--people", "3", "--split", "validation", "--large", tmp_path / "large", "--out", file)
    found = json.loads(file.read_text())
    assert found["models"] == ["large", "people-64"] and found["size"] == [128, 88]
    for title, name in (("similarity", "psnr"), ("swap", "inside")):
        large, small = (found[title][row][name]["mean"] for row in ("large", "enlarged"))
        assert found["large / enlarged"][title][name]["mean"] == pytest.approx(large / small, rel=1e-3)
    assert found["similarity"]["large"]["psnr"]["mean"] < found["similarity"]["enlarged"]["psnr"]["mean"], "untrained"
    assert found["frechet"]["large"] > found["frechet"]["enlarged"] > 0 and "Frechet" in text


def test_the_puppet_is_timed_at_both_sizes():
    text = printed("widgets.py", "--threads", "1", "--seconds", "0")  # it compares the sides itself
    assert re.findall(r"^ *(\d+) x +\d+: +[\d.]+ pictures/s", text, re.M) == ["64", "128"]
    assert len(re.findall(r"bound: [\d.]+ ms", text)) == 2
