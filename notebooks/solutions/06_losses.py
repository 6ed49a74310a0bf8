"""Solutions of notebook 06, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import torch

from nted_lite import losses

# %% exercise-1: solution


def my_face(features, made, true, boxes):
    """features: network from images to a list; made, true b 3 h w; boxes b 3 -> scalar"""
    with torch.no_grad():
        wanted = features(losses.face_crops(true, boxes))
    return losses.perceptual(features(losses.face_crops(made, boxes)), wanted)


# %% exercise-1: mistake, the whole picture instead of the face


def my_face(features, made, true, boxes):  # noqa: F811
    with torch.no_grad():
        wanted = features(true)
    return losses.perceptual(features(made), wanted)


# %% exercise-1: mistake, those without a face are left out of the mean


def my_face(features, made, true, boxes):  # noqa: F811
    seen = boxes[:, 2] > 0
    with torch.no_grad():
        wanted = features(losses.face_crops(true[seen], boxes[seen]))
    return losses.perceptual(features(losses.face_crops(made[seen], boxes[seen])), wanted)


# %% exercise-1: mistake, the true picture is moved towards the made one


def my_face(features, made, true, boxes):  # noqa: F811
    return losses.perceptual(features(losses.face_crops(made, boxes)), features(losses.face_crops(true, boxes)))


# %% exercise-2: solution


def pulls(real_logits, made_logits):
    """b 1 each -> gradient of L_D at the real logits, of L_D at the made ones, of L_G at the made ones: b 1 each"""
    b = len(real_logits)
    return -torch.sigmoid(-real_logits) / b, torch.sigmoid(made_logits) / b, -torch.sigmoid(-made_logits) / b


# %% exercise-2: mistake, the saturating loss


def pulls(real_logits, made_logits):  # noqa: F811
    b = len(real_logits)
    return -torch.sigmoid(-real_logits) / b, torch.sigmoid(made_logits) / b, -torch.sigmoid(made_logits) / b


# %% exercise-2: mistake, the inner sign is forgotten


def pulls(real_logits, made_logits):  # noqa: F811
    b = len(real_logits)
    return torch.sigmoid(-real_logits) / b, torch.sigmoid(made_logits) / b, torch.sigmoid(-made_logits) / b


# %% exercise-2: mistake, a sum instead of a mean


def pulls(real_logits, made_logits):  # noqa: F811
    return -torch.sigmoid(-real_logits), torch.sigmoid(made_logits), -torch.sigmoid(-made_logits)
