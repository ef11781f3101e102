"""How far the profiles are off measured times: a table, and times told against times measured.

    python figures/fidelity.py [-o FOLDER]

Reads the points that the packaged profiles carry; prints a Markdown table, puts it in the place of the one in the
folder's fidelity.md, whose words it keeps, and draws fidelity.png. Every time told is by rates that never saw the
family of the model. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt

from fedsim.fleet.points import Point
from fedsim.fleet.profile import Profile
from fedsim.validating import Score, by_flops_only, chosen, scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito
MARKERS = "osD^vP*"
ACROSS = 2
BAND = 0.1
HEAD = (
    "device", "step", "rows", "families", "fitted", "family left out", "FLOPs only", "90 % interval", "holds", "others",
)  # fmt: skip


def main() -> None:
    """Write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path())
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    profiles = [profile for profile in chosen([]) if any(point.unseen_s for point in profile.points)]
    table = markdown([score for profile in profiles for score in scores(profile)])
    page = out / "fidelity.md"
    page.write_text(with_table(page.read_text("utf-8") if page.is_file() else "", table), "utf-8")
    print(table)
    mpl.use("agg")
    draw(profiles).savefig(out / "fidelity.png", dpi=150)


def markdown(found: Sequence[Score]) -> str:
    """Write scores as a Markdown table."""
    lines = [f"| {' | '.join(HEAD)} |", "| --- | --- |" + " ---: |" * (len(HEAD) - 2)]
    return "\n".join([*lines, *(f"| {' | '.join(cells(score))} |" for score in found)])


def with_table(page: str, table: str) -> str:
    """Return a page with its first table replaced, or the table alone where there is none."""
    found = re.search(r"^\|.*(\n\|.*)*", page, re.MULTILINE)
    return page[: found.start()] + table + page[found.end() :] if found else f"{table}\n"


def cells(score: Score) -> list[str]:
    """Return one line of the table."""
    errors = [percent(share) for share in (score.fitted, score.unseen, score.flops_only)]
    held = [percent(share, digits=0) for share in (score.inside, score.covers)]
    counts = [str(score.rows), str(score.families)]
    return [score.profile, score.step, *counts, *errors, f"{score.low:.2f} to {score.high:.2f}", *held]


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share in percent, nothing where it is not known."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def draw(profiles: Sequence[Profile]) -> Figure:
    """Draw a panel for each device."""
    down = -(-len(profiles) // ACROSS)
    figure, panels = plt.subplots(down, ACROSS, figsize=(11, 5 * down), layout="constrained", squeeze=False)
    for axes, profile in zip(panels.flat, profiles, strict=False):
        draw_device(axes, profile)
    for axes in panels.flat[len(profiles) :]:
        axes.set_axis_off()
    return figure


def draw_device(axes: Axes, profile: Profile) -> None:
    """Draw told over measured time: families by marker and colour, the head alone hollow, FLOPs alone as crosses."""
    points = [p for p in profile.points if p.unseen_s]
    whole = [p for p in points if p.step != "head"]
    times = [p.seconds for p in points]
    ends = [min(times) / 2, max(times) * 2]
    axes.fill_between(ends, [x * (1 - BAND) for x in ends], [x * (1 + BAND) for x in ends], color="0.85", lw=0)
    axes.plot(ends, ends, color="0.6", lw=0.8)
    axes.scatter([p.seconds for p in whole], by_flops_only(whole), marker="x", color="0.55", lw=0.9, label="FLOPs only")
    if len(whole) < len(points):
        axes.scatter([], [], marker="o", s=34, lw=0.9, edgecolors="0.4", facecolors="none", label="head alone trained")
    for number, family in enumerate(dict.fromkeys(p.family for p in points)):
        draw_family(axes, [p for p in points if p.family == family], number)
    axes.set(xscale="log", yscale="log", xlim=ends, title=profile.title)
    axes.set(xlabel="measured time of a step (s)", ylabel="told, family never seen (s)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")


def draw_family(axes: Axes, points: Sequence[Point], number: int) -> None:
    """Draw the rows of one family."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
    for label, head in ((points[0].family, False), (None, True)):
        some = [p for p in points if (p.step == "head") is head]
        axes.scatter(
            [p.seconds for p in some], [p.unseen_s for p in some], marker=marker, s=34, lw=0.9, edgecolors=colour,
            facecolors="none" if head else colour, label=label,
        )  # fmt: skip


if __name__ == "__main__":
    main()
