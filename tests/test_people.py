"""The synthetic people: kinds of ground truth tested against each other, and pictures against a committed sheet.

`python tests/test_people.py` redraws the committed sheet; do so only if the people are meant to look different.
"""

from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from PIL import Image

from nted_lite.people import ITEMS, PARTS, SPLITS, pairs, render, sample_people, sample_poses, swap
from nted_lite.people.body import FRAME, joints, skeleton
from nted_lite.people.chance import Draws
from nted_lite.people.shapes import PRIMITIVES, dress
from nted_lite.people.wardrobe import WORN, People

drawing = import_module("nted_lite.people.render")  # the module: `nted_lite.people.render` is the function
tracing = import_module("nted_lite.people.trace")
SEED = SPLITS["test"]
SHEET = Path(__file__).parent / "golden" / "people_sheet.png"
HAIR, FACE, ARMS, TOP, BOTTOM, LEGS, SHOES = range(1, len(PARTS))


def draw(index, view=0, height=64, **kwargs):
    index = torch.as_tensor(index)
    return render(sample_people(SEED, index), sample_poses(SEED, index, view), height, **kwargs)


def same(a, b):
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def sheet():
    """Four pictures each of eight people, 4 rows of 8 pictures, h w 3 uint8."""
    people = torch.arange(8)
    views = torch.stack([draw(people, view).image for view in range(4)])
    return (rearrange(views, "v b c h w -> (v h) (b w) c") * 127.5 + 127.5).round().byte().numpy()


# ---------------------------------------------------------------------------------------------- shapes and ranges


@pytest.mark.parametrize("height", [16, 64, 128, 256])
def test_view_has_the_promised_shapes(height):
    view, w = draw(range(2), height=height), height * 11 // 16
    assert view.image.shape == view.albedo.shape == (2, 3, height, w) and view.surface.shape == (2, 2, height, w)
    assert view.parts.shape == view.primitive.shape == view.depth.shape == (2, height, w)
    assert view.keypoints.shape == (2, 18, 2) and view.visible.shape == (2, 18)
    assert view.parts.dtype == view.primitive.dtype == torch.int64 and view.visible.dtype == torch.bool
    assert view.image.abs().max() <= 1 and not view.image.requires_grad and not view.image.is_inference()
    background = view.parts == 0
    assert torch.equal(background, view.primitive == -1) and torch.equal(background, view.depth.isinf())


def test_batches_can_be_indexed_moved_and_joined():
    index = torch.arange(5)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 0)
    view = render(people, poses)
    for batch in (people, poses, view, pairs(SEED, index)):
        assert len(batch[1:3]) == 2 and len(batch[torch.tensor([4])]) == 1 and len(batch[2]) == 1
        assert len(type(batch).cat([batch, batch[:1]])) == 6 and len(batch.to("cpu")) == 5
    assert same(view, type(view).cat([view[:2], view[2:]]))


def test_every_part_and_pattern_occurs():
    people = sample_people(SEED, torch.arange(300))
    assert set(people.top_pattern.tolist()) == set(range(8)) and set(people.hair_style.tolist()) == set(range(8))
    parts = draw(range(24)).parts
    assert set(parts.unique().tolist()) == set(range(len(PARTS)))
    assert 0.1 < (parts > 0).float().mean() < 0.5


# ---------------------------------------------------------------------------------------------- chance


def test_a_person_does_not_depend_on_the_batch():
    index = torch.arange(128)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 1)
    view = render(people, poses)
    some = torch.tensor([5, 127, 0, 64, 99, 31, 77])
    for rows in (some, some[:1], some[1:2]):
        assert same(people[rows], sample_people(SEED, index[rows]))
        assert same(poses[rows], sample_poses(SEED, index[rows], 1))
        assert same(view[rows], render(sample_people(SEED, index[rows]), sample_poses(SEED, index[rows], 1)))


def test_chunks_do_not_change_the_pictures(monkeypatch):
    whole = draw(range(9))
    monkeypatch.setattr(drawing, "CHUNK_RAYS", 2 * 128 * 88)
    assert same(whole, draw(range(9)))


def test_splits_views_and_people_differ():
    assert len(set(SPLITS.values())) == len(SPLITS) == 3
    index = torch.arange(64)
    skins = torch.cat([sample_people(seed, index).skin for seed in SPLITS.values()])
    assert len(skins.unique(dim=0)) == len(skins)
    first, second = (sample_poses(SEED, index, view).yaw for view in (0, 1))
    assert (first != second).all()
    mixed = sample_poses(SEED, index, index % 2).yaw
    assert torch.equal(mixed, torch.where(index % 2 == 0, first, second))


def test_draws_are_uniform_and_unrelated():
    draws = Draws(SEED, torch.arange(4000))
    a, b = draws("one", 2), draws("two", 2)
    assert 0 <= a.min() and a.max() < 1 and (a.mean() - 0.5).abs() < 0.02 and (a.var() - 1 / 12).abs() < 0.005
    assert torch.corrcoef(torch.cat([a, b], 1).T).sub(torch.eye(4)).abs().max() < 0.06
    assert (draws.choice("three", [3.0, 1.0]).float().mean() - 0.25).abs() < 0.03


# ---------------------------------------------------------------------------------------------- geometry


def marched(o, d, length, radius):
    """Slow reference: walk along each ray by its distance to the rounded cone (float64); inf for a miss."""
    sine, cosine = (x[..., 0] for x in tracing.slope(length[:, None], radius[:, None]))
    speed, t = d.norm(dim=-1), torch.zeros_like(length)
    for _ in range(300):
        x, y, z = (o + t[:, None] * d).unbind(-1)
        across = (x * x + z * z).sqrt()
        foot = (y - across * sine / cosine).clamp(torch.zeros_like(length), length)
        distance = (across**2 + (y - foot) ** 2).sqrt() - (radius[:, 0] - foot * sine)
        t = t + distance / speed
    return torch.where(distance.abs() < 1e-6, t, torch.inf)


def test_rays_meet_cones_where_marching_does():
    n, rng = 1000, torch.Generator().manual_seed(0)
    length = 0.15 + 0.3 * torch.rand(n, generator=rng).double()
    radius = 0.02 + 0.1 * torch.rand(n, 2, generator=rng).double()
    # Rays from all around that pass the cone within 0.1 m, some of them missing it; directions are no units.
    target = 0.2 * torch.rand(n, 3, generator=rng).double() - 0.1
    target[:, 1] += length / 2
    d = torch.randn(n, 3, generator=rng).double()
    o = target - d / d.norm(dim=1, keepdim=True)
    rays = [tuple(v[:, None, None] for v in x.unbind(-1)) for x in (o, d)]
    fast = tracing._intersect(*rays, length, radius, torch.zeros(n, 2, dtype=torch.bool))[:, 0, 0]
    slow = marched(o, d, length, radius)
    both = fast.isfinite() & slow.isfinite()
    assert torch.equal(fast.isfinite(), slow.isfinite())
    assert 0.3 < both.double().mean() < 0.95 and (fast - slow)[both].abs().max() < 1e-5


def test_culling_loses_nothing(monkeypatch):
    culled = draw(range(4), height=32)

    def all_triples(shapes, rays):
        tiles = torch.ones(-(-rays.rows // tracing.TILE), -(-rays.columns // tracing.TILE), dtype=torch.bool)
        return (shapes.worn[..., None, None] & tiles).nonzero(as_tuple=True)

    monkeypatch.setattr(tracing, "_touching", all_triples)
    assert same(culled, draw(range(4), height=32))


ON = {
    (0, 14, 15): (FACE, HAIR), (16, 17): (FACE, HAIR, TOP), (2, 5): (TOP, ARMS, FACE, HAIR), (3, 6): (ARMS, TOP),
    (4, 7): (ARMS, TOP), (8, 11): (TOP, BOTTOM), (9, 10, 12, 13): (LEGS, SHOES, BOTTOM, TOP),
}  # fmt: skip


def test_keypoints_lie_on_the_right_parts():
    index = torch.arange(48)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 0)
    view = render(people, poses, 128)
    behind = -joints(skeleton(people, poses))[..., 2]
    row, column = view.keypoints[..., 1].round().long(), view.keypoints[..., 0].round().long()
    right, wrong = 0, 0
    for group, parts in ON.items():
        on_part = torch.isin(view.parts, torch.tensor(parts)).float()
        near_part = torch.nn.functional.max_pool2d(on_part, 3, 1, 1) > 0  # give or take a pixel
        for joint in group:
            b = view.visible[:, joint].nonzero()[:, 0]
            at = b, row[b, joint], column[b, joint]
            uncovered = view.depth[at] > behind[b, joint] - 0.13  # a joint lies inside its limb
            good = near_part[at]
            right, wrong = right + (good & uncovered).sum(), wrong + (~good & uncovered).sum()
    assert right > 400 and wrong / (right + wrong) < 0.02


def test_face_points_are_hidden_from_behind():
    index = torch.arange(16)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 0)
    poses = replace(poses, head=torch.zeros(16, 3), zoom=torch.ones(16), focus=torch.full((16,), 0.5))
    back, front = (render(people, replace(poses, yaw=torch.full((16,), yaw))) for yaw in (torch.pi, 0.0))
    assert not back.visible[:, [0, 14, 15]].any()
    assert front.visible[:, [0, 14, 15]].float().mean() > 0.8  # now and then a hand is before the face
    right_eye, left_eye = front.keypoints[:, 14, 0], front.keypoints[:, 15, 0]
    assert (right_eye < left_eye).all()  # the person's right is the picture's left


# ---------------------------------------------------------------------------------------------- correspondences


def turned(degrees, height=128):
    """The same people in the same poses, turned: two views, and where each pixel of the first lies in the second.

    Returns the pixels' values (surface, albedo) in both views for those that both show. Where a pixel goes is computed
    from its depth and the rotation alone, not from surface coordinates.
    """
    n, angle = 10, torch.tensor(degrees * torch.pi / 180)
    index = torch.arange(n)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 0)
    turned_poses = replace(poses, yaw=poses.yaw + angle)
    a, b = render(people, poses, height, supersample=1), render(people, turned_poses, height, supersample=1)
    one, two = skeleton(people, poses), skeleton(people, turned_poses)
    who, row, column = (a.parts > 0).nonzero(as_tuple=True)
    width, step = height * 11 // 16, (FRAME / (poses.zoom * height))[who]
    x, y = (column - (width - 1) / 2) * step, ((height - 1) / 2 - row) * step
    point = torch.stack([x, y, -a.depth[who, row, column]], -1) - one.hips[who]
    point = torch.einsum("nij,nj->ni", one.body[who], point)  # into the body
    point = torch.einsum("nij,ni->nj", two.body[who], point) + two.hips[who]  # and out of the turned one
    column2 = (point[:, 0] / step + (width - 1) / 2).round().long().clamp(0, width - 1)
    row2 = ((height - 1) / 2 - point[:, 1] / step).round().long().clamp(0, height - 1)
    seen = (b.depth[who, row2, column2] + point[:, 2]).abs() < 0.02
    at, to = (who[seen], row[seen], column[seen]), (who[seen], row2[seen], column2[seen])
    same_primitive = a.primitive[at] == b.primitive[to]
    at, to = (tuple(i[same_primitive] for i in x) for x in (at, to))
    values = []
    for view, place in ((a, at), (b, to)):
        where = (place[0], slice(None), *place[1:])
        values.append((view.surface[where], view.albedo[where], view.image[where]))
    return values, same_primitive.float().mean()


def test_surface_coordinates_turn_with_the_body():
    ((surface_a, albedo_a, _), (surface_b, albedo_b, _)), agree = turned(35)
    assert agree > 0.9 and len(surface_a) > 3000
    error = (surface_a - surface_b).norm(dim=1)
    assert error.median() < 0.01 and error.quantile(0.95) < 0.035  # a pixel is 0.016 m
    # Pattern edges fall into different pixels; everything else has its colour in both views.
    assert ((albedo_a - albedo_b).abs().amax(1) < 1e-5).float().mean() > 0.85


def test_that_test_sees_coordinates_that_stay_behind(monkeypatch):
    honest = drawing._surface

    def planted(shapes, hits):
        still = torch.eye(3).expand_as(shapes.chart)
        return honest(replace(shapes, chart=still), hits)

    monkeypatch.setattr(drawing, "_surface", planted)
    ((surface_a, albedo_a, _), (surface_b, albedo_b, _)), _ = turned(35)
    assert (surface_a - surface_b).norm(dim=1).median() > 0.03


def test_the_picture_is_the_albedo_in_light_and_shade():
    view = draw(range(6), height=128, supersample=1)
    person = (view.parts > 0)[:, None].expand_as(view.image)
    image, albedo = (view.image[person] + 1) / 2, view.albedo[person]
    assert torch.corrcoef(torch.stack([image, albedo]))[0, 1] > 0.9
    assert (image <= 1.13 * albedo + 0.08).all() and (image >= 0.2 * albedo - 1e-3).all()


# ---------------------------------------------------------------------------------------------- swapping

REGIONS = {"top": (TOP,), "bottom": (BOTTOM,), "hair": (HAIR,), "shoes": (SHOES,), "skin": (FACE, ARMS, LEGS)}


@pytest.mark.parametrize("item", ITEMS)
def test_swap_changes_its_item_only(item):
    index = torch.arange(12)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 0)
    other = people[torch.arange(12).roll(1)]
    before, after = render(people, poses, 128), render(swap(people, other, item), poses, 128)
    parts = torch.tensor(REGIONS[item])
    region = torch.isin(before.parts, parts) | torch.isin(after.parts, parts)
    # Two pixels around it for edges; shadows that the item throws or no longer throws are faint or near.
    near = torch.nn.functional.max_pool2d(region.float()[:, None], 5, 1, 2)[:, 0] > 0
    change = (before.image - after.image).abs().amax(1)
    assert change[region].mean() > 0.1
    assert (change[~near] > 0.02).float().mean() < 0.004
    assert torch.equal(before.keypoints, after.keypoints)


def test_swap_takes_the_item_and_nothing_else():
    a, b = sample_people(SEED, torch.arange(3)), sample_people(SEED, torch.arange(3, 6))
    for item in ITEMS:
        mixed = swap(a, b, item)
        for field in fields(People):
            owner = b if field.name in WORN[item] else a
            assert torch.equal(getattr(mixed, field.name), getattr(owner, field.name))


# ---------------------------------------------------------------------------------------------- data set, sheet, errors


def test_pairs_are_views_zero_and_one():
    index = torch.tensor([3, 1_000_000_007])
    pair = pairs(SEED, index, 64)
    assert same(pair.people, sample_people(SEED, index))
    assert same(pair.reference, draw(index, 0)) and same(pair.target, draw(index, 1))


def test_the_sheet_is_the_committed_one():
    expected = np.asarray(Image.open(SHEET).convert("RGB")).astype(int)
    difference = np.abs(sheet().astype(int) - expected).max(-1)
    assert (difference > 4).mean() < 0.003  # edge pixels may fall to the other side on another machine


def test_bad_input_gets_one_clear_line():
    index = torch.arange(2)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 0)
    with pytest.raises(ValueError, match="top.*bottom.*hair.*shoes.*skin"):
        swap(people, people, "hat")
    for height in (0, 60, -16):
        with pytest.raises(ValueError, match="multiple of 16"):
            render(people, poses, height)
    with pytest.raises(ValueError, match="3 people"):
        render(sample_people(SEED, torch.arange(3)), poses)
    for bad in (torch.tensor(1), torch.zeros(2), torch.zeros(2, 2, dtype=torch.int64), torch.tensor([True])):
        with pytest.raises(ValueError, match="1-D tensor of integers"):
            sample_people(SEED, bad)


def test_primitives_are_all_made_and_fit_their_bits():
    index = torch.arange(2)
    people, poses = sample_people(SEED, index), sample_poses(SEED, index, 0)
    assert dress(people, skeleton(people, poses)).worn.shape == (2, len(PRIMITIVES))
    assert len(PRIMITIVES) <= 2**tracing.PRIMITIVE_BITS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_draws_the_same_people():
    index = torch.arange(32)
    one, two = pairs(SEED, index).target, pairs(SEED, index, device="cuda").target.to("cpu")
    assert (one.parts != two.parts).float().mean() < 0.002
    assert (one.keypoints - two.keypoints).abs().max() < 0.01
    assert ((one.image - two.image).abs() > 0.03).float().mean() < 0.005


if __name__ == "__main__":
    Image.fromarray(sheet()).save(SHEET, optimize=True)
