"""What dropouts in the middle of tasks cost, by their rate, by what becomes of the work, and by method.

    python figures/dropout.py RESULTS... [-o FOLDER] [--target 0.6]

Reads results folders of `fedsim run` of one scenario under several rates (failures.dropout) and policies
(availability.on_dropout), which it takes from the scenario beside each; one without dropouts counts for every policy
that has none of its own. Prints a Markdown table and writes dropout.csv and dropout.png. Error bars are standard
deviations over seeds; differences to no dropouts are paired by seed, with 95 % intervals of Student's t in brackets.
Of times there is one only where every seed reached the target, with dropouts and without. Needs matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from study import (
    COLOURS,
    SHAPES,
    UNITS,
    WASTED,
    deviation,
    gap,
    half_width,
    markdown,
    median,
    outcomes,
    scenario_of,
    spread,
    times_said,
    unit_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POLICIES = ("discard", "restart", "resume")
BY = ["method", "policy", "rate"]
VALUES = ["accuracy", "reached_s", *WASTED]
TITLES = {"accuracy": "test accuracy at the end (%)", "reached_s": "time to", "wasted_j": "joules wasted (%)"}
DODGE = 0.016  # of the axis, so that error bars lie side by side


# --- Numbers --------------------------------------------------------------------------------------------
def setting(scenario: Mapping[str, Any]) -> tuple[float, str]:
    """Return a scenario's rate of dropouts, 0 to 1, and what becomes of the work of a device that drops out.

    >>> setting({"failures": {"dropout": 0.3}, "availability": {"kind": "always", "on_dropout": "restart"}})
    (0.3, 'restart')
    """
    rate = scenario.get("failures", {}).get("dropout", 0.0)
    return float(rate), str(scenario.get("availability", {}).get("on_dropout", "resume"))


def rows_of(folders: list[Path], target: float | None) -> pd.DataFrame:
    """Return a row per method, policy, rate and seed, in this order; what ran without dropouts under every policy."""
    runs: dict[tuple[float, str], list[pd.DataFrame]] = {}
    for folder in folders:
        runs.setdefault(setting(scenario_of(folder)), []).append(outcomes([folder], target))
    none = {policy: frames for (rate, policy), frames in runs.items() if not rate}
    named = {policy for rate, policy in runs if rate} or set(none)
    if none:
        runs |= {(0.0, policy): none.get(policy, next(iter(none.values()))) for policy in named}
    frames = [frame.assign(rate=rate, policy=policy) for (rate, policy), every in runs.items() for frame in every]
    rows = pd.concat(frames, ignore_index=True).drop(columns="study")
    order = {"method": list(rows.method.unique()), "policy": list(dict.fromkeys([*POLICIES, *rows.policy]))}
    ranks = rows.assign(**{name: rows[name].map(known.index) for name, known in order.items()})
    return rows.loc[ranks.sort_values([*BY, "seed"]).index].query("policy in @named")


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return means and deviations over seeds by method, policy and rate, and the differences to no dropouts."""
    by = rows.groupby(BY, sort=False)
    found = by[VALUES].mean().join(by[VALUES].agg(deviation).add_suffix("_sd"))
    counts = {"seeds": by.size(), "reached": by.reached_s.agg(lambda times: np.isfinite(times).sum())}
    return found.assign(**counts, reached_s=by.reached_s.agg(typical)).join(to_none(rows))


def to_none(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean paired differences to rate 0 by method, policy and rate, and half of their intervals."""
    key = ["method", "policy", "seed"]
    known = rows.assign(**rows[VALUES].where(np.isfinite(rows[VALUES])))
    base = known[known.rate == 0].set_index(key)[VALUES]
    there = known[known.rate > 0].set_index([*key, "rate"])[VALUES]
    gaps = there - base.reindex(there.index.droplevel("rate")).set_axis(there.index)
    by = gaps.groupby(BY, sort=False)
    means = by.agg(lambda differences: differences.mean(skipna=False))
    return means.add_suffix("_gap").join(by.agg(half_width).add_suffix("_half"))


def typical(times: pd.Series[float]) -> float:
    """Return the mean, or where some seed never reached the target the median."""
    return float(times.mean()) if np.isfinite(times).all() else median(times)


# --- Table ----------------------------------------------------------------------------------------------
def table_markdown(found: pd.DataFrame, rows: pd.DataFrame, target: float | None) -> str:
    """Write a row per method, policy and rate."""
    times, unit = rows.groupby(BY).reached_s, unit_for(rows.end_s.max())
    timed = target is not None
    head = {"method": 0, "policy": 0, "dropouts %": 1, "seeds": 1, "accuracy %": 1, "points to none": 1}
    head |= {f"{unit} to {100 * target:g} %": 1, f"{unit} to none": 1} if timed else {}
    head |= {f"{what} wasted %": 1 for what in WASTED.values()} | {"joules wasted, points to none": 1}
    lines = []
    for key, row in found.iterrows():
        said = [key[0], key[1], f"{100 * key[2]:g}", f"{row.seeds:.0f}", spread(row.accuracy, row.accuracy_sd)]
        said.append(gap(row.accuracy_gap, row.accuracy_half))
        if timed:
            said.append(times_said(times.get_group(key), unit))
            said.append(gap(row.reached_s_gap / UNITS[unit], row.reached_s_half / UNITS[unit], digits=2))
        said += [spread(row[name], row[f"{name}_sd"]) for name in WASTED]
        lines.append([*said, gap(row.wasted_j_gap, row.wasted_j_half)])
    return markdown(head, lines)


# --- The picture ----------------------------------------------------------------------------------------
def draw(found: pd.DataFrame, unit: str, target: float | None) -> Figure:
    """Draw a row of panels per method: accuracy, the time to *target* and waste over the rate, a line per policy."""
    methods = list(dict.fromkeys(found.index.get_level_values("method")))
    shown = [name for name in TITLES if name != "reached_s" or target is not None]
    size = (3.3 * len(shown) + 0.4, 2.0 * len(methods) + 0.7)
    figure, grid = plt.subplots(
        len(methods), len(shown), squeeze=False, sharex=True, figsize=size, layout="constrained"
    )
    for panels, method in zip(grid, methods, strict=True):
        for name, axes in zip(shown, panels, strict=True):
            draw_lines(axes, found.loc[method], name, scale=1 / UNITS[unit] if name == "reached_s" else 1.0)
        panels[0].set_ylabel(method, fontsize=10, fontweight="bold")
    titles = TITLES | (
        {"reached_s": f"time to {100 * target:g} % ({unit}), open: some seeds never did"} if target is not None else {}
    )
    for name, axes, last in zip(shown, grid[0], grid[-1], strict=True):
        axes.set_title(titles[name], fontsize=9, loc="left")
        last.set_xlabel("tasks that a device drops out of (%)", fontsize=8)
    level(dict(zip(shown, grid.T, strict=True)))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def draw_lines(axes: Axes, rows: pd.DataFrame, name: str, *, scale: float) -> None:
    """Draw a line per policy; open where not every seed reached the target, nothing where most did not."""
    policies = list(dict.fromkeys(rows.index.get_level_values("policy")))
    styles = list(dict.fromkeys([*POLICIES, *policies]))
    apart = DODGE * rows.index.get_level_values("rate").max()
    for number, policy in enumerate(policies):
        own, style = rows.loc[policy], styles.index(policy)
        rates = 100 * (own.index.to_numpy() + apart * (number - (len(policies) - 1) / 2))
        means, spreads = (scale * own[column].where(np.isfinite(own[column])) for column in (name, f"{name}_sd"))
        look = {"color": COLOURS[style], "marker": SHAPES[style], "ms": 5}
        axes.errorbar(rates, means, yerr=spreads, lw=1.3, elinewidth=0.9, capsize=2, label=policy, **look)
        some = (own.reached < own.seeds) & (name == "reached_s")
        axes.plot(rates[some], means[some], ls="", mfc="white", zorder=3, **look)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def level(columns: dict[str, Any]) -> None:
    """Give accuracy and waste one scale for all methods, and let times begin at zero."""
    for name, column in columns.items():
        low, high = (pick(axes.get_ylim()[end] for axes in column) for end, pick in enumerate((min, max)))
        for axes in column:
            if name == "reached_s":
                axes.set_ylim(0, None)
            else:
                axes.set_ylim(low, high)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path())
    parser.add_argument("--target", type=float, help="accuracy to reach, 0 to 1")
    chosen = parser.parse_args()
    mpl.use("Agg")
    rows = rows_of(chosen.results, chosen.target)
    found = table(rows)
    print(table_markdown(found, rows, chosen.target))
    chosen.out.mkdir(parents=True, exist_ok=True)
    found.to_csv(chosen.out / "dropout.csv", float_format="%.4g")
    draw(found, unit_for(rows.end_s.max()), chosen.target).savefig(chosen.out / "dropout.png", dpi=150)


if __name__ == "__main__":
    main()
