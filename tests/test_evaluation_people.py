"""The protocol on synthetic people: every measure is there, and baselines rank as they should."""


import json
import math

import pytest
import torch

from nted_lite import NTED, preset
from nted_lite.evaluation import measures, people
from nted_lite.evaluation.people import BASELINES, evaluate_people, held_out, interval, part_colours, report
from nted_lite.features import PeopleParser, people_parser
from nted_lite.people import PARTS

SIZE = (64, 44)
PUBLISHED = dict(measures.BACKBONES)


def test_interval():
    values = torch.randn(200) + 5
    found = interval(values)
    assert found == interval(values)  # the same draws every time
    assert found["low"] < found["mean"] < found["high"]
    assert found["mean"] == pytest.approx(values.mean().item(), rel=1e-5)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.25)


def test_interval_of_a_constant_has_no_width():
    assert interval(torch.full((9,), 0.25)) == {"mean": 0.25, "low": 0.25, "high": 0.25}


def test_interval_leaves_out_what_could_not_be_measured():
    values = torch.rand(20)
    assert interval(torch.cat([values, torch.tensor([math.nan] * 5)])) == interval(values)
    assert all(math.isnan(value) for value in interval(torch.tensor([math.nan])).values())


def test_part_colours(tiny):
    people = held_out(torch.arange(3), tiny)
    painted = part_colours(people)
    for n in range(3):
        for part in range(len(PARTS)):
            here, there = people.reference_parts[n] == part, people.target_parts[n] == part
            rest = people.reference[n].flatten(1)
            colour = people.reference[n][:, here].mean(1) if here.any() else rest.mean(1)
            torch.testing.assert_close(painted[n][:, there], colour[:, None].expand(3, int(there.sum())))


@pytest.fixture(scope="module")
def parser():
    torch.manual_seed(0)
    return PeopleParser().eval()


def test_evaluation_is_complete(small, parser):
    measured = evaluate_people(NTED(small).eval(), parser, people=4, batch=3)
    for table in ("similarity", "seen", "swap", "transport"):
        for row in measured[table].values():
            assert all(value["low"] <= value["mean"] <= value["high"] for value in row.values()), table
    assert set(measured["similarity"]) == set(measured["seen"]) == {"model", *BASELINES}
    assert set(measured["fd_people"]["rows"]) == {"model", *BASELINES}
    assert list(measured["transport"]) == [f"operation {n}" for n in range(4)] and len(measured["entities"]) == 4
    assert "112 channels" in measured["fd_people"]["features"]
    assert measured == json.loads(json.dumps(measured))
    text = report(measured)
    words = ("psnr", "inside", "unseen", "accuracy", "by chance", "FD-people", "bits", "operation 1", "model")
    assert all(word in text for word in (*words, *BASELINES)) and "FID" not in text


@pytest.mark.slow
def test_real_pictures_are_nearest_in_distribution(small):
    """A copy of the photo is a picture of the same kind; the mean image and an untrained model's are none."""
    distances = evaluate_people(NTED(small).eval(), people_parser(), people=32)["fd_people"]["rows"]
    assert distances["copy"] < min(distances[row] for row in ("model", "mean image", "part colours"))


@pytest.mark.slow
def test_a_model_that_knows_the_answer(parser):
    """What it draws is the target and its maps are the parts: nothing is wrong, and all texture arrives."""
    tests = held_out(torch.arange(6), preset("people-64").model)

    class Knows(torch.nn.Module):
        config = preset("people-64").model

        def forward(self, reference, pose):
            n = [next(i for i in range(6) if torch.equal(tests.pose[i], p)) for p in pose]
            maps = [torch.nn.functional.one_hot(parts[n], len(PARTS)).movedim(-1, 1).float()
                    for parts in (tests.reference_parts, tests.target_parts)]  # fmt: skip
            extraction = maps[0] / maps[0].sum((2, 3), keepdim=True).clamp_min(1)
            return type("Made", (), {"image": tests.target[n], "extraction": [extraction], "distribution": [maps[1]]})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "wear", lambda model, parser, reference, donor, pose: (model(reference, pose), None))
        measured = evaluate_people(Knows(), parser, people=6, batch=4)
    assert measured["seen"]["model"]["unseen"]["mean"] == measured["seen"]["model"]["seen"]["mean"] == 0
    assert measured["transport"]["operation 0"]["accuracy"]["mean"] == pytest.approx(1, abs=1e-5)
    assert measured["transport"]["operation 0"]["by chance"]["mean"] < 0.3
    (found,) = measured["entities"]
    assert found["matched"] == pytest.approx(1) and found["information"] == pytest.approx(found["part_information"])


def test_too_few_people(small, parser):
    with pytest.raises(ValueError, match="people is 1: intervals and Frechet distances need 2 or more"):
        evaluate_people(NTED(small).eval(), parser, people=1)
