"""Whom a model serves over time: its accuracy for each time zone or class of devices, and whose replies made it.

    python figures/served.py RESULTS... [-o FOLDER] [--by zone|class] [--method fedavg ...] [--at SECONDS ...]

Reads results folders of scenarios with run.by_label = true, prints Markdown tables, writes served.csv and served.png,
in which the folders' methods named stand side by side. Accuracy for a group is that of a test set with labels as
frequent as on its devices; bands reach from the lowest to the highest seed. Needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from study import COLOURS, UNITS, deviation, markdown, name_of, ordered, spread, unit_for

from fedsim.experiment import Where, prepare
from fedsim.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RUN = ["method", "seed"]
HOUR_S = 3600.0
GRID, BINS = 300, 16
LABEL = "label-"


# --- Numbers --------------------------------------------------------------------------------------------
def rows_of(folder: Path, by: str) -> pd.DataFrame:
    """Return a row per run, evaluation and group: at_s, accuracy, and its share of the merge's replies, in percent."""
    results = Results.find(folder)
    groups = GROUPS[by](folder)
    served = ordered(accuracies(results, groups), folder)
    rows = served.merge(replies(results, groups), "left", on=[*RUN, "version", "group"]).fillna({"share": 0.0})
    return rows.assign(study=name_of(folder))


def zones(folder: Path) -> pd.DataFrame:
    """Return each device's time zone by seed and number, as how far it is ahead of the first."""
    ready = prepare(folder / "scenario.toml", {}, Where())
    worlds = {key.seed: ready.world(key) for key in ready.keys}
    rows = [
        (seed, device.id, f"+{world.availability.zone_of(device.key) / HOUR_S:02.0f} h")  # type: ignore[attr-defined]
        for seed, world in worlds.items()
        for device in map(world.fleet.device, range(len(world.fleet)))
    ]
    return pd.DataFrame(rows, columns=["seed", "device", "group"])


def classes(folder: Path) -> pd.DataFrame:
    """Return each device's profile by seed and number."""
    devices = Results.find(folder).devices.astype({"profile": str})
    return devices[["seed", "device", "profile"]].drop_duplicates().set_axis(["seed", "device", "group"], axis=1)


GROUPS = {"zone": zones, "class": classes}


def accuracies(results: Results, groups: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy for each group at every evaluation of each run's first model."""
    rows = results.metrics.astype({"method": str})
    first = rows.groupby(RUN).model.transform("first")
    rows = rows[(rows.model == first) & rows.split.str.startswith(LABEL)]
    rows = rows.assign(label=rows.split.str.removeprefix(LABEL).astype(int))
    held = results.devices.astype({"method": str}).merge(groups, on=["seed", "device"])
    counts = held.groupby([*RUN, "group"]).label_counts.agg(lambda found: np.stack(found.to_list()).sum(axis=0))
    weights = counts.map(lambda n: n / n.sum()).explode().rename("weight").reset_index()
    weights["label"] = weights.groupby([*RUN, "group"]).cumcount()
    rows = rows.merge(weights, on=[*RUN, "label"])
    rows["accuracy"] = 100 * rows.accuracy * rows.weight.astype(float)
    by = rows.groupby([*RUN, "version", "at_s", "group"], as_index=False)
    return by.accuracy.sum()


def replies(results: Results, groups: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each group in the replies that made a version, in percent."""
    spans = results.timeline.astype({"method": str, "kind": str, "outcome": str})
    sent = spans[(spans.kind == "upload") & (spans.outcome == "done") & (spans.device >= 0)]
    sent = sent[[*RUN, "version", "device"]].merge(groups, on=["seed", "device"])
    counts = sent.groupby([*RUN, "version", "group"]).size().rename("share")
    share = 100 * counts / counts.groupby([*RUN, "version"]).transform("sum")
    return share.reset_index().assign(version=lambda rows: rows.version + 1)  # spans name the version worked on


def following(rows: pd.DataFrame, after_s: float) -> pd.DataFrame:
    """Return for each run how accuracy goes with whose replies come, later than *after_s*.

    swing: the deviation over time of the accuracy for a group less that of all groups, points; r: how that correlates
    with the group's share of the replies, either less its mean over time.
    """
    late = rows[rows.at_s > after_s]
    everyone = late.groupby(["study", *RUN, "version"]).accuracy.transform("mean")
    late = late.assign(gap=late.accuracy - everyone)
    late[["gap", "share"]] -= late.groupby(["study", *RUN, "group"])[["gap", "share"]].transform("mean")
    by = late.groupby(["study", *RUN], sort=False)
    r = by[["gap", "share"]].apply(lambda own: own.gap.corr(own.share))
    return pd.DataFrame({"swing": by.gap.std(), "r": r})


def at_times(rows: pd.DataFrame, times: list[float]) -> pd.DataFrame:
    """Return the accuracy of each run for each group at its last evaluation up to each of *times*, and at the end."""
    last = [rows[rows.at_s <= at_s].groupby(["study", *RUN, "group"], sort=False).accuracy.last() for at_s in times]
    ends = rows.groupby(["study", *RUN, "group"], sort=False).accuracy.last()
    return pd.concat([*last, ends], axis=1, keys=[*(f"at {at_s:g} s" for at_s in times), "at the end"])


def table(found: pd.DataFrame, by: list[str], *, digits: int = 1) -> str:
    """Write means and deviations over seeds."""
    lines = []
    for key, own in found.groupby(by, sort=False):
        cells = [spread(own[name].mean(), deviation(own[name]), digits=digits) for name in found]
        lines.append([*map(str, key), f"{len(own)}", *cells])
    return markdown({**dict.fromkeys(by, 0), "seeds": 1, **dict.fromkeys(found, 1)}, lines)


# --- The picture ----------------------------------------------------------------------------------------
def draw(rows: pd.DataFrame) -> Figure:
    """Draw a column per study and method: accuracy by group above, whose replies came below."""
    unit = unit_for(rows.at_s.max())
    columns = list(rows.assign(at=rows.at_s / UNITS[unit]).groupby(["study", "method"], sort=False))
    figure, grid = plt.subplots(
        2, len(columns), figsize=(3.6 * len(columns), 5), sharex=True, sharey="row", squeeze=False,
        height_ratios=[2, 1], layout="constrained",
    )  # fmt: skip
    upper, lower = grid
    for served, worked, (key, own) in zip(upper, lower, columns, strict=True):
        draw_served(served, own)
        draw_workers(worked, own)
        served.set_title(", ".join(key), fontsize=10, loc="left")
        worked.set_xlabel(f"virtual time ({unit})", fontsize=8)
    upper[0].set_ylabel("accuracy for a group (%)", fontsize=8)
    lower[0].set_ylabel("replies (%)", fontsize=8)
    upper[-1].legend(fontsize=8, loc="lower right", frameon=False)
    upper[0].set(xlim=(0, rows.at_s.max() / UNITS[unit]))
    return figure


def coloured(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the groups in their order, each with its colour."""
    for color, (group, own) in zip(COLOURS, rows.groupby("group"), strict=False):
        yield color, str(group), own


def draw_served(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the mean over seeds of the accuracy for each group in its band."""
    times = np.linspace(0, rows["at"].max(), GRID)
    for color, group, own in coloured(rows):
        seeds = [np.interp(times, run["at"], run.accuracy) for _, run in own.groupby("seed")]
        axes.plot(times, np.mean(seeds, axis=0), color=color, lw=1.5, label=group)
        axes.fill_between(times, np.min(seeds, axis=0), np.max(seeds, axis=0), color=color, alpha=0.1, lw=0)
    axes.grid(alpha=0.3)
    axes.tick_params(labelsize=8)
    axes.set_ylim(0, 101)


def draw_workers(axes: Axes, rows: pd.DataFrame) -> None:
    """Stack the groups' shares of the replies."""
    rows = rows[rows.version > 0]
    width = rows["at"].max() / BINS
    rows = rows.assign(middle=((rows["at"] / width - 1e-9) // 1 + 0.5) * width)
    shares = rows.pivot_table("share", "middle", "group")
    shares = shares.div(shares.sum(axis=1), axis=0) * 100
    axes.stackplot(shares.index, shares.to_numpy().T, colors=COLOURS[: shares.shape[1]], alpha=0.75)
    axes.set_ylim(0, 100)
    axes.tick_params(labelsize=8)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path())
    parser.add_argument("--by", choices=list(GROUPS), default="class")
    parser.add_argument("--method", nargs="+", default=["fedavg"], help="of which to draw")
    parser.add_argument("--after", type=float, default=0.0, help="from when on swings count, seconds")
    parser.add_argument("--at", type=float, nargs="*", default=[], help="when else than at the end, seconds")
    chosen = parser.parse_args()
    mpl.use("Agg")
    rows = pd.concat([rows_of(folder, chosen.by) for folder in chosen.results], ignore_index=True)
    found = at_times(rows, chosen.at)
    print(table(found, ["study", "method", "group"]))
    print(f"\n{table(following(rows, chosen.after), ['study', 'method'], digits=2)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    found.to_csv(chosen.out / "served.csv", float_format="%.4g")
    draw(rows[rows.method.isin(chosen.method)]).savefig(chosen.out / "served.png", dpi=130)


if __name__ == "__main__":
    main()
