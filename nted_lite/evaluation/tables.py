"""Tables of measures: collecting values batch by batch, their 95 % intervals, and printing them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Rows = dict[str, dict[str, list[Tensor]]]
"""Row of a table -> measure -> its values, b for each batch"""

Interval = dict[str, float | None]
"""mean, low and high; None if there was nothing to measure"""


def append(rows: Rows, row: str, values: dict[str, Tensor]) -> None:
    """Add a batch of values to a row of a table."""
    for name, value in values.items():
        rows.setdefault(row, {}).setdefault(name, []).append(value)


def interval(values: Tensor, of: Tensor | None = None, draws: int = 1000) -> Interval:
    """The mean and its 95 % bootstrap interval over pictures.

    values  n, one per picture; NaN means that a picture had nothing to measure, and is left out
    of      n: compute the share `sum(values) / sum(of)` instead of the mean
    draws   bootstrap samples
    """
    values = torch.stack([values, torch.ones_like(values) if of is None else of]).double().cpu()
    values = values[:, ~values.isnan().any(0)].numpy()
    n = values.shape[1]
    if not values[1].any():
        return dict.fromkeys(("mean", "low", "high"))
    chosen = np.random.default_rng(0).integers(n, size=(draws, n))
    above, below = (each[chosen].mean(1) for each in values)
    low, high = np.percentile(above[below > 0] / below[below > 0], [2.5, 97.5])
    mean = values[0].mean() / values[1].mean()
    return {"mean": mean.item(), "low": low.item(), "high": high.item()}


def interval_of_sum(measure: Callable[[Tensor], float], values: Tensor, draws: int = 200) -> Interval:
    """A number that is computed from a sum over pictures, such as an IoU, and its 95 % bootstrap interval.

    measure  from such a sum to the number
    values   n ..., one entry per picture
    draws    bootstrap samples
    """
    n, values = len(values), values.double().cpu()
    drawn = np.random.default_rng(0).multinomial(n, [1 / n] * n, size=draws)  # how often each picture is drawn
    sums = torch.tensordot(torch.from_numpy(drawn).double(), values, dims=1)
    low, high = np.percentile([measure(total) for total in sums], [2.5, 97.5])
    return {"mean": measure(values.sum(0)), "low": low.item(), "high": high.item()}


def intervals(rows: Rows) -> dict[str, dict[str, Interval]]:
    """Mean and interval of every cell."""
    return {row: {name: interval(torch.cat(v)) for name, v in columns.items()} for row, columns in rows.items()}


def ratios(rows: Rows, row: str, base: str) -> dict[str, Interval]:
    """Each measure of a row as a multiple of the same measure of another row, over the same people."""
    return {name: interval(torch.cat(values), of=torch.cat(rows[base][name])) for name, values in rows[row].items()}


def shares(rows: Rows) -> dict[str, dict[str, Interval]]:
    """Each measure's share of the sum of all measures of its row, over all pictures."""
    joined = {row: {name: torch.cat(v) for name, v in columns.items()} for row, columns in rows.items()}
    return {
        row: {name: interval(values, of=sum(columns.values())) for name, values in columns.items()}
        for row, columns in joined.items()
    }


def table(title: str, rows: dict[str, dict[str, Interval]]) -> list[str]:
    """Lines of text: a header with the title and the measures, then one line per row."""
    if not rows:
        return []
    names = list(next(iter(rows.values())))
    lines = ["", f"{title:16}" + "".join(f"{name:>17}" for name in names)]
    return lines + [f"{row:16}" + "".join(f"{cell(v[name]):>17}" for name in names) for row, v in rows.items()]


def cell(value: Interval, digits: int = 3) -> str:
    """A mean ± half the width of its interval."""
    if value["mean"] is None:
        return "-"
    return f"{value['mean']:.{digits}f} ± {(value['high'] - value['low']) / 2:.{digits}f}"
