"""Solutions of notebook 07, with mistakes that its checks catch. Paste a solution over the exercise's cell."""

import math

import numpy as np

# %% exercise-1: solution


def schedule(step, steps, warm_up, decay):
    """Factor on the learning rate at a step, 0 <= step < steps."""
    start = (1 - decay) * steps
    done = min(max((step - start) / max(steps - start, 1), 0.0), 1.0)
    return min(1.0, (step + 1) / (warm_up + 1)) * (1 + math.cos(math.pi * done)) / 2


# %% exercise-1: mistake, a line instead of a cosine


def schedule(step, steps, warm_up, decay):  # noqa: F811
    start = (1 - decay) * steps
    done = min(max((step - start) / max(steps - start, 1), 0.0), 1.0)
    return min(1.0, (step + 1) / (warm_up + 1)) * (1 - done)


# %% exercise-1: mistake, right only for 100 steps


def schedule(step, steps, warm_up, decay):  # noqa: F811
    start = (1 - decay) * 100
    done = min(max((step - start) / max(100 - start, 1), 0.0), 1.0)
    return min(1.0, (step + 1) / (warm_up + 1)) * (1 + math.cos(math.pi * done)) / 2


# %% exercise-1: mistake, the ramp wins where both apply


def schedule(step, steps, warm_up, decay):  # noqa: F811
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    start = (1 - decay) * steps
    done = min(max((step - start) / max(steps - start, 1), 0.0), 1.0)
    return (1 + math.cos(math.pi * done)) / 2


# %% exercise-2: solution


def accumulate(model, loss, inputs, targets, portion):
    """Gradients of loss(model(inputs), targets), a mean over b, into .grad; old gradients are forgotten."""
    model.zero_grad()
    for x, y in zip(inputs.split(portion), targets.split(portion)):
        (loss(model(x), y) * len(x) / len(inputs)).backward()


# %% exercise-2: mistake, a sum of means


def accumulate(model, loss, inputs, targets, portion):  # noqa: F811
    model.zero_grad()
    for x, y in zip(inputs.split(portion), targets.split(portion)):
        loss(model(x), y).backward()


# %% exercise-2: mistake, the whole batch at once


def accumulate(model, loss, inputs, targets, portion):  # noqa: F811
    model.zero_grad()
    loss(model(inputs), targets).backward()


# %% exercise-2: mistake, right only for equal portions


def accumulate(model, loss, inputs, targets, portion):  # noqa: F811
    model.zero_grad()
    portions = list(zip(inputs.split(portion), targets.split(portion)))
    for x, y in portions:
        (loss(model(x), y) / len(portions)).backward()


# %% exercise-2: mistake, the gradients of an earlier step stay


def accumulate(model, loss, inputs, targets, portion):  # noqa: F811
    for x, y in zip(inputs.split(portion), targets.split(portion)):
        (loss(model(x), y) * len(x) / len(inputs)).backward()


# %% exercise-3: solution


def diagnose(curves):
    """curves: name -> values, None where not computed, such as psnr_last, largest, loss/reconstruction"""
    if curves["largest"][-1] > 0.6:
        return "learning rate"
    psnr = np.array(curves["psnr_last"])
    fallen = np.maximum.accumulate(psnr) - psnr  # below the best so far
    return "adversary" if fallen.max() > 2 else "healthy"


# %% exercise-3: mistake, whoever has an adversary is ill with it


def diagnose(curves):  # noqa: F811
    if curves["largest"][-1] > 0.6:
        return "learning rate"
    return "adversary" if "loss/adversarial" in curves else "healthy"


# %% exercise-3: mistake, thresholds that fit the shown runs


def diagnose(curves):  # noqa: F811
    last = curves["psnr_last"][-1]
    return "healthy" if last > 15 else "adversary" if last > 8 else "learning rate"


# %% exercise-3: mistake, always healthy


def diagnose(curves):  # noqa: F811
    return "healthy"


# %% exercise-3: mistake, an adversary at work is an illness


def diagnose(curves):  # noqa: F811
    if curves["largest"][-1] > 0.6:
        return "learning rate"
    at_work = any(value is not None for value in curves.get("loss/adversarial", []))
    return "adversary" if at_work else "healthy"


# %% exercise-3: mistake, thresholds of the loss that fit the shown runs


def diagnose(curves):  # noqa: F811
    last = curves["loss/reconstruction"][-1]
    return "learning rate" if last > 3.2 else "adversary" if last > 2.2 else "healthy"
