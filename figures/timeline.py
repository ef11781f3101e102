"""What every device did when, and what came of it: a Gantt chart above the accuracy over virtual time.

    python figures/timeline.py RESULTS -o timeline.png [--method fedavg] [--until 20]

Reads a results folder of `fedsim run`; needs matplotlib (the extra `test` brings it).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

from fedsim.results import Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision
COLOURS = {"download": "#56B4E9", "compute": "#E69F00", "upload": "#009E73", "wait": "#CCCCCC"}
LINES = ("#0072B2", "#D55E00", "#CC79A7", "#009E73", "#E69F00")


def draw(results: Results, *, method: str, seed: int, until_s: float) -> Figure:
    """Draw the first *until_s* virtual seconds of one run, and the accuracy of every run."""
    figure, (gantt, curves) = plt.subplots(2, 1, figsize=(9, 8), height_ratios=[3, 1.4], layout="constrained")
    spans = results.timeline
    draw_spans(gantt, spans[(spans.method == method) & (spans.seed == seed)], results.devices, until_s=until_s)
    gantt.set_title(f"{method}, seed {seed}", loc="left", fontsize=10)
    draw_accuracy(curves, results.metrics)
    return figure


def draw_spans(axes: Axes, spans: pd.DataFrame, devices: pd.DataFrame, *, until_s: float) -> None:
    """Draw download, compute, upload and wait of each device as bars, and the merges as lines."""
    shown = spans[(spans.start_s < until_s) & spans.kind.isin(COLOURS) & (spans.device >= 0)]
    for kind, colour in COLOURS.items():
        for used in (True, False):
            part = shown[(shown.kind == kind) & ((shown.outcome == "done") == used)]
            axes.barh(
                part.device, part.end_s - part.start_s, left=part.start_s, height=0.8, color=colour,
                hatch=None if used else "/////", edgecolor="none" if used else "black", linewidth=0,
            )  # fmt: skip
    merges = spans[(spans.place == "server") & (spans.job == "average") & (spans.end_s < until_s)]
    for at in merges.end_s:
        axes.axvline(at, color="black", linewidth=0.6, alpha=0.5)
    names = devices.drop_duplicates("device").sort_values("device")
    axes.set(yticks=names.device, ylim=(len(names) - 0.4, -0.6), xlim=(0, until_s), xlabel="virtual time (s)")
    axes.set_yticklabels([f"{profile}  {number}" for number, profile in zip(names.device, names.profile, strict=True)])
    axes.tick_params(axis="y", labelsize=7, length=0)
    patches = [Patch(facecolor=colour, label=kind) for kind, colour in COLOURS.items()]
    patches.append(Patch(facecolor="white", edgecolor="black", linewidth=0, hatch="/////", label="no merge used it"))
    axes.legend(handles=patches, ncols=5, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)


def draw_accuracy(axes: Axes, metrics: pd.DataFrame) -> None:
    """Draw test accuracy over virtual time, a line per run."""
    runs = metrics[metrics.split == "test"].groupby(["method", "seed"], observed=True)
    for colour, (key, run) in zip(LINES, runs, strict=False):
        axes.step(run.at_s, run.accuracy, where="post", color=colour, label=f"{key[0]}, seed {key[1]}", linewidth=1.4)
    axes.set(xlabel="virtual time (s)", ylabel="test accuracy", ylim=(0, 1), xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def main() -> None:
    """Draw the figure that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("timeline.png"))
    parser.add_argument("--method", default="fedavg")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", type=float, default=20.0, help="virtual seconds of the Gantt chart")
    chosen = parser.parse_args()
    mpl.use("Agg")
    figure = draw(Results.find(chosen.results), method=chosen.method, seed=chosen.seed, until_s=chosen.until)
    figure.savefig(chosen.out, dpi=150)


if __name__ == "__main__":
    main()
