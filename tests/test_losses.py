"""Every loss equals its formula written out, and sends gradients where it should."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nted_lite.layers import DownConv2d
from nted_lite.losses import (
    attention_reconstruction,
    discriminator_loss,
    face,
    face_boxes,
    face_crops,
    generator_loss,
    gram,
    parts_cross_entropy,
    perceptual,
    pyramid,
    r1_penalty,
    style,
)


def maps(k, h, w, over):
    logits = torch.randn(2, k, h, w, dtype=torch.double)
    if over == "positions":
        return logits.flatten(2).softmax(-1).reshape(logits.shape)
    return logits.softmax(1)


def pixel(image, b, y, x, h, w):
    """The pixel that a nearest resize to h w puts at y x."""
    return image[b, :, math.floor(y * image.shape[2] / h), math.floor(x * image.shape[3] / w)]


def reconstruction_by_loop(extraction, distribution, reference, target):
    """L1 in every operation, then the mean over the operations: a large map counts no more than a small one."""
    errors = []
    for e, d in zip(extraction, distribution, strict=True):
        b, k, h, w = e.shape
        error = 0
        for n in range(b):
            colours = [
                sum(e[n, j, y, x] * pixel(reference, n, y, x, h, w) for y in range(h) for x in range(w))
                for j in range(k)
            ]
            for y in range(h):
                for x in range(w):
                    painted = sum(d[n, j, y, x] * colours[j] for j in range(k))
                    error = error + (painted - pixel(target, n, y, x, h, w)).abs().sum()
        errors.append(error / (b * 3 * h * w))
    return sum(errors) / len(errors)


def test_attention_reconstruction(agree):
    sizes = [(3, 4, 3), (5, 8, 6)]
    extraction = [maps(*size, "positions") for size in sizes]
    distribution = [maps(*size, "entities") for size in sizes]
    reference, target = torch.rand(2, 3, 16, 11), torch.rand(2, 3, 16, 11)

    def on(loss):
        return lambda e0, e1, d0, d1, reference, target: loss((e0, e1), (d0, d1), reference, target)

    agree(on(attention_reconstruction), on(reconstruction_by_loop), *extraction, *distribution, reference, target)


def test_attention_reconstruction_of_perfect_maps_is_zero():
    """An entity for every position, kept where it is, reconstructs a picture of itself."""
    identity = torch.eye(12).reshape(1, 12, 4, 3)
    image = torch.rand(1, 3, 4, 3)
    assert attention_reconstruction([identity], [identity], image, image).item() == pytest.approx(0, abs=1e-6)
    moved = attention_reconstruction([identity], [identity.roll(1, dims=3)], image, image.roll(1, dims=3))
    assert moved.item() == pytest.approx(0, abs=1e-6)


def layers():
    return torch.randn(2, 3, 8, 6), torch.randn(2, 5, 4, 3)


def test_perceptual(agree):
    def slow(a0, a1, b0, b1):
        return sum((a - b).abs().sum() / a.numel() for a, b in ((a0, b0), (a1, b1)))

    agree(lambda a0, a1, b0, b1: perceptual([a0, a1], [b0, b1]), slow, *layers(), *layers())


def gram_by_loop(features):
    b, c, h, w = features.shape
    entries = [(features[n, i] * features[n, j]).sum() for n in range(b) for i in range(c) for j in range(c)]
    return torch.stack(entries).reshape(b, c, c) / (h * w * c)


def test_gram(agree):
    agree(gram, gram_by_loop, torch.randn(2, 3, 4, 5))


def test_gram_forgets_places_and_sizes():
    features = torch.randn(1, 4, 6, 5)
    shuffled = features.flatten(2)[:, :, torch.randperm(30)].reshape(features.shape)
    torch.testing.assert_close(gram(shuffled), gram(features))
    torch.testing.assert_close(gram(features.tile(2, 3)), gram(features))


def test_gram_of_a_large_picture_fits_into_half_precision():
    features = 2 * torch.randn(1, 4, 256, 176).relu()
    torch.testing.assert_close(gram(features.half()).float(), gram(features), rtol=2e-2, atol=1e-3)


def test_style(agree):
    def slow(a0, a1, b0, b1):
        return sum((gram_by_loop(a) - gram_by_loop(b)).abs().mean() for a, b in ((a0, b0), (a1, b1)))

    agree(lambda a0, a1, b0, b1: style([a0, a1], [b0, b1]), slow, *layers(), *layers())


@pytest.mark.parametrize("loss", [perceptual, style])
def test_feature_losses_of_equal_pictures_are_zero(loss):
    same = layers()
    assert loss(same, same) == 0
    with pytest.raises(ValueError):
        loss(same, same[:1])


def test_pyramid(agree):
    def slow(image):
        half = torch.zeros(2, 3, 6, 4, dtype=torch.double)
        for y in range(6):
            for x in range(4):  # column 8 of the nine is dropped
                half[:, :, y, x] = image[:, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((2, 3))
        quarter = sum(half[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)) / 4
        return flat([image, half, quarter])

    agree(lambda image: flat(pyramid(image, 3)), slow, torch.randn(2, 3, 12, 9))
    assert [len(pyramid(torch.zeros(1, 3, 8, 4), scales)) for scales in (1, 2)] == [1, 2]


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


# ---------------------------------------------------------------------------------------------------------------- faces


def people(*eyes):
    """Key points of which only the eyes, (right, left) a person, are of interest."""
    keypoints = 100 * torch.rand(len(eyes), 18, 2, dtype=torch.double)
    keypoints[:, 14:16] = torch.tensor(eyes, dtype=torch.double)
    return keypoints


def box_by_hand(right, left, height, width):
    if -1 in (*right, *left):
        return [0, 0, 0]
    x, y = (right[0] + left[0]) / 2, (right[1] + left[1]) / 2
    if x < 0 or y < 0 or x >= width or y >= height:
        return [0, 0, 0]
    side = min(max(int(2.5 * abs(right[0] - left[0])), 32), width)
    corner = [int(x - side / 2), int(y - side / 2)]
    return [min(max(c, 0), most - side) for c, most in zip(corner, (width, height), strict=True)] + [side]


@pytest.mark.parametrize(
    "right, left, box",
    [
        ((80, 40), (96, 42), [68, 21, 40]),
        ((96, 42), (80, 40), [68, 21, 40]),  # seen from behind, or upside down: a distance has no sign
        ((80, 40), (97, 42), [67, 20, 42]),  # 42.5 wide, from 67.25 and 19.75: truncated, the corner last
        ((88, 100), (88, 104), [72, 86, 32]),  # a profile: one eye behind the other
        ((2, 3), (12, 3), [0, 0, 32]),
        ((170, 250), (175, 250), [144, 224, 32]),
        ((10, 100), (160, 100), [0, 12, 176]),
        ((10, 255), (160, 255), [0, 80, 176]),
        ((0, 0), (0, 0), [0, 0, 32]),
        ((-4, 50), (8, 50), [0, 34, 32]),  # an eye may be out of the picture ...
        ((-8, 50), (4, 50), [0, 0, 0]),  # ... but not the point between the eyes
        ((170, 50), (182, 50), [0, 0, 0]),
        ((80, 254), (96, 258), [0, 0, 0]),
        ((-1, -1), (96, 42), [0, 0, 0]),
        ((80, 40), (-1, -1), [0, 0, 0]),
        ((-1, -1), (-1, -1), [0, 0, 0]),
    ],
)
def test_face_boxes(right, left, box):
    assert face_boxes(people((right, left)), 256, 176).tolist() == [box] == [box_by_hand(right, left, 256, 176)]


@pytest.mark.parametrize("height, width", [(512, 352), (64, 44)])
def test_many_face_boxes(height, width):
    """Faces anywhere, on both sides of the border, some with an eye missing: always what the hand finds, inside."""
    eyes = ((1.4 * torch.rand(500, 2, 2, dtype=torch.double) - 0.2) * torch.tensor([width, height])).round()
    eyes[::10, 0] = eyes[5::10, 1] = -1
    boxes = face_boxes(people(*eyes.tolist()), height, width)
    assert boxes.dtype == torch.int64
    assert boxes.tolist() == [box_by_hand(*pair, height, width) for pair in eyes.tolist()]
    assert (boxes >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= torch.tensor([width, height])).all()
    assert 100 < (boxes[:, 2] > 0).sum() < 400


def test_face_boxes_of_bad_key_points():
    with pytest.raises(ValueError, match="shape b 18 2, not torch.float32 \\(1, 17, 2\\)"):
        face_boxes(torch.zeros(1, 17, 2), 64, 44)


BOXES = torch.tensor([[20, 30, 40], [0, 0, 0], [56, 96, 32], [0, 40, 88]])  # inside, no face, a corner, all the width


def crops_by_slices(image, boxes):
    size = image.shape[2] // 32 * 8
    crops = []
    for picture, (left, top, side) in zip(image, boxes.tolist(), strict=True):
        if side == 0:
            crops.append(torch.zeros(1, 3, size, size, dtype=image.dtype))
        else:
            crop = picture[None, :, top : top + side, left : left + side]
            crops.append(F.interpolate(crop, size=(size, size), mode="bilinear", align_corners=True))
    return torch.cat(crops)


def test_face_crops(agree):
    image = torch.randn(4, 3, 128, 88)
    agree(lambda image: face_crops(image, BOXES), lambda image: crops_by_slices(image, BOXES), image)
    # ... and in the precision of a training
    torch.testing.assert_close(face_crops(image, BOXES), crops_by_slices(image, BOXES), rtol=0, atol=1e-4)


def test_faces_in_half_precision_are_cropped_at_the_same_place():
    """The generated image of a mixed-precision training has 16 bits, the true one 32."""
    image = torch.randn(2, 3, 256, 176).bfloat16()
    boxes = torch.tensor([[75, 33, 37], [101, 157, 51]])
    torch.testing.assert_close(face_crops(image, boxes), face_crops(image.float(), boxes))


@pytest.mark.parametrize("height, size", [(512, 128), (256, 64), (64, 16), (32, 8)])
def test_sizes_of_face_crops(height, size):
    width = height * 11 // 16
    boxes = face_boxes(people(((width / 2, 9), (width / 2 + 9, 9))), height, width)
    assert face_crops(torch.zeros(1, 3, height, width), boxes).shape == (1, 3, size, size)


def test_face_crops_teach_the_face_alone():
    image = torch.randn(4, 3, 128, 88, requires_grad=True)
    face_crops(image, BOXES).sum().backward()
    for gradient, (left, top, side) in zip(image.grad, BOXES.tolist(), strict=True):
        inside = torch.zeros(128, 88, dtype=torch.bool)
        inside[top : top + side, left : left + side] = True
        assert (gradient[:, ~inside].abs() < 1e-4).all()
        assert side == 0 or gradient[:, inside].sum().item() == pytest.approx(3 * 32 * 32, rel=1e-4)


class Eye(nn.Module):
    """A feature network of two layers."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, stride=2)

    def forward(self, image):
        fine = self.fine(image).tanh()
        return [fine, self.coarse(fine).tanh()]


def test_face():
    eye, made, true = Eye(), torch.randn(4, 3, 128, 88), torch.randn(4, 3, 128, 88)
    features = [eye(crops_by_slices(image, BOXES)) for image in (made, true)]
    wanted = sum((a - b).abs().mean() for a, b in zip(*features, strict=True))
    torch.testing.assert_close(face(eye, made, true, BOXES), wanted)
    seen = BOXES[:, 2] > 0
    alone = face(eye, made[seen], true[seen], BOXES[seen])
    torch.testing.assert_close(face(eye, made, true, BOXES), alone * 3 / 4)  # no face: no error, but a picture


def test_face_moves_the_made_picture_only():
    eye, made, true = Eye().requires_grad_(False), torch.randn(4, 3, 128, 88), torch.randn(4, 3, 128, 88)
    made.requires_grad_(), true.requires_grad_()
    face(eye, made, true, BOXES).backward()
    assert true.grad is None and all(parameter.grad is None for parameter in eye.parameters())
    moved = made.grad.abs().sum((1, 2, 3)) > 0
    assert moved.tolist() == [True, False, True, True]


# ---------------------------------------------------------------------------------------------------------- adversarial


def test_logistic_losses(agree):
    real, fake = 3 * torch.randn(5, 1), 3 * torch.randn(5, 1)
    agree(generator_loss, lambda x: -(1 / (1 + (-x).exp())).log().mean(), fake)

    def slow(real, fake):
        chance = [1 / (1 + (-x).exp()) for x in (real, fake)]
        return -(chance[0].log().mean() + (1 - chance[1]).log().mean())

    agree(discriminator_loss, slow, real, fake)


def test_logistic_losses_survive_huge_logits():
    huge = torch.tensor([[1e4], [-1e4]])
    assert generator_loss(huge).isfinite() and discriminator_loss(huge, huge).isfinite()
    assert generator_loss(torch.zeros(2, 1)).item() == pytest.approx(math.log(2))


class Judge(nn.Module):
    """A discriminator of two layers, smooth enough for finite differences."""

    def __init__(self):
        super().__init__()
        self.down = DownConv2d(3, 4)

    def forward(self, image):
        return self.down(image).tanh().sum((1, 2, 3))[:, None]


def test_r1_equals_finite_differences():
    judge, real, step = Judge().double(), torch.randn(2, 3, 6, 4, dtype=torch.double), 1e-5
    squares = torch.zeros(2, dtype=torch.double)
    for n in range(2):
        for i in range(3 * 6 * 4):
            nudge = torch.zeros(3 * 6 * 4, dtype=torch.double)
            nudge[i] = step
            up, down = (judge((real[n].flatten() + sign * nudge).reshape(1, 3, 6, 4)) for sign in (1, -1))
            squares[n] += ((up - down) / (2 * step)).item() ** 2
    assert r1_penalty(judge, real).item() == pytest.approx(squares.mean().item(), rel=1e-6)


def test_r1_of_a_linear_judge_is_its_squared_norm():
    weight = torch.randn(3, 4, 3, requires_grad=True)
    penalty = r1_penalty(lambda image: (image * weight).sum((1, 2, 3))[:, None], torch.randn(5, 3, 4, 3))
    torch.testing.assert_close(penalty, weight.square().sum())
    penalty.backward()  # the penalty moves the discriminator ...
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_r1_leaves_the_pictures_alone():
    real = torch.randn(2, 3, 6, 4, requires_grad=True)  # ... and never the pictures
    r1_penalty(Judge(), real).backward()
    assert real.grad is None


def test_parts_cross_entropy(agree):
    distribution, parts = maps(8, 4, 3, "entities"), torch.randint(8, (2, 8, 6))

    def slow(d):
        positions = [(n, y, x) for n in range(2) for y in range(4) for x in range(3)]
        return -sum(d[n, parts[n, 2 * y, 2 * x], y, x].log() for n, y, x in positions) / len(positions)

    agree(lambda d: parts_cross_entropy(d, parts), slow, distribution)
    assert parts_cross_entropy(torch.zeros(1, 8, 4, 3), parts[:1]).isfinite()
