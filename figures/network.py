"""What devices lose to each other on the links that they share, method by method and network by network.

    python figures/network.py RESULTS... [-o FOLDER]

Reads results folders of `fedsim run` of one scenario under several networks, named network-NAME or NAME; of tasks that
were done it prints Markdown tables and writes network.csv, network-links.csv and network.png. A task's seconds are
those of waiting (for what the server prepares, or its own return), of computing, of transferring as if alone on every
link, and those lost to others. A round without others is the same round with no task's lost seconds in it. Where
rounds overlap, as in asynchronous schedules, there is none. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import tomllib
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from fedsim.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MB = 1e6
BASELINE, BASELINES = "fedavg", dict.fromkeys(("raffm", "fedavg-vit"), "fedavg-vit")  # FedAvg of the same model
TASK = ["network", "method", "seed", "version", "device"]
# Okabe and Ito's colours, told apart with any colour vision
PARTS = {"waiting": "#F0E442", "computing": "#0072B2", "transferring": "#56B4E9", "lost": "#D55E00"}
SAID = {
    "waiting": "waiting for the server",
    "computing": "mean task: computing",
    "transferring": "transferring, as if alone",
}
SAID |= {"lost": "lost to other transfers"}
OWN, LEAST = "own link", 0.005
LINKS = {OWN: "#999999", "home": "#E69F00", "line": "#CC79A7", "cell": "#009E73", "edge": "#F0E442"}
LINKS |= {"backhaul": "#56B4E9", "server": "#000000"}
WAYS = {"download": ("down", ""), "upload": ("up", "////")}

HEAD = "| network | method | MB down | MB up | waiting s | computing s | transferring s | lost s "
HEAD += "| round s | alone s | ratio | run min | gain | gain alone |"


# --- Numbers --------------------------------------------------------------------------------------------
def spans_of(folders: list[Path]) -> pd.DataFrame:
    """Return the spans of all tasks that were done, methods in the scenario's order."""
    return pd.concat([done_spans(folder) for folder in folders], ignore_index=True)


def done_spans(folder: Path) -> pd.DataFrame:
    """Return one folder's; ``idle`` is from being asked to being released, ``end`` when the run's last version came."""
    found, words = Results.find(folder), ("method", "kind", "outcome", "link", "bottleneck")
    order = [one["label"] for one in tomllib.loads((folder / "scenario.toml").read_text())["method"]]
    last = found.metrics.astype({"method": str}).groupby(["method", "seed"]).at_s.max().rename("end")
    spans = found.timeline.astype(dict.fromkeys(words, str))
    spans = spans[(spans.device >= 0) & (spans.outcome == "done") & ~spans.kind.isin(("mark", "tail"))]
    spans = spans.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
    name = folder.resolve().name.rpartition("-")[0].removeprefix("network-")
    return spans.assign(network=name, seconds=spans.end_s - spans.start_s).join(last, on=["method", "seed"])


def tasks(spans: pd.DataFrame) -> pd.DataFrame:
    """Return a row per task: when, its bytes, and its seconds in parts."""
    by = spans.groupby(TASK, sort=False)
    kinds = spans.pivot_table("seconds", TASK, "kind", aggfunc="sum", fill_value=0.0, sort=False)
    kinds = kinds.reindex(columns=["idle", "wait", "compute", "download", "upload"], fill_value=0.0)
    found = by.agg(start_s=("start_s", "min"), lost=("waited_s", "sum"), end=("end", "first"))
    found = found.assign(seconds=kinds.idle, waiting=kinds.wait, computing=kinds.compute)
    found["transferring"] = kinds.download + kinds.upload - found.lost
    for way in ("download", "upload"):
        found[way] = spans[spans.kind == way].groupby(TASK, sort=False).bytes.sum()
    return found.fillna(0.0).reset_index()


def rounds(found: pd.DataFrame) -> pd.DataFrame:
    """Return a row per round: until its slowest task was done, with others and as if each were alone."""
    ended = found.assign(shared=found.start_s + found.seconds, alone=found.start_s + found.seconds - found.lost)
    by = ended.groupby(TASK[:-1], sort=False)
    start_s = by.start_s.min()
    return pd.DataFrame({name: by[name].max() - start_s for name in ("shared", "alone")}).reset_index()


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Return means over tasks, rounds and seeds by network and method; ``_sd`` over seeds, of one 0.

    ratio: the mean round over that without others. gain, gain_alone: the time of the baseline's whole run over that of
    the method's, with others and without.
    """
    by = per_seed(found).groupby(TASK[:2], sort=False)
    spread = by[["round", "ratio", "gain", "gain_alone"]].std().fillna(0.0).add_suffix("_sd")
    return by.mean().drop(columns="seed").join(spread).join(by.size().rename("seeds"))


def per_seed(found: pd.DataFrame) -> pd.DataFrame:
    """Return a row per network, method and seed; of rounds that overlap nothing is said."""
    by, by_round = (rows.groupby(TASK[:3], sort=False) for rows in (found, rounds(found)))
    means = by[[*PARTS, "seconds", "download", "upload", "end"]].mean()
    means["round"], means["alone"] = by_round.shared.mean(), by_round.alone.mean()
    means["ratio"] = means["round"] / means.alone
    means["end_alone"] = means.end - (by_round.shared.sum() - by_round.alone.sum())
    apart, by_rounds = by_round.shared.sum() <= means.end + 1e-6, ["round", "alone", "ratio", "end_alone"]
    means[by_rounds] = means[by_rounds].where(apart)
    base = means.reindex([(network, BASELINES.get(name, BASELINE), seed) for network, name, seed in means.index])
    means["gain"] = base.end.to_numpy() / means.end
    means["gain_alone"] = base.end_alone.to_numpy() / means.end_alone
    return means.reset_index()


def links(spans: pd.DataFrame) -> pd.DataFrame:
    """Return by network the shares of all seconds lost, by the link that held a transfer back longest, and by way.

    What is under half a percent in every network is left out.
    """
    shared = spans.bottleneck.str.replace(r"-\d+$", "", regex=True)
    rows = spans.assign(by=shared.where(spans.bottleneck != spans.link, OWN))
    lost = rows.pivot_table("waited_s", "network", ["by", "kind"], aggfunc="sum", fill_value=0.0, sort=False)
    shares = lost.div(lost.sum(axis=1), axis=0).fillna(0.0)
    return shares[[column for column in product(LINKS, WAYS) if column in shares and shares[column].max() >= LEAST]]


# --- Tables ---------------------------------------------------------------------------------------------
def markdown(rows: pd.DataFrame) -> str:
    """Write a row per network and method; seconds of a task, then of a round."""
    lines = [HEAD, "| --- | --- |" + " ---: |" * (HEAD.count("|") - 3)]
    for (network, method), row in rows.iterrows():
        sizes = f"{row.download / MB:.3g} | {row.upload / MB:.3g}"
        parts = " | ".join(f"{row[part]:.1f}" for part in PARTS)
        times = f"{row['round']:.1f} ± {row.round_sd:.1f} | {row.alone:.1f} | {row.ratio:.2f} ± {row.ratio_sd:.2f}"
        gains = f"{row.gain:.2f} ± {row.gain_sd:.2f} | {row.gain_alone:.2f} ± {row.gain_alone_sd:.2f}"
        lines.append(f"| {network} | {method} | {sizes} | {parts} | {times} | {row.end / 60:.2f} | {gains} |")
    return "\n".join(lines)


def links_markdown(shares: pd.DataFrame) -> str:
    """Write in percent which link held up what was lost."""
    lines = [f"| lost by, % | {' | '.join(map(said, shares))} |", "| --- |" + " ---: |" * len(shares.columns)]
    for network, row in shares.iterrows():
        lines.append(f"| {network} | {' | '.join(f'{100 * share:.0f}' for share in row)} |")
    return "\n".join(lines)


def said(column: tuple[str, str]) -> str:
    """Write a link and a way."""
    link, kind = column
    return f"{link}, {WAYS[kind][0]}"


# --- The picture ----------------------------------------------------------------------------------------
def draw(rows: pd.DataFrame, shares: pd.DataFrame) -> Figure:
    """Draw a panel of bars per network, two in a row, and below them which links the seconds were lost on."""
    networks = list(dict.fromkeys(rows.index.get_level_values("network")))
    deep = -(-len(networks) // 2)
    height = 0.9 + 0.3 * len(rows.index.unique("method"))
    figure = plt.figure(figsize=(11, height * deep + 0.8 + 0.32 * len(networks)), layout="constrained")
    grid = figure.add_gridspec(deep + 1, 2, height_ratios=[height] * deep + [0.6 + 0.3 * len(networks)])
    for number, network in enumerate(networks):
        axes = figure.add_subplot(grid[divmod(number, 2)])
        draw_network(axes, rows.loc[network], [part for part in PARTS if rows[part].any()])
        axes.set_title(network, loc="left", fontsize=10, fontweight="bold")
        axes.tick_params(labelleft=number % 2 == 0)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    draw_links(figure.add_subplot(grid[deep, :]), shares)
    return figure


def draw_network(axes: Axes, rows: pd.DataFrame, parts: list[str]) -> None:
    """Draw the mean task's seconds in *parts*, and the mean round with others and without."""
    places, left = range(len(rows)), 0.0 * rows.seconds
    for part in parts:
        axes.barh(places, rows[part], left=left, color=PARTS[part], label=SAID[part], height=0.66)
        left += rows[part]
    axes.scatter(
        rows.alone, places, s=28, fc="white", ec="black", zorder=3, label="mean round, if each task were alone"
    )
    axes.scatter(rows["round"], places, s=28, c="black", zorder=3, label="mean round, and how many times that is")
    for place, (ratio, seconds) in enumerate(zip(rows.ratio, rows["round"], strict=True)):
        axes.annotate(f"x {ratio:.2f}", (seconds, place), (7, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set(xlim=(0, 1.17 * rows[["round", "seconds"]].max(axis=None)), ylim=(len(rows) - 0.5, -0.5), xlabel="s")
    axes.set_yticks(places, rows.index, fontsize=9)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def draw_links(axes: Axes, shares: pd.DataFrame) -> None:
    """Draw a bar of 100 % per network, what was lost upwards hatched."""
    left = pd.Series(0.0, shares.index)
    for column, share in shares.items():
        look = {"color": LINKS[column[0]], "hatch": WAYS[column[1]][1], "edgecolor": "white", "linewidth": 0}
        axes.barh(range(len(shares)), 100 * share, left=left, label=said(column), height=0.66, **look)
        left += 100 * share
    axes.set(xlim=(0, 100), ylim=(len(shares) - 0.5, -0.5))
    axes.set_xlabel("seconds lost to others, of all methods, by the link that held the transfer back longest (%)")
    axes.set_yticks(range(len(shares)), shares.index, fontsize=9)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path())
    chosen = parser.parse_args()
    mpl.use("Agg")
    spans = spans_of(chosen.results)
    rows, shares = table(tasks(spans)), links(spans)
    print(f"{markdown(rows)}\n\n{links_markdown(shares)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows.to_csv(chosen.out / "network.csv", float_format="%.4g")
    shares.to_csv(chosen.out / "network-links.csv", float_format="%.4g")
    draw(rows, shares).savefig(chosen.out / "network.png", dpi=120)


if __name__ == "__main__":
    main()
