"""The protocol on synthetic people: every measure is there, and baselines rank as they should."""

import json
import math

import pytest
import torch

from nted_lite import NTED, ModelConfig, preset
from nted_lite.evaluation.held_out import KINDS, REGIONS, held_out, part_colours
from nted_lite.evaluation.people import BASELINES, evaluate_people, report
from nted_lite.evaluation.tables import cell, interval, interval_of_sum, shares, table
from nted_lite.features import PeopleParser, people_parser
from nted_lite.model import Rendering, Textures
from nted_lite.people import PARTS, SPLITS, pairs


def test_the_interval_of_a_sum_is_that_of_the_mean():
    """For a number that is a ratio of sums, both ways to draw pictures say the same; and all pictures count."""
    values = torch.stack([torch.randn(400).double() + 5, torch.ones(400).double()], dim=1)
    found = interval_of_sum(lambda total: (total[0] / total[1]).item(), values, draws=2000)
    wanted = interval(values[:, 0])
    assert found["mean"] == pytest.approx(wanted["mean"])
    assert found["high"] - found["low"] == pytest.approx(wanted["high"] - wanted["low"], rel=0.1)


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
    assert interval(torch.tensor([math.nan])) == interval(torch.tensor([])) == {"mean": None, "low": None, "high": None}


def test_interval_of_a_share():
    """sum over sum, not the mean of each picture's share."""
    part, whole = torch.tensor([1.0, 0.0, 6.0]), torch.tensor([2.0, 10.0, 8.0])
    found = interval(part, of=whole)
    assert found["mean"] == pytest.approx(7 / 20) and 0 <= found["low"] < 7 / 20 < found["high"] <= 0.75
    rows = {"a": {"x": [part], "y": [whole - part]}}
    assert shares(rows)["a"]["x"] == found
    assert sum(value["mean"] for value in shares(rows)["a"].values()) == pytest.approx(1)


def test_tables_show_what_could_not_be_measured():
    assert cell({"mean": 1.0, "low": 0.75, "high": 1.25}, 2) == "1.00 ± 0.25"
    assert table("x", {}) == [] and "-" in table("x", {"row": {"a": interval(torch.tensor([]))}})[-1]


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


@pytest.mark.slow
@pytest.mark.parametrize("rows", [64, 128])
def test_evaluation_is_complete(small, parser, rows):
    large = ModelConfig((8, 8, 8, 8), (3, 4, 5, 0), (1, 3, 3, 3), (8, 8, 8, 8, 8, 8))
    measured = evaluate_people(NTED(small if rows == 64 else large).eval(), parser, people=5, batch=3)
    operations = 4 if rows == 64 else 6
    assert measured["size"] == [rows, rows * 11 // 16]
    for name in ("similarity", "seen", "swap", "transport", "patterns", "error"):
        for row in measured[name].values():
            known = [value for value in row.values() if value["mean"] is not None]
            assert all(value["low"] - 1e-9 <= value["mean"] <= value["high"] + 1e-9 for value in known), name
    for name in ("similarity", "seen", "patterns"):
        assert set(measured[name]) == {"model", *BASELINES}, name
    assert set(measured["fd_people"]["rows"]) == {"model", *BASELINES}
    assert set(measured["error"]) == {"model", *BASELINES, "the area"}
    for row in measured["error"].values():
        assert set(row) == set(REGIONS) and sum(value["mean"] for value in row.values()) == pytest.approx(1)
    assert set(measured["patterns"]["model"]) == set(KINDS)
    assert list(measured["transport"]) == [f"operation {n}" for n in range(operations)]
    assert len(measured["entities"]) == len(measured["groups"]) == operations
    assert "grouped_legs" in measured["entities"][0] and "grouped_skin" in measured["groups"][0]
    for found in (*measured["entities"], *measured["groups"]):
        assert found["interval"]["mean"] == found["grouped"]
        assert found["interval"]["low"] <= found["interval"]["high"]
    swap, of_bound = measured["swap"], measured["swap_of_bound"]
    for side, value in of_bound.items():
        assert value["mean"] == pytest.approx(swap["swap"][side]["mean"] / swap["drawn in it"][side]["mean"])
    assert "112 channels" in measured["fd_people"]["features"]
    assert measured == json.loads(json.dumps(measured, allow_nan=False))
    text = report(measured)
    words = ("psnr", "inside", "unseen", "accuracy", "by chance", "FD-people", "bits", "operation 1", "model", "fine",
             "coarse", "silhouette", "plain cloth", "6, grouped", "test split")  # fmt: skip
    assert all(word in text for word in (*words, *BASELINES)) and "FID" not in text
    assert "5 pictures are too few for a Frechet distance" in text


@pytest.mark.slow
def test_the_batch_changes_nothing_but_the_speed(small, parser):
    model = NTED(small).eval()
    one, other = (evaluate_people(model, parser, people=6, batch=batch) for batch in (6, 4))
    for name in ("similarity", "seen", "swap", "error", "patterns"):
        for row, values in one[name].items():
            for measure, value in values.items():
                assert value["mean"] == pytest.approx(other[name][row][measure]["mean"], rel=1e-3, abs=1e-5)


def test_splits_are_other_people(small, parser):
    model = NTED(small).eval()
    test, validation = (evaluate_people(model, parser, 4, split) for split in ("test", "validation"))
    assert (test["seed"], validation["seed"]) == (SPLITS["test"], SPLITS["validation"])
    assert test["similarity"]["copy"] != validation["similarity"]["copy"] and "validation split" in report(validation)


def test_held_out_people_are_those_of_their_numbers(tiny):
    """Whatever the batch: the donor is the next person, and swapping changes clothes alone."""
    test, wanted = held_out(torch.tensor([3, 9, 4]), tiny), pairs(SPLITS["test"], torch.tensor([3, 9, 4]), height=32)
    assert torch.equal(test.reference, wanted.reference.image) and torch.equal(test.target, wanted.target.image)
    donors = pairs(SPLITS["test"], torch.tensor([4, 10, 5]), height=32).reference.image
    assert torch.equal(test.donor, donors)
    assert torch.equal(held_out(torch.tensor([9]), tiny).swapped, test.swapped[1:2])
    background = test.reference_parts == PARTS.index("background")
    changed = (test.dressed != test.reference).any(1)
    assert changed.any() and (changed & background).float().mean() < 0.1


@pytest.mark.slow
def test_real_pictures_are_nearest_in_distribution(small):
    """A copy of the photo is a picture of the same kind; the mean image and an untrained model's are none."""
    distances = evaluate_people(NTED(small).eval(), people_parser(), people=32)["fd_people"]["rows"]
    assert distances["copy"] < min(distances[row] for row in ("model", "mean image", "part colours"))


@pytest.mark.slow
def test_a_model_that_knows_the_answer(parser):
    """What it draws is the target and its maps are the parts: nothing is wrong, and all texture arrives."""
    tests = held_out(torch.arange(6), preset("people-64").model)

    def one_hot(parts):
        return torch.nn.functional.one_hot(parts, len(PARTS)).movedim(-1, 1).float()

    class Knows(torch.nn.Linear):
        config = preset("people-64").model

        def extract(self, reference):
            n = [next((i for i in range(6) if torch.equal(tests.reference[i], r)), 0) for r in reference]
            maps = one_hot(tests.reference_parts[n])
            extraction = maps / maps.sum((2, 3), keepdim=True).clamp_min(1)
            return Textures((torch.zeros(len(n), len(PARTS), 4),), (extraction,))

        def render(self, pose, textures):
            n = [next(i for i in range(6) if torch.equal(tests.pose[i], p)) for p in pose]
            return Rendering(tests.target[n], (one_hot(tests.target_parts[n]),))

    measured = evaluate_people(Knows(1, 1), parser, people=6, batch=4)
    assert measured["seen"]["model"]["unseen"]["mean"] == measured["seen"]["model"]["seen"]["mean"] == 0
    assert measured["transport"]["operation 0"]["accuracy"]["mean"] == pytest.approx(1, abs=1e-5)
    assert measured["transport"]["operation 0"]["by chance"]["mean"] < 0.3
    (found,) = measured["entities"]
    assert found["matched"] == pytest.approx(1) and found["information"] == pytest.approx(found["part_information"])
    assert measured["groups"][0]["grouped"] == pytest.approx(1)
    assert all(value["mean"] in (None, pytest.approx(1)) for value in measured["patterns"]["model"].values())


def test_a_model_without_textures(parser):
    """A variant that transfers nothing is measured by its pictures alone."""

    class Copies(torch.nn.Linear):
        config = preset("people-64").model

        def extract(self, reference):
            self.reference = reference
            return Textures((), ())

        def render(self, pose, textures):
            return Rendering(self.reference, ())

    measured = evaluate_people(Copies(1, 1), parser, people=4)
    assert measured["transport"] == {} and measured["entities"] == measured["groups"] == []
    assert "transport" not in report(measured) and measured == json.loads(json.dumps(measured, allow_nan=False))


def test_too_few_people(small, parser):
    with pytest.raises(ValueError, match="people is 1: intervals and Frechet distances need 2 or more"):
        evaluate_people(NTED(small).eval(), parser, people=1)


@torch.no_grad()
def test_a_diverged_model_is_named(small, parser):
    """Means leave out what is not a number, so it would look better than it is."""
    model = NTED(small).eval()
    for values in model.parameters():
        values.fill_(math.nan)
    with pytest.raises(ValueError, match="draws values that are not finite, at people 0 to 1"):
        evaluate_people(model, parser, people=2)
