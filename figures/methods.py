"""What each method of a study reached and what it cost, over its seeds: a table, and accuracy over virtual time.

    python figures/methods.py RESULTS... [-o FOLDER] [--baseline fedavg]

Reads results folders of `fedsim run` that share a world; prints a Markdown table and writes methods.csv and
methods.png into the folder. Differences are paired: a seed's world is the same for every method. Needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from scipy.stats import t as student

from fedsim.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
MIB = 2**20


def last_rows(folders: list[Path]) -> pd.DataFrame:
    """Return the last evaluation of every model of every run."""
    return curves(folders).groupby(["label", "seed"], sort=False).tail(1)


def curves(folders: list[Path]) -> pd.DataFrame:
    """Return all evaluations on the whole test set.

    ``label`` is the method, followed by the model's name unless it is the first.
    """
    frames = []
    for folder in folders:
        found = Results.find(folder).metrics.astype({"method": str, "model": str})
        found = found[found.split == "test"]
        first = found.groupby("method").model.transform("first")
        others = found.method + ": " + found.model
        frames.append(found.assign(label=found.method.where(found.model == first, others)))
    return pd.concat(frames, ignore_index=True)


def table(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return mean and standard deviation over seeds per label, and the paired difference to *baseline*."""
    base = rows[rows.label == baseline].set_index("seed").accuracy
    if base.empty:
        raise SystemExit(f"--baseline {baseline!r} is none of {', '.join(rows.label.unique())}")
    points = 100 * rows.accuracy
    rows = rows.assign(
        points=points, gap=points - 100 * rows.seed.map(base), minutes=rows.at_s / 60, kj=rows.energy_j / 1e3,
        up=rows.up_bytes / MIB, down=rows.down_bytes / MIB, wasted=100 * rows.wasted_j / rows.energy_j,
    )  # fmt: skip
    by = rows.groupby("label", sort=False)
    columns = {"seeds": by.size(), "accuracy": by.points.mean(), "accuracy_sd": by.points.std()}
    columns |= {"gap": by.gap.mean(), "gap_sd": by.gap.std()}
    columns |= {name: by[name].mean() for name in ("minutes", "kj", "up", "down", "wasted")}
    return pd.DataFrame(columns)


def markdown(found: pd.DataFrame, baseline: str) -> str:
    """Write the table as Markdown; a gap whose 95 % interval (paired) holds zero is undecided, marked ~."""
    head = ("method", "seeds", "accuracy %", f"against {baseline}", "min", "kJ", "MiB up", "MiB down", "% wasted")
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    for label, row in found.iterrows():
        mark = " ~" if undecided(row.gap, row.gap_sd, seeds=int(row.seeds)) else ""
        gap = "" if label == baseline else f"{row.gap:+.1f} ± {row.gap_sd:.1f}{mark}"
        costs = f"{row.minutes:.2f} | {row.kj:.2f} | {row.up:.2f} | {row.down:.2f} | {row.wasted:.0f}"
        lines.append(f"| {label} | {row.seeds:.0f} | {row.accuracy:.1f} ± {row.accuracy_sd:.1f} | {gap} | {costs} |")
    return "\n".join(lines)


def undecided(gap: float, deviation: float, *, seeds: int) -> bool:
    """Return whether the 95 % interval of a mean of paired differences holds zero; always, under three seeds."""
    return seeds < 3 or abs(gap) <= float(student.ppf(0.975, seeds - 1)) * deviation / seeds**0.5


def draw(every: pd.DataFrame, found: pd.DataFrame, shown: list[str]) -> Figure:
    """Draw accuracy over virtual time for the *shown* labels, and where all of them ended, with their traffic."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.6), layout="constrained")
    for colour, label in zip(COLOURS, shown, strict=False):
        draw_curve(left, every[every.label == label], colour)
    left.set(xlabel="virtual time (min)", ylabel="test accuracy (%)", xlim=(0, None))
    left.legend(frameon=False, fontsize=8, loc="lower right")
    draw_ends(right, found[~found.index.str.contains(": ")].sort_values("accuracy"))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def draw_ends(axes: Axes, methods: pd.DataFrame) -> None:
    """Draw the accuracy at the end and its standard deviation, a line per method, the best on top."""
    places = range(len(methods))
    axes.errorbar(methods.accuracy, places, xerr=methods.accuracy_sd, fmt="o", ms=4, lw=0.9, color="0.2")
    traffic = methods.up + methods.down
    axes.set(yticks=places, xlabel="test accuracy at the end (%)")
    axes.set_yticklabels([f"{label}, {mib:.3g} MiB" for label, mib in traffic.items()], fontsize=8)


def draw_curve(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw the mean over seeds by version, at its mean time, in the band from the lowest to the highest seed."""
    by = rows.assign(points=100 * rows.accuracy, minutes=rows.at_s / 60).groupby("version")
    minutes, points = by.minutes.mean(), by.points
    axes.plot(minutes, points.mean(), color=colour, label=rows.label.iloc[0], linewidth=1.5)
    axes.fill_between(minutes, points.min(), points.max(), color=colour, alpha=0.15, linewidth=0)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path())
    parser.add_argument("--baseline", default="fedavg")
    parser.add_argument("--show", default="fedavg,reft,raffm,equitable-fl,message-pruning", help="curves, by label")
    chosen = parser.parse_args()
    mpl.use("Agg")
    every = curves(chosen.results)
    found = table(last_rows(chosen.results), chosen.baseline)
    print(markdown(found, chosen.baseline))
    chosen.out.mkdir(parents=True, exist_ok=True)
    found.to_csv(chosen.out / "methods.csv", float_format="%.4g")
    shown = [label for label in chosen.show.split(",") if label in found.index]
    draw(every, found, shown).savefig(chosen.out / "methods.png", dpi=150)


if __name__ == "__main__":
    main()
