"""The measures equal their formulas, and distinguish planted effects from chance."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nted_lite import ModelConfig
from nted_lite.entities import GROUPS, confusion, merge
from nted_lite.evaluation.held_out import (
    KINDS,
    REGIONS,
    held_out,
    part_colours,
    patterned,
    regions,
    seen_surface,
)
from nted_lite.evaluation.measures import (
    entity_agreement,
    error_by_region,
    feature_distance,
    frechet,
    high_pass,
    l1,
    pattern_correlation,
    pooled,
    psnr,
    ssim,
    transport_accuracy,
)
from nted_lite.evaluation.people import pattern_match, region_error, seen_error, similarity, swap_error
from nted_lite.people import PARTS, SPLITS, pairs, render, sample_people, sample_poses
from nted_lite.people.body import FRAME
from nted_lite.people.wardrobe import PATTERNS


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
    assert worse.tolist() == pytest.approx(wanted, abs=1e-6)


def test_ssim_equals_torchmetrics():
    from torchmetrics.functional.image import structural_similarity_index_measure

    made, true = pictures(h=64, w=44)
    theirs = structural_similarity_index_measure((made + 1) / 2, (true + 1) / 2, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(made, true), theirs, atol=1e-5, rtol=0)


def test_feature_distance():
    a, b = ([torch.randn(3, c, n, n) for c, n in ((4, 8), (6, 4))] for _ in range(2))
    wanted = [np.mean([(x[n] - y[n]).abs().mean().item() for x, y in zip(a, b)]) for n in range(3)]
    assert feature_distance(a, b).tolist() == pytest.approx(wanted, rel=1e-5)
    assert torch.equal(feature_distance(a, a), torch.zeros(3))


# ------------------------------------------------------------------------------------------------ patterns and regions


def high_pass_by_loop(image, mask, window):
    """Every pixel of the mask minus the mean of the window's pixels that lie in the mask, too."""
    found, reach = torch.zeros_like(image), window // 2
    for n, i, j in mask.nonzero().tolist():
        rows, columns = slice(max(0, i - reach), i + reach + 1), slice(max(0, j - reach), j + reach + 1)
        near = image[n, :, rows, columns][:, mask[n, rows, columns]]
        found[n, :, i, j] = image[n, :, i, j] - near.mean(1)
    return found


@pytest.mark.parametrize("window", [3, 5, 9])
def test_high_pass_equals_its_loop(window):
    image, mask = pictures()[0], torch.rand(3, 20, 16) < 0.6
    torch.testing.assert_close(high_pass(image, mask, window), high_pass_by_loop(image, mask, window))


def test_pattern_correlation_equals_its_formula():
    made, true = pictures()
    mask = torch.rand(3, 20, 16) < 0.6
    for n, found in enumerate(pattern_correlation(made, true, mask)):
        a, b = (high_pass_by_loop(x.double(), mask, 5)[n].flatten() for x in (made, true))
        assert found.item() == pytest.approx((a @ b / (a.norm() * b.norm())).item(), abs=1e-5)


@pytest.fixture
def garment():
    """A garment with stripes on a person who is darker, and where it is."""
    rows = torch.arange(24) // 2 % 2  # a period of four pixels
    image = torch.full((1, 3, 24, 16), -0.9)
    mask = torch.zeros(1, 24, 16, dtype=torch.bool)
    mask[:, 4:20, 3:13] = True
    return torch.where(mask[:, None], 0.4 * rows[:, None] + 0.2, image), mask


def test_the_same_pattern_correlates_at_any_contrast(garment):
    image, mask = garment
    flat = torch.where(mask[:, None], image[:, :, 4:20, 3:13].mean(), image)
    for contrast, wanted in ((1, 1), (0.1, 1), (-1, -1)):
        found = pattern_correlation(flat + contrast * (image - flat), image, mask)
        assert found.item() == pytest.approx(wanted, abs=0.02), contrast


def test_a_pattern_in_another_place_does_not_correlate(garment):
    image, mask = garment
    shifted = torch.where(mask[:, None], image.roll(1, 2), image)  # by a quarter of the period
    assert abs(pattern_correlation(shifted, image, mask).item()) < 0.15
    noise = torch.where(mask[:, None], torch.rand_like(image), image)
    assert abs(pattern_correlation(noise, image, mask).item()) < 0.2


def test_the_outline_is_no_pattern(garment):
    """A flat garment of the right shape scores nothing, and what is outside the garment does not matter."""
    image, mask = garment
    flat = torch.where(mask[:, None], 0.5, image)
    assert pattern_correlation(flat, image, mask).item() == pytest.approx(0, abs=1e-4)
    elsewhere = torch.where(mask[:, None], image, torch.rand_like(image))
    assert pattern_correlation(elsewhere, image, mask).item() == pytest.approx(1)
    assert pattern_correlation(image, image, torch.zeros_like(mask)).isnan().all()


def test_error_by_region_equals_its_loop():
    made, true = pictures()
    where = torch.randint(4, (3, 20, 16))
    found = error_by_region(made, true, where, 5)
    for n in range(3):
        for region in range(5):
            each = (((made - true) / 2) ** 2).mean(1)[n][where[n] == region]
            assert found[n, region].item() == pytest.approx(each.sum().item() / (20 * 16), rel=1e-5)
    torch.testing.assert_close(-10 * found.sum(1).log10(), psnr(made, true))  # the regions add up to the whole


def test_regions_equal_their_loop():
    """Every pixel looks at its eight neighbours."""
    pair = pairs(SPLITS["test"], torch.arange(3), height=48)
    found, parts = regions(pair.people, pair.target.parts), pair.target.parts
    for n in range(3):
        plain = {PARTS.index(name): bool(getattr(pair.people, f"{name}_pattern")[n] == 0) for name in ("top", "bottom")}
        for i in range(48):
            for j in range(33):
                own = parts[n, i, j].item()
                near = set(parts[n, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].flatten().tolist())
                wanted = "rest"
                if own in plain:
                    wanted = "plain cloth" if plain[own] else "patterned cloth"
                if own and near != {own}:
                    wanted = "edges"
                if not own and near != {0}:
                    wanted = "silhouette"
                assert REGIONS[found[n, i, j]] == wanted, (n, i, j)


def test_regions_are_the_same_share_of_a_larger_picture():
    index, areas = torch.arange(16), []
    for height in (64, 128):
        pair = pairs(SPLITS["test"], index, height)
        found = regions(pair.people, pair.target.parts)
        areas.append(torch.stack([(found == region).float().mean() for region in range(len(REGIONS))]))
    assert (areas[0] - areas[1]).abs().max() < 0.02 and areas[0].min() > 0.02


@pytest.mark.parametrize("region", REGIONS)
def test_a_planted_error_is_found_in_its_region(people, region):
    made = torch.where((people.regions == REGIONS.index(region))[:, None], -people.target, people.target)
    found = region_error(made, people)
    assert found[region].sum() > 0 and all(value.sum() == 0 for name, value in found.items() if name != region)


def test_patterned_garments_equal_their_loop():
    pair = pairs(SPLITS["test"], torch.arange(24), height=32)
    seen, parts = seen_surface(pair.reference, pair.target), pair.target.parts
    found, total = patterned(pair.people, parts, seen), 0
    for kind, names in KINDS.items():
        for n in range(24):
            for g, name in enumerate(("top", "bottom")):
                garment = parts[n] == PARTS.index(name)
                pattern = PATTERNS[getattr(pair.people, f"{name}_pattern")[n]]
                counts = pattern in names and (garment & seen[n]).sum() >= garment.sum() / 2
                assert torch.equal(found[kind][n, g], garment & torch.tensor(bool(counts)))
                total += bool(counts)
    assert 5 < total < 30 and {"solid", *KINDS["fine"], *KINDS["coarse"]} == set(PATTERNS)


def test_the_truth_has_its_patterns_and_a_flat_garment_none():
    people = held_out(torch.arange(24), ModelConfig())
    truth, flat = pattern_match(people.target, people), pattern_match(part_colours(people), people)
    for kind in KINDS:
        assert len(truth[kind]) > 2 and torch.allclose(truth[kind], torch.ones(1))
        assert flat[kind].abs().mean() < 0.1 and len(flat[kind]) == len(truth[kind])


# --------------------------------------------------------------------------------------------------- sets of pictures


def test_frechet_of_known_gaussians():
    """For covariances that are diagonal: squared distance of means plus squared distances of deviations."""
    a = torch.randn(200, 5, dtype=torch.double)
    a = torch.linalg.qr(a - a.mean(0)).Q * 199**0.5  # mean 0, covariance exactly 1
    scale, shift = torch.tensor([2.0, 1, 3, 0.5, 0]).double(), torch.tensor([1.0, 0, 0, -2, 0]).double()
    wanted = shift.square().sum() + (scale - 1).square().sum()
    assert frechet(a, a * scale + shift) == pytest.approx(wanted.item(), rel=1e-9)


@pytest.mark.parametrize("n", [300, 8])  # more pictures than features, and fewer: covariances without full rank
def test_frechet_equals_torchmetrics(n):
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Flat(torch.nn.Module):
        num_features = 12

        def forward(self, pictures):
            return pictures.flatten(1)

    a, b = torch.rand(n, 3, 2, 2), 0.7 * torch.rand(n + 3, 3, 2, 2) + 0.2
    theirs = FrechetInceptionDistance(Flat(), normalize=True).set_dtype(torch.double)
    theirs.update(a.double(), real=True)
    theirs.update(b.double(), real=False)
    assert frechet(a.flatten(1), b.flatten(1)) == pytest.approx(theirs.compute().item(), abs=1e-6)


def test_frechet_tells_equal_sets_from_others():
    a = torch.randn(50, 80)  # fewer pictures than features
    assert frechet(a, a[torch.randperm(50)]) == pytest.approx(0, abs=1e-10)
    assert 1 < frechet(a, torch.randn(50, 80)) < frechet(a, torch.randn(50, 80) + 1)
    with pytest.raises(ValueError, match="needs 2 pictures or more on either side, not 50 and 1"):
        frechet(a, a[:1])


def test_pooled_features():
    features = [torch.randn(3, c, n, n) for c, n in ((4, 8), (6, 4))]
    for n, found in enumerate(pooled(features)):
        torch.testing.assert_close(found, torch.stack([channel.mean() for scale in features for channel in scale[n]]))


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


def test_skin_is_one_group():
    """A texture for all skin is wrong about the eight parts and right about the six groups."""
    parts = torch.randint(P, (4, 32, 22))
    skin = [PARTS.index(part) for part in GROUPS["skin"]]
    one = torch.where(torch.isin(parts, torch.tensor(skin)), skin[0], parts)
    counts = confusion(one_hot(one, P), parts)
    eight, six = entity_agreement(counts), entity_agreement(merge(counts), tuple(GROUPS))
    assert eight["grouped"] < 0.75 and eight["matched"] < 0.75
    assert six["grouped"] == pytest.approx(1) and six["matched"] == pytest.approx(1)
    assert six["grouped_skin"] == pytest.approx(1) and six["information"] == pytest.approx(six["part_information"])


def test_groups_cover_every_part_once():
    assert sorted(part for group in GROUPS.values() for part in group) == sorted(PARTS)
    counts = torch.randint(99, (5, P))
    merged = merge(counts)
    for number, group in enumerate(GROUPS.values()):
        assert torch.equal(merged[:, number], sum(counts[:, PARTS.index(part)] for part in group))


def test_iou_of_a_known_overlap():
    """Texture 0 covers all 30 pixels of part 0 and 10 of part 1; texture 1 the other 20 of part 1."""
    counts = torch.zeros(2, P, dtype=torch.long)
    counts[0, 0], counts[0, 1], counts[1, 1] = 30, 10, 20
    found = entity_agreement(counts)
    assert found["matched"] == pytest.approx((30 / 40 + 20 / 30) / P)
    assert found[f"grouped_{PARTS[0]}"] == pytest.approx(30 / 40)
    assert found[f"grouped_{PARTS[1]}"] == pytest.approx(20 / 30)


def test_information_equals_its_formula():
    counts = torch.randint(1, 50, (5, P))
    joint, found = (counts / counts.sum()).double(), entity_agreement(counts)
    bits = entropy = 0.0
    for p in range(P):
        for k in range(5):
            bits += joint[k, p] * math.log2(joint[k, p] / (joint[k].sum() * joint[:, p].sum()))
        entropy -= joint[:, p].sum() * math.log2(joint[:, p].sum())
    assert found["information"] == pytest.approx(float(bits), abs=1e-6)
    assert found["part_information"] == pytest.approx(float(entropy), abs=1e-6)


def test_information_is_all_or_nothing():
    """Textures of one part each tell everything, in any order and of any number; equal textures tell nothing."""
    parts = torch.randint(P, (4, 32, 22))
    for textures in (torch.randperm(12)[:P][parts], 2 * parts + torch.randint(2, parts.shape)):
        found = entity_agreement(confusion(one_hot(textures, 2 * P), parts))
        assert found["information"] == pytest.approx(found["part_information"], abs=1e-9) and found["information"] > 2.9
    assert entity_agreement(torch.full((3, P), 7))["information"] == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------------------------ transport


def maps(b=2, k=5, h=8, w=6):
    extraction = torch.randn(b, k, h * w).mul(2).softmax(-1).unflatten(-1, (h, w))
    return extraction, torch.randn(b, k, h, w).mul(2).softmax(1)


def transport_by_loop(extraction, distribution, reference_parts, target_parts, where):
    """Every target position, every texture, every reference position."""
    (k, h, w), shares = extraction.shape, []
    positions = [(i, j) for i in range(h) for j in range(w)]
    for i, j in positions:
        if where[i, j]:
            share = 0.0
            for t in range(k):
                for y, x in positions:
                    if reference_parts[y, x] == target_parts[i, j]:
                        share += (distribution[t, i, j] * extraction[t, y, x]).item()
            shares.append(share)
    return np.mean(shares)


def test_transport_equals_its_loop():
    extraction, distribution = maps()
    here, there, where = torch.randint(P, (2, 8, 6)), torch.randint(P, (2, 8, 6)), torch.rand(2, 8, 6) < 0.5
    found = transport_accuracy(extraction, distribution, here, there, where)
    wanted = [transport_by_loop(*inputs) for inputs in zip(extraction, distribution, here, there, where)]
    assert found.tolist() == pytest.approx(wanted, abs=1e-5)
    large = [labels.repeat_interleave(3, 1).repeat_interleave(3, 2) for labels in (here, there, where)]
    torch.testing.assert_close(transport_accuracy(extraction, distribution, *large), found)
    shuffled = [each[:, torch.tensor([3, 0, 4, 1, 2])] for each in (extraction, distribution)]
    torch.testing.assert_close(transport_accuracy(*shuffled, here, there, where), found)


def test_perfect_maps_transport_everything():
    here, there = torch.randint(P, (2, 32, 22)), torch.randint(P, (2, 32, 22))
    extraction = one_hot(here, P) / one_hot(here, P).sum((2, 3), keepdim=True)
    everywhere = torch.ones_like(there, dtype=torch.bool)
    found = transport_accuracy(extraction, one_hot(there, P), here, there, everywhere)
    torch.testing.assert_close(found, torch.ones(2))
    shifted = transport_accuracy(extraction.roll(1, 1), one_hot(there, P), here, there, everywhere)
    assert torch.equal(shifted, torch.zeros(2))  # every texture taken from the part next in the list


def test_flat_extraction_transports_by_chance():
    here, there = torch.zeros(1, 8, 6, dtype=torch.long), torch.zeros(1, 8, 6, dtype=torch.long)
    here[:, :2] = 4  # a quarter of the reference
    there[:, 5:] = 4
    _, distribution = maps(b=1)
    found = transport_accuracy(torch.full((1, 5, 8, 6), 1 / 48), distribution, here, there, there == 4)
    assert found.item() == pytest.approx(0.25)
    assert transport_accuracy(*maps(b=1), here, there, there == 5).isnan().all()  # nowhere to look


# --------------------------------------------------------------------------------------------------- seen and not seen


def seen_by_loop(reference, target, size):
    """Round both surfaces to patches, and compare every pixel of the person with every pixel of the other picture."""
    seen = torch.zeros_like(target.parts, dtype=torch.bool)
    for n in range(len(seen)):
        shown = [
            (reference.primitive[n, i, j].item(), *(reference.surface[n, :, i, j] / size).round().tolist())
            for i, j in (reference.primitive[n] >= 0).nonzero().tolist()
        ]
        for i, j in (target.primitive[n] >= 0).nonzero().tolist():
            u, v = (target.surface[n, :, i, j] / size).round().tolist()
            name = target.primitive[n, i, j].item()
            seen[n, i, j] = any(name == p and abs(u - a) <= 1 and abs(v - b) <= 1 for p, a, b in shown)
    return seen


def test_seen_surface_equals_its_loop():
    pair = pairs(SPLITS["test"], torch.arange(4), height=32)
    found = seen_surface(pair.reference, pair.target)
    assert torch.equal(found, seen_by_loop(pair.reference, pair.target, FRAME / 32))
    share = found.sum() / (pair.target.primitive >= 0).sum()
    assert 0.2 < share < 0.9


def test_a_picture_sees_itself_and_nobody_sees_the_background():
    view = pairs(SPLITS["test"], torch.arange(4), height=32).target
    assert torch.equal(seen_surface(view, view), view.primitive >= 0)
    others = view[torch.tensor([1, 2, 3, 0])]  # a batch's persons are kept apart
    assert torch.equal(seen_surface(others, view), seen_by_loop(others, view, FRAME / 32))


def test_the_back_is_not_seen_from_the_front():
    """The albedo of what is seen is found in the reference; turned around, hardly anything of the person is seen."""
    person, pose = sample_people(0, torch.tensor([3])), sample_poses(0, torch.tensor([3]), 0)
    yaw = torch.tensor([0.0, torch.pi / 12, torch.pi])
    views = [render(person, replace(pose, yaw=angle[None]), height=64) for angle in yaw]
    near, far = (seen_surface(views[0], view).sum() / (view.primitive >= 0).sum() for view in views[1:])
    assert near > 0.8 and far < 0.2


@pytest.fixture(scope="module")
def people(tiny):
    return held_out(torch.arange(3), tiny)


def test_seen_error(people):
    person = people.target_parts != PARTS.index("background")
    assert (people.seen & ~person).sum() == 0 and (people.seen & person).any()
    made = torch.where(people.seen[:, None], people.target + 0.1, people.target).clamp(-1, 1)  # wrong where it is seen
    errors = seen_error(made, people)
    assert (errors["seen"] > 0.05).all() and (errors["unseen"] == 0).all()
    blind = replace(people, seen=torch.zeros_like(people.seen))
    assert seen_error(made, blind)["seen"].isnan().all() and (seen_error(made, blind)["unseen"] > 0).all()


def test_truth_scores_best(people):
    truth, copy = similarity(people.target, people), similarity(people.reference, people)
    for name in ("psnr", "ssim", "person_psnr"):
        assert (truth[name] > copy[name]).all(), name
    assert (truth["person_l1"] == 0).all() and (copy["person_l1"] > 0).all()


def test_true_swap_has_no_error(people):
    errors = swap_error(people.swapped, people)
    assert (errors["inside"] == 0).all() and (errors["outside"] == 0).all()
    unchanged = swap_error(people.target, people)
    assert (unchanged["inside"] > 5 * unchanged["outside"]).all()  # outside, only what the top shades differs
