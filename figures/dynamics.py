"""What comes and goes does to learning: accuracy over time, waste, who takes part, whom the model serves, energy.

    python figures/dynamics.py RESULTS... [-o FOLDER] [--target 0.6]

Reads results folders of `fedsim run`, one per study, and draws a row of panels for each; prints Markdown tables and
writes dynamics.csv, dynamics-classes.csv and dynamics.png. Accuracy by class and label is there for scenarios with
run.by_label = true. Bands reach from the lowest to the highest seed, error bars are standard deviations. Needs
matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray
from study import (
    COLOURS,
    DASHES,
    SHAPES,
    UNITS,
    WASTED,
    curves,
    deviation,
    digits_for,
    markdown,
    median,
    name_of,
    ordered,
    outcomes,
    spread,
    times_said,
    unit_for,
)

from fedsim.fairness import by_class, by_label_group, label_accuracies
from fedsim.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Looks = dict[str, dict[str, str]]
BY = ["study", "method"]
MEANS = ("accuracy", "worst", "best", "jain", *WASTED, "kj")
GRID = 400
WIDTHS = {"curves": 4.2, "served": 3.5, "jain": 1.7, "wasted": 2.3, "kj": 1.7}  # of the panels, inches
TITLES = {"curves": "test accuracy (%)", "served": "accuracy by device class and label (%)"}
TITLES |= {"jain": "participation (Jain)", "wasted": "wasted (%)", "kj": "devices' energy (kJ)"}


# --- Numbers --------------------------------------------------------------------------------------------
def rows_of(folders: list[Path], target: float | None) -> pd.DataFrame:
    """Return a row per run, with the accuracy on its worst and best label as far as that is known."""
    rows = outcomes(folders, target)
    ends = [labels(folder) for folder in folders]
    return rows.merge(pd.concat(ends), "left", on=[*BY, "seed"])


def labels(folder: Path) -> pd.DataFrame:
    """Return the accuracy on the worst and the best label of one folder's runs, in percent."""
    results = Results.find(folder)
    if label_accuracies(results).empty:
        return pd.DataFrame(columns=[*BY, "seed", "worst", "best"])
    rows = by_label_group(results).pivot_table("accuracy", ["method", "seed"], "group", dropna=False)
    return (100 * rows[["worst", "best"]]).reset_index().assign(study=name_of(folder))


def table(rows: pd.DataFrame, target: float | None) -> pd.DataFrame:
    """Return mean and standard deviation over seeds by study and method, and of the target how many reached it."""
    by = rows.groupby(BY, sort=False)
    found = by[list(MEANS)].mean().join(by[list(MEANS)].agg(deviation).add_suffix("_sd"))
    found = found.assign(seeds=by.size(), reached=by.reached_s.agg(lambda times: np.isfinite(times).sum()))
    return found.assign(target=target, reached_s=by.reached_s.agg(median))


def classes(folders: list[Path]) -> pd.DataFrame:
    """Return mean and standard deviation over seeds by study, method and device class; accuracy in percent."""
    every = [ordered(by_class(Results.find(folder)), folder).assign(study=name_of(folder)) for folder in folders]
    rows = pd.concat(every, ignore_index=True)
    rows = rows.assign(accuracy=100 * rows.accuracy, share=100 * rows.share, kj=rows.energy_j / 1e3)
    rows["wasted_j"] = 100 * rows.wasted_j / rows.energy_j
    by = rows.groupby([*BY, "profile"], sort=False)
    columns = ["devices", "done", "share", "accuracy", "wasted_j", "kj"]
    return by[columns].mean().join(by[columns].agg(deviation).add_suffix("_sd"))


# --- Tables ---------------------------------------------------------------------------------------------
def table_markdown(found: pd.DataFrame, rows: pd.DataFrame, target: float | None) -> str:
    """Write a row per study and method."""
    times = rows.groupby(BY, sort=False).reached_s
    unit = unit_for(rows.end_s.max())
    head = {"study": 0, "method": 0, "seeds": 1, "accuracy %": 1}
    head |= {f"{unit} to {100 * target:g} %": 1} if target is not None else {}
    head |= {"worst label %": 1, "best label %": 1, "Jain": 1, **{f"{what} wasted %": 1 for what in WASTED.values()}}
    lines = []
    for key, row in found.iterrows():
        cells = [spread(row[name], row[f"{name}_sd"], digits=digits_of(name, row)) for name in MEANS]
        reached = [times_said(times.get_group(key), unit)] if target is not None else []
        lines.append([*key, f"{row.seeds:.0f}", cells[0], *reached, *cells[1:]])
    return markdown({**head, "kJ": 1}, lines)


def classes_markdown(found: pd.DataFrame) -> str:
    """Write a row per study, method and device class."""
    head = {"study": 0, "method": 0, "device class": 0, "devices": 1, "tasks done": 1, "share of them %": 1}
    head |= {"accuracy %": 1, "joules wasted %": 1, "kJ": 1}
    lines = []
    for key, row in found.iterrows():
        names = ("done", "share", "accuracy", "wasted_j", "kj")
        cells = [spread(row[name], row[f"{name}_sd"], digits=digits_of(name, row)) for name in names]
        lines.append([*key, f"{row.devices:.0f}", *cells])
    return markdown(head, lines)


def digits_of(name: str, row: pd.Series[float]) -> int:
    """Return how many decimals are written."""
    return digits_for(row.kj) if name == "kj" else 2 if name == "jain" else 1


# --- The picture ----------------------------------------------------------------------------------------
def draw(every: pd.DataFrame, found: pd.DataFrame, kinds: pd.DataFrame) -> Figure:
    """Draw a row of panels per study; methods have colours, what is told apart within one has shapes."""
    studies = list(dict.fromkeys(found.index.get_level_values("study")))
    methods = found.index.unique("method")
    shown = [name for name in WIDTHS if name != "served" or found.worst.notna().any()]
    widths, most = [WIDTHS[name] for name in shown], found.groupby("study").size().max()
    deep = max(2.2, 0.7 + 0.3 * most)
    figure, grid = plt.subplots(
        len(studies), len(shown), squeeze=False, figsize=(sum(widths), 0.8 + deep * len(studies)),
        width_ratios=widths, layout="constrained",
    )  # fmt: skip
    looks = looks_of(list(methods))
    shapes = dict(zip(kinds.index.unique("profile"), cycle(SHAPES), strict=False))
    for panels, study in zip(grid, studies, strict=True):
        axes, rows = dict(zip(shown, panels, strict=True)), found.loc[study]
        draw_curves(axes["curves"], every[every.study == study], looks)
        if "served" in axes:
            draw_served(axes["served"], rows, kinds.loc[study], shapes=shapes, looks=looks)
        draw_bars(axes["jain"], rows, "jain", looks=looks)
        draw_bars(axes["kj"], rows, "kj", looks=looks)
        draw_wasted(axes["wasted"], rows, looks)
        dress(axes, study, list(rows.index))
    columns = dict(zip(shown, grid.T, strict=True))
    level(columns, found)
    explain({name: column[0] for name, column in columns.items()}, looks, shapes)
    return figure


def level(columns: dict[str, Sequence[Axes]], found: pd.DataFrame) -> None:
    """Give all studies one scale of everything but time and energy."""
    most = max((found[name] + found[f"{name}_sd"].fillna(0)).max() for name in WASTED)
    limits = {"jain": (0, 1), "wasted": (-0.04 * most, max(1.05 * most, 1))}
    limits["served"] = (max(-2, found.worst.min() - 5), 102)
    for name, column in columns.items():
        for axes in column:
            axes.set(xlim=limits.get(name))
    top = max(axes.get_ylim()[1] for axes in columns["curves"])
    for axes in columns["curves"]:
        axes.set_ylim(0, top)
    for axes in columns["jain"]:
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def looks_of(methods: list[str]) -> Looks:
    """Return each method's colour and dashes."""
    pairs = [(colour, dash) for dash in DASHES for colour in COLOURS]
    return {method: {"color": colour, "ls": dash} for method, (colour, dash) in zip(methods, pairs, strict=False)}


def dress(axes: dict[str, Axes], study: str, methods: list[str]) -> None:
    """Name the study and, once in its row, the methods."""
    first, *others = list(axes.values())
    first.set_ylabel(study, fontsize=10, fontweight="bold")
    for number, one in enumerate(others):
        one.set_yticks(range(len(methods)), methods if number == 0 else [""] * len(methods), fontsize=8)
        one.set_ylim(len(methods) - 0.5, -0.5)
        one.tick_params(axis="y", length=0)
    for one in axes.values():
        one.grid(axis="both" if one is first else "x", alpha=0.3)
        one.set_axisbelow(True)
        one.tick_params(axis="x", labelsize=8)
        one.spines[["top", "right"]].set_visible(False)


def draw_curves(axes: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """Draw the mean accuracy over seeds in its band until the last seed ends; one that has ended keeps its last."""
    unit = unit_for(rows.at_s.max())
    for method, own in rows.groupby("method", sort=False):
        times = np.linspace(0, own.at_s.max(), GRID)
        seeds = [np.interp(times, run.at_s, 100 * run.accuracy) for _, run in own.groupby("seed")]
        mean, color = np.mean(seeds, axis=0), looks[method]["color"]
        axes.plot(times / UNITS[unit], mean, **looks[method], lw=1.5)
        axes.plot(times[-1] / UNITS[unit], mean[-1], "o", color=color, ms=3.5)
        band = np.min(seeds, axis=0), np.max(seeds, axis=0)
        axes.fill_between(times / UNITS[unit], *band, color=color, alpha=0.12, lw=0)
    axes.set(xlim=(0, 1.02 * rows.at_s.max() / UNITS[unit]), ylim=(0, None))
    axes.set_xlabel(f"virtual time ({unit})", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)


def draw_served(axes: Axes, rows: pd.DataFrame, kinds: pd.DataFrame, *, shapes: dict[str, str], looks: Looks) -> None:
    """Draw a line from the worst to the best label, and on it how accurate the model is for each device class."""
    for place, (method, row) in enumerate(rows.iterrows()):
        colour = looks[str(method)]["color"]
        axes.plot([row.worst, row.best], [place, place], color=colour, lw=1, marker="|", ms=22, alpha=0.7)
        served = kinds.loc[method]
        for (profile, one), off in zip(served.iterrows(), offsets(len(served)), strict=True):
            look = {"marker": shapes[str(profile)], "fc": colour, "ec": "white", "lw": 0.5}
            axes.scatter(one.accuracy, place + off, **look, s=30, zorder=3)


def offsets(n: int) -> NDArray[np.float64]:
    """Return places of *n* shapes, one above the other, about one method's."""
    return 0.21 * (np.arange(n) - (n - 1) / 2) * min(1.0, 3 / n)


def draw_bars(axes: Axes, rows: pd.DataFrame, name: str, *, looks: Looks) -> None:
    """Draw a bar per method with its deviation."""
    colours = [looks[method]["color"] for method in rows.index]
    axes.barh(range(len(rows)), rows[name], color=colours, alpha=0.85, height=0.5)
    axes.errorbar(rows[name], range(len(rows)), xerr=rows[f"{name}_sd"], fmt="none", ecolor="0.2", lw=0.9, capsize=2)


def draw_wasted(axes: Axes, rows: pd.DataFrame, looks: Looks) -> None:
    """Draw the shares wasted, a shape each, one above the other."""
    for name, shape, off in zip(WASTED, SHAPES, offsets(len(WASTED)), strict=False):
        places = np.arange(len(rows)) + off
        look = {"fmt": shape, "ms": 4.5, "lw": 0.9, "capsize": 2}
        for method, place, mean, sd in zip(rows.index, places, rows[name], rows[f"{name}_sd"], strict=True):
            axes.errorbar(mean, place, xerr=sd, color=looks[method]["color"], **look)


def explain(axes: dict[str, Axes], looks: Looks, shapes: dict[str, str]) -> None:
    """Write above the panels what they show, and what colours and shapes mean."""
    keys = {"curves": [Line2D([], [], **look, label=method) for method, look in looks.items()]}
    labels = mark("|", "worst and best label", "-")
    keys["served"] = [*(mark(shape, name) for name, shape in shapes.items()), labels]
    keys["wasted"] = [mark(shape, what) for what, shape in zip(WASTED.values(), SHAPES, strict=False)]
    for name, one in axes.items():
        one.set_title(TITLES[name], fontsize=9, loc="left")
        above = offset_copy(one.transAxes, one.figure, y=16, units="points")
        where = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1), "bbox_transform": above, "borderaxespad": 0}
        if name in keys:
            one.legend(handles=keys[name], **where, ncols=-(-len(keys[name]) // 4), frameon=False, fontsize=8)


def mark(shape: str, label: str, line: str = "") -> Line2D:
    """Return what stands for *label* in a legend."""
    return Line2D([], [], ls=line, color="0.4", marker=shape, label=label)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path())
    parser.add_argument("--target", type=float, help="accuracy to reach, 0 to 1")
    chosen = parser.parse_args()
    mpl.use("Agg")
    rows, kinds = rows_of(chosen.results, chosen.target), classes(chosen.results)
    found = table(rows, chosen.target)
    print(f"{table_markdown(found, rows, chosen.target)}\n\n{classes_markdown(kinds)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    found.to_csv(chosen.out / "dynamics.csv", float_format="%.4g")
    kinds.to_csv(chosen.out / "dynamics-classes.csv", float_format="%.4g")
    every = pd.concat([curves(folder) for folder in chosen.results])
    draw(every, found, kinds).savefig(chosen.out / "dynamics.png", dpi=150)


if __name__ == "__main__":
    main()
