"""The measures equal their formulas, and tell what is planted from what is chance."""

import math

import numpy as np
import pytest
import torch

from nted_lite import NTED
from nted_lite.features import PeopleParser
from nted_lite.metrics import (
    BASELINES,
    confusion,
    entity_agreement,
    evaluate_people,
    held_out,
    interval,
    l1,
    parser_distance,
    part_colours,
    psnr,
    report,
    similarity,
    ssim,
    swap_error,
)
from nted_lite.people import PARTS


def pictures(b=3, h=20, w=16):
    true = torch.rand(b, 3, h, w) * 2 - 1
    return (true + 0.3 * torch.randn_like(true)).clamp(-1, 1), true


# ------------------------------------------------------------------------------------------------- pictures to pictures


def test_psnr():
    made, true = pictures()
    for value, a, b in zip(psnr(made, true), made.double(), true.double()):
        error = (((a + 1) / 2 - (b + 1) / 2) ** 2).mean().item()  # in 0..1, where the peak is 1
        assert value.item() == pytest.approx(10 * math.log10(1 / error), rel=1e-5)


def test_psnr_of_known_errors():
    flat = torch.zeros(1, 3, 4, 4)
    assert psnr(flat + 0.2, flat).item() == pytest.approx(20, abs=1e-4)  # 0.1 of the range
    assert psnr(flat, flat).item() == pytest.approx(100)  # the cap of equal pictures
    assert psnr(flat + 5, flat + 1).item() == pytest.approx(100)  # what is brighter than white is shown as white


def test_l1():
    made, true = pictures()
    for value, a, b in zip(l1(made, true), made, true):
        assert value.item() == pytest.approx((a - b).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize("measure", [psnr, l1])
def test_masked_measures_see_the_mask_only(measure):
    made, true = pictures()
    mask = torch.zeros(3, 20, 16, dtype=torch.bool)
    mask[:, 5:15, 4:9] = True
    inside = measure(made, true, mask)
    torch.testing.assert_close(inside, measure(made[:, :, 5:15, 4:9], true[:, :, 5:15, 4:9]))
    spoilt = torch.where(mask[:, None], made, -made)
    torch.testing.assert_close(measure(spoilt, true, mask), inside)
    assert measure(made, true, torch.zeros_like(mask)).isfinite().all()


def ssim_by_loop(a, b):
    """Wang et al. (2004) in 0..1: means, variances, covariance under a Gaussian window, borders mirrored."""
    steps = np.arange(-5, 6)
    window = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2, found = 0.01**2, 0.03**2, []
    for x, y in zip((a.numpy() + 1) / 2, (b.numpy() + 1) / 2):
        wide_x, wide_y = (np.pad(picture, 5, mode="reflect") for picture in (x, y))
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                p, q = (wide[i : i + 11, j : j + 11] for wide in (wide_x, wide_y))
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * p * p).sum() - mp**2, (window * q * q).sum() - mq**2
                both = (window * p * q).sum() - mp * mq
                found.append((2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(found)


def test_ssim():
    made, true = pictures()
    assert ssim(true, true).tolist() == pytest.approx([1, 1, 1])
    worse = ssim(made, true)
    assert (worse < 1).all() and (ssim(torch.randn_like(true).clamp(-1, 1), true) < worse).all()
    wanted = [ssim_by_loop(a.double(), b.double()) for a, b in zip(made, true)]
    assert worse.tolist() == pytest.approx(wanted, abs=1e-4)


def test_parser_distance():
    parser = PeopleParser().eval()
    made, true = pictures(h=16, w=12)
    with torch.no_grad():
        assert torch.equal(parser_distance(true, true, parser), torch.zeros(3))
        found, layers = parser_distance(made, true, parser), list(zip(parser(made), parser(true)))
    wanted = sum((a - b).abs().mean((1, 2, 3)) for a, b in layers) / len(layers)
    torch.testing.assert_close(found, wanted)


# ------------------------------------------------------------------------------------------------------ maps and parts


P = len(PARTS)


def one_hot(labels, k):
    return torch.nn.functional.one_hot(labels, k).movedim(-1, 1).float()


def test_confusion_counts_pixels():
    parts, ruler = torch.randint(P, (2, 6, 5)), torch.randint(4, (2, 6, 5))
    counts = confusion(one_hot(ruler, 4), parts)
    for k in range(4):
        for p in range(P):
            assert counts[k, p] == ((ruler == k) & (parts == p)).sum()


def test_confusion_resizes_the_parts():
    parts = torch.randint(P, (2, 6, 5))
    large = parts.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.equal(confusion(one_hot(parts, P), large), confusion(one_hot(parts, P), parts))


def test_planted_parts_agree_whatever_their_order():
    parts = torch.randint(P, (4, 32, 22))
    order = torch.randperm(12)[:P]  # twelve textures, four of them idle
    found = entity_agreement(confusion(one_hot(order[parts], 12), parts))
    assert found["matched"] == pytest.approx(1) and found["grouped"] == pytest.approx(1)
    assert all(found[f"grouped_{part}"] == pytest.approx(1) for part in PARTS)


def test_random_maps_do_not_agree():
    parts = torch.randint(P, (4, 32, 22))
    found = entity_agreement(confusion(torch.rand(4, 12, 32, 22), parts))
    assert found["matched"] < 0.1 and found["grouped"] < 0.15


def test_split_part_is_whole_when_grouped():
    """Two textures share every part: one to one finds halves, grouped finds all."""
    parts = torch.randint(P, (4, 32, 22))
    halves = 2 * parts + torch.randint(2, parts.shape)
    found = entity_agreement(confusion(one_hot(halves, 2 * P), parts))
    assert found["grouped"] == pytest.approx(1) and found["matched"] == pytest.approx(0.5, abs=0.05)


def test_iou_of_a_known_overlap():
    """Texture 0 covers all 30 pixels of part 0 and 10 of part 1; texture 1 the other 20 of part 1."""
    counts = torch.zeros(2, P, dtype=torch.long)
    counts[0, 0], counts[0, 1], counts[1, 1] = 30, 10, 20
    found = entity_agreement(counts)
    assert found["matched"] == pytest.approx((30 / 40 + 20 / 30) / P)
    assert found[f"grouped_{PARTS[0]}"] == pytest.approx(30 / 40)
    assert found[f"grouped_{PARTS[1]}"] == pytest.approx(20 / 30)


# --------------------------------------------------------------------------------------------------------- whole tables


def test_interval():
    values = torch.randn(200) + 5
    found = interval(values)
    assert found == interval(values)  # the same draws every time
    assert found["low"] < found["mean"] < found["high"]
    assert found["mean"] == pytest.approx(values.mean().item(), rel=1e-5)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.25)


def test_interval_of_a_constant_has_no_width():
    assert interval(torch.full((9,), 0.25)) == {"mean": 0.25, "low": 0.25, "high": 0.25}


@pytest.fixture(scope="module")
def people():
    return held_out(torch.arange(3), height=32)


def test_truth_scores_best(people):
    parser = PeopleParser().eval()
    with torch.no_grad():
        truth, copy = similarity(people.target, people, parser), similarity(people.reference, people, parser)
    for name in ("psnr", "ssim", "person_psnr"):
        assert (truth[name] > copy[name]).all(), name
    for name in ("person_l1", "parser_distance"):
        assert (truth[name] == 0).all() and (copy[name] > 0).all(), name


def test_true_swap_has_no_error(people):
    errors = swap_error(people.swapped, people)
    assert (errors["inside"] == 0).all() and (errors["outside"] == 0).all()
    unchanged = swap_error(people.target, people)
    assert (unchanged["inside"] > 5 * unchanged["outside"]).all()  # outside, only what the top shades differs


def test_part_colours(people):
    painted = part_colours(people)
    for n in range(3):
        for part in range(len(PARTS)):
            here, there = people.reference_parts[n] == part, people.target_parts[n] == part
            rest = people.reference[n].flatten(1)
            colour = people.reference[n][:, here].mean(1) if here.any() else rest.mean(1)
            torch.testing.assert_close(painted[n][:, there], colour[:, None].expand(3, int(there.sum())))


def test_evaluation_is_complete(small):
    model, parser = NTED(small).eval(), PeopleParser().eval()
    measured = evaluate_people(model, parser, people=4, batch=3)
    for row in (*measured["similarity"].values(), *measured["swap"].values()):
        assert all(value["low"] <= value["mean"] <= value["high"] for value in row.values())
    assert set(measured["similarity"]) == {"model", *BASELINES} and len(measured["entities"]) == 4
    text = report(measured)
    assert all(name in text for name in ("model", *BASELINES, "swap", "psnr", "inside", "operation 1"))
