"""What levels FLOPS and predicted time choose for REFT, device by device, and what comes of it in a study.

    python figures/levels.py [RESULTS...] [-o FOLDER] [--networks resnet8,vgg16,mobilenet_v2]

Chooses for every packaged device the least level at which one epoch of 512 examples, (3, 32, 32) in batches of 32, is
thought to be done within a limit: prints a Markdown table and writes levels.csv and levels.png. Of RESULTS, folders of
`fedsim run`, it adds a table of deadlines missed, energy and accuracy, and levels-study.png. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from fedsim.fleet import CostModel, Device, Profile, load_profile, profile_names
from fedsim.fleet.link import Link
from fedsim.fleet.profile import KINDS
from fedsim.learn import loads
from fedsim.learn.data import DataSize
from fedsim.learn.models import make_spec
from fedsim.learn.shrink import cut, uniform
from fedsim.levels import Eq4, estimated_rate
from fedsim.results import Results
from fedsim.work import OpClass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Spec = tuple[Any, ...]
LIMITS_S = {"resnet8": 10.0, "vgg16": 15.0, "mobilenet_v2": 40.0}
DATA = DataSize(512, (3, 32, 32), 10, 3 * 32 * 32 + 1)
P_MAX = 0.9
CALIBRATED_ON = "raspberry-pi-4"
# Okabe and Ito's colours, told apart with any colour vision; shapes tell them too
WAYS = {"FLOPS": ("#D55E00", "o"), "FLOPS of products": ("#E69F00", "s"), "FLOPS, calibrated": ("#0072B2", "^")}
WAYS |= {"time": ("#000000", "|")}
SHOWN = "FLOPS", "FLOPS, calibrated", "time"


# --- Every packaged device ------------------------------------------------------------------------------
def choices(networks: list[str]) -> pd.DataFrame:
    """Return for each network, device and way of choosing: the level, NaN for none, and its time over the limit."""
    profiles = sorted(map(load_profile, profile_names()), key=lambda one: (KINDS.index(one.kind), one.name))
    specs = {name: make_spec(name, DATA.classes, DATA.shape).as_params() for name in networks}
    return pd.DataFrame([row for name in networks for one in profiles for row in chosen(name, specs[name], one)])


def chosen(network: str, spec: Spec, profile: Profile) -> Iterator[dict[str, object]]:
    """Yield a row for each way of choosing the level of *spec* on *profile*."""
    limit_s, (low, high) = LIMITS_S[network], profile.spread
    for way, believed_s in beliefs(spec, profile).items():
        level = Eq4("C", p_max=P_MAX, limit_s=limit_s).level(math.nan, believed_s)
        ratio = math.nan if level is None else seconds(profile, at(spec, level)) / limit_s
        row = {"network": network, "device": profile.name, "kind": profile.kind, "way": way, "ratio": ratio}
        yield row | {"level": math.nan if level is None else level, "low": ratio * low, "high": ratio * high}


def beliefs(spec: Spec, profile: Profile) -> dict[str, Callable[[float], float]]:
    """Return by way of choosing how many seconds *profile* is thought to take at a level."""
    known, (whole, rate) = load_profile(CALIBRATED_ON), (flops(spec), figure_of(profile))
    off = seconds(known, spec) / (whole / figure_of(known))
    products = profile.rate(OpClass.MATMUL).flops_per_s
    return {
        "FLOPS": lambda level: flops(at(spec, level)) / rate,
        "FLOPS of products": lambda level: flops(at(spec, level)) / products,
        "FLOPS, calibrated": lambda level: off * flops(at(spec, level)) / rate,
        "time": lambda level: seconds(profile, at(spec, level)),
    }


def at(spec: Spec, level: float) -> Spec:
    """Return *spec* cut at *level*."""
    return cut(spec, uniform(spec, level))


def flops(spec: Spec) -> float:
    """Return the FLOP of the epoch as REFT counts them."""
    return 3 * 2 * DATA.n * loads.macs(spec)


def seconds(profile: Profile, spec: Spec) -> float:
    """Return the predicted time of the epoch."""
    load = loads.training(spec, DATA, epochs=1, batch_size=32, optimizer="sgd+momentum")
    return CostModel().seconds(profile, load).value


def figure_of(profile: Profile) -> float:
    """Return the FLOP/s that REFT believes of *profile*."""
    device = Device(0, (0, 0), profile, Link("any", math.inf, math.inf, 0.0), DATA.n)
    return estimated_rate(device, error=0.0, seed=0)


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for each network and way how many devices are pruned, late, late for sure, cut in vain and left out."""
    by_time = rows[rows.way == "time"].set_index(["network", "device"]).level
    needed = by_time.loc[pd.MultiIndex.from_frame(rows[["network", "device"]])].to_numpy()
    late = rows.ratio > 1
    rows = rows.assign(
        pruned=rows.level > 0, late=late, sure=rows.low > 1, vain=rows.level > needed, out=rows.level.isna(),
        over=rows.ratio.where(late),
    )  # fmt: skip
    by = rows.groupby(["network", "way"], sort=False)
    sums = by[["pruned", "late", "sure", "vain", "out"]].sum()
    return sums.assign(devices=by.size(), over=by.over.median(), worst=by.over.max())


def markdown(found: pd.DataFrame) -> str:
    """Write what *counted* returns as Markdown."""
    head = ("network", "limit", "chosen by", "devices", "pruned", "late", "late at best", "over", "in vain", "none")
    lines = [f"| {' | '.join(head)} |", "| --- | ---: | --- |" + " ---: |" * (len(head) - 3)]
    for (network, way), row in found.iterrows():
        over = f"{row.over:.1f} (to {row.worst:.1f})" if row.late else ""
        counts = f"{row.devices:.0f} | {row.pruned:.0f} | {row.late:.0f} | {row.sure:.0f} | {over}"
        lines.append(f"| {network} | {LIMITS_S[network]:g} s | {way} | {counts} | {row.vain:.0f} | {row.out:.0f} |")
    return "\n".join(lines)


def draw(rows: pd.DataFrame) -> Figure:
    """Draw the level chosen and the time it takes over the limit, a line per device, two panels per network."""
    networks = list(dict.fromkeys(rows.network))
    shape = {"ncols": 2 * len(networks), "sharey": True, "squeeze": False}
    figure, ((*panels,),) = plt.subplots(**shape, figsize=(2 + 4.4 * len(networks), 8.5), layout="constrained")
    for network, levels, times in zip(networks, panels[::2], panels[1::2], strict=True):
        draw_network(levels, times, rows[rows.network == network])
        levels.set_title(f"{network}, {LIMITS_S[network]:g} s", loc="left", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    said = [f"chosen by {label}" for label in labels]
    figure.legend(handles, said, loc="outside upper center", ncols=3, frameon=False)
    return figure


def draw_network(levels: Axes, times: Axes, rows: pd.DataFrame) -> None:
    """Draw one network's levels and times, with the profiles' bounds; a cross where no level will do."""
    devices = rows.drop_duplicates("device")
    places = {name: place for place, name in enumerate(devices.device)}
    for way in SHOWN:
        part = rows[rows.way == way]
        y, (colour, marker) = part.device.map(places), WAYS[way]
        look = {"c": colour, "marker": marker, "s": 120 if way == "time" else 26, "zorder": 3}
        levels.scatter(part.level, y, label=way, **look)
        levels.scatter([1.0] * part.level.isna().sum(), y[part.level.isna()], c=colour, marker="x", s=22)
        times.scatter(part.ratio, y, **look)
        if way == "FLOPS":
            times.hlines(y, part.low, part.high, color=colour, lw=0.8, alpha=0.6)
    levels.set(xlabel="level (x: none will do)", xlim=(-0.05, 1.06), ylim=(len(devices) - 0.4, -0.6))
    levels.set_yticks(range(len(devices)), devices.device, fontsize=8)
    times.set(xscale="log", xlabel="time it takes / limit", xlim=(0.05, None))
    times.axvline(1.0, color="0.2", lw=1)
    for axes in (levels, times):
        rule(axes, list(devices.kind))


def rule(axes: Axes, kinds: list[str]) -> None:
    """Draw a line wherever another kind of device begins."""
    axes.grid(axis="x", alpha=0.3)
    for place, (kind, following) in enumerate(pairwise(kinds)):
        if kind != following:
            axes.axhline(place + 0.5, color="0.6", lw=0.8)


# --- A study --------------------------------------------------------------------------------------------
def outcomes(folders: list[Path]) -> pd.DataFrame:
    """Return a row per run: shares in percent of replies late and joules wasted, devices heard, accuracy."""
    rows = []
    for folder in folders:
        results, name = Results.find(folder), folder.resolve().name.rpartition("-")[0]
        asked = results.devices[results.devices.device >= 0].astype({"method": str})
        for run in results.summary["runs"]:
            own = asked[(asked.method == run["method"]) & (asked.seed == run["seed"])]
            tasks = own.asked.sum()
            row = {"study": name, "method": run["method"], "seed": run["seed"], "asked": tasks}
            row |= {"late": 100 * own.late.sum() / tasks, "heard": (own.done > 0).sum(), "kj": run["energy_j"] / 1e3}
            row |= {"wasted": 100 * run["wasted_j"] / run["energy_j"], "devices": len(own)}
            rows.append(row | {"accuracy": math.nan if run["accuracy"] is None else 100 * run["accuracy"]})
    return pd.DataFrame(rows)


COLUMNS = {"late": "late %", "wasted": "J wasted %", "kj": "kJ", "heard": "devices heard", "accuracy": "accuracy %"}


def study_markdown(rows: pd.DataFrame) -> str:
    """Write mean and standard deviation over seeds as Markdown."""
    head = ("study", "method", "seeds", "asked", *COLUMNS.values())
    lines = [f"| {' | '.join(head)} |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    for (study, method), part in rows.groupby(["study", "method"], sort=False):
        cells = [spread(part[name], digits=2 if name == "kj" else 1) for name in COLUMNS]
        lines.append(f"| {study} | {method} | {len(part)} | {part.asked.mean():.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: pd.Series[float], *, digits: int = 1) -> str:
    """Write a mean with its standard deviation, nothing for what was not measured."""
    deviation = values.std() if len(values) > 1 else 0.0
    return "" if values.isna().all() else f"{values.mean():.{digits}f} ± {deviation:.{digits}f}"


def draw_study(rows: pd.DataFrame) -> Figure:
    """Draw replies late, energy wasted and accuracy: a point per seed, a line at the mean."""
    labels = (rows.study + ": " + rows.method).to_numpy()
    names = list(dict.fromkeys(labels))
    shown = ["late", "wasted", "accuracy"]
    height = 1.2 + 0.32 * len(names)
    figure, panels = plt.subplots(ncols=3, sharey=True, figsize=(10, height), layout="constrained")
    for axes, column in zip(panels, shown, strict=True):
        for place, name in enumerate(names):
            values = rows[labels == name][column]
            axes.scatter(values, [place] * len(values), c="#0072B2", s=22, alpha=0.7)
            axes.scatter(values.mean(), place, c="#000000", marker="|", s=160)
        axes.set(xlabel=COLUMNS[column], yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5), xlim=(-3, 103))
        axes.set_yticklabels(names, fontsize=8)
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="*")
    parser.add_argument("-o", "--out", type=Path, default=Path())
    parser.add_argument("--networks", default=",".join(LIMITS_S))
    wanted = parser.parse_args()
    mpl.use("Agg")
    wanted.out.mkdir(parents=True, exist_ok=True)
    rows = choices(wanted.networks.split(","))
    print(markdown(counted(rows)))
    rows.to_csv(wanted.out / "levels.csv", index=False, float_format="%.4g")
    draw(rows).savefig(wanted.out / "levels.png", dpi=120)
    if wanted.results:
        found = outcomes(wanted.results)
        print(f"\n{study_markdown(found)}")
        draw_study(found).savefig(wanted.out / "levels-study.png", dpi=120)


if __name__ == "__main__":
    main()
