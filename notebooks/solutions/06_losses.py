"""Solutions of notebook 06, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import torch

from nted_lite import losses
from nted_lite.features import people_parser

# %% exercise-1: solution


def my_face(features, generated, target, boxes):
    """features: network from images to a list; generated, target b 3 h w; boxes b 3 -> scalar"""
    with torch.no_grad():
        wanted = features(losses.face_crops(target, boxes))
    return losses.perceptual(features(losses.face_crops(generated, boxes)), wanted)


# %% exercise-1: mistake, the whole picture instead of the face


def my_face(features, generated, target, boxes):  # noqa: F811
    with torch.no_grad():
        wanted = features(target)
    return losses.perceptual(features(generated), wanted)


# %% exercise-1: mistake, those without a face are left out of the mean


def my_face(features, generated, target, boxes):  # noqa: F811
    seen = boxes[:, 2] > 0
    with torch.no_grad():
        wanted = features(losses.face_crops(target[seen], boxes[seen]))
    return losses.perceptual(features(losses.face_crops(generated[seen], boxes[seen])), wanted)


# %% exercise-1: mistake, the target is moved towards the generated image


def my_face(features, generated, target, boxes):  # noqa: F811
    return losses.perceptual(features(losses.face_crops(generated, boxes)), features(losses.face_crops(target, boxes)))


# %% exercise-1: mistake, always the features of the people parser


def my_face(features, generated, target, boxes):  # noqa: F811
    return losses.face(people_parser(), generated, target, boxes)


# %% exercise-1: mistake, a sum over three people that is divided by three


def my_face(features, generated, target, boxes):  # noqa: F811
    each = range(len(boxes))
    return sum(losses.face(features, generated[[i]], target[[i]], boxes[[i]]) for i in each) / 3


# %% exercise-2: solution


def pulls(real_logits, fake_logits):
    """b 1 each -> gradient of L_D at the real and at the fake logits, of L_G at the fake ones: b 1 each"""
    b = len(real_logits)
    return -torch.sigmoid(-real_logits) / b, torch.sigmoid(fake_logits) / b, -torch.sigmoid(-fake_logits) / b


# %% exercise-2: mistake, the saturating loss


def pulls(real_logits, fake_logits):  # noqa: F811
    b = len(real_logits)
    return -torch.sigmoid(-real_logits) / b, torch.sigmoid(fake_logits) / b, -torch.sigmoid(fake_logits) / b


# %% exercise-2: mistake, the inner sign is forgotten


def pulls(real_logits, fake_logits):  # noqa: F811
    b = len(real_logits)
    return torch.sigmoid(-real_logits) / b, torch.sigmoid(fake_logits) / b, torch.sigmoid(-fake_logits) / b


# %% exercise-2: mistake, a sum instead of a mean


def pulls(real_logits, fake_logits):  # noqa: F811
    return -torch.sigmoid(-real_logits), torch.sigmoid(fake_logits), -torch.sigmoid(-fake_logits)


# %% exercise-2: mistake, autograd


def pulls(real_logits, fake_logits):  # noqa: F811
    real, fake = real_logits.requires_grad_(True), fake_logits.requires_grad_(True)
    with torch.enable_grad():
        pull = torch.autograd.grad(losses.discriminator_loss(real, fake), (real, fake))
        return *pull, *torch.autograd.grad(losses.generator_loss(fake), fake)


# %% exercise-2: mistake, a batch of two written down


def pulls(real_logits, fake_logits):  # noqa: F811
    return -torch.sigmoid(-real_logits) / 2, torch.sigmoid(fake_logits) / 2, -torch.sigmoid(-fake_logits) / 2
