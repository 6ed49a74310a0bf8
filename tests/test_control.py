"""Appearance control: no exchange gives the reference, a full one the garment; planted areas are found."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from nted_lite import NTED, Textures
from nted_lite.control import Refinement, area_of, fuse, pull, refine, select, select_pure, wear
from nted_lite.people import PARTS


@pytest.fixture(scope="module")
def model(small):
    torch.manual_seed(1)
    return NTED(small).eval()


@pytest.fixture(scope="module")
def people(model):
    """A reference, a garment, and one pose."""
    torch.manual_seed(2)
    return torch.rand(2, 3, 64, 44) * 2 - 1, torch.rand(2, 3, 64, 44) * 2 - 1, torch.rand(2, 20, 64, 44)


@pytest.fixture(scope="module")
def textures(model, people):
    with torch.no_grad():
        return model.extract(people[0]), model.extract(people[1])


def constant(textures, value):
    return [torch.full(t.shape[:2], value) for t in textures.vectors]


# ------------------------------------------------------------------------------------------------------- fused textures


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_ends_are_exact(model, people, textures, value):
    pose = people[2]
    with torch.no_grad():
        fused = model.render(pose, fuse(*textures, constant(textures[0], value)))
        pure = model.render(pose, textures[int(value)])
    assert torch.equal(fused.image, pure.image)
    assert all(map(torch.equal, fused.distribution, pure.distribution))


def test_fuse_is_linear(textures):
    reference, garment = textures
    a, b = ([torch.rand(t.shape[:2]) for t in reference.vectors] for _ in range(2))
    between = fuse(reference, garment, [0.25 * x + 0.75 * y for x, y in zip(a, b)])
    at_a, at_b = fuse(reference, garment, a), fuse(reference, garment, b)
    for middle, x, y in zip(between.vectors, at_a.vectors, at_b.vectors):
        torch.testing.assert_close(middle, 0.25 * x + 0.75 * y)
    for vectors, r, g, x in zip(at_a.vectors, reference.vectors, garment.vectors, a):
        torch.testing.assert_close(vectors, r + x[..., None] * (g - r))


def test_entities_are_exchanged_one_by_one(textures):
    reference, garment = textures
    chosen = [(torch.arange(t.shape[1]) == 1).float() for t in reference.vectors]  # k: for the whole batch
    for fused, r, g in zip(fuse(reference, garment, chosen).vectors, reference.vectors, garment.vectors):
        assert torch.equal(fused[:, 1], g[:, 1]) and torch.equal(fused[:, [0, 2]], r[:, [0, 2]])


def test_coefficients_can_be_learnt(model, people, textures):
    coefficients = [c.requires_grad_() for c in constant(textures[0], 0.5)]
    model.render(people[2], fuse(*textures, coefficients)).image.square().mean().backward()
    assert all(c.grad.abs().sum() > 0 for c in coefficients)


def test_wrong_number_of_operations(textures):
    with pytest.raises(ValueError):
        fuse(*textures, constant(textures[0], 1.0)[:-1])


# ----------------------------------------------------------------------------------------------------- chosen entities


def planted(entity, mask, k=8):
    """A map that gives `entity` 90 % of the mask and 1 % of the rest."""
    share = torch.where(mask, 0.9, 0.01)
    others = (1 - share) / (k - 1)
    maps = others[:, None].repeat(1, k, 1, 1)
    maps[:, entity] = share
    return maps


def box(top, bottom, b=2):
    mask = torch.zeros(b, 16, 11, dtype=torch.bool)
    mask[:, top:bottom, 3:8] = True
    return mask


@pytest.mark.parametrize("rule", [select, select_pure])
def test_planted_entity_is_chosen(rule):
    mask = box(4, 10)
    (chosen,) = rule([[planted(5, mask)]], [mask])
    assert chosen.shape == (2, 8) and chosen.argmax(1).tolist() == [5, 5] and chosen.sum() == 2


@pytest.mark.parametrize("rule", [select, select_pure])
def test_entities_of_either_picture_are_chosen(rule):
    """Each in its own area: the reference's top is made by entity 2, the garment's by 6."""
    masks = [box(4, 10), box(6, 12)]
    (chosen,) = rule([[planted(2, masks[0])], [planted(6, masks[1])]], masks)
    assert chosen[0].nonzero().flatten().tolist() == [2, 6]


def test_mask_of_a_larger_picture():
    mask = box(4, 10)
    large = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert torch.equal(select([[planted(5, mask)]], [large])[0], select([[planted(5, mask)]], [mask])[0])


def test_threshold_is_a_multiple_of_the_even_share():
    mask = box(4, 10)
    even = torch.full((2, 8, 16, 11), 1 / 8)
    assert select([[even]], [mask], threshold=0.9)[0].all() and not select([[even]], [mask], threshold=1.1)[0].any()


def test_a_texture_that_paints_much_else_is_not_pure():
    """Entity 5 covers the whole picture: it has most of the area, but little of what it paints lies there."""
    mask = box(4, 10)
    everywhere = [[planted(5, box(0, 16))]]
    assert select(everywhere, [mask])[0][:, 5].all() and not select_pure(everywhere, [mask])[0].any()


@pytest.mark.parametrize("rule", [select, select_pure])
def test_empty_mask_chooses_nothing(rule):
    nowhere = box(0, 0)
    assert not rule([[planted(5, box(4, 10))]], [nowhere])[0].any()


# --------------------------------------------------------------------------------------------------- the whole exchange


class HalfTop:
    """A parser that takes the upper half of every picture for a top and the lower half for background."""

    def parse(self, image):
        parts = torch.zeros(len(image), len(PARTS), *image.shape[2:])
        parts[:, PARTS.index("top"), : image.shape[2] // 2] = 10
        return SimpleNamespace(parts=parts)


def test_area_of():
    area = area_of(HalfTop(), torch.zeros(2, 3, 64, 44), "top")
    assert area[:, :32].all() and not area[:, 32:].any()
    assert torch.equal(area_of(HalfTop(), torch.zeros(2, 3, 64, 44), "background"), ~area)


@pytest.mark.parametrize(("purity", "whose"), [(0.0, 1), (1.1, 0)])
def test_wear_everything_or_nothing(model, people, purity, whose):
    """An area with every entity in it dresses the whole person; one with none changes nothing."""
    rendering, coefficients = wear(model, HalfTop(), *people, choose=partial(select_pure, purity=purity))
    assert all((c == whose).all() for c in coefficients)
    with torch.no_grad():
        assert torch.equal(rendering.image, model(people[whose], people[2]).image)


def test_wear_is_select_and_fuse(model, people, textures):
    rendering, coefficients = wear(model, HalfTop(), *people, choose=partial(select, threshold=1.0))
    assert 0 < sum(c.sum() for c in coefficients) < sum(c.numel() for c in coefficients)
    with torch.no_grad():
        pictures = [model.render(people[2], t) for t in textures]
        mask = area_of(HalfTop(), people[0], "top")
        again = select([p.distribution for p in pictures], [mask, mask], threshold=1.0)
        assert all(map(torch.equal, again, coefficients))
        assert torch.equal(model.render(people[2], fuse(*textures, again)).image, rendering.image)


def test_area_of_a_group_and_of_a_probability():
    skin = torch.zeros(1, len(PARTS), 1, 3)
    for place, part in enumerate(("face", "legs", "hair")):
        skin[0, PARTS.index(part), 0, place] = 5
    parser = SimpleNamespace(parse=lambda image: SimpleNamespace(parts=skin))
    assert area_of(parser, skin, "skin").tolist() == [[[True, True, False]]]
    even = SimpleNamespace(parse=lambda image: SimpleNamespace(parts=torch.zeros(1, 8, 1, 1)))
    for part, least, seen in (("top", 0.12, True), ("top", 0.13, False), ("skin", 0.37, True), ("skin", 0.38, False)):
        assert area_of(even, skin, part, least).item() == seen


def test_wear_refuses_an_unknown_part(model, people):
    with pytest.raises(ValueError, match="no part 'cape'; there are background, hair, skin"):
        wear(model, HalfTop(), *people, part="cape")


def test_fuse_keeps_where_the_reference_was_read(textures):
    fused = fuse(*textures, constant(textures[0], 1.0))
    assert isinstance(fused, Textures) and fused.extraction is textures[0].extraction


# --------------------------------------------------------------------------------------------------------- refinement


def pull_by_loops(coefficients, distributions, mask, threshold):
    total = torch.zeros(len(mask))
    for a, d in zip(coefficients, distributions, strict=True):
        small = mask.float().unflatten(1, (d.shape[2], -1)).unflatten(3, (d.shape[3], -1)).mean((2, 4))
        for b in range(len(a)):
            for k in range(a.shape[1]):
                for area, missing in ((small[b], max(1 - a[b, k], 0)), (1 - small[b], max(a[b, k], 0))):
                    share = (d[b, k] * area).sum() / area.sum()
                    total[b] += share * missing if share >= threshold / a.shape[1] else 0
    return total


def test_pull_equals_loops():
    mask = torch.rand(2, 16, 8) > 0.4
    maps = [(3 * torch.randn(2, k, 8, 4)).softmax(1) for k in (3, 5)]
    a = [2 * torch.rand(2, k) - 0.5 for k in (3, 5)]
    torch.testing.assert_close(pull(a, maps, mask, 1.0), pull_by_loops(a, maps, mask, 1.0))
    assert not torch.allclose(pull(a, maps, mask, 1.0), pull(a, maps, mask, 0.1)), "the threshold matters here"


def test_pull_sends_no_gradient_into_the_maps():
    maps = torch.rand(1, 4, 8, 4).softmax(1).requires_grad_()
    a = torch.full((1, 4), 0.5, requires_grad=True)
    pull([a], [maps], torch.rand(1, 8, 4) > 0.5, 0.5).sum().backward()
    assert maps.grad is None and a.grad.abs().sum() > 0


def pixels(image):
    """Features that are the picture itself."""
    return [image]


def descend(model, people, textures, start, features=pixels, **how):
    reference, garment, pose = people
    with torch.no_grad():
        renderings = [model.render(pose, t) for t in textures]
        return refine(model, HalfTop(), features, textures, renderings, pose, start, how=Refinement(**how))


def test_no_step_changes_nothing(model, people, textures):
    start = constant(textures[0], 0.25)
    assert all(map(torch.equal, descend(model, people, textures, start, steps=0), start))


def test_refinement_goes_down_its_own_loss(model, people, textures):
    """Editing alone, the upper half turns to the garment; maintaining alone, the lower half turns back."""
    pose, start = people[2], constant(textures[0], 0.5)
    edited = descend(model, people, textures, start, steps=30, lr=0.05, maintain=0.0, scale=1e7)
    with torch.no_grad():
        wanted = model.render(pose, textures[1]).image[:, :, :32]
        far, near = ((model.render(pose, fuse(*textures, a)).image[:, :, :32] - wanted).abs().mean()
                     for a in (start, edited))  # fmt: skip
    assert near < 0.7 * far
    assert all(0 <= a.min() and a.max() <= 1 for a in edited)
    kept = descend(model, people, textures, start, steps=30, lr=0.05, maintain=1e4, scale=1e4)
    with torch.no_grad():
        wanted = model.render(pose, textures[0]).image[:, :, 32:]
        far, near = ((model.render(pose, fuse(*textures, a)).image[:, :, 32:] - wanted).abs().mean()
                     for a in (start, kept))  # fmt: skip
    assert near < 0.7 * far


def test_a_swap_does_not_depend_on_the_others_of_its_batch(model, people, textures):
    both = descend(model, people, textures, constant(textures[0], 0.5), steps=3)
    first = tuple(x[:1] for x in people)
    alone = [Textures(tuple(v[:1] for v in t.vectors), t.extraction) for t in textures]
    one = descend(model, first, alone, [a[:1] for a in constant(textures[0], 0.5)], steps=3)
    for a, b in zip(both, one, strict=True):
        torch.testing.assert_close(a[:1], b, atol=1e-3, rtol=0)


def test_refinement_leaves_the_model_alone(model, people, textures):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.zero_grad()
    descend(model, people, textures, constant(textures[0], 0.5), steps=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_wear_refines_what_the_papers_rule_selects(model, people, textures):
    how = Refinement(steps=2)
    rendering, coefficients = wear(model, HalfTop(), *people, refinement=how, features=pixels)
    with torch.no_grad():
        pictures = [model.render(people[2], t) for t in textures]
        mask = area_of(HalfTop(), people[0], "top")
        start = select([p.distribution for p in pictures], [mask, mask])
        wanted = refine(model, HalfTop(), pixels, textures, pictures, people[2], start, how=how)
        assert all(map(torch.equal, coefficients, wanted))
        assert torch.equal(model.render(people[2], fuse(*textures, wanted)).image, rendering.image)
