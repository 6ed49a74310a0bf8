"""`nted-lite`: every command of the package, made from the same dataclasses that the package uses."""

import json
import sys
from pathlib import Path
from typing import Annotated

import tyro
from accelerate import Accelerator
from tyro.conf import OmitArgPrefixes

from nted_lite.config import ModelConfig, Preset, TrainConfig, preset


def main() -> None:
    """Run a command; bad input ends in one clear line."""
    try:
        # The preset's values are the defaults of every option, so it is looked up before the options are parsed.
        chosen = preset(_peek("--preset", "people-64"))
        commands = {
            "demo": demo, "evaluate": evaluate, "train": train_command(chosen), "train-parser": train_parser,
        }  # fmt: skip
        tyro.extras.subcommand_cli_from_dict(commands, prog="nted-lite", description=__doc__)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"nted-lite: {error}")


def _peek(option: str, default: str) -> str:
    """The value of an option in the command line: `--option value` or `--option=value`."""
    for word, after in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        if word == option:
            return after
        if word.startswith(option + "="):
            return word.partition("=")[2]
    return default


def train_command(chosen: Preset):
    """The command `train`, with the values of a preset as its defaults."""

    def train(
        out: Path,
        preset: str = "people-64",
        model: ModelConfig = chosen.model,
        config: Annotated[TrainConfig, OmitArgPrefixes] = chosen.train,
        device: str = "",
        mixed_precision: str = "no",
        resume: bool = False,
    ) -> None:
        """Train a preset on synthetic people.

        Args:
            out: folder for the checkpoint, TensorBoard scalars and sample grids
            preset: people-64, people-128, fashion-256 or fashion-512
            model: changes to the preset's model
            config: changes to the preset's training
            device: "cpu" to leave a GPU unused
            mixed_precision: no, bf16 or fp16
            resume: continue the training in `out`
        """
        from nted_lite import training
        from nted_lite.data import people_source
        from nted_lite.features import people_parser

        accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)
        out.mkdir(parents=True, exist_ok=True)
        source = people_source(model.height)
        training.train(model, config, out, source, people_parser(), resume, accelerator)

    return train


def evaluate(checkpoint: Path, people: int = 1024, out: Path | None = None) -> None:
    """Measure a model on held-out synthetic people, beside the baselines.

    Args:
        checkpoint: folder with config.json and model.safetensors
        people: how many test people, numbers 0, 1, 2 ... of the test seed
        out: file for the measures, as JSON (default: metrics.json in the checkpoint's folder)
    """
    from nted_lite import metrics
    from nted_lite.features import people_parser
    from nted_lite.model import NTED

    if not checkpoint.is_dir():
        raise ValueError(f"{checkpoint}: no such folder")
    measured = metrics.evaluate_people(NTED.from_pretrained(checkpoint), people_parser(), people)
    print(metrics.report(measured))
    out = out or checkpoint / "metrics.json"
    out.write_text(json.dumps(measured, indent=2) + "\n")
    print(f"written to {out}")


def demo(out: Path = Path("build/demo"), people: int = 128) -> None:
    """Re-pose and re-dress people whom the shipped model has never seen.

    Args:
        out: folder for the pictures
        people: how many of them the table of measures is made from
    """
    from nted_lite.demo import run

    run(out, people)


def train_parser(out: Path, steps: int = 1500) -> None:
    """Train the people parser, the network of the perceptual loss on synthetic people.

    Args:
        out: folder for its weights and metrics.json
        steps: optimiser steps of 16 people
    """
    from safetensors.torch import save_file

    from nted_lite import features

    parser = features.train_parser(steps)
    out.mkdir(parents=True, exist_ok=True)
    save_file(parser.state_dict(), out / "model.safetensors")
    quality = features.parser_quality(parser)
    (out / "metrics.json").write_text(json.dumps({"steps": steps, **quality}, indent=2) + "\n")
    print(json.dumps(quality, indent=2))
