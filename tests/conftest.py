"""What several test files share: small models, the comparison of a fast function with its slow twin, and a browser."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
import torch

VISION = Path(sys.prefix) / "vision"  # where `make env` puts torchvision
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def find_torchvision() -> None:
    """Let torchvision be imported, if it is installed, before any library looks whether it is there.

    Beside a torch of another build it misses two of its compiled operators, which nothing here uses: declare them.
    """
    sys.path.append(str(VISION))
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        pass
    except RuntimeError:
        find_torchvision.library = torch.library.Library("torchvision", "DEF")  # lives as long as it is held
        for name in ("nms", "qnms"):
            find_torchvision.library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")


find_torchvision()

from nted_lite import ModelConfig  # noqa: E402


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Every test draws the same numbers, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny():
    """32 x 22 pixels and one resolution with textures: the smallest model that there is."""
    return ModelConfig(channels=(8, 8), textures=(3, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))


@pytest.fixture(scope="session")
def small():
    """64 x 44 pixels, two resolutions with textures, and no two numbers alike."""
    return ModelConfig(
        channels=(12, 10, 8), textures=(3, 5, 0), kernels=(1, 3, 3), discriminator_channels=(6, 7, 8, 9, 10)
    )


@pytest.fixture(scope="session")
def agree():
    """agree(fast, slow, *inputs): the same values, and the same gradients with respect to every input (float64)."""

    def check(fast, slow, *inputs):
        inputs = [value.double().requires_grad_() for value in inputs]
        ours, theirs = fast(*inputs), slow(*inputs)
        torch.testing.assert_close(ours, theirs)
        direction = torch.randn_like(theirs)
        ours = torch.autograd.grad(ours, inputs, direction, materialize_grads=True)
        theirs = torch.autograd.grad(theirs, inputs, direction, materialize_grads=True)
        torch.testing.assert_close(ours, theirs)

    return check


def pytest_collection_modifyitems(items):
    """Tests that drive a browser are skipped where there is none."""
    for item in items:
        if CHROMIUM is None and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="needs chromium"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Say at the very end, where it is seen, that a run was incomplete."""
    yield
    reports = terminalreporter.stats.get("skipped", [])
    skipped = [report for report in reports if "browser" in getattr(report, "keywords", ())]  # a skipped file has none
    if skipped:
        cause = "npm is missing" if CHROMIUM else "chromium is missing"
        line = f"{cause}: {len(skipped)} browser tests did not run; install it (apt install {cause.split()[0]})"
        terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(scope="session")
def chromium():
    """Launch a headless browser: chromium(playwright)"""
    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    return lambda playwright: playwright.chromium.launch(executable_path=CHROMIUM, args=options)
