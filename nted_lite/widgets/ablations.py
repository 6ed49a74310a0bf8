"""The ablation browser: choose a variant, a person and a pose; see what it generates, and its row of the table."""

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from pathlib import Path

import ipywidgets
import torch
from matplotlib.figure import Figure

from nted_lite.model import NTED
from nted_lite.people import SPLITS, pairs, render, sample_people, sample_poses
from nted_lite.plotting.ablations import show_case
from nted_lite.plotting.base import texture_parts
from nted_lite.variants import COLUMNS, VARIANTS, load, measures, trained
from nted_lite.weights.hub import WEIGHTS
from nted_lite.widgets.panel import Panel


@lru_cache(maxsize=32)
@torch.no_grad()
def _loaded(folder: Path) -> tuple[NTED, list[list[int]]]:
    """A variant, and which part each of its textures paints most on 16 people, for each operation."""
    model = load(folder)
    seen = pairs(SPLITS["validation"], torch.arange(16), model.config.height)
    found = model(seen.reference.image, model.pose_map(seen.target.keypoints, seen.target.visible))
    return model, [texture_parts(distribution, seen.target.parts) for distribution in found.distribution]


class AblationBrowser(Panel):
    """Controls for the variant, the person and the pose; the pictures and maps; the variant's row of the table.

    people    number of test people, and of their poses, to choose from
    variants  name of a variant -> folder; the default is every one that has been trained and ships with its weights

    Raises ValueError if there are none. `made` is the generated image, 3 h w.
    """

    def __init__(self, people: int = 24, variants: Mapping[str, Path] | None = None):
        shipped = {name: folder for name, folder in trained().items() if (folder / WEIGHTS).is_file()}
        self.variants = shipped if variants is None else variants
        if not self.variants:
            raise ValueError("no variant has been trained yet; `python checkpoints/train.py variants/full` trains one")
        self.row = ipywidgets.HTML()
        super().__init__(
            self._case, variant=ipywidgets.Dropdown(options=list(self.variants)),
            person=ipywidgets.IntSlider(0, 0, people - 1),
            pose_of=ipywidgets.IntSlider(0, 0, people - 1),
        )  # fmt: skip
        self.children += (self.row,)

    @torch.no_grad()
    def _case(self, variant: str, person: int, pose_of: int) -> Figure:
        model, groups = _loaded(self.variants[variant])
        someone, seed = sample_people(SPLITS["test"], torch.tensor([person])), SPLITS["test"]
        reference = render(someone, sample_poses(seed, torch.tensor([person]), 0), model.config.height)
        target = render(someone, sample_poses(seed, torch.tensor([pose_of]), 1), model.config.height)
        found = model(reference.image, model.pose_map(target.keypoints, target.visible))
        self.made = found.image[0]
        self.row.value = _table({name: measures(self.variants[name]) for name in dict.fromkeys(("full", variant))
                                 if name in self.variants}, variant)  # fmt: skip
        pictures = {"reference": reference.image[0], "generated": self.made, "ground truth": target.image[0]}
        maps = ([each[0] for each in maps] for maps in (found.extraction, found.distribution))
        return show_case(pictures, *maps, groups)


def _table(rows: Mapping[str, Mapping], chosen: str) -> str:
    """The rows as HTML; the chosen one is bold."""
    head = "".join(f"<th style='padding: 0 10px'>{title}</th>" for title in ("", *COLUMNS))
    body = ""
    for name, row in rows.items():
        bold = "font-weight: bold" if name == chosen else ""
        title = f"{escape(name)}: {escape(VARIANTS[name.removesuffix('-seed-1')].title)}"
        cells = "".join(f"<td style='padding: 0 10px; text-align: right'>{_cell(found)}</td>" for found in row.values())
        body += f"<tr style='{bold}'><td style='padding: 0 10px'>{title}</td>{cells}</tr>"
    return f"<table style='border-collapse: collapse'><tr>{head}</tr>{body}</table>"


def _cell(found: Mapping[str, float] | None) -> str:
    """A mean and half of its interval over people."""
    if found is None:
        return "–"
    digits = 2 if found["mean"] > 5 else 3
    return f"{found['mean']:.{digits}f} ± {(found['high'] - found['low']) / 2:.{digits}f}"
