"""What the README says: its code runs, its files exist, its numbers are those of the shipped metrics."""

import functools
import re
import shlex
from pathlib import Path

import pytest
import torch
import tyro
from einops import einsum

from figures.make import results_table
from nted_lite import checkpoint, cli, preset, texture

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def block(phrase: str) -> str:
    """The one block of Python in the README that holds a phrase."""
    (found,) = [text for text in re.findall(r"```python\n(.*?)```", README, re.S) if phrase in text]
    return found


def test_the_two_functions_equal_the_package():
    scope = {"einsum": einsum}
    exec(block("def extract("), scope)
    features, logits = torch.randn(2, 6, 4, 3), torch.randn(2, 5, 4, 3)
    textures, _ = texture.extract(features, logits)
    assert torch.allclose(scope["extract"](features, logits), textures, atol=1e-6)
    assert torch.allclose(scope["distribute"](textures, logits), texture.distribute(textures, logits)[0], atol=1e-6)


def test_the_example_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    scope = {}
    exec(block("from_pretrained"), scope)
    assert scope["picture"].shape == (4, 3, 64, 44)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_numbers_are_the_shipped_ones():
    table = re.search(r"<!-- results:.*?-->\n(.*?)<!-- end of results -->", README, re.S)[1]
    assert table.strip() == results_table().strip()


def commands():
    """Every call of nted-lite that the README shows, as words."""
    shown = re.sub(r"\\\n\s*", "", "\n".join(re.findall(r"^```bash\n(.*?)^```", README, re.S | re.M)))
    inline = re.findall(r"`(nted-lite [^`]+)`", README)
    lines = [line for line in [*shown.splitlines(), *inline] if re.search(r"nted-lite \w|-m nted_lite", line)]
    return [shlex.split(re.split(r"nted-lite |-m nted_lite ", line)[1], comments=True) for line in lines]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_exist_with_their_options(words, monkeypatch):
    """The command line accepts the words; what would be done is left out."""
    called = []

    def harmless(command):
        return functools.wraps(command)(lambda **options: called.append(options))

    def parse(commands, **options):
        return understand({name: harmless(command) for name, command in commands.items()}, **options)

    monkeypatch.setattr(checkpoint, "read_record", lambda folder: {"preset": "people-64", **vars(preset("people-64"))})
    monkeypatch.setattr(checkpoint, "config_of", lambda folder, otherwise: otherwise)
    understand = tyro.extras.subcommand_cli_from_dict
    monkeypatch.setattr(tyro.extras, "subcommand_cli_from_dict", parse)
    monkeypatch.setattr("sys.argv", ["nted-lite", *words])
    if words[-1] == "--help":
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    else:
        cli.main()
        assert len(called) == 1
