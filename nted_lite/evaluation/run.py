"""The command `evaluate`: what is measured, and where the measures are stored."""

from pathlib import Path

from nted_lite.checkpoint import config_of, load_model
from nted_lite.config import model_config
from nted_lite.devices import pick
from nted_lite.evaluation import people as synthetic
from nted_lite.evaluation import photos, results
from nted_lite.features import people_parser
from nted_lite.model import NTED
from nted_lite.variants import load as load_variant
from nted_lite.weights import hub

PEOPLE = 1024
VARIANTS = "variants"  # the folder in checkpoints/ that holds the ablations
USES = {
    "with --all": {"people"},
    "with --pictures": {"truth", "data", "reference_set", "height", "layout"},
    "on photographs": {"data", "reference_set", "layout", "preset"},
    "on synthetic people": {"people", "split", "preset"},
}
"""The options that each way of measuring uses, besides --checkpoint, --pictures, --device and --out"""


def evaluate(
    checkpoint: Path | None, pictures: Path | None, everything: bool, device: str, out: Path | None, options: dict
) -> None:
    """Measure, print and store; for the options, which are None if not given, see `nted_lite.cli.evaluate`."""
    if [bool(checkpoint), bool(pictures), everything].count(True) != 1:
        raise ValueError("give one of --checkpoint, a model; --pictures, what a model generated; --all, shipped models")
    given = {name: value for name, value in options.items() if value is not None}
    way = "with --all" if everything else "with --pictures" if pictures else (
        "on photographs" if "data" in given else "on synthetic people")  # fmt: skip
    useless = [f"--{name.replace('_', '-')}" for name in given if name not in USES[way]]
    if "preset" in given and checkpoint and config_of(checkpoint, own := model_config(given["preset"])) is not own:
        useless.append("--preset (a folder contains its own configuration)")
    if useless:
        raise ValueError(f"{', '.join(useless)}: not used {way}")
    if out and out.is_dir():  # said now, as measuring may take long
        raise ValueError(f"{out}: a folder; give --out the name of a file")
    chosen = pick(device)
    if everything:
        return _all(given.get("people", PEOPLE), chosen, out)
    if pictures:
        measured = photos.evaluate_folder(pictures, device=chosen, **given)
    else:
        model = load_model(checkpoint, *([given.pop("preset")] if "preset" in given else []), device=chosen)
        if way == "on photographs":
            measured = photos.evaluate_deepfashion(model, **given)
        else:
            measured = synthetic.evaluate_people(model, people_parser(), **{"people": PEOPLE, **given})
    print((photos if "protocol" in measured else synthetic).report(measured))
    print(_keep(measured, checkpoint or pictures, out))


def _keep(measured: dict, beside: Path, out: Path | None) -> str:
    if out:
        return results.keep(measured, out, asked=True)
    if not beside.exists():  # a hub id
        return "not written: --out FILE keeps these measures"
    own = beside / "metrics.json" if beside.is_dir() else beside.with_name(f"{beside.name}.metrics.json")
    return results.keep(measured, own)


def _all(people: int, device: str, out: Path | None) -> None:
    """Measure all shipped models and variants, and write the table of results."""
    parser, root = people_parser(), hub.shipped("")
    for pattern in ("*", f"{VARIANTS}/*"):
        for folder in sorted(file.parent for file in root.glob(f"{pattern}/{hub.WEIGHTS}")):
            print(folder.relative_to(root).as_posix())
            measured = synthetic.evaluate_people(_open(folder, device), parser, people)
            print(results.keep(measured, folder / "metrics.json"))  # an earlier one of more people stays
    print(f"written to {results.write_table(root, out)}")


def _open(folder: Path, device: str) -> NTED:
    """The model in a folder of checkpoints/; the variants have networks of their own."""
    return load_variant(folder).to(device) if folder.parent.name == VARIANTS else load_model(folder, device=device)
