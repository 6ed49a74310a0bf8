"""What lessons call: a check that never stops a notebook, a proof of equality, a prediction before the answer."""

from collections.abc import Callable, Mapping
from html import escape

import torch
from torch import Tensor, nn


def check(trial: Callable[[], None]) -> bool:
    """Try an exercise and print `passed`, `not attempted`, or `not yet:` with what is wrong; never raises.

    trial    asserts what must hold, each with a hint; an answer that still is `raise NotImplementedError` is no attempt
    returns  whether it passed
    """
    try:
        trial()
    except AssertionError as error:
        print(f"not yet: {str(error) or 'an assert in your code failed'}")
    except Exception as error:  # whatever a reader's code may do, the notebook goes on
        unwritten = isinstance(error, NotImplementedError) and not str(error)  # torch's own always has a message
        print("not attempted" if unwritten else f"not yet: your code raised {type(error).__name__}: {error}")
    else:
        print("passed")
        return True
    return False


def equal(ours: Callable, theirs: Callable, *inputs: Tensor, tolerance: float = 1e-5) -> None:
    """Prove that two functions, or two modules, compute the same: equal values and equal gradients.

    inputs     tensors that both are called with; floating-point ones get gradients
    tolerance  largest difference allowed, relative to the largest number
    raises     AssertionError that says which differ, and by how much

    Gradients are taken along one random direction of the outputs (a tensor, or a tuple of tensors), with respect to
    the inputs and, if both are modules, to their parameters, in the order in which they were made.
    """
    sides = []
    for function in (ours, theirs):
        leaves = [x.detach().clone().requires_grad_(x.is_floating_point()) for x in inputs]
        with torch.enable_grad():
            values = function(*leaves)
            values = [values] if isinstance(values, Tensor) else list(values)
            direction = [torch.randn(v.shape, generator=torch.Generator().manual_seed(0)).to(v) for v in values]
            wanted = [x for x in leaves if x.requires_grad]
            if isinstance(ours, nn.Module) and isinstance(theirs, nn.Module):
                wanted += list(function.parameters())
            gradients = torch.autograd.grad(values, wanted, direction, materialize_grads=True)
        sides.append({"values": values, "gradients": gradients})
    for kind in ("values", "gradients"):
        mine, true = sides[0][kind], sides[1][kind]
        shapes = [[tuple(x.shape) for x in side] for side in (mine, true)]
        assert shapes[0] == shapes[1], f"{kind} differ in shape: {shapes[0]} and {shapes[1]}"
        gap = torch.stack([(a - b).abs().max() / b.abs().max().clamp_min(1e-12) for a, b in zip(mine, true)]).max()
        assert gap <= tolerance, f"{kind} differ by {gap:.2g} of the largest"
    print(f"equal: values and gradients differ by less than {tolerance:.0e} of the largest")


class Prediction:
    """A question whose choices open on a click, see `predict`. It is HTML, so it needs neither widgets nor a kernel."""

    def __init__(self, question: str, choices: Mapping[str, str]):
        self.question, self.choices = question, dict(choices)

    def _repr_html_(self) -> str:
        folded = "".join(
            f"<details><summary>{escape(choice)}</summary><p>{escape(answer)}</p></details>"
            for choice, answer in self.choices.items()
        )
        return f"<p><b>{escape(self.question)}</b></p>{folded}"

    def __repr__(self) -> str:
        return "\n".join([self.question, *(f"- {choice}" for choice in self.choices)])


def predict(question: str, choices: Mapping[str, str]) -> Prediction:
    """Ask the reader to predict what the next cell shows; name it last in a cell.

    question  one sentence
    choices   possible answers -> what the reader sees after clicking one: whether it is right, and why
    returns   what a notebook shows as a list of folded answers; where HTML is not shown, the choices alone

    Raises ValueError for fewer than two choices.
    """
    if len(choices) < 2:
        raise ValueError("a prediction needs two choices or more")
    return Prediction(question, choices)
