"""What the README says: its code runs, its files exist, its numbers are those of the shipped metrics."""

import re
from pathlib import Path

import pytest
import torch
from einops import einsum

from figures.make import results_table
from nted_lite import texture

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_two_functions_equal_the_package():
    scope = {"einsum": einsum}
    exec(BLOCKS[0], scope)
    features, logits = torch.randn(2, 6, 4, 3), torch.randn(2, 5, 4, 3)
    textures, _ = texture.extract(features, logits)
    assert torch.allclose(scope["extract"](features, logits), textures, atol=1e-6)
    assert torch.allclose(scope["distribute"](textures, logits), texture.distribute(textures, logits)[0], atol=1e-6)


def test_the_example_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    scope = {}
    exec(BLOCKS[1], scope)
    assert scope["picture"].shape == (4, 3, 64, 44)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_numbers_are_the_shipped_ones():
    table = re.search(r"<!-- results:.*?-->\n(.*?)<!-- end of results -->", README, re.S)[1]
    assert table.strip() == results_table().strip()
