"""Train everything that ships, in order of importance, and measure it.

    python checkpoints/train.py                 all of it: `make zoo`
    python checkpoints/train.py people-64 k-4   some of it
    python checkpoints/train.py --status        where everything stands, and the command that trains each

A training runs in build/zoo/NAME. What was interrupted is resumed, what is finished is skipped. A finished model is put
into checkpoints/ with its measures, its learning curves and its card, and into the table RESULTS.md; the part of a card
under its notes is written by hand and kept.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nted_lite import checkpoint
from nted_lite.config import PRESETS, ModelConfig, Preset, TrainConfig
from nted_lite.evaluation.people import evaluate_people
from nted_lite.evaluation.results import write_table
from nted_lite.features import people_parser
from nted_lite.training import STATE
from nted_lite.variants import VARIANTS, Variant, load

ROOT = Path(__file__).resolve().parents[1]
SHIPPED, RUNS = ROOT / "checkpoints", ROOT / "build" / "zoo"
TWICE = ("full", "no-reconstruction", "concatenated", "appearance-flow", "no-texture-dropout")
"""Variants that are trained with a second seed, too; only the measures and curves of that training ship"""

QUEUE = {
    "people-parser": ["train-parser"],
    "people-64": ["train", "--preset", "people-64"],
    "people-128": ["train", "--preset", "people-128", "--init", "checkpoints/people-64"],
    "people-64-k5": ["train", "--preset", "people-64-k5"],
    **{f"variants/{name}": ["train", "--preset", name] for name in VARIANTS},
    **{f"variants/{name}-seed-1": ["train", "--preset", name, "--seed", "1"] for name in TWICE},
}
"""Name of the folder in checkpoints/ -> command of nted-lite, most important first"""

SHIPPED_MARK = "shipped"
"""Empty file in the folder of a run that has arrived in checkpoints/, measures and card included"""

NOTES = "<!-- notes: what is below is written by hand -->"


def command(name: str, *more: str) -> list[str]:
    """What trains a model, from the root of the repository."""
    return ["nted-lite", *QUEUE[name], "--out", f"build/zoo/{name}", *more]


def steps_done(name: str) -> int:
    """Steps that a training has behind it, as its last checkpoint says."""
    file = RUNS / name / STATE
    if not file.is_file():
        return 0
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["about"])["step"]


def preset_of(name: str) -> Preset | Variant:
    """The preset, or the variant, that a job trains."""
    chosen = QUEUE[name][QUEUE[name].index("--preset") + 1]
    return VARIANTS[chosen] if chosen in VARIANTS else PRESETS[chosen]


def steps_wanted(name: str) -> int:
    return 0 if name == "people-parser" else preset_of(name).train.steps


def status(name: str) -> str:
    """One line: is it shipped, how far is its training, and which command trains it."""
    shipped = "in place" if (SHIPPED / name / "metrics.json").is_file() else "missing"
    of = f" of {steps_wanted(name):,}" if steps_wanted(name) else ""
    run = f"{steps_done(name):,}{of} steps" if (RUNS / name / STATE).is_file() else "no run here"
    return f"{name:28} {shipped:12} {run:24} {' '.join(command(name))}"


def train(name: str) -> None:
    """Start a training, or continue it. Raises CalledProcessError if it fails."""
    words = command(name, *["--resume"] * bool(steps_done(name)))
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    subprocess.run([sys.executable, "-m", "nted_lite", *words[1:]], cwd=ROOT, env=environment, check=True)


def ship(name: str, people: int = 1024) -> None:
    """Put a finished model into checkpoints/: weights in bfloat16, configuration, curves, measures and card."""
    run, folder = RUNS / name, SHIPPED / name
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.bfloat16() for key, value in load_file(run / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text((run / "config.json").read_text())
    (folder / "curves.json").write_text(json.dumps(curves(run)) + "\n")
    model = load(folder) if name.startswith("variants/") else checkpoint.load_model(folder)
    measured = evaluate_people(model, people_parser(), people)
    (folder / "metrics.json").write_text(json.dumps(measured, indent=2) + "\n")
    (folder / "README.md").write_text(card(name, run))
    write_table(SHIPPED)
    if name.endswith("-seed-1"):
        (folder / "model.safetensors").unlink()
    (run / SHIPPED_MARK).touch()


def curves(run: Path, points: int = 60) -> dict[str, dict[str, list[float]]]:
    """The losses that a run has logged, thinned out to at most so many points, each the mean of its stretch.

    returns  loss -> {"step": last step of each stretch, "value": weighted loss, rounded to four digits}
    """
    log = EventAccumulator(str(run / "log"), size_guidance={"scalars": 0}).Reload()
    found = {}
    for tag in log.Tags()["scalars"]:
        logged = np.array([(event.step, event.value) for event in log.Scalars(tag)])
        stretches = np.array_split(logged, min(points, len(logged)))
        found[tag.removeprefix("loss/")] = {
            "step": [int(stretch[-1, 0]) for stretch in stretches],
            "value": [float(f"{stretch[:, 1].mean():.4g}") for stretch in stretches],
        }
    return found


def train_parser() -> None:
    """Train the parser and put it into checkpoints/. It takes under an hour on a core; interrupted, it is resumed."""
    name = "people-parser"
    subprocess.run([sys.executable, "-m", "nted_lite", *command(name)[1:]], cwd=ROOT, check=True)
    for file in ("model.safetensors", "metrics.json"):
        shutil.copyfile(RUNS / name / file, SHIPPED / name / file)
    (RUNS / name / SHIPPED_MARK).touch()


def card(name: str, run: Path) -> str:
    """A model's card: what can be told from its files, and the notes that the card before it holds."""
    folder = SHIPPED / name
    measured, record = (json.loads(f.read_text()) for f in (folder / "metrics.json", run / checkpoint.RECORD))
    before = (folder / "README.md").read_text() if (folder / "README.md").is_file() else ""
    notes = before.partition(NOTES)[2].strip() or "Nobody has looked at its pictures yet."
    config, train = record["model"], record["train"]
    weights = {loss: weight for loss, weight in train["weights"].items() if weight}
    if train["adversarial_start"] >= train["steps"]:
        weights.pop("adversarial", None)
    losses = ", ".join(f"{loss} {weight:g}" for loss, weight in weights.items())
    start = f"The adversarial loss begins at step {train['adversarial_start']:,}."
    adversary = start if "adversarial" in weights else ""
    preset = preset_of(name)
    changes = options(preset.model, ModelConfig.from_dict(config), "model.")
    changes += options(preset.train, TrainConfig(**train))
    words = command(name)
    if record["init"] and "--init" in words:  # perhaps it began with another run's weights
        words[words.index("--init") + 1] = record["init"]
    elif record["init"]:
        changes.append(f"--init {record['init']}")
    changes = [change for change in changes if change.split()[0] not in words]
    ships = f'`NTED.from_pretrained("checkpoints/{name}")`, weights stored in bfloat16'
    made = f"`nted-lite evaluate --checkpoint checkpoints/{name}`"
    if name.endswith("-seed-1"):
        ships, made = "a second training, of which only the measures ship", "`make zoo`"
    own = measured["similarity"]["model"]
    rows, height = "".join(f"| `{key}` | {value} |\n" for key, value in config.items()), measured["size"][0]
    return f"""---
library_name: nted-lite
license: mit
---

# {name.rpartition("/")[2]}

{height}x{measured["size"][1]} pixels; {ships}.

**Trained on** synthetic people (`nted_lite.people`, split `train`), rendered on the fly, never the same pair twice.
{steps_done(name) or train["steps"]:,} steps of {train["pairs"]} pairs, each in both directions.

**Train it again**: `{" ".join([*words, *changes])}`

**Learning rate** {train["lr"]:g}. **Losses**: {losses}. {adversary}

**How good**: on {measured["people"]:,} pairs of people it has never seen, PSNR {own["psnr"]["mean"]:.2f} dB and SSIM
{own["ssim"]["mean"]:.3f}; everything measured is in [`metrics.json`](metrics.json), made by
{made}.

| configuration | |
|---|---|
{rows}
{NOTES}

{notes}
"""


def options(preset: ModelConfig | TrainConfig, used: ModelConfig | TrainConfig, prefix: str = "") -> list[str]:
    """What one has to tell `nted-lite train` to change a preset's configuration into another."""
    found = []
    for line in checkpoint.differences(vars(preset), vars(used)):
        name, value = re.fullmatch(r"(?:\w+\.)*(\w+): .* -> (.*)", line).groups()
        name = name.replace("_", "-")
        if value in ("True", "False"):
            found.append(f"--{prefix}{'' if value == 'True' else 'no-'}{name}")
        else:
            found.append(f"--{prefix}{name} {re.sub('[(),]', '', value)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="folders in checkpoints/ (default: all)")
    parser.add_argument("--status", action="store_true", help="say where everything stands, and train nothing")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in QUEUE]
    if unknown:
        sys.exit(f"nothing trains {', '.join(unknown)}; there are {', '.join(QUEUE)}")
    for name in args.names or QUEUE:
        if args.status:
            print(status(name))
        elif not (RUNS / name / SHIPPED_MARK).is_file():
            print(status(name), flush=True)
            if name == "people-parser":
                train_parser()
                continue
            if steps_done(name) < steps_wanted(name):
                train(name)
            ship(name)


if __name__ == "__main__":
    main()
