"""Storing measures: the file that they are written to, and the table of all shipped models."""

import json
from pathlib import Path

from nted_lite.evaluation.tables import Interval, cell
from nted_lite.images import write_file

COLUMNS = {
    "PSNR, dB": ("similarity", "psnr", 2), "SSIM": ("similarity", "ssim", 3),
    "person, PSNR": ("similarity", "person_psnr", 2), "L1 seen": ("seen", "seen", 3),
    "L1 unseen": ("seen", "unseen", 3), "patterns, fine": ("patterns", "fine", 3), "coarse": ("patterns", "coarse", 3),
}  # fmt: skip
"""Columns that models and baselines have: title -> table of metrics.json, measure, digits"""

BASELINES = {"copy": "copying the photo", "part colours": "an oracle: ground truth parts in the photo's mean colours"}

FORCE = "`nted-lite evaluate --checkpoint ... --out FILE` keeps them elsewhere, or replaces those"

HEAD = """# Results

Written by `nted-lite evaluate --all` and `make zoo`, from the `metrics.json` of every model. Held-out synthetic people
of the test split; mean ± half of the 95 % bootstrap interval over people. A column without ± is one number for all.

- *L1* on the person: surface that the photo shows, and surface that it does not.
- *patterns*: correlation with the ground truth inside patterned garments, fine (stripes, checks, dots) and coarse.
- *transport*: share of a pixel's texture that comes from the right part of the body, best operation.
- *six groups*, *eight parts*: mean IoU of the entities with the ground truth (skin is one group), best operation.
- *swap*: error after exchanging the top, inside the garment and outside it, as a multiple of the bound: the error that
  the model has from a photo of the person in that top. 1 is the best to hope for. Compare models of similar PSNR only:
  one that draws every top badly has an easy bound.
- *FD*: Frechet distance to training people in the people parser's features.
"""


def keep(measured: dict, file: Path, asked: bool = False) -> str:
    """Save measures as JSON, unless better ones would be lost. -> a line that says what was done

    asked  whether the user has named this very file; if not, existing measures are replaced only by measures of the
           same kind of pictures, and of at least as many
    """
    there = None if asked else _read(file)
    if there is not None:
        (kind, count), (ours, number) = about(there), about(measured)
        if kind != ours or count > number:
            return f"not written: {file} holds measures of {count:,} {kind}, these are of {number:,} {ours}; {FORCE}"
    write_file(file, (json.dumps(measured, indent=2) + "\n").encode())
    return f"written to {file}"


def _read(file: Path) -> dict | None:
    """The content of a file with measures: None if there is no such file, empty if it holds none."""
    if not file.exists():
        return None
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def about(measured: dict) -> tuple[str, int]:
    """The kind and number of pictures that were measured: ("people of the test split at 64x44", 1024)"""
    if "people" in measured:
        return f"people of the {measured['split']} split at {_size(measured)}", measured["people"]
    if "protocol" in measured:
        protocol = measured["protocol"]
        count = protocol.get("generated", {}).get("pictures", protocol.get("pictures", 0))
        return f"pictures at {_size(protocol)}", count
    return "something else", 0


def _size(measured: dict) -> str:
    return "x".join(map(str, measured["size"]))


def write_table(root: Path, out: Path | None = None) -> Path:
    """Write RESULTS.md, the table of all models and variants below a folder that have been measured. -> its path"""
    files = [file for pattern in ("*", "variants/*") for file in sorted(root.glob(f"{pattern}/metrics.json"))]
    found = {file.parent.relative_to(root).as_posix(): _read(file) for file in files}
    out = out or root / "RESULTS.md"
    write_file(out, markdown({name: measured for name, measured in found.items() if "people" in measured}).encode())
    return out


def markdown(models: dict[str, dict]) -> str:
    """The table of models. Baselines come first, once for each size.

    models  name -> the content of its metrics.json; what an earlier version did not measure becomes a dash
    """
    titles = ["", "size", "people", *COLUMNS, "transport", "six groups", "eight parts", "swap inside", "outside", "FD"]
    lines = [HEAD, f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    sizes: set[str] = set()
    for name, measured in models.items():
        if _size(measured) not in sizes:
            sizes.add(_size(measured))
            lines += [_line(title, measured, row, [""] * 5) for row, title in BASELINES.items()]
        lines.append(_line(f"**{name}**", measured, "model", _of_model(measured)))
    return "\n".join(lines) + "\n"


def _line(title: str, measured: dict, row: str, of_model: list[str]) -> str:
    cells = [_cell(measured.get(table, {}).get(row, {}).get(name), digits) for table, name, digits in COLUMNS.values()]
    distance = measured.get("fd_people", {"rows": {}})["rows"].get(row)
    people = f"{measured['people']:,}"
    return f"| {' | '.join([title, _size(measured), people, *cells, *of_model, _plain(distance)])} |"


def _cell(value: Interval | None, digits: int) -> str:
    return "-" if value is None else cell(value, digits)


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _of_model(measured: dict) -> list[str]:
    """The columns that only models have: transport, entities, swap."""
    found = [row["accuracy"] for row in measured.get("transport", {}).values()]
    best = [max(measured.get(name, []), key=lambda f: f["grouped"], default=None) for name in ("groups", "entities")]
    of_bound = measured.get("swap_of_bound", {})
    return [
        _cell(max(found, key=lambda value: value["mean"], default=None), 3),
        *(_cell(operation and operation.get("interval"), 3) for operation in best),
        *(_cell(of_bound.get(side), 3) for side in ("inside", "outside")),
    ]
