"""The losses, each a small pure function of tensors. Notebook 06 shows what each of them sees."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce
from torch import Tensor

from nted_lite import pose
from nted_lite.flow import carry
from nted_lite.texture import reconstruct

EYES = (pose.JOINTS.index("right eye"), pose.JOINTS.index("left eye"))


def attention_reconstruction(
    extraction: Sequence[Tensor], distribution: Sequence[Tensor], reference: Tensor, target: Tensor
) -> Tensor:
    """L1 between the target and what the maps alone make of the reference's pixels, averaged over the operations.

    extraction    b k h w each   sums to 1 over h w
    distribution  b k h w each   sums to 1 over k
    reference     b 3 H W        any range
    target        b 3 H W        the same range
    returns       scalar

    It trains the two attentions directly; without it, they learn only through the generated image. NTED (2204.06160)
    section 3.3.
    """
    errors = [
        F.l1_loss(reconstruct(reference, e, d), F.interpolate(target, size=d.shape[-2:], mode="nearest"))
        for e, d in zip(extraction, distribution, strict=True)
    ]
    return torch.stack(errors).mean()


def appearance_flow(flow: Tensor, reference: Tensor, target: Tensor, scales: int = 3) -> Tensor:
    """L1 between the target and the reference as the flow carries it, summed over full, half and quarter size.

    flow               b 2 h w   into one photo, see `nted_lite.flow.AppearanceFlow`
    reference, target  b 3 h w   the same range
    scales             how many sizes: from a small picture the flow learns where to go, from a large one how exactly
    returns            scalar
    """
    errors = []
    for source, truth in zip(pyramid(reference, scales), pyramid(target, scales), strict=True):
        smaller = F.interpolate(flow, size=truth.shape[-2:], mode="area")
        errors.append(F.l1_loss(carry(source, smaller), truth))
    return torch.stack(errors).sum()


def limb_flow(flow: Tensor, reference_keypoints: Tensor, target_keypoints: Tensor, points: int = 5) -> Tensor:
    """From a point on a limb of the target, the flow should lead to the same point in the reference: how far is it off?

    flow                b 2 h w   into one photo, see `nted_lite.flow.AppearanceFlow`
    ..._keypoints       b 18 2    pixels of the h x w image; limbs with a missing joint do not count, nor points outside
    points              how many points of each limb, from joint to joint
    returns             scalar: mean of |x| + |y|, each 2 for the whole picture; 0 if nothing counts
    """
    size = flow.new_tensor([flow.shape[-1], flow.shape[-2]])
    along = torch.linspace(0, 1, points, dtype=flow.dtype, device=flow.device)[:, None]

    def on_limbs(keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """b 18 2 -> points, b l n 2, -1..1, and whether they are known and inside the image, b l n"""
        joints = keypoints.to(flow.dtype)[:, torch.tensor(pose.LIMBS, device=flow.device)]
        there = torch.lerp(joints[:, :, None, 0], joints[:, :, None, 1], along)
        there = (2 * there + 1) / size - 1
        known = pose.present(keypoints)[:, torch.tensor(pose.LIMBS, device=flow.device)].all(-1)
        return there, known[..., None] & (there.abs() < 1).all(-1)

    start, known_start = on_limbs(target_keypoints)
    end, known_end = on_limbs(reference_keypoints)
    found = rearrange(carry(flow, rearrange(start, "b l n c -> b c l n")), "b c l n -> b l n c")
    counts = known_start & known_end
    return ((found - end).abs().sum(-1) * counts).sum() / counts.sum().clamp_min(1)


def perceptual(made: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the features, summed over the layers.

    made, true  b c h w each   features of the generated image and of the ground truth, one entry per layer
    returns     scalar
    """
    return torch.stack([F.l1_loss(a, b) for a, b in zip(made, true, strict=True)]).sum()


def gram(features: Tensor) -> Tensor:
    """The Gram matrix, which says which channels respond together, no matter where: `F F^T / (h w c)`.

    features  b c h w
    returns   b c c
    """
    _, c, h, w = features.shape
    features = features / math.sqrt(h * w * c)  # before the sum: it would overflow in fp16
    return einsum(features, features, "b c h w, b d h w -> b c d")


def style(made: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the Gram matrices, summed over the layers.

    made, true  b c h w each   features of the generated image and of the ground truth, one entry per layer
    returns     scalar

    Gatys et al. (1508.06576).
    """
    return torch.stack([F.l1_loss(gram(a), gram(b)) for a, b in zip(made, true, strict=True)]).sum()


def pyramid(image: Tensor, scales: int) -> list[Tensor]:
    """An image and its bilinear halvings, `scales` images in all, to compare features at several sizes.

    image    b c h w
    returns  b c h w, b c h/2 w/2, b c h/4 w/4 ...   an odd last row or column is dropped
    """
    images = [image]
    for _ in range(scales - 1):
        images.append(F.interpolate(images[-1], scale_factor=0.5, mode="bilinear", align_corners=False))
    return images


@torch.no_grad()
def face_boxes(keypoints: Tensor, height: int, width: int) -> Tensor:
    """A square around each face, derived from the eyes.

    keypoints  b 18 2   (x, y) in pixels of the height x width image; missing if x or y is exactly -1
    returns    b 3      int64: left, top, side; all 0 if no face is visible

    The side is 2.5 times the distance between the eyes in x, at least 32 pixels and at most the image's shorter side.
    The box is centred between the eyes, then moved, not cropped, into the image; numbers are truncated to integers.
    There is no face if an eye is missing or (our choice) the point between the eyes lies outside the image: a box moved
    in from there would show something else. Raises ValueError for a wrong shape or type, as `pose_map` does.
    """
    seen = pose.present(keypoints)[:, EYES].all(-1)
    eyes = keypoints[:, EYES]
    centre, distance = eyes.mean(1), (eyes[:, 0, 0] - eyes[:, 1, 0]).abs()
    size = centre.new_tensor([width, height])
    seen &= ((centre >= 0) & (centre < size)).all(-1)
    side = (2.5 * distance).trunc().clamp(min=32).clamp(max=min(height, width))[:, None]
    corner = (centre - side / 2).trunc().clamp(min=0).minimum(size - side)
    return torch.where(seen[:, None], torch.cat([corner, side], dim=1), 0).long()


def face_crops(image: Tensor, boxes: Tensor) -> Tensor:
    """Crop a square from each image and resize it, bilinearly with aligned corners, in a single operation.

    image    b 3 h w   any range
    boxes    b 3       left, top, side in pixels, within the image; see `face_boxes`
    returns  b 3 s s   s = h // 32 * 8; all 0 if the side is 0
    """
    # Places in 16 bits would be rounded to half a pixel, and the true face comes in 32.
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    height, width = image.shape[-2:]
    size = height // 32 * 8
    steps = torch.linspace(0, 1, size, dtype=image.dtype, device=image.device)
    left, top, side = rearrange(boxes.to(image.dtype), "b n -> n b 1")
    x, y = left + (side - 1) * steps, top + (side - 1) * steps  # b s each: the columns and rows to sample
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :] / (width - 1), y[:, :, None] / (height - 1)), dim=-1)
    crops = F.grid_sample(image, 2 * grid - 1, align_corners=True)
    return torch.where(rearrange(side, "b 1 -> b 1 1 1") > 0, crops, 0)


def face(features: Callable[[Tensor], Sequence[Tensor]], made: Tensor, true: Tensor, boxes: Tensor) -> Tensor:
    """Perceptual loss of the faces alone; an image without a box contributes 0 to the mean.

    features    a frozen network from images to a list of feature maps
    made, true  b 3 h w   -1..1: generated image and ground truth; no gradient flows into the latter
    boxes       b 3       see `face_boxes`
    returns     scalar
    """
    with torch.no_grad():
        wanted = features(face_crops(true, boxes))
    return perceptual(features(face_crops(made, boxes)), wanted)


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss: small if the discriminator takes generated images for real. b 1 -> scalar"""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss: small if real images get positive logits, and generated ones negative. b 1, b 1 -> scalar"""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """Mean squared norm of the logit's gradient at real images: how steep the discriminator is there.

    real     b 3 h w
    returns  scalar, differentiable

    Mescheder et al. (1801.04406). Multiply it by `r1 / 2`, and by `r1_every` if it is computed only every so many
    steps.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return reduce(gradient.square(), "b c h w -> b", "sum").mean()


def parts_cross_entropy(maps: Tensor, parts: Tensor) -> Tensor:
    """Warm start: cross-entropy of a map with the ground-truth parts, where texture i stands for part i.

    maps     b k h w   a distribution map, sums to 1 over k; k is at least the number of parts
    parts    b H W     ground-truth labels, resized (nearest) to the map
    returns  scalar

    A departure from the paper.
    """
    small = F.interpolate(parts[:, None].float(), size=maps.shape[-2:], mode="nearest")[:, 0].long()
    return F.nll_loss(maps.clamp_min(1e-6).log(), small)
