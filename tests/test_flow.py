"""Appearance flow fetches the right pixels, of the right photo, and a model without it can be given it."""

from dataclasses import replace

import pytest
import torch
from einops import rearrange, repeat

from nted_lite import NTED
from nted_lite.config import LossWeights
from nted_lite.control import fuse
from nted_lite.flow import AppearanceFlow, Photos, carry, positions
from nted_lite.losses import appearance_flow, limb_flow
from nted_lite.people import SPLITS, pairs
from nted_lite.weights.hub import shipped


@pytest.fixture
def model(small):
    """A model with appearance flow whose flow is used: the blend is no longer what it starts as."""
    model = NTED(replace(small, appearance_flow=True)).eval()
    torch.nn.init.normal_(model.renderer.flow.blend[-1].weight)
    torch.nn.init.normal_(model.renderer.flow.refine[-1].weight)
    return model


def everywhere(h, w, b=1):
    """The flow that fetches each pixel from where it is."""
    return repeat(positions(h, w, torch.zeros(())), "c h w -> b c h w", b=b)


def test_positions_are_the_centres_of_pixels():
    x, y = positions(4, 2, torch.zeros(()))
    assert x[0].tolist() == [-0.5, 0.5] and y[:, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_carry_fetches_from_where_the_flow_points():
    image = torch.rand(2, 3, 8, 6)
    torch.testing.assert_close(carry(image, everywhere(8, 6, 2)), image)
    right = everywhere(8, 6, 2) + torch.tensor([2 / 6, 0])[:, None, None]
    torch.testing.assert_close(carry(image, right), torch.cat([image[..., 1:], image[..., -1:]], dim=-1))


class Known(torch.nn.Module):
    """In place of the query: what each position of the target shows."""

    def __init__(self, shows):
        super().__init__()
        self.shows = shows

    def forward(self, features):
        return self.shows


@pytest.fixture
def matched(small):
    """A flow that knows who every position is: one-hot descriptors, the target's in any order."""
    config = replace(small, appearance_flow=True)
    flow = AppearanceFlow(config).eval()
    flow.sharpness.data.fill_(200)
    h, w = 32, 22
    order = torch.randperm(h * w)
    one_hot = rearrange(torch.eye(h * w), "m (h w) -> 1 m h w", h=h)
    flow.query = Known(rearrange(torch.eye(h * w)[:, order], "m (h w) -> 1 m h w", h=h))
    return flow, one_hot, order


def test_the_flow_leads_to_the_position_that_matches(matched):
    flow, described, order = matched
    pixels, maps = torch.rand(1, 3, 32, 22), torch.ones(1, 1, 32, 22)
    photos = Photos(pixels[:, None], described[:, None], torch.ones(1, 1, 1))
    image, carried, where = flow(torch.zeros(1, 10, 32, 22), torch.zeros(1, 8, 32, 22), pixels, maps, photos)
    wanted = rearrange(rearrange(pixels, "b c h w -> b c (h w)")[..., order], "b c (h w) -> b c h w", h=32)
    torch.testing.assert_close(carried, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(carry(pixels, where[:, 0]), wanted, atol=1e-4, rtol=0)
    # At first little of it is blended in: sigmoid(-2) of what was carried.
    torch.testing.assert_close(image, torch.lerp(pixels, wanted, torch.tensor(-2.0).sigmoid()), atol=1e-4, rtol=0)


def test_each_position_is_fetched_from_the_photo_that_its_textures_come_from(matched):
    flow, described, order = matched
    two = torch.rand(1, 2, 3, 32, 22)
    left = (torch.arange(22) < 11).float()
    maps = repeat(torch.stack([left, 1 - left]), "k w -> 1 k h w", h=32)  # texture 0 paints the left half
    photos = Photos(two, repeat(described, "b d h w -> b s d h w", s=2), torch.eye(2)[None])
    _, carried, _ = flow(torch.zeros(1, 10, 32, 22), torch.zeros(1, 8, 32, 22), two[:, 0], maps, photos)
    own = rearrange(rearrange(two, "b s c h w -> b s c (h w)")[..., order], "b s c (h w) -> b s c h w", h=32)
    wanted = torch.where(left.bool(), own[:, 0], own[:, 1])
    torch.testing.assert_close(carried, wanted, atol=1e-4, rtol=0)


def test_shares_of_photos_sum_to_one_and_ends_are_the_people(model):
    reference, garment = (model.extract(torch.rand(2, 3, 64, 44) * 2 - 1) for _ in range(2))
    pose = torch.rand(2, 20, 64, 44)
    some = [torch.rand(t.shape[:2]) for t in reference.vectors]
    thrice = fuse(fuse(reference, garment, some), reference, some)
    assert thrice.photos.pixels.shape == (2, 3, 3, 64, 44)
    torch.testing.assert_close(thrice.photos.shares.sum(1), torch.ones(2, 5))
    for amount, person in ((0.0, reference), (1.0, garment)):
        ends = fuse(reference, garment, [torch.full(t.shape[:2], amount) for t in reference.vectors])
        ours, theirs = model.render(pose, ends), model.render(pose, person)
        torch.testing.assert_close(ours.image, theirs.image)
        torch.testing.assert_close(ours.carried, theirs.carried)
    for_all = fuse(reference, garment, [a[0] for a in some])  # k: the same for the whole batch
    torch.testing.assert_close(for_all.photos.shares[1, 1], some[-1][0])


def test_one_appearance_in_several_poses(model):
    textures, poses = model.extract(torch.rand(1, 3, 64, 44)), torch.rand(3, 20, 64, 44)
    together = model.render(poses, textures.repeat(3))
    for i in range(3):
        alone = model.render(poses[i : i + 1], textures)
        torch.testing.assert_close(together.image[i : i + 1], alone.image, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.flow[i : i + 1], alone.flow, atol=1e-5, rtol=1e-5)


def test_mixed_precision_keeps_places_exact():
    """The trained model's flow in bfloat16 autocast: nearly everywhere within half a pixel of that in float32."""
    model = NTED.from_pretrained(shipped("people-128"))
    pair = pairs(SPLITS["test"], torch.arange(2), 128)
    inputs = pair.reference.image, model.pose_map(pair.target.keypoints, pair.target.visible)
    with torch.no_grad():
        exact = model(*inputs).flow
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model(*inputs).flow
    assert mixed.dtype == torch.float32
    assert ((mixed - exact).abs() < 1 / 128).float().mean() > 0.9


def test_a_trained_model_can_be_given_a_flow(small, model):
    """It starts as that model with a little of the carried pixels; and what would be dropped is refused."""
    plain = NTED(small).eval()
    fresh = NTED(replace(small, appearance_flow=True)).eval()
    new = fresh.start_from(plain)
    assert new and all(name.startswith(("renderer.flow.", "descriptor.")) for name in new)
    reference, pose = torch.rand(1, 3, 64, 44) * 2 - 1, torch.rand(1, 20, 64, 44)
    before, now = plain(reference, pose), fresh(reference, pose)
    assert before.flow is None and before.carried is None
    little = torch.tensor(-2.0).sigmoid()
    torch.testing.assert_close(now.image, torch.lerp(before.image, now.carried, little), atol=1e-5, rtol=1e-5)
    assert model.start_from(fresh) == []
    with pytest.raises(RuntimeError, match="renderer.flow"):
        NTED(small).start_from(fresh)
    with pytest.raises(RuntimeError, match="size mismatch"):
        fresh.start_from(NTED(replace(small, channels=(12, 10, 6))))


def test_losses_without_a_flow_are_refused(small):
    from test_training import trainer

    for weights in (LossWeights(flow=1), LossWeights(limbs=1)):
        with pytest.raises(ValueError, match="appearance-flow"):
            trainer(weights=weights)
    with pytest.raises(ValueError, match="appearance_flow"):
        replace(small, textures=(0, 0, 0), appearance_flow=True)


# --------------------------------------------------------------------------------------------------------------- losses


def test_the_loss_of_pixels_is_zero_only_at_the_right_place():
    target = torch.rand(2, 3, 32, 24)
    reference = torch.roll(target, 3, dims=3)  # all of it lies 3 pixels further right
    right = everywhere(32, 24, 2) + torch.tensor([2 * 3 / 24, 0])[:, None, None]
    torch.testing.assert_close((carry(reference, right) - target)[..., :21], torch.zeros(2, 3, 32, 21))
    here = everywhere(32, 24, 2)
    assert appearance_flow(right, reference, target) < appearance_flow(here, reference, target) / 2
    assert appearance_flow(here, target, target) < 1e-6


def test_small_pictures_tell_the_flow_where_to_go():
    """A thin line 4 pixels away: at full size alone there is no gradient towards it, in the halvings there is."""
    target, reference = torch.zeros(1, 1, 32, 24), torch.zeros(1, 1, 32, 24)
    target[..., 8:10], reference[..., 12:14] = 1, 1
    slopes = []
    for scales in (1, 3):
        shift = torch.tensor(0.01, requires_grad=True)
        flow = everywhere(32, 24) + torch.stack([shift, torch.zeros(())])[:, None, None]
        appearance_flow(flow, reference, target, scales).backward()
        slopes.append(shift.grad.item())
    assert slopes[0] == pytest.approx(0, abs=1e-3) and slopes[1] < -0.1, "downhill to the right lies the line"


def test_limbs_lead_to_the_same_limbs():
    view = pairs(SPLITS["test"], torch.arange(6), 64).target
    target = view.keypoints
    reference = target + torch.tensor([3.0, -2.0])
    right = everywhere(64, 44, 6) + torch.tensor([2 * 3 / 44, -2 * 2 / 64])[:, None, None]
    assert limb_flow(right, reference, target) < 1e-5
    off = right + torch.tensor([0.1, 0.05])[:, None, None]
    assert limb_flow(off, reference, target).item() == pytest.approx(0.15, abs=1e-5)


def test_limbs_at_the_rim_count_as_elsewhere():
    """Half a pixel between the centre of the last pixel and the edge of the picture is picture, too."""
    keypoints = torch.full((1, 18, 2), -1.0)
    keypoints[:, [2, 3]] = torch.tensor([[43.4, 10.0], [20.0, 63.4]])  # right shoulder and elbow
    assert limb_flow(everywhere(64, 44), keypoints, keypoints) < 0.02
    assert limb_flow(everywhere(64, 44).double(), keypoints, keypoints) < 0.02


def test_limbs_that_are_not_known_do_not_count():
    view = pairs(SPLITS["test"], torch.arange(2), 64).target
    known = view.keypoints.clone()
    some = known.clone()
    some[:, [3, 4]] = -1  # an arm is missing in the reference: whatever the flow does there is right
    flow = everywhere(64, 44, 2).requires_grad_()
    far = known.clone()
    far[:, [3, 4]] += 20
    torch.testing.assert_close(limb_flow(flow, some, known), limb_flow(flow, some, far), atol=1e-4, rtol=0)
    nothing = torch.full_like(known, -1)
    loss = limb_flow(flow, nothing, known)
    loss.backward()
    assert loss == 0 and torch.isfinite(flow.grad).all()
