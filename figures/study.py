"""What the figures of studies share: a row per run, means over seeds, and how these are written."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from fedsim.fairness import by_run
from fedsim.results import Results

# Okabe and Ito's colours, grey for black, told apart with any colour vision; shapes and dashes tell them too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", ":", "-.")
RUN = ["study", "method", "seed"]
WASTED = {"wasted_j": "joules", "wasted_s": "busy seconds", "wasted_bytes": "bytes"}
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def scenario_of(folder: Path) -> dict[str, Any]:
    """Return the scenario that was run."""
    return tomllib.loads((folder / "scenario.toml").read_text(encoding="utf-8"))


def name_of(folder: Path) -> str:
    """Return a folder's name without its digest and without the word dynamics- before it."""
    return folder.resolve().name.rpartition("-")[0].removeprefix("dynamics-")


def outcomes(folders: list[Path], target: float | None = None) -> pd.DataFrame:
    """Return a row per run, methods in the scenario's order.

    accuracy: at the end, in percent; reached_s: when it first was *target*, inf for never; wasted_...: in percent of
    what devices spent; jain: over the whole fleet.
    """
    return pd.concat([runs(folder, target) for folder in folders], ignore_index=True)


def runs(folder: Path, target: float | None) -> pd.DataFrame:
    """Return the rows of one folder."""
    results, key = Results.find(folder), ["method", "seed"]
    rows = pd.DataFrame(results.summary["runs"]).set_index(key)
    busy_s = results.devices.astype({"method": str}).groupby(key).busy_s.sum()
    spent = {"j": rows.energy_j, "s": busy_s, "bytes": rows.up_bytes + rows.down_bytes}
    found = {f"wasted_{unit}": 100 * rows[f"wasted_{unit}"] / whole for unit, whole in spent.items()}
    devices = sum(group["count"] for group in scenario_of(folder)["fleet"])
    first = curves(folder).groupby(key).apply(first_time, target, include_groups=False)
    found |= {"accuracy": 100 * rows.accuracy.astype(float), "reached_s": first, "end_s": rows.virtual_s}
    found |= {"kj": rows.energy_j / 1e3, "jain": by_run(results, devices=devices)}
    return ordered(pd.DataFrame(found).reset_index(), folder).assign(study=name_of(folder))


def ordered(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Sort *rows* by the scenario's order of methods."""
    order = [method["label"] for method in scenario_of(folder)["method"]]
    return rows.sort_values("method", key=lambda names: names.map(order.index), kind="stable")


def curves(folder: Path) -> pd.DataFrame:
    """Return the evaluations of every run's first model on the whole test set."""
    rows = Results.find(folder).metrics.astype({"method": str})
    first = rows.groupby(["method", "seed"]).model.transform("first")
    return rows[(rows.split == "test") & (rows.model == first)].assign(study=name_of(folder))


def first_time(rows: pd.DataFrame, target: float | None) -> float:
    """Return the virtual time of one run's first evaluation at *target* or above; inf: never; NaN: no target."""
    if target is None:
        return math.nan
    return float(rows.at_s[rows.accuracy >= target].min()) if (rows.accuracy >= target).any() else math.inf


# --- Means over seeds -----------------------------------------------------------------------------------
def deviation(values: pd.Series[float]) -> float:
    """Return the standard deviation over seeds; NaN of one, and where something never happened."""
    return float(values.std()) if len(values) > 1 and np.isfinite(values).all() else math.nan


def half_width(differences: pd.Series[float]) -> float:
    """Return half of the 95 % Student-t interval of a mean of paired differences; NaN of fewer than three."""
    n = len(differences)
    known = n >= 3 and differences.notna().all()
    return float(student.ppf(0.975, n - 1) * differences.std() / n**0.5) if known else math.nan


def median(times: pd.Series[float]) -> float:
    """Return the median where what never happened is later than all that did."""
    return float(np.median(np.sort(times))) if len(times) and not times.isna().any() else math.nan


# --- How they are written -------------------------------------------------------------------------------
def spread(mean: float, sd: float, *, digits: int = 1) -> str:
    """Write a mean, with its standard deviation where there is one; nothing for what was not measured."""
    if math.isnan(mean):
        return ""
    return f"{mean:.{digits}f}" + ("" if math.isnan(sd) else f" ± {sd:.{digits}f}")


def digits_for(value: float) -> int:
    """Return the decimals that show three digits of *value*.

    >>> digits_for(0.0432), digits_for(4.32), digits_for(432.0)
    (4, 2, 0)
    """
    return max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0


def gap(mean: float, half: float, *, digits: int = 1) -> str:
    """Write a difference with the ends of its interval where there is one."""
    if math.isnan(mean):
        return ""
    ends = "" if math.isnan(half) else f" [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"
    return f"{round(mean, digits) + 0.0:+.{digits}f}{ends}"  # not -0.0


def times_said(times: pd.Series[float], unit: str) -> str:
    """Write when seeds reached a target: mean and deviation if all did, else how many did, and the median if known."""
    reached = times[np.isfinite(times)] / UNITS[unit]
    if times.isna().all():
        return ""
    if len(reached) == len(times):
        return spread(reached.mean(), deviation(reached) if len(times) >= 3 else math.nan, digits=2)
    middle = median(times) / UNITS[unit]
    said = f"{len(reached)} of {len(times)} reached"
    return f"{said}, median {middle:.2f}" if np.isfinite(middle) else said


def unit_for(seconds: float) -> str:
    """Return the largest unit of which *seconds* are at least two, or s."""
    fitting = [unit for unit, long in UNITS.items() if seconds >= 2 * long]
    return fitting[-1] if fitting else "s"


def markdown(head: Mapping[str, int], rows: list[list[str]]) -> str:
    """Write a table; *head* says of each column whether it holds text (0) or numbers (1)."""
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(('---', '---:')[number] for number in head.values())} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
